"""Who has a session's files open or mapped, as far as /proc tells us."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from supervisor.session.names import Names
from supervisor.session.sight import looked

# proc_pid_maps(5): the access (s: shared), the offset, the device, the inode, and the path.
_MAPS = rb"^[0-9a-f]+-[0-9a-f]+ .%b [0-9a-f]+ [0-9a-f:]+ \d+ +%b(.*)$"
# What the kernel says of a file that has no name any more.
_GONE = " (deleted)"


def open_by_somebody(folder: Path, names: Names | None = None) -> bool:
    """Return whether a process that we may look at has a file of `folder` open or mapped.

    Many bots open, write and close: a "no" proves nothing. `names`: what of it is meant.
    """
    return next(users(folder, names), None) is not None


def writers(folder: Path, names: Names | None = None) -> Iterator[int]:
    """Yield the pids of the processes that we may look at and that may write a file of it now."""
    return users(folder, names, to_write=True)


def uses(pid: int, folder: Path) -> bool:
    """Return whether we can see that a process has a file of `folder` open or mapped."""
    prefix, mapping = _sought(folder, to_write=False)
    process = f"/proc/{pid}"
    return _opened(process, prefix, None, to_write=False) or _mapped(process, mapping, None)


def users(folder: Path, names: Names | None = None, *, to_write: bool = False) -> Iterator[int]:
    """Yield the pids of the processes that we may look at and that have a file of it open.

    Or mapped, which outlives the descriptor.
    `to_write`: only those that opened one for writing (proc_pid_fdinfo(5)), or can write it.
    """
    prefix, mapping = _sought(folder, to_write=to_write)
    for name in os.listdir("/proc"):
        process = f"/proc/{name}"
        if name.isdigit() and (
            _opened(process, prefix, names, to_write=to_write) or _mapped(process, mapping, names)
        ):
            yield int(name)


def _sought(folder: Path, *, to_write: bool) -> tuple[str, re.Pattern[bytes]]:
    prefix = f"{folder}/"
    path = re.escape(os.fsencode(prefix).replace(b"\n", rb"\012"))
    return prefix, re.compile(_MAPS % (b"w.s" if to_write else b"...", path), re.MULTILINE)


def _opened(process: str, prefix: str, names: Names | None, *, to_write: bool) -> bool:
    # Plain strings: a machine has thousands of descriptors. Others' processes can't be looked at;
    # ours may end meanwhile.
    with suppress(OSError):
        return looked(
            process.rpartition("/")[2], lambda: _shows(process, prefix, names, to_write=to_write)
        )
    return False


def _shows(process: str, prefix: str, names: Names | None, *, to_write: bool) -> bool:
    for fd in os.listdir(f"{process}/fd"):
        with suppress(OSError):
            place = os.readlink(f"{process}/fd/{fd}")  # noqa: PTH115 - strings
            if (
                place.startswith(prefix)
                and (names is None or _of_it(place.removeprefix(prefix), names))
                and (not to_write or _may_write(f"{process}/fdinfo/{fd}"))
            ):
                return True
    return False


def _mapped(process: str, mapping: re.Pattern[bytes], names: Names | None) -> bool:
    with suppress(OSError):
        maps = looked(process.rpartition("/")[2], Path(f"{process}/maps").read_bytes)
        return any(
            names is None or _of_it(os.fsdecode(found[1]).replace("\\012", "\n"), names)
            for found in mapping.finditer(maps)
        )
    return False


def _of_it(path: str, names: Names) -> bool:
    return names.has(path) or names.has(path.removesuffix(_GONE))


def _may_write(info: str) -> bool:
    flags = next(line for line in Path(info).read_text().splitlines() if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
