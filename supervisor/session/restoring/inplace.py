"""Make the changes of an intent in the live folder, so that a crash anywhere is finished later.

Everything that goes is in quarantine before, and everything that comes lies ready in the staging
folder under its number. Each step may come twice: what was placed is not in the staging folder any
more, and that says that it is done. Old journals go first, and for good, before a file comes.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.session import files
from supervisor.session.restoring import moving
from supervisor.session.storage.entries import safe_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """`drop`: what goes. `folders`: what is made. `put`: path n comes from the staged file n.

    `modes`: (path, mode).
    """

    drop: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    put: tuple[str, ...] = ()
    modes: tuple[tuple[str, int], ...] = ()


def steps_from(value: Any) -> Steps:
    """Return the steps that an intent's JSON holds. Raises: ValueError, TypeError, KeyError."""
    found = Steps(
        drop=tuple(value["drop"]),
        folders=tuple(value["folders"]),
        put=tuple(value["put"]),
        modes=tuple((path, mode) for path, mode in value["modes"]),
    )
    paths = (*found.drop, *found.folders, *found.put, *(path for path, _mode in found.modes))
    if not all(isinstance(path, str) and safe_path(path) for path in paths):
        raise ValueError("a path leads out of the session")
    if not all(type(mode) is int and 0 <= mode <= 0o700 for _path, mode in found.modes):  # noqa: PLR2004 - a mode reads as octal
        raise ValueError("a mode is none")
    return found


def carry_out(live: Path, staging: Path, steps: Steps) -> None:
    """Do the steps, as far as they are not done. Raises: OSError; the next call goes on then.

    What somebody removed after a crash ends nothing: the next check finds what is missing then.
    """
    staged = {path: staging / str(number) for number, path in enumerate(steps.put)}
    coming = set(steps.folders)
    dropped: set[str] = set()
    for path in steps.drop:
        new = staged.get(path)
        if new is not None and not files.there(new):
            continue  # its successor is there already
        if path in coming and files.is_folder(live / path):
            continue
        files.remove_tree(live / path)
        dropped.add(path)
    if dropped:
        _sync_parents(live, dropped)
    for path in steps.folders:
        folder = live / path
        files.make_private(folder)
        folder.chmod(0o700)
    for path, mode in steps.modes:
        with suppress(FileNotFoundError):
            (live / path).chmod(mode)
    for path, new in staged.items():
        if files.there(new):
            files.make_private((live / path).parent)
            moving.move_entry(new, live / path)
    _sync_parents(live, (*steps.folders, *steps.put, *(path for path, _mode in steps.modes)))
    files.remove_tree(staging)


def _sync_parents(live: Path, paths: Iterable[str]) -> None:
    """Bring the names to the disk. A folder that went as well has none."""
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        with suppress(FileNotFoundError):
            files.sync_dir(live / folder)
