"""Bring a snapshot back: in place where little differs, else as a new folder for the old one.

In both ways nothing of the live session is touched before all that comes is on the disk, proved,
and all that goes is safe: in the packs and read back, or moved away whole.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import time_ns
from typing import Literal

from supervisor.session import files
from supervisor.session.anew import Anew
from supervisor.session.base import with_new
from supervisor.session.checked import Live
from supervisor.session.copying.capture import YOUNG_NS, Copies, Stored, copy_changes
from supervisor.session.copying.spool import Spool
from supervisor.session.copying.stat_boot import stat_boot
from supervisor.session.model import Unjudged, slug
from supervisor.session.names import make_plain
from supervisor.session.proof.profile import Profile
from supervisor.session.quarantined import NO_ROOM
from supervisor.session.restoring import delta, inplace, swap
from supervisor.session.restoring.delta import Plan
from supervisor.session.restoring.durable import synced
from supervisor.session.restoring.inplace import Steps
from supervisor.session.restoring.looked import looked_at
from supervisor.session.restoring.mounted import mounts_below
from supervisor.session.restoring.rebuild import Looks, build_tree, write_blobs, write_files
from supervisor.session.scan import Scan, scan, seen_from
from supervisor.session.storage.entries import Entry
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.reading import entries_of

Because = Literal["damaged", "pairing", "asked"]


class Restores(Anew):
    """Puts one snapshot in the live session's place."""

    def _replace(
        self, manifest: Manifest, because: Because, checked: Live | None = None
    ) -> str | None:
        """Make the live session `manifest`. Returns the old one's name in quarantine, if any.

        `checked`: what a check has just seen of it, which need not be walked once more.
        Raises: DamagedBlob when the snapshot can't be read; OSError. The live folder is untouched
        then, or the next recovery finishes what was begun.
        """
        look = self._look(manifest)
        entries = look.entries if look is not None else self._own(manifest.id, entries_of(manifest))
        names = self.names(manifest.id)
        if manifest.among not in (None, names is not None):
            # Its paths begin elsewhere: put here, the bot would not find it, and link anew.
            how = "among other files" if manifest.among else "in a folder of its own"
            raise Unjudged(
                f"snapshot {manifest.seq} is of a session that lay {how}",
                "were `session_path` and `session_files` changed since? Nothing was changed: put"
                " them back until it is restored",
            )
        if names is not None:
            if not any(entry.seen.kind == "file" for entry in entries.values()):
                raise Unjudged(
                    f"snapshot {manifest.seq} holds nothing that is called {names}",
                    "were `session_files` changed since? Nothing was changed: put them back",
                )
            make_plain(self.folder(manifest.id))
        staging = self._rebuild_folder(manifest.id)
        begun_ns = time_ns()
        looks: Looks = {}
        try:
            intent = self._in_place(manifest, entries, because, checked)
            if intent is None:
                files.remove_tree(staging)
                looks = build_tree(entries.values(), staging, self.store, self.progress)
                intent = self._whole(manifest, because)
            self._tried(manifest, because)
        except BaseException:
            files.remove_tree(staging)
            raise
        name = self._begin(intent)
        if looks:
            self._remember(manifest, looks, begun_ns)
        return name

    def _remember(self, manifest: Manifest, looks: Looks, begun_ns: int) -> None:
        """Keep in mind how the files look that were built, so that none is read again for that.

        They are younger than what stat may be trusted for, as a rule. But each has the time of
        its last change from long ago, which the next write moves, however soon it comes.
        """
        looked = self._looked.get(manifest.id)
        if looked is None or looked.name != manifest.name:
            return
        fresh: dict[str, Entry] = {}
        for path, entry in looked.entries.items():
            seen = looks.get(path)
            if seen is None or seen.mtime_ns > begun_ns - YOUNG_NS:
                continue
            again = looked_at(entry, seen)
            if again is not None:
                fresh[path] = again
        built = Stored(
            manifest.name,
            manifest.seq,
            time_ns() + YOUNG_NS,
            stat_boot(self.folder(manifest.id)),
            {**looked.entries, **fresh},
            looked.whole,
        )
        self._keep_entries(manifest.id, built)

    def _tried(self, manifest: Manifest, because: Because) -> None:
        """Write down, before anything is done, that this one is tried: all is ready for it."""
        if because == "pairing":
            with self._state.edit(manifest.id) as record:
                if manifest.name not in record.tried:
                    record.tried.append(manifest.name)

    def _whole(self, manifest: Manifest, because: Because) -> swap.Intent:
        """Return the intent that puts the staging folder in the live one's place."""
        record = self._state.read(manifest.id)
        intent = self._intent(manifest.id, "restore", record, because)
        intent = with_new(intent, self._rebuild_folder(manifest.id), manifest.seq)
        live = self.folder(manifest.id)
        if not swap.holds_something(live, self.names(manifest.id)):
            return replace(intent, phase="in")
        # A copy on the store's disk would take time, and room that it may not have.
        aside = self._quarantine.within_reach(manifest.id, Path(intent.quarantine), live)
        return replace(intent, quarantine=str(aside))

    def _in_place(
        self,
        manifest: Manifest,
        entries: Mapping[str, Entry],
        because: Because,
        checked: Live | None = None,
        *,
        again: bool = False,
    ) -> swap.Intent | None:
        """Make all ready to change the live folder where it differs.

        Returns None where a new folder is better: most of it differs, or something there can't
        be read, stored, or changed. `again`: with blobs that could not be read the first time.
        Raises: DamagedBlob, OSError.
        """
        live = self.folder(manifest.id)
        # A path in another user's session may lead anywhere by the time we write there.
        names = self.names(manifest.id)
        if self._belongs is not None or not swap.holds_something(live, names):
            return None
        profile = self._profile_in(manifest)
        if checked is not None and checked.profile == profile:
            found = checked.found
        else:
            found = scan(live, profile.excludes, entries, names)
        strange = found.notes or any(path in entries for path in found.excluded)
        if strange or delta.surely_much(entries, found):
            return None
        spool = Spool(self.store.tmp, self.progress)
        try:
            copies = self._compared_with(manifest, profile, spool, found)
            plan = delta.compare(entries, found, copies) if copies is not None else None
            if (
                copies is None
                or plan is None
                or copies.doubts
                or delta.is_much(spool.size_bytes, entries)
                or not _may_change(live, plan)
            ):
                return None
            writable = {
                path: some
                for path, some in plan.parts.items()
                if _may_write(live, path, self._rebuild_folder(manifest.id).parent)
            }
            plan = replace(plan, parts=writable)
            self._stage(plan, manifest.id)
            put = (blob.hash for entry in plan.put for blob in entry.blobs)
            kept = self._keep(manifest.id, copies, profile, slug(because), plan.lost, set(put))
        finally:
            spool.close()
        if kept is None:
            # What is distrusted now is stored anew by the next try.
            return None if again else self._in_place(manifest, entries, because, again=True)
        if _moved(live, plan, copies) or _came(live, plan, copies):
            if kept.new:
                self.store.drop(manifest.id, [kept.manifest])
            return None
        record = self._state.read(manifest.id)
        intent = self._intent(manifest.id, "restore", record, because)
        steps = Steps(
            drop=plan.drop,
            folders=tuple(entry.path for entry in plan.folders),
            put=tuple(entry.path for entry in plan.put),
            modes=plan.modes,
            parts=tuple(_over(entry, plan, copies) for entry in plan.put if entry.path in writable),
        )
        intent = with_new(intent, self._rebuild_folder(manifest.id), manifest.seq)
        place = str(self.store.place(kept.manifest))
        return replace(intent, phase="place", quarantine=place, steps=steps)

    def _compared_with(
        self, manifest: Manifest, profile: Profile, spool: Spool, found: Scan
    ) -> Copies | None:
        """Return what of the live session differs; None where the store has no room for it."""
        live = self.folder(manifest.id)
        try:
            names = self.names(manifest.id)
            return copy_changes(
                live,
                profile,
                self._stored(manifest),
                spool,
                found=found,
                uid=self._uid,
                names=names,
            )
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return None

    def _stage(self, plan: Plan, session_id: str) -> None:
        """Write what is to be placed, each file under its number; it is on the disk then."""
        staging = self._rebuild_folder(session_id)
        files.remove_tree(staging)
        files.make_private(staging)
        places = [(entry, staging / str(number)) for number, entry in enumerate(plan.put)]
        jobs = [(entry, str(place)) for entry, place in places if entry.path not in plan.parts]
        with synced(staging) as written:
            write_files(jobs, self.store, self.progress)
            written += [path for entry, path in jobs if entry.seen.kind == "file"]
            for entry, place in places:
                if entry.path in plan.parts:
                    target = inplace.parts_of(place)
                    write_blobs((blob for _at, blob in plan.parts[entry.path]), target, self.store)
                    written.append(str(target))


