"""Which files go together, and which of them a look is needed at. Reads no file."""

import re
from collections.abc import Iterable, Mapping

from supervisor.session.proof import leveldb
from supervisor.session.proof.profile import Profile
from supervisor.session.proof.sqlite_files import JOURNALS
from supervisor.session.scan import Seen, matches
from supervisor.session.storage.entries import Entry

_DATA = (".ldb", ".sst", ".log")
# One call for each path, of which most are none: perhaps a member of a LevelDB.
_LIKE_ONE = re.compile(r"(?:[^/]*/)*(?:CURRENT$|MANIFEST-|[^/]*\.(?:ldb|sst|log)$)").match


def alternatives(required: Iterable[str]) -> tuple[str, ...]:
    """Return all the globs of what is required, of which some are alternatives."""
    return tuple(glob for globs in required for glob in globs.split("|"))


def leveldb_folders(seen: Mapping[str, Seen], then: Mapping[str, Entry]) -> list[str]:
    """Return the folders that hold a LevelDB, whole or not. "": the session's own.

    One of which only a part is left is known by `then`, what a snapshot has.
    """
    near = {path.rpartition("/")[0] for path in seen if _LIKE_ONE(path)}
    if not near:
        return []
    names: dict[str, set[str]] = {}
    for path, item in seen.items():
        folder, _, name = path.rpartition("/")
        if folder in near and item.kind == "file":
            names.setdefault(folder, set()).add(name)
    found = [folder for folder, inside in names.items() if leveldb.is_ours(inside)]
    parts = {
        folder: set[str]()
        for folder, inside in names.items()
        if folder not in found and any(map(_like_a_member, inside))
    }
    for path in then if parts else ():
        folder, _, name = path.rpartition("/")
        if folder in parts:
            parts[folder].add(name)
    return found + [folder for folder, inside in parts.items() if leveldb.is_ours(inside)]


def _like_a_member(name: str) -> bool:
    """Return whether a LevelDB may need a file of this name: quick, where there are many."""
    return name == "CURRENT" or name.startswith("MANIFEST-") or name.endswith(_DATA)


def looked_into(
    entries: Mapping[str, Entry], profile: Profile, then: Mapping[str, Entry]
) -> list[str]:
    """Return which files of a stored copy must lie on the disk to be validated, and to be read.

    What has a format or had one, what SQLite and LevelDB need beside it, and what the profile
    names. `then`: an older copy, which knows what a database was that is one no more.
    """
    seen = {path: entry.seen for path, entry in entries.items()}
    globs = (*(glob for glob, _form in profile.formats), *alternatives(profile.required))
    sets = set(leveldb_folders(seen, then))

    def needed(path: str) -> bool:
        for end in JOURNALS:
            if path.endswith(end) and path.removesuffix(end) in entries:
                return True
        folder, _, name = path.rpartition("/")
        return (
            bool(entries[path].format)
            or (path in then and bool(then[path].format))
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
    sets = set(leveldb_folders({path: entry.seen for path, entry in both.items()}, {}))

    def whole(path: str) -> str:
        for end in JOURNALS:
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
