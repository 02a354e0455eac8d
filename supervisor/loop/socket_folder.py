"""The folder with the bots' sockets: private, held while we run, gone with us.

Beside the control sockets, which have hex names. What a killed supervisor left of it is swept.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from supervisor.loop.handoff import Sockets
from supervisor.session import files

PREFIX = "s"


class SocketFolder:
    """Makes one in `parent`, or goes on with the one of the program before ours."""

    def __init__(self, parent: Path, carried: Sockets | None = None) -> None:
        self._parent = parent
        self._held = carried

    def __enter__(self) -> Sockets:
        with suppress(OSError):  # it comes again where it fails
            files.sweep_scratch(self._parent, PREFIX)
        while self._held is None:
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent))
            # Another's sweep may be faster than our lock, and than our look at the folder.
            with suppress(FileNotFoundError):
                fd = files.hold(path)
                if path.exists():
                    self._held = Sockets(path=str(path), fd=fd)
                else:
                    os.close(fd)
        return self._held

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            files.remove_tree(Path(self._held.path))
            os.close(self._held.fd)
