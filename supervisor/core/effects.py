"""What is to be done: the orders that the machine gives. Imperative, immutable, no behaviour.

An effect starts work and returns; what comes of it is an event that carries the same `ticket`
or `generation`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from supervisor.core.events import Operation


@dataclass(frozen=True, slots=True)
class ClaimOwner:
    """Take byte 0 -> OwnerTaken, OwnerBusy, JobFailed."""

    ticket: int


@dataclass(frozen=True, slots=True)
class ReleaseOwner:
    """Give byte 0 back, after all work on the session is done."""


@dataclass(frozen=True, slots=True)
class FindSurvivors:
    """Look for processes of an earlier supervisor -> SurvivorsFound."""

    ticket: int


@dataclass(frozen=True, slots=True)
class EvictSurvivors:
    """Thaw and terminate them, or kill them; look for `within_s` -> SurvivorsGone."""

    ticket: int
    within_s: float
    kill: bool = False


@dataclass(frozen=True, slots=True)
class CheckSession:
    """Look at the live session; cheaply after a clean hand-over -> SessionChecked."""

    ticket: int
    full: bool


@dataclass(frozen=True, slots=True)
class RestoreSession:
    """Bring back a proven snapshot -> SessionRestored, NothingToRestore, JobFailed."""

    ticket: int
    because: Literal["damaged", "pairing"]


@dataclass(frozen=True, slots=True)
class Operate:
    """Carry out what a person asked for -> OperationDone, JobFailed."""

    ticket: int
    operation: Operation


@dataclass(frozen=True, slots=True)
class RefuseOperation:
    """Tell who waits for the operation that it will not be done."""

    operation: Operation
    why: str


@dataclass(frozen=True, slots=True)
class CommitSeat:
    """Write down who has the seat -> SeatCommitted, JobFailed."""

    ticket: int
    generation: int


@dataclass(frozen=True, slots=True)
class RunPreflight:
    """Compile what changed -> PreflightPassed, PreflightFailed."""

    ticket: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """Line up with the other bots that want to restart -> TurnGiven."""


@dataclass(frozen=True, slots=True)
class SpawnStandby:
    """Start a generation that waits without the session -> Spawned, SpawnFailed."""

    generation: int
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpawnCold:
    """Start a generation that has the seat already -> Spawned, SpawnFailed."""

    generation: int
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Activate:
    """Tell the waiting generation that the session is its own."""

    generation: int


@dataclass(frozen=True, slots=True)
class RequestCheckpoint:
    """Ask it to flush -> Checkpointed."""

    generation: int


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Copy the session of a running bot -> SnapshotTaken, JobFailed.

    With ticket 0 nobody waits for it.
    """

    ticket: int
    reason: str
    generation: int


@dataclass(frozen=True, slots=True)
class Seal:
    """Capture the session at rest -> Sealed, JobFailed; commit and validate it later."""

    ticket: int
    generation: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Thaw it; SIGTERM to the main process, then to what is left of its tree."""

    generation: int


@dataclass(frozen=True, slots=True)
class AskDump:
    """Ask a generation that hangs where it hangs: its stacks, into its output."""

    generation: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the whole tree."""

    generation: int


@dataclass(frozen=True, slots=True)
class NoteLinked:
    """A device was paired: open its epoch."""

    identity: str


@dataclass(frozen=True, slots=True)
class NoteVerified:
    """A start was verified. It is counted as a restore if its identity was known before."""

    generation: int
    identity: str
    proof: str
    seconds: float


@dataclass(frozen=True, slots=True)
class NoteProof:
    """A round trip came later: the generation's snapshots are better than they said."""

    generation: int
    proof: str


@dataclass(frozen=True, slots=True)
class NoteState:
    """What the session's state is now, for whoever asks."""

    state: str


@dataclass(frozen=True, slots=True)
class NoteQr:
    """A QR code has to be scanned."""


@dataclass(frozen=True, slots=True)
class Report:
    """One line of the journal."""

    event: str
    fields: tuple[tuple[str, Any], ...] = ()


Effect = (
    ClaimOwner
    | ReleaseOwner
    | FindSurvivors
    | EvictSurvivors
    | CheckSession
    | RestoreSession
    | Operate
    | RefuseOperation
    | CommitSeat
    | RunPreflight
    | TakeTurn
    | SpawnStandby
    | SpawnCold
    | Activate
    | RequestCheckpoint
    | TakeSnapshot
    | Seal
    | Terminate
    | AskDump
    | Kill
    | NoteLinked
    | NoteVerified
    | NoteProof
    | NoteState
    | NoteQr
    | Report
)
