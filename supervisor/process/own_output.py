"""Where our own output goes: `stillhere dev > log` in the bot's folder writes beside its source."""

import os
import stat
from contextlib import suppress
from pathlib import Path

_STDOUT, _STDERR = 1, 2


def own_output_files() -> list[Path]:
    """Return the plain files that our standard output and error are written to."""
    found: list[Path] = []
    for number in (_STDOUT, _STDERR):
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(number).st_mode):
                found.append(Path(f"/proc/self/fd/{number}").readlink())
    return list(dict.fromkeys(found))
