"""The kernel's events, only as a wake-up: they may be late, doubled or lost, never trusted.

Each folder is watched by itself, not recursively, so that an ignored folder (`node_modules`)
costs no inotify watch, and so that it is known which folders are watched.
"""

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol

# The native loop looks every STEP_MS: 8 ms to detect a save, for half a percent of a core. Where
# nothing was saved for a while, a laptop's battery is worth more than 40 ms of the next save.
STEP_MS = 5
REST_STEP_MS = 40
REST_AFTER_MS = 120_000
DEBOUNCE_MS = 1
JOIN_S = 0.1
# The native loop hands over what it collected when that did not grow from one step to the next.
HAND_OVER_STEPS = 2
DELETED, ADDED = 3, 1
# Filesystems where others' changes raise no event here: network shares, and WSL's Windows drives.
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "drvfs", "vboxsf", "virtiofs", "prl_fs", "ceph"}

Events = set[tuple[int, str]]


class Notify(Protocol):
    """The part of `watchfiles.RustNotify` that is used here."""

    def watch(
        self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: threading.Event
    ) -> Events | Literal["signal", "stop", "timeout"]:
        """Block until something happens or `stop_event` is set."""

    def close(self) -> None:
        """Give the watches back."""


class Blind(Exception):  # noqa: N818 - a state of affairs, and the text of a message
    """The kernel gives no events; the text says why and what helps."""


def rust_notify(folders: Sequence[str]) -> Notify:
    """Watch folders, not what is below them, by inotify.

    Raises: FileNotFoundError, PermissionError, OSError and the binding's own error, which is a
    RuntimeError.
    """
    from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 - a service does not watch

    # The last argument, ignore_permission_denied, would hide a full limit and a missing folder.
    return RustNotify(list(folders), False, False, 300, False, False)  # noqa: FBT003 - positional only


class _Ending(threading.Event):
    """Ends a listener, once set. With `steps_left` so many steps later.

    The native loop asks at each step, and throws away what it has collected when the answer is
    yes; it takes two steps to hand that over.
    """

    steps_left = 0

    def is_set(self) -> bool:
        """Return whether to end now; each asking is a step."""
        if not super().is_set():
            return False
        self.steps_left -= 1
        return self.steps_left < 0


class Kernel:
    """Calls `wake` from a thread of its own with each batch of events, with None when blind."""

    def __init__(
        self,
        wake: Callable[[Events | None], None],
        make: Callable[[Sequence[str]], Notify] = rust_notify,
    ) -> None:
        self._wake = wake
        self._make = make
        self._lock = threading.Lock()
        self._closed = False
        self._stop = _Ending()
        self._thread: threading.Thread | None = None

    def watch(self, folders: Iterable[str]) -> None:
        """Watch exactly these folders from now on; the old watch ends after the new one is up.

        Raises: Blind, FileNotFoundError or PermissionError if a folder changed since it was found.
        """
        # inotify takes any name, but the binding only Unicode: the others wait for the next look.
        names = sorted(name for name in folders if name.isprintable() or _unicode(name))
        try:
            notify = self._make(names)
        except (FileNotFoundError, PermissionError):
            raise
        except (OSError, RuntimeError) as error:
            raise Blind(why_blind(error)) from error
        with self._lock:
            if self._closed:
                notify.close()
                return
            # The old one first says what it knows: for others than those that made us do this, the
            # next look may be far.
            self._stop.steps_left = HAND_OVER_STEPS
            self._stop.set()
            self._stop = _Ending()
            self._thread = threading.Thread(
                target=self._listen, args=(notify, self._stop), name="watch-kernel", daemon=True
            )
            self._thread.start()
            # A native thread still inside its loop while Python ends could abort the process.
            atexit.register(self.close)

    def release(self) -> None:
        """Give the watches back, so that there is room for others."""
        with self._lock:
            self._stop.set()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(JOIN_S)

    def close(self) -> None:
        """End for good: within a step as a rule, given up after JOIN_S. Any thread may call."""
        self._closed = True
        atexit.unregister(self.close)
        self.release()

    def _listen(self, notify: Notify, stop: _Ending) -> None:
        try:
            step_ms, timeout_ms = STEP_MS, REST_AFTER_MS
            while not stop.is_set():
                events = notify.watch(DEBOUNCE_MS, step_ms, timeout_ms, stop)
                if isinstance(events, set):
                    step_ms, timeout_ms = STEP_MS, REST_AFTER_MS
                    self._wake(events)
                elif events == "timeout":
                    step_ms, timeout_ms = REST_STEP_MS, 0  # until something is saved
        except (OSError, RuntimeError):
            if not stop.is_set():
                self._wake(None)
        finally:
            notify.close()


def why_blind(error: Exception) -> str:
    """Return why there are no events, which setting is too low, and how to raise it."""
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number == 28 or "limit reached" in text or "os error 28" in text:  # noqa: PLR2004 - ENOSPC
        return _raise_it("fs.inotify.max_user_watches", 524_288)
    if number == 24 or "os error 24" in text or "Too many open" in text:  # noqa: PLR2004 - EMFILE
        return _raise_it("fs.inotify.max_user_instances", 1_024)
    return f"the kernel gives no file events ({text}): looking every 0.5 s instead"


def _raise_it(setting: str, value: int) -> str:
    current = Path("/proc/sys") / setting.replace(".", "/")
    try:
        now = f" (now {current.read_text().strip()})"
    except OSError:
        now = ""
    return (
        f"no more files can be watched: the limit {setting}{now} is reached; looking every 0.5 s "
        f"instead. To raise it: sudo sysctl {setting}={value} (to keep it: the same line in "
        "/etc/sysctl.d/)"
    )


def remote_roots(roots: Iterable[str], mounts: str) -> dict[str, str]:
    """Return the roots on a filesystem that tells nothing of others' changes, and its type.

    `mounts` is the text of /proc/self/mountinfo.
    """
    types: dict[str, str] = {}
    for line in mounts.splitlines():
        words = line.split(" ")
        if "-" in words:
            where = words[4].replace("\\040", " ").replace("\\011", "\t")
            types[where] = words[words.index("-") + 1]
    found = {}
    for root in roots:
        real = Path(os.path.realpath(root))
        kind = next((types[str(at)] for at in (real, *real.parents) if str(at) in types), "")
        if kind in REMOTE or kind.startswith("fuse"):
            found[root] = kind
    return found


def _unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
