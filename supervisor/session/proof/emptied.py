"""When is an emptied file no damage? No I/O.

A database or a JSON file that had bytes and is empty is damage: a full disk and a kill leave just
that, and some libraries silently make a new device of it. But a bot may also empty one for good,
and then every later snapshot would be bad. What tells the two apart is the device, not the file:

- The first time, it is damage, and the copy is bad. A restore brings the file back.
- If a later generation was verified online as the same device, and the file is empty again, the
  bot does it itself. The copy is fuzzy: it may be started, and displaces no good one.
- If a generation was verified that *started* with the empty file (nothing was restored in
  between), the file is not needed. The copy is good.

A file that the session's kind requires is never given up like this: see `missing_problems`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from supervisor.session.storage.entries import Entry
from supervisor.session.storage.manifest import Manifest

_SAME_DEVICE = ("identity", "roundtrip")


class Emptied(NamedTuple):
    """What is said of the emptied files: `problems` make a copy bad, `doubts` make it fuzzy."""

    problems: list[str]
    doubts: list[str]


def judge(
    paths: Iterable[str],
    now: Manifest,
    older: Iterable[tuple[Manifest, Mapping[str, Entry]]],
) -> Emptied:
    """Return what the files that are empty in the snapshot `now` mean for it.

    `older`: the other snapshots of its epoch with lower numbers, bad ones too, with what is in
    them.
    """
    empty = list(paths)
    if not empty:
        return Emptied([], [])
    before = [(m, then) for m, then in older if m.generation < now.generation]
    said = Emptied([], [])
    for path in empty:
        left = [m for m, then in before if path in then and then[path].seen.size == 0]
        if not left or now.proof not in _SAME_DEVICE:
            said.problems.append(f"{path} is empty")
        elif not any(m.counters.rollback_count == now.counters.rollback_count for m in left):
            said.doubts.append(f"{path} is empty again, though it was restored")
    return said
