"""Verdicts: what opening a snapshot's copy shows, and what counts against it."""

import json
from collections.abc import Mapping

from supervisor.session import checks, files
from supervisor.session.entries import Entry
from supervisor.session.grounds import Grounds
from supervisor.session.manifest import Manifest
from supervisor.session.model import DamagedBlob, Snapshot, SnapshotFailed
from supervisor.session.profile import Profile
from supervisor.session.restore import build
from supervisor.session.scan import matches


class Verdicts(Grounds):
    """Validates what is stored: in a copy, in a subprocess, off the restart's path."""

    def validate(self, session_id: str, snapshot: str) -> Snapshot:
        """Open a committed snapshot's copy and give it its verdict; one that has it keeps it.

        Raises: SupervisorError when the validator can't be run.
        """
        with self.owning(session_id), Told(session_id):
            manifest = self.store.find(session_id, snapshot)
            if manifest.verdict == "pending":
                manifest = self._validated(manifest)
            return manifest.snapshot()

    def _validated(self, manifest: Manifest) -> Manifest:
        problems, at_rest = self._problems(manifest)
        verdict = "bad" if problems else "fuzzy" if manifest.doubts else "good"
        why = "; ".join(problems or manifest.doubts)[:1000]
        return self.store.amend(manifest, verdict=verdict, why=why, at_rest=at_rest)

    def _problems(self, manifest: Manifest) -> tuple[list[str], str | None]:
        """Return what is wrong with a stored copy, and whose device it is. Raises: OSError."""
        profile = self._profile_of(manifest.id, manifest)
        entries = self._entries(manifest)
        if not entries:
            return ["its list of files can't be read"], None
        seen = {path: entry.seen for path, entry in entries.items()}
        before = self._good_before(manifest)
        problems = checks.missing_problems(seen, profile)
        problems += checks.emptied_problems(seen, profile, self._entries(before), at_rest=False)
        with files.scratch(self.store.tmp) as work:
            copy = work / "copy"
            wanted = [path for path in seen if _needs_look(path, entries, profile)]
            try:
                if wanted:
                    build(manifest, copy, self.store, only=wanted)
            except DamagedBlob as error:
                return [*problems, error.message], None
            formats = checks.formats_of(copy, {p: seen[p] for p in wanted}, profile, entries)
            broken = checks.content_problems(copy, seen, formats)
            problems += self._not_always_so(broken, formats, profile, before)
            if not problems:
                broken = checks.deep_problems(copy, formats, None)
                problems = self._not_always_so(broken, formats, profile, before)
            return problems, profile.identity(copy)

    def _good_before(self, manifest: Manifest) -> Manifest | None:
        """Return the newest good snapshot of the same epoch that is older."""
        own = self.store.listing(manifest.id).of_epoch(manifest.epoch)
        good = (m for m in reversed(own) if m.verdict == "good" and m.seq < manifest.seq)
        return next(good, None)

    def _not_always_so(
        self,
        problems: list[checks.Problem],
        formats: Mapping[str, str],
        profile: Profile,
        before: Manifest | None,
    ) -> list[str]:
        """Return the problems' texts, without those that are none: a name alone promises nothing.

        A file that is called .json, but has never been seen to hold JSON, is the bot's own affair.
        """
        return [
            text
            for path, text in problems
            if formats[path] != "json"
            or matches(path, profile.required)
            or self._was_json(before, path)
        ]

    def _was_json(self, manifest: Manifest | None, path: str) -> bool:
        entry = self._entries(manifest).get(path)
        if entry is None:
            return False
        try:
            with self.store.reader() as reader:
                json.loads(b"".join(reader.read(blob) for blob in entry.blobs))
        except (DamagedBlob, ValueError, RecursionError):
            return False
        return True


def _needs_look(path: str, entries: Mapping[str, Entry], profile: Profile) -> bool:
    """Return whether validation opens this file, or SQLite needs it to open another."""
    if entries[path].seen.kind != "file":
        return False
    for end in checks.COMPANIONS:
        if path.endswith(end) and path.removesuffix(end) in entries:
            return True
    globs = tuple(glob for glob, _form in profile.formats) + profile.required
    return bool(entries[path].format) or matches(path, globs)


class Told:
    """Turns what the system says into what a person can use. Raises: SnapshotFailed."""

    def __init__(self, session_id: str) -> None:
        self._id = session_id

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            where = f" ({error.filename})" if error.filename else ""
            raise SnapshotFailed(
                f"no snapshot of session {self._id}: {error.strerror or error}{where}",
                "nothing was lost; make room or mend the disk, then: stillhere session backup",
            ) from error
        if isinstance(error, DamagedBlob):
            raise SnapshotFailed(
                f"no snapshot of session {self._id}: {error.message}",
                "the disk does not give back what was written to it: check it",
            ) from error
