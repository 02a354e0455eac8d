"""What there is of a session in the store: its manifests, and what can't be read of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from supervisor.session import files
from supervisor.session.model import DamagedBlob, Malformed, UnreadableBlob, parse_name
from supervisor.session.storage.entries import Entry
from supervisor.session.storage.manifest import Held, Manifest
from supervisor.session.storage.manifest_json import parse_entries, parse_head, split

MANIFEST_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class InFile:
    """A manifest's entries in its file. A damaged one has none that could be believed."""

    path: Path

    def entries(self) -> tuple[Entry, ...]:
        """Read and return them. Raises: DamagedBlob."""
        try:
            head, lines = self._split()
            manifest = parse_head(head, Held(), self.path.name)
            return parse_entries(lines, manifest.packs, self.path.name)
        except Malformed as error:
            raise DamagedBlob(error.message) from error

    def lines(self) -> bytes:
        """Read and return them as they are written. Raises: DamagedBlob."""
        return self._split()[1]

    def _split(self) -> tuple[dict[str, Any], bytes]:
        try:
            return split(files.read_file(self.path, MANIFEST_MAX_BYTES), self.path.name)
        except FileNotFoundError as error:
            raise DamagedBlob(f"{self.path.name} is gone") from error
        except OSError as error:
            raise UnreadableBlob(f"{self.path.name} can't be read: {error.strerror}") from error
        except (Malformed, ValueError) as error:
            raise DamagedBlob(str(error)) from error


@dataclass(frozen=True, slots=True)
class Listing:
    """A session's manifests, oldest first, and the files that should be some but can't be read.

    `malformed`: their content is none of ours. `unread`, by name: why the disk does not give
    them back now, be they whole or not; `unread_aside`: the same, in quarantine.
    """

    manifests: tuple[Manifest, ...] = ()
    malformed: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    unread_aside: Mapping[str, str] = field(default_factory=dict)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The names of all that stops pruning."""
        return tuple(sorted((*self.malformed, *self.unread, *self.unread_aside)))

    def unread_since(self, seq: int = 0, before: float = inf) -> str:
        """Return which snapshot or end between `seq` and `before` can't be read now, and why.

        "": none.
        """
        for name, why in self.unread.items():
            parsed = parse_name(name)
            if parsed is not None and seq < parsed[1] < before:
                return f"{name} can't be read now: {why}"
        return ""

    @property
    def torn(self) -> int:
        """The highest number of a snapshot or end whose manifest is damaged; 0 for none."""
        torn = (name for name in self.malformed if ".quarantined-" not in name)
        names = (parse_name(name) for name in torn)
        return max((name[1] for name in names if name is not None), default=0)

    @property
    def newest_unread(self) -> int:
        """The highest number of what can't be read now; 0 for none."""
        found = (parse_name(name) for name in self.unread)
        return max((name[1] for name in found if name is not None), default=0)

    @property
    def snapshots(self) -> tuple[Manifest, ...]:
        """Without the tombstones."""
        return tuple(m for m in self.manifests if m.kind == "snapshot")

    @property
    def quarantined(self) -> tuple[Manifest, ...]:
        """The sessions that were replaced."""
        return tuple(m for m in self.manifests if m.kind == "quarantine")

    def of_epoch(self, epoch: int) -> tuple[Manifest, ...]:
        """Return the snapshots of one epoch, oldest first."""
        return tuple(m for m in self.snapshots if m.epoch == epoch)

    def newest_of(self, epoch: int) -> Manifest | None:
        """Return the newest snapshot of one epoch that is good or fuzzy, or was."""
        own = reversed(self.of_epoch(epoch))
        return next((m for m in own if m.sick or m.verdict in ("good", "fuzzy")), None)

    def tombstone(self, epoch: int) -> Manifest | None:
        """Return what says that `epoch` has ended, if it has."""
        ends = (m for m in self.manifests if m.kind == "tombstone" and m.epoch == epoch)
        return next(ends, None)
