"""What a copy of a session needs in which somebody may be writing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from supervisor.session import files
from supervisor.session.copying.capture import Capture, Copies, leave_out, put_instead, young
from supervisor.session.copying.pieces import cut
from supervisor.session.copying.spool import CHUNK_BYTES
from supervisor.session.copying.tray import Tray
from supervisor.session.proof.profile import Profile
from supervisor.session.proof.sqlite_files import JOURNALS
from supervisor.session.scan import matcher, seen_from
from supervisor.session.sight import looked

# Named, not imported: it is for a process of its own, and brings SQLite with it.
_COPIER = Path(__file__).with_name("sqlite_copy.py")
_WITHIN_S = 2.0
_COPIER_TIMEOUT_S = 10.0
# proc_pid_maps(5): a file, shared and writable, with its inode.
_WRITABLE = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ .w.s [0-9a-f]+ [0-9a-f:]+ (\d+) ", re.MULTILINE)


def mapped(pids: Iterable[int]) -> frozenset[int]:
    """Return the inodes of the files that these processes can write without a call.

    Ask right before the first copy, while they run: what is mapped later is written through a
    page fault first, which moves the file's times, and so stat tells it. Of a page that is dirty
    already it does not. Who can't be looked at is taken to have none.
    """
    found: set[int] = set()
    for pid in pids:
        with suppress(OSError):
            found.update(
                map(int, _WRITABLE.findall(looked(pid, Path(f"/proc/{pid}/maps").read_bytes)))
            )
    return frozenset(found - {0})


def prepare_haste(profile: Profile, copies: Copies) -> None:
    """Make room for what will have to be copied again, so that it takes the least of time."""
    reread = matcher(profile.reread)
    again = (
        copies.seen[path].size
        for path in copies.copied
        if young(copies.seen[path], copies.scan_ns, fine=copies.fine)
        or copies.seen[path].inode in copies.mapped
        or reread(path)
    )
    copies.tray = Tray(sum(again))


def look_through(copies: Copies) -> None:
    """Hash what was copied in haste, and keep of it what is not stored. Raises: OSError."""
    for path, (data, known) in copies.late.items():
        copies.copied[path], _size = cut(partial(_chunk, data), len(data), known, copies.spool)
    copies.late.clear()
    copies.tray = None


def _chunk(data: memoryview, at: int) -> memoryview:
    return data[at : at + CHUNK_BYTES]


def consistent_databases(capture: Capture, folder: Path, tmp: Path) -> None:
    """Put SQLite's own copies in the place of databases that were copied while they may change.

    What was done is added to the doubts: the copies are of a later moment than the other files.
    One that can't be opened without touching the live folder, or not in time, stays as it is.
    `folder`: the live session. `tmp`: where scratch folders are made. Raises: OSError.
    """
    copies = capture.copies
    paths = [path for path in copies.seen if _moves(copies, path, folder)]
    if not paths:
        return
    if copies.uid is not None:
        # SQLite would open them, and what lies beside them, by names that may lead anywhere.
        copies.doubts.extend(
            f"{path} may be torn: it changed while it was copied" for path in paths
        )
        return
    with files.scratch(tmp) as work:
        targets = [work / str(number) for number in range(len(paths))]
        sources = [(str(folder / path), copies.seen[path].inode) for path in paths]
        problems = _copy(
            [(live, str(to), inode) for (live, inode), to in zip(sources, targets, strict=True)]
        )
        for path, target, problem in zip(paths, targets, problems, strict=True):
            if problem:
                copies.doubts.append(f"{path} may be torn: {problem}")
                continue
            put_instead(copies, path, target)
            for suffix in JOURNALS:
                leave_out(copies, path + suffix)
            copies.doubts.append(f"{path} is SQLite's own copy, of a later moment")


def _moves(copies: Copies, path: str, folder: Path) -> bool:
    """Return whether this is a database that changed while it was copied, or may have."""
    entry, copied = copies.reused.get(path), copies.copied.get(path)
    form = entry.format if entry else copied.format if copied else ""
    return form == "sqlite" and not all(
        _steady(copies, name, folder) for name in (path, *(path + end for end in JOURNALS))
    )


def _steady(copies: Copies, path: str, folder: Path) -> bool:
    try:
        status = os.lstat(folder / path)
    except FileNotFoundError:
        return path not in copies.seen
    seen = seen_from(status)
    return seen is not None and path in copies.seen and copies.same(path, seen)


def _copy(asked_for: list[tuple[str, str, int]]) -> list[str]:
    """Copy each database, in a subprocess. Returns what was wrong with each, or ""."""
    asked = {"within_s": _WITHIN_S, "copies": asked_for}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_COPIER)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=_COPIER_TIMEOUT_S,
            check=True,
        )
        return [problem for _live, problem in json.loads(done.stdout)]
    except (subprocess.SubprocessError, ValueError) as error:
        return [f"SQLite could not be asked for a copy ({error})"] * len(asked_for)
