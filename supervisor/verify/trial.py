"""A run in progress: the bot that is tried, its supervisor, and what every row asks of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from supervisor.config import BotConfig, Config
from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.opened import manager_of
from supervisor.session.state import Record
from supervisor.verify.model import Learnt, Mode, Outcome, Restarted
from supervisor.verify.pairing import Pairing
from supervisor.verify.watched import Event, Own, Watched

# How a start or restart may end, beside "restarted": each is told with a reason.
_BAD_ENDS = {
    "pairing": "it asked for a QR code",
    "failed": "it failed",
    "held": "it was not restarted",
    "refused": "its session is another process's",
    "finished": "it ended by itself, and stays down",
}
_ASKED = {"pairing", "failed", "finished", "refused"}
_LINK_ENDS = {"restarted", *_ASKED}
# Beside a bot's own deadlines: what a loaded machine takes for the rest.
_SPARE_S = 10.0
_SCANS = 3
_WRITTEN_S = 5.0
_SETTLED_S = 1.0


class NotSteady(SupervisorError):  # noqa: N818 - it names a state of the world
    """The bot is not up, and could not be brought up: nothing can be learnt now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """How a start or restart ended. `why`: "" if the same device is back, asked for nothing."""

    why: str = ""
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def took(self) -> float:
        """Seconds from its cause until the bot was ready."""
        return float(self.record.get("save_to_ready_s") or 0.0)

    @property
    def gap(self) -> float:
        """Seconds for which the bot was offline."""
        return float(self.record.get("gap_s") or 0.0)

    @property
    def proof(self) -> str:
        """What proved it: `roundtrip`, `identity` or `ready`."""
        return str(self.record.get("proof") or "nothing")


