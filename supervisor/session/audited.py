"""What a check of a session's snapshots found, and what follows from it for a person. No I/O."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

from supervisor.session.model import Check, DamagedBlob, UnreadableBlob, Verdict
from supervisor.session.state import Record
from supervisor.session.storage.manifest import Manifest

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One snapshot. `todo`: a command, or what comes by itself.

    `lost`: it was called good, and can't be read any more. `unread`: only not now; it may be whole.
    `fresh`: this check found it so.
    """

    id: str
    seq: int
    epoch: int
    taken_at: str
    verdict: Verdict
    proof: str
    restorable: bool
    why_not: str | None = None
    todo: str | None = None
    lost: bool = False
    unread: bool = False
    fresh: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the fields, as `session check --json` shows them."""
        found = asdict(self)
        del found["lost"], found["unread"], found["fresh"]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """One session in quarantine."""

    name: str
    restorable: bool
    why_not: str | None = None


class Apart(Generic[T]):
    """A part of a check that may take long, and touches nothing that others use: done once."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done: Future[T] = Future()

    def run(self) -> None:
        """Do it, in any thread; what comes of it is kept."""
        if self._done.set_running_or_notify_cancel():
            try:
                self._done.set_result(self._work())
            except BaseException as error:  # noqa: BLE001 - it is raised by `result`
                self._done.set_exception(error)

    def result(self) -> T:
        """Return what came of it, and do it first if nobody has. Raises: as the work."""
        if not self._done.done():
            self.run()
        return self._done.result()


@dataclass(slots=True, kw_only=True)
class Audited:
    """All of a check. It grows while the check goes on.

    `hot`: somebody had the live session open, so its databases were not looked into. `epoch`:
    the one that may be restored; None when it has ended. `unreadable`: manifests that
    are none any more. `unread`: why those can't be read now that may be some. `unneeded`: packs
    that no manifest needs. `noted`: whether what was found could be written down. `bytes_read`:
    from the packs. `left_out`: what the newest snapshot does not hold, in words. `away`: which
    snapshots are not in the store any more, in words. `unasked`: the seq of the snapshot that comes
    back where the live session is not whole; None: none does. `waits`: what a restore waits for,
    that can't be read now. `apart`: what comes next may be done elsewhere.
    """

    id: str
    check: Check
    hot: bool = False
    epoch: int | None = None
    snapshots: list[Examined] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    unneeded: list[str] = field(default_factory=list)
    quarantine: list[Aside] = field(default_factory=list)
    bytes_read: int = 0
    duration_s: float = 0.0
    noted: bool = True
    left_out: list[str] = field(default_factory=list)
    away: str = ""
    unasked: int | None = None
    waits: str = ""
    apart: Apart[Any] | None = None

    @property
    def restorable(self) -> int:
        """How many snapshots may be brought back."""
        return sum(one.restorable for one in self.snapshots)

    @property
    def damaged(self) -> list[str]:
        """What was a good snapshot once, and no later one has made up for it."""
        newest = self._newest
        lost = [one.id for one in self.snapshots if one.lost and (one.fresh or one.seq > newest)]
        return lost + self.unreadable + list(self.unread)

    @property
    def _newest(self) -> int:
        """The seq of the newest snapshot that may be brought back; 0 for none."""
        return max((one.seq for one in self.snapshots if one.restorable), default=0)

    @property
    def ok(self) -> bool:
        """Whether the session is whole, and a copy of it could take its place."""
        whole = self.check.verdict == "passed" and self.restorable > 0
        return whole and not self.damaged and not self.away

    def _instead(self, newest: int) -> str:
        """Return what to do where a snapshot is lost, and no live session could store it anew."""
        if newest:
            older = f"stillhere session restore {self.id} --snapshot {newest}"
            return f"an older one can come back: {older}"
        return (
            "put its packs back, if there is a copy of them; else link it again: stillhere"
            f" session clear {self.id}, then stillhere link"
        )

    def as_json(self) -> dict[str, Any]:
        """Return what `session check --json` shows."""
        newest = self._newest
        snapshots = [one.as_json() for one in self.snapshots]
        for one in snapshots:
            if not one["restorable"] and one["epoch"] == self.epoch and one["seq"] < newest:
                one["todo"] = f"nothing: snapshot {newest} is newer, and whole"
            elif one["todo"] == heals(self.id) and self.check.verdict != "passed":
                one["todo"] = self._instead(newest)
        return {
            "id": self.id,
            **asdict(self.check),
            "hot": self.hot,
            "ok": self.ok,
            "snapshots": snapshots,
            "unreadable": self.unreadable,
            "unread": self.unread,
            "unneeded_packs": self.unneeded,
            "left_out": self.left_out,
            "away": self.away or None,
            "unasked": self.unasked,
            "waits": self.waits or None,
            "quarantine": [asdict(one) for one in self.quarantine],
            "damaged": self.damaged,
            "written_down": self.noted,
            "bytes_read": self.bytes_read,
            "duration_s": round(self.duration_s, 6),
        }


def examined(
    manifest: Manifest,
    record: Record,
    problem: DamagedBlob | None,
    *,
    fresh: bool,
    unjudged: str = "",
) -> Examined:
    """Return what is to be said of a snapshot that was read back.

    `manifest`: with the verdict that it has now; `fresh`: it had another before. `problem`: why
    it can't be read; None when each byte was proved. `unjudged`: why its verdict is still pending.
    """
    own = manifest.epoch == record.epoch and record.state != "closed"
    why, todo, lost = "", "", False
    if isinstance(problem, UnreadableBlob):
        why, lost, fresh = problem.message, manifest.verdict != "bad" or manifest.sick, True
        again = f"mend the disk, then look again: stillhere session check {manifest.id}"
        todo = problem.hint or again
    elif problem is not None:
        why, lost = problem.message, manifest.sick
        todo = heals(manifest.id) if own else ""
    elif manifest.verdict == "bad":
        why, lost = manifest.why or "it is not whole", manifest.sick
        todo = heals(manifest.id) if own and manifest.sick else ""
    elif unjudged:
        why, todo = unjudged, f"look again: stillhere session check {manifest.id}"
    elif not own:
        why = f"it is of an earlier link (epoch {manifest.epoch})"
        todo = f"stillhere session export {manifest.id} FOLDER --snapshot {manifest.seq}"
    else:
        todo = f"stillhere session restore {manifest.id} --snapshot {manifest.seq}"
    return Examined(
        id=manifest.name,
        seq=manifest.seq,
        epoch=manifest.epoch,
        taken_at=manifest.taken_at,
        verdict=manifest.verdict,
        proof=manifest.proof,
        restorable=not why,
        why_not=why or None,
        todo=todo or None,
        lost=lost,
        unread=isinstance(problem, UnreadableBlob),
        fresh=fresh,
    )


def heals(session_id: str) -> str:
    """Return what becomes of bytes that can't be read any more."""
    return f"the next snapshot stores it again: stillhere session backup {session_id}"
