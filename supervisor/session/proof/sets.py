"""What a LevelDB has lost since its snapshot: its logs and its manifest only grow.

LevelDB itself takes what is torn for the end of what was written, and opens without the rest; a
log that its manifest does not need by number may even be missing. Only the snapshot tells. A set
that was made anew has the same numbers, and is not the one that the snapshot has: that is no loss.

Reads only what is not as it was, and the manifests beside that.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from supervisor.session.proof import leveldb
from supervisor.session.proof.against import begins_as, begins_otherwise
from supervisor.session.proof.leveldb_values import replays
from supervisor.session.proof.together import leveldb_folders
from supervisor.session.scan import Seen
from supervisor.session.storage.entries import Entry


def set_problems(root: Path, seen: Mapping[str, Seen], newest: Mapping[str, Entry]) -> list[str]:
    """Return which logs and manifests have lost something, or are gone.

    Raises: OSError where we may not look, or can't for want of something.
    """
    changed = {
        path.rpartition("/")[0]
        for path, entry in newest.items()
        if _only_grows(path) and entry.seen.size and not _same(seen.get(path), entry)
    }
    if not changed:
        return []
    return [
        problem
        for folder in leveldb_folders(seen, newest)
        if folder in changed
        for problem in _Set(root, folder, seen, newest).problems()
    ]


def _only_grows(path: str) -> bool:
    name = path.rpartition("/")[2]
    return leveldb.is_log(name) or leveldb.is_manifest(name)


def _same(now: Seen | None, then: Entry) -> bool:
    known = then.seen.size, then.seen.mtime_ns
    return now is not None and (now.size, now.mtime_ns) == known


class _Set:
    """One folder, as it is and as it was."""

    def __init__(
        self, root: Path, folder: str, seen: Mapping[str, Seen], newest: Mapping[str, Entry]
    ) -> None:
        self._root = root
        self._folder = folder
        self._seen = seen
        self._then = {
            path: entry for path, entry in newest.items() if path.rpartition("/")[0] == folder
        }

    def problems(self) -> Iterator[str]:
        for path, entry in self._then.items():
            now, had = self._seen.get(path), entry.seen.size
            if not had or not _only_grows(path) or _same(now, entry):
                continue
            shorter = now is not None and now.size < had
            torn = f"{path} is torn: {now.size if now else 0} bytes instead of {had}"
            if leveldb.is_manifest(path.rpartition("/")[2]):
                if shorter and self._has_of_then():
                    yield torn
            elif not self._goes_on():
                continue
            elif now is None:
                if replays(str(self._root / self._folder), path.rpartition("/")[2]):
                    yield f"{path} is missing"
            elif shorter:
                yield torn
            elif begins_otherwise(self._root / path, entry):
                yield f"{path} was overwritten"

    def _goes_on(self) -> bool:
        """Return whether it is the same set that it was, by its manifest."""
        for path, entry in self._then.items():
            now = self._seen.get(path)
            if now is None or not leveldb.is_manifest(path.rpartition("/")[2]):
                continue
            # The first edits are the same in each: what was made anew has other times.
            if _same(now, entry):
                return True
            if now.size > entry.seen.size and begins_as(self._root / path, entry):
                return True
        return False

    def _has_of_then(self) -> bool:
        """Return whether a table or a log lies there still that was there then."""
        for path, entry in self._then.items():
            name = path.rpartition("/")[2]
            now = self._seen.get(path)
            if now is None or not entry.seen.size or leveldb.is_manifest(name):
                continue
            if leveldb.is_log(name):
                if now.size >= entry.seen.size and begins_as(self._root / path, entry):
                    return True
            elif name != "CURRENT" and leveldb.is_member(name) and _same(now, entry):
                return True
        return False
