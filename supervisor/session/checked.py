"""Is the live session whole? Decides nothing about what comes back, and never writes into it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from supervisor.session import epochs, files
from supervisor.session.copying.stat_boot import has_device
from supervisor.session.copying.writers import writers
from supervisor.session.lock import boot_id
from supervisor.session.model import MEND, Check, Unjudged, UnreadableBlob, barred_from
from supervisor.session.names import shown
from supervisor.session.proof import checks, sight
from supervisor.session.proof.against import overwritten_page
from supervisor.session.proof.journaled import has_journals, played_back_identity
from supervisor.session.proof.leveldb import is_member
from supervisor.session.proof.opaque import opaque_problems
from supervisor.session.proof.profile import (
    GENERIC,
    Profile,
    expected_identity,
    identity_of,
    identity_problems,
)
from supervisor.session.proof.sets import set_problems
from supervisor.session.proof.sqlite_files import JOURNALS
from supervisor.session.quarantined import Quarantined
from supervisor.session.restoring import swap
from supervisor.session.scan import NO_RIGHTS, OUR_LACKS, Scan, Seen, scan
from supervisor.session.state import Record
from supervisor.session.storage.entries import Entry
from supervisor.session.storage.manifest import Manifest

Depth = Literal["quick", "cheap", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a check looks at. `base`: the snapshot that the files are compared with.

    `sealed`: the same one, if it is what the session was when the last bot had stopped. `then`:
    the identity that it must still have. `at_rest`: nobody has the seat.
    """

    folder: Path
    found: Scan
    profile: Profile
    base: Manifest | None
    sealed: Manifest | None
    identity: str | None
    then: str | None
    at_rest: bool


