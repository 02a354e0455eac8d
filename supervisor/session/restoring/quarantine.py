"""Quarantine: the sessions that were replaced or cleared. Bounded, never the only copy.

What a restore replaced lies in the packs, as a manifest of the kind "quarantine". What was moved
away whole lies here as a plain folder, until it is folded into the packs as well.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supervisor.session import files
from supervisor.session.model import compact, rfc3339, since_1970
from supervisor.session.restoring.mounted import mounts_below
from supervisor.session.storage.manifest import Manifest

PER_EPOCH = 3
KEPT_S = 30 * 86_400.0
_NAME = re.compile(r"session-(.+)\.(\d{8}T\d{6}Z)\.e(\d+)\.([a-z0-9-]+)(?:~(\d+))?")


@dataclass(frozen=True, slots=True)
class Held:
    """One quarantined session. `at`: seconds since 1970. `manifest`: of one in the packs."""

    name: str
    path: Path
    at: float
    epoch: int
    why: str
    copy: int
    manifest: Manifest | None = None


class Quarantine:
    """The folder `quarantine/` of the store; `beside` tells where a session's folder lies.

    Beside that folder lies, with a dot before its name, what was moved away by a rename where the
    store is on another disk: to copy it there takes time and room. It goes there later.
    """

    def __init__(self, root: Path, beside: Callable[[str], Path]) -> None:
        self.root = root
        self._beside = beside

    def new_name(self, session_id: str, at: float, epoch: int, why: str) -> Path:
        """Return a path that is not taken yet."""
        path = self.root / f"session-{session_id}.{compact(at)}.e{epoch}.{why}"
        count = 1
        candidate = path
        beside = self._beside(session_id)
        while files.there(candidate) or files.there(beside / f".{candidate.name}"):
            count += 1
            candidate = path.with_name(f"{path.name}~{count}")
        return candidate

    def within_reach(self, session_id: str, name: Path, live: Path) -> Path:
        """Return where `live` can be renamed to: `name`, or a place beside it on its own disk.

        A folder that is a volume of its own can't be renamed; what lies beside it may not last.
        """
        beside = self._beside(session_id)
        own, around, store = (path.stat().st_dev for path in (live, beside, self.root))
        apart = own == around != store
        return beside / f".{name.name}" if apart else name

    def folders(self, session_id: str) -> list[Held]:
        """Return a session's quarantined folders, oldest first."""
        found: list[Held] = []
        for folder, dot in ((self.root, ""), (self._beside(session_id), ".")):
            try:
                paths = list(folder.iterdir())
            except FileNotFoundError:
                continue
            for path in paths:
                match = _NAME.fullmatch(path.name[len(dot) :])
                if match and match[1] == session_id and path.name.startswith(dot):
                    at = datetime.strptime(match[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                    epoch, copy = int(match[3]), int(match[5] or 1)
                    found.append(Held(match[0], path, at.timestamp(), epoch, match[4], copy))
        return sorted(found, key=_age)

    def held(self, session_id: str, manifests: Iterable[Manifest]) -> list[Held]:
        """Return all that is quarantined of a session, oldest first. `manifests`: those of it."""
        stored = [self._stored(manifest) for manifest in manifests]
        return sorted([*self.folders(session_id), *stored], key=_age)

    def _stored(self, manifest: Manifest) -> Held:
        path = self.root / f"{manifest.name}.json"
        at = float(int(since_1970(manifest.taken_at)))  # as a folder's name has it
        return Held(
            manifest.name, path, at, manifest.epoch, manifest.reason, manifest.seq, manifest
        )

    def as_json(self, session_id: str, manifests: Iterable[Manifest]) -> list[dict[str, Any]]:
        """Return what `session info` shows of it."""
        return [
            {
                "name": item.name,
                "path": str(item.path),
                "at": rfc3339(item.at),
                "epoch": item.epoch,
                "why": item.why,
            }
            for item in self.held(session_id, manifests)
        ]

    def prune(
        self,
        session_id: str,
        manifests: Iterable[Manifest],
        now: float,
        only_copy: Callable[[int], bool],
        linked: int | None = None,
    ) -> list[Manifest]:
        """Remove what is too old or too much of each epoch. Returns the manifests to be dropped.

        The oldest is what was live before anything was restored, so of too many it stays with
        the newest. Of an epoch with no other copy these two stay however old they are, and of
        the epoch `linked` the newest: a clock that jumps ahead makes all of it old. What is of a
        time that has not come was kept under a wrong clock, before what the right one says. A
        folder with a mount in it stays: what that shows is somebody else's, and would go with it.
        Raises: OSError.
        """
        by_epoch: dict[int, list[Held]] = {}
        for item in self.held(session_id, manifests):
            by_epoch.setdefault(item.epoch, []).append(item)
        spare: list[Manifest] = []
        for epoch, found in by_epoch.items():
            items = sorted(found, key=lambda item: item.at <= now)
            few = [items[0], *items[1 - PER_EPOCH :]]
            safe = [items[0], items[-1]] if only_copy(epoch) else []
            safe += [items[-1]] if epoch == linked else []
            for item in items:
                if item in safe or (item in few and now - item.at <= KEPT_S):
                    continue
                if item.manifest is not None:
                    spare.append(item.manifest)
                elif not mounts_below(item.path):
                    files.remove_tree(item.path)
        return spare


def _age(item: Held) -> tuple[int, float, int]:
    return item.epoch, item.at, item.copy
