"""What is stored already, and how much of it may be built upon."""

from collections.abc import Mapping
from dataclasses import replace

from supervisor.session.base import Base
from supervisor.session.copying.capture import Copies, Stored
from supervisor.session.model import DamagedBlob
from supervisor.session.proof.profile import Profile
from supervisor.session.state import Record
from supervisor.session.storage.commit import overdue
from supervisor.session.storage.entries import Entry
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.reading import entries_of
from supervisor.session.uncollected import uncollected


class Grounds(Base):
    """Keeps in mind the entries of each session's newest snapshot, and of one before it.

    While the newest waits for its verdict, the one before says what its files held.
    """

    # By session: the entries, as fresh as they were last looked at.
    _looked: Mapping[str, Stored] = {}
    _before: Mapping[str, Stored] = {}

    def _keep_entries(self, session_id: str, stored: Stored) -> None:
        last = self._looked.get(session_id)
        if last is not None and stored.seq < last.seq:
            self._before = {**self._before, session_id: stored}
            return
        if last is not None and last.seq < stored.seq:
            self._before = {**self._before, session_id: last}
        self._looked = {**self._looked, session_id: stored}

    def _ground(
        self, session_id: str, record: Record, listing: Listing, pre: Copies | None = None
    ) -> tuple[Profile, Stored | None, bool]:
        """Return the profile, what is stored already, and whether to build on none of it.

        `pre`: copies of a moment ago. On the same ground what they were is not looked for again:
        a session of no kind is opened by all of them, which takes as long as a walk.
        """
        usable = [m for m in listing.snapshots if m.verdict != "bad"]
        newest = usable[-1] if usable else None
        base = self._stored(newest)
        if pre is not None and pre.base is base:
            return pre.profile, base, overdue(newest)
        return self._profile_of(session_id, self._newest(listing, record)), base, overdue(newest)

    def _stored(self, newest: Manifest | None) -> Stored | None:
        """Return of a snapshot's entries those whose bytes can be trusted to be there."""
        looked = self._look(newest) if newest is not None else None
        if newest is None or looked is None:
            return None
        intact = self.store.intact(newest)
        if len(intact) == len(newest.packs) and not self.store.distrusted:
            return looked
        entries = {
            path: entry
            for path, entry in looked.entries.items()
            if intact.issuperset(entry.seqs) and self.store.trusts(entry)
        }
        whole = looked.whole and len(entries) == len(looked.entries)
        return replace(looked, entries=entries, whole=whole)

    def _look(self, manifest: Manifest) -> Stored | None:
        """Return a snapshot's entries; None when they can't be read. The newest's are kept."""
        looked = self._looked.get(manifest.id)
        for kept in (looked, self._before.get(manifest.id)):
            if kept is not None and kept.name == manifest.name:
                return kept
        try:
            with uncollected(f"entries of {manifest.id}", when=looked is None):
                entries = entries_of(manifest)
        except DamagedBlob:
            return None
        own = self._own(manifest.id, entries)
        # With what is not of the session any more, it is no snapshot of what there is now.
        whole = len(own) == len(entries)
        found = Stored(manifest.name, manifest.seq, manifest.scan_ns, manifest.boot, own, whole)
        self._keep_entries(manifest.id, found)
        return found

    def _own(self, session_id: str, entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """Return what of a snapshot's entries is of the session, by what it is now."""
        names = self.names(session_id)
        return (
            entries
            if names is None
            else names.only(entries, lambda entry: entry.seen.kind == "dir")
        )

    def _entries(self, manifest: Manifest | None) -> Mapping[str, Entry]:
        """Return a snapshot's entries by path: none where nothing can be read of it."""
        looked = self._look(manifest) if manifest is not None else None
        return {} if looked is None else looked.entries