class Checks(Quarantined):
    """Looks at the live session, and at trees of ours that are to become it."""

    def check(
        self, session_id: str, *, full: bool = True, quick: bool = False, found: Scan | None = None
    ) -> Check:
        """Look at the live session; never writes into it.

        Not `full`: a session whose files are, by stat, those of its seal passes at once.
        `quick`: no database is opened; what is missing, empty or torn is seen all the same.
        `found`: what a walk has just found, where nobody writes.
        Raises: SupervisorError, OSError.
        """
        self.store.prepare()
        if self._owned or session_id in self._held:
            if session_id not in self._settled:
                self.recover(session_id)
        elif next(writers(self.folder(session_id), self.names(session_id)), None) is not None:
            quick = True  # a raw copy of a database that is being written looks torn
        depth: Depth = "quick" if quick else "full" if full else "cheap"
        return self._looked_at(session_id, depth, found)[0]

    def glance(self, session_id: str) -> Check:
        """Look at the live session as a quick `check` does, and make, mend or write down nothing.

        Raises: SupervisorError, OSError.
        """
        return self._looked_at(session_id, "quick")[0]

    def identity_at_rest(self, session_id: str) -> str | None:
        """Return whose device the live session is by its files; None where they do not say.

        Nothing is opened for writing, so that its bot may run meanwhile. Raises: SupervisorError.
        """
        listing = self.store.listing(session_id)
        newest = self._newest(listing, self._state.read(session_id))
        folder = shown(self.folder(session_id), self.names(session_id))
        return identity_of(self._profile_of(session_id, newest), folder)

    def _check(self, session_id: str, depth: Depth) -> Check:
        return self._looked_at(session_id, depth)[0]

    def _looked_at(
        self, session_id: str, depth: Depth, found: Scan | None = None
    ) -> tuple[Check, Live | None]:
        """Return what is said of the live session, and what was looked at for that.

        Raises: Unjudged where something in it is not for us to read, or we lack what that takes;
        UnreadableBlob where that takes a snapshot that can't be read now.
        """
        try:
            return self._seen_as(session_id, depth, found)
        except (Unjudged, UnreadableBlob) as error:
            raise type(error)(f"session {session_id}: {error.message}", error.hint) from error
        except OSError as error:
            if error.errno not in (*OUR_LACKS, *NO_RIGHTS):
                raise
            where = error.filename or "it"
            what = f"session {session_id}: {where} can't be read: {error.strerror}"
            raise barred_from(what) from error

    def _seen_as(
        self, session_id: str, depth: Depth, found: Scan | None
    ) -> tuple[Check, Live | None]:
        folder, names = self.folder(session_id), self.names(session_id)
        record = self._state.read(session_id)
        listing = self.store.listing(session_id)
        newest = self._newest(listing, record)
        profile = self._profile_of(session_id, newest)
        if found is None:
            found = scan(folder, profile.excludes, self._entries(newest), names)
        linked = record.state == "linked"
        if not self._owned and swap.read_intent(self.store.root, session_id):
            half = "a restore or clear was interrupted; the next start finishes it"
            return Check(verdict="damaged", why=half, linked=linked), None
        if not found.files:
            _nothing_lost_behind(found.barred)
            there = "is empty" if folder.exists() else "does not exist"
            gone = f"{folder} {there}" if names is None else f"{names} is not in {folder}"
            # Copied before any start of it was verified: it comes back as a damaged one does.
            lost = newest is not None and not linked
            return Check(verdict="damaged" if lost else "absent", why=gone, linked=linked), None
        if _known_behind(found.barred, self._entries(newest)):
            _nothing_lost_behind(found.barred)
        away = epochs.away(record, listing)
        then = _device(profile, newest, record, away) if linked else None
        identity = identity_of(profile, shown(folder, names))
        if identity != then and then is not None and has_journals(profile, found.seen):
            with files.scratch(self.store.tmp) as work:
                identity = played_back_identity(profile, folder, found.seen, work)
        foreign = _foreign(profile, identity, newest, record)
        live = Live(
            folder=folder,
            found=found,
            profile=profile,
            base=None if foreign else newest,
            sealed=newest if newest and not foreign and record.sealed == newest.seq else None,
            identity=identity,
            then=then,
            at_rest=record.seat is None,
        )
        passes = depth == "cheap" and self._untouched(live)
        why = [] if passes else self._live_problems(live, depth)
        unread = (
            ""
            if record.state == "closed"
            else listing.unread_since(epochs.after(record, newest.seq) if newest else 0)
        )
        unread = unread or away
        if why:
            _nothing_lost_behind(found.barred)
        if unread and not why:
            _nothing_untold(live, unread, self._entries(newest))
        check = Check(
            verdict="damaged" if why else "passed",
            why="; ".join(dict.fromkeys(why)),
            identity=identity,
            files=found.files,
            size_bytes=found.size_bytes,
            linked=linked,
            foreign=foreign and not why,
        )
        return check, live

    def _untouched(self, live: Live) -> bool:
        """Return whether all files are, by stat, as they were sealed."""
        sealed = live.sealed
        stored = self._stored(sealed)
        if sealed is None or stored is None or sealed.verdict not in ("good", "pending"):
            return False
        if stored.boot != boot_id() or live.found.elsewhere:  # stat tells nothing
            return False
        now = {path: seen for path, seen in live.found.seen.items() if seen.kind != "dir"}
        then = {p: e.seen for p, e in stored.entries.items() if e.seen.kind != "dir"}
        return now == then

    def _live_problems(self, live: Live, depth: Depth) -> list[str]:
        """Return what is wrong. What costs more is asked only where all before it found nothing."""
        known = self._entries(live.base)
        good, told = self._good_of(live, known)
        formats = checks.formats_of(live.folder, live.found.seen, live.profile, known, told)
        # What changed is looked at first: that is where damage is, as a rule.
        trusted = self._proved(live, good)
        why = self._lost(live, known) + self._cut(live, formats)
        why += self._shallow(live, formats, told, trusted)
        gone = sight.gone(live.found.seen, live.profile, known)
        why += identity_problems(live.profile, live.identity, live.then, gone)
        if not why and depth != "quick":
            for found in self._thorough(live, formats, known, told, trusted):
                if found:
                    return found
        return why

    def _lost(self, live: Live, known: Mapping[str, Entry]) -> list[str]:
        """Return what names and sizes alone tell: what is missing, emptied or gone."""
        seen, profile = live.found.seen, live.profile
        why = sight.missing_problems(seen, profile) + sight.lost_problems(seen, profile, known)
        why += sight.emptied_problems(seen, profile, known, at_rest=live.at_rest)
        why += set_problems(live.folder, seen, known)
        if live.sealed and live.at_rest:
            gone = sight.seal_problems(seen, profile, self._entries(live.sealed))
            why += [problem for problem in gone if problem not in why]
        return why

    def _cut(self, live: Live, formats: Mapping[str, str]) -> list[str]:
        """Return which files of no known format an accident has changed since the seal.

        A kind that is known says itself which of its files matter.
        """
        if live.sealed is None or not live.at_rest or live.profile.name != GENERIC.name:
            return []
        sealed = self._entries(live.sealed)
        journals = {path + end for path in formats for end in JOURNALS}
        leveldbs = {path for path in live.found.seen if is_member(Path(path).name)}
        return list(
            opaque_problems(
                live.folder,
                live.found.seen,
                sealed,
                {*formats, *journals, *leveldbs},
                lambda entry: self._bytes_of(entry, for_good=False),
            )
        )

    def _shallow(
        self,
        live: Live,
        formats: Mapping[str, str],
        told: Mapping[str, Entry],
        trusted: frozenset[str] = frozenset(),
    ) -> list[str]:
        """Return what a short look at these files shows, but at those that are `trusted`."""
        broken = checks.content_problems(live.folder, live.found.seen, formats, trusted=trusted)
        return self._not_always_so(broken, formats, live.profile, told)

    def _good_of(
        self, live: Live, known: Mapping[str, Entry]
    ) -> tuple[Manifest | None, Mapping[str, Entry]]:
        """Return the base that was found good, and the entries that tell what a file held.

        A base that waits for its verdict may be torn: then it is a good one before it, for both.
        """
        base = live.base
        if base is None or base.verdict != "pending":
            return (base if base is not None and base.verdict == "good" else None), known
        good = self._good_before(base)
        return good, self._entries(good)

    def _thorough(
        self,
        live: Live,
        formats: Mapping[str, str],
        known: Mapping[str, Entry],
        told: Mapping[str, Entry],
        trusted: frozenset[str],
    ) -> Iterator[list[str]]:
        """Yield what each further look shows, the cheapest first."""
        yield self._overwritten(live, formats, known, trusted)
        rest = {path: form for path, form in formats.items() if path in trusted}
        yield self._shallow(live, rest, told)
        with files.scratch(self.store.tmp) as work:
            broken = checks.deep_problems(live.folder, formats, work)
        yield self._not_always_so(broken, formats, live.profile, told)

    def _overwritten(
        self,
        live: Live,
        formats: Mapping[str, str],
        known: Mapping[str, Entry],
        trusted: frozenset[str],
    ) -> list[str]:
        """Return which databases were overwritten since the seal, as far as that is sure."""
        if live.sealed is None or live.sealed.verdict != "good" or not live.at_rest:
            return []
        seen = live.found.seen
        why: list[str] = []
        with self.store.reader() as reader:
            for path, form in formats.items():
                if form != "sqlite" or path in trusted or path not in known:
                    continue
                if _has_journal(path, seen, known):
                    continue
                page = overwritten_page(live.folder / path, known[path], reader)
                if page is not None:
                    why.append(f"{path}: page {page} was overwritten")
        return why

    def _proved(self, live: Live, good: Manifest | None) -> frozenset[str]:
        """Return the files that are, by stat, those of the snapshot that was found `good`."""
        stored = self._stored(good)
        if stored is None or stored.boot != boot_id():
            return frozenset()
        same = stored.same(live.found.seen, fine=has_device(live.folder))
        return frozenset(same) - live.found.elsewhere


