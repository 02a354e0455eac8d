"""What every part of the SessionManager stands on: the record, the lock, and recovery."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.core.policy import Keep
from supervisor.session import epochs, files
from supervisor.session.belonging import Belonging, give
from supervisor.session.copying.writers import writers
from supervisor.session.model import check_id, rfc3339, slug
from supervisor.session.names import Names
from supervisor.session.places import Places
from supervisor.session.progress import Progress
from supervisor.session.proof.fitting import kind_of, known_or_fitting
from supervisor.session.proof.profile import GENERIC, Profile
from supervisor.session.restoring import swap
from supervisor.session.restoring.mounted import refuse_read_only
from supervisor.session.restoring.overtaken import overtaken, whole_instead
from supervisor.session.restoring.quarantine import Quarantine
from supervisor.session.restoring.restore import of_device
from supervisor.session.state import Record, StateFile
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.store import Store


class Base(Places):
    """See SessionManager for the arguments."""

    def __init__(
        self,
        sessions: str | Path = "sessions",
        snapshots: str | Path = ".session-cache",
        state: str | Path = "session-state.json",
        *,
        keep: Keep | None = None,
        older: Literal["ask", "auto"] = "ask",
        paths: Mapping[str, Path] | None = None,
        parts: Mapping[str, tuple[str, ...]] | None = None,
        profile: Profile | Mapping[str, Profile] | None = None,
        owned: bool = False,
        belongs: Belonging | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = Store(Path(snapshots).absolute())
        place = Path(state).absolute()
        super().__init__(
            Path(sessions).absolute(),
            paths=paths or {},
            parts=parts or {},
            ours=(self.store.root, place),
            belongs=belongs,
        )
        self.keep = keep or Keep()
        self.older = older
        self._quarantine = Quarantine(self.store.quarantine, self._beside)
        self._profile = profile
        self._owned = owned
        self._held: set[str] = set()
        # Owned sessions of which nothing was left half done, and nothing was begun since.
        self._settled: set[str] = set()
        self._pinned: list[str] = []
        # Is told how far a restore or an export is, where that takes long.
        self.progress: Progress | None = None
        self._clock = clock
        self._state = StateFile(
            place,
            self.store.root,
            ids=self.store.ids,
            settle=lambda session_id, record: epochs.settle(record, self.store.listing(session_id)),
            clock=clock,
        )

    # --- what is written down ------------------------------------------------------------

    def kept_aside(self) -> list[Path]:
        """Return the state files that could not be read and lie aside since the last call."""
        found, self._state.kept_aside = self._state.kept_aside, []
        return found

    def torn_state(self) -> Path | None:
        """Return the state file where it can't be read: what it said comes from the snapshots."""
        return None if self._state.whole() else self._state.path

    def record(self, session_id: str) -> Record:
        """Return the session's durable record as it stands. Raises: SupervisorError, OSError."""
        check_id(session_id)
        return self._state.read(session_id)

    def _profile_of(self, session_id: str, newest: Manifest | None) -> Profile:
        """Return the live session's kind: the given one, else the last snapshot's, else what fits.

        Where that snapshot is not there any more, the record still knows. What it had matters: a
        session without its credentials looks like no kind. One of no kind may have become one.
        """
        given = self._given_profile(session_id)
        if given is not None:
            return given
        name = newest.profile if newest else self._state.read(session_id).profile
        folder, names = self.folder(session_id), self.names(session_id)
        if name == GENERIC.name:
            return kind_of(folder, names)
        return known_or_fitting(folder, name, names)

    def _profile_in(self, manifest: Manifest) -> Profile:
        """Return the kind of what is stored there, whatever the live session has become since."""
        given = self._given_profile(manifest.id)
        names = self.names(manifest.id)
        return given or known_or_fitting(self.folder(manifest.id), manifest.profile, names)

    def _given_profile(self, session_id: str) -> Profile | None:
        if self._profile is None or isinstance(self._profile, Profile):
            return self._profile
        return self._profile.get(session_id)

    @staticmethod
    def _newest(listing: Listing, record: Record) -> Manifest | None:
        """Return the newest snapshot of the current link that is not bad, if there is one."""
        if record.state == "closed":
            return None
        own = of_device(epochs.line(record, listing.of_epoch(record.epoch)), record.identity)
        return next((m for m in reversed(own) if m.verdict != "bad"), None)

    # --- the lock and recovery -----------------------------------------------------------

    @contextmanager
    def owning(self, session_id: str, *, alone: bool = False) -> Iterator[None]:
        """Hold the owner's lock, with everything finished that a crash left half done.

        `alone`: the operation needs the session at rest, so no bot may be left of an owner that
        died. Raises: SessionBusy, SupervisorError, OSError.
        """
        if session_id in self._held:
            yield
            return
        self._refuse_anothers(session_id)
        try:
            with self._owned_or_taken(session_id, alone=alone):
                if session_id in self._settled:
                    self.store.prepare()
                else:
                    self.recover(session_id)
                yield
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            full = files.is_full(error)
            raise SupervisorError(
                f"session {session_id}: {error.strerror or error}{where}",
                f"nothing was lost: {'make room on that disk' if full else 'mend the cause'} and do"
                " it again, and it goes on where it stopped",
            ) from error

    @contextmanager
    def _owned_or_taken(self, session_id: str, *, alone: bool) -> Iterator[None]:
        if self._owned:
            yield
            return
        lock = self.lock_for(session_id)
        files.make_private(lock.path.parent)
        with lock:
            survivors = lock.survivors() if alone else ()
            if survivors:
                raise SessionBusy(
                    f"a bot of session {session_id} is still running (generation {survivors[0]}),"
                    " though its supervisor is gone",
                    "start the supervisor, which takes over; or stop that bot first",
                )
            in_use = writers(self.folder(session_id), self.names(session_id))
            writer = next(in_use, None) if alone else None
            if writer is not None:
                raise SessionBusy(
                    f"process {writer} has files of session {session_id} open for writing",
                    "stop it first: what it writes meanwhile would be lost",
                )
            self._held.add(session_id)
            try:
                yield
            finally:
                self._held.discard(session_id)

    def recover(self, session_id: str) -> None:
        """Finish or forget what a crash left half done. The owner's lock must be held.

        Raises: SupervisorError, OSError.
        """
        check_id(session_id)
        self.store.prepare()
        intent = swap.read_intent(self.store.root, session_id)
        if intent is not None:
            self._refuse_elsewhere(intent)
            self._finish(self._unmixed(intent))
        else:
            for target in (self._rebuild_folder(session_id), self._whole_folder(session_id)):
                files.remove_tree(target)
                files.remove_tree(target.with_name(f"{target.name}.gone"))
        files.sweep_scratch(self.store.tmp)
        if self._owned:
            self._settled.add(session_id)

    def _refuse_elsewhere(self, intent: swap.Intent) -> None:
        """Raise SupervisorError for an intent that would move what is not of this session."""
        live, store = self.folder(intent.id), self._quarantine.root
        places = (files.real(self._beside(intent.id)), files.real(store))
        found, kept = Path(intent.live), Path(intent.quarantine)
        news = {
            path.name for path in (self._rebuild_folder(intent.id), self._whole_folder(intent.id))
        }
        new = Path(intent.new or self._rebuild_folder(intent.id))
        self._refuse_others(intent)
        if (
            (intent.steps is not None and not intent.new)
            or (files.real(found.parent), found.name) != (files.real(live.parent), live.name)
            or (files.real(new.parent) != places[0] or new.name not in news)
            or files.real(kept.parent) not in places
            or f"session-{intent.id}." not in kept.name
        ):
            raise SupervisorError(
                f"{swap.intent_path(self.store.root, intent.id)} speaks of another folder: was it"
                " moved while a restore was half done?",
                f"nothing was changed: put back {intent.live}, or move this file away",
            )

    def _refuse_others(self, intent: swap.Intent) -> None:
        """Raise SupervisorError for an intent that speaks of other entries than the session's."""
        names = self.names(intent.id)
        steps = intent.steps
        named = () if steps is None else (*steps.drop, *steps.folders, *steps.put)
        named += () if steps is None else tuple(path for path, _mode in steps.modes)
        known = intent.patterns == (() if names is None else names.patterns)
        if known and (names is None or all(map(names.has, named))):
            return
        raise SupervisorError(
            f"{swap.intent_path(self.store.root, intent.id)} speaks of other files: were"
            " `session_files` changed while a restore was half done?",
            f"nothing was changed: have {list(intent.patterns)} there for one start, or move this"
            " file away",
        )

    def _unmixed(self, intent: swap.Intent) -> swap.Intent:
        """Return the intent, or another where a bot was started by hand since the crash."""
        names = self.names(intent.id)
        moved = names is not None and intent.op == "restore" and intent.phase == "in"
        if intent.steps is None and not moved:
            return intent
        old = self._found(intent.id, Path(intent.quarantine).name)
        new = self._found(intent.id, str(intent.snapshot))
        stored = new if moved else old
        profile = self._profile_in(stored) if stored else GENERIC
        if not overtaken(intent, old, new, profile, names):
            return intent
        live = self.folder(intent.id)
        name = self._quarantine.new_name(intent.id, self._clock(), intent.epoch, "overtaken")
        name = self._quarantine.within_reach(intent.id, name, live)
        places = (self._whole_folder(intent.id), name)
        return whole_instead(intent, new, self.store, places, self.progress, names)

    def _found(self, session_id: str, snapshot: str) -> Manifest | None:
        try:
            return self.store.find(session_id, snapshot)
        except SupervisorError:
            return None

    def _begin(self, intent: swap.Intent) -> str | None:
        """Write the intent down and do it. Returns where the old session is, if there was one."""
        if intent.steps is None:
            names = self.names(intent.id)
            refuse_read_only(Path(intent.live), names)
            if names is not None and intent.new:
                _refuse_in_the_way(Path(intent.new), Path(intent.live), names)
        if self._belongs is not None and intent.new:
            give(Path(intent.new), self._belongs)
        self._settled.discard(intent.id)
        swap.write_intent(self.store.root, intent)
        self._finish(intent)
        path = Path(intent.quarantine)
        return path.name.removeprefix(".").removesuffix(".json") if path.exists() else None

    def _finish(self, intent: swap.Intent) -> None:
        """Do what the intent says, as far as it isn't done. Each step may come twice."""
        if intent.op in ("close", "import"):
            self._end_epoch(intent)
        swap.carry_out(self.store.root, intent, self.names(intent.id))
        if intent.op == "restore":
            with self._state.edit(intent.id) as record:
                if record.applied != intent.token:
                    record.applied = intent.token
                    record.rollback_count += 1
                    record.sealed = intent.snapshot
                    epochs.go_back(record, intent.snapshot, self.store.listing(intent.id))
                    record.writers += 1  # so that what was sealed before is so no more
        swap.remove_intent(self.store.root, intent.id)

    def _end_epoch(self, intent: swap.Intent) -> None:
        with self._state.edit(intent.id) as record:
            if record.applied == intent.token:
                return
            record.applied = intent.token
            if record.epoch == intent.epoch:
                self._bury(intent.id, record, intent.why)
                epochs.end(record)
            if intent.op == "import":
                epochs.reopen(record)

    def _bury(self, session_id: str, record: Record, why: str) -> None:
        """Write the tombstone of the current epoch, if there is anything to end."""
        listing = self.store.listing(session_id)
        if listing.tombstone(record.epoch):
            return
        nothing = not listing.of_epoch(record.epoch) and not listing.unread
        if record.state != "linked" and nothing:
            return
        self.store.put(
            Manifest(
                id=session_id,
                seq=self.store.next_seq(session_id, record.numbered),
                epoch=record.epoch,
                reason=why,
                taken_at=rfc3339(self._clock()),
                kind="tombstone",
                state="closed",
                identity=record.identity,
                generation=record.generation,
                verdict="good",
                tried=tuple(record.tried),
                counters=record.counters(),
            )
        )

    def _intent(
        self, session_id: str, op: Literal["restore", "close", "import"], record: Record, why: str
    ) -> swap.Intent:
        name = self._quarantine.new_name(session_id, self._clock(), record.epoch, slug(why))
        return swap.Intent(
            op=op,
            token=os.urandom(8).hex(),
            id=session_id,
            live=str(self.folder(session_id)),
            quarantine=str(name),
            epoch=record.epoch,
            why=why,
            patterns=self._parts.get(session_id, ()),
        )


def _refuse_in_the_way(new: Path, live: Path, names: Names) -> None:
    """Raise SupervisorError where a part of the session can't be placed: a folder has its name.

    A database without its journal is not what was stored.
    """
    for name in names.among(new):
        if files.is_folder(live / name) and not names.has(name, folder=True):
            files.remove_tree(new)
            raise SupervisorError(
                f"{live / name} is a folder, and no part of the session that is to have that name",
                "nothing was changed: move it away, and do it again",
            )


def with_new(intent: swap.Intent, folder: Path, snapshot: int = 0) -> swap.Intent:
    """Return the intent that also puts `folder` in place."""
    return replace(intent, new=str(folder), snapshot=snapshot)
