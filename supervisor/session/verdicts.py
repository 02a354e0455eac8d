"""Verdicts: what opening a snapshot's copy shows, and what counts against it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from supervisor.session import epochs, files
from supervisor.session.grounds import Grounds
from supervisor.session.model import (
    MEND,
    DamagedBlob,
    Unjudged,
    UnreadableBlob,
    barred_from,
)
from supervisor.session.proof import checks, emptied, sight, validate
from supervisor.session.proof.journaled import play_back_all
from supervisor.session.proof.profile import Profile, identifies, identity_problems, profile_for
from supervisor.session.proof.sets import set_problems
from supervisor.session.proof.sqlite_files import JOURNALS
from supervisor.session.proof.together import alternatives, looked_into, renewed
from supervisor.session.restoring.rebuild import build_files
from supervisor.session.scan import Seen, matches, scan
from supervisor.session.storage.entries import Entry
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.manifest_json import entries_beside


class Verdicts(Grounds):
    """Validates what is stored: in a copy, in a subprocess, off the restart's path."""

    def _validated(self, manifest: Manifest) -> Manifest:
        problems, doubts, at_rest = self._problems(manifest)
        doubts = [*manifest.doubts, *doubts]
        verdict = "bad" if problems else "fuzzy" if doubts else "good"
        why = "; ".join(problems or doubts)[:1000]
        return self.store.amend(manifest, verdict=verdict, why=why, at_rest=at_rest)

    def _problems(self, manifest: Manifest) -> tuple[list[str], list[str], str | None]:
        """Return what is wrong with a stored copy, what is doubtful, and whose device it is.

        Raises: UnreadableBlob when it can't be read now; Unjudged when it can't be opened now.
        """
        try:
            return self._opened(manifest)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise Unjudged(
                f"{manifest.name} can't be looked into: {error.strerror or error}{where}",
                "it has no verdict until it can: make room or mend the disk",
            ) from error

    def _opened(self, manifest: Manifest) -> tuple[list[str], list[str], str | None]:
        profile = self._profile_in(manifest)
        entries = self._entries(manifest)
        if not entries:
            return [_unlisted(manifest)], [], None
        seen = {path: entry.seen for path, entry in entries.items()}
        before, then = self._compared(manifest, entries)
        problems = sight.missing_problems(seen, profile)
        problems += sight.lost_problems(seen, profile, then)
        empty = sight.emptied(seen, profile, then, at_rest=False)
        with files.scratch(self.store.tmp) as work:
            copy = work / "copy"
            wanted = looked_into(entries, profile, then)
            if before is not None and before.profile == profile.name:
                wanted = renewed(wanted, entries, then)
            try:
                plain = (path for path, item in seen.items() if item.kind == "file")
                named = [p for p in plain if _identifies(profile, p, entries, then)]
                if wanted or named:
                    chosen = [entries[path] for path in {*wanted, *named}]
                    build_files(chosen, copy, self.store)
            except UnreadableBlob:
                raise  # which condemns nothing
            except DamagedBlob as error:
                return [*problems, error.message], [], None
            problems += set_problems(copy, seen, then)
            looked_at = {path: seen[path] for path in wanted}
            formats = checks.formats_of(copy, looked_at, profile, entries, then, ours=True)
            broken = checks.content_problems(copy, seen, formats, ours=True)
            caught = _caught(broken, formats, manifest, then)
            hollow = _hollow(broken, formats, entries)
            for item in hollow:
                if self._not_always_so([item], formats, profile, then, for_good=True):
                    empty.append(item.path)
            texts = {path: f"{path} is empty" for path in empty}
            older = self._older(manifest, entries)
            said = emptied.judge(texts, manifest, older, emptied.is_empty)
            filled = [item for item in broken if item not in hollow]
            more, doubts = self._weighed(filled, formats, profile, manifest, then)
            problems += said.problems + more
            doubts = said.doubts + doubts
            if not problems:
                told = {*empty, *(item.path for item in broken)}
                sound = {path: form for path, form in formats.items() if path not in told}
                broken = checks.deep_problems(copy, sound, None)
                caught += _caught(broken, formats, manifest, then)
                problems, more = self._weighed(broken, formats, profile, manifest, then)
                doubts += more
            at_rest, lost, doubt = _whose(profile, copy, seen, before, then)
            problems += lost
            caught += doubt
            return problems, doubts + caught, at_rest

    def _weighed(
        self,
        broken: list[checks.Problem],
        formats: Mapping[str, str],
        profile: Profile,
        manifest: Manifest,
        then: Mapping[str, Entry],
    ) -> tuple[list[str], list[str]]:
        """Return which problems count, and which are only doubts (see `emptied`), in words.

        The bot may have made something else of a file for good, but of what its kind requires.
        """

        def was_other(entry: Entry) -> bool:
            if formats[entry.path] == "json":
                data = self._bytes_of(entry, for_good=True)
                return bool(data) and bool(validate.json_problem_of(data))
            return emptied.is_other(entry)

        entries = self._entries(manifest)
        required = alternatives(profile.required)
        other: dict[str, str] = {}
        for item in broken:
            if formats[item.path] not in ("json", "sqlite") or matches(item.path, required):
                continue
            if was_other(entries[item.path]) and self._not_always_so(
                [item], formats, profile, then, for_good=True
            ):
                other[item.path] = item.text
        said = emptied.judge(other, manifest, self._older(manifest, entries), was_other)
        rest = [item for item in broken if item.path not in other]
        problems = self._not_always_so(rest, formats, profile, then, for_good=True)
        return said.problems + problems, said.doubts

    def _unpacked_problems(self, target: Path) -> list[str]:
        """Return what is wrong with a session that lies in a plain folder, and is not live."""
        found = scan(target)
        if not found.files:
            return ["there is no file in it"]
        profile = self._profile if isinstance(self._profile, Profile) else profile_for(target)
        problems = self._tree_problems(target, found.seen, profile)
        return sight.missing_problems(found.seen, profile) + [problem.text for problem in problems]

    def _tree_problems(
        self, root: Path, seen: Mapping[str, Seen], profile: Profile
    ) -> list[checks.Problem]:
        formats = checks.formats_of(root, seen, profile, {})
        problems = checks.content_problems(root, seen, formats)
        broken = {problem.path for problem in problems}
        sound = {path: form for path, form in formats.items() if path not in broken}
        with files.scratch(self.store.tmp) as work:
            return problems + checks.deep_problems(root, sound, work)

    def _older(
        self, manifest: Manifest, now: Mapping[str, Entry]
    ) -> Iterator[tuple[Manifest, Mapping[str, Entry]]]:
        """Yield the older snapshots of the same epoch, bad ones too, with what is in them.

        Raises: UnreadableBlob when one can't be looked at now.
        """
        listing = self.store.listing(manifest.id)
        _all_read(listing, 0, manifest)
        for older in listing.of_epoch(manifest.epoch):
            if older.seq < manifest.seq:
                yield older, _listed(older, now) or {}

    def _compared(
        self, manifest: Manifest, now: Mapping[str, Entry]
    ) -> tuple[Manifest | None, Mapping[str, Entry]]:
        """Return the newest good snapshot that is older and has a list to compare with, and it.

        Compared with nothing, a copy in which a file was emptied would look whole. Raises:
        UnreadableBlob when there is one, and it can't be looked at now.
        """
        unread: UnreadableBlob | None = None
        compared: tuple[Manifest | None, Mapping[str, Entry]] = None, {}
        for good in self._all_good_before(manifest):
            try:
                then = _listed(good, now)
            except UnreadableBlob as error:
                unread = unread or error
                continue
            if then is not None:
                compared = good, then
                break
        if compared[0] is None and unread is not None:
            raise unread
        listing = self.store.listing(manifest.id)
        since = compared[0].seq if compared[0] else 0
        record = self._state.read(manifest.id)
        if manifest.seq > record.undone:
            since = epochs.after(record, since)
        _all_read(listing, since, manifest)
        return compared

    def _good_before(self, manifest: Manifest) -> Manifest | None:
        """Return the newest good snapshot of the same line that is older."""
        return next(self._all_good_before(manifest), None)

    def _all_good_before(self, manifest: Manifest) -> Iterator[Manifest]:
        own: Sequence[Manifest] = self.store.listing(manifest.id).of_epoch(manifest.epoch)
        record = self._state.read(manifest.id)
        if manifest.seq > record.undone:
            own = epochs.line(record, own)
        return (m for m in reversed(own) if m.verdict == "good" and m.seq < manifest.seq)

    def _not_always_so(
        self,
        problems: list[checks.Problem],
        formats: Mapping[str, str],
        profile: Profile,
        then: Mapping[str, Entry],
        *,
        for_good: bool = False,
    ) -> list[str]:
        """Return the problems' texts, without those that are none: a name alone promises nothing.

        A file that is called .json, but did not hold JSON `then` either, is the bot's own affair.
        `for_good`: what is said is written down, so that a guess will not do. Raises:
        UnreadableBlob, and that only `for_good`; Unjudged for what we may not read.
        """
        true = [
            problem
            for problem in problems
            if formats[problem.path] != "json"
            or matches(problem.path, alternatives(profile.required))
            or self._was_json(then.get(problem.path), for_good=for_good)
        ]
        if barred := next((problem.text for problem in true if problem.barred), ""):
            raise barred_from(barred)
        return [problem.text for problem in true]

    def _was_json(self, entry: Entry | None, *, for_good: bool) -> bool:
        data = self._bytes_of(entry, for_good=for_good)
        return bool(data) and not validate.json_problem_of(data)

    def _bytes_of(self, entry: Entry | None, *, for_good: bool) -> bytes:
        """Return what a stored file held; nothing where that can't be told any more."""
        try:
            with self.store.reader() as reader:
                return b"".join(reader.read(blob) for blob in (entry.blobs if entry else ()))
        except UnreadableBlob:
            if for_good:
                raise
            return b""
        except DamagedBlob:
            return b""


