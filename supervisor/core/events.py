"""What happened: the facts that the machine is told. Past tense, immutable, no behaviour.

Facts about a process carry its `generation`, results of a job the `ticket` that the job was
given; the machine drops those that it no longer waits for. Times are seconds of the monotonic
clock.
"""

from dataclasses import dataclass
from typing import Any, Literal

SessionState = Literal["connecting", "restored", "linked", "pairing", "lost", "conflict", "offline"]
Verdict = Literal["passed", "damaged", "absent"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A change of the session folder that a person asked for. `id` finds who waits for it."""

    kind: Literal["clear", "restore", "close"]
    id: int = 0
    snapshot: str | None = None
    why: str = ""


# What a person or a program asks for.


@dataclass(frozen=True, slots=True)
class StartRequested:
    """Run the bot."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Stop the bot; with `hurry`, at once and without a snapshot."""

    hurry: bool = False


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """Restart the bot now, whether anything changed or not."""


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Collect changes, do not act on them."""


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """Act on changes again, the collected ones first."""


@dataclass(frozen=True, slots=True)
class SnapshotRequested:
    """Copy the session of the running bot; "": who asks does that, once the bot has flushed."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class OperationRequested:
    """Change the session while no bot has it."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class SourceChanged:
    """The bot's source differs from what was last seen. Paths as a person would say them.

    `quiet_at` None: it may still be moving. Then SourceSettled follows, or another one of these.
    """

    paths: tuple[str, ...]
    saved_at: float
    detected_at: float
    quiet_at: float | None


@dataclass(frozen=True, slots=True)
class SourceSettled:
    """Nothing moved since the last change that was told."""

    quiet_at: float


# What came of a job.


@dataclass(frozen=True, slots=True)
class OwnerTaken:
    """Byte 0 is ours. `generation` is the highest number ever given out."""

    ticket: int
    generation: int


@dataclass(frozen=True, slots=True)
class OwnerBusy:
    """Another process has byte 0."""

    ticket: int
    pid: int | None


@dataclass(frozen=True, slots=True)
class SurvivorsFound:
    """Processes of an earlier supervisor that still run; none when empty."""

    ticket: int
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SurvivorsGone:
    """All of them are proved gone."""

    ticket: int


@dataclass(frozen=True, slots=True)
class SessionChecked:
    """The live session was looked at. `linked`: the epoch has a device, not yet ended.

    `identity`: the epoch's device. `foreign`: the session is valid, but another device's.
    """

    ticket: int
    verdict: Verdict
    linked: bool
    foreign: bool = False
    identity: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class SessionRestored:
    """A proven snapshot is in place."""

    ticket: int


@dataclass(frozen=True, slots=True)
class NothingToRestore:
    """No snapshot may be brought back unasked. `older`: with a person's consent one could be."""

    ticket: int
    why: str
    older: bool = False


@dataclass(frozen=True, slots=True)
class OperationDone:
    """The change that a person asked for is made, or was refused and said so."""

    ticket: int


@dataclass(frozen=True, slots=True)
class SeatCommitted:
    """The seat's new holder is on the disk."""

    ticket: int


@dataclass(frozen=True, slots=True)
class PreflightPassed:
    """What changed compiles."""

    ticket: int


@dataclass(frozen=True, slots=True)
class PreflightFailed:
    """What changed does not compile. `errors`: as the journal shows them."""

    ticket: int
    errors: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TurnGiven:
    """It is this bot's turn: only few restart at a time."""


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """The session as it was before the stop is safe."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the bot wrote while stopping is captured. `intact`: nothing is missing or empty."""

    ticket: int
    intact: bool


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job ended without its result."""

    ticket: int
    why: str


# What a generation did.


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process runs. `spare`: it was there already, paused before its first line."""

    generation: int
    pid: int
    spare: bool = False


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The command could not be started."""

    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class CapsDeclared:
    """What this generation can do."""

    generation: int
    standby: bool
    checkpoint: bool
    roundtrip: bool


@dataclass(frozen=True, slots=True)
class StandbyReached:
    """All is imported; it waits for the session."""

    generation: int


@dataclass(frozen=True, slots=True)
class SessionReported:
    """What the bot says of its session."""

    generation: int
    state: SessionState
    identity: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BotReady:
    """Online and usable."""

    generation: int


@dataclass(frozen=True, slots=True)
class ProofGiven:
    """A message made for this device after its activation was decrypted."""

    generation: int
    proof: str


@dataclass(frozen=True, slots=True)
class UndecryptableSeen:
    """So many messages could not be decrypted."""

    generation: int
    count: int


@dataclass(frozen=True, slots=True)
class Hung:
    """It lives, and does nothing any more: its watchdog is silent, or a probe gets no answer."""

    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """Its tree uses more than it may, and has for a while."""

    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class Extended:
    """It asks for so much time, from now on, to start or to stop."""

    generation: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """All that was in memory is in the session."""

    generation: int


@dataclass(frozen=True, slots=True)
class Released:
    """The last word: all is closed, nothing will be written."""

    generation: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process ended. `status` is its exit status, or minus the signal's number."""

    generation: int
    status: int


@dataclass(frozen=True, slots=True)
class TreeGone:
    """The main process and all that it started are proved gone."""

    generation: int


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The phase's deadline is over."""


# What persons and saved files ask for; what came of a job; and all that there is.
Asked = (
    StartRequested
    | StopRequested
    | RestartRequested
    | PauseRequested
    | ResumeRequested
    | SnapshotRequested
    | OperationRequested
    | SourceChanged
    | SourceSettled
)
Result = (
    OwnerTaken
    | OwnerBusy
    | SurvivorsFound
    | SurvivorsGone
    | SessionChecked
    | SessionRestored
    | NothingToRestore
    | OperationDone
    | SeatCommitted
    | PreflightPassed
    | PreflightFailed
    | TurnGiven
    | SnapshotTaken
    | Sealed
    | JobFailed
)
Event = (
    Asked
    | Result
    | Spawned
    | SpawnFailed
    | CapsDeclared
    | StandbyReached
    | SessionReported
    | BotReady
    | ProofGiven
    | UndecryptableSeen
    | Hung
    | LimitExceeded
    | Extended
    | Checkpointed
    | Released
    | Exited
    | TreeGone
    | DeadlinePassed
)
