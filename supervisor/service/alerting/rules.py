"""What of all that happens a person must know: reads the journal's records, says what is due.

It sends nothing. No record is copied into an alert, only what a rule names: so no secret can be.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from supervisor.config import Config
from supervisor.control.journal import Record
from supervisor.core.plain import Misfit, plain, rebuilt
from supervisor.service.alerting.cases import KINDS, Alert, Case, harmless
from supervisor.service.alerting.saved import Saved

# A bot that is not online for so long, and does nothing but try, needs a person.
NOT_UP_S = 300.0
# So many restarts that nobody asked for within so long are no accident; so long without: over.
RESTARTS = 3
QUIET_S = 3600.0
_UNASKED = ("crash", "hang", "limit")
# What is over once the bot is online, and what already once it waits for a scan.
_OVER_ONLINE = ("pairing", "logged_out", "conflict", "failed", "refused", "not_up")
_OVER_PAIRING = ("conflict", "failed", "refused", "not_up")


@dataclass(slots=True)
class _Bot:
    """What has to be remembered of one bot."""

    saved: Saved = field(default_factory=Saved)
    cases: dict[str, Case] = field(default_factory=dict)
    generation: int = 0  # the last that was up
    trouble_at: float | None = None
    restarts: list[float] = field(default_factory=list)
    undecryptable_at: float = 0.0

    def lasts(self, kind: str) -> bool:
        return kind in self.cases and self.cases[kind].lasts


def _adopted(carried: Mapping[str, Any]) -> dict[str, _Bot]:
    """Return what was carried over; what this version can't read begins anew."""
    try:
        bots = rebuilt(dict[str, _Bot], carried.get("bots", {}), "bots")
        untold = rebuilt(list[tuple[str, str]], carried.get("undelivered", []), "undelivered")
    except Misfit:
        return {}
    for name, bot in bots.items():
        bot.cases = {kind: case for kind, case in bot.cases.items() if kind in KINDS}
        for kind, case in bot.cases.items():
            if (name, kind) in untold:
                case.untell()
    return bots


