"""Tells the machine what happens, from nothing to whatever a test is about."""

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.machine import step
from supervisor.core.policy import Policy
from supervisor.core.state import State

DEVICE = "device:fingerprint"


class Story:
    """A machine that is told events, and the orders that it gave at the last of them.

    It is this bot's turn to restart as soon as it asks, unless the machine is `crowded`.
    """

    def __init__(self, policy: Policy | None = None, *, crowded: bool = False) -> None:
        self.crowded = crowded
        self.policy = policy or Policy()
        self.state = State()
        self.now = 100.0
        self.orders: tuple[do.Effect, ...] = ()

    def tell(self, *events: ev.Event) -> "Story":
        """Tell events, one after the other."""
        for event in events:
            self.state, self.orders = step(self.state, event, self.now, self.policy)
            if do.TakeTurn() in self.orders and not self.crowded:
                asked = self.orders
                self.tell(ev.TurnGiven())
                self.orders = (*asked, *self.orders)
        return self

    def later(self, seconds: float) -> "Story":
        """Let time pass; the deadline is told if it has come."""
        self.now += seconds
        return self.tell(ev.DeadlinePassed())

    @property
    def ticket(self) -> int:
        """The job that was begun last."""
        return self.state.ticket

    def reports(self) -> list[str]:
        """What was written down at the last event."""
        return [order.event for order in self.orders if isinstance(order, do.Report)]

    def acts(self) -> list[do.Effect]:
        """What was ordered at the last event, notes and reports aside."""
        said = (do.Report, do.NoteState, do.NoteVerified, do.NoteLinked, do.NoteQr, do.NoteProof)
        return [order for order in self.orders if not isinstance(order, (*said, do.TakeTurn))]

    def seated(self, *, linked: bool = True) -> "Story":
        """From nothing to a generation that has just been started with its session."""
        self.tell(ev.StartRequested())
        return self.seated_again(1, linked=linked)

    def seated_again(self, generation: int, *, linked: bool = True) -> "Story":
        """From CLAIMING to a generation that has just been started with its session."""
        self.tell(ev.OwnerTaken(self.ticket, 0))
        self.tell(ev.SurvivorsFound(self.ticket, ()))
        verdict: ev.Verdict = "passed" if linked else "absent"
        identity = DEVICE if linked else ""
        self.tell(ev.SessionChecked(self.ticket, verdict, linked=linked, identity=identity))
        self.tell(ev.SeatCommitted(self.ticket))
        return self.tell(ev.Spawned(generation, 4711))

    def up(self, *, standby: bool = True) -> "Story":
        """From nothing to UP, proved by a round trip."""
        self.seated()
        self.tell(ev.CapsDeclared(1, standby=standby, checkpoint=True, roundtrip=True))
        self.tell(ev.SessionReported(1, "restored", DEVICE))
        return self.tell(ev.ProofGiven(1, "roundtrip"), ev.BotReady(1))

    def saved(self, *paths: str) -> "Story":
        """A file was saved, and nothing moves any more."""
        return self.tell(ev.SourceChanged(paths or ("bot.py",), self.now, self.now, self.now))

    def moved(self, *paths: str) -> "Story":
        """A file was saved, and more may follow."""
        return self.tell(ev.SourceChanged(paths or ("bot.py",), self.now, self.now, None))

    def standing_by(self) -> "Story":
        """UP, a file saved, and the new generation waits."""
        self.up().saved()
        self.tell(ev.PreflightPassed(self.ticket))
        self.tell(ev.CapsDeclared(2, standby=True, checkpoint=True, roundtrip=True))
        return self.tell(ev.StandbyReached(2))

    def stopping(self) -> "Story":
        """... flushed, snapshotted, and the old one told to stop."""
        self.standing_by()
        self.tell(ev.Checkpointed(1))
        return self.tell(ev.SnapshotTaken(self.ticket))
