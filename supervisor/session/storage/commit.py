"""Commit: make a captured session durable. Pack, sync, read back, then the manifest's rename."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from supervisor.session.copying.capture import Capture, Copies
from supervisor.session.copying.pieces import Copied, Piece, Spooled
from supervisor.session.model import DamagedBlob, EpochState, rfc3339
from supervisor.session.scan import Seen
from supervisor.session.storage.entries import Blob, Entry, made
from supervisor.session.storage.manifest import Counters, Held, Kind, Manifest, Pack
from supervisor.session.storage.packs import BlobReader, PackWriter
from supervisor.session.storage.store import Store

# The packs that a snapshot refers to are kept whole for its sake. When they are that many times
# the session, or that many, the next snapshot is a full one, and pruning does the rest.
DRAGGED = 4
_DRAGGED_MIN_BYTES = 1 << 20
_PACKS_MAX = 256
# As much is compressed at once, where there is that much.
_BATCH_BYTES = 4 << 20

# An epoch, its state, and whose device it is.
Link = tuple[int, EpochState, str | None]


@dataclass(frozen=True, slots=True)
class Committed:
    """The snapshot that now holds the captured session. `new`: it did not exist before."""

    manifest: Manifest
    entries: dict[str, Entry]
    new: bool


def commit(
    store: Store,
    capture: Capture,
    *,
    counters: Counters,
    tried: tuple[str, ...],
    proof: str,
    kind: Kind = "snapshot",
    after: int = 0,
) -> Committed:
    """Store `capture`; an unchanged session gives the snapshot that is there already.

    `after`: the new one's number is higher than that, too.
    Raises: OSError; DamagedBlob when the disk does not give back what was written, or what the
    snapshot would build on can't be read.
    """
    begin = time.perf_counter()
    copies = capture.copies
    link = (capture.epoch, capture.state, capture.identity)
    if kind == "snapshot" and (same := unchanged(store, capture.id, link, copies)):
        return same
    store.require_packs()
    copies.spool.expect(copies.spool.size_bytes)
    draft = Manifest(
        id=capture.id,
        seq=store.next_seq(capture.id, after),
        epoch=capture.epoch,
        reason=capture.reason,
        taken_at=rfc3339(capture.taken_at),
        kind=kind,
        state=capture.state,
        identity=capture.identity,
        generation=capture.generation,
        hot=capture.hot,
        seals=capture.writers if capture.seals else None,
        scan_ns=copies.scan_ns,
        boot=copies.boot,
        proof=proof,
        profile=capture.profile.name,
        doubts=tuple(copies.doubts),
        notes=tuple(copies.notes),
        tried=tried,
        among=copies.names is not None if kind == "snapshot" else None,
        counters=counters,
    )
    entries, packs, new_bytes = _pack(store, capture, draft)
    manifest = replace(
        draft,
        size_bytes=sum(entry.seen.size for entry in entries.values()),
        new_bytes=new_bytes,
        duration_s=round(capture.duration_s + time.perf_counter() - begin, 6),
        packs=packs,
        body=Held(tuple(entries.values())),
    )
    try:
        manifest = store.put(manifest)
    except BaseException:
        # Without its manifest the pack is nothing; a retry writes another.
        if draft.seq in packs and not store.place(manifest).exists():
            (store.packs / packs[draft.seq].name).unlink(missing_ok=True)
        raise
    return Committed(manifest, entries, new=True)


def unchanged(store: Store, session_id: str, link: Link, copies: Copies) -> Committed | None:
    """Return the newest snapshot of the epoch, if it is what was copied, byte for byte.

    And if it says the same of the link: a lost state file comes back from what it says.
    """
    listing = store.listing(session_id)
    newest = next(reversed(listing.of_epoch(link[0])), None)
    if newest is None or (newest.epoch, newest.state, newest.identity) != link:
        return None
    if listing.unread_since(newest.seq):
        return None
    entries = _same(newest, copies)
    return None if entries is None else Committed(newest, entries, new=False)


def overdue(base: Manifest | None) -> bool:
    """Return whether a snapshot that builds on `base` would keep too much alive."""
    if base is None:
        return False
    dragged = sum(pack.size_bytes for pack in base.packs.values())
    bound = DRAGGED * max(base.size_bytes, _DRAGGED_MIN_BYTES)
    return dragged > bound or len(base.packs) > _PACKS_MAX


def _same(newest: Manifest, copies: Copies) -> dict[str, Entry] | None:
    """Return the entries as they were looked at now, if `newest` is this session byte for byte."""
    base = copies.base
    if not _may_stand_for(newest, copies):
        return None
    if (
        base is None
        or not base.whole
        or base.name != newest.name
        or len(base.entries) != len(copies.seen)
    ):
        return None
    if len(copies.reused) == len(copies.seen):
        return copies.reused
    entries: dict[str, Entry] = {}
    for path, seen in copies.seen.items():
        old = base.entries.get(path)
        if old is None:
            return None
        now = copies.reused.get(path) or _unchanged(old, seen, copies.copied.get(path))
        if now is None:
            return None
        entries[path] = now
    return entries


def _may_stand_for(newest: Manifest, copies: Copies) -> bool:
    """Return whether its verdict would be that of what was copied."""
    if newest.verdict == "fuzzy":
        return bool(copies.doubts)
    return newest.verdict != "bad" and not copies.lacking  # else there is more than it has


def _unchanged(old: Entry, seen: Seen, copied: Copied | None) -> Entry | None:
    """Return the old entry with the times of now, if the rest is the same to a restore."""
    then = old.seen
    if (seen.kind, seen.mode, seen.size) != (then.kind, then.mode, then.size):
        return None
    if seen.target != then.target:
        return None
    pieces = copied.pieces if copied else ()
    if any(isinstance(piece, Spooled) for piece in pieces) or old.blobs != pieces:
        return None
    return made(old.path, seen, old.blobs, old.format)


def _pack(
    store: Store, capture: Capture, draft: Manifest
) -> tuple[dict[str, Entry], dict[int, Pack], int]:
    """Store what is new. Returns the entries, the packs they need, and the new pack's bytes."""
    writer = PackWriter(store.tmp, f"{draft.name.rpartition('.')[0]}.pack")
    try:
        with store.reader() as reader:
            maker = _Maker(capture, writer, reader)
            entries = {entry.path: entry for entry in maker.entries()}
        packs = _needed(store, entries, draft.seq)
        if writer.stored_bytes:
            writer.seal(store.packs)
    finally:
        writer.close()
    if draft.seq in packs:
        own = packs[draft.seq].name
        packs[draft.seq] = Pack(own, store.pack_bytes(own))
    return entries, packs, writer.stored_bytes


