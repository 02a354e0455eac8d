"""Starts a program cold and from a spare, and asks each what it can see of itself."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from supervisor.core import events as ev
from supervisor.process import tree
from supervisor.process.plan import Ahead
from tests.contract.childkit import Watched

# Prints what a program can find out, as JSON, one property a key.
LOOK = """
def _look():
    import atexit, builtins, gc, inspect, locale, logging, os, pickle, signal, site, stat, sys
    import threading, time, warnings
    main = sys.modules["__main__"]
    def text(value):
        return repr(value).split(" at 0x")[0]
    def fd(number):
        status = os.fstat(number)
        return [number, stat.S_IFMT(status.st_mode), os.get_inheritable(number)]
    fds = []
    for name in os.listdir("/proc/self/fd"):
        try:
            fds.append(fd(int(name)))
        except OSError:
            pass
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    with open("/proc/self/cmdline", "rb") as file:
        cmdline = file.read().decode()
    start = logging._startTime
    start = start / 1e9 if isinstance(start, int) else start
    class Probe: pass
    return {
        "argv": sys.argv, "orig_argv": sys.orig_argv, "flags": str(sys.flags),
        "path": sys.path, "meta_path": [text(each) for each in sys.meta_path],
        "path_hooks": [text(each) for each in sys.path_hooks],
        "executable": sys.executable, "prefix": [sys.prefix, sys.base_prefix, sys.exec_prefix],
        "warnoptions": sys.warnoptions, "xoptions": repr(sys._xoptions),
        "filters": [text(each) for each in warnings.filters],
        "main name": main.__name__, "main file": getattr(main, "__file__", None),
        "main package": main.__package__, "main spec": getattr(main.__spec__, "name", None),
        "main loader": type(main.__loader__).__name__,
        "main cached": getattr(main, "__cached__", None),
        "main names": sorted(name for name in vars(main) if name.startswith("__")),
        "ours": [name for name in sys.modules if "stillhere" in name or "paused" in name],
        "sitecustomize": getattr(sys.modules.get("sitecustomize"), "__file__", None),
        "usercustomize": "usercustomize" in sys.modules,
        "environ": sorted(os.environ.items()), "posix environ": sorted(
            (os.fsdecode(k), os.fsdecode(v)) for k, v in sys.modules["posix"].environ.items()),
        "child environ": sorted(os.popen("env -0").read().split(chr(0))),
        "cwd": os.getcwd(), "umask": status["Umask"], "ids": [os.getuid(), os.getgid()],
        "blocked": status["SigBlk"], "ignored": status["SigIgn"], "caught": status["SigCgt"],
        "handlers": [text(signal.getsignal(n)) for n in range(1, 32)],
        "wakeup": signal.set_wakeup_fd(-1), "timer": signal.getitimer(signal.ITIMER_REAL),
        "threads": [thread.name for thread in threading.enumerate()],
        "tasks": len(os.listdir("/proc/self/task")), "fds": sorted(fds),
        "session": os.getsid(0) == os.getpid(), "group": os.getpgrp() == os.getpid(),
        "cmdline": cmdline, "children":
            len(open("/proc/self/task/%d/children" % os.getpid()).read()) < 10,
        "loggers": sorted(logging.root.manager.loggerDict), "root": text(logging.root),
        "handlers of root": len(logging.root.handlers), "log start": abs(time.time() - start) < 5,
        "atexit": atexit._ncallbacks() >= 0,
        "gc": [gc.isenabled(), gc.get_threshold(), len(gc.callbacks)],
        "recursion": sys.getrecursionlimit(), "depth": len(inspect.stack()),
        "switch": sys.getswitchinterval(), "trace": [text(sys.gettrace()), text(sys.getprofile())],
        "hooks": [text(sys.excepthook), text(sys.displayhook), text(sys.unraisablehook)],
        "streams": [[s.encoding, s.errors, s.line_buffering, s.write_through]
                    for s in (sys.stdin, sys.stdout, sys.stderr)],
        "fs encoding": [sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()],
        "locale": locale.setlocale(locale.LC_ALL), "site": [site.ENABLE_USER_SITE, site.PREFIXES],
        "bytecode": [sys.dont_write_bytecode, sys.pycache_prefix],
        "builtins": sorted(set(dir(builtins)) - {"_"}), "pickle": pickle.dumps(_look).hex(),
        "int digits": sys.get_int_max_str_digits(), "faulthandler":
            "faulthandler" in sys.modules and sys.modules["faulthandler"].is_enabled(),
        "tty": [os.isatty(n) for n in range(3)],
        "limits": __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE),
        "nice": os.nice(0), "affinity": sorted(os.sched_getaffinity(0)),
        "dumpable": os.access("/proc/self/mem", os.R_OK), "no new privs": status["NoNewPrivs"],
        "seccomp": status["Seccomp"], "coredump": open("/proc/self/coredump_filter").read(),
    }
import json as _json
print("LOOK " + _json.dumps(_look(), sort_keys=True, default=str), flush=True)
"""
# Of a process, or of a moment: not to be compared.
_ITS_OWN = {"STILLHERE_TOKEN", "NOTIFY_SOCKET", "_"}


class Seen(Watched):
    """A child that prints what it sees."""

    async def look(self) -> dict[str, Any]:
        """Return what it printed, once it has."""
        await self.until(lambda: any(b"LOOK " in line for _, line in self.lines), "looked")
        (line,) = (line for _, line in self.lines if b"LOOK " in line)
        found: dict[str, Any] = json.loads(line.partition(b"LOOK ")[2])
        return plain(found)

    async def end(self) -> None:
        """Kill it, and see it gone."""
        self.child.kill()
        await self.heard(ev.TreeGone)
        tree.reap_orphans([])


def plain(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs between any two processes."""
    for name in ("environ", "posix environ"):
        found[name] = [pair for pair in found[name] if pair[0] not in _ITS_OWN]
    found["child environ"] = [
        each for each in found["child environ"] if each.partition("=")[0] not in _ITS_OWN
    ]
    return found


async def cold(folder: Path, command: Sequence[str], **plan: Any) -> dict[str, Any]:
    """Return what a program sees that is started with its session."""
    bot = Seen(folder, "", command=command, cwd=folder, **plan)
    found = await bot.look()
    await bot.end()
    return found


async def from_spare(
    folder: Path, command: Sequence[str], modules: Sequence[str] = (), **plan: Any
) -> dict[str, Any]:
    """Return what it sees when it goes on from a spare."""
    said: asyncio.Queue[str] = asyncio.Queue()
    bot = Seen(
        folder,
        "",
        command=command,
        cwd=folder,
        generation=0,
        session_dir=None,
        paused=Ahead(tuple(modules)),
        on_spare=said.put_nowait,
        **plan,
    )
    async with asyncio.timeout(15):
        why = await said.get()
    assert not why, why
    assert not bot.lines, "it ran before it was asked to"
    bot.child.release(1, folder)
    found = await bot.look()
    await bot.end()
    return found
