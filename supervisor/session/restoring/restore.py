"""Which snapshot may come back, and whether its bytes can be read. Touches no live session."""

from collections.abc import Sequence

from supervisor.session.state import Record
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Manifest


def candidates(snapshots: Sequence[Manifest], *, older: bool, torn: int = 0) -> list[Manifest]:
    """Return the snapshots of one epoch that may be restored unasked, the best first.

    The newest good one, then the newest that was taken while the bot ran, if no other good one is
    newer. All others are older than those: keys have moved on since, so a person must consent
    (`older`). When the newest good one can't be read any more, the next one does not become it.
    `torn`: a number whose manifest is damaged: it may have been the newest good one.
    """
    ordered = sorted(snapshots, key=lambda m: -m.seq)
    usable = [m for m in ordered if m.verdict != "bad"]
    # A pending one is validated before it is used, and becomes one or the other then.
    firm = [m for m in usable if m.verdict in ("good", "pending")]
    if older:
        return firm + [m for m in usable if m.verdict == "fuzzy"]
    newest = [m for m in ordered if m in firm or (m.sick and m.was != "fuzzy")][:1]
    first = [m for m in newest if not m.sick]
    second = max((m.seq for m in firm if m not in first), default=0)
    hot = [m for m in [m for m in usable if m.hot][:1] if m.seq >= second and m not in first]
    return [m for m in first + hot if m.seq > torn]


def of_device(snapshots: Sequence[Manifest], identity: str | None) -> list[Manifest]:
    """Return the snapshots of one epoch without those that hold another device's session.

    `identity`: the link's device in the bot's own words, which are not those of the files for
    every kind of session; else the first good snapshot tells. Files that somebody put there by
    hand are copied as well, and are not of this link.
    """
    if any(m.at_rest == identity for m in snapshots):
        known = identity
    else:
        firm = (m.at_rest for m in snapshots if m.verdict == "good" or m.sick)
        known = next(filter(None, firm), None)
    return [m for m in snapshots if known is None or m.at_rest in (None, known)]


def why_none(record: Record, snapshots: Sequence[Manifest], listing: Listing, torn: int = 0) -> str:
    """Return why there is nothing to restore, in words for a person.

    `snapshots`: those of the link. `torn`: see `candidates`.
    """
    if record.state == "closed":
        end = listing.tombstone(record.epoch)
        how = "it was cleared or logged out"
        if end is not None and end.reason != "cleared":
            how = f"its link has ended ({end.reason})"
        return f"{how}, so it must be linked again"
    if not snapshots:
        return "its snapshots are of an earlier link" if listing.snapshots else "it has no snapshot"
    if all(m.verdict == "bad" for m in snapshots):
        return "none of its snapshots is whole"
    if torn:
        return f"the manifest of snapshot {torn} is damaged, and none that is there is newer"
    return "what may be restored without asking was tried already or can't be read"
