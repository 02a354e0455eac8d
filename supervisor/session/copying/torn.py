"""Small JSON files that a hot copy caught as the bot wrote them in place: emptied, or in part.

Such a copy is true to its moment and of no use. The bot is done with the write soon, as a rule.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from supervisor.session import files
from supervisor.session.copying.capture import Copies
from supervisor.session.copying.pieces import Piece, Spooled
from supervisor.session.proof.checks import formats_of
from supervisor.session.proof.profile import Profile
from supervisor.session.proof.validate import json_problem_of
from supervisor.session.scan import matcher
from supervisor.session.storage.entries import Blob, Entry

# What is larger is not looked at: the bot's next freeze waits for it.
SMALL_BYTES = 1 << 20
# Nobody takes longer over one write: what was left so before is no work of this moment.
_JUST_NS = 3_000_000_000
_POLL_S = 0.001


def torn(
    root: Path,
    profile: Profile,
    copies: Copies,
    read: Callable[[Blob], bytes],
    was_json: Callable[[Entry], bool],
) -> list[str]:
    """Return which files are no JSON in these copies, and were in the snapshot before, or are new.

    Only of those that were written just before they were copied.
    `copies`: looked through. `read`: a stored piece; `was_json`: whether a stored file is JSON.
    Raises: OSError, DamagedBlob.
    """
    named = matcher(tuple(glob for glob, form in profile.formats if form.startswith("json")))
    since_ns = copies.scan_ns - _JUST_NS
    small = {
        path: seen
        for path in copies.copied
        if named(path)
        and (seen := copies.seen[path]).size <= SMALL_BYTES
        and seen.mtime_ns >= since_ns
    }

    def data(piece: Piece) -> bytes:
        if isinstance(piece, Spooled):
            return copies.spool.get(piece.start, piece.length)
        return read(piece)

    before = copies.base.entries if copies.base else {}
    return [
        path
        for path in formats_of(root, small, profile, {})
        if json_problem_of(b"".join(map(data, copies.copied[path].pieces)))
        and (path not in before or was_json(before[path]))
    ]


def come_whole(root: Path, paths: Iterable[str], until: float) -> bool:
    """Wait until all of these files are JSON as they lie, or are gone; return whether they are.

    `until`: no longer, by the monotonic clock.
    """
    left = list(paths)
    while True:
        left = [path for path in left if _is_torn(root / path)]
        if not left or time.monotonic() >= until:
            return not left
        time.sleep(_POLL_S)


def _is_torn(path: Path) -> bool:
    try:
        return bool(json_problem_of(files.read_file(path, SMALL_BYTES)))
    except (OSError, ValueError):
        return False
