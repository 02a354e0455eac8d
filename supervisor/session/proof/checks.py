"""Is this a whole session? What a look at the files can tell, and what only opening copies can.

Nothing here writes into a live session, and no live database is ever opened.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.proof import leveldb, validate
from supervisor.session.proof.profile import Profile
from supervisor.session.scan import Seen, matches
from supervisor.session.storage.entries import Entry

SQLITE_MAGIC = b"SQLite format 3\0"
# Beside a database, and part of it.
COMPANIONS = ("-wal", "-journal")
_HEADER_BYTES = 100
_SMALL_JSON_BYTES = 256 << 10
_VALIDATOR_TIMEOUT_S = 120
# We have no descriptor or memory left, which says nothing about the file.
_OUR_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Problem(NamedTuple):
    """What is wrong with the content of one file, in words for a person."""

    path: str
    text: str


def formats_of(
    root: Path, seen: Mapping[str, Seen], profile: Profile, known: Mapping[str, Entry]
) -> dict[str, str]:
    """Return path -> format of the files that can be validated.

    By the profile, by what the last snapshot knew, or by the first bytes. A LevelDB goes by the
    path of its CURRENT, which may be what it lacks.
    """
    formats: dict[str, str] = {}
    for folder in leveldb_folders(seen):
        path = f"{folder}/CURRENT".removeprefix("/")
        if not profile.vital or matches(path, profile.vital):
            formats[path] = "leveldb"
    for path, item in seen.items():
        if item.kind != "file" or (profile.vital and not matches(path, profile.vital)):
            continue
        form = next((form for glob, form in profile.formats if matches(path, (glob,))), "")
        entry = known.get(path)
        if not form and entry is not None and entry.format != "leveldb":
            form = entry.format
        looked_at = item.size < _HEADER_BYTES or (entry is not None and entry.seen == item)
        if not form and not looked_at and _head(root / path)[:16] == SQLITE_MAGIC:
            form = "sqlite"
        if form and path not in formats:
            formats[path] = form
    return formats


def leveldb_folders(seen: Mapping[str, Seen]) -> list[str]:
    """Return the folders that hold a LevelDB, whole or not. "": the session's own."""
    names: dict[str, set[str]] = {}
    for path, item in seen.items():
        folder, _, name = path.rpartition("/")
        if item.kind == "file":
            names.setdefault(folder, set()).add(name)
    return [folder for folder, found in names.items() if leveldb.is_ours(found)]


def looked_into(entries: Mapping[str, Entry], profile: Profile) -> list[str]:
    """Return which files of a stored copy must lie on the disk to be validated, and to be read.

    What has a format, what SQLite and LevelDB need beside it, and what the profile names.
    """
    seen = {path: entry.seen for path, entry in entries.items()}
    globs = (*(glob for glob, _form in profile.formats), *_alternatives(profile.required))
    sets = set(leveldb_folders(seen))

    def needed(path: str) -> bool:
        for end in COMPANIONS:
            if path.endswith(end) and path.removesuffix(end) in entries:
                return True
        folder, _, name = path.rpartition("/")
        return (
            bool(entries[path].format)
            or (folder in sets and leveldb.is_member(name))
            or matches(path, globs)
        )

    return [path for path, item in seen.items() if item.kind == "file" and needed(path)]


def renewed(
    paths: Iterable[str], entries: Mapping[str, Entry], then: Mapping[str, Entry]
) -> list[str]:
    """Return which of `paths` need a look, where `then` are the entries of a good snapshot.

    What has the same bytes was found whole; but a database goes with its journal, and a LevelDB
    with all that is in its folder.
    """
    both = {**then, **entries}
    sets = set(leveldb_folders({path: entry.seen for path, entry in both.items()}))

    def whole(path: str) -> str:
        for end in COMPANIONS:
            if path.endswith(end) and path.removesuffix(end) in both:
                return path.removesuffix(end)
        folder, _, name = path.rpartition("/")
        return f"{folder}/" if folder in sets and leveldb.is_member(name) else path

    changed = {whole(path) for path in both if not _same_bytes(entries.get(path), then.get(path))}
    return [path for path in paths if whole(path) in changed]


def _same_bytes(now: Entry | None, then: Entry | None) -> bool:
    if now is None or then is None or now.seen.size != then.seen.size:
        return False
    if now.line == then.line:
        return True
    return [blob.hash for blob in now.blobs] == [blob.hash for blob in then.blobs]


def missing_problems(seen: Mapping[str, Seen], profile: Profile) -> list[str]:
    """Return which required files are not there, or are there and empty."""
    held = [path for path, item in seen.items() if item.kind == "file" and item.size]
    return [
        f"{' or '.join(globs)} is missing or empty"
        for globs in map(_alternatives, zip(profile.required))
        if not any(matches(path, globs) for path in held)
    ]


def _alternatives(required: Iterable[str]) -> tuple[str, ...]:
    return tuple(glob for globs in required for glob in globs.split("|"))


def emptied_problems(
    seen: Mapping[str, Seen], profile: Profile, newest: Mapping[str, Entry], *, at_rest: bool
) -> list[str]:
    """Return what is said of the files that are `emptied`, and of the logs that are `shorter`."""
    empty = emptied(seen, profile, newest, at_rest=at_rest)
    return [f"{path} is empty" for path in empty] + shorter_problems(seen, newest)


