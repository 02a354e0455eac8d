"""The console's words, line by line, as a person reads them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.cli.console import Console
from tests.unit.cli.consolekit import CHECKED, calm, console, event, restarted


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


def test_a_bots_name_cannot_command_the_terminal() -> None:
    """Whoever wrote the file of the events: a name is a word, and no control character."""
    for name in ("\x1b[2J", "\ud800", "a\x00b"):
        for line in console().render(event("activated", name, generation=1)):
            assert line.isprintable(), ascii(line)


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


def test_a_proof_without_a_device_names_none() -> None:
    """A companion, or a bot that only says that it is ready."""
    shown = console().render(event("verified", generation=1, proof="ready", identity=""))
    assert shown == ["verified by ready"]


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


def test_an_event_of_another_program_does_nothing_to_a_terminal() -> None:
    """Neither do its values nor what it calls them, and no number is too long for it."""
    (line,) = console().render(event("of_another", **{"ke\x1by\x7f": "\x1b[2J", "half": "\udcff"}))
    assert line.isprintable()
    huge = 10**400
    told = [
        event("backoff", delay_s=huge),
        event("drill_passed", duration_s=huge, bytes=huge),
        event("upgraded", duration_s=huge),
        event("session_progress", doing="it", done_bytes=huge, total_bytes=huge),
    ]
    for each in told:
        assert console().render(each)
