"""Who has a session's files open, as far as /proc tells us."""

from contextlib import suppress
from pathlib import Path


def open_by_somebody(folder: Path) -> bool:
    """Return whether a process that we may look at has a file of `folder` open.

    Many bots open, write and close: a "no" proves nothing.
    """
    prefix = f"{folder}/"
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        # Others' processes can't be looked at; ours may end meanwhile.
        with suppress(OSError):
            for fd in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(fd.readlink()).startswith(prefix):
                        return True
    return False