class Rules:
    """Turns what happens into alerts. `now` is seconds of one monotonic clock everywhere.

    `carried`: what `carry` has returned, in the program before ours, on the same clock.
    """

    def __init__(self, config: Config, carried: Mapping[str, Any] | None = None) -> None:
        self._bots = _adopted(carried or {})
        self._stopping = False
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take another config: what is open stays so, but that of bots that are gone."""
        self._repeat_s = config.alerts.repeat_s
        for name in set(self._bots) - set(config.bots):
            del self._bots[name]
        for name, bot in config.bots.items():
            # A copy that is not due yet is not missing.
            limit_s = max(config.alerts.snapshot_age_s, 2 * bot.snapshots.every_s)
            self._bots.setdefault(name, _Bot()).saved.limit_s = limit_s

    def carry(self, undelivered: Collection[tuple[str, str]]) -> dict[str, Any]:
        """Return all that is known, as plain values; of which bot and kind nobody has been told."""
        return {"bots": plain(self._bots), "undelivered": plain(undelivered)}

    def take(self, record: Record, now: float) -> None:
        """Learn what happened. Bots that stop because the supervisor does need nobody."""
        event, bot = str(record.get("event")), self._bots.get(record.get("bot") or "")
        rule = self._RULES.get(event)
        self._stopping = self._stopping or event == "supervisor_stopping"
        if bot is not None and rule is not None and not self._stopping:
            rule(self, bot, record, now)

    def due(self, now: float) -> list[Alert]:
        """Return what must be told now."""
        for at, act in list(self._instants()):
            if at <= now:
                act(now)
        return [case.tell(now, bot, kind) for at, bot, kind, case in self._tellings() if at <= now]

    def next_at(self) -> float | None:
        """Return when `due` may have something, if nothing happens until then."""
        instants = [at for at, _ in self._instants()] + [at for at, *_ in self._tellings()]
        return min(instants, default=None)

    def _tellings(self) -> Iterator[tuple[float, str, str, Case]]:
        for name, bot in self._bots.items():
            for kind, case in bot.cases.items():
                if (at := case.next_at(self._repeat_s)) is not None:
                    yield at, name, kind, case

    # What happened. Each gets the bot, the record and the time.

    def _verified(self, bot: _Bot, record: Record, now: float) -> None:
        bot.generation, bot.trouble_at = int(record.get("generation") or 0), None
        bot.saved.up(now)
        self._over(bot, now, *_OVER_ONLINE)
        if record.get("proof") == "roundtrip":
            self._over(bot, now, "undecryptable")

    def _pairing(self, bot: _Bot, _record: Record, now: float) -> None:
        bot.trouble_at = None
        bot.saved.not_up(now)
        self._over(bot, now, *_OVER_PAIRING)
        self._open(bot, now, "pairing", "a QR code waits to be scanned")

    def _conflict(self, bot: _Bot, record: Record, now: float) -> None:
        pids = [pid for pid in record.get("pids") or () if isinstance(pid, int)]
        self._open(bot, now, "conflict", "its device is online twice, so it was stopped", pids=pids)

    def _failed(self, bot: _Bot, record: Record, now: float) -> None:
        bot.trouble_at = None
        self._over(bot, now, "not_up")
        if not bot.lasts("conflict"):  # else it is the same story
            why = harmless(record.get("why"))
            self._open(bot, now, "failed", f"it has FAILED: {why}", why=why)

    def _refused(self, bot: _Bot, record: Record, now: float) -> None:
        text = "another supervisor owns its session, so it does not run here"
        self._open(bot, now, "refused", text, pid=record.get("pid"))

    def _trouble(self, bot: _Bot, _record: Record, now: float) -> None:
        bot.trouble_at = now if bot.trouble_at is None else bot.trouble_at

    def _session_state(self, bot: _Bot, record: Record, now: float) -> None:
        mended = record.get("state") in ("restored", "linked")
        if mended and bot.saved.up_at is not None:  # it was offline, and came back by itself
            bot.trouble_at = None
            self._over(bot, now, "not_up")

    def _exited(self, bot: _Bot, record: Record, now: float) -> None:
        if record.get("generation") == bot.generation:
            bot.saved.not_up(now)

    def _down(self, bot: _Bot, _record: Record, now: float) -> None:
        bot.trouble_at = None
        self._over(bot, now, *bot.cases)

    def _checked(self, bot: _Bot, record: Record, _now: float) -> None:
        bot.saved.keeps = bot.saved.keeps or bool(record.get("files"))

    def _epoch_closed(self, bot: _Bot, record: Record, now: float) -> None:
        bot.saved.forget(now)
        why = harmless(record.get("why"))
        self._open(bot, now, "logged_out", f"its link has ended: {why}", why=why)

    def _saved(self, bot: _Bot, record: Record, now: float) -> None:
        bot.saved.keeps = True
        bot.saved.mark(now, record.get("snapshot"))
        self._over(bot, now, "snapshots")
        if (stale_at := bot.saved.stale_at()) is None or now < stale_at:
            self._over(bot, now, "snapshot_age")

    def _not_good(self, bot: _Bot, record: Record, _now: float) -> None:
        bot.saved.unmark(record.get("snapshot"))

    def _not_saved(self, bot: _Bot, record: Record, now: float) -> None:
        why = harmless(record.get("why"))
        self._open(bot, now, "snapshots", f"its session can't be copied: {why}", why=why)

    def _store_checked(self, bot: _Bot, record: Record, now: float) -> None:
        if count := record.get("damaged"):
            text = f"{count} of its stored snapshots are damaged"
            self._open(bot, now, "store", text, damaged=count)
        else:
            self._over(bot, now, "store")

    def _drill_failed(self, bot: _Bot, record: Record, now: float) -> None:
        why = harmless(record.get("why"))
        text = f"a snapshot could not be brought back in a drill: {why}"
        self._open(bot, now, "store", text, why=why)

    def _drill_passed(self, bot: _Bot, _record: Record, now: float) -> None:
        self._over(bot, now, "store")

    def _undecryptable(self, bot: _Bot, record: Record, now: float) -> None:
        bot.undecryptable_at = now
        text, count = "messages reach it that it can't decrypt", record.get("count")
        self._open(bot, now, "undecryptable", text, count=count)

    def _restarted(self, bot: _Bot, record: Record, now: float) -> None:
        restart = record.get("record")
        if not isinstance(restart, dict) or restart.get("reason") not in _UNASKED:
            return
        recent = [at for at in bot.restarts if now - at < QUIET_S]
        bot.restarts = [*recent[1 - RESTARTS :], now]
        if len(bot.restarts) == RESTARTS:
            reason = str(restart["reason"])
            text = f"it is restarted again and again, last after a {reason}"
            self._open(bot, now, "restarts", text, reason=reason)

    def _open(self, bot: _Bot, now: float, kind: str, text: str, **fields: Any) -> None:
        bot.cases.setdefault(kind, Case()).open(now, self._repeat_s, text, fields)

    def _over(self, bot: _Bot, now: float, *kinds: str) -> None:
        for kind in kinds:
            if kind in bot.cases:
                bot.cases[kind].over(now)

    # What time makes of it.

    def _instants(self) -> Iterator[tuple[float, Callable[[float], None]]]:
        """Yield what opens or ends by itself, and when."""
        for bot in self._bots.values():
            if bot.trouble_at is not None and not bot.lasts("not_up"):
                text = f"it has not been online for {NOT_UP_S / 60:.0f} minutes"
                yield bot.trouble_at + NOT_UP_S, partial(self._opens, bot, "not_up", text)
            stale_at = bot.saved.stale_at()
            if stale_at is not None and not bot.lasts("snapshot_age"):
                limit = f"{bot.saved.limit_s / 60:.0f} minutes"
                text = f"its newest good snapshot is older than {limit}"
                yield stale_at, partial(self._opens, bot, "snapshot_age", text)
            if bot.lasts("restarts"):
                yield bot.restarts[-1] + QUIET_S, partial(self._ends, bot, "restarts")
            if bot.lasts("undecryptable"):
                yield bot.undecryptable_at + QUIET_S, partial(self._ends, bot, "undecryptable")

    def _opens(self, bot: _Bot, kind: str, text: str, now: float) -> None:
        self._open(bot, now, kind, text)

    def _ends(self, bot: _Bot, kind: str, now: float) -> None:
        self._over(bot, now, kind)

    _RULES: ClassVar[dict[str, Callable[["Rules", _Bot, Record, float], None]]] = {
        "verified": _verified,
        "pairing": _pairing,
        "conflict": _conflict,
        "failed": _failed,
        "refused": _refused,
        "backoff": _trouble,
        "late": _trouble,
        "offline": _trouble,
        "session_state": _session_state,
        "exited": _exited,
        "restarted": _restarted,
        "down": _down,
        "session_checked": _checked,
        "epoch_closed": _epoch_closed,
        "snapshot_taken": _saved,
        "sealed": _saved,
        "snapshot_judged": _not_good,
        "snapshot_unjudged": _not_good,
        "snapshot_failed": _not_saved,
        "snapshots_away": _not_saved,
        "snapshots_checked": _store_checked,
        "drill_failed": _drill_failed,
        "drill_passed": _drill_passed,
        "undecryptable": _undecryptable,
    }