@dataclass(slots=True, kw_only=True)
class Trial:
    """What the rows share. `identity`: the device that has to be back each time.

    `restarts`, `rest_s`: how many in a row, and how long it is left alone. `notes`: for a person.
    """

    config: Config
    bot: BotConfig
    mode: Mode
    watched: Watched
    pairing: Pairing | None
    fresh: bool  # it begins without a session
    restarts: int = 5
    rest_s: float = 5.0
    identity: str | None = None
    row: str = ""
    backs: list[Back] = field(default_factory=list)
    told: list[Restarted] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    learnt: Learnt = field(default_factory=Learnt)
    added: list[tuple[Path, bytes]] = field(default_factory=list)  # to source files, by us

    @property
    def session(self) -> str:
        """The session's id."""
        return str(self.bot.session)

    @property
    def patience_s(self) -> float:
        """How long one start or restart may take, all its own deadlines included."""
        return self.bot.start_timeout_s + self.bot.stop_timeout_s + _SPARE_S

    def own(self) -> Own:
        """Return the supervisor, where it is ours. Raises: NotSteady: it is not."""
        if isinstance(self.watched, Own):
            return self.watched
        raise NotSteady("the supervisor of the live bot has ended; start it anew: stillhere dev")

    def manager(self) -> SessionManager:
        """Return the session's manager, to look with."""
        return manager_of(self.config, self.bot)

    def record(self) -> Record:
        """Return what the state file says of the session."""
        return self.manager().record(self.session)

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says of the bot."""
        return self.watched.status(self.bot.name)

    def seen(self, after: int = 0) -> list[Event]:
        """Return the bot's events from a place on."""
        return self.watched.seen(after, self.bot.name)

    def wait(self, wanted: Callable[[Event], bool], after: int, within_s: float) -> Event | None:
        """Return the bot's first event that is wanted."""
        name = self.bot.name
        return self.watched.wait(lambda e: e.get("bot") == name and wanted(e), after, within_s)

    def back(self, after: int, *, within_s: float | None = None) -> Back:
        """Wait until a start or restart has come to something, and judge it."""
        ends = {"restarted", *_BAD_ENDS}
        patience_s = self.patience_s if within_s is None else within_s
        event = self.wait(lambda e: e["event"] in ends, after, patience_s)
        if event is None:
            return Back(why=f"nothing came of it within {patience_s:.0f} s{self._last(after)}")
        if event["event"] != "restarted":
            return Back(why=self._bad_end(event, after))
        record = dict(event["record"])
        self.told.append(Restarted(row=self.row, t=str(event["t"]), record=record))
        back = replace(Back(record=record), why=self._wrong(record, after))
        if not back.why:
            self.backs.append(back)
        return back

    def _bad_end(self, event: Event, after: int) -> str:
        """Say how something ended, why, and what the bot itself said at last."""
        why = f": {event['why']}" if event.get("why") else ""
        told = [e for e in self.seen(after) if e.get("tail")]
        last = _last_line(told[-1]["tail"]) if told else ""
        if event["event"] == "failed":
            last = last or self.last_line()
        return _BAD_ENDS[event["event"]] + why + (f": {last}" if last else "")

    def _wrong(self, record: dict[str, Any], after: int) -> str:
        """Say why a finished restart is not the same device, back unasked; "" if it is."""
        asked = sum(1 for e in self.seen(after) if e["event"] == "pairing")
        if asked:
            return f"it asked for a QR code{f' {asked} times' if asked > 1 else ''}"
        if not record.get("verified"):
            return "it was not verified"
        verified = [e for e in self.seen(after) if e["event"] == "verified"]
        whose = str(verified[-1].get("identity") or "") if verified else ""
        if self.identity and whose and whose != self.identity:
            return f"another device is back: {whose}, not {self.identity}"
        return ""

    def _last(self, after: int) -> str:
        """Say what was heard of it last."""
        told = [e for e in self.seen(after) if e.get("why")]
        return f"; the last: {told[-1]['event']}, {told[-1]['why']}" if told else ""

    def last_line(self) -> str:
        """Return the last line that the bot printed; "" for none."""
        lines = self.watched.client.stream("logs", bot=self.bot.name, follow=False, lines=1)
        return _last_line([str(each.get("line", "")) for each in lines])

    def pair(self, after: int) -> tuple[int, Back]:
        """Have the QR code scanned; return how often it was asked for, and how it ended.

        Raises: SupervisorError where the scan itself fails.
        """
        if self.pairing is None:
            raise NotSteady("nobody can scan its QR code (see [bot.NAME.verify] pair)")
        links = self.record().link_count
        event = self.wait(lambda e: e["event"] in _ASKED, after, self.patience_s)
        if event is None:
            return 0, Back(why=f"it never asked for a QR code{self._last(after)}")
        if event["event"] != "pairing":
            return 0, Back(why=self._bad_end(event, after))
        for asked in range(1, _SCANS + 1):
            after = self._behind(event, after)
            self.pairing.scan(self.watched, self.bot.name)
            event = self.wait(_ends_link, after, self.patience_s)
            if event is None:
                return asked, Back(why=f"it was scanned, and nothing came of it{self._last(after)}")
            if event["event"] == "restarted":
                self.identity = self.device()
                self.until(lambda: self.record().link_count > links)
                record = dict(event["record"])
                why = "" if record.get("verified") else "it was not verified"
                return asked, Back(why=why, record=record)
            if event["event"] not in ("pairing", "session_state"):
                return asked, Back(why=self._bad_end(event, after))
        return _SCANS, Back(why=f"it asked for a QR code again after each of {_SCANS} scans")

    def settle(self) -> float:
        """Wait until a login just made is on the disk, by `settle_s`; return for how long.

        Before that no copy of it counts as good, and whoever ends the bot may lose it.
        """
        if not self.bot.settle_s:
            return 0.0
        begin = time.monotonic()
        after = self.watched.mark()
        self.wait(lambda e: e["event"] in _ASKED, after, self.bot.settle_s + _SETTLED_S)
        return time.monotonic() - begin

    def until(self, true: Callable[[], bool]) -> None:
        """Wait, not for long, for what is written down a moment after its event."""
        until = time.monotonic() + _WRITTEN_S
        while not true() and time.monotonic() < until:
            self.watched.wait(lambda _event: False, 0, 0.05)

    def _behind(self, event: Event, after: int) -> int:
        """Return the place behind an event that came after a place."""
        return after + self.watched.seen(after).index(event) + 1

    def device(self) -> str | None:
        """Return whose device it is now, as far as that is known."""
        found = self.status().get("session") or {}
        return str(found["identity"]) if found.get("identity") else None

    def steady(self) -> None:
        """See to it that the bot is up before a row begins. Raises: NotSteady."""
        if not self.watched.alive:
            self.own().start()
        after = self.watched.mark()
        phase = str(self.status()["phase"])
        if phase == "up":
            return
        if phase in ("down", "failed", "backoff"):
            self.watched.client.call("start", bot=self.bot.name)
        if phase == "pairing":
            self._pair_again()
            return
        until = time.monotonic() + self.patience_s
        while (phase := str(self.status()["phase"])) != "up" and time.monotonic() < until:
            if phase in ("pairing", "failed", "refused"):
                break
            self.wait(lambda _event: True, after, 0.2)
        if phase == "pairing":
            self._pair_again()
        elif phase != "up":
            why = self.status().get("why") or self._last(after).removeprefix("; ")
            raise NotSteady(f"the bot is not up ({phase}{f': {why}' if why else ''})")

    def _pair_again(self) -> None:
        """Link it anew, as another device, so that the other rows can be tried all the same."""
        if self.pairing is None:
            raise NotSteady("the bot asks for a QR code, and nobody can scan it")
        events = self.watched.seen(0)
        asked = [
            place
            for place, event in enumerate(events)
            if event["event"] == "pairing" and event.get("bot") == self.bot.name
        ]
        _asked, back = self.pair(asked[-1] if asked else 0)
        if back.why:
            raise NotSteady(f"the bot could not be linked again: {back.why}")


def _ends_link(event: Event) -> bool:
    """Say whether a scan has come to something, be it another QR code."""
    again = event["event"] == "session_state" and event.get("state") == "pairing"
    return again or event["event"] in _LINK_ENDS


def _last_line(tail: object) -> str:
    """Return the last line that says something, of what an event or the log has."""
    lines = tail if isinstance(tail, list) else str(tail or "").splitlines()
    said = [str(line).strip() for line in lines if str(line).strip()]
    return said[-1] if said else ""


def passed(did: str, measured: str) -> Outcome:
    """Return that a row is as it should be."""
    return Outcome(verdict="pass", did=did, measured=measured)


def failed(did: str, why: str, measured: str = "") -> Outcome:
    """Return that a row is not as it should be, and why."""
    return Outcome(verdict="fail", did=did, measured=measured, why=why)


def not_applicable(why: str) -> Outcome:
    """Return that a row says nothing of this bot, and why."""
    return Outcome(verdict="n/a", why=why)


def judged(did: str, back: Back) -> Outcome:
    """Return what a single start or restart came to."""
    if back.why:
        return failed(did, back.why)
    gap = f", offline {back.gap:.2f} s" if back.record.get("gap_s") is not None else ""
    proof = "device not proved" if back.proof == "ready" else back.proof
    return passed(did, f"back in {back.took:.2f} s{gap} ({proof})")
