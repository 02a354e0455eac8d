"""Closes a bot's browser through its own API, so that what it holds in memory gets to the disk.

A signal does not do that: a driver such as Puppeteer answers its own SIGTERM with a SIGKILL of the
browser's group, and the logins of the last half minute are lost. Talks to browsers of the bot's
own tree alone, on the loopback address, and only to a port that such a browser listens on itself.
Never ends one by a signal: who is not closed in time is left to the stop that follows.

Meanwhile its driver stands still. Many end at once when their browser is gone, and Puppeteer then
kills it while it still writes: of 14 logins that were just made, 12 lost their cookies so.
"""

import asyncio
import json
import os
import re
import select
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.process.freezer import task_states
from supervisor.process.signals import send
from supervisor.process.thawer import Thawer
from supervisor.process.tree import Stat
from supervisor.session.files import read_file
from supervisor.session.sight import looked

CLOSE_S = 2.0
# A browser that listens has still to write down where.
_JUST_STARTED_S = 0.3
_LOOK_S = 0.02

_HOST = "127.0.0.1"
_PORT_FILE = "DevToolsActivePort"
_PORT_FILE_BYTES = 4096
_VERSION_BYTES = 65536
_PATH = re.compile(r"/devtools/browser/[0-9A-Za-z-]{1,64}")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser's main process. `port`: as its command says, 0 for any; None: it has none.

    `pidfd` names the process for good: whose number is used again is not mistaken for it.
    """

    pid: int
    pidfd: int
    port: int | None
    profile: Path | None
    drivers: tuple[int, ...] = ()  # of the tree, those that it hangs below

    def __str__(self) -> str:
        return f"browser (pid {self.pid})"


async def close_browsers(pids: Iterable[int], within_s: float = CLOSE_S) -> list[str]:
    """Close each browser among `pids` that can be asked, side by side, and wait for its exit.

    `pids`: the live processes of one generation's tree. Returns in words what was closed, and of
    each other browser why not. Takes no longer than about `within_s` seconds. Raises nothing for
    what is wrong with a browser.
    """
    return await asyncio.to_thread(_close_all, list(pids), time.monotonic() + within_s)


def browser_pids(pids: Iterable[int]) -> list[int]:
    """Return which of these processes are browsers' main processes."""
    browsers = _found(list(pids))
    for each in browsers:
        os.close(each.pidfd)
    return [each.pid for each in browsers]


def _close_all(pids: list[int], until: float) -> list[str]:
    browsers = _found(pids)
    if not browsers:
        return []
    try:
        with ThreadPoolExecutor(len(browsers), thread_name_prefix="browsers") as threads:
            return list(threads.map(_close, browsers, repeat(until)))
    finally:
        for each in browsers:
            os.close(each.pidfd)


def _found(pids: list[int]) -> list[Browser]:
    found: dict[Path | int, Browser] = {}
    for pid in pids:
        with suppress(OSError):
            pidfd = os.pidfd_open(pid)
            browser = _seen(pid, pidfd, pids)
            if browser is None or _ended(pidfd, 0):
                os.close(pidfd)
                continue
            # Parents first: a script that waits for the browser has the same words.
            if (wrapper := found.pop(browser.profile or pid, None)) is not None:
                os.close(wrapper.pidfd)
            found[browser.profile or pid] = browser
    return list(found.values())


def _seen(pid: int, pidfd: int, pids: list[int]) -> Browser | None:
    """Return what a process's command line says of a browser; None for anything else."""
    try:
        text = looked(pid, Path(f"/proc/{pid}/cmdline").read_bytes)
        words = [os.fsdecode(word) for word in text.split(b"\0")]
        # Its helpers say what they are, and some of them have put all into one word.
        if any(word.startswith("--type=") or " --type=" in word for word in words):
            return None
        said = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
        port = said.get("--remote-debugging-port")
        if port is None and "--remote-debugging-pipe" not in said:
            return None
        folder = said.get("--user-data-dir")
        here = looked(pid, Path(f"/proc/{pid}/cwd").readlink) if folder else None
    except OSError:
        return None
    number = int(port) if port is not None and _PORT.fullmatch(port) else None
    profile = here / folder if here and folder else None
    return Browser(pid, pidfd, number, profile, tuple(_above(pid, pids)))


def _above(pid: int, pids: list[int]) -> Iterator[int]:
    with suppress(ProcessLookupError):
        while (pid := Stat(pid).parent) in pids:
            yield pid


