"""A real shell on a real pseudo-terminal, read until it shows what is expected."""

import codecs
import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("fake_dev.py")
WAIT_S = 10.0
BASH = shutil.which("bash")


class Terminal:
    """Bash, interactive, with job control. Its prompt is `ready> `."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self._folder = folder
        self._environ = environ
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._mark = 0

    def __enter__(self) -> Self:
        self.master, slave = pty.openpty()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "PS1": "ready> ",
            "TMPDIR": str(self._folder),
            **self._environ,
        }
        # The first terminal that a session's leader opens becomes its controlling one.
        opens = (
            "import os,sys; os.open(os.ttyname(0), os.O_RDWR); os.execvp(sys.argv[1], sys.argv[1:])"
        )
        assert BASH is not None
        self._shell = subprocess.Popen(
            [sys.executable, "-c", opens, BASH, "--norc", "--noprofile", "--noediting", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self._folder,
            env=environ,
            start_new_session=True,
        )
        os.close(slave)
        self.wait("ready> ")
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait(WAIT_S)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def send(self, text: str) -> None:
        """Type."""
        os.write(self.master, text.encode())

    def dev(self, command: str = "dev -- python bot.py") -> None:
        """Start the fake `stillhere` and wait until its bot is up."""
        self.send(f"{shlex.quote(sys.executable)} {shlex.quote(str(PROGRAM))} {command}\n")

    def wait(self, text: str) -> str:
        """Read until `text` was shown after what was waited for before; return what came."""
        deadline = time.monotonic() + WAIT_S
        start = self._mark
        while (at := self.seen.find(text, start)) < 0:
            start = max(self._mark, len(self.seen) - len(text))  # a flood is not read twice
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.master], [], [], left)[0]
            assert ready, f"{text!r} was not shown; all that was:\n{self.seen}"
            self.seen += self._decoder.decode(os.read(self.master, 65536))
        came = self.seen[self._mark : at + len(text)]
        self._mark = at + len(text)
        return came

    def pid(self) -> int:
        """Return the pid that the console said."""
        found = re.findall(r"pid (\d+)", self.seen)
        return int(found[-1])

    def raw(self) -> bool:
        """Say whether single keys are read (no echo, no lines)."""
        flags: int = termios.tcgetattr(self.master)[3]
        return not flags & termios.ICANON and not flags & termios.ECHO


def state(pid: int) -> str:
    """Return a process's state letter, or an empty text if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], WAIT_S)[0], f"pid {pid} does not end"
    finally:
        os.close(handle)
