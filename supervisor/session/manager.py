"""The SessionManager: check a session, bring it back, forget it, show it, take it elsewhere.

Its parts are a chain, each stands on those before it: Base (places, lock, recovery), Grounds (what
is stored already), Verdicts, Snapshots, Quarantined, Checks (is it whole), Anew (a store that is
away), Restores (how one comes back), Ladder (which one), Drills, Audits. The Ledger (what is
written down while a bot runs) stands beside it, on Base.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.session import files, incoming
from supervisor.session.audit import Audits
from supervisor.session.base import with_new
from supervisor.session.ledger import Ledger
from supervisor.session.model import NothingToRestore, check_id, not_restored
from supervisor.session.names import make_plain
from supervisor.session.restoring.restore import candidates
from supervisor.session.scan import scan
from supervisor.session.state import Record
from supervisor.session.storage.listing import Listing


class SessionManager(Ledger, Audits):
    """Keeps the sessions of bots: plain, synchronous, usable with no supervisor running.

    `sessions`, `snapshots`, `state`: where the sessions, their snapshots, and the record of both
    lie. `keep`: how many snapshots stay. `older`: "auto" also restores older ones than the
    newest, unasked. `paths`: folders of sessions that lie elsewhere. `parts`: which names in its
    folder are a session that lies among other files (see config/patterns.py). `profile`: what is
    known of the bot's files, for all or by session id; None looks. `owned`: the caller holds the
    owner's lock of every session it touches; otherwise each changing method takes it, and raises
    SessionBusy when another process has it. `belongs`: whose the sessions are, if not ours.
    """

    # What of the last import can be no part of a session, in words.
    left_out: Sequence[str] = ()

    # --- the end of a link ---------------------------------------------------------------

    def close_epoch(self, session_id: str, why: str) -> str | None:
        """End the link: its snapshots are never restored again, its folder goes to quarantine.

        Returns the folder's name in quarantine. Raises: SessionBusy, SupervisorError, OSError.
        """
        with self.owning(session_id, alone=True):
            record = self._state.read(session_id)
            known = record != Record() or self.store.listing(session_id).manifests
            if not known and not self._there(session_id):
                return None
            # What tells it, a file's name among it, says whose session it is.
            short = why.removeprefix(not_restored(session_id))
            quarantined = self._begin(self._intent(session_id, "close", record, short))
            self._prune(session_id)
            return quarantined

    def clear(self, session_id: str) -> str | None:
        """Forget the session: the next start shows a QR code. See `close_epoch`."""
        return self.close_epoch(session_id, "cleared")

    # --- to and from elsewhere -----------------------------------------------------------

    def refuse_import(self, session_id: str, path: Path, project: Path | None = None) -> None:
        """Raise a SupervisorError for what can't be a session, and asks nobody: see `incoming`."""
        incoming.refuse_system_folder(path)
        around = [self.sessions, self._state.path, *([project] if project else [])]
        live = self.folder(session_id)
        own = self._holds(session_id, files.real(path))
        incoming.refuse_own(path, live=live, own=own, store=self.store.root, around=around)

    def _refuse_export(self, path: Path) -> None:
        """Raise a SupervisorError for a place where the next snapshot or pruning finds it."""
        above = (real := files.real(path.parent) / path.name, *real.parents)
        taken: list[str] = []
        for key in self.ids():
            with suppress(SupervisorError):  # a stray name that can be no session's
                taken += [f"the folder of session {key}"] if self._holds(key, real) else []
        taken += ["the snapshots' store"] if files.real(self.store.root) in above else []
        if taken:
            raise SupervisorError(
                f"{path} would be written into {taken[0]}", "name a path outside of it"
            )

    def export(self, session_id: str, path: str | Path, snapshot: str | None = None) -> Path:
        """Write a snapshot (None: the newest whole one) as a plain folder or as .tar.zst.

        Raises: SupervisorError, OSError.
        """
        check_id(session_id)
        self._refuse_export(Path(path).absolute())
        self.store.prepare()
        if snapshot is not None:
            manifest = self.store.find(session_id, snapshot)
        else:
            listing = self.store.listing(session_id)
            record = self._state.read(session_id)
            own = candidates(listing.of_epoch(record.epoch), older=True)
            if not own:
                raise self._nothing_to_export(session_id, record, listing)
            manifest = own[0]
        # Its libraries are 2 MB, and a service may never need them.
        from supervisor.session import transfer  # noqa: PLC0415 - see above

        return transfer.export(self.store, manifest, Path(path), self.progress)

    def _nothing_to_export(
        self, session_id: str, record: Record, listing: Listing
    ) -> NothingToRestore:
        hint = f"take one first: stillhere session backup {session_id}"
        if listing.of_epoch(record.epoch):
            hint = f"why: stillhere session check {session_id}; or {hint}"
        elif listing.snapshots:
            hint = f"name one with --snapshot: stillhere session snapshots {session_id}"
        why = self._why_none(listing, record)
        return NothingToRestore(f"session {session_id} can't be exported: {why}", hint)

    def import_(self, session_id: str, path: str | Path) -> str | None:
        """Make what `export` wrote the live session, in a new epoch that its first start adopts.

        A session that is there goes to quarantine. Returns its name there; what did not come in
        is in `left_out`.
        Raises: SessionBusy, SupervisorError, OSError.
        """
        from supervisor.session import transfer  # noqa: PLC0415 - see `export`

        self.refuse_import(session_id, Path(path))
        with self.owning(session_id, alone=True):
            target = self._rebuild_folder(session_id)
            try:
                names = self.names(session_id)
                if names is not None:
                    make_plain(self.folder(session_id))
                self.left_out = transfer.unpack(Path(path), target, self.progress, names)
                why = "; ".join(self._unpacked_problems(target))
            except BaseException:
                files.remove_tree(target)
                raise
            if why:
                files.remove_tree(target)
                raise SupervisorError(
                    f"{path} is no whole session: {why}",
                    "nothing was changed; take what `stillhere session export` wrote, or a copy"
                    " of the folder that was made while the bot was down",
                )
            record = self._state.read(session_id)
            intent = self._intent(session_id, "import", record, "imported")
            return self._begin(with_new(intent, target))

    # --- what there is -------------------------------------------------------------------

    def ids(self) -> list[str]:
        """Return all sessions that have a folder, a record or a snapshot."""
        found = self.store.ids() | self._state.ids()
        found |= {key for key in {*self._paths, *self._parts} if self._there(key)}
        if self.sessions.is_dir():
            names = (path.name for path in self.sessions.glob("session-*"))
            found |= {name.removeprefix("session-") for name in names}
        return sorted(found)

    def info(self, session_id: str) -> dict[str, Any]:
        """Return all that is known of a session, with the keys of `session info --json`."""
        folder = self.folder(session_id)
        record = self._state.read(session_id)
        profile = self._profile_of(session_id, None)
        found = scan(folder, profile.excludes, names=self.names(session_id))
        why_not = self._why_not(session_id)
        return {
            "id": session_id,
            "path": str(folder),
            "exists": found.files > 0,
            "restorable": not why_not,
            "why_not": why_not or None,
            "state": record.state,
            "identity": record.identity,
            "epoch": record.epoch,
            "size_bytes": found.size_bytes,
            "files": found.files,
            "restore_count": record.restore_count,
            "rollback_count": record.rollback_count,
            "link_count": record.link_count,
            "qr_count": record.qr_count,
            "last_restore_s": record.last_restore_s,
            "snapshots": [snapshot.as_json() for snapshot in self.snapshots(session_id)],
            "quarantine": self._quarantine.as_json(
                session_id, self.store.listing(session_id).quarantined
            ),
        }