def _needed(store: Store, entries: dict[str, Entry], new: int) -> dict[int, Pack]:
    """Return the packs that the entries need, by their seq. `new`: the one not yet in its place.

    Raises: DamagedBlob when another is gone since it was looked at.
    """
    names: dict[int, str] = {}
    for entry in entries.values():
        for seq in entry.seqs:
            if seq not in names:
                names[seq] = entry.pack(seq)
    packs = {seq: Pack(name, store.pack_bytes(name)) for seq, name in sorted(names.items())}
    for seq, pack in packs.items():
        if seq != new and not pack.size_bytes:
            raise DamagedBlob(
                f"{pack.name} is gone, which it builds on",
                "take it again: what was in there is stored anew then",
            )
    return packs


class _Maker:
    """Makes the entries of one snapshot: the old ones where nothing changed."""

    def __init__(self, capture: Capture, writer: PackWriter, reader: BlobReader) -> None:
        self._copies = capture.copies
        self._full = capture.full
        self._writer = writer
        self._reader = reader
        self._new: dict[str, Blob] = {}
        self._by_size: dict[int, dict[str, Blob]] = {}

    def entries(self) -> Iterator[Entry]:
        """Yield them in order, while the pack grows. Raises: OSError, DamagedBlob."""
        copies = self._copies
        if copies.spool.size_bytes >= _BATCH_BYTES:
            self._add_in_batches()
        for path, seen in copies.seen.items():
            old = copies.reused.get(path)
            if seen.kind != "file":
                yield old or made(path, seen)
            elif old is None:
                pieces, form = copies.copied[path]
                blobs = tuple(self._blob(path, seen, piece, len(pieces)) for piece in pieces)
                yield made(path, seen, blobs, form)
            elif self._full:
                blobs = tuple(self._again(blob) for blob in old.blobs)
                yield made(path, seen, blobs, old.format)
            else:
                yield old

    def _add_in_batches(self) -> None:
        """Store first what is to be stored whole: many at once is faster."""
        batch: dict[str, bytes] = {}
        waiting_bytes = 0
        for path, (pieces, _form) in self._copies.copied.items():
            seen = self._copies.seen[path]
            for piece in pieces:
                if isinstance(piece, Blob) or self._under(piece, len(pieces)):
                    continue
                if piece.hash in self._new or piece.hash in batch:
                    continue
                if moved := self._moved(path, seen, piece):
                    self._new[piece.hash] = moved
                    continue
                batch[piece.hash] = self._copies.spool.get(piece.start, piece.length)
                waiting_bytes += piece.length
                if waiting_bytes >= _BATCH_BYTES:
                    self._new.update(self._writer.add_all(batch))
                    batch, waiting_bytes = {}, 0
        if batch:
            self._new.update(self._writer.add_all(batch))

    def _under(self, piece: Spooled, count: int) -> Blob | None:
        """Return what the piece is stored as patches of; None for one that is stored whole."""
        return None if count == 1 or self._full else piece.under

    def _blob(self, path: str, seen: Seen, piece: Piece, count: int) -> Blob:
        """Return where the piece is stored, once it is."""
        if isinstance(piece, Blob):
            return self._again(piece) if self._full else piece
        blob = self._new.get(piece.hash) or self._moved(path, seen, piece)
        if blob is None:
            data = self._copies.spool.get(piece.start, piece.length)
            if under := self._under(piece, count):
                blob = self._over(piece, data, under)
            else:
                blob = self._writer.add(piece.hash, data)
        self._new[piece.hash] = blob
        return blob

    def _over(self, piece: Spooled, data: bytes, under: Blob) -> Blob:
        try:
            old = self._reader.read(under)
        except DamagedBlob:
            return self._writer.add(piece.hash, data)  # which heals it
        return self._writer.add_over(piece.hash, data, under, old)

    def _again(self, blob: Blob) -> Blob:
        """Store once more what is stored, so that nothing older is needed for it."""
        if blob.hash not in self._new:
            self._new[blob.hash] = self._writer.add(blob.hash, self._reader.read(blob))
        return self._new[blob.hash]

    def _moved(self, path: str, seen: Seen, piece: Spooled) -> Blob | None:
        """Return the same bytes in a stored file of another name: a copy, or a renamed one."""
        base = self._copies.base
        if base is None or path in base.entries or self._full:
            return None
        size = seen.size
        if size not in self._by_size:
            alike = (entry for entry in base.entries.values() if entry.seen.size == size)
            self._by_size[size] = {blob.hash: blob for entry in alike for blob in entry.blobs}
        return self._by_size[size].get(piece.hash)
