"""What each journal event means to a person, where nothing has to be remembered. No I/O."""

import os
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from supervisor.cli import words
from supervisor.cli.words import get

Event = dict[str, Any]
Weight = Literal["detail", "info", "good", "warn", "bad"]


class Line(NamedTuple):
    """One line, and how much it weighs. `detail` lines are for logs, not for a calm terminal."""

    weight: Weight
    text: str


_FRAME = re.compile(r'\s*File "(?P<path>[^"]+)", line (?P<line>\d+)')
Teller = Callable[[str, Event], list[Line]]


def detail(text: str) -> list[Line]:
    """Return a line for logs."""
    return [Line("detail", text)]


def info(*texts: str) -> list[Line]:
    """Return lines that inform; empty ones are left out."""
    return [Line("info", text) for text in texts if text]


def warn(*texts: str) -> list[Line]:
    """Return lines that warn; empty ones are left out."""
    return [Line("warn", text) for text in texts if text]


def bad(*texts: str) -> list[Line]:
    """Return lines that say what went wrong; empty ones are left out."""
    return [Line("bad", text) for text in texts if text]


def because(event: Event, key: str = "why") -> str:
    """Return `: reason`, or nothing if there is none."""
    return f": {get(event, key)}" if get(event, key) else ""


def what_changed(paths: object) -> str:
    """Say which files: `main.py`, `main.py and 12 more`."""
    changed = paths if isinstance(paths, list | tuple) and paths else ["the source"]
    first = words.clean(changed[0])
    return first if len(changed) == 1 else f"{first} and {len(changed) - 1} more"


def where_it_broke(tail: object) -> str:
    """Say where a program's last words show an error: `bot/main.py:12: ImportError: no x`.

    Python's tracebacks are understood; of any other language the last line is said as it is.
    """
    lines = [str(line) for line in tail] if isinstance(tail, list | tuple) else []
    last = next((words.clean(line) for line in reversed(lines) if line.strip()), "")
    for line in reversed(lines):
        found = _FRAME.match(line)
        if found and not found["path"].startswith("<"):
            return f"{words.clean(_short(found['path']))}:{found['line']}: {last}"
    return last


def _short(path: str) -> str:
    here = os.getcwd().rstrip("/") + "/"  # noqa: PTH109 - text against text
    return path.removeprefix(here)


def which(snapshot: object) -> str:
    """Return a snapshot's id, from its object or from its id."""
    return words.clean(snapshot.get("id", "") if isinstance(snapshot, dict) else snapshot)


def describe(event: Event) -> str:
    """Say any event in one line, for those that have no words of their own."""
    rest = [
        f"{words.clean(key)}={words.clean(value)}"
        for key, value in event.items()
        if key not in ("t", "bot", "event") and value not in (None, "", [], {})
    ]
    return " ".join([words.clean(event.get("event", "")), *rest])


def _supervisor_started(_bot: str, event: Event) -> list[Line]:
    return info(f"stillhere {get(event, 'version')}, pid {get(event, 'pid')}")


def _supervisor_stopping(_bot: str, _event: Event) -> list[Line]:
    return detail("the supervisor stops")


def _claimed(_bot: str, _event: Event) -> list[Line]:
    return detail("the session's lock is ours")


def _changed(_bot: str, event: Event) -> list[Line]:
    return detail(f"changed: {what_changed(event.get('paths'))}")


def _standby_waiting(_bot: str, event: Event) -> list[Line]:
    return detail(f"generation {get(event, 'generation')} stands by: all is imported")


def _checkpoint_missed(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"generation {get(event, 'generation')} did not answer its checkpoint in time",
        "the session is copied as it is; what the bot had in memory only is not in that copy",
    )


def _activated(_bot: str, event: Event) -> list[Line]:
    return detail(f"generation {get(event, 'generation')} has the session")


def _refused(_bot: str, event: Event) -> list[Line]:
    return bad(
        f"another supervisor (pid {get(event, 'pid') or 'unknown'}) owns this session",
        "it does the work, and session commands reach it; or stop it first",
    )


def _survivors_found(_bot: str, event: Event) -> list[Line]:
    pids = words.names(event.get("pids"))
    return warn(f"an earlier generation still runs (pid {pids}): it is stopped first")


def _survivors_gone(_bot: str, _event: Event) -> list[Line]:
    return info("the earlier generation is gone")


