"""A session that is a few files of a project, and what must never happen to the others."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import ID, Looks, Place, fill, remove

# All that the tests' sessions consist of, here and in tests/faults.
PARTS = (
    *("creds.json", "store.db", "keys", "bulk", "empty", "current", "none", "large", "another"),
)
_JOURNALS = ("store.db-wal", "store.db-journal", "store.db-shm")


class AmongPlace(Place):
    """A project whose session lies in it: three entries among all others."""

    __slots__ = ()

    @property
    def live(self) -> Path:
        """The folder in which the session lies."""
        return self.root / "project"

    def content(self) -> Mapping[str, bytes | str | None]:
        """Return what is of the session: files' bytes, links' targets, None for folders."""
        return session(self.live)

    def lose(self) -> None:
        """Remove the session, and nothing else."""
        self.empty()

    def empty(self) -> None:
        """Remove the session, and nothing else."""
        own = (self.live / name for name in (*PARTS, *_JOURNALS))
        remove(path for path in own if os.path.lexists(path))

    def beside(self) -> Mapping[str, Looks]:
        """Return what else lies in the folder, but what is ours there while it is used."""
        return {
            path: looks[:4]
            for path, looks in neighbours(self.live).items()
            if not path.startswith(".session-")
        }

    def manager(self, **options: Any) -> SessionManager:
        """Return a new manager, as another process would make one."""
        options = {"parts": {ID: PARTS}, "paths": {ID: self.live}, **options}
        return Place.manager(self, **options)

    def linked(self, **options: Any) -> SessionManager:
        """Return a manager of a linked session that has one good snapshot, in a project."""
        if not self.live.exists():
            settle_in(self.live)
        return Place.linked(self, **options)


def settle_in(project: Path) -> None:
    """Make a project of everything that may be taken for the session, and is not."""
    project.mkdir(parents=True)
    project.chmod(0o755)
    (project / "bot.py").write_text("print('a bot')\n")
    (project / "store.db.bak").write_bytes(os.urandom(3000))
    (project / "creds.json.example").write_text("{}")
    (project / "other.session").write_bytes(b"SQLite format 3\0" + bytes(500))
    (project / "keys-journal").mkdir()  # called like what SQLite keeps beside a database
    (project / "keys-journal" / "today").write_text("dear diary")
    (project / "node_modules" / "keys").mkdir(parents=True)
    (project / "node_modules" / "keys" / "one").write_text("a module")
    (project / "node_modules" / "creds.json").write_text("{}")
    (project / "latest").symlink_to("keys/one")
    (project / "secret").write_text("of another user's eyes")
    (project / "secret").chmod(0o640)
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)


def session_and_project(place: AmongPlace) -> SessionManager:
    """Return a manager of a session that nobody linked, in a project."""
    settle_in(place.live)
    fill(place.live)
    return place.manager()


def neighbours(project: Path) -> Mapping[str, tuple[int, int, str, bytes, tuple[int, ...]]]:
    """Return what all else in the project is, and how it looks to stat(2).

    But the time of the last look, and of the project's own folder all times.
    """
    found: dict[str, tuple[int, int, str, bytes, tuple[int, ...]]] = {}
    for folder, folders, files in os.walk(project):
        at = Path(folder)
        own = (*PARTS, *_JOURNALS) if at == project else ()
        folders[:] = [name for name in folders if name not in own]
        for name in (*files, *folders):
            if name in own:
                continue
            path = at / name
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            target = str(path.readlink()) if path.is_symlink() else ""
            rest = (status.st_ino, status.st_uid, status.st_nlink, status.st_ctime_ns)
            # A copy of a folder has a time of its own.
            changed_ns = 0 if path.is_dir() else status.st_mtime_ns
            found[str(path.relative_to(project))] = (
                *(status.st_mode, changed_ns, target, content),
                rest,
            )
    return found


def session(project: Path) -> Mapping[str, bytes | str | None]:
    """Return what is of the session: files' bytes, links' targets, None for folders."""
    tops = [project / name for name in (*PARTS, *_JOURNALS)]
    paths = [path for top in tops for path in (top, *sorted(top.rglob("*")))]
    return {
        str(path.relative_to(project)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in paths
        if os.path.lexists(path)
    }
