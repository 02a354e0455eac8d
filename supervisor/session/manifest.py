"""The manifest: all that is known of one snapshot. It needs no other manifest. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from supervisor.session.model import (
    EpochState,
    Snapshot,
    Verdict,
    compact,
    since_1970,
    slug,
)
from supervisor.session.scan import Seen

# A file up to WHOLE_BYTES is one blob, a larger one is cut into fixed blocks.
WHOLE_BYTES = 1 << 20
BLOCK_BYTES = 64 << 10


class Blob(NamedTuple):
    """Some bytes in a pack: a zstd frame of `stored` bytes at `offset` that holds `raw` bytes."""

    hash: str
    pack: str
    offset: int
    stored: int
    raw: int


class Entry(NamedTuple):
    """One thing in the session: what stat saw, and for a file the blobs of its content.

    `format`: what the content says that it is ("sqlite"), where it says so.
    """

    path: str
    seen: Seen
    blobs: tuple[Blob, ...] = ()
    format: str = ""

    def content(self) -> tuple[object, ...]:
        """Return what makes two entries the same to a restore: all but times and the inode."""
        seen = self.seen
        blobs = tuple(blob.hash for blob in self.blobs)
        return self.path, seen.kind, seen.mode, seen.size, seen.target, blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a rebuild of session-state.json takes from the newest manifest."""

    generation: int = 0
    restore_count: int = 0
    rollback_count: int = 0
    link_count: int = 0
    qr_count: int = 0
    last_restore_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A snapshot, or (kind "tombstone") the end of an epoch. `scan_ns`: when the walk began."""

    id: str
    seq: int
    epoch: int
    reason: str
    taken_at: str
    kind: Literal["snapshot", "tombstone"] = "snapshot"
    state: EpochState = "none"
    identity: str | None = None
    at_rest: str | None = None
    generation: int = 0
    hot: bool = False
    scan_ns: int = 0
    verdict: Verdict = "pending"
    why: str = ""
    # It was good once, and can't be read any more.
    sick: bool = False
    proof: str = ""
    profile: str = "generic"
    size_bytes: int = 0
    new_bytes: int = 0
    duration_s: float = 0.0
    # Why it can't be better than fuzzy: files that moved while they were copied.
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    # Snapshots that were restored because the live session asked to pair: once each.
    tried: tuple[str, ...] = ()
    counters: Counters = Counters()
    files: tuple[Entry, ...] = ()

    @property
    def name(self) -> str:
        """The snapshot's id: its file name without `.json`."""
        taken = compact(since_1970(self.taken_at))
        prefix = "closed-" if self.kind == "tombstone" else ""
        return f"session-{self.id}.{self.seq:06}.{taken}.{prefix}{slug(self.reason)}"

    def blobs(self) -> Iterable[Blob]:
        """Yield every blob of every file."""
        for entry in self.files:
            yield from entry.blobs

    def snapshot(self) -> Snapshot:
        """Return what the public API shows."""
        return Snapshot(
            id=self.name,
            seq=self.seq,
            epoch=self.epoch,
            taken_at=self.taken_at,
            reason=self.reason,
            verdict=self.verdict,
            proof=self.proof,
            size_bytes=self.size_bytes,
            new_bytes=self.new_bytes,
            duration_s=self.duration_s,
        )


def parse_name(file_name: str) -> tuple[str, int] | None:
    """Return (session id, seq) of a manifest's or pack's file name, or None for other files."""
    match = re.fullmatch(r"session-(.+)\.(\d{6,15})\.\d{8}T\d{6}Z\.(.+\.json|pack)", file_name)
    if match is None or "." in match[3].removesuffix(".json"):
        return None
    return match[1], int(match[2])
