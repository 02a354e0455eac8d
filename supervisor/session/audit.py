"""Audit: every snapshot is read back from the disk.

What can't be read is called bad, so that nothing is built upon it and the next snapshot stores it
again. What can be read again is judged again. No live session is ever changed here.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.session.audited import Apart, Aside, Audited, Examined, examined
from supervisor.session.copying.writers import open_by_somebody
from supervisor.session.drill import ON_TRIAL, Drills
from supervisor.session.model import Check, DamagedBlob, UnreadableBlob, parse_name
from supervisor.session.progress import Tally
from supervisor.session.proof.halfway import goes_on, half_written
from supervisor.session.scan import Seen, scan
from supervisor.session.storage.entries import Blob, packs_of
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.packs import BlobReader
from supervisor.session.storage.reading import read_back

# As much is read at one go: others wait for one disk's second at most, and mostly for a tenth.
SLICE_BYTES = 50 << 20
# How often a session in use that looks half written is looked at again.
_LOOKS = 3
T = TypeVar("T")


class Audits(Drills):
    """Check what is live and what is stored."""

    # What is under way, in words for whoever shows `progress`.
    doing: str = ""

    def verify(self, session_id: str, snapshot: str) -> str:
        """Read a snapshot back from the disk. Returns what is wrong with it, or "".

        A blob that can't be read is not reused: the next snapshot stores it again.
        """
        try:
            read_back(self.store.find(session_id, snapshot), self.store)
        except DamagedBlob as error:
            return error.message
        return ""

    # --- the check -----------------------------------------------------------------------

    def audit(self, session_id: str, *, tell: bool = True) -> Iterator[Audited]:
        """Check the live session, and read every snapshot back from the disk.

        Yields after each snapshot, and after some 50 MB of one, so that other work may come in
        between; what is yielded is always the same object, and complete at the end. Where it has
        an `apart`, whoever has another thread for it may run that before going on. Nothing is
        locked while it reads, only for the moment in which a finding is written down: where
        another process owns the session, it is not. `tell`: whether `progress` hears of it.
        Raises: SupervisorError, OSError.
        """
        begin = time.perf_counter()
        # A copy of a database that somebody writes may be torn though the database is not.
        hot = self._in_use(session_id)
        check = self.check(session_id, quick=hot)
        caught = self._seen(session_id) if hot and check.verdict == "damaged" else None
        record = self._state.read(session_id)
        listing = self.store.listing(session_id)
        found = Audited(
            id=session_id,
            check=check,
            hot=hot,
            epoch=None if record.state == "closed" else record.epoch,
            unreadable=list(listing.malformed),
            unread={**listing.unread, **listing.unread_aside},
            unneeded=self._unneeded(session_id),
            away=self._away(record, listing),
            left_out=list(listing.snapshots[-1].notes) if listing.snapshots else [],
        )
        yield found
        told = self.progress if tell else None
        manifests = (*listing.snapshots, *listing.quarantined)
        packs = {pack.name for manifest in manifests for pack in manifest.packs.values()}
        with self.store.reader() as reader, self._at_work():
            total_bytes = sum(map(self.store.pack_bytes, packs))
            reread = _Reread(reader, Tally(told, total_bytes))
            for number, manifest in enumerate(manifests, 1):
                self.doing = f"reading snapshot {number} of {len(manifests)}"
                problem = yield from self._read_all(manifest, reread, found)
                if manifest.kind == "quarantine":
                    torn = manifest.why if manifest.verdict == "bad" else None
                    why = problem.message if problem else torn
                    found.quarantine.append(
                        Aside(name=manifest.name, restorable=not why, why_not=why)
                    )
                else:
                    one = yield from self._examined(found, manifest, problem)
                    found.snapshots += [one] if one is not None else []
                self.doing = ""
                found.bytes_read = reread.bytes_read
                found.duration_s = time.perf_counter() - begin
                yield found
        if caught is not None:
            found.check = self._caught(session_id, caught)
        self._foretell(found)
        for held in self._quarantine.folders(session_id):
            why = yield from self._apart(found, partial(self._folder_problem, held.path))
            if held.path.exists():  # else it was stored or pruned meanwhile
                aside = Aside(name=held.name, restorable=not why, why_not=why or None)
                found.quarantine.append(aside)
            found.duration_s = time.perf_counter() - begin
            yield found

    def _seen(self, session_id: str) -> Mapping[str, Seen]:
        return scan(self.folder(session_id), names=self.names(session_id)).seen

    def _caught(self, session_id: str, then: Mapping[str, Seen]) -> Check:
        """Look again at a session in use that looked damaged `then`: half written, perhaps."""
        for _look in range(_LOOKS):
            check = self.check(session_id, quick=True)
            if check.verdict != "damaged":
                break
            written = half_written(check.why) and goes_on(check.why, then, self._seen(session_id))
            if written:
                return replace(check, verdict="passed", why=f"just being written: {check.why}")
        return check

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Leave no words behind for the progress of other work, however the check ends."""
        try:
            yield
        finally:
            self.doing = ""

    def _foretell(self, found: Audited) -> None:
        """Say what a restore would do now without being told which snapshot, as `restore` does."""
        record = self._state.read(found.id)
        if record.state == "closed":
            return
        listing = self.store.listing(found.id)
        best = next(iter(self._options(listing, record)), None)
        read = {one.seq: one for one in found.snapshots}.get(best.seq) if best else None
        found.waits = self.store.packs_away() or listing.unread_since(best.seq if best else 0)
        if read is not None and read.unread:
            found.waits = found.waits or read.why_not or ""
        if read is not None and read.restorable and not found.waits and not found.away:
            found.unasked = read.seq

    def _in_use(self, session_id: str) -> bool:
        lock = self.lock_for(session_id)
        held = lock.path.exists() and bool(lock.survivors())
        return held or open_by_somebody(self.folder(session_id), self.names(session_id))

    def _read_all(
        self, manifest: Manifest, reread: "_Reread", found: Audited
    ) -> Generator[Audited, None, DamagedBlob | None]:
        """Read all of a snapshot, also after the first damage: each bad blob is to be known."""
        worst: DamagedBlob | None = None
        try:
            _drop_cache(self.store.place(manifest))
            entries = manifest.files
        except DamagedBlob as error:
            return error
        except OSError as error:
            return UnreadableBlob(f"{manifest.name} can't be read: {error.strerror}")
        for entry in entries:
            for blob in entry.blobs:
                problem = reread.problem(blob)
                if worst is None or isinstance(worst, UnreadableBlob):
                    worst = problem or worst
                if reread.full:
                    reread.full, doing, self.doing = False, self.doing, ""
                    yield found
                    self.doing = doing
        return worst

    def _examined(
        self, found: Audited, manifest: Manifest, problem: DamagedBlob | None
    ) -> Generator[Audited, None, Examined | None]:
        """Judge a snapshot that was read, and write it down. None: it was pruned meanwhile."""
        now = self._current(manifest)
        if now is None:
            return None
        record = self._state.read(manifest.id)
        before, unjudged = now.verdict, ""
        if isinstance(problem, UnreadableBlob):
            pass  # it may be whole: the next check may read it
        elif problem is not None:
            if now.verdict != "bad":
                now = self._write(found, now, **now.sickened(problem.message))
        elif now.verdict == "pending" or _may_heal(now):
            try:
                with self._kept(now):
                    judged = yield from self._apart(found, partial(self._judged, now))
                now = self._write(found, now, **judged)
            except UnreadableBlob as error:
                problem = error
            except (SupervisorError, OSError) as error:
                unjudged = f"its copy could not be opened: {error}"
        fresh = before not in ("bad", "pending") and now.verdict == "bad"
        return examined(now, record, problem, fresh=fresh, unjudged=unjudged)

    def _apart(self, found: Audited, work: Callable[[], T]) -> Generator[Audited, None, T]:
        """Do what may take long, and touches nothing that others use, where nobody waits for it."""
        found.apart = part = Apart(work)
        doing, self.doing = self.doing, ""
        try:
            yield found
        finally:
            found.apart = None
        self.doing = doing
        return part.result()

    @contextmanager
    def _kept(self, manifest: Manifest) -> Iterator[None]:
        """Let nobody prune a snapshot while it is opened, in whatever thread."""
        self._pinned.append(manifest.name)
        try:
            yield
        finally:
            self._pinned.remove(manifest.name)

    def _current(self, manifest: Manifest) -> Manifest | None:
        """Return the manifest as it is now: meanwhile others may have judged or pruned it."""
        listing = self.store.listing(manifest.id)
        if f"{manifest.name}.json" in listing.unreadable:
            return manifest
        return next((m for m in listing.manifests if m.name == manifest.name), None)

    def _judged(self, manifest: Manifest) -> dict[str, Any]:
        """Return what validation says now, as a manifest's fields. Raises: as `_problems`."""
        problems, doubts, at_rest = self._problems(manifest)
        doubts = [*manifest.doubts, *doubts]
        if problems and manifest.sick:
            return {}
        return {
            "verdict": "bad" if problems else "fuzzy" if doubts else "good",
            "why": "; ".join(problems or doubts)[:1000],
            "at_rest": at_rest,
            "sick": False,
            "was": "",
        }

    def _write(self, found: Audited, manifest: Manifest, **changes: Any) -> Manifest:
        """Write it into the manifest, if that is wanted and nobody else owns the session."""
        amended = replace(manifest, **changes)
        if amended == manifest or not found.noted:
            return amended
        try:
            with self.owning(manifest.id):
                now = self._current(manifest)
                return amended if now is None else self.store.amend(now, **changes)
        except SessionBusy:
            found.noted = False
        return amended

    def stops_pruning(self, session_id: str) -> list[str]:
        """Return what can't be read, so that nothing is pruned: each may need any pack."""
        return list(self.store.listing(session_id).unreadable)

    def _unneeded(self, session_id: str) -> list[str]:
        """Return the packs of a session that no manifest needs; first the packs are listed."""
        names = sorted(self.store.pack_names())
        listing = self.store.listing(session_id)
        if listing.unread or listing.unread_aside:
            return []  # these may need any
        needed = {pack.name for m in listing.manifests for pack in m.packs.values()}
        own = [name for name in names if (parsed := parse_name(name)) and parsed[0] == session_id]
        return [name for name in own if name not in needed]

    def _folder_problem(self, folder: Path) -> str:
        try:
            return "; ".join(self._unpacked_problems(folder))
        except OSError as error:
            return f"it can't be read: {error.strerror}"
        except SupervisorError as error:
            return error.message


