"""Faults at the kernel's door, by strace's injection (strace(1), "Tampering").

A fork of this process does the operation. It waits until strace is attached, so that strace
counts the operation's own calls and no others. Per kind of call a fault comes at the Nth: before
SIGKILL the call is not carried out, and neither is one that is given an error instead.
"""

import ctypes
import functools
import json
import os
import re
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from supervisor.core.errors import SupervisorError

# Every call that changes something, takes a lock, or makes something last. `?`: not every
# architecture has it.
KINDS = (
    *("?open", "openat", "?openat2", "?creat", "write", "pwrite64", "writev", "pwritev"),
    *("?pwritev2", "copy_file_range", "sendfile", "splice", "ftruncate", "truncate", "fallocate"),
    *("fsync", "fdatasync", "?sync_file_range", "sync", "syncfs", "?rename", "renameat"),
    *("renameat2", "?unlink", "unlinkat", "?mkdir", "mkdirat", "?rmdir", "?link", "linkat"),
    *("?symlink", "symlinkat", "?chmod", "fchmod", "fchmodat", "?fchmodat2", "?chown", "fchown"),
    *("fchownat", "utimensat", "?utimes", "?utime", "flock", "fcntl", "ioctl", "fadvise64"),
    *("setxattr", "fsetxattr", "mknodat"),
)
_PR_SET_PTRACER = 0x59616D61
_CALL = re.compile(r"([a-z0-9_]+)\(")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended: "done", "refused" (a SupervisorError), "broke" or "killed"."""

    how: str
    message: str = ""
    hint: str = ""


@functools.cache
def why_not() -> str:
    """Return why strace can't be used here, or "". It is tried on a program of no importance."""
    command = ["strace", "-f", "-q", "-o", os.devnull, "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return "strace is not installed: the package of that name makes this run"
    if done.returncode:
        return f"ptrace is forbidden ({done.stderr.strip()[:200]}): CAP_SYS_PTRACE makes this run"
    return ""


def traced(act: Callable[[], object], *options: str, log: Path | None = None) -> Outcome:
    """Do `act` in a fork under strace. `log`: where strace writes. Raises: OSError."""
    answer_read, answer_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(go_write)
        os.close(answer_read)
        _child(act, go_read, answer_write)
    os.close(go_read)
    os.close(answer_write)
    command = ["strace", "-f", "-o", str(log or os.devnull), *options, "-p", str(pid)]
    with (
        os.fdopen(answer_read, "rb") as pipe,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace,
    ):
        try:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            if "attached" not in said:
                raise OSError(said.strip() or "strace says nothing")
            os.write(go_write, b"g")
        finally:
            os.close(go_write)  # without a word before it, the fork ends
            answer = pipe.read()
            os.waitpid(pid, 0)
    return Outcome(*json.loads(answer)) if answer else Outcome("killed")


def forked(act: Callable[[], object]) -> Outcome:
    """Do `act` in a fork, with no strace."""
    answer_read, answer_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(answer_read)
        _child(act, go_read, answer_write)
    os.close(go_read)
    os.close(answer_write)
    os.write(go_write, b"g")
    os.close(go_write)
    with os.fdopen(answer_read, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return Outcome(*json.loads(answer)) if answer else Outcome("killed")


def _child(act: Callable[[], object], go: int, answer: int) -> None:
    """Wait for strace, act, answer, end: without any of the parent's clean-up."""
    try:
        # Where only a parent may trace its child (Yama, prctl(2)), say that anybody may us.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        # Of a kind that no fault is made for: strace may see the end of it.
        if not os.readv(go, [bytearray(1)]):
            return
        outcome = Outcome("broke")
        try:
            act()
            outcome = Outcome("done")
        except SupervisorError as error:
            outcome = Outcome("refused", error.message, error.hint)
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            outcome = Outcome("broke", traceback.format_exc()[-1500:])
        text = json.dumps([outcome.how, outcome.message, outcome.hint]).encode()
        os.writev(answer, [text])
    finally:
        os._exit(0)


def calls(act: Callable[[], object], kinds: Iterable[str] = KINDS) -> list[tuple[str, str]]:
    """Return (kind, strace's line) of each call that `act` makes, in the process that makes most.

    strace counts per process, so that more of them than that come to no other point.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        outcome = traced(act, "-e", f"trace={','.join(kinds)}", log=log)
        assert outcome.how == "done", outcome.message
        per_process: dict[str, list[tuple[str, str]]] = {}
        for line in log.read_text(errors="replace").splitlines():
            pid, _, rest = line.partition(" ")
            if match := _CALL.match(rest.lstrip()):
                per_process.setdefault(pid, []).append((match[1], line))
    made = max(per_process.values(), key=len, default=[])
    return [call for call in made if call[0] != "writev"]  # our own answer
