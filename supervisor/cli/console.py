"""The console: what a person reads while the supervisor runs, made from journal events alone.

It keeps what it must remember to say a thing once, and nothing else; it never asks and never acts.
A QR code never passes here.
"""

from collections.abc import Mapping

from supervisor.cli import words
from supervisor.cli.repeats import Repeats
from supervisor.cli.tell import (
    TELL,
    Event,
    Line,
    Teller,
    Weight,
    bad,
    because,
    describe,
    detail,
    info,
    warn,
    what_changed,
    where_it_broke,
    which,
)
from supervisor.cli.tell_alerts import ALERTS
from supervisor.cli.tell_checks import CHECKS
from supervisor.cli.tell_presets import PRESETS
from supervisor.cli.tell_service import SERVICE
from supervisor.cli.tell_spares import SPARES
from supervisor.cli.words import get


class Console:
    """Turns events into lines. `sessions`: each bot's session id, None for a companion.

    `scan`: for a bot, the command that scans its QR code. `shows_qr`: somebody draws it below.
    `has_keys`: a person may press some.
    """

    def __init__(
        self,
        sessions: Mapping[str, str | None],
        *,
        scan: Mapping[str, str] | None = None,
        shows_qr: bool = True,
        has_keys: bool = False,
    ) -> None:
        self._sessions = dict(sessions)
        self._scan = dict(scan or {})
        self._shows_qr = shows_qr
        self._has_keys = has_keys
        speakers = [name for name, session in self._sessions.items() if session is not None]
        everybody = speakers or list(self._sessions)
        self._only = everybody[0] if len(everybody) == 1 else None
        self._checked: set[str] = set()
        self._ending: set[tuple[str, str]] = set()
        self._explained: set[str] = set()
        self._paired: set[str] = set()
        self._swapped: set[str] = set()
        self._repeats: dict[str, Repeats] = {}
        self._asking: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        self._told: dict[str, Teller] = {
            **TELL,
            **CHECKS,
            **SPARES,
            **ALERTS,
            **SERVICE,
            **PRESETS,
            "paused": self._paused,
            "session_checked": self._session_checked,
            "session_restored": self._session_restored,
            "pairing": self._pairing,
            "line_wanted": self._line_wanted,
            "linked": self._linked,
            "adopted": self._adopted,
            "session_cleared": self._session_cleared,
            "snapshot_taken": self._snapshot_taken,
            "sealed": self._sealed,
            "snapshot_failed": self._snapshot_failed,
            "preflight_failed": self._preflight_failed,
            "standby_failed": self._standby_failed,
            "held": self._held,
            "spawned": self._spawned,
            "activated": self._activated,
            "stopping": self._stopping,
            "killed": self._killed,
            "exited": self._exited,
            "restarted": self._restarted,
        }

    def name(self, bot: str | None) -> str:
        """Return the name to say before a bot's line: empty if only one bot speaks."""
        return "" if bot is None or bot == self._only else bot

    def render(self, event: Event) -> list[str]:
        """Return the lines for one event, details included."""
        return [line.text for line in self.lines(event)]

    def lines(self, event: Event) -> list[Line]:
        """Return the lines for one event, with their weights."""
        told = self._told.get(str(event.get("event")))
        bot = words.clean(event.get("bot") or "")
        lines = told(bot, event) if told is not None else detail(describe(event))
        name = self.name(bot or None)
        return [Line(w, f"{name}: {text}" if name else text) for w, text in lines]

    def _session(self, bot: str, event: Event) -> str:
        found = get(event, "id") or self._sessions.get(bot) or bot
        return f"session-{found}"

    # The supervisor.

    def _paused(self, _bot: str, _event: Event) -> list[Line]:
        how = "p" if self._has_keys else "stillhere resume"
        return info(f"paused: changes are collected, not acted on; {how} goes on")

    def _session_checked(self, bot: str, event: Event) -> list[Line]:
        session, first = self._session(bot, event), bot not in self._checked
        self._checked.add(bot)
        snapshots = event.get("snapshots") or 0
        if event.get("verdict") == "passed":
            parts = [
                words.count(event.get("files", 0), "file"),
                words.size(event.get("size_bytes")),
                f"epoch {get(event, 'epoch')}" if event.get("epoch") is not None else "",
                words.count(snapshots, "snapshot"),
            ]
            found = (
                f"SessionManager: {session} found: {', '.join(p for p in parts if p)}",
                "SessionManager: restore not needed: the live session passed its check",
            )
            return [Line("info" if first else "detail", text) for text in found]
        if event.get("verdict") == "damaged":
            return warn(f"SessionManager: {session} is damaged{because(event)}: restore follows")
        if event.get("linked"):
            kept = words.count(snapshots, "snapshot")
            own = session.removeprefix("session-")
            return warn(
                f"SessionManager: {session} is missing, {kept} kept: restore follows",
                f"removed on purpose, to link it anew? then: stillhere session clear {own}",
            )
        return info(f"SessionManager: {session} is not linked: nothing to restore")

    def _session_restored(self, bot: str, event: Event) -> list[Line]:
        if event.get("action") == "kept":
            what = "restore not needed: the live session passed its check"
            return info(f"SessionManager: {self._session(bot, event)}: {what}")
        aside = get(event, "quarantined")
        return warn(
            f"SessionManager: restore done in {words.span(event.get('duration_s'))}: "
            f"{self._session(bot, event)} from {which(event.get('snapshot'))}, "
            f"{words.span(event.get('age_s'))} old",
            "chats that moved on since may show Bad MAC"
            + (f"; the session before is kept in {aside}" if aside else ""),
        )

    def _pairing(self, bot: str, event: Event) -> list[Line]:
        generation = get(event, "generation")
        if self._asking.get(bot) == generation:
            return []
        self._asking[bot] = generation
        scan = self._scan.get(bot)
        how = f"in another terminal: {scan}" if scan else "on the phone: Linked devices"
        show = "" if self._shows_qr else f"to see it, in a terminal: stillhere link {bot}".rstrip()
        return warn("QR code needed: a person must link this device", f"scan it {how}", show)

    def _line_wanted(self, _bot: str, _event: Event) -> list[Line]:
        how = ": press i, type it, Enter" if self._has_keys else " on its standard input"
        return info(f"the bot asks for a line{how}")

    def _linked(self, bot: str, event: Event) -> list[Line]:
        self._paired.add(bot)
        self._asking.pop(bot, None)
        talk = " (talk to it: make chat)" if bot in self._scan else ""
        whose = get(event, "identity")
        which = f"device {whose}" if whose else "whose device it is it does not say"
        return [Line("good", f"linked: {which}{talk}")]

    def _adopted(self, bot: str, event: Event) -> list[Line]:
        if event.get("instead_of"):
            self._swapped.add(bot)
        return TELL["adopted"](bot, event)

    def _session_cleared(self, bot: str, event: Event) -> list[Line]:
        aside = get(event, "quarantined")
        where = f": the old one is kept in {aside}" if aside else ""
        return info(f"SessionManager: {self._session(bot, event)} cleared{where}")

    def _snapshot_taken(self, bot: str, event: Event) -> list[Line]:
        name = which(event.get("snapshot"))
        if self._newest.get(bot) == name:
            return detail(f"SessionManager: nothing changed since snapshot {name}")
        self._newest[bot] = name
        return TELL["snapshot_taken"](bot, event)

    def _sealed(self, bot: str, event: Event) -> list[Line]:
        self._newest[bot] = which(event.get("snapshot"))
        return TELL["sealed"](bot, event)

    def _snapshot_failed(self, _bot: str, event: Event) -> list[Line]:
        return warn(
            f"SessionManager: snapshot failed{because(event)}",
            "the session itself is untouched",
        )

    def _preflight_failed(self, bot: str, event: Event) -> list[Line]:
        self._explained.add(bot)
        found = [e for e in words.listed(event, "errors") if isinstance(e, dict)]
        told = [
            ":".join(str(e[key]) for key in ("path", "line", "column") if e.get(key) is not None)
            + f": {get(e, 'text')}"
            for e in found
        ]
        return bad(*told, "the old bot is still online; save the fix to go on")

    def _standby_failed(self, bot: str, event: Event) -> list[Line]:
        self._explained.add(bot)
        return bad(
            f"the new code does not start{because(event)}",
            where_it_broke(event.get("tail")),
            "the old bot is still online; save the fix to go on",
        )

    def _held(self, bot: str, event: Event) -> list[Line]:
        if bot in self._explained:
            self._explained.discard(bot)
            return detail(f"held{because(event)}")
        paths = words.listed(event, "paths")
        what = f"{what_changed(paths)} changed, not applied" if paths else "not restarted"
        return warn(
            f"{what}{because(event)}",
            "the old bot is still online; the next save or a restart tries again",
        )

    def _spawned(self, bot: str, event: Event) -> list[Line]:
        # A standby may be dropped at any save, and one that breaks has a line of its own.
        if event.get("mode") == "standby":
            self._ending.add((bot, get(event, "generation")))
        else:
            self._alone(bot)
        return TELL["spawned"](bot, event)

    def _activated(self, bot: str, event: Event) -> list[Line]:
        self._alone(bot)
        return TELL["activated"](bot, event)

    def _alone(self, bot: str) -> None:
        """Only one generation of it runs now: of the others no end is to come."""
        self._ending = {ending for ending in self._ending if ending[0] != bot}

    def _stopping(self, bot: str, event: Event) -> list[Line]:
        self._ending.add((bot, get(event, "generation")))
        return detail(f"generation {get(event, 'generation')} stops{because(event)}")

    def _killed(self, bot: str, event: Event) -> list[Line]:
        self._ending.add((bot, get(event, "generation")))
        return warn(f"generation {get(event, 'generation')} is killed{because(event)}")

    def _exited(self, bot: str, event: Event) -> list[Line]:
        how = f"status {get(event, 'status')}"
        if event.get("signal"):
            how = f"signal {get(event, 'signal')}"
        text = (
            f"generation {get(event, 'generation')} exited with {how} "
            f"after {words.span(event.get('uptime_s'))}"
        )
        key = (bot, get(event, "generation"))
        if key in self._ending:
            self._ending.discard(key)
            return detail(text)
        return warn(text)

    def _restarted(self, bot: str, event: Event) -> list[Line]:
        record = words.inner(event, "record")
        self._explained.discard(bot)
        weight, device = self._device(bot, record)
        reason = record.get("reason")
        ready = words.seconds(record.get("save_to_ready_s"))
        took = f" in {ready}" if ready else ""
        if reason == "start":
            return [Line(weight, f"ready{took}" + (f": {device}" if device else ""))]
        gap = words.seconds(record.get("gap_s"))
        parts = [f"back{took}", f"offline {gap}" if gap else "", device]
        why = {
            "change": f"{what_changed(record.get('changed'))} changed",
            "manual": "restarted by hand",
            "crash": "crashed",
            "hang": "hung",
            "limit": "over its limit",
            "schedule": "restarted on schedule",
        }.get(str(reason), words.clean(reason))
        lines = [Line(weight, f"{why} -> {', '.join(p for p in parts if p)}")]
        if self._sessions.get(bot) is not None:
            how = "restore done" if record.get("rolled_back") else "restore not needed"
            mode = words.clean(record.get("mode"))
            text = f"SessionManager: {self._session(bot, event)}: {how}, ready{took} ({mode})"
            lines.insert(0, Line("detail", text))
        return lines + self._again(bot, event)

    def _again(self, bot: str, event: Event) -> list[Line]:
        record = words.inner(event, "record")
        changed = record.get("changed") if record.get("reason") == "change" else None
        again = self._repeats.setdefault(bot, Repeats())
        if not (path := again.restarted(changed, event.get("t"))):
            return []
        return warn(
            f"{path} changes again and again, and each time the bot is restarted",
            "does the bot write it itself? then name it in the config: ignore = [...]"
            " (stillhere init writes one)",
        )

    def _device(self, bot: str, record: Event) -> tuple[Weight, str]:
        proof, late = record.get("proof"), ", late" if record.get("late") else ""
        if self._sessions.get(bot, "") is None:
            return "good", late.strip(", ")
        if not record.get("verified"):
            return "warn", f"not verified{late}"
        if proof not in ("roundtrip", "identity"):
            return "warn", f"device not proved{late}"
        swapped = bot in self._swapped
        which = "new device" if bot in self._paired else "same device"
        which = "another device" if swapped else which
        self._paired.discard(bot)
        self._swapped.discard(bot)
        return ("warn" if late or swapped else "good"), f"{which} ({proof}){late}"

    # Ends.