class _Reread:
    """Reads blobs back from the disk, each once, however many snapshots need it.

    `full`: as many bytes were read as is right at one go.
    """

    def __init__(self, reader: BlobReader, tally: Tally) -> None:
        self.bytes_read = 0
        self.full = False
        self._reader = reader
        self._tally = tally
        self._slice_bytes = 0
        self._cold: set[str] = set()
        self._problems: dict[bytes, DamagedBlob | None] = {}

    def problem(self, blob: Blob) -> DamagedBlob | None:
        """Return why a blob can't be read, or None."""
        # The same bytes may lie in two places: each is a copy of its own.
        key = blake3(repr(blob).encode()).digest(length=16)
        if key not in self._problems:
            self._problems[key] = self._read(blob)
        return self._problems[key]

    def _read(self, blob: Blob) -> DamagedBlob | None:
        stored = blob.stored + sum(patch.stored for patch in blob.patches)
        self.bytes_read += stored
        self._slice_bytes += stored
        self._tally.add(stored)
        if self._slice_bytes >= SLICE_BYTES:
            self._slice_bytes, self.full = 0, True
        try:
            for pack in packs_of(blob):
                if pack not in self._cold:
                    self._cold.add(pack)
                    with suppress(DamagedBlob):  # the reading itself will tell
                        self._reader.drop_cache(pack)
            self._reader.read(blob)
        except DamagedBlob as error:
            return error
        return None


def _may_heal(manifest: Manifest) -> bool:
    """Return whether it is bad for nothing but bytes that could not be read."""
    unread = manifest.verdict == "bad" and manifest.sick
    return unread and not manifest.why.startswith(ON_TRIAL)


def _drop_cache(path: Path) -> None:
    """Make the next reading of a file come from the disk. Raises: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def carried_out(audit: Iterator[Audited]) -> Audited:
    """Carry an audit to its end, and return what it found."""
    found = next(audit)
    deque(audit, maxlen=0)
    return found
