"""Quarantine: the sessions that were replaced or cleared, whole. Bounded, never the only copy."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supervisor.session import files
from supervisor.session.model import compact, rfc3339

PER_EPOCH = 3
KEPT_S = 30 * 86_400.0
_NAME = re.compile(r"session-(.+)\.(\d{8}T\d{6}Z)\.e(\d+)\.([a-z0-9-]+)(?:~(\d+))?")


@dataclass(frozen=True, slots=True)
class Held:
    """One quarantined session. `at`: seconds since 1970."""

    name: str
    at: float
    epoch: int
    why: str
    copy: int


class Quarantine:
    """The folder `quarantine/` of the store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def new_name(self, session_id: str, at: float, epoch: int, why: str) -> Path:
        """Return a path that is not taken yet."""
        path = self.root / f"session-{session_id}.{compact(at)}.e{epoch}.{why}"
        count = 1
        candidate = path
        while os.path.lexists(candidate):
            count += 1
            candidate = path.with_name(f"{path.name}~{count}")
        return candidate

    def held(self, session_id: str) -> list[Held]:
        """Return a session's quarantined folders, oldest first."""
        try:
            names = [path.name for path in self.root.iterdir()]
        except FileNotFoundError:
            return []
        found: list[Held] = []
        for name in names:
            match = _NAME.fullmatch(name)
            if match and match[1] == session_id:
                at = datetime.strptime(match[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                copy = int(match[5] or 1)
                found.append(Held(name, at.timestamp(), int(match[3]), match[4], copy))
        return sorted(found, key=lambda item: (item.epoch, item.at, item.copy))

    def as_json(self, session_id: str) -> list[dict[str, Any]]:
        """Return what `session info` shows of it."""
        return [
            {
                "name": item.name,
                "path": str(self.root / item.name),
                "at": rfc3339(item.at),
                "epoch": item.epoch,
                "why": item.why,
            }
            for item in self.held(session_id)
        ]

    def prune(self, session_id: str, now: float, only_copy: Callable[[int], bool]) -> None:
        """Remove what is too old or too much of each epoch.

        The oldest is what was live before anything was restored, so of too many it stays with
        the newest. Of an epoch with no other copy these two stay however old they are.
        Raises: OSError.
        """
        by_epoch: dict[int, list[Held]] = {}
        for item in self.held(session_id):
            by_epoch.setdefault(item.epoch, []).append(item)
        for epoch, items in by_epoch.items():
            few = {items[0], *items[1 - PER_EPOCH :]}
            safe = {items[0], items[-1]} if only_copy(epoch) else set()
            for item in items:
                if item not in safe and (item not in few or now - item.at > KEPT_S):
                    files.remove_tree(self.root / item.name)
