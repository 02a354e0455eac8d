"""The console's words, line by line, as a person reads them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.cli.console import Console


def event(kind: str, bot: str | None = "echo", **fields: Any) -> dict[str, Any]:
    """Return a journal event."""
    return {"t": "2026-11-24T22:00:00.000Z", "bot": bot, "event": kind, **fields}


def console(**more: Any) -> Console:
    """Return the console of the shipped config: one bot and its companion."""
    return Console({"server": None, "echo": "971505760056"}, scan={"echo": "make scan"}, **more)


def calm(shown: Console, *events: dict[str, Any]) -> list[str]:
    """Return what a person sees on a terminal."""
    return [line.text for e in events for line in shown.lines(e) if line.weight != "detail"]


def restarted(**fields: Any) -> dict[str, Any]:
    """Return the event of a good restart, with some fields different."""
    record = {
        "generation": 2,
        "reason": "change",
        "changed": ["bot/main.py"],
        "mode": "standby",
        "verified": True,
        "proof": "roundtrip",
        "late": False,
        "save_to_ready_s": 0.3141,
        "gap_s": 0.0712,
        **fields,
    }
    return event("restarted", record=record)


CHECKED: dict[str, Any] = {
    "verdict": "passed",
    "files": 2,
    "size_bytes": 36864,
    "epoch": 1,
    "snapshots": 5,
}


def test_the_start_tells_its_story() -> None:
    """Found, restore not needed, ready: the words that a grep looks for."""
    assert calm(
        console(),
        event("supervisor_started", None, pid=812, version="0.1.0"),
        event("claimed"),
        event("session_checked", **CHECKED),
        event("spawned", generation=1, pid=900, mode="cold"),
        event("session_state", generation=1, state="restored", identity="d1", reason=""),
        event("ready", generation=1),
        event("verified", generation=1, proof="roundtrip", identity="d1", late=False),
        restarted(reason="start", changed=[], save_to_ready_s=0.2149, gap_s=None),
    ) == [
        "stillhere 0.1.0, pid 812",
        "SessionManager: session-971505760056 found: 2 files, 36.0 KB, epoch 1, 5 snapshots",
        "SessionManager: restore not needed: the live session passed its check",
        "ready in 0.21 s: same device (roundtrip)",
    ]


def test_a_restart_is_one_line() -> None:
    """All the steps of a good restart are one line on a terminal; its details say the words."""
    shown = console()
    steps = [
        event("changed", paths=["bot/main.py"]),
        event("spawned", generation=2, pid=901, mode="standby"),
        event("standby_waiting", generation=2),
        event("snapshot_taken", snapshot={"id": "s7", "reason": "stop", "size_bytes": 1}),
        event("stopping", generation=1, why=""),
        event("exited", generation=1, status=0, signal=None, uptime_s=9.0),
        event("sealed", snapshot="s8"),
        event("activated", generation=2),
        event("ready", generation=2),
        event("verified", generation=2, proof="roundtrip", identity="d1"),
        restarted(),
    ]
    line = "bot/main.py changed -> back in 0.31 s, offline 0.07 s, same device (roundtrip)"
    assert calm(shown, *steps) == [line]
    details = shown.render(restarted())
    assert details == [
        "SessionManager: session-971505760056: restore not needed, ready in 0.31 s (standby)",
        line,
    ]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"changed": ["main.py", *"abcdefghijkl"]},
            "main.py and 12 more changed"  # noqa: ISC004 - one line of the console
            " -> back in 0.31 s, offline 0.07 s, same device (roundtrip)",
        ),
        (
            {"proof": "identity"},
            "bot/main.py changed -> back in 0.31 s, offline 0.07 s, same device (identity)",
        ),
        (
            {"proof": "ready"},
            "bot/main.py changed -> back in 0.31 s, offline 0.07 s, device not proved",
        ),
        (
            {"proof": None, "verified": False, "late": True},
            "bot/main.py changed -> back in 0.31 s, offline 0.07 s, not verified, late",
        ),
        (
            {"late": True},
            "bot/main.py changed -> back in 0.31 s, offline 0.07 s, same device (roundtrip), late",
        ),
        (
            {"reason": "manual", "changed": []},
            "restarted by hand -> back in 0.31 s, offline 0.07 s, same device (roundtrip)",
        ),
        (
            {"reason": "crash", "save_to_ready_s": None, "gap_s": None},
            "crashed -> back, same device (roundtrip)",
        ),
        ({"reason": "hang"}, "hung -> back in 0.31 s, offline 0.07 s, same device (roundtrip)"),
    ],
)
def test_how_a_restart_went(fields: dict[str, Any], line: str) -> None:
    """Each reason and each proof has its words; what is not known is not said."""
    assert calm(console(), restarted(**fields)) == [line]


def test_a_companion_has_no_device() -> None:
    """A companion's lines carry its name, and speak of no session."""
    companion = {**restarted(proof="ready", reason="start"), "bot": "server"}
    assert calm(console(), companion) == ["server: ready in 0.31 s"]


