"""Which snapshots stay. Pure: counted by seq, so a clock that jumps costs none of the newest."""

from collections.abc import Sequence
from dataclasses import replace

from supervisor.core.policy import Keep
from supervisor.session.model import since_1970
from supervisor.session.storage.manifest import Manifest

GOOD_KEPT = 2
BAD_KEPT = 2
ENDED_S = 30 * 86_400.0
_ENDED = Keep(last=2, hourly=0, daily=0)


def kept(manifests: Sequence[Manifest], keep: Keep) -> set[int]:
    """Return the seqs that stay, of one epoch's snapshots.

    The last ones, the newest of each hour and day (a good one, if it has one: others take no
    good one's place), the newest two good ones, the newest that is good or fuzzy (the record knows
    that there was one), and the newest that a round trip has proved. Bad ones count for nothing;
    the newest of them stay to be looked at. What can't be read any more stays beside the others,
    as long as it would if nobody had looked: it may be read again once its pack is back.
    """
    ordered = sorted(manifests, key=lambda m: -m.seq)
    stay = _wanted([m for m in ordered if m.verdict != "bad"], keep)
    unlooked = [replace(m, verdict=m.was or "good") if m.sick else m for m in ordered]
    stay |= _wanted([m for m in unlooked if m.verdict != "bad"], keep)
    return stay | {m.seq for m in [m for m in ordered if m.verdict == "bad"][:BAD_KEPT]}


def _wanted(usable: Sequence[Manifest], keep: Keep) -> set[int]:
    stay = {m.seq for m in usable[: max(keep.last, 1)]}
    stay |= _newest_per(usable, 3600, keep.hourly) | _newest_per(usable, 86_400, keep.daily)
    stay |= {m.seq for m in [m for m in usable if m.verdict == "good"][:GOOD_KEPT]}
    stay |= {m.seq for m in [m for m in usable if m.verdict in ("good", "fuzzy")][:1]}
    return stay | {m.seq for m in [m for m in usable if m.proof == "roundtrip"][:1]}


def kept_after_end(
    manifests: Sequence[Manifest], ended_at: float, now: float, *, last: bool = False
) -> set[int]:
    """Return the seqs that stay of an epoch that ended at `ended_at`. Seconds since 1970.

    `last`: no other ended after it. Its newest good one (or what comes next to it) stays however
    old it is: a clock that jumps ahead makes all of it old at once.
    A bad one was kept to be looked at while its bot ran, and to be healed: neither comes any more.
    Only where there is nothing better it stays as long as a good one would.
    """
    usable = [m for m in manifests if m.verdict != "bad" or m.sick]
    if now - ended_at > ENDED_S:
        best = max(usable, key=lambda m: (m.verdict == "good", m.seq), default=None)
        return {best.seq} if best is not None and last else set()
    return kept(usable or manifests, _ENDED)


def _newest_per(ordered: Sequence[Manifest], span_s: int, count: int) -> set[int]:
    """Return the newest seq of each of the newest `count` spans of time that have one."""
    newest: dict[int, Manifest] = {}
    for manifest in ordered:
        span = int(since_1970(manifest.taken_at) // span_s)
        there = newest.setdefault(span, manifest)
        if there.verdict != "good" and manifest.verdict == "good":
            newest[span] = manifest
    return {manifest.seq for manifest in list(newest.values())[:count]}
