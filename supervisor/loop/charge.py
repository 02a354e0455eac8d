"""One bot in our care: its state, its one deadline, its hands, its source."""

import asyncio
import math
import os
import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any

from supervisor.config import BotConfig
from supervisor.core import events as ev
from supervisor.core.machine import step
from supervisor.core.policy import Policy
from supervisor.core.state import Phase, State
from supervisor.loop import handoff
from supervisor.loop.gauge import Gauge
from supervisor.loop.hands import Hands, Tools
from supervisor.loop.health import Health
from supervisor.loop.house import House
from supervisor.loop.jobs import in_words
from supervisor.loop.printed import Printed
from supervisor.loop.rounds import RESTING, RETAKEN, Rounds
from supervisor.process.child import Child
from supervisor.session.manager import SessionManager
from supervisor.session.state import Record
from supervisor.watch.watcher import Change, Watcher

# So soon after it is up a bot without a session is looked at again: a person may be linking it.
UNSEEN_S = 5.0


class Charge:
    """One bot in our care: its state, its deadline, its hands."""

    def __init__(self, house: House, bot: BotConfig, manager: SessionManager) -> None:
        self.bot = bot
        self.state = State()
        self.decided = False  # whether somebody has said yet that it shall be up, or down
        self.restarts = 0
        self.last_restart: dict[str, Any] | None = None
        self.printed = Printed(bot.name, house.outlets, self.report)
        self.changed = asyncio.Event()
        self._house = house
        self._queue: deque[ev.Event] = deque()
        self._working = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._periodic: asyncio.TimerHandle | None = None
        self._unseen_s = UNSEEN_S
        self._seed = int.from_bytes(os.urandom(3))
        self._policy = self._policy_of(bot)
        self.watcher = self._make_watcher() if house.watches(bot) else None
        self.hands = Hands(
            Tools(
                config=house.config,
                bot=bot,
                manager=manager,
                watcher=self.watcher,
                socket_dir=house.socket_dir,
                control=house.control,
                post=self.post,
                report=self.report,
                on_line=self.printed.line,
                on_prompt=self.printed.prompt,
                on_drop=self.printed.dropped,
                on_qr=self._qr_changed,
                take_turn=self._take_turn,
                terminal=house.outlets.terminal,
                stdin=house.dev,
                spare=self._wants_spare(),
            )
        )

        self.health = Health(
            bot,
            post=self.post,
            report=self.report,
            environ=self.hands.starts.environment,
            prefix=self.hands.starts.prefix,
        )
        self.rounds = self._make_rounds(manager)
        self.gauge = Gauge(
            lambda: manager.doing or self._doing(), partial(self.hands.jobs.soon, self.report)
        )
        manager.progress = self.gauge

    def _make_rounds(self, manager: SessionManager) -> Rounds:
        rounds = Rounds(
            manager,
            self.hands.session,
            self.hands.jobs,
            phase=lambda: self.state.phase,
            changed=self.changed,
            turn=self._house.turn,
            report=self.report,
            heal=partial(self._snapshot, "healed"),
            retake=partial(self._snapshot, RETAKEN),
        )
        self.hands.session.judged = rounds.judged
        self.hands.session.unseen = self._look_again
        return rounds

    def _policy_of(self, bot: BotConfig) -> Policy:
        return replace(bot.policy(on_change=self._house.watches(bot)), seed=self._seed)

    def _wants_spare(self) -> bool:
        bot = self.bot
        often = bot.standby == "auto" and self._house.dev and self._house.watches(bot)
        return bot.session is not None and (bot.standby == "warm" or often)

    def _doing(self) -> str:
        """Say what takes long, where the session room does not."""
        at_rest = self.state.phase in (Phase.RESTORING, Phase.OPERATING)
        return "restoring the session" if at_rest else "taking a snapshot"

    def _make_watcher(self) -> Watcher:
        hidden = self._house.hidden()
        return Watcher(
            self.bot.watch,
            base=self._house.config.root,
            ignore=self.bot.ignore,
            only=self.bot.watch_only,
            never=hidden.never,
            among=hidden.among,
            on_problem=lambda text: self.report("watch_degraded", why=text),
            watch=self._house.watch,
        )

    def hide_sessions(self) -> None:
        """Take none of the configured sessions for source, be they new."""
        if self.watcher is not None:
            self.watcher.hide(*self._house.hidden())

    # The loop.

    def post(self, event: ev.Event) -> None:
        """Take an event; those that it causes wait their turn."""
        if self._closed:
            self.hands.refuse(event, "the bot is being let go")
            return
        if isinstance(event, ev.SourceChanged):
            bots = self._house.of_a_bot(event)
            if bots is None:
                return
            event = bots
        self.decided = self.decided or isinstance(event, (ev.StartRequested, ev.StopRequested))
        self._queue.append(event)
        if self._working:
            return
        self._working = True
        try:
            while self._queue:
                self._step(self._queue.popleft())
        finally:
            # Also where an effect went wrong that nobody thought of: the deadline goes on from it.
            self._working = False
            self._set_timer()
            self.changed.set()
            self._house.changed()

    def _step(self, event: ev.Event) -> None:
        before = self.state.phase
        self.state, effects = step(self.state, event, time.monotonic(), self._policy)
        for effect in effects:
            self.hands.perform(effect)
        if self.state.phase is not before:
            self._entered(self.state.phase)

    def _entered(self, phase: Phase) -> None:
        child = self.hands.child(self.state.current) if phase is Phase.UP else None
        self.health.begin(child) if child is not None else self.health.end()
        if phase in RESTING:
            self._house.turnstile.leave(self)
            if phase is not Phase.UP:
                self.hands.spares.drop()
        if phase is Phase.UP:
            self.hands.spares.expect()
            self._unseen_s = UNSEEN_S
            self._schedule_snapshot()
            if self.bot.session is not None and not self._house.dev:
                self.rounds.start()
            if self.watcher is not None and (change := self.watcher.check()) is not None:
                self._source_changed(change)

    def _take_turn(self) -> None:
        self._house.turnstile.enter(self, partial(self.post, ev.TurnGiven()))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state.deadline is not None:
            loop = asyncio.get_running_loop()
            wait_s = max(0.0, self.state.deadline - time.monotonic())
            # One turn later: after a suspension, what came meanwhile is heard before the deadline.
            tell = partial(self.post, ev.DeadlinePassed())
            self._timer = loop.call_later(wait_s, loop.call_soon, tell)

    def _look_again(self) -> None:
        """Look soon whether it has a session by now: later each time, it may never have one."""
        if self.state.phase is Phase.UP and not self._closed:
            self._schedule_snapshot(self._unseen_s)
            self._unseen_s *= 2

    def _schedule_snapshot(self, within_s: float = math.inf) -> None:
        if self.bot.session is None or self.bot.snapshots.every_s <= 0:
            return
        if self._periodic is not None:
            self._periodic.cancel()
        loop = asyncio.get_running_loop()
        wait_s = min(self.bot.snapshots.every_s, within_s)
        self._periodic = loop.call_later(wait_s, self._snapshot_due)

    def _snapshot_due(self) -> None:
        if self.hands.jobs.idle:  # else one is on its way, or the disk hangs
            self._snapshot("periodic")
        self._schedule_snapshot()

    def _snapshot(self, reason: str) -> None:
        self.post(ev.SnapshotRequested(reason))

    async def flushed(self) -> None:
        """Ask a bot that is up, and can, to write all it holds; return once it has, or won't."""
        self.post(ev.SnapshotRequested())
        while self.state.flushing:
            self.changed.clear()
            await self.changed.wait()

    # What comes in.

    async def watch(self) -> None:
        """Follow the source until cancelled."""
        if self.watcher is None:
            return
        try:
            await self.watcher.run(self._source_changed, self._source_settled)
        except Exception as error:  # noqa: BLE001 - the bot goes on without it, and it is said
            self.report("watch_degraded", why=f"changes are not seen any more: {in_words(error)}")
            context = {"message": "the watcher ended", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            self.watcher.ready.set()  # nobody is kept waiting for it

    def _source_changed(self, change: Change) -> None:
        self.post(
            ev.SourceChanged(change.paths, change.saved_at, change.detected_at, change.quiet_at)
        )

    def _source_settled(self, at: float) -> None:
        self.post(ev.SourceSettled(at))

    @property
    def listener(self) -> Child | None:
        """Who is given a line: the generation that asked last, else the one with the session."""
        return self.hands.child(self.printed.asking) or self.hands.child(self.state.current)

    def _qr_changed(self) -> None:
        self.changed.set()
        self._house.changed()

    # What goes out.

    def report(self, event: str, **fields: Any) -> None:
        """Write a line of the journal, and keep what `status` shows."""
        if event == "restarted":
            self.last_restart = fields["record"]
            if fields["record"]["reason"] != "start":
                self.restarts += 1
            if fields["record"]["reason"] == "change" and self.bot.assumed:
                self._house.look()
        self._house.note(self.bot.name, event, fields)

    def status(self, record: Record | None) -> dict[str, Any]:
        """Return what `status --json` promises of one bot; `record` is the session's."""
        session = None
        if record is not None:
            session = {
                "id": self.bot.session,
                "state": self.state.reported or record.state,
                "identity": self.state.identity or record.identity,
                "epoch": record.epoch,
                "restore_count": record.restore_count,
                "rollback_count": record.rollback_count,
                "link_count": record.link_count,
                "qr_count": record.qr_count,
            }
        child = self.hands.child(self.state.current)
        return {
            "phase": self.state.phase.value,
            "pid": None if child is None else child.pid,
            "generation": self.state.current or self.state.generation,
            "restarts": self.restarts,
            "paused": self.state.paused,
            "held": self.state.held or None,
            "why": self.state.why or None,
            "status": None if child is None else child.heard.status or None,
            "session": session,
            "spare": self.hands.spares.status(),
            "last_restart": self.last_restart,
        }

    def reconfigure(self, bot: BotConfig) -> None:
        """Go on by other settings: of those that its process does not depend on."""
        self.bot = bot
        self._policy = self._policy_of(bot)
        self.health.reconfigure(bot)
        self.hands.reconfigure(bot)
        if self.state.phase is Phase.UP:
            self._schedule_snapshot()

    def succeed(self, old: "Charge") -> None:
        """Take the place of one that is down: it is the same bot to a person."""
        self.restarts, self.last_restart = old.restarts, old.last_restart
        self.printed.kept = old.printed.kept
        self.hands.strangers.succeed(old.hands.strangers)

    def why_not_now(self) -> str:
        """Return why it cannot be carried into another program now; "" if it can."""
        return "events wait" if self._queue else self.hands.why_not_now()

    def carry(self) -> handoff.Bot:
        """Return all that the program that follows ours needs to go on with this bot."""
        session = self.hands.session
        return handoff.Bot(
            state=self.state,
            decided=self.decided,
            restarts=self.restarts,
            last_restart=self.last_restart,
            lines=tuple(self.printed.kept.tail(handoff.LINES)),
            shown=self.printed.shown(),
            asking=self.printed.asking,
            child=self.hands.carry(),
            lock=session.lock.carry(),
            proofs=session.carry(),
            known=None if self.watcher is None else self.watcher.carry(),
            strangers=self.hands.strangers.total,
            untold=self.hands.strangers.pace.untold,
        )

    def adopt(self, carried: handoff.Bot) -> None:
        """Go on from there."""
        self.state, self.decided = carried.state, carried.decided
        self.restarts, self.last_restart = carried.restarts, carried.last_restart
        self.printed.adopt(carried.lines, carried.shown, carried.asking)
        if carried.lock is not None:
            self.hands.session.lock.adopt(carried.lock)
        self.hands.session.adopt(carried.proofs)
        if self.watcher is not None and carried.known is not None:
            self.watcher.adopt(carried.known)
        if carried.child is not None:
            self.hands.adopt(carried.child)
        self.hands.strangers.adopt(carried.strangers, carried.untold)
        self._set_timer()
        if self.state.turn == "asked":  # not at once: no signal is handled yet
            asyncio.get_running_loop().call_soon(self._take_turn)
        self._entered(self.state.phase)

    async def close(self) -> None:
        """Let go of everything. Only once it is down: from now on it can't be started."""
        self._closed = True
        for timer in (self._timer, self._periodic):
            if timer is not None:
                timer.cancel()
        self._house.turnstile.leave(self)
        self.health.end()
        self.hands.strangers.close()
        await self.rounds.close()
        await self.hands.spares.close()
        await self.hands.jobs.close()
