"""The console's words about a session: its check, restores, links, snapshots and drills."""

from typing import Any

from supervisor.cli.console import Console
from tests.unit.cli.consolekit import calm, console, event, restarted


def test_a_restore_that_was_not_needed() -> None:
    """A person's `session restore` of a whole session says that nothing was done."""
    what = "restore not needed: the live session passed its check"
    assert calm(console(), event("session_restored", action="kept", snapshot=None)) == [
        f"SessionManager: session-971505760056: {what}"
    ]


def test_a_missing_session_is_not_a_new_one() -> None:
    """Linked and gone: it comes back, and who wanted that is told how. Never linked: nothing to."""
    missing: dict[str, Any] = {"verdict": "absent", "snapshots": 5}
    assert calm(console(), event("session_checked", linked=True, **missing)) == [
        "SessionManager: session-971505760056 is missing, 5 snapshots kept: restore follows",
        "removed on purpose, to link it anew? then: stillhere session clear 971505760056",
    ]
    assert calm(console(), event("session_checked", linked=False, **missing)) == [
        "SessionManager: session-971505760056 is not linked: nothing to restore"
    ]


def test_a_restore_says_age_and_cost() -> None:
    """Damaged, restored from which snapshot, how old, what it may cost, where the rest is."""
    shown = console()
    assert calm(
        shown,
        event("session_checked", verdict="damaged", why="session.db is empty", snapshots=5),
        event(
            "session_restored",
            snapshot={"id": "s7"},
            age_s=200,
            duration_s=0.123,
            quarantined="q1",
        ),
    ) == [
        "SessionManager: session-971505760056 is damaged: session.db is empty: restore follows",
        "SessionManager: restore done in 0.12 s: session-971505760056 from s7, 3 min old",
        "chats that moved on since may show Bad MAC; the session before is kept in q1",
    ]


def test_a_new_session_and_its_qr_code() -> None:
    """Nothing to restore, a QR code, how to scan it, linked, how to talk to it; each said once."""
    shown = console()
    assert calm(
        shown,
        event("session_checked", verdict="absent", files=0, size_bytes=0, snapshots=0),
        event("pairing", generation=1),
        event("pairing", generation=1),
        event("linked", generation=1, identity="d1"),
        restarted(reason="start", save_to_ready_s=1.0, gap_s=None),
        restarted(),
    ) == [
        "SessionManager: session-971505760056 is not linked: nothing to restore",
        "QR code needed: a person must link this device",
        "scan it in another terminal: make scan",
        "linked: device d1 (talk to it: make chat)",
        "ready in 1.00 s: new device (roundtrip)",
        "bot/main.py changed -> back in 0.31 s, offline 0.07 s, same device (roundtrip)",
    ]


def test_a_qr_code_that_nobody_draws_names_the_command() -> None:
    """Into a pipe: how to see it. A bot of one's own: how it is scanned."""
    shown = Console({"mine": "1"}, shows_qr=False)
    assert calm(shown, event("pairing", "mine", generation=1)) == [
        "QR code needed: a person must link this device",
        "scan it on the phone: Linked devices",
        "to see it, in a terminal: stillhere link mine",
    ]


def test_another_device_is_never_called_the_same() -> None:
    """The bot may log in with what it likes; who it was is said, and who it is."""
    shown = console()
    record = {"reason": "start", "verified": True, "proof": "identity"}
    started = event("restarted", record=record)
    assert calm(shown, event("adopted", identity="8", instead_of="7"), started) == [
        "this is another device than before: 8, not 7",
        "the session is taken as linked anew; what was before is never restored by itself",
        "ready: another device (identity)",
    ]
    assert calm(shown, event("adopted", identity="8", instead_of=""), started) == [
        "SessionManager: adopted the session of device 8",
        "ready: same device (identity)",
    ]


def test_what_the_rounds_found_is_said_when_it_matters() -> None:
    """All is well: for the log. Otherwise what is lost, and what to do."""
    checked: dict[str, Any] = {"snapshots": 7, "restorable": 7, "damaged": [], "duration_s": 0.5}
    assert calm(console(), event("snapshots_checked", **checked, asked=False)) == []
    passed = event("drill_passed", snapshot="s7", duration_s=0.5, bytes=36864)
    assert calm(console(), passed) == []
    assert console().render(passed) == [
        "SessionManager: restore drill passed in 0.50 s: s7 (36.0 KB)"
    ]
    said = "SessionManager: 7 snapshots read back from the disk in 0.50 s, 7 restorable"
    assert calm(console(), event("snapshots_checked", **checked, asked=True)) == [said]
    worse = {**checked, "restorable": 6, "damaged": ["s6"]}
    assert calm(console(), event("snapshots_checked", **worse)) == [
        "SessionManager: 7 snapshots read back from the disk in 0.50 s, 6 restorable",
        "no good copies any more: s6",
        "the next snapshot stores what is live again; see: stillhere session check",
    ]
    assert calm(
        console(),
        event("drill_failed", snapshot="s7", why="a.pack ends early", hint="do this"),
        event("drill_skipped", snapshot="s7", why="it needs 9 MB", hint="make room"),
        event("check_failed", why="in use"),
    ) == [
        "SessionManager: the restore drill failed: the newest good snapshot can't be brought back",
        "snapshot s7: a.pack ends early",
        "do this",
        "SessionManager: no restore drill of s7: it needs 9 MB",
        "make room",
        "SessionManager: the snapshots could not be checked: in use",
        "it is tried again in an hour",
    ]


def test_long_work_says_how_far_it_is() -> None:
    """In the unit that fits, with thousands apart."""
    far = event(
        "session_progress",
        doing="reading snapshot 3 of 12",
        done_bytes=340 << 20,
        total_bytes=1 << 30,
    )
    line = "SessionManager: reading snapshot 3 of 12: 340 of 1,024 MB"
    assert calm(console(), far) == [line]