def _has_journal(path: str, seen: Mapping[str, Seen], known: Mapping[str, Entry]) -> bool:
    """Return whether a database's journal holds something, now or in the snapshot."""
    names = [path + end for end in JOURNALS]
    now = any(name in seen and seen[name].size for name in names)
    return now or any(name in known and known[name].seen.size for name in names)


def _known_behind(barred: Mapping[str, str], known: Mapping[str, Entry]) -> bool:
    """Return whether something was read once that lies where we have no right to read now."""
    places = tuple(f"{path}/" for path in barred)
    return bool(barred) and any(
        path.startswith(places) or (path in barred and entry.seen.kind != "dir")
        for path, entry in known.items()
    )


def _nothing_lost_behind(barred: Mapping[str, str]) -> None:
    """Raise Unjudged if there is something that is not ours to read: what it holds looks lost."""
    for what in barred.values():
        raise barred_from(what)


def _nothing_untold(live: Live, unread: str, known: Mapping[str, Entry]) -> None:
    """Raise UnreadableBlob if a file is empty or no JSON, and what it was can't be read now.

    Bots make new devices of emptied databases; of what is whole an older list tells enough.
    """
    seen = live.found.seen
    for path in sight.all_empty(seen, live.profile):
        raise UnreadableBlob(
            f"{path} is empty, and whether it held something is not known: {unread}", MEND
        )
    formats = checks.formats_of(live.folder, seen, live.profile, {})
    named = {path: form for path, form in formats.items() if form.startswith("json")}
    for path, text, _barred in checks.content_problems(live.folder, seen, named, trusted=known):
        if seen[path].size:
            raise UnreadableBlob(f"{text}, and whether it was JSON is not known: {unread}", MEND)


def _device(profile: Profile, newest: Manifest | None, record: Record, away: str) -> str | None:
    """Return whose device the session was, in whatever words; None where that is not known.

    Of a store that is away the record still knows that it was somebody's: to pair anew, and to
    begin anew with copies of that, would hide that the good ones are elsewhere. And of a link that
    has no snapshot yet it knows the kind, if its files said then whose device it is.
    """
    if newest is not None:
        return newest.at_rest
    if away and profile.tells_device:
        return record.identity
    noted = record.profile == profile.name and profile.tells_device
    return record.identity or "somebody's" if noted else None


def _foreign(
    profile: Profile, identity: str | None, newest: Manifest | None, record: Record
) -> bool:
    """Return whether the live session is of another device than the epoch's."""
    expected = expected_identity(profile, newest.at_rest if newest else None, record.identity)
    return bool(record.state == "linked" and identity and expected and identity != expected)