@contextmanager
def _standing_still(pids: Iterable[int]) -> Iterator[None]:
    """Stop these processes for the block, but those that somebody else has stopped already.

    A helper lets them go on if we die. Where there can be none, they run on.
    """
    try:
        thawer = Thawer()
    except OSError:
        yield
        return
    with thawer:
        stopped: list[int] = []
        try:
            with suppress(OSError):  # the helper is gone: then nobody more
                for pid in pids:
                    if not {"T", "t"} & set(task_states(pid)):
                        thawer.add(pid)
                        stopped.append(pid)
                        send(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in reversed(stopped):
                send(pid, signal.SIGCONT)


def _close(browser: Browser, until: float) -> str:
    start = time.monotonic()
    if browser.port is None:
        return f"{browser} has no debugging port: to close it is its driver's part"
    with _standing_still(browser.drivers):
        try:
            _ask(browser, until)
        except (SupervisorError, OSError, ValueError) as error:
            if not _ended(browser.pidfd, 0):
                return f"{browser} can't be asked to close: {_short(error)}"
        if not _ended(browser.pidfd, until - time.monotonic()):
            return f"{browser} was asked to close, and did not in {time.monotonic() - start:.1f} s"
    return f"{browser} closed itself in {time.monotonic() - start:.1f} s"


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _ended(pidfd: int, within_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(0.0, within_s) * 1000))


def _ask(browser: Browser, until: float) -> None:
    """Send `Browser.close`. Raises: SupervisorError, OSError, ValueError."""
    # Only here: with OpenSSL it is 10 MB.
    from websockets.exceptions import WebSocketException  # noqa: PLC0415 - said above
    from websockets.sync.client import connect  # noqa: PLC0415 - said above

    port, path = _address(browser, until)
    try:
        with connect(
            f"ws://{_HOST}:{port}{path}",
            proxy=None,
            compression=None,
            open_timeout=_left(until),
            close_timeout=0.1,
        ) as line:
            line.send(json.dumps({"id": 1, "method": "Browser.close"}))
            with suppress(WebSocketException):  # it may be gone before it answers
                line.recv(timeout=_left(until))
    except WebSocketException as error:
        raise SupervisorError(_short(error)) from error


def _left(until: float) -> float:
    """Return how many seconds are left. Raises: TimeoutError."""
    if (left := until - time.monotonic()) <= 0:
        raise TimeoutError("there was no time left")
    return left


def _address(browser: Browser, until: float) -> tuple[int, str]:
    """Return where a browser listens. Raises: SupervisorError, OSError, ValueError."""
    if browser.port:
        own = _listens_on(browser)
        if browser.port not in own:
            raise SupervisorError(f"it does not listen on {_HOST}:{browser.port} itself")
        return browser.port, _checked(_path_told(browser.port, until))
    if browser.profile is None:
        raise SupervisorError("it chose a port, and has no folder to write it down in")
    text = _written(browser.profile / _PORT_FILE, min(until, time.monotonic() + _JUST_STARTED_S))
    port, _, path = text.strip().partition("\n")
    if not _PORT.fullmatch(port) or int(port) not in _listens_on(browser):
        raise SupervisorError(f"its {_PORT_FILE} names a port that it does not listen on")
    return int(port), _checked(path)


def _written(path: Path, until: float) -> str:
    """Return what is in a file that a browser writes as it starts. Raises: as `_address`."""
    while True:
        with suppress(FileNotFoundError):
            return read_file(path, _PORT_FILE_BYTES).decode()
        if time.monotonic() > until:
            raise SupervisorError(f"there is no {path.name} in its profile")
        time.sleep(_LOOK_S)


def _checked(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise SupervisorError("the address that it gives is no browser's")
    return path


def _path_told(port: int, until: float) -> str:
    """Ask a browser for the path that it is spoken to under. Raises: OSError, ValueError."""
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - for whom needs it

    asked = HTTPConnection(_HOST, port, timeout=_left(until))
    try:
        asked.request("GET", "/json/version")
        told: Any = json.loads(asked.getresponse().read(_VERSION_BYTES))
    except HTTPException as error:
        raise ValueError("its debugging port does not speak HTTP") from error
    finally:
        asked.close()
    address = told.get("webSocketDebuggerUrl") if isinstance(told, dict) else None
    return re.sub(r"^ws://[^/]*", "", address) if isinstance(address, str) else ""


def _listens_on(browser: Browser) -> set[int]:
    """Return the ports of the loopback address that this very process listens on."""
    import psutil  # noqa: PLC0415 - a megabyte, for whom has a browser

    def look() -> set[int]:
        try:
            found = psutil.Process(browser.pid).net_connections("tcp4")
        except psutil.AccessDenied as error:
            raise PermissionError(browser.pid) from error  # then it is looked at as its user
        return {
            each.laddr.port
            for each in found
            if each.status == psutil.CONN_LISTEN and each.laddr.ip == _HOST
        }

    try:
        return looked(browser.pid, look)
    except (psutil.Error, PermissionError) as error:
        raise SupervisorError("it can't be looked at") from error
