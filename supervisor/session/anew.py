"""A store that is away as a whole, though the link had snapshots: what is said, what may begin.

Its disk is not mounted, or somebody moved or removed it. That ends no link. A session that is whole
goes on and begins anew with its snapshots: with higher numbers, so that the old ones may be put
back beside them. A session that is not whole would only hide that the good ones are elsewhere.
"""

from supervisor.session import epochs
from supervisor.session.checked import Checks
from supervisor.session.model import SnapshotFailed, UnreadableBlob
from supervisor.session.state import Record
from supervisor.session.storage.listing import Listing


class Anew(Checks):
    """Notices that the store is away."""

    def snapshots_away(self, session_id: str) -> str:
        """Return which snapshots of the link are not in the store any more; or ""."""
        record = self._state.read(session_id)
        return self._away(record, self.store.listing(session_id))

    def _away(self, record: Record, listing: Listing) -> str:
        said = epochs.away(record, listing)
        return f"{said}, in {self.store.root}" if said else ""

    def _wait_for_store(self, session_id: str, record: Record, listing: Listing) -> None:
        """Raise UnreadableBlob where the store is away, with what to do."""
        if away := self._away(record, listing):
            usable = [m.seq for m in listing.of_epoch(record.epoch) if m.verdict != "bad"]
            last = f"session clear {session_id}, and link it again"
            if usable:
                last = f"session restore {session_id} --snapshot {usable[-1]} is older"
            raise UnreadableBlob(
                away,
                "nothing was changed: mount its disk or put them back, then do it again. Are they"
                f" lost for good? stillhere {last}",
            )

    def _may_begin(self, session_id: str, record: Record, listing: Listing) -> None:
        """As `Snapshots` says. Raises: SnapshotFailed."""
        away = self._away(record, listing)
        check = self._check(session_id, "quick") if away else None
        if check is not None and (check.verdict == "damaged" or check.foreign):
            raise SnapshotFailed(
                f"no snapshot of session {session_id}: {away}, and what is live is not whole:"
                f" {check.why or 'it is another device'}",
                "nothing was changed: mount the store's disk or put it back; the next start then"
                " brings the session back",
            )
