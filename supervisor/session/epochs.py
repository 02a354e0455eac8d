"""The life of a link, as pure changes of a record. No I/O.

An epoch goes none -> linked -> closed. What a manifest says wins over what the state file says:
a tombstone ends its epoch whatever the file believes, and a lost file comes back from the store.
"""

from collections.abc import Sequence

from supervisor.session.model import MEND, PROOFS, UnreadableBlob, parse_name
from supervisor.session.state import Record
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Counters, Manifest

# A lost state file may have known of generations that left no snapshot.
_GENERATION_GAP = 100
_RISING = ("generation", "restore_count", "rollback_count", "link_count", "qr_count")


def settle(record: Record | None, listing: Listing) -> Record:
    """Return the record that `record` (None: lost) and the manifests add up to.

    Raises: UnreadableBlob when the manifests would have to tell, and one can't be read now: what
    it says may be the end of the link, or that there is one.
    """
    record = _added_up(record, listing)
    newest = listing.newest_of(record.epoch) if record.state != "closed" else None
    if newest is not None and newest.seq >= record.newest:
        record.newest, record.profile = newest.seq, newest.profile
    return record


def _added_up(record: Record | None, listing: Listing) -> Record:
    newest_epoch = max((m.epoch for m in listing.manifests), default=0)
    lost = record is None or newest_epoch > record.epoch
    if lost and (unread := listing.unread_since()):
        raise UnreadableBlob(f"the state file lacks what the snapshots tell, and {unread}", MEND)
    if record is None:
        return _rebuilt(listing)
    if newest_epoch > record.epoch:
        return _merged(record, _rebuilt(listing))
    if record.state != "closed" and listing.tombstone(record.epoch):
        end(record)
    if listing.manifests:
        # The file may be older than the store, if somebody put an old one back.
        _linked_by(record, listing.of_epoch(record.epoch))
        _not_below(record, listing.manifests[-1].counters)
        _sealed_by(record, listing)
    return record


def _linked_by(record: Record, own: Sequence[Manifest]) -> None:
    """Take from the epoch's snapshots that it was linked, and whose device it is: neither ends."""
    if record.state == "none" and any(m.state == "linked" for m in own):
        record.state = "linked"
        record.adopted = True  # each other link has a number of its own
    if record.state == "linked" and record.identity is None:
        record.identity = _device_of(own)


def _device_of(own: Sequence[Manifest]) -> str | None:
    return next((m.identity for m in reversed(own) if m.identity is not None), None)


def _sealed_by(record: Record, listing: Listing) -> None:
    """Take from the newest snapshot whether it is the session at rest."""
    own = listing.of_epoch(record.epoch)
    seals = own[-1].seals if own else None
    if seals is None or record.state == "closed":
        return
    if seals > record.writers:
        record.writers = seals + 1  # the file is older than the store
    elif seals == record.writers:
        record.sealed = own[-1].seq


def _rebuilt(listing: Listing) -> Record:
    if not listing.manifests:
        return Record()
    newest = listing.manifests[-1]
    epoch = max(m.epoch for m in listing.manifests)
    own = [m for m in listing.manifests if m.epoch == epoch]
    counters = newest.counters
    record = Record(
        epoch=epoch,
        identity=_device_of(own),
        generation=counters.generation + _GENERATION_GAP,
        restore_count=counters.restore_count,
        rollback_count=counters.rollback_count,
        link_count=counters.link_count,
        qr_count=counters.qr_count,
        last_restore_s=counters.last_restore_s,
        tried=list(own[-1].tried),
        # More than any seal knows of: nobody can tell who had the seat since.
        writers=max((m.seals or 0 for m in own), default=0) + 1,
    )
    if listing.tombstone(epoch) or _end_unread(listing, own):
        end(record)
    elif any(m.state == "linked" for m in own):
        record.state = "linked"
    return record


def _end_unread(listing: Listing, own: Sequence[Manifest]) -> bool:
    """Return whether a tombstone that can't be read may have ended this epoch.

    Rather a new QR code than a session that somebody cleared.
    """
    ends = [parse_name(name) for name in listing.unreadable if ".closed-" in name]
    return any(name is not None and name[1] > own[-1].seq for name in ends)


def _merged(old: Record, new: Record) -> Record:
    """An old state file beside a newer store: the store's epoch, and no counter goes back."""
    _not_below(new, old.counters())
    new.writers = max(new.writers, old.writers + 1)
    new.last_writer = old.last_writer
    new.seat = old.seat
    new.fields = old.fields
    return new


def _not_below(record: Record, counters: Counters) -> None:
    for name in _RISING:
        setattr(record, name, max(getattr(record, name), getattr(counters, name)))


def away(record: Record, listing: Listing) -> str:
    """Return what is said where the store had newer snapshots of this link than it has; or "".

    Its disk is not mounted, or it was moved: which ends no link, and nothing older comes back.
    """
    own = listing.of_epoch(record.epoch)
    taken = newest_taken(record, listing)
    newest = listing.newest_of(record.epoch)
    there = max(newest.seq if newest else 0, listing.torn, listing.newest_unread)
    if record.state != "linked" or taken <= there:
        return ""
    if own:
        return f"snapshot {taken} was taken, and is not there any more"
    return f"the snapshots up to {taken} are not there any more"


def newest_taken(record: Record, listing: Listing) -> int:
    """Return the number of the newest usable snapshot that this link ever had; 0 for none."""
    # An older program's file knows the seal alone.
    seal = 0 if listing.of_epoch(record.epoch) else record.sealed or 0
    return max(record.newest, seal)


def go_back(record: Record, seq: int, listing: Listing) -> None:
    """Note that the live session is snapshot `seq` now."""
    own = listing.of_epoch(record.epoch)
    record.restored = seq
    record.undone = max([record.newest, *(m.seq for m in own)])


def line(record: Record, own: Sequence[Manifest]) -> list[Manifest]:
    """Return the snapshots that the live session goes on from.

    Not those that it went back from: it lacks what came in them, and that is no damage.
    """
    return [m for m in own if not record.restored < m.seq <= record.undone]


def after(record: Record, seq: int) -> int:
    """Return the number after which the next snapshot may lie in the line of snapshot `seq`."""
    return record.undone if seq == record.restored else seq


def begin(record: Record, identity: str | None, *, adopted: bool) -> None:
    """Start a new linked epoch. An adopted session keeps the number of its unlinked one.

    What was copied before a pairing is no part of the new link; what was copied of a session
    that came linked from elsewhere is.
    """
    if not (adopted and record.state == "none"):
        record.epoch += 1
        record.tried = []
        record.newest, record.profile = 0, ""
    record.state = "linked"
    record.identity = identity
    record.adopted = adopted
    record.linked_at = ""


def end(record: Record) -> None:
    """Close the epoch."""
    record.state = "closed"
    record.sealed = None
    record.newest, record.profile = 0, ""
    record.identity = None
    record.linked_at = ""


def reopen(record: Record) -> None:
    """Make room, after an end, for snapshots of what is not linked yet."""
    if record.state == "closed":
        record.epoch += 1
        record.state = "none"
        record.adopted = False
        record.tried = []


def stronger(proof: str, other: str) -> bool:
    """Return whether `proof` proves more than `other`."""
    return PROOFS.index(proof) > PROOFS.index(other)