def _whose(
    profile: Profile,
    copy: Path,
    seen: Mapping[str, Seen],
    before: Manifest | None,
    then: Mapping[str, Entry],
) -> tuple[str | None, list[str], list[str]]:
    """Return whose device a copy is of, what is wrong with that, and what is doubtful."""
    play_back_all(profile, copy, seen)
    at_rest = profile.identity(copy)
    known = before.at_rest if before else None
    problems = identity_problems(profile, at_rest, known, sight.gone(seen, profile, then))
    if not (known and at_rest) or at_rest == known:
        return at_rest, problems, []
    # A person may have linked it anew by hand: no damage, and no copy of this link.
    return at_rest, problems, [f"it is the session of another device: {at_rest}, not {known}"]


def _identifies(
    profile: Profile, path: str, entries: Mapping[str, Entry], then: Mapping[str, Entry]
) -> bool:
    """Return whether a stored file, or one whose journal it is, tells whose device it is."""
    of = next((path.removesuffix(end) for end in JOURNALS if path.endswith(end)), path)
    of = of if of in entries else path
    form = entries[of].format or (then[of].format if of in then else "")
    return identifies(profile, of, form)


def _all_read(listing: Listing, since: int, manifest: Manifest) -> None:
    """Raise UnreadableBlob if between `since` and `manifest` is one that can't be read now."""
    if unread := listing.unread_since(since, manifest.seq):
        raise UnreadableBlob(f"snapshot {manifest.seq} waits for its verdict: {unread}", MEND)


