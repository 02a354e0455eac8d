"""Our end of the line to a paused interpreter: see paused/sitecustomize.py for the other one.

Starts nothing by itself. Whoever starts the interpreter gives it the environment made here, and
its end of the line.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from supervisor.process.plan import Ahead

PAUSED = Path(__file__).parent / "paused"
LINE = "STILLHERE_SPARE_FD"
PATH = "STILLHERE_SPARE_PATH"  # the PYTHONPATH that the program is to see, where it is to see one
# Nothing that a program surely imports first takes so long; it may wait for something for ever.
LOADS_S = 30.0
_PROBE_S = 10.0
_SAID_BYTES = 4096


def environment(env: Mapping[str, str], line: int) -> dict[str, str]:
    """Return what a paused interpreter is started with: `env`, and the way to our sitecustomize."""
    before = env.get("PYTHONPATH")
    # An empty one would add an empty part, which means the current folder.
    paths = [str(PAUSED), before] if before else [str(PAUSED)]
    known = {**env, "PYTHONPATH": os.pathsep.join(paths), LINE: str(line)}
    return known if before is None else {**known, PATH: before}


def message(words: Sequence[str]) -> bytes:
    """Return one list of words as it goes over the line."""
    data = b"\0".join(map(os.fsencode, words))
    return len(data).to_bytes(4, "little") + data


def lists(ahead: Ahead) -> bytes:
    """Return what an interpreter is told before it waits."""
    words = (ahead.own_names, ahead.modules, (ahead.first, *ahead.own))
    return b"".join(map(message, words))


def pauses(
    python: str,
    options: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    prefix: Sequence[str] = (),
) -> str:
    """Return "" if an interpreter stops for us, else why not: tried with a program of no lines.

    `prefix`: what is executed before it. What does not stop would run the bot's program unasked.
    Blocks: about 20 ms.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(_PROBE_S)
        try:
            child = subprocess.Popen(
                [*prefix, python, *options, "-c", ""],
                cwd=cwd,
                env=environment(env, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except (OSError, ValueError) as error:
            return f"{python} can't be run: {error}"
        theirs.close()
        try:
            ours.sendall(lists(Ahead()))
            said = ours.recv(_SAID_BYTES).decode("utf-8", "replace").strip()
        except OSError:
            said = ""
        finally:
            child.kill()
            child.wait()
    if said.startswith("paused"):
        return ""
    return said.removeprefix("spoiled ") or f"{python} does not stop before its program"


class Line:
    """The line to one paused interpreter. `told` gets its one answer: "" or what is wrong.

    `theirs`: what the interpreter inherits, closed by whoever has started it.
    """

    def __init__(self, ahead: Ahead, told: Callable[[str], None]) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)  # noqa: FBT003 - positional only
        try:
            # Small enough for a socket's buffer, which takes 200 KiB (socket(7), wmem_default).
            self._socket.sendall(lists(ahead))
        except OSError:
            self._socket.close()
            theirs.close()
            raise
        self.theirs = theirs.detach()
        self.loaded = 0  # modules
        self._told = told
        self._said = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._hear)
        self._late = self._loop.call_later(
            LOADS_S, self._tell, f"it does not wait after {LOADS_S:.0f} s"
        )

    def release(self, variables: Mapping[str, str | None], forget: Sequence[str] = ()) -> None:
        """Let the program begin, with these variables set, or removed where None.

        `forget`: modules of the project that it is to load anew. Raises: OSError when it is gone.
        """
        words = [k if v is None else f"{k}={v}" for k, v in variables.items()]
        try:
            self._socket.sendall(message(forget) + message(words))
        finally:
            self.close()

    def close(self) -> None:
        """Hang up: an interpreter that still waits ends."""
        self._stop_hearing()
        self._socket.close()

    def _hear(self) -> None:
        try:
            chunk = self._socket.recv(_SAID_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._said += chunk
        if chunk and b"\n" not in self._said:
            return
        word, _, rest = self._said.decode("utf-8", "replace").partition("\n")[0].partition(" ")
        if word == "paused":
            self.loaded = int(rest)
            self._tell("")
        else:
            self._tell(rest or "it ended before it waited")

    def _tell(self, answer: str) -> None:
        self._stop_hearing()
        self._told(answer)

    def _stop_hearing(self) -> None:
        self._late.cancel()
        with suppress(ValueError):  # closed already
            self._loop.remove_reader(self._socket)
