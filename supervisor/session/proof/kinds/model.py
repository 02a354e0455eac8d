"""What can be said of a kind of session, and the pure rules that read it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.session.files import read_file
from supervisor.session.scan import matches

_JSON_MAX_BYTES = 1 << 20
_NAMED_MAX = 6


def no_identity(_folder: Path) -> str | None:
    """Return None: this kind of session does not say at rest whose device it is."""
    return None


def never(_folder: Path) -> bool:
    """Return False: this kind is not known by its files."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of session. All patterns are globs on the relative path or its last part.

    `fits`: whether a folder is of this kind. `excludes`: never part of a snapshot. `required`:
    without each of these (one of the alternatives between `|`) it is no session. `kept`: the same,
    once a snapshot had it. `vital`: only
    these are opened to prove a copy whole, since the bot makes the others anew; () is all.
    `reread`: written through mmap, so stat does not tell a change. `may_be_empty`: an empty one
    is no damage though it once had bytes. `formats`: glob to format, beside what the content
    itself tells: "sqlite", "json", or "json a b" for an object with the keys a and b.
    `identity`: whose device it is, by the files `identified_by`, or `in_any_database` that lies
    right in the folder; it raises OSError where one of them can't be read. `identity_may_go`: that
    it says so no more is no damage. `reports_same`: the bot reports its identity in the same words.
    `settle_s`: how long after its login a session may not be closed, nor a copy count as good.
    """

    name: str
    fits: Callable[[Path], bool] = never
    excludes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    vital: tuple[str, ...] = ()
    reread: tuple[str, ...] = ()
    may_be_empty: tuple[str, ...] = ()
    formats: tuple[tuple[str, str], ...] = (("*.json", "json"),)
    identity: Callable[[Path], str | None] = no_identity
    identified_by: tuple[str, ...] = ()
    in_any_database: bool = False
    identity_may_go: bool = False
    reports_same: bool = False
    settle_s: float = 0.0

    @property
    def tells_device(self) -> bool:
        """Whether its files say whose device it is, so that their silence is damage."""
        told = bool(self.identified_by) or self.in_any_database
        return told and not self.identity_may_go


def json_object(path: Path) -> dict[str, Any]:
    """Return the object in a small JSON file; an empty one for anything else.

    Raises: OSError for a file that is there and can't be read.
    """
    try:
        value = json.loads(read_file(path, _JSON_MAX_BYTES))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def unsettled(profile: Profile, linked_at: float | None, taken_at: float) -> str:
    """Return why a copy of a session that logged in at `linked_at` can't be good yet, or "".

    Seconds since 1970; None: it did not log in since we know it. A clock that was set back a
    little since the login takes nothing from the doubt.
    """
    if linked_at is None or not -profile.settle_s < taken_at - linked_at < profile.settle_s:
        return ""
    return (
        f"copied {max(0.0, taken_at - linked_at):.0f} s after the login, and a {profile.name}"
        f" session is on the disk only {profile.settle_s:.0f} s after it"
    )


def left_out(profile: Profile, paths: Sequence[str]) -> str:
    """Return one note on all that a snapshot leaves out as `excludes` say, or ""."""
    if not paths:
        return ""
    names = sorted({path.rpartition("/")[2] for path in paths})
    more = f" and {len(names) - _NAMED_MAX} more names" if len(names) > _NAMED_MAX else ""
    what = "1 entry" if len(paths) == 1 else f"{len(paths)} entries"
    listed = ", ".join(names[:_NAMED_MAX])
    return f"{what} left out that a {profile.name} session makes anew: {listed}{more}"


def expected_identity(profile: Profile, at_rest: str | None, reported: str | None) -> str | None:
    """Return what `profile.identity` must say of the same device; None where that is not known.

    `at_rest`: what it said of the newest snapshot. `reported`: the bot's own words, which are
    not those of the files for every kind.
    """
    return at_rest or (reported if profile.reports_same else None)


def identity_problems(
    profile: Profile, identity: str | None, at_rest: str | None, gone: Sequence[str] = ()
) -> list[str]:
    """Return what is wrong with a session that said `at_rest` once whose device it is.

    Fresh credentials in the place of broken ones look whole, and are of no device. `gone`: the
    files that said it, and are not there any more.
    """
    if identity or not at_rest or not profile.tells_device:
        return []
    return [*(f"{path} is missing" for path in gone), "it does not say any more whose device it is"]


def identifies(profile: Profile, path: str, form: str) -> bool:
    """Return whether a file tells whose device it is. `form`: its format, as a snapshot knew it."""
    if profile.in_any_database and form == "sqlite" and "/" not in path:
        return True
    return matches(path, profile.identified_by)


def fingerprint(kind: str, secret: bytes) -> str:
    """Return 16 hex digits that tell one key from another, and no key from them.

    `kind`: so that it is like no other hash of the same key that somebody may have.
    """
    import hashlib  # noqa: PLC0415 - 4 MB, with OpenSSL: for whom has such a session

    return hashlib.sha256(f"stillhere {kind}\0".encode() + secret).hexdigest()[:16]
