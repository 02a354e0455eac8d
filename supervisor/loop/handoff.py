"""The hand-off: all that the supervisor's next program needs, in a sealed memory file.

An upgrade in place is an execve(2): the pid, the children and the open descriptors stay, the
memory goes. What is written here is read once, by that program, and lies on no disk: it holds QR
payloads. Its format has a number; a program that does not know it refuses before anything is done.
"""

import fcntl
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from supervisor.control import server
from supervisor.core.errors import SupervisorError
from supervisor.core.plain import Misfit, plain, rebuilt
from supervisor.core.printable import printable
from supervisor.core.state import State
from supervisor.process.carried import Carried
from supervisor.watch.fingerprints import Known
from supervisor.web import door

# Another meaning of a field needs another number; a new field with a default needs none.
FORMAT = 1
LINES = 2000  # of each bot's output
_WHY_CHARS = 300
HANDED = "STILLHERE_HANDOFF"
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """The folder of the bots' sockets, and the descriptor that keeps it from being swept away."""

    path: str
    fd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """One bot: what its charge knows, its process, the lock of its session, its source.

    `lines`: the last of its output. `shown`: what stands of each stream without an end.
    `lock`: the descriptor that holds byte 0. `known`: its files as they were last looked at.
    `strangers`: see `loop/strangers.py`, which has told of all but `untold`.
    """

    state: State
    decided: bool
    restarts: int
    last_restart: dict[str, Any] | None
    lines: tuple[dict[str, Any], ...]
    shown: dict[str, bytes]
    asking: int | None
    child: Carried | None
    lock: int | None
    proofs: dict[int, str]
    known: dict[str, Known] | None
    strangers: int = 0
    untold: int = 0

    def descriptors(self) -> list[int]:
        """Return all that has to stay open."""
        child = [] if self.child is None else self.child.descriptors()
        return child + ([] if self.lock is None else [self.lock])


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """A whole supervisor. Instants are seconds of the monotonic clock.

    `config`: what the file was like that it runs by, see `digest`. `limit`: how many files might
    be open at its start. `signals`: a pipe with the numbers of the signals that nobody handled.
    `upgrades`: how many there were, this one included. `text`: that file's content, by which the
    next program begins, whatever is written meanwhile. `alerts`: what is known of them. `web`:
    where the page is.
    """

    version: str
    pid: int
    dev: bool
    config: str
    started_at: float
    began_at: float
    upgrades: int
    limit: tuple[int, int]
    sockets: Sockets
    control: server.Carried
    signals: int
    bots: dict[str, Bot]
    alerts: dict[str, Any] = field(default_factory=dict)
    text: bytes = b""
    web: door.Carried | None = None

    def descriptors(self) -> list[int]:
        """Return all that has to stay open."""
        found = [self.sockets.fd, self.signals, *self.control.descriptors()]
        found += [] if self.web is None else [self.web.listener]
        for bot in self.bots.values():
            found += bot.descriptors()
        return found


def digest(path: Path) -> str:
    """Return what a config file is like; "" where there is none."""
    return digest_of(content(path))


def content(path: Path) -> bytes | None:
    """Return what is in a config file; None where there is none."""
    with suppress(OSError):
        return path.read_bytes()
    return None


def digest_of(data: bytes | None) -> str:
    """Return the digest of a config file's content."""
    return "" if data is None else blake3(data).hexdigest()


def encoded(handoff: Handoff) -> bytes:
    """Return it as it is handed over."""
    return json.dumps({"format": FORMAT, **plain(handoff)}).encode()


def decoded(data: bytes) -> Handoff:
    """Read what was handed over. Raises: SupervisorError, if this program can't go on from it."""
    try:
        found = json.loads(data)
        if not isinstance(found, dict):
            raise Misfit("no object")
    except (ValueError, RecursionError) as error:
        raise _no_use(str(error)) from None
    number = found.pop("format", None)
    if number != FORMAT or isinstance(number, bool):
        raise _no_use(f"its format is {number!r:.20}, known here is {FORMAT}")
    try:
        return rebuilt(Handoff, found)
    except (Misfit, RecursionError) as misfit:
        raise _no_use(str(misfit)) from None


def _no_use(why: str) -> SupervisorError:
    why = printable(why[:_WHY_CHARS])  # it names what it met
    return SupervisorError(
        f"the running supervisor can't be taken over by this version: {why}",
        "restart the service instead: its bots are stopped in good order, and come back",
    )


def sealed(data: bytes) -> int:
    """Return a descriptor of a memory file that nobody can change. Raises: OSError."""
    fd = os.memfd_create("stillhere", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def unsealed(fd: int) -> bytes:
    """Return what such a file holds. Raises: SupervisorError for any other file."""
    try:
        ours = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        size = os.fstat(fd).st_size
        # From the beginning, wherever another reader was.
        data = b""
        while ours and (piece := os.pread(fd, size - len(data), len(data))):
            data += piece
    except OSError:
        ours = False
    if not ours:
        raise _no_use("what was handed over is no sealed memory file")
    return data


def text() -> bytes | None:
    """Return what the config was like that the program before this one ran by, if there was one."""
    number = os.environ.get(HANDED, "")
    with suppress(OSError, OverflowError, ValueError, SupervisorError):
        found = json.loads(unsealed(int(number))) if number.isdecimal() else {}
        if isinstance(found, dict) and found.get("pid") == os.getpid() and found.get("text"):
            return str(found["text"]).encode("latin-1")
    return None


def taken() -> Handoff | None:
    """Return what the program before this one left, if there was one; only the first time.

    From then on no child inherits what came with it. Raises: SupervisorError.
    """
    number = os.environ.pop(HANDED, "")
    if not number.isdecimal():
        return None
    try:
        fd = int(number)
        theirs = not stat.S_ISREG(os.fstat(fd).st_mode)
    except (OSError, OverflowError, ValueError):
        theirs = True  # no open descriptor
    if theirs:
        return None
    handoff = decoded(unsealed(fd))
    os.close(fd)
    if handoff.pid != os.getpid():
        return None  # inherited by mistake: it was meant for another process
    for each in handoff.descriptors():
        os.set_inheritable(each, False)  # noqa: FBT003 - the signature of os
    return handoff
