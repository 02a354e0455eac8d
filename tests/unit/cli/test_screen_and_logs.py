"""Lines reach their reader in order, and no reader can hold us up."""

import os
import pty
import select
import threading
from pathlib import Path

import pytest
from loguru import logger

from supervisor.cli import logs, qr, words
from supervisor.cli.screen import Screen
from supervisor.cli.tables import pairs, table
from supervisor.cli.tell import Line


def test_what_is_put_is_written_in_order() -> None:
    """To each descriptor, whole, by the time that close returns."""
    reader, writer = os.pipe()
    screen = Screen(lambda: None)
    for number in range(100):
        screen.put(writer, f"{number}\n".encode())
    screen.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read().split() == [str(n) for n in range(100)]


@pytest.mark.parametrize("bound", [{"room": 10}, {"room_bytes": 81_920}])
def test_a_reader_that_stalls_holds_nobody_up(bound: dict[str, int]) -> None:
    """The queue is bounded, close too, and what was lost is said when it goes on."""
    reader, writer = os.pipe()
    screen = Screen(lambda: None, **bound)
    for _ in range(200):
        screen.put(writer, b"x" * 8191 + b"\n")
    screen.close(0.05)
    got = b""
    while b"were too many to show" not in got:
        assert select.select([reader], [], [], 5)[0]
        got += os.read(reader, 65536)
    os.close(reader)
    os.close(writer)


def test_a_lost_reader_is_told_once() -> None:
    """A broken pipe is noticed, once, and later writes are dropped in silence."""
    reader, writer = os.pipe()
    os.close(reader)
    gone = threading.Semaphore(0)
    screen = Screen(gone.release)
    for _ in range(3):
        screen.put(writer, b"x\n")
    assert gone.acquire(timeout=5)
    screen.close()
    assert not gone.acquire(blocking=False)
    os.close(writer)


def test_a_non_blocking_descriptor_loses_nothing() -> None:
    """A bot that shares our terminal may make it non-blocking: we wait instead of failing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    screen = Screen(lambda: None)
    screen.put(writer, b"x" * 300_000)
    got = 0
    while got < 300_000:
        assert select.select([reader], [], [], 5)[0]
        got += len(os.read(reader, 65536))
    screen.close()
    os.close(reader)
    os.close(writer)


def test_the_look_of_a_line() -> None:
    """A console line, a coloured one, a log line, and journald's."""
    assert logs.Look().line("WARNING", "22:00:01", "late") == "22:00:01 late\n"
    assert logs.Look(colours=True).line("WARNING", "22:00:01", "late") == (
        "\x1b[2m22:00:01\x1b[0m \x1b[33mlate\x1b[0m\n"
    )
    log = logs.Look(seconds=False)
    assert log.line("SUCCESS", "T", "ready") == "T INFO    ready\n"
    assert logs.Look(journald=True, seconds=False).line("ERROR", "T", "a\nb") == "<3>a\n<3>b\n"


def test_journald_is_recognized_by_its_stream() -> None:
    """JOURNAL_STREAM counts only for the descriptor that it names."""
    reader, writer = os.pipe()
    found = os.fstat(writer)
    assert logs.to_journald({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}, writer)
    assert not logs.to_journald({"JOURNAL_STREAM": "1:2"}, writer)
    assert not logs.to_journald({}, writer)
    os.close(reader)
    os.close(writer)
    assert not logs.to_journald({"JOURNAL_STREAM": "1:2"}, writer)


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(
    environ: dict[str, str],
    coloured: bool,  # noqa: FBT001 - a parametrized fact
) -> None:
    """NO_COLOR, if it is not empty, and dumb terminals are respected; a pipe has none."""
    master, slave = pty.openpty()
    assert logs.wants_colours(slave, environ) is coloured
    os.close(master)
    os.close(slave)
    reader, writer = os.pipe()
    assert not logs.wants_colours(writer, environ)
    os.close(reader)
    os.close(writer)


def test_loguru_is_the_way_to_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    """Console lines of every weight; details only if wanted; braces are no formats."""
    for details in (True, False):
        screen = Screen(lambda: None)
        logs.set_up(screen, dev=True, details=details)
        logs.tell([Line("detail", "small {x}"), Line("bad", "big {} %s")], {})
        logger.remove()
        screen.close()
        out = capfd.readouterr().out
        assert ("small {x}" in out) is details
        assert "big {} %s\n" in out
    screen = Screen(lambda: None)
    logs.set_up(screen, dev=False, details=True)
    logs.tell([Line("info", "to stderr")], {"event": "x"})
    logger.remove()
    screen.close()
    assert "INFO    to stderr\n" in capfd.readouterr().err


def test_an_exceptions_variables_are_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback of ours shows code, never values: keys and QR codes are among them."""
    screen = Screen(lambda: None)
    logs.set_up(screen, dev=True, details=False)
    secret = "the-" + "secret"
    try:
        int(secret and "x")
    except ValueError as error:
        logger.opt(exception=error).error("failed")
    logger.remove()
    screen.close()
    out = capfd.readouterr().out
    assert "ValueError" in out
    assert "the-secret" not in out


def test_the_code_fits_or_says_what_it_needs() -> None:
    """White on black whatever the theme; on a narrow terminal how wide it has to be."""
    drawn, lines = qr.draw("hello", room=80, colours=True)
    assert drawn
    assert all(line.startswith("\x1b[97;40m") for line in lines)
    drawn, plain = qr.draw("hello", room=80, colours=False)
    assert drawn
    assert not any("\x1b" in line for line in plain)
    assert len(qr.draw("hello", room=24, colours=False)[1][0]) <= 24
    drawn, (why,) = qr.draw("hello", room=10, colours=False)
    assert not drawn
    assert why.startswith("the QR code needs 23 columns, this terminal has 10")
    assert not qr.draw("x" * 5000, room=500, colours=False)[0]


def test_tables_line_up_with_wide_characters() -> None:
    """Columns are measured as a terminal shows them; empty ones are left out."""
    assert table(("A", "B", "C"), [("日本", "", "x"), ("a", "", "y")]) == [
        "A     C",
        "日本  x",
        "a     y",
    ]
    assert table(("A", "B"), []) == ["A  B"]
    assert pairs([("a", "1"), ("long", "2")]) == ["a     1", "long  2"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.214, "0.21 s"), (12, "12 s"), (200, "3 min"), (9000, "2 h"), (500_000, "6 days")],
)
def test_spans(seconds: float, said: str) -> None:
    """A span is said as coarsely as a person would."""
    assert words.span(seconds) == said


def test_sizes_and_ages() -> None:
    """Sizes like `ls -lh` has them; the age of nonsense is unknown."""
    sizes = [words.size(n) for n in (0, 812, 36864, 5 * 1024**2, 3 * 1024**4)]
    assert sizes == ["0 B", "812 B", "36.0 KB", "5.0 MB", "3.0 TB"]
    assert words.age_s("nonsense") is None
    assert words.age_s("2000-01-01T00:00:00Z") is not None


def test_closed_descriptors_are_filled(tmp_path: Path) -> None:
    """Nothing is done where all three are open."""
    before = [os.fstat(fd).st_ino for fd in (0, 1, 2)]
    logs.stand_in_for_closed()
    assert [os.fstat(fd).st_ino for fd in (0, 1, 2)] == before
    assert not list(tmp_path.iterdir())
