"""`dev` and `run` on a real terminal: keys, signals, job control, and ends that hang nothing."""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.unit.cli.terminal import BASH, PROGRAM, ROOT, WAIT_S, Terminal, state, wait_gone

Piped = subprocess.Popen[bytes]
pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash, for job control")


def test_keys_reach_the_supervisor_and_q_quits(tmp_path: Path) -> None:
    """r, s, p (and p again) without Enter; q stops in good order; the mode is given back."""
    with Terminal(tmp_path) as terminal:
        assert not terminal.raw()
        terminal.dev()
        terminal.wait("stillhere 1.2.3, pid ")
        terminal.wait("keys: r restart, s snapshot, p pause, q quit")
        terminal.wait("the bot is up dev=True bots=None")
        assert terminal.raw()
        terminal.send("r")
        terminal.wait("asked restart [('bot', None)]")
        terminal.send("p")
        terminal.wait("paused")
        terminal.send("P")
        terminal.wait("asked resume")
        terminal.wait("resumed")
        terminal.send("s")
        terminal.wait("asked session")
        terminal.wait("no snapshot could be taken")
        terminal.wait("look at the disk")
        terminal.send("q")
        terminal.wait("asked to stop hurry=False")
        terminal.wait("the bot said goodbye")
        terminal.wait("ready> ")
        assert not terminal.raw()
        terminal.send("echo code=$?\n")
        terminal.wait("code=0")


def test_a_line_for_the_bot(tmp_path: Path) -> None:
    """`i`, the line, Enter; Ctrl-C takes back the line and stops nothing, and so does Ctrl-Z."""
    with Terminal(tmp_path) as terminal:
        terminal.dev()
        terminal.wait("q quit, i a line to the bot")
        terminal.wait("the bot is up")
        terminal.send("i")
        terminal.wait("then Enter; Ctrl-C: nothing is sent")
        assert not terminal.raw()
        terminal.send("quit it\x7f\x7f\x7f\n")
        terminal.wait("asked input [('bot', ")
        terminal.wait(", ('line', 'quit'), ('wait', False)]")
        assert terminal.raw()
        terminal.send("i")
        terminal.wait("then Enter")
        terminal.send("qqq\x03")
        terminal.wait("nothing was sent to")
        terminal.send("i")
        terminal.wait("then Enter")
        terminal.send("qqq\x1a")
        terminal.wait("nothing was sent to")
        terminal.wait("Stopped")
        terminal.send("fg\n")
        terminal.wait("back after")
        assert terminal.raw()
        terminal.send("r")
        terminal.wait("asked restart")
        assert "asked to stop" not in terminal.seen
        terminal.send("q")
        terminal.wait("asked to stop hurry=False")
        terminal.wait("ready> ")
        assert not terminal.raw()


def test_ctrl_c_stops_in_good_order_and_twice_at_once(tmp_path: Path) -> None:
    """The first one says what the second one does."""
    with Terminal(tmp_path, FAKE="hang") as terminal:
        terminal.dev()
        terminal.wait("the bot is up")
        terminal.send("\x03")
        terminal.wait("stopping all bots in good order; Ctrl-C again: at once")
        terminal.wait("asked to stop hurry=False")
        terminal.send("\x03")
        terminal.wait("asked to stop hurry=True")
        terminal.wait("ready> ")
        assert not terminal.raw()


