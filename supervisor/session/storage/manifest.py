"""The manifest: all that is known of one snapshot. It needs no other manifest. No I/O.

Its entries, one for each file, are many. They stay in its file until somebody asks for them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from supervisor.session.model import (
    EpochState,
    Snapshot,
    Verdict,
    compact,
    since_1970,
    slug,
)
from supervisor.session.storage.entries import Blob, Entry

Kind = Literal["snapshot", "tombstone", "quarantine"]


class Pack(NamedTuple):
    """A file of blobs, and how large it is: a shorter one is torn."""

    name: str
    size_bytes: int


class Body(Protocol):
    """A manifest's entries, wherever they are."""

    def entries(self) -> tuple[Entry, ...]:
        """Return them, parents before children. Raises: DamagedBlob when they can't be read."""

    def lines(self) -> bytes:
        """Return them as they are written. Raises: DamagedBlob."""


@dataclass(frozen=True, slots=True)
class Held:
    """Entries in memory."""

    held: tuple[Entry, ...] = ()

    def entries(self) -> tuple[Entry, ...]:
        """Return them."""
        return self.held

    def lines(self) -> bytes:
        """Return them as they are written."""
        return b",\n ".join([entry.line for entry in self.held])


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
    """A snapshot; or a session in quarantine; or (kind "tombstone") the end of an epoch.

    `seals`: how many ever had the seat when this was the session at rest, if it was: while no
    more had it, it still is. `scan_ns`, `boot`: when the walk began, and in which boot. `packs`:
    those that its blobs lie in, by their seq.
    """

    id: str
    seq: int
    epoch: int
    reason: str
    taken_at: str
    kind: Kind = "snapshot"
    state: EpochState = "none"
    identity: str | None = None
    at_rest: str | None = None
    generation: int = 0
    hot: bool = False
    seals: int | None = None
    scan_ns: int = 0
    boot: str = ""
    verdict: Verdict = "pending"
    why: str = ""
    # It was worth something once, and can't be read any more. What its verdict `was` then.
    sick: bool = False
    was: Verdict | Literal[""] = ""
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
    # Whether it was a few files among others, and no folder of its own; None: nobody wrote it down.
    among: bool | None = None
    counters: Counters = Counters()
    packs: Mapping[int, Pack] = field(default_factory=dict)
    body: Body = field(default=Held(), compare=False)

    @property
    def name(self) -> str:
        """The snapshot's id: its file name without `.json`."""
        taken = compact(since_1970(self.taken_at))
        prefix = {"snapshot": "", "tombstone": "closed-", "quarantine": "quarantined-"}[self.kind]
        return f"session-{self.id}.{self.seq:06}.{taken}.{prefix}{slug(self.reason)}"

    def sickened(self, why: str) -> dict[str, Any]:
        """Return the fields that change once it can't be read any more."""
        was = self.was if self.sick else self.verdict
        return {"verdict": "bad", "why": why, "sick": True, "was": was}

    @property
    def files(self) -> tuple[Entry, ...]:
        """All entries, read anew each time. Raises: DamagedBlob when they can't be read."""
        return self.body.entries()

    def blobs(self) -> Iterable[Blob]:
        """Yield every blob of every file. Raises: DamagedBlob when they can't be read."""
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
            why=self.why,
        )
