"""Are these files whole? What a short reading can tell, and what only opening copies can.

Nothing here writes into a live session, and no live database is ever opened.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.session import files
from supervisor.session.model import Unjudged
from supervisor.session.proof import leveldb, validate
from supervisor.session.proof.profile import Profile
from supervisor.session.proof.sqlite_files import JOURNALS, MAGIC
from supervisor.session.proof.together import leveldb_folders
from supervisor.session.scan import NO_RIGHTS, OUR_LACKS, Seen, matcher, matches
from supervisor.session.storage.entries import Entry

_HEADER_BYTES = 100
# So much is parsed at once, while a restart waits: 40 ms. Of more, the two ends tell if it is torn.
_PARSED_BYTES = 4 << 20
_ENDS_BYTES = 4096
_CLOSES = {b"{": b"}]", b"[": b"}]"}
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_VALIDATOR_TIMEOUT_S = 120


class Problem(NamedTuple):
    """What is wrong with the content of one file, in words for a person.

    `barred`: we have no right to read it, or lack something ourselves: it may be whole.
    """

    path: str
    text: str
    barred: bool = False


def formats_of(
    root: Path,
    seen: Mapping[str, Seen],
    profile: Profile,
    known: Mapping[str, Entry],
    then: Mapping[str, Entry] | None = None,
    *,
    ours: bool = False,
) -> dict[str, str]:
    """Return path -> format of the files that can be validated.

    By the profile, by what snapshots knew, or by the first bytes. A LevelDB goes by the path of
    its CURRENT, which may be what it lacks. `then`: an older snapshot that tells what was what;
    None: `known` is that. What is damaged has not the first bytes that it had, and `known` may be
    the damaged copy itself. `ours`: see `content_problems`. Raises: OSError.
    """
    then = known if then is None else then
    formats: dict[str, str] = {}
    for folder in leveldb_folders(seen, then):
        path = f"{folder}/CURRENT".removeprefix("/")
        if not profile.vital or matches(path, profile.vital):
            formats[path] = "leveldb"
    vital = matcher(profile.vital) if profile.vital else None
    named = matcher(tuple(glob for glob, _form in profile.formats))
    for path, item in seen.items():
        if item.kind != "file" or (vital and not vital(path)):
            continue
        form = _named(path, profile) if named(path) else ""
        entry = known.get(path)
        for before in (entry, then.get(path)):
            if not form and before is not None and before.format != "leveldb":
                form = before.format
        if not form and item.size >= _HEADER_BYTES:
            looked_at = entry is not None and (entry.seen is item or entry.seen == item)
            if not looked_at and _begins(root / path, ours=ours) == MAGIC:
                form = "sqlite"
        if form and path not in formats:
            formats[path] = form
    return formats


def _named(path: str, profile: Profile) -> str:
    """Return the format that the profile names for this path, or ""."""
    return next((form for glob, form in profile.formats if matches(path, (glob,))), "")


def content_problems(
    root: Path,
    seen: Mapping[str, Seen],
    formats: Mapping[str, str],
    trusted: Container[str] = (),
    *,
    ours: bool = False,
) -> list[Problem]:
    """Return what a short look at each file shows: no subprocess, no opening of databases.

    `trusted`: paths that stat proves to be as they are in a snapshot that was found good; they
    are not read again. `ours`: the files were copied by us just now, so that one that can't be
    read says nothing of the session. Raises: OSError.
    """
    problems: list[Problem] = []
    for path, form in formats.items():
        if form != "leveldb" and path in trusted:
            continue
        try:
            problem, barred = _content_problem(root, path, form, seen), False
        except OSError as error:
            if ours or error.errno in OUR_LACKS:
                raise
            problem, barred = f"can't be read: {error.strerror}", error.errno in NO_RIGHTS
        if problem:
            problems.append(Problem(path, f"{path} {problem}", barred))
    return problems


def _content_problem(root: Path, path: str, form: str, seen: Mapping[str, Seen]) -> str:
    """Return what a short look at one file shows, or "". Raises: OSError."""
    if form == "leveldb":
        problem = leveldb.problem(str((root / path).parent), deep=False)
        return problem and f"belongs to a LevelDB that is not whole: {problem}"
    if form == "sqlite":
        return _header_problem(root, path, seen)
    if seen[path].size <= _PARSED_BYTES:
        return validate.json_problem(str(root / path), *form.split()[1:])
    return _torn_json(root / path, seen[path].size)


def deep_problems(root: Path, formats: Mapping[str, str], work: Path | None) -> list[Problem]:
    """Return what opening the files shows, in a subprocess; after `content_problems`.

    `work`: where databases are copied to first; None when `root` is a copy itself. Raises:
    OSError; Unjudged when the validator can't be run to its end, or can't read a copy of ours.
    """
    jobs: list[tuple[str, str]] = []
    names: dict[str, str] = {}
    for number, (path, form) in enumerate(formats.items()):
        target = root / path
        if form == "leveldb":
            target = target.parent  # it is only read, so no copy is needed
        elif form != "sqlite" and target.stat().st_size <= _PARSED_BYTES:
            continue  # read already
        elif form == "sqlite" and work is not None:
            target = _copy_database(target, work / str(number))
        jobs.append((form, str(target)))
        names[str(target)] = path
    if not jobs:
        return []
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", validate.__file__],
            input=json.dumps(jobs).encode(),
            capture_output=True,
            timeout=_VALIDATOR_TIMEOUT_S,
            check=True,
        )
        answers = json.loads(done.stdout)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        at, words = _last_words(error.stderr or b"")
        why = f"it timed out after {_VALIDATOR_TIMEOUT_S} s"
        if isinstance(error, subprocess.CalledProcessError):
            why = words or str(error)
        where = f"{names[jobs[at][1]]}: " if at is not None and at < len(jobs) else ""
        raise Unjudged(f"the session's copy can't be validated: {where}{why}") from error
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Unjudged(f"the session's copy can't be validated: {error}") from error
    unread = [f"{names[path]}: {problem}" for path, problem, failed in answers if failed]
    if unread and work is None:
        raise Unjudged(f"the session's copy can't be validated: {unread[0]}")
    ours = (*OUR_LACKS, *NO_RIGHTS)
    return [
        Problem(names[path], f"{names[path]}: {problem}", failed in ours)
        for path, problem, failed in answers
    ]


def _last_words(said: bytes) -> tuple[int | None, str]:
    """Return at which job the validator was, and what it said at last if that is something else."""
    lines = said.decode("utf-8", "replace").splitlines()
    told = [line.removeprefix(validate.AT) for line in lines if line.startswith(validate.AT)]
    last = lines[-1] if lines else ""
    at = int(told[-1]) if told and told[-1].isdecimal() else None
    return at, "" if last.startswith(validate.AT) else last


def _copy_database(source: Path, folder: Path) -> Path:
    folder.mkdir(0o700)
    for suffix in ("", *JOURNALS):
        try:
            fd = os.open(f"{source}{suffix}", _FLAGS)
        except OSError as error:
            # A name of 255 bytes leaves no room for a companion's: then it has none.
            if suffix and error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
                continue
            raise
        try:
            target = files.create(folder / f"copy{suffix}")
            try:
                files.copy_range(fd, target, os.fstat(fd).st_size)
            finally:
                os.close(target)
        finally:
            os.close(fd)
    return folder / "copy"


def _header_problem(root: Path, path: str, seen: Mapping[str, Seen]) -> str:
    """Return what the first 100 bytes say against a database, or ""."""
    size = seen[path].size
    if size == 0:
        return ""  # SQLite makes an empty file at the first open; `emptied` compares
    if any(_has_bytes(path + end, seen) for end in JOURNALS):
        return ""  # the journal may complete it: only SQLite itself can tell
    head = _head(root / path)
    if head[:16] != MAGIC:
        return "is no SQLite database any more"
    page = int.from_bytes(head[16:18], "big")
    page = 65_536 if page == 1 else page
    count = int.from_bytes(head[28:32], "big")
    counted = head[24:28] == head[92:96]  # else an old library wrote it, and the count is stale
    if counted and size < page * count:
        return f"is torn: {size} bytes instead of {page * count}"
    return ""


def _has_bytes(path: str, seen: Mapping[str, Seen]) -> bool:
    return path in seen and seen[path].kind == "file" and seen[path].size > 0


def _torn_json(path: Path, size: int) -> str:
    """Return what the two ends of a large file say against it, or "". Raises: OSError."""
    fd = os.open(path, _FLAGS)
    try:
        first = files.read_at(fd, _ENDS_BYTES, 0).strip()[:1]
        last = files.read_at(fd, _ENDS_BYTES, max(0, size - _ENDS_BYTES)).strip()[-1:]
    finally:
        os.close(fd)
    torn = first in _CLOSES and last not in _CLOSES[first]
    return "is no JSON: its end is missing" if torn else ""


def _begins(path: Path, *, ours: bool) -> bytes:
    """Return the bytes by which a database is known; none where its disk does not give them."""
    try:
        return _head(path)[: len(MAGIC)]
    except OSError as error:
        if ours or error.errno in OUR_LACKS:
            raise
        return b""


def _head(path: Path) -> bytes:
    fd = os.open(path, _FLAGS)
    try:
        return files.read_at(fd, _HEADER_BYTES, 0)
    finally:
        os.close(fd)
