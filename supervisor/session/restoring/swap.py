"""Put one folder in the place of another, so that a crash anywhere is finished afterwards.

The intent file says what is being done; it is on the disk before the first change. Nothing is
deleted to make room: what lay there goes to quarantine. On a mount point, which can't be renamed,
the entries move one by one, and so do those of a session that lies among others. Where little
differs, the folder stays and is changed (`inplace`).
"""

import errno
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.names import Names, make_plain, names_in
from supervisor.session.proof.sqlite_files import COMPANIONS
from supervisor.session.restoring import inplace
from supervisor.session.restoring.inplace import Steps
from supervisor.session.restoring.mounted import mounts_below
from supervisor.session.restoring.moving import NOT_BY_RENAME, move_entry, unused

_MAX_BYTES = 64 << 20
_NUMBER_MAX = 1 << 63
# What rename(2) says of a plain folder with something in it. Of a mount point it says another.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is being done. `quarantine`: where the old session is then.

    `phase`: "out" moves the old away, "in" the new into place; "place" does `steps` in the live
    folder, with what lies ready in `new`. `patterns`: what of the live folder is the session, and
    all that is ever touched there; (): the folder is.
    """

    op: Literal["restore", "close", "import"]
    token: str
    id: str
    live: str
    quarantine: str
    new: str = ""
    phase: Literal["out", "in", "place"] = "out"
    epoch: int = 0
    snapshot: int = 0
    why: str = ""
    steps: Steps | None = None
    patterns: tuple[str, ...] = ()


def intent_path(root: Path, session_id: str) -> Path:
    """Return where a session's intent lies while there is one."""
    return root / f".intent-session-{session_id}.json"


def read_intent(root: Path, session_id: str) -> Intent | None:
    """Return what was begun and not finished. Raises: SupervisorError when it can't be read."""
    path = intent_path(root, session_id)
    try:
        value: Any = json.loads(files.read_file(path, _MAX_BYTES))
        steps = value.pop("steps", None)
        patterns = tuple(value.pop("patterns", ()))
        done = None if steps is None else inplace.steps_from(steps)
        intent = Intent(**value, steps=done, patterns=patterns)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SupervisorError(
            f"{path} can't be read, so a half-done restore can't be finished",
            "look at the session's folder and at quarantine/; then move this file away",
        ) from error
    if (
        not _whole(intent)
        or intent.id != session_id
        or (intent.phase == "place") != (steps is not None)
    ):
        raise SupervisorError(f"{path} is not of session {session_id}", "move this file away")
    return intent


def _whole(intent: Intent) -> bool:
    """Return whether each field is of its kind: the file is read as if an enemy had written it."""
    texts = (intent.token, intent.live, intent.quarantine, intent.new, intent.why, *intent.patterns)
    numbers = (intent.epoch, intent.snapshot)
    return (
        intent.op in ("restore", "close", "import")
        and intent.phase in ("out", "in", "place")
        and all(isinstance(text, str) and "\0" not in text for text in texts)
        and all(type(number) is int and 0 <= number < _NUMBER_MAX for number in numbers)
    )


def write_intent(root: Path, intent: Intent) -> None:
    """Make the intent durable: from here on it will be done. Raises: OSError."""
    value = asdict(intent)
    if not intent.patterns:
        del value["patterns"]  # as a program wrote it, and can read it, that knows of none
    data = json.dumps(value).encode()
    files.replace_synced(intent_path(root, intent.id), data, root / "tmp")


def remove_intent(root: Path, session_id: str) -> None:
    """All is done. Raises: OSError."""
    with suppress(FileNotFoundError):
        intent_path(root, session_id).unlink()
        files.sync_dir(root)


