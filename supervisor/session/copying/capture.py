"""Capture: copy what differs from the last snapshot, fast, unsynced, into a spool.

Reading, hashing and copying are one pass: a group of bytes that is stored already is never
copied. Afterwards only the spool is read, never the live folder, so the next generation may start
while the rest is still to do. The spool has no name: it ends with the process.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.session.copying.pieces import LARGEST_BYTES, Copied, Piece, read_pieces
from supervisor.session.copying.spool import Spool, SpoolFailed
from supervisor.session.copying.stat_boot import file_clock_ns, has_device, stat_boot
from supervisor.session.copying.tray import Tray
from supervisor.session.inside import open_inside
from supervisor.session.model import EpochState
from supervisor.session.names import Names
from supervisor.session.proof.profile import Profile, left_out
from supervisor.session.scan import OUR_LACKS, Scan, Seen, leading_out, remembering, scan, seen_from
from supervisor.session.storage.entries import Entry

# Younger than this when it was last looked at, a file may have changed again in the same tick.
# What changed so shortly before a look may have changed after it, with the same times: FAT counts
# in two seconds, and another machine's clock may be behind ours.
YOUNG_NS = 2_000_000_000
# Where times are of our own clock and finer than a millisecond: what is older than the tick of the
# look changed before it. A filesystem may cut them off, at a millisecond at most then.
YOUNG_FINE_NS = 1_000_000
_COARSE_NS = 1_000_000
_TRIES = 3
# The disk does not give back this file, or what it says of it makes no sense.
_SICK = (
    *(errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.EILSEQ, errno.ESTALE),
    *(errno.EREMOTEIO, errno.ENXIO, errno.EACCES, errno.EPERM),
)


class MuchToCopy(Exception):  # noqa: N818 - reads as what happened
    """There is more to copy than may be; nothing was."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored already: a snapshot's entries, and when they were looked at.

    `name`: the snapshot. `boot`: stat proves nothing in another boot, since a power cut may leave
    the size and the times of bytes that never reached the disk; "": it proves nothing at all.
    `whole`: no entry is left out because its bytes may be lost.
    """

    name: str
    seq: int
    scan_ns: int
    boot: str
    entries: Mapping[str, Entry]
    whole: bool = True

    def same(self, seen: Mapping[str, Seen], *, fine: bool) -> dict[str, Entry]:
        """Return the stored entries of what, as stat proves, has not changed since.

        It proves that only in the boot that `boot` names. `fine`: see `young`.
        """
        entries, old = self.entries, self.scan_ns - YOUNG_NS
        # Most are old by either measure: this is done for each file at each look.
        return {
            path: entry
            for path, now in seen.items()
            if (
                (now.mtime_ns <= old and now.ctime_ns <= old)
                or not young(now, self.scan_ns, fine=fine)
            )
            and (entry := entries.get(path)) is not None
            and (entry.seen is now or entry.seen == now)
        }


@dataclass(slots=True)
class Copies:
    """The result of one walk, as `profile` says. `reused`: entries that are stored as they are.

    `mapped`: inodes of which stat does not tell a change, now or later. `late`: what was copied
    in haste, with what was known of it: `hot.look_through` makes it `copied`. `lacking`: files
    that are there, and could not be copied. `fine`: see `young`. `found`: the walk.
    `uid`: whose all files must be, if that is not us. `names`: what of the folder was walked.
    """

    spool: Spool
    profile: Profile
    scan_ns: int
    boot: str
    base: Stored | None = None
    seen: dict[str, Seen] = field(default_factory=dict)
    reused: dict[str, Entry] = field(default_factory=dict)
    copied: dict[str, Copied] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    mapped: frozenset[int] = frozenset()
    tray: Tray | None = None
    late: dict[str, tuple[memoryview, tuple[Piece, ...]]] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)
    fine: bool = False
    found: Scan = field(default_factory=Scan)
    uid: int | None = None
    names: Names | None = None

    def same(self, path: str, seen: Seen) -> bool:
        """Return whether stat proves that the file has not changed since it was copied."""
        return self.seen[path] == seen and not young(seen, self.scan_ns, fine=self.fine)

    def as_in(self, pre: "Copies") -> bool:
        """Return whether all is as `pre` has it: by stat, or by its bytes where that is not sure.

        `pre`: the head start of these copies, on the same ground.
        """
        return (
            self.found.seen == pre.found.seen
            and self.found.missed == pre.found.missed
            and self.copied == pre.copied
        )


@dataclass(slots=True, kw_only=True)
class Capture:
    """A session as it was at one moment, not yet committed. `commit` or `close` ends it.

    `full`: the snapshot shall need none of the older packs.
    """

    id: str
    reason: str
    generation: int
    hot: bool
    taken_at: float
    epoch: int
    state: EpochState
    identity: str | None
    writers: int
    seals: bool
    profile: Profile
    copies: Copies
    full: bool
    duration_s: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and why."""
        return tuple(self.copies.notes)

    @property
    def changed(self) -> int:
        """How many files were copied."""
        return len(self.copies.copied)

    def close(self) -> None:
        """Forget it."""
        self.copies.spool.close()


