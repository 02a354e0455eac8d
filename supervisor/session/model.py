"""The words of the session room: snapshots, checks, outcomes, and its errors. No I/O."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from supervisor.core.errors import SupervisorError

Verdict = Literal["pending", "good", "fuzzy", "bad"]
EpochState = Literal["none", "linked", "closed"]

# The weakest first: a proof is never replaced by a weaker one.
PROOFS = ("", "ready", "identity", "roundtrip")
_ID_MAX_BYTES = 120
# What to do about bytes that can't be read now, and may be whole.
MEND = "nothing was changed, and it may be whole: mend the disk, then do it again"
# The same of all packs at once.
AWAY = (
    "nothing was changed: mount it or put it back, then do it again. Are they lost for good? Then"
    " move the manifests (session-*.json) away that name them"
)


class NothingToRestore(SupervisorError):  # noqa: N818 - reads as what happened, like SessionBusy
    """No snapshot may or can be restored now; the message says why.

    `older`: the ids of older snapshots that a person may still consent to.
    """

    def __init__(self, message: str, hint: str = "", *, older: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.older = older


class SnapshotFailed(SupervisorError):  # noqa: N818 - the same
    """A snapshot could not be taken; the live session and the older snapshots are untouched."""


class NothingToCopy(SnapshotFailed):
    """There is no file in the session, so nothing that could be lost either."""


class Malformed(SupervisorError):  # noqa: N818 - the same
    """A stored file is not what we wrote. The message says which and what."""


class DamagedBlob(SupervisorError):  # noqa: N818 - the same
    """Stored bytes can't be read back, or are not the ones that were stored."""


class UnreadableBlob(DamagedBlob):
    """Stored bytes could not be read now. They may be whole: this condemns nothing."""


class Unjudged(SupervisorError):  # noqa: N818 - the same
    """What opens copies could not be run, or the live session not be looked at.

    Nothing is known of it, good or bad.
    """


def barred_from(what: str) -> Unjudged:
    """Return what to raise for something of the live session that we may not, or can't, read."""
    return Unjudged(
        f"{what}: whether it is whole can't be told now",
        "nothing was changed: give the user that the supervisor runs as the right to read it"
        " (chmod, chown), or what it has too little of (ulimit -n, memory), then do it again",
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One restorable copy of a session. Sizes in bytes, durations in seconds, times RFC 3339.

    `why`: what the verdict rests on, where that is not `good`.
    """

    id: str
    seq: int
    epoch: int
    taken_at: str
    reason: str
    verdict: Verdict
    proof: str
    size_bytes: int
    new_bytes: int
    duration_s: float
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the fields, as `session snapshots --json` shows them."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What the live session looks like.

    `linked`: the state file says that it belongs to a linked epoch. `foreign`: it is valid, but
    proves another device than the epoch's.
    """

    verdict: Literal["passed", "damaged", "absent"]
    why: str = ""
    identity: str | None = None
    files: int = 0
    size_bytes: int = 0
    linked: bool = False
    foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What `restore` did. `age_s`: how old the snapshot is that is now live.

    `flaw`: what the check said of a live session that was kept all the same, since its device
    was proved with exactly that flaw before.
    """

    action: Literal["kept", "restored"]
    snapshot: Snapshot | None = None
    quarantined: str | None = None
    age_s: float = 0.0
    duration_s: float = 0.0
    flaw: str = ""


def check_id(session_id: str) -> str:
    """Return `session_id` if it can be part of a file name.

    Raises: SupervisorError, saying what is wrong with it.
    """
    problem = ""
    if not session_id or session_id.strip() != session_id:
        problem = "is empty, or begins or ends with a space"
    elif "/" in session_id or ".." in session_id or session_id == ".":
        problem = "contains '/' or '..'"
    elif not session_id.isprintable():
        problem = "contains a character that can't be printed"
    elif len(session_id.encode("utf-8", "replace")) > _ID_MAX_BYTES:
        problem = f"is longer than {_ID_MAX_BYTES} bytes"
    if problem:
        raise SupervisorError(
            f"the session id {session_id!r} {problem}",
            "use the phone number or a plain name, like 971505760056 or support-bot",
        )
    return session_id


def slug(text: str) -> str:
    """Return `text` as a short word for a file name: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].strip("-") or "other"


def not_restored(session_id: str, why: str = "") -> str:
    """Return the sentence on a session that can't be restored, and `why`."""
    return f"session {session_id} can't be restored: {why}"


def rfc3339(seconds: float) -> str:
    """Return seconds since 1970 as RFC 3339 UTC, with milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def since_1970(text: str) -> float:
    """Return an RFC 3339 time as seconds since 1970. Raises: ValueError."""
    try:
        seconds = datetime.fromisoformat(text).timestamp()
        datetime.fromtimestamp(seconds, UTC)  # a zone may lead out of the years that there are
    except (OverflowError, OSError) as error:
        raise ValueError(f"{text[:40]!r} is no time") from error
    return seconds


def compact(seconds: float) -> str:
    """Return seconds since 1970 as in a file name: 20261124T220000Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def parse_name(file_name: str) -> tuple[str, int] | None:
    """Return (session id, seq) of a manifest's or pack's file name, or None for other files."""
    match = re.fullmatch(r"session-(.+)\.(\d{6,15})\.\d{8}T\d{6}Z\.(.+\.json|pack)", file_name)
    if match is None or "." in match[3].removesuffix(".json"):
        return None
    return match[1], int(match[2])
