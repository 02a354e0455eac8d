"""What of a blob changed, page by page, so that a row in a database costs a page. Pure."""

from collections.abc import Sequence

from supervisor.session.storage.entries import Patch

# A database's page, as a rule: SQLite's default since 3.12 (sqlite.org/pgszchng2016.html).
PAGE_BYTES = 4 << 10
# With more than this over a blob, reading it costs more than storing it anew saves.
_PATCHES_MAX = 8
_PATCHED_BYTES_MAX = 32 << 10

Run = tuple[int, int]


def changed_runs(old: bytes, new: bytes) -> list[Run]:
    """Return (begin, end) of the pages of `new` that `old` has not at the same place."""
    runs: list[Run] = []
    for at in range(0, len(new), PAGE_BYTES):
        end = min(at + PAGE_BYTES, len(new))
        if old[at:end] == new[at:end]:
            continue
        if runs and runs[-1][1] == at:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((at, end))
    return runs


def overlay(patches: Sequence[Patch], runs: Sequence[Run]) -> tuple[Patch, ...] | None:
    """Return which of the old `patches` are needed below `runs`; None when all are too many."""
    kept = tuple(p for p in patches if not any(a <= p.at and p.at + p.raw <= b for a, b in runs))
    over = sum(p.raw for p in kept) + sum(b - a for a, b in runs)
    if len(kept) + len(runs) > _PATCHES_MAX or over > _PATCHED_BYTES_MAX:
        return None
    return kept
