"""The folder in which the bots' notify sockets lie, and what else a starting bot is to read.

It is always ours, so nobody can put something else in a socket's place. What cleans /tmp goes by
age and not by use: so it is made anew where it is gone.
"""

import atexit
import os
from contextlib import suppress
from pathlib import Path

from supervisor.control import paths
from supervisor.core.errors import SupervisorError
from supervisor.process.user import User
from supervisor.session import files

_PREFIX = "s"
_TRIES = 5
# Made by us and not by a context that ends with us: a program of ours that follows holds it anew.
_held: dict[Path, int] = {}


class Sockets:
    """The folder for one bot. `shared`: the supervisor's own, which other users can't enter.

    `user`: who runs the bot, if that is not us. Then it is one that others can pass through
    without seeing what is in it, and each socket belongs to its bot's user.
    """

    def __init__(self, shared: Path, user: User | None) -> None:
        self._user = user
        self._folder = shared if user is None else paths.passage() / shared.name

    def ready(self) -> Path:
        """Return the folder, made if it has to be. Raises: SupervisorError, OSError."""
        folder = self._folder
        if self._user is not None and folder not in _held:
            paths.prepare(folder.parent, paths.PASSAGE_MODE)
            with suppress(OSError):
                files.sweep_scratch(folder.parent, _PREFIX)
            atexit.register(_forget, folder, os.getpid())
            _held[folder] = self._make(paths.PASSAGE_MODE)
        elif not folder.is_dir():
            mode = 0o700 if self._user is None else paths.PASSAGE_MODE
            paths.prepare(folder.parent, mode)
            _held[folder] = self._make(mode)  # until we end: a sweep removes what nobody holds
        return folder

    def write(self, name: str, text: str) -> Path:
        """Write something for the bot, and nobody else, to read. Raises: OSError."""
        path = self.ready() / name
        path.unlink(missing_ok=True)
        fd = files.create(path)
        try:
            if self._user is not None:
                os.fchown(fd, *self._user.ids)
            files.write_all(fd, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(fd)
        return path

    def path(self, name: str) -> Path:
        """Return where something lies, or will."""
        return self._folder / name

    def _make(self, mode: int) -> int:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # another's sweep was faster than our hold
                self._folder.mkdir(mode=mode, exist_ok=True)
                self._folder.chmod(mode)
                return files.hold(self._folder)
        raise SupervisorError(f"{self._folder} goes as soon as it is made", "what cleans there?")


def _forget(folder: Path, pid: int) -> None:
    if os.getpid() == pid:
        with suppress(OSError):
            files.remove_tree(folder)