def _may_change(live: Path, plan: Plan) -> bool:
    """Return whether we may change all folders in which something goes or comes."""
    new = {entry.path for entry in plan.folders}
    touched = (*plan.drop, *new, *(entry.path for entry in plan.put))
    parents = {path.rpartition("/")[0] for path in touched} - new
    allowed = all(os.access(live / parent, os.W_OK | os.X_OK) for parent in parents)
    return allowed and all(_may_stay(path, live, plan) for path in mounts_below(live))


def _may_stay(mount: Path, live: Path, plan: Plan) -> bool:
    """Return whether the steps can be done though this mount point can't go.

    It can be emptied, or written over with what is of its own kind, where it is writable.
    """
    path = str(mount.relative_to(live))
    above = {path, *delta.parents(path)}
    coming = {entry.path: entry.seen.kind for entry in (*plan.folders, *plan.put)}
    fits = coming.get(path) in (None, "dir" if files.is_folder(mount) else "file")
    if not fits or any(coming.get(parent, "dir") != "dir" for parent in above - {path}):
        return False
    touched = path in coming or not above.isdisjoint(plan.drop)
    return not touched or os.access(mount, os.W_OK)


def _may_write(live: Path, path: str, beside: Path) -> bool:
    """Return whether we may write over the file itself: it is ours, and has no other name.

    `beside`: where the staging folder is to lie.
    """
    status = os.lstat(live / path)
    return (
        status.st_nlink == 1
        and status.st_dev == os.lstat(beside).st_dev
        and status.st_uid == os.geteuid()
        and live / path not in mounts_below(live)
    )


def _over(entry: Entry, plan: Plan, copies: Copies) -> inplace.Parts:
    seen = entry.seen
    return inplace.Parts(
        path=entry.path,
        old=copies.seen[entry.path],
        digest=inplace.digest_of(piece.hash for piece in copies.copied[entry.path].pieces),
        size=seen.size,
        mode=seen.mode & 0o700,
        mtime_ns=seen.mtime_ns,
        ranges=tuple((at, blob.raw) for at, blob in plan.parts[entry.path]),
    )


def _came(live: Path, plan: Plan, copies: Copies) -> bool:
    """Return whether something lies now where nothing was that could be stored."""
    new = (entry.path for entry in plan.put if entry.path not in copies.seen)
    gone = set(plan.drop)
    return any(files.there(live / path) for path in new if gone.isdisjoint(delta.parents(path)))


def _moved(live: Path, plan: Plan, copies: Copies) -> bool:
    """Return whether something that is to go is another than what was stored of it."""
    for path in plan.lost:
        if path not in copies.seen:
            continue  # what is never stored
        try:
            status = os.lstat(live / path)
        except OSError:
            return True
        now, then = seen_from(status), copies.seen[path]
        if now is None or now._replace(target=then.target) != then:
            return True
    return False
