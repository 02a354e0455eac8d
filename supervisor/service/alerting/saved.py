"""How old a bot's newest good snapshot is, while the bot is up: told from the journal. Pure."""

from dataclasses import dataclass, field

_MARKS_MAX = 16


@dataclass(slots=True)
class Saved:
    """How old a bot's newest good copy is, by a clock that runs only while the bot is up."""

    keeps: bool = False  # there is a session that could be lost
    limit_s: float = 0.0
    up_at: float | None = None
    up_s: float = 0.0
    marks: dict[str, float] = field(default_factory=dict)  # where the clock stood, by snapshot

    def clock(self, now: float) -> float:
        """Return how long the bot has been up, all in all."""
        return self.up_s + (0.0 if self.up_at is None else now - self.up_at)

    def up(self, now: float) -> None:
        """It came up, or is still."""
        self.up_at = now if self.up_at is None else self.up_at

    def not_up(self, now: float) -> None:
        """It is not up any more."""
        self.up_s, self.up_at = self.clock(now), None

    def mark(self, now: float, snapshot: object) -> None:
        """Note a copy. One that waits for its verdict counts until that says otherwise."""
        if isinstance(snapshot, dict) and snapshot.get("verdict") in ("good", "pending"):
            self.marks[str(snapshot.get("id"))] = self.clock(now)
            while len(self.marks) > _MARKS_MAX:
                del self.marks[min(self.marks, key=self.marks.__getitem__)]

    def unmark(self, snapshot: object) -> None:
        """Take a copy back: it is not good, or not known to be."""
        name = snapshot.get("id") if isinstance(snapshot, dict) else snapshot
        self.marks.pop(str(name), None)

    def forget(self, now: float) -> None:
        """What was copied is no more: begin anew."""
        self.keeps, self.up_s = False, 0.0
        self.up_at = None if self.up_at is None else now
        self.marks.clear()

    def stale_at(self) -> float | None:
        """Return when the newest good copy is too old; None: not while it is as it is."""
        if self.up_at is None or not self.keeps:
            return None
        newest = max(self.marks.values(), default=0.0)
        return self.up_at - self.up_s + newest + self.limit_s