def _watch_degraded(_bot: str, event: Event) -> list[Line]:
    return warn(f"watching is slower than it should be{because(event)}")


def _resumed(_bot: str, _event: Event) -> list[Line]:
    return info("resumed")


def _lost(_bot: str, event: Event) -> list[Line]:
    return warn(f"{get(event, 'count')} events were too many to show")


def _journal_failed(_bot: str, event: Event) -> list[Line]:
    return warn(f"events are not written to disk any more{because(event)}")


def _nothing_to_restore(_bot: str, event: Event) -> list[Line]:
    what = f"SessionManager: nothing to restore{because(event)}"
    if event.get("older"):  # a person is asked, and the link does not end
        return warn(what, get(event, "hint"))
    return warn(what, "next: a QR code, which a person must scan")


def _session_refused(_bot: str, event: Event) -> list[Line]:
    asks = event.get("state") == "pairing"
    what = "the bot asks for a new link" if asks else "the bot says its session is lost"
    if event.get("stranger"):
        return warn(
            f"the session of another device was refused{because(event, 'reason')}",
            "it goes to quarantine, and this link's own device comes back",
        )
    return warn(f"{what}{because(event, 'reason')}: it is stopped before it overwrites it")


def _state_rebuilt(_bot: str, event: Event) -> list[Line]:
    return warn(
        "session-state.json could not be read: rebuilt from the snapshots",
        f"the old one is kept: {get(event, 'aside')}",
    )


def _session_flawed(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"SessionManager: the session does not pass its check{because(event, 'why')}",
        "it ran like that before and was the same device, so it is used as it is",
    )


def _snapshots_away(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"SessionManager: {get(event, 'why')}",
        "mount the store's disk, or put it back; a whole session runs on without it",
    )


def _session_state(_bot: str, event: Event) -> list[Line]:
    return detail(f"session {get(event, 'state')}{because(event, 'reason')}")


def _foreign_session(_bot: str, event: Event) -> list[Line]:
    what = (
        "the session is valid, but another device than before "
        f"({get(event, 'instead_of')}): it was linked again by hand"
    )
    if not event.get("asks"):
        return warn(what)
    return bad(
        what,
        "to go on with it: press r, or stillhere start; to have the one before: "
        "stillhere session snapshots, then session restore --snapshot",
    )


def _adopted(_bot: str, event: Event) -> list[Line]:
    if event.get("instead_of"):
        return warn(
            f"this is another device than before: {get(event, 'identity')}, "
            f"not {get(event, 'instead_of')}",
            "the session is taken as linked anew; what was before is never restored by itself",
        )
    return info(f"SessionManager: adopted the session of device {get(event, 'identity')}")


def _epoch_closed(_bot: str, event: Event) -> list[Line]:
    kept = "the old session is kept in quarantine and never restored; " * bool(
        event.get("quarantined")
    )
    return warn(f"the link has ended{because(event)}", f"{kept}a QR code follows")


def _snapshot_taken(_bot: str, event: Event) -> list[Line]:
    snapshot = words.inner(event, "snapshot")
    text = (
        f"SessionManager: snapshot {words.clean(snapshot.get('id', ''))} taken "
        f"({words.size(snapshot.get('size_bytes'))}, {words.clean(snapshot.get('verdict'))})"
    )
    return info(text) if snapshot.get("reason") == "manual" else detail(text)


def _snapshot_judged(_bot: str, event: Event) -> list[Line]:
    snapshot = event.get("snapshot")
    verdict = words.clean(snapshot.get("verdict")) if isinstance(snapshot, dict) else ""
    text = f"SessionManager: snapshot {which(snapshot)} is {verdict}"
    return warn(text) if verdict == "bad" else detail(text)


def _leftovers_cleared(_bot: str, event: Event) -> list[Line]:
    what = words.listed(event, "what") or ["what a dead browser left was cleared away"]
    return info(*(f"SessionManager: {words.clean(each)}" for each in what))


def _note_failed(_bot: str, event: Event) -> list[Line]:
    return warn(f"SessionManager: the session's record could not be written{because(event)}")


def _sealed(_bot: str, event: Event) -> list[Line]:
    return detail(f"SessionManager: sealed as {which(event.get('snapshot'))}")


def _undecryptable(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"{words.count(event.get('count'), 'message')} could not be decrypted",
        "nothing is restored for that: an older copy reads even less",
        "was one restored by hand? what was before is listed by: stillhere session info",
    )


