"""Commit: make a captured session durable. Pack, sync, read back, then the manifest's rename."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from blake3 import blake3

from supervisor.session import files
from supervisor.session.capture import Capture, Copies
from supervisor.session.checks import SQLITE_MAGIC
from supervisor.session.manifest import (
    BLOCK_BYTES,
    WHOLE_BYTES,
    Blob,
    Counters,
    Entry,
    Manifest,
)
from supervisor.session.model import rfc3339
from supervisor.session.packs import PackWriter
from supervisor.session.scan import Seen
from supervisor.session.store import Store


@dataclass(frozen=True, slots=True)
class Committed:
    """The snapshot that now holds the captured session. `new`: it did not exist before."""

    manifest: Manifest
    entries: dict[str, Entry]
    new: bool


def commit(
    store: Store, capture: Capture, *, counters: Counters, tried: tuple[str, ...], proof: str
) -> Committed:
    """Store `capture`; an unchanged session gives the snapshot that is there already.

    Raises: OSError; DamagedBlob when the disk does not give back what was written.
    """
    begin = time.perf_counter()
    listing = store.listing(capture.id)
    seq = store.next_seq(capture.id)
    draft = Manifest(
        id=capture.id,
        seq=seq,
        epoch=capture.epoch,
        reason=capture.reason,
        taken_at=rfc3339(capture.taken_at),
        state=capture.state,
        identity=capture.identity,
        generation=capture.generation,
        hot=capture.hot,
        scan_ns=capture.copies.scan_ns,
        proof=proof,
        profile=capture.profile.name,
        doubts=tuple(capture.copies.doubts),
        notes=tuple(capture.copies.notes),
        tried=tried,
        counters=counters,
    )
    with files.scratch(store.tmp) as work:
        pack = PackWriter(work, f"{draft.name.rpartition('.')[0]}.pack")
        try:
            entries = _entries(capture, pack, store.usable(listing.manifests))
            newest = next(iter(reversed(listing.of_epoch(capture.epoch))), None)
            if newest and not pack.blobs and _same(newest, entries, capture):
                return Committed(newest, entries, new=False)
            if pack.blobs:
                pack.seal(store.packs)
        finally:
            pack.close()
    manifest = replace(
        draft,
        size_bytes=sum(entry.seen.size for entry in entries.values()),
        new_bytes=pack.stored_bytes,
        duration_s=round(capture.duration_s + time.perf_counter() - begin, 6),
        files=tuple(entries.values()),
    )
    try:
        store.put(manifest)
    except BaseException:
        # Without its manifest the pack is nothing; a retry writes another.
        if pack.blobs and not (store.root / f"{manifest.name}.json").exists():
            (store.packs / pack.name).unlink(missing_ok=True)
        raise
    return Committed(manifest, entries, new=True)


def _same(newest: Manifest, entries: Mapping[str, Entry], capture: Capture) -> bool:
    """Return whether `newest` already is, byte for byte, what was captured."""
    if newest.verdict == "bad" or (newest.verdict == "fuzzy" and not capture.copies.doubts):
        return False
    old = {entry.content() for entry in newest.files}
    return old == {entry.content() for entry in entries.values()}


def _entries(capture: Capture, pack: PackWriter, known: dict[str, Blob]) -> dict[str, Entry]:
    copies = capture.copies
    entries: dict[str, Entry] = {}
    for path, seen in copies.seen.items():
        if path in copies.reused:
            entries[path] = copies.reused[path]
        elif seen.kind == "file":
            entries[path] = _stored(path, seen, copies, pack, known)
        else:
            entries[path] = Entry(path, seen)
    return entries


def _stored(
    path: str, seen: Seen, copies: Copies, pack: PackWriter, known: dict[str, Blob]
) -> Entry:
    """Store one copied file, block by block, as far as its blocks are not there already."""
    start, length = copies.copied[path]
    step = length if length <= WHOLE_BYTES else BLOCK_BYTES
    blobs: list[Blob] = []
    form = ""
    for done in range(0, length, step or 1):
        want = min(step, length - done)
        data = files.read_at(copies.spool.fd, want, start + done)
        if len(data) != want:
            raise OSError("the copy in the spool ends early")
        if not done and data.startswith(SQLITE_MAGIC):
            form = "sqlite"
        digest = blake3(data).hexdigest()
        if digest not in known:
            known[digest] = pack.add(digest, data)
        blobs.append(known[digest])
    return Entry(path, seen, tuple(blobs), form)