def copy_changes(
    root: Path,
    profile: Profile,
    base: Stored | None,
    spool: Spool,
    pre: Copies | None = None,
    mapped: Callable[[], frozenset[int]] = frozenset,
    found: Scan | None = None,
    *,
    uid: int | None = None,
    names: Names | None = None,
    most_bytes: int | None = None,
) -> Copies:
    """Walk `root` and copy into `spool` what neither `base` nor `pre` has.

    A file that changes or goes while it is copied is tried again, then said as a doubt. With
    `pre` (which used the same spool) only what moved since is read; of what was mapped then stat
    tells nothing. `mapped`, `uid`, `names`: see Copies. What is mapped is asked for after the
    clock: whoever maps a file later still, and writes, leaves a time that is not before that.
    `found`: a walk that was done right before. `most_bytes`: what is read at most. Raises: OSError;
    MuchToCopy.
    """
    boot = stat_boot(root)
    result = Copies(
        spool, profile, file_clock_ns(), boot, base, fine=has_device(root), uid=uid, names=names
    )
    result.mapped = mapped()
    result.tray = pre.tray if pre else None
    if found is None:
        found = scan(root, profile.excludes, base.entries if base else None, names)
    _note(root, profile, found, result)
    result.seen, result.found = found.seen, found
    if base is not None and boot and base.boot == boot:
        result.reused = base.same(found.seen, fine=result.fine)
    reread = remembering(profile.reread)
    unproved = result.mapped | pre.mapped if pre else result.mapped
    some = unproved or found.elsewhere
    to_copy: list[str] = []
    for path, seen in found.seen.items():
        if seen.kind != "file":
            continue
        unseen = reread(path) or (some and (seen.inode in unproved or path in found.elsewhere))
        if path in result.reused and not unseen:
            continue
        result.reused.pop(path, None)
        if pre and boot and path in pre.copied and not unseen and pre.same(path, seen):
            result.copied[path] = pre.copied[path]
        else:
            to_copy.append(path)
    total_bytes = sum(found.seen[path].size for path in to_copy)
    if most_bytes is not None and total_bytes > most_bytes:
        raise MuchToCopy
    spool.expect(total_bytes)
    for path in to_copy:
        _copy(root, path, _known(path, base, pre), result)
    return result


def _known(path: str, base: Stored | None, pre: Copies | None) -> tuple[Piece, ...]:
    """Return what the file's content was when it was last looked at, as far as it is known."""
    if pre and path in pre.copied:
        return pre.copied[path].pieces
    entry = base.entries.get(path) if base else None
    return entry.blobs if entry is not None else ()


def moved_since(root: Path, profile: Profile, copies: Copies) -> list[str]:
    """Return what differs now from what was copied: somebody is writing. Raises: OSError."""
    now = scan(root, profile.excludes, names=copies.names).seen
    paths = (now.keys() | copies.seen.keys()) - copies.lacking
    return sorted(path for path in paths if _moved(path, now, copies))


def _moved(path: str, now: Mapping[str, Seen], copies: Copies) -> bool:
    before, after = copies.seen.get(path), now.get(path)
    if before and after and before.kind == after.kind == "dir":
        return False
    return before != after


def _note(root: Path, profile: Profile, found: Scan, result: Copies) -> None:
    result.notes.extend(found.notes + leading_out(root, found, result.names))
    if found.excluded:
        result.notes.append(left_out(profile, found.excluded))
    result.lacking.update(found.missed)
    result.doubts.extend(f"{path}/ can't be read" for path in found.missed)


