"""What names and stat tell against a session: missing, emptied, gone. Reads no file."""

from collections.abc import Mapping

from supervisor.session.proof.profile import Profile, identifies
from supervisor.session.proof.together import alternatives
from supervisor.session.scan import Seen, matches
from supervisor.session.storage.entries import Entry


def missing_problems(seen: Mapping[str, Seen], profile: Profile) -> list[str]:
    """Return which required files are not there, or are there and empty."""
    held = [path for path, item in seen.items() if item.kind == "file" and item.size]
    return [
        f"{' or '.join(globs)} is missing or empty"
        for globs in map(alternatives, zip(profile.required))
        if not any(matches(path, globs) for path in held)
    ]


def lost_problems(
    seen: Mapping[str, Seen], profile: Profile, newest: Mapping[str, Entry]
) -> list[str]:
    """Return what is not there any more, or is empty, that a snapshot had and that is needed."""
    held = [path for path, item in seen.items() if item.kind == "file" and item.size]
    had = [path for path, item in newest.items() if item.seen.kind == "file" and item.seen.size]
    return [
        f"{path} is missing or empty"
        for globs in map(alternatives, zip(profile.kept))
        if not any(matches(path, globs) for path in held)
        for path in had
        if matches(path, globs)
    ]


def gone(seen: Mapping[str, Seen], profile: Profile, newest: Mapping[str, Entry]) -> list[str]:
    """Return which files are not there any more by which a snapshot told whose device it is."""
    return [
        path
        for path, entry in newest.items()
        if path not in seen
        and entry.seen.kind == "file"
        and identifies(profile, path, entry.format)
    ]


def emptied_problems(
    seen: Mapping[str, Seen], profile: Profile, newest: Mapping[str, Entry], *, at_rest: bool
) -> list[str]:
    """Return what is said of the files that are `emptied`."""
    return [f"{path} is empty" for path in emptied(seen, profile, newest, at_rest=at_rest)]


def emptied(
    seen: Mapping[str, Seen], profile: Profile, newest: Mapping[str, Entry], *, at_rest: bool
) -> list[str]:
    """Return which files are empty that had bytes in the last snapshot.

    A database is not emptied on purpose, as far as one can tell (but see `proof.emptied`). What
    any other file is for is not known, so that it is damage only `at_rest`, where nobody has the
    seat, and if nobody wrote anything else.
    """
    untouched = at_rest and not _written_since(seen, newest)
    return [
        path
        for path, item in seen.items()
        if item.kind == "file"
        and item.size == 0
        and path in newest
        and newest[path].seen.size
        and (untouched or newest[path].format)
        and not matches(path, profile.may_be_empty)
    ]


def all_empty(seen: Mapping[str, Seen], profile: Profile) -> list[str]:
    """Return which files are empty that may have held what is needed."""
    return [
        path
        for path, item in seen.items()
        if item.kind == "file"
        and item.size == 0
        and not matches(path, profile.may_be_empty)
        and (not profile.vital or matches(path, profile.vital))
    ]


def seal_problems(
    seen: Mapping[str, Seen], profile: Profile, sealed: Mapping[str, Entry]
) -> list[str]:
    """Return what is gone from a session that nobody may have written since `sealed`.

    A file that changed or came since says that somebody did write, by hand perhaps: then a
    missing one is no damage but the bot's own doing.
    """
    if _written_since(seen, sealed):
        return []
    return [
        f"{path} is missing"
        for path, entry in sealed.items()
        if entry.seen.kind == "file" and path not in seen and not matches(path, profile.excludes)
    ]


def _written_since(seen: Mapping[str, Seen], then: Mapping[str, Entry]) -> bool:
    """Return whether a file came or got other bytes since `then`; empty ones tell nothing."""
    for path, item in seen.items():
        if item.kind != "file" or item.size == 0:
            continue
        entry = then.get(path)
        if entry is None or entry.seen.mtime_ns != item.mtime_ns or entry.seen.size != item.size:
            return True
    return False