def emptied(
    seen: Mapping[str, Seen], profile: Profile, newest: Mapping[str, Entry], *, at_rest: bool
) -> list[str]:
    """Return which files are empty that had bytes in the last snapshot.

    A database is not emptied on purpose, as far as one can tell (but see `proof.emptied`). What
    any other file is for is not known, so that it is damage only `at_rest`, where nobody has the
    seat, and if nobody wrote anything else.
    """
    untouched = at_rest and not _written_since(seen, newest)
    return [
        path
        for path, item in seen.items()
        if item.kind == "file"
        and item.size == 0
        and path in newest
        and newest[path].seen.size
        and (untouched or newest[path].format)
        and not matches(path, profile.may_be_empty)
    ]


def shorter_problems(seen: Mapping[str, Seen], newest: Mapping[str, Entry]) -> list[str]:
    """Return which logs of a LevelDB are shorter than they were: they only grow, and then go."""
    shorter = [
        path
        for path, item in seen.items()
        if leveldb.is_log(path.rpartition("/")[2])
        and path in newest
        and item.size < newest[path].seen.size
    ]
    sets = leveldb_folders(seen) if shorter else ()
    return [
        f"{path} is torn: {seen[path].size} bytes instead of {newest[path].seen.size}"
        for path in shorter
        if path.rpartition("/")[0] in sets
    ]


def seal_problems(
    seen: Mapping[str, Seen], profile: Profile, sealed: Mapping[str, Entry]
) -> list[str]:
    """Return what is gone from a session that nobody may have written since `sealed`.

    A file that changed or came since says that somebody did write, by hand perhaps: then a
    missing one is no damage but the bot's own doing.
    """
    if _written_since(seen, sealed):
        return []
    return [
        f"{path} is missing"
        for path, entry in sealed.items()
        if entry.seen.kind == "file" and path not in seen and not matches(path, profile.excludes)
    ]


def _written_since(seen: Mapping[str, Seen], then: Mapping[str, Entry]) -> bool:
    """Return whether a file came or got other bytes since `then`; empty ones tell nothing."""
    for path, item in seen.items():
        if item.kind != "file" or item.size == 0:
            continue
        entry = then.get(path)
        if entry is None or entry.seen.mtime_ns != item.mtime_ns or entry.seen.size != item.size:
            return True
    return False


def content_problems(
    root: Path,
    seen: Mapping[str, Seen],
    formats: Mapping[str, str],
    trusted: Container[str] = (),
) -> list[Problem]:
    """Return what a short look at each file shows: no subprocess, no opening of databases.

    `trusted`: paths that stat proves to be as they are in a snapshot that was found good; they
    are not read again.
    """
    problems: list[Problem] = []
    for path, form in formats.items():
        if form == "leveldb":
            problem = _set_problem(root, path)
        elif path in trusted:
            continue
        elif form == "sqlite":
            problem = _header_problem(root, path, seen)
        elif seen[path].size <= _SMALL_JSON_BYTES:
            problem = _read_problem(root, path, form)
        else:
            continue
        if problem:
            problems.append(Problem(path, f"{path} {problem}"))
    return problems


def deep_problems(root: Path, formats: Mapping[str, str], work: Path | None) -> list[Problem]:
    """Return what opening the files shows, in a subprocess; after `content_problems`.

    `work`: where databases are copied to first; None when `root` is a copy itself. Raises:
    OSError; SupervisorError when the validator can't be run.
    """
    jobs: list[tuple[str, str]] = []
    names: dict[str, str] = {}
    for number, (path, form) in enumerate(formats.items()):
        target = root / path
        if form == "leveldb":
            target = target.parent  # it is only read, so no copy is needed
        elif form != "sqlite" and target.stat().st_size <= _SMALL_JSON_BYTES:
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
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").splitlines()
        why = said[-1] if said else error
        raise SupervisorError(f"the session's copy can't be validated: {why}") from error
    except (subprocess.SubprocessError, ValueError) as error:
        raise SupervisorError(f"the session's copy can't be validated: {error}") from error
    return [Problem(names[path], f"{names[path]}: {problem}") for path, problem in answers]


def _copy_database(source: Path, folder: Path) -> Path:
    folder.mkdir(0o700)
    for suffix in ("", *COMPANIONS):
        try:
            fd = os.open(
                f"{source}{suffix}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
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
    if any(_has_bytes(path + end, seen) for end in COMPANIONS):
        return ""  # the journal may complete it: only SQLite itself can tell
    head = _head(root / path)
    if head[:16] != SQLITE_MAGIC:
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


def _read_problem(root: Path, path: str, form: str) -> str:
    try:
        return validate.json_problem(str(root / path), *form.split()[1:])
    except OSError as error:
        return _unreadable(error)


def _unreadable(error: OSError) -> str:
    """Return what it says about the file. Raises: `error` itself, if it says nothing about it."""
    if error.errno in _OUR_LACKS:
        raise error
    return f"can't be read: {error.strerror}"


def _set_problem(root: Path, path: str) -> str:
    try:
        problem = leveldb.problem(str((root / path).parent), deep=False)
    except OSError as error:
        return _unreadable(error)
    return problem and f"belongs to a LevelDB that is not whole: {problem}"


def _head(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _unreadable(error)
        return b""
    try:
        return files.read_at(fd, _HEADER_BYTES, 0)
    finally:
        os.close(fd)
