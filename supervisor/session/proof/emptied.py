"""When is a file no damage that was emptied, or is no database or JSON any more? No I/O.

A database or a JSON file that had bytes and is empty is damage: a full disk and a kill leave just
that, and some libraries silently make a new device of it. But a bot may also empty one for good,
and then every later snapshot would be bad. What tells the two apart is the device, not the file:

- The first time, it is damage, and the copy is bad. A restore brings the file back.
- If a later generation was verified online as the same device, and left the file empty again, the
  bot does it itself. The copy is fuzzy: it may be started, and displaces no good one.
- If a generation was verified that *started* with the empty file (nothing was restored in
  between), the file is not needed. The copy is good.

And so it is with a database that begins with other bytes than one does, and with a JSON file that
can't be parsed: it was overwritten, or the bot has made something else of it (encrypted it, say).

A file that the session's kind requires is never given up like this: see `missing_problems`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from supervisor.session.storage.entries import Entry
from supervisor.session.storage.manifest import Manifest

Older = Iterable[tuple[Manifest, Mapping[str, Entry]]]

_SAME_DEVICE = ("identity", "roundtrip")


class Judged(NamedTuple):
    """What is said of these files: `problems` make a copy bad, `doubts` make it fuzzy."""

    problems: list[str]
    doubts: list[str]


def is_empty(entry: Entry) -> bool:
    """Return whether the file was empty."""
    return not entry.seen.size


def is_other(entry: Entry) -> bool:
    """Return whether the file was no database."""
    return bool(entry.seen.size) and not entry.format


def judge(
    texts: Mapping[str, str], now: Manifest, older: Older, was_so: Callable[[Entry], bool]
) -> Judged:
    """Return what it means for the snapshot `now` that these files are empty, or something else.

    `texts`: by path, what is wrong with it in words. `older`: the other snapshots of its epoch with
    lower numbers, oldest first, bad ones too, with what is in them. `was_so`: was it that there?
    """
    said = Judged([], [])
    if not texts:
        return said
    # A copy of a running bot may have caught it as it wrote the file anew.
    cold = [(m, then) for m, then in older if m.generation < now.generation and not m.hot]
    for path, text in texts.items():
        so = [path in then and was_so(then[path]) for _m, then in cold]
        if not any(so) or now.proof not in _SAME_DEVICE:
            said.problems.append(text)
        elif not so[-1] or cold[-1][0].counters.rollback_count != now.counters.rollback_count:
            said.doubts.append(f"{text} (again, though it was whole in between)")
    return said
