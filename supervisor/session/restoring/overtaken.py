"""A restore in place that a crash cut short, and a bot that was started by hand before its end.

What that bot wrote is in no quarantine, and some of its files beside some of the snapshot's make
no session. Then the whole folder is put aside, and a whole one comes in its place.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from supervisor.session import files
from supervisor.session.model import DamagedBlob, UnreadableBlob
from supervisor.session.names import Names
from supervisor.session.progress import Progress
from supervisor.session.proof.against import same_from_the_start
from supervisor.session.proof.profile import Profile
from supervisor.session.restoring import moving, swap
from supervisor.session.restoring.mounted import mounts_below
from supervisor.session.restoring.rebuild import build_tree
from supervisor.session.restoring.swap import Intent
from supervisor.session.scan import Seen, matcher, scan
from supervisor.session.storage.entries import Blob, Entry
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.reading import entries_of
from supervisor.session.storage.store import Store


def overtaken(
    intent: Intent,
    old: Manifest | None,
    new: Manifest | None,
    profile: Profile,
    names: Names | None = None,
) -> bool:
    """Return whether the live folder holds what neither was there before, nor comes.

    `old`: what was put into quarantine; with none, nobody knows. Where nothing is staged any more
    all was done before that bot began, and it went on with what was restored. A mounted file may
    be half written over, which tells nothing of a bot. `names`: what of the folder is the session.
    Raises: UnreadableBlob, OSError.
    """
    if not files.there(Path(intent.new)):
        return False
    if not swap.holds_something(Path(intent.live), names):
        return False
    if intent.steps is None:
        old = new  # what was there before is moved away: only what comes may lie there
    try:
        versions = (entries_of(old), entries_of(new))
    except UnreadableBlob:
        raise
    except DamagedBlob:
        return True
    live = Path(intent.live)
    put = intent.steps.put if intent.steps is not None else ()
    ours = {moving.draft_of(live / path) for path in put}.union(mounts_below(live))
    again = matcher(profile.reread)
    return old is None or any(
        not _known(live, path, seen, versions, again=again(path))
        for path, seen in scan(live, profile.excludes, names=names).seen.items()
        if seen.kind != "dir" and live / path not in ours
    )


def _known(
    live: Path,
    path: str,
    seen: Seen,
    versions: Iterable[Mapping[str, Entry]],
    *,
    again: bool,
) -> bool:
    entries = [entry for known in versions if (entry := known.get(path)) is not None]
    same = [e for e in entries if (e.seen.kind, e.seen.size) == (seen.kind, seen.size)]
    if seen.kind == "link":
        return any(entry.seen.target == seen.target for entry in same)
    if not again and any(entry.seen == seen for entry in same):
        return True
    return any(_holds(live / path, entry.blobs) for entry in same)


def _holds(path: Path, blobs: Iterable[Blob]) -> bool:
    """Return whether a file has just these bytes: one that can't be read has not. Raises: OSError.

    What was put into quarantine could be read. And a folder can be put aside with what can't.
    """
    try:
        return _same_bytes(path, blobs)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EIO):
            raise
        return False


def _same_bytes(path: Path, blobs: Iterable[Blob]) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return same_from_the_start(fd, blobs)
    finally:
        os.close(fd)


def whole_instead(
    intent: Intent,
    new: Manifest | None,
    store: Store,
    places: tuple[Path, Path],
    progress: Progress | None,
    names: Names | None = None,
) -> Intent:
    """Return the intent, on the disk, that puts all of `new` in the live folder's place.

    Where `new` can't be read any more, what was staged of it may be all there is: it is placed,
    after a copy of what is live went to quarantine. `places`: where the whole session grows, and
    what is live goes. Raises: UnreadableBlob, OSError.
    """
    live = Path(intent.live)
    whole, name = places
    if new is None or not _built(new, whole, store, progress):
        _copy_aside(live, name, names)
        return intent
    instead = replace(intent, phase="out", new=str(whole), quarantine=str(name), steps=None)
    swap.write_intent(store.root, instead)
    files.remove_tree(Path(intent.new))
    return instead


def _copy_aside(live: Path, name: Path, names: Names | None) -> None:
    if names is None:
        moving.copy_entry(live, name)
        return
    files.keep_private(name)
    for own in names.among(live):
        moving.copy_entry(live / own, name / own)
    files.sync_dir(name.parent)


def _built(new: Manifest, whole: Path, store: Store, progress: Progress | None) -> bool:
    files.remove_tree(whole)
    try:
        build_tree(new.files, whole, store, progress)
    except UnreadableBlob:
        raise
    except DamagedBlob:
        files.remove_tree(whole)
        return False
    return True
