"""The machine's memory: everything that a decision may depend on, and nothing else."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Self

from supervisor.core.events import Operation, SourceChanged
from supervisor.core.records import Restart


class Phase(StrEnum):
    """Where one bot is in its life. DESIGN's table, by the same names."""

    CLAIMING = "claiming"
    REFUSED = "refused"
    SWEEPING = "sweeping"
    EVICTING = "evicting"
    CHECKING_SESSION = "checking session"
    RESTORING = "restoring"
    OPERATING = "operating"
    STARTING = "starting"
    VERIFYING = "verifying"
    PAIRING = "pairing"
    UP = "up"
    PREFLIGHT = "preflight"
    STANDBY = "standby"
    CHECKPOINTING = "checkpointing"
    SNAPSHOTTING = "snapshotting"
    STOPPING = "stopping"
    KILLING = "killing"
    SEALING = "sealing"
    ACTIVATING = "activating"
    BACKOFF = "backoff"
    FAILED = "failed"
    DOWN = "down"


# The phases before a stop in good order. All in them can still be called off.
PREPARING = (Phase.PREFLIGHT, Phase.STANDBY, Phase.CHECKPOINTING, Phase.SNAPSHOTTING)


class After(StrEnum):
    """What the stop that is under way is for."""

    RESTART = "restart"
    RESTORE = "restore"  # the bot refused a session that the epoch says is linked
    CLOSE = "close"  # the network ended the link
    BACKOFF = "backoff"
    FAIL = "fail"
    FINISH = "finish"  # it ended by itself, and the policy leaves it so


@dataclass(frozen=True, slots=True)
class Caps:
    """What a generation said that it can do."""

    standby: bool = False
    checkpoint: bool = False
    roundtrip: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """One bot. Instants are seconds of the monotonic clock."""

    phase: Phase = Phase.DOWN
    deadline: float | None = None
    # The jobs: the highest number given out, and those whose results are still to come.
    ticket: int = 0
    job: int | None = None  # what the phase itself waits for
    preflight: int | None = None
    copying: int | None = None  # the snapshot before the stop
    wanted_up: bool = False
    paused: bool = False
    operation: Operation | None = None

    # Processes: `current` is or was given the session, `standby` waits for it, `doomed` were
    # killed and are not yet proved gone. `generation` is the highest number given out.
    generation: int = 0
    current: int | None = None
    standby: int | None = None
    standby_waits: bool = False
    doomed: frozenset[int] = frozenset()
    seat: int | None = None
    caps: Caps = Caps()
    standby_caps: Caps = Caps()
    cold_once: bool = False
    # The copies that wait until it has flushed, by their reason; "": somebody else's.
    flushing: tuple[str, ...] = ()

    # What runs side by side before a stop, and must be complete first: see `Preparing`.
    compiled: bool = False
    turn: Literal["", "asked", "given"] = ""
    flush: Literal["", "asked", "done"] = ""
    copied_at: float | None = None

    # The source: `dirty` when it is newer than what the current generation (or the standby that
    # is to follow it) runs, `changed` by which paths, `held` why it was not applied.
    dirty: bool = False
    changed: tuple[str, ...] = ()
    saw: SourceChanged | None = None  # the first of them that nothing runs yet
    held: str = ""
    settling: bool = False  # the last change may go on
    # A login is not all on the disk at once: until then no change stops the bot.
    young_until: float | None = None

    # What the current generation said, and what it is held against.
    reported: str = ""
    identity: str = ""
    ready: bool = False
    proof: str = ""
    verified: bool = False
    fresh_link: Literal["", "paired", "adopted"] = ""
    late: bool = False
    linked: bool = False
    known_identity: str = ""
    # A session of another device lies there: was a person asked, and did they agree?
    foreign: Literal["", "asked", "agreed"] = ""
    # The session that is used is, by its files, another device's than the epoch's.
    stranger: bool = False

    # Why it is stopped in good order without a successor: it hangs, or uses too much, once more.
    leaving: Literal["", "hang", "limit"] = ""
    dumping: bool = False  # it was asked for its stacks, and not told to stop yet
    extended_until: float | None = None  # by its own wish

    # Stopping, and what follows.
    after: After = After.RESTART
    why: str = ""
    to_seal: int | None = None
    killing: bool = False
    clean: bool = False
    attempt: int = 0
    crashes: tuple[float, ...] = ()
    up_since: float | None = None
    restart: Restart | None = None

    def but(self, **changes: Any) -> Self:
        """Return this state with some fields changed.

        Ten times as fast as dataclasses.replace, which the search of all states would wait for.
        """
        changed = object.__new__(type(self))
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(changes)
        return changed