def test_names_are_said_only_when_several_bots_speak() -> None:
    """Two bots with sessions: each line says whose it is; an only companion needs no name."""
    two = Console({"a": "1", "b": "2"})
    assert calm(two, event("late", "b"))[0].startswith("b: late")
    assert two.name("a") == "a"
    assert Console({"server": None}).name("server") == ""
    assert console().name("echo") == ""
    assert console().name("server") == "server"


def test_a_failed_preflight_says_where_and_that_the_old_bot_stays() -> None:
    """File, line and text; then `held` adds nothing."""
    errors = [
        {"path": "bot/main.py", "line": 12, "text": "SyntaxError: invalid syntax"},
        {"path": "bot/x.py", "line": None, "text": "not UTF-8"},
    ]
    assert calm(
        console(),
        event("preflight_failed", errors=errors),
        event("held", why="it does not compile", paths=["bot/main.py"]),
    ) == [
        "bot/main.py:12: SyntaxError: invalid syntax",
        "bot/x.py: not UTF-8",
        "the old bot is still online; save the fix to go on",
    ]


def test_a_standby_that_fails() -> None:
    """New code that dies before its turn: why, and that the old bot stays."""
    assert calm(
        console(),
        event("standby_failed", generation=4, why="it exited with status 1: ImportError: no x"),
        event("held", why="the new code does not start", paths=["a.py"]),
    ) == [
        "the new code does not start: it exited with status 1: ImportError: no x",
        "the old bot is still online; save the fix to go on",
    ]


def test_where_the_new_code_broke() -> None:
    """A Python traceback gives file and line; other last words are said as they are."""
    traceback = [
        "Traceback (most recent call last):",
        '  File "<frozen runpy>", line 198, in _run_module_as_main',
        '  File "/p/bot/main.py", line 12, in <module>',
        "    import nothing",
        "ModuleNotFoundError: No module named 'nothing'",
    ]
    why = "it exited with status 1"
    for tail, said in (
        (traceback, "/p/bot/main.py:12: ModuleNotFoundError: No module named 'nothing'"),
        (["Error: Cannot find module 'x'", ""], "Error: Cannot find module 'x'"),
    ):
        told = event("standby_failed", generation=4, why=why, tail=tail)
        assert calm(console(), told)[1] == said


def test_a_restore_that_was_not_needed() -> None:
    """A person's `session restore` of a whole session says that nothing was done."""
    what = "restore not needed: the live session passed its check"
    assert calm(console(), event("session_restored", action="kept", snapshot=None)) == [
        f"SessionManager: session-971505760056: {what}"
    ]


def test_a_missing_session_is_not_a_new_one() -> None:
    """Linked and gone: it comes back. Never linked, or cleared: nothing to restore."""
    missing: dict[str, Any] = {"verdict": "absent", "snapshots": 5}
    assert calm(console(), event("session_checked", linked=True, **missing)) == [
        "SessionManager: session-971505760056 is missing, 5 snapshots kept: restore follows"
    ]
    assert calm(console(), event("session_checked", linked=False, **missing)) == [
        "SessionManager: session-971505760056 is not linked: nothing to restore"
    ]