def _spawned(_bot: str, event: Event) -> list[Line]:
    return detail(f"generation {get(event, 'generation')} started (pid {get(event, 'pid')})")


def _trespass(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"generation {get(event, 'generation')} did not wait for its turn"
        f"{because(event, 'did')}: killed",
        "this restart goes on as a cold one; a standby must not connect before `activate`",
    )


def _late(_bot: str, _event: Event) -> list[Line]:
    return warn("late: not verified in time, still waiting; nothing is restored for that")


def _offline(_bot: str, _event: Event) -> list[Line]:
    return warn("offline: the chat server can't be reached; the session is left as it is")


def _conflict(_bot: str, event: Event) -> list[Line]:
    pids = words.names(event.get("pids"))
    found = (
        f"the other copy is pid {pids}"
        if pids
        else "nobody else has this session open: a copy of it runs, here or on another machine"
    )
    return bad(
        f"conflict: this device is online twice{because(event, 'reason')}",
        f"{found}; stop it, then: stillhere start",
    )


def _verified(_bot: str, event: Event) -> list[Line]:
    device = f": device {get(event, 'identity')}" if event.get("identity") else ""
    return detail(f"verified by {get(event, 'proof')}{device}")


def _ready(_bot: str, event: Event) -> list[Line]:
    return detail(f"generation {get(event, 'generation')} says ready")


def _line_wanted(_bot: str, event: Event) -> list[Line]:
    return detail(f"generation {get(event, 'generation')} waits for a line")


def _spawn_failed(_bot: str, event: Event) -> list[Line]:
    return bad(f"it can't be started{because(event)}")


def _operation_failed(_bot: str, event: Event) -> list[Line]:
    return bad(f"the session was not changed{because(event)}")


def _backoff(_bot: str, event: Event) -> list[Line]:
    return warn(f"starts again in {words.span(event.get('delay_s'))}{because(event)}")


def _failed(bot: str, event: Event) -> list[Line]:
    # No code of the bot's mends that, and a save would begin the fight of two copies anew.
    if get(event, "why").startswith(("session ", "the session ", "another copy ")):
        return bad(f"FAILED{because(event)}", f"next: as said above; then: stillhere start {bot}")
    return bad(
        f"FAILED{because(event)}",
        f"next: stillhere logs {bot}; save a fix, or: stillhere start {bot}",
    )


def _preflight_skipped(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"changed files are not judged before a restart{because(event)}",
        "a save that does not start ends the bot that runs",
    )


def _finished(bot: str, event: Event) -> list[Line]:
    return info(
        f"finished{because(event)}",
        f"next: stillhere start {bot}; one that puts itself into the background must not",
    )


def _down(_bot: str, _event: Event) -> list[Line]:
    return info("stopped")


TELL: dict[str, Teller] = {
    "supervisor_started": _supervisor_started,
    "supervisor_stopping": _supervisor_stopping,
    "claimed": _claimed,
    "changed": _changed,
    "standby_waiting": _standby_waiting,
    "checkpoint_missed": _checkpoint_missed,
    "activated": _activated,
    "refused": _refused,
    "survivors_found": _survivors_found,
    "survivors_gone": _survivors_gone,
    "watch_degraded": _watch_degraded,
    "resumed": _resumed,
    "lost": _lost,
    "journal_failed": _journal_failed,
    "nothing_to_restore": _nothing_to_restore,
    "session_refused": _session_refused,
    "session_state": _session_state,
    "session_flawed": _session_flawed,
    "snapshots_away": _snapshots_away,
    "state_rebuilt": _state_rebuilt,
    "foreign_session": _foreign_session,
    "adopted": _adopted,
    "epoch_closed": _epoch_closed,
    "snapshot_taken": _snapshot_taken,
    "sealed": _sealed,
    "snapshot_judged": _snapshot_judged,
    "leftovers_cleared": _leftovers_cleared,
    "note_failed": _note_failed,
    "undecryptable": _undecryptable,
    "spawned": _spawned,
    "preflight_skipped": _preflight_skipped,
    "trespass": _trespass,
    "late": _late,
    "offline": _offline,
    "conflict": _conflict,
    "verified": _verified,
    "ready": _ready,
    "line_wanted": _line_wanted,
    "spawn_failed": _spawn_failed,
    "operation_failed": _operation_failed,
    "backoff": _backoff,
    "failed": _failed,
    "finished": _finished,
    "down": _down,
}