def test_what_is_typed_while_it_stops_does_nothing(tmp_path: Path) -> None:
    """After q a person types the next command; its letters are no keys."""
    with Terminal(tmp_path, FAKE="hang") as terminal:
        terminal.dev()
        terminal.wait("the bot is up")
        terminal.send("q")
        terminal.wait("asked to stop hurry=False")
        terminal.send("clear; pip\n")
        # Signals, not keys: the terminal throws away what is typed before a Ctrl-C.
        os.kill(terminal.pid(), signal.SIGINT)
        terminal.wait("Ctrl-C again: at once")
        os.kill(terminal.pid(), signal.SIGINT)
        terminal.wait("asked to stop hurry=True")
        terminal.wait("ready> ")
        assert "asked restart" not in terminal.seen
        assert "asked pause" not in terminal.seen
        assert "a line for" not in terminal.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_in_good_order(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and SIGHUP are graceful, and the terminal's mode comes back."""
    with Terminal(tmp_path) as terminal:
        terminal.dev()
        terminal.wait("the bot is up")
        os.kill(terminal.pid(), number)
        terminal.wait("asked to stop hurry=False")
        terminal.wait("the bot said goodbye")
        terminal.wait("ready> ")
        assert not terminal.raw()


def test_ctrl_z_and_fg(tmp_path: Path) -> None:
    """Ctrl-Z gives the shell its terminal; `fg` brings keys and console back."""
    with Terminal(tmp_path) as terminal:
        terminal.dev()
        terminal.wait("the bot is up")
        terminal.send("\x1a")
        terminal.wait("suspended: the bots go on")
        terminal.wait("Stopped")
        terminal.wait("ready> ")
        assert not terminal.raw()
        assert state(terminal.pid()) == "T"
        terminal.send("fg\n")
        terminal.wait("back after")
        terminal.send("r")
        terminal.wait("asked restart")
        assert terminal.raw()
        terminal.send("\x1a")
        terminal.wait("Stopped")
        terminal.send("bg\n")
        terminal.wait("back after")
        # In the background what is typed is the shell's, and nothing stops us.
        terminal.send("echo r-$((40+2))\n")
        terminal.wait("r-42")
        assert state(terminal.pid()) in ("S", "R")
        terminal.send("fg\n")
        terminal.wait("fake_dev.py")
        terminal.send("q")
        terminal.wait("the bot said goodbye")
        terminal.wait("ready> ")
        assert not terminal.raw()


def test_a_sigstop_behind_our_back(tmp_path: Path) -> None:
    """Stopped without a chance to give the terminal back: `fg` sets our mode again."""
    with Terminal(tmp_path) as terminal:
        terminal.dev()
        terminal.wait("the bot is up")
        os.kill(terminal.pid(), signal.SIGSTOP)
        terminal.wait("Stopped")
        terminal.send("stty sane\n")
        terminal.wait("ready> ")
        terminal.send("fg\n")
        terminal.wait("fake_dev.py")
        terminal.send("r")
        terminal.wait("asked restart")
        terminal.send("q")
        terminal.wait("the bot said goodbye")
        terminal.wait("ready> ")
        assert not terminal.raw()


def test_started_in_the_background(tmp_path: Path) -> None:
    """`dev &`, even with `stty tostop`, is not stopped; after `fg` it has its keys."""
    with Terminal(tmp_path) as terminal:
        terminal.send("stty tostop; python_is=1\n")
        terminal.wait("ready> ")
        terminal.dev("dev -- python bot.py &")
        terminal.wait("the bot is up")
        assert state(terminal.pid()) in ("S", "R")
        assert not terminal.raw()
        terminal.send("fg\n")
        terminal.wait("fake_dev.py dev")
        terminal.send("r")
        terminal.wait("asked restart")
        terminal.send("q")
        terminal.wait("goodbye")


def test_a_closed_terminal_hangs_nothing(tmp_path: Path) -> None:
    """The terminal goes away: all is stopped, the process ends."""
    with Terminal(tmp_path) as terminal:
        terminal.dev()
        terminal.wait("the bot is up")
        pid = terminal.pid()
        terminal.hang_up()
        wait_gone(pid)


def test_a_closed_terminal_without_its_signal(tmp_path: Path) -> None:
    """With SIGHUP ignored (nohup, disown) the read error alone is enough."""
    with Terminal(tmp_path) as terminal:
        terminal.send("trap '' HUP\n")
        terminal.wait("ready> ")
        terminal.dev()
        terminal.wait("the bot is up")
        pid = terminal.pid()
        terminal.hang_up()
        wait_gone(pid)


def test_a_stopped_output_hangs_nothing(tmp_path: Path) -> None:
    """Ctrl-S while the bot writes without end: SIGTERM still stops all, in bounded time."""
    with Terminal(tmp_path, FAKE="flood") as terminal:
        terminal.dev()
        terminal.wait("the bot is up")
        pid = terminal.pid()
        # Nobody reads the terminal from here on: its buffer fills up, as after Ctrl-S.
        os.kill(pid, signal.SIGTERM)
        wait_gone(pid)


def test_a_bug_gives_the_terminal_back(tmp_path: Path) -> None:
    """One line, no traceback; where it is kept; exit code 1; the mode restored."""
    with Terminal(tmp_path, FAKE="crash") as terminal:
        terminal.dev()
        terminal.wait("error: unexpected: RuntimeError: a bug of ours")
        terminal.wait("the traceback is in ")
        path = Path(terminal.wait(".txt").strip())
        terminal.wait("ready> ")
        assert not terminal.raw()
        assert "Traceback" not in terminal.seen
        assert "a bug of ours" in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        terminal.send("echo code=$?\n")
        terminal.wait("code=1")


def test_a_refusal_is_an_error_and_a_hint(tmp_path: Path) -> None:
    """What the supervisor refuses ends in two lines and exit code 1."""
    with Terminal(tmp_path, FAKE="busy") as terminal:
        terminal.dev()
        terminal.wait("error: another supervisor (pid 7) already runs")
        terminal.wait("hint: stop it first")
        terminal.wait("ready> ")
        assert not terminal.raw()


def test_the_qr_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    """Drawn, never written as text; on a narrow terminal it is said what is missing."""
    with Terminal(tmp_path, FAKE="pair") as terminal:
        terminal.dev()
        terminal.wait("QR code needed")
        terminal.wait("▀")
        assert "the-secret-payload" not in terminal.seen
        terminal.send("q")
        terminal.wait("ready> ")
        terminal.send("stty cols 20\n")
        terminal.wait("ready> ")
        terminal.dev()
        terminal.wait("make it wider")
        terminal.send("q")
        terminal.wait("ready> ")


def test_no_color_is_respected(tmp_path: Path) -> None:
    """With NO_COLOR nothing that we write is coloured; without, it is."""
    for environ, coloured in (({"NO_COLOR": "1"}, False), ({}, True), ({"TERM": "dumb"}, False)):
        with Terminal(tmp_path, FAKE="pair", **environ) as terminal:
            terminal.dev()
            terminal.wait("the bot is up")
            terminal.send("q")
            terminal.wait("goodbye")
            assert bool(re.search(r"\x1b\[[0-9;]*m", terminal.seen)) is coloured


@contextmanager
def _process(folder: Path, words: Sequence[str], **more: str) -> Iterator[Piped]:
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _piped(folder: Path, command: str, **more: str) -> AbstractContextManager[Piped]:
    return _process(folder, [str(PROGRAM), *command.split()], **more)


def _read_until(process: Piped, text: bytes) -> bytes:
    assert process.stdout is not None
    got = b""
    while text not in got:
        assert select.select([process.stdout], [], [], WAIT_S)[0], got
        data = os.read(process.stdout.fileno(), 65536)
        assert data, got
        got += data
    return got


def test_into_a_pipe_there_are_no_keys_no_colours_no_qr(tmp_path: Path) -> None:
    """`dev | grep`: plain lines, the QR only by `stillhere link`; SIGTERM ends it."""
    with _piped(tmp_path, "dev -- python bot.py", FAKE="pair") as process:
        got = _read_until(process, b"the bot is up")
        process.terminate()
        got += _read_until(process, b"goodbye")
        assert process.wait(WAIT_S) == 0
    assert b"to see it, in a terminal: stillhere link" in got
    assert "▀".encode() not in got
    assert b"\x1b" not in got
    assert b"keys:" not in got


def test_a_broken_pipe_stops_dev(tmp_path: Path) -> None:
    """`dev | head -1` stops all and ends."""
    with _piped(tmp_path, "dev -- python bot.py", FAKE="flood") as process:
        _read_until(process, b"the bot is up")
        assert process.stdout is not None
        process.stdout.close()
        process.wait(WAIT_S)


class _Notes:
    """What the fake writes into a FIFO."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        # Also for writing: so it has no end between two writers.
        self._handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def read(self) -> str:
        assert select.select([self._handle], [], [], WAIT_S)[0]
        return os.read(self._handle, 3).decode()

    def close(self) -> None:
        os.close(self._handle)


def test_a_broken_pipe_does_not_stop_a_service(tmp_path: Path) -> None:
    """A service whose log's reader died goes on, thousands of lines later."""
    (tmp_path / "config.toml").write_text('[bot.echo]\ncommand = ["python", "bot.py"]\n')
    notes = _Notes(tmp_path / "note")
    with _piped(tmp_path, "run", FAKE="flood", NOTE=str(tmp_path / "note")) as process:
        _read_until(process, b"the bot is up")
        assert process.stdout is not None
        process.stdout.close()
        assert [notes.read() for _ in range(3)] == ["on\n"] * 3
        process.terminate()
        assert process.wait(WAIT_S) == 0
    notes.close()


def test_closed_descriptors_are_no_key_no_busy_loop_and_no_file(tmp_path: Path) -> None:
    """With fd 0, 1 and 2 closed nothing is read, and no file of ours gets console lines."""
    code = (
        "import os,sys\nfor fd in (0,1,2):\n os.close(fd)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    notes = _Notes(tmp_path / "note")
    words = ["-c", code, str(PROGRAM), "dev", "--", "python", "bot.py"]
    with _process(tmp_path, words, FAKE="count", NOTE=str(tmp_path / "note")) as process:
        assert int(notes.read()) < 50
        links = [str(Path(f"/proc/{process.pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)]
        assert links == ["/dev/null"] * 3
        process.terminate()
        assert process.wait(WAIT_S) == 0
    notes.close()


def test_run_writes_lines_with_level_and_time_to_stderr(tmp_path: Path) -> None:
    """For a plain log file: RFC 3339 UTC, level, text; the bots' lines as they are."""
    (tmp_path / "config.toml").write_text('[bot.echo]\ncommand = ["python", "bot.py"]\n')
    with _piped(tmp_path, "run") as process:
        got = _read_until(process, b"the bot is up dev=False")
        process.terminate()
        got += _read_until(process, b"goodbye")
        assert process.wait(WAIT_S) == 0
    lines = got.decode().splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z INFO    stillhere 1\.2\.3, pid \d+$", lines[0])
    assert "the bot is up dev=False bots=None" in lines
