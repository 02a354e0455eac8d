"""Small sessions, and managers over them, for the tests of the session room."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.session.manager import SessionManager

ID = "971505760056"
# Mode and time of a file that is none of the session's, where it leads to, and what it holds.
Looks = tuple[int, int, str, bytes]


@dataclass(slots=True)
class Clock:
    """A clock that a test may move."""

    now: float = 1_795_557_600.0  # 2026-11-24T22:00:00Z

    def __call__(self) -> float:
        """Return the time, a second later each time."""
        self.now += 1.0
        return self.now


@dataclass(slots=True)
class Place:
    """A project's folder with one session in it."""

    root: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def live(self) -> Path:
        """The session's folder."""
        return self.root / "sessions" / f"session-{ID}"

    def content(self) -> "Mapping[str, bytes | str | None]":
        """Return what is of the session: see `tree`."""
        return tree(self.live) if self.live.exists() else {}

    def lose(self) -> None:
        """Remove the session, with its folder."""
        shutil.rmtree(self.live, ignore_errors=True)

    def empty(self) -> None:
        """Remove all that is of the session, but not its folder."""
        remove(self.live.iterdir())

    def beside(self) -> "Mapping[str, Looks]":
        """Return what lies beside the session in the same folder: nothing."""
        return {}

    @property
    def store(self) -> Path:
        """The snapshots' folder."""
        return self.root / ".session-cache"

    @property
    def state(self) -> Path:
        """The state file."""
        return self.root / "session-state.json"

    def manager(self, **options: Any) -> SessionManager:
        """Return a new manager, as another process would make one."""
        return SessionManager(
            self.root / "sessions", self.store, self.state, clock=self.clock, **options
        )

    def linked(self, **options: Any) -> SessionManager:
        """Return a manager of a linked session that has one good snapshot."""
        fill(self.live)
        manager = self.manager(**options)
        manager.note_linked(ID, "1:aa")
        assert manager.backup(ID, "linked").verdict == "good"
        return manager

    def manifests(self) -> list[str]:
        """Return the manifests' names."""
        return sorted(path.name for path in self.store.glob("session-*.json"))

    def packs(self) -> list[str]:
        """Return the packs' names."""
        return sorted(path.name for path in (self.store / "packs").iterdir())


def remove(paths: Iterable[Path]) -> None:
    """Remove files, links and folders."""
    for path in paths:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def fill(folder: Path, device: int = 1, *, rows: int = 20) -> None:
    """Write a session of the bot that ships."""
    folder.mkdir(parents=True, exist_ok=True)
    creds = {"device": device, "fingerprint": "aa" if device == 1 else "bb"}
    (folder / "creds.json").write_text(json.dumps(creds))
    with closing(sqlite3.connect(folder / "store.db")) as database, database:
        database.execute("CREATE TABLE keys(id INTEGER PRIMARY KEY, key BLOB)")
        keys = [(os.urandom(400),) for _ in range(rows)]
        database.executemany("INSERT INTO keys(key) VALUES (?)", keys)
    (folder / "keys").mkdir()
    (folder / "keys" / "one").write_bytes(b"first key")
    (folder / "keys" / "two").write_bytes(b"second key")


def write_key(folder: Path, text: str) -> None:
    """Change the session, as a bot does."""
    (folder / "keys" / "one").write_text(text)


def with_snapshots(place: Place, count: int) -> SessionManager:
    """Return a manager of a linked session with that many good snapshots, each with a pack."""
    manager = place.linked()
    for number in range(2, count + 1):
        write_key(place.live, f"key {number}")
        assert manager.backup(ID).verdict == "good"
    return manager


def tree(folder: Path) -> Mapping[str, bytes | str | None]:
    """Return all that lies in `folder`: files' bytes, links' targets, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def aside(place: Place, name: str) -> Mapping[str, bytes | str | None]:
    """Return what lies in quarantine under `name`: in a folder, or in the packs."""
    folder = place.store / "quarantine" / name
    if folder.is_dir():
        return tree(folder)
    target = place.root / "taken-out"
    place.manager().export(ID, target, name)
    found = tree(target)
    shutil.rmtree(target)
    return found


def moved_whole(place: Place) -> list[str]:
    """Return the plain folders in quarantine: what was moved there whole."""
    return [path.name for path in (place.store / "quarantine").iterdir() if path.is_dir()]


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Return (is a folder, mode) of `folder` and all that is in it."""
    found = (path for path in [folder, *folder.rglob("*")] if not path.is_symlink())
    return {(path.is_dir(), path.stat().st_mode & 0o7777) for path in found}
