"""What snapshots there are of many sessions, for who asks often: only what changed is read anew.

A store of its own to read with: the bots' belong to their sessions' threads. It changes nothing.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.service.monitoring.facts import Copies
from supervisor.session.model import parse_name, since_1970
from supervisor.session.storage.store import Store

_Marks = frozenset[tuple[str, int, int]]


class Shelf:
    """The snapshots in a store's folder. For one thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = Store(root)
        # Of each session: the names, times and numbers of its manifests, and what they said.
        self._known: dict[str, tuple[_Marks, Copies]] = {}

    def look(self, sessions: Iterable[str]) -> dict[str, Copies]:
        """Return the snapshots of these sessions; of whom they can't be read is left out."""
        try:
            marks = self._marks()
        except OSError:
            return {}
        found = {}
        for session in sessions:
            mark = marks[session]
            known = self._known.get(session)
            if known is None or known[0] != mark:
                try:
                    known = mark, _copies(self._store, session)
                except (SupervisorError, OSError):
                    continue
            found[session] = known
        self._known = found
        return {session: copies for session, (_, copies) in found.items()}

    def _marks(self) -> defaultdict[str, _Marks]:
        """Look once through the folder, however many sessions there are."""
        marks: defaultdict[str, set[tuple[str, int, int]]] = defaultdict(set)
        with os.scandir(self._root) as entries:
            for entry in entries:
                if (parsed := parse_name(entry.name)) is not None:
                    with suppress(FileNotFoundError):  # pruned meanwhile
                        status = entry.stat(follow_symlinks=False)
                        marks[parsed[0]].add((entry.name, status.st_mtime_ns, status.st_ino))
        return defaultdict(frozenset, {key: frozenset(each) for key, each in marks.items()})


def _copies(store: Store, session: str) -> Copies:
    manifests = store.listing(session).snapshots
    verdicts = Counter(str(manifest.verdict) for manifest in manifests)
    good = [manifest for manifest in manifests if manifest.verdict == "good"]
    if not good:
        return Copies(verdicts=dict(verdicts))
    return Copies(
        verdicts=dict(verdicts),
        newest=good[-1].name,
        taken_at=since_1970(good[-1].taken_at),
        size_bytes=good[-1].size_bytes,
    )