def _copy(root: Path, path: str, known: tuple[Piece, ...], result: Copies) -> None:
    """Copy of one file what is not `known`, whole and unmoved if that can be had.

    One that can't be read is left out, and said: the rest is worth keeping. Raises: OSError for
    what is not the file's fault.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(f"{root}/{path}", flags)
        if not _as_seen(fd, path, result):
            os.close(fd)
            fd = open_inside(root, path, flags)
    except FileNotFoundError:
        del result.seen[path]
        result.doubts.append(f"{path} disappeared while the session was copied")
        return
    except OSError as error:
        if error.errno in OUR_LACKS:
            raise
        _unreadable(path, error, result)
        return
    try:
        _copy_open(fd, path, known, result)
    finally:
        os.close(fd)


def _as_seen(fd: int, path: str, result: Copies) -> bool:
    """Return whether this is the very file that the walk saw: then no link has led us elsewhere."""
    status, found = os.fstat(fd), result.found
    there = status.st_dev == found.device or path in found.elsewhere
    return there and status.st_ino == found.seen[path].inode


def _copy_open(fd: int, path: str, known: tuple[Piece, ...], result: Copies) -> None:
    failed: OSError | None = None
    for _try in range(_TRIES):
        try:
            still = _copy_once(fd, path, known, result)
        except SpoolFailed:
            raise
        except OSError as error:
            if error.errno not in _SICK:
                raise
            failed = error
            continue
        if still:
            return
        failed = None
        known = result.copied[path].pieces or known
    if failed is None:
        result.doubts.append(f"{path} changed while it was copied")
    else:
        _unreadable(path, failed, result)


def _unreadable(path: str, error: OSError, result: Copies) -> None:
    _lack(path, f"{path} can't be read ({error.strerror})", f"{path} can't be read", result)


def _lack(path: str, note: str, doubt: str, result: Copies) -> None:
    leave_out(result, path)
    result.lacking.add(path)
    result.notes.append(f"{note}: left out")
    result.doubts.append(doubt)


def _copy_once(fd: int, path: str, known: tuple[Piece, ...], result: Copies) -> bool:
    """Copy it as it is now, if it can be copied. Returns whether it held still. Raises: OSError."""
    status = os.fstat(fd)
    seen = seen_from(status)
    if seen is None or seen.kind != "file":
        leave_out(result, path)
        result.notes.append(f"{path} is no plain file any more: left out")
        result.doubts.append(f"{path} was replaced while the session was copied")
        return True
    if result.uid not in (None, status.st_uid):
        # A second name of another's file would be given away with the session.
        _lack(path, f"{path} belongs to another user", f"{path} is not the bot's", result)
        return True
    if seen.size > LARGEST_BYTES:
        sizes = f"has {seen.size >> 30} GB, where {LARGEST_BYTES >> 30} are the most"
        _lack(path, f"{path} {sizes}", f"{path} is too large to be kept", result)
        return True
    sparse = status.st_blocks * 512 < status.st_size
    if result.tray and not sparse and (data := result.tray.take(fd, seen.size)):
        result.late[path] = (data, known)
        copied, size = Copied((), ""), len(data)
    else:
        result.late.pop(path, None)
        copied, size = read_pieces(fd, seen.size, known, result.spool, sparse=sparse)
    result.seen[path] = (
        _doubted(seen, size) if seen.inode in result.mapped else (seen._replace(size=size))
    )
    result.copied[path] = copied
    return size == seen.size and seen_from(os.fstat(fd)) == seen


def put_instead(copies: Copies, path: str, source: Path) -> None:
    """Put what lies in `source` in the place of what was copied of `path`. Raises: OSError."""
    entry = copies.reused.pop(path, None)
    known: tuple[Piece, ...] = copies.copied[path].pieces if entry is None else entry.blobs
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        copied, size = read_pieces(fd, os.fstat(fd).st_size, known, copies.spool, sparse=False)
    finally:
        os.close(fd)
    copies.seen[path] = _doubted(copies.seen[path], size)
    copies.copied[path] = copied


def leave_out(copies: Copies, path: str) -> None:
    """Forget what was copied of `path`, if anything was."""
    copies.seen.pop(path, None)
    copies.reused.pop(path, None)
    copies.copied.pop(path, None)
    copies.late.pop(path, None)


def _doubted(seen: Seen, size: int) -> Seen:
    """Return what no later look equals, so that the file is always read again."""
    return seen._replace(size=size, ctime_ns=0)


def young(seen: Seen, looked_ns: int, *, fine: bool) -> bool:
    """Return whether the file may have changed after that look, with the same times.

    `looked_ns`: by `file_clock_ns`. `fine`: its times are of that clock (see `has_device`).
    """
    exact = fine and seen.ctime_ns % _COARSE_NS != 0
    within_ns = min(YOUNG_FINE_NS, YOUNG_NS) if exact else YOUNG_NS
    return max(seen.mtime_ns, seen.ctime_ns) > looked_ns - within_ns