def test_a_change_that_waits_is_said_once_more_later() -> None:
    """`held` speaks for itself where nothing else explained it: a failed snapshot does not."""
    shown = console()
    assert len(calm(shown, event("snapshot_failed", why="No space left on device"))) == 2
    assert calm(shown, event("held", why="a person is pairing", paths=["a.py", "b.py"])) == [
        "a.py and 1 more changed, not applied: a person is pairing",
        "the old bot is still online; the next save or a restart tries again",
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
        "chats that moved on since may show Bad MAC; the damaged session is kept in q1",
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


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        (
            event("late", generation=2),
            ["late: not verified in time, still waiting; nothing is restored for that"],
        ),
        (
            event("offline"),
            ["offline: the chat server can't be reached; the session is left as it is"],
        ),
        (event("backoff", delay_s=2.0, why="status 1"), ["starts again in 2.00 s: status 1"]),
        (
            event("failed", why="it crashed 6 times in 60 s"),
            [
                "FAILED: it crashed 6 times in 60 s",
                "next: stillhere logs echo; save a fix, or: stillhere start echo",
            ],
        ),
        (
            event("conflict", reason="440 replaced", pids=[7, 8]),
            [
                "conflict: this device is online twice: 440 replaced",
                "the other copy is pid 7, 8; stop it, then: stillhere start",
            ],
        ),
        (
            event("nothing_to_restore", why="it has no snapshot"),
            [
                "SessionManager: nothing to restore: it has no snapshot",
                "next: a QR code, which a person must scan",
            ],
        ),
        (
            event("trespass", generation=3, did="connecting"),
            [
                "generation 3 did not wait for its turn: connecting: killed",
                "this restart goes on as a cold one; a standby must not connect before `activate`",
            ],
        ),
        (
            event("exited", generation=4, status=None, signal=9, uptime_s=3.2),
            ["generation 4 exited with signal 9 after 3.20 s"],
        ),
        (
            event("epoch_closed", why="401 device removed"),
            [
                "the link has ended: 401 device removed",
                "the old session is kept in quarantine and never restored; a QR code follows",
            ],
        ),
        (
            event("refused", pid=44),
            [
                "another supervisor (pid 44) owns this session",
                "it does the work, and all commands reach it; or stop it first",
            ],
        ),
        (
            event("paused"),
            ["paused: changes are collected, not acted on; stillhere resume goes on"],
        ),
        (
            event(
                "snapshot_taken",
                snapshot={
                    "id": "s9",
                    "reason": "manual",
                    "size_bytes": 36864,
                    "verdict": "pending",
                },
            ),
            ["SessionManager: snapshot s9 taken (36.0 KB, pending)"],
        ),
    ],
)
def test_each_trouble_says_the_next_step(told: dict[str, Any], lines: list[str]) -> None:
    """One or two lines each."""
    assert calm(console(), told) == lines


def test_an_exit_that_was_asked_for_is_no_news() -> None:
    """Only an exit that nobody asked for is shown."""
    shown = console()
    gone = event("exited", generation=1, status=0, signal=None, uptime_s=1)
    assert calm(shown, event("stopping", generation=1, why=""), gone) == []
    assert calm(shown, gone) != []


def test_a_proof_without_a_device_names_none() -> None:
    """A companion, or a bot that only says that it is ready."""
    shown = console().render(event("verified", generation=1, proof="ready", identity=""))
    assert shown == ["verified by ready"]


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


def test_a_standby_that_the_next_save_replaced_is_no_news() -> None:
    """Twenty saves are one line; once it has the session, its end is told."""
    shown = console()
    gone = event("exited", generation=2, status=0, signal=9, uptime_s=0.1)
    spawned = event("spawned", generation=2, pid=7, mode="standby")
    assert calm(shown, spawned, gone) == []
    assert calm(shown, spawned, event("activated", generation=2), gone) == [
        "generation 2 exited with signal 9 after 0.10 s"
    ]


def test_what_comes_from_outside_cannot_move_the_cursor() -> None:
    """A reason with escape sequences or line breaks is shown as text on one line."""
    (first, _) = calm(console(), event("conflict", reason="x\x1b[2J\ny\u202e", pids=[]))
    assert first == "conflict: this device is online twice: x?[2J y?"


def test_an_unknown_event_is_a_detail() -> None:
    """Events of a later version are shown as they are, in logs."""
    shown = console()
    assert shown.render(event("brand_new", x=1)) == ["brand_new x=1"]
    assert calm(shown, event("brand_new", x=1)) == []


_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_FIELDS = [
    *("why", "generation", "paths", "errors", "snapshot", "record", "pids", "age_s", "reason"),
    *("size_bytes", "verdict", "uptime_s", "tail", "snapshots", "count", "files", "state"),
]
_RECORD = st.dictionaries(st.sampled_from([*restarted()["record"]]), _VALUE)
_ERRORS = st.lists(st.dictionaries(st.sampled_from(["path", "line", "text"]), _VALUE), max_size=2)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(console()._told)),
    st.dictionaries(st.sampled_from(_FIELDS), _VALUE | _RECORD | _ERRORS),
)
def test_no_event_is_wide_or_breaks_it(kind: str, fields: dict[str, Any]) -> None:
    """Whatever an event's fields hold, each of its lines is one printable line."""
    for line in console().render(event(kind, **fields)):
        assert line.isprintable()


def test_a_bot_that_asks() -> None:
    """With keys: which one to press. Without: what it waits for."""
    asks = event("line_wanted", generation=1)
    pressed = calm(console(has_keys=True), asks)
    assert pressed == ["the bot asks for a line: press i, type it, Enter"]
    assert calm(console(), asks) == ["the bot asks for a line on its standard input"]


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
