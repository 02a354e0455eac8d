"""The console's words about what goes wrong: each says the next step."""

from typing import Any

import pytest

from tests.unit.cli.consolekit import calm, console, event


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


def test_a_change_that_waits_is_said_once_more_later() -> None:
    """`held` speaks for itself where nothing else explained it: a failed snapshot does not."""
    shown = console()
    assert len(calm(shown, event("snapshot_failed", why="No space left on device"))) == 2
    assert calm(shown, event("held", why="a person is pairing", paths=["a.py", "b.py"])) == [
        "a.py and 1 more changed, not applied: a person is pairing",
        "the old bot is still online; the next save or a restart tries again",
    ]


def test_a_restart_by_hand_that_waits_is_no_change() -> None:
    """Nothing was saved, so nothing is said to have changed."""
    told = event("held", why="no snapshot could be taken", paths=[])
    assert calm(console(), told) == [
        "not restarted: no snapshot could be taken",
        "the old bot is still online; the next save or a restart tries again",
    ]


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        (
            event("late", generation=2),
            ["late: not verified in time, still waiting; nothing is restored for that"],
        ),
        (
            event("undecryptable", generation=2, count=3),
            [
                "3 messages could not be decrypted",
                "nothing is restored for that: an older copy reads even less",
                "was one restored by hand? what was before is listed by: stillhere session info",
            ],
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
            event("failed", why="the session is another device's than before"),
            [
                "FAILED: the session is another device's than before",
                "next: as said above; then: stillhere start echo",
            ],
        ),
        (
            event("failed", why="another copy of this device is online (440 replaced)"),
            [
                "FAILED: another copy of this device is online (440 replaced)",
                "next: as said above; then: stillhere start echo",
            ],
        ),
        (
            event("conflict", reason="440 replaced", pids=[]),
            [
                "conflict: this device is online twice: 440 replaced",
                (
                    "nobody else has this session open: a copy of it runs, here or on another"
                    " machine; stop it, then: stillhere start"
                ),
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
            event("session_trouble", why="the packs are away", hint="mount the disk"),
            ["SessionManager: the packs are away", "mount the disk"],
        ),
        (
            event("nothing_to_restore", why="it has no snapshot"),
            [
                "SessionManager: nothing to restore: it has no snapshot",
                "next: a QR code, which a person must scan",
            ],
        ),
        (
            event(
                "nothing_to_restore",
                why="it was tried already",
                older=["s.000008"],
                hint="stillhere session restore s --snapshot 8",
            ),
            [
                "SessionManager: nothing to restore: it was tried already",
                "stillhere session restore s --snapshot 8",
            ],
        ),
        (
            event("failed", why="session s can't be restored: it was tried already"),
            [
                "FAILED: session s can't be restored: it was tried already",
                "next: as said above; then: stillhere start echo",
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
            event("epoch_closed", why="it is gone", quarantined=None),
            ["the link has ended: it is gone", "a QR code follows"],
        ),
        (
            event("snapshots_away", why="the snapshots up to 8 are not there"),
            [
                "SessionManager: the snapshots up to 8 are not there",
                "mount the store's disk, or put it back; a whole session runs on without it",
            ],
        ),
        (
            event("epoch_closed", why="401 device removed", quarantined="971.20261124T220000Z"),
            [
                "the link has ended: 401 device removed",
                "the old session is kept in quarantine and never restored; a QR code follows",
            ],
        ),
        (
            event("refused", pid=44),
            [
                "another supervisor (pid 44) owns this session",
                "it does the work, and session commands reach it; or stop it first",
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
        (
            event("hang", generation=1, why="no WATCHDOG=1 for 11.0 s"),
            [
                "it hangs: no WATCHDOG=1 for 11.0 s; its session is copied, then it is restarted",
            ],
        ),
        (
            event("limit", generation=1, why="it uses 120 MB"),
            ["it uses too much: it uses 120 MB; it is restarted in good order"],
        ),
        (
            event("notify_strangers", count=2),
            [
                "2 messages to its notify socket came from no process of the bot: ignored",
                "one that ends at once is gone before it is looked up; systemd-notify waits",
            ],
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


def test_a_standby_that_the_next_save_replaced_is_no_news() -> None:
    """Twenty saves are one line; once it has the session, its end is told."""
    shown = console()
    gone = event("exited", generation=2, status=0, signal=9, uptime_s=0.1)
    spawned = event("spawned", generation=2, pid=7, mode="standby")
    assert calm(shown, spawned, gone) == []
    assert calm(shown, spawned, event("activated", generation=2), gone) == [
        "generation 2 exited with signal 9 after 0.10 s"
    ]