def carry_out(root: Path, intent: Intent, names: Names | None = None) -> None:
    """Move the old folder out and the new one in; whatever part was done before stays done.

    `names`: what of the live folder is the session. Raises: OSError; the intent then remains, and
    the next call goes on.
    """
    live = Path(intent.live)
    if names is not None and intent.new:
        make_plain(live)  # somebody may have removed it
    if intent.steps is not None:
        inplace.carry_out(live, Path(intent.new), intent.steps)
        return
    if intent.phase == "out":
        if holds_something(live, names):
            move_out(live, Path(intent.quarantine), names)
        intent = replace(intent, phase="in")
        if intent.new:
            write_intent(root, intent)
    if intent.new and files.there(Path(intent.new)):
        _move_in(Path(intent.new), live, Path(intent.quarantine), names)
    if names is None and live.parent.is_dir():
        files.sync_dir(live.parent)


def move_out(live: Path, quarantine: Path, names: Names | None = None) -> None:
    """Move a session to `quarantine`, whole or entry by entry.

    That where it is a mount point, or only `names` of the folder are of it.
    """
    if quarantine.parent != live.parent:  # which is no folder of ours
        files.keep_private(quarantine.parent)
    if names is None and not files.there(quarantine):
        try:
            live.rename(quarantine)
        except OSError as error:
            if error.errno not in NOT_BY_RENAME:
                raise
        else:
            files.keep_private(quarantine)
            files.sync_dir(quarantine.parent)
            files.sync_dir(live.parent)
            return
    _make_room(quarantine)
    for name in names_in(live, names):
        move_entry(live / name, unused(quarantine / name))
    files.sync_dir(quarantine)
    files.sync_dir(quarantine.parent)
    files.sync_dir(live)
    if names is None:
        with suppress(OSError):
            live.rmdir()  # a mount point stays


def _move_in(new: Path, live: Path, quarantine: Path, names: Names | None) -> None:
    if names is None and _renamed_in(new, live, quarantine):
        return
    files.make_private(live)
    # What was placed goes at once, not file by file: a crash in between would else leave a part
    # of it here, which the next call would take for the whole and put in its place.
    gone = new.with_name(f"{new.name}.gone")
    # A journal of the old database beside the new one would be replayed into it: everything
    # that is there is moved away before its successor comes.
    listed = set(names_in(live, names))  # where no name is too long to be asked for
    mounts = mounts_below(live)
    for name in names_in(new, names):
        if names is not None and name not in listed and files.there(live / name):
            continue  # a folder of somebody's that is called like a database's companion
        for old in (name, *(name + end for end in COMPANIONS)):
            there = old in listed and files.there(live / old)
            if there and not _only_mounts(live / old, mounts):
                _make_room(quarantine)
                move_entry(live / old, unused(quarantine / old))
        move_entry(new / name, live / name, gone)
    files.sync_dir(live)
    if names is not None:
        files.remove_tree(new)  # with what no name is for any more: that is not placed
    else:
        new.rmdir()
    files.remove_tree(gone)


def _renamed_in(new: Path, live: Path, quarantine: Path) -> bool:
    """Put the folder in place by one rename, if that can be."""
    try:
        new.rename(live)
    except OSError as error:
        if error.errno not in NOT_BY_RENAME:
            raise
        if error.errno not in _TAKEN:
            return False
        # A bot was started by hand after the crash, say: two sessions make none.
        move_out(live, unused(quarantine))
        new.rename(live)
    return True


def _make_room(quarantine: Path) -> None:
    """Make the folder in which entries are put aside, if it is not there: on the disk at once.

    Else a power cut might leave them neither where they were, nor in a folder that has a name.
    """
    files.keep_private(quarantine)
    files.sync_dir(quarantine.parent)


def _only_mounts(path: Path, mounts: Sequence[Path]) -> bool:
    """Return whether nothing is left there but mount points, which can't go."""
    if not any(path == mount or path in mount.parents for mount in mounts):
        return False
    if not files.is_folder(path):
        return not path.lstat().st_size
    return not any(names for _folder, names in files.walk_up(path))


def holds_something(live: Path, names: Names | None = None) -> bool:
    """Return whether there is anything of the session in the folder, or it is there at all."""
    if names is not None:
        return bool(names.among(live))
    try:
        return any(live.iterdir())
    except FileNotFoundError:
        return False