def _hollow(
    broken: list[checks.Problem], formats: Mapping[str, str], entries: Mapping[str, Entry]
) -> list[checks.Problem]:
    """Return which JSON files are broken because nothing is in them."""
    return [
        item
        for item in broken
        if formats[item.path].startswith("json") and emptied.is_empty(entries[item.path])
    ]


def _caught(
    broken: list[checks.Problem],
    formats: Mapping[str, str],
    manifest: Manifest,
    then: Mapping[str, Entry],
) -> list[str]:
    """Return which files a hot copy may have caught half written: `then` tells nothing of them.

    Of a .json that no good snapshot has yet nobody knows whether it ever holds JSON.
    """
    if not manifest.hot:
        return []
    return [
        f"{text} (it may have been half written)"
        for path, text, _barred in broken
        if formats[path] == "json" and path not in then
    ]


def _listed(manifest: Manifest, now: Mapping[str, Entry]) -> Mapping[str, Entry] | None:
    """Return a snapshot's entries, `now`'s where they are the same; None where they are damaged.

    Thousands of them are neither parsed nor held twice. Raises: UnreadableBlob when that may pass.
    """
    try:
        return entries_beside(manifest, now)
    except UnreadableBlob:
        raise
    except DamagedBlob:
        return None


def _unlisted(manifest: Manifest) -> str:
    """Return why a snapshot has no entries. Raises: UnreadableBlob when that may pass."""
    try:
        listed = bool(manifest.files)
    except UnreadableBlob:
        raise
    except DamagedBlob as error:
        return error.message
    if listed:  # a moment ago it could not be read
        raise UnreadableBlob(f"{manifest.name} could not be read at the first try")
    return "there is nothing in it"
