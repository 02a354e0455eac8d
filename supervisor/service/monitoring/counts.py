"""What is counted as it happens: from the records of the journal to counters and histograms.

They start anew with the supervisor, as Prometheus expects. A restart is counted only once its bot
is back; the first start of a bot is none.
"""

from collections.abc import Iterable
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

from supervisor.core.generations import logged_out
from supervisor.core.records import Reason

# A restart is to take some hundredths of a second; ten seconds is a bot that is slow by itself.
_GAP_S = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
_COPY_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_FROZEN_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1)
_LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REASONS = tuple(reason for reason in get_args(Reason) if reason != "start")
# Events that count as one each.
COUNTED = {
    "backoff": ("stillhere_bot_backoffs", "Times that a bot had to wait before its next try."),
    "failed": ("stillhere_bot_failures", "Times that a bot was given up: a person is needed."),
    "hang": ("stillhere_bot_hangs", "Times that a bot was found to hang."),
    "limit": ("stillhere_bot_limits", "Times that a bot used more than its limits allow."),
    "conflict": ("stillhere_bot_conflicts", "Times that another copy of the device was online."),
    "session_refused": (
        "stillhere_session_refusals",
        "Times that a bot did not take its session: it asked for a new link, or lost it.",
    ),
    "snapshot_failed": ("stillhere_snapshots_failed", "Snapshots that could not be taken."),
}
ENDS = ("logged_out", "lost")
DRILLS = {"drill_passed": "passed", "drill_skipped": "skipped", "drill_failed": "failed"}


class Counts:
    """Counters and histograms, in `registry`. Of the loop's thread; others may read."""

    def __init__(self, bots: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._bots: set[str] = set()
        # Of each bot: the generation that said last how many messages it could not decrypt.
        self._deaf: dict[str, tuple[int, int]] = {}
        self._events = {event: self._counter(name, text) for event, (name, text) in COUNTED.items()}
        self._restarts = self._counter(
            "stillhere_bot_restarts", "Restarts after which the bot was back, by reason.", "reason"
        )
        self._gap = self._histogram(
            "stillhere_gap_seconds",
            "From the stop signal to the old generation until the new one was ready.",
            _GAP_S,
        )
        self._restore = self._histogram(
            "stillhere_restore_seconds",
            "From giving a new generation the session until it was verified as the same device.",
            _GAP_S,
        )
        self._undecryptable = self._counter(
            "stillhere_undecryptable", "Messages that a bot said it could not decrypt."
        )
        self._ends = self._counter(
            "stillhere_session_ends",
            "Links that ended: logged_out by the network, or lost with nothing left to restore.",
            "cause",
        )
        self._dropped = self._counter(
            "stillhere_output_dropped_lines",
            "Lines of a bot's output that were dropped: it printed more than could be kept.",
        )
        self._copies = self._counter(
            "stillhere_snapshots_taken",
            "Snapshots taken: hot of a running bot, sealed of one that has stopped.",
            "kind",
        )
        self._copied = self._counter(
            "stillhere_snapshots_stored_bytes", "Bytes that snapshots added to the store."
        )
        self._duration = self._histogram(
            "stillhere_snapshot_duration_seconds", "How long a snapshot took to take.", _COPY_S
        )
        self._frozen = self._histogram(
            "stillhere_snapshot_frozen_seconds",
            "How long the bot was held still for a hot snapshot.",
            _FROZEN_S,
        )
        self._drills = self._counter(
            "stillhere_drills", "Restores that were rehearsed, by how they went.", "result"
        )
        self.lag = Histogram(
            "stillhere_loop_lag_seconds",
            "How much later than due the supervisor's loop got to its work, looked at each second.",
            buckets=_LAG_S,
            registry=self.registry,
        )
        for bot in bots:
            self._begin(bot)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ("bot", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, ("bot",), buckets=buckets, registry=self.registry)

    @property
    def _plain(self) -> tuple[Counter | Histogram, ...]:
        """Those that have no label but the bot's name."""
        histograms = (self._gap, self._restore, self._duration, self._frozen)
        counters = (self._undecryptable, self._dropped, self._copied)
        return (*self._events.values(), *counters, *histograms)

    def _begin(self, bot: str) -> None:
        """Show zeros: a counter that appears with its first event hides that one from `rate`."""
        self._bots.add(bot)
        for metric in self._plain:
            metric.labels(bot)
        for reason in REASONS:
            self._restarts.labels(bot, reason)
        for cause in ENDS:
            self._ends.labels(bot, cause)
        for kind in ("hot", "sealed"):
            self._copies.labels(bot, kind)
        for result in DRILLS.values():
            self._drills.labels(bot, result)

    def keep(self, bots: Iterable[str]) -> None:
        """Forget the bots that are not among these."""
        for bot in self._bots - set(bots):
            for metric in (*self._plain, self._restarts, self._ends, self._copies, self._drills):
                metric.remove_by_labels({"bot": bot})
            self._deaf.pop(bot, None)
            self._bots.discard(bot)

    def note(self, record: dict[str, Any]) -> None:
        """Count what a record of the journal tells."""
        bot, event = record.get("bot"), record["event"]
        if not isinstance(bot, str):
            return
        if bot not in self._bots:
            self._begin(bot)
        if event in self._events:
            self._events[event].labels(bot).inc()
        elif event in DRILLS:
            self._drills.labels(bot, DRILLS[event]).inc()
        elif event == "restarted":
            self._restarted(bot, record["record"])
        elif event == "output_dropped":
            self._dropped.labels(bot).inc(record["lines"])
        elif event == "epoch_closed":
            self._ends.labels(bot, ENDS[not logged_out(record["why"])]).inc()
        elif event in ("snapshot_taken", "sealed"):
            self._taken(bot, record)
        elif event == "undecryptable":
            self._heard(bot, record["generation"], record["count"])

    def _restarted(self, bot: str, restart: dict[str, Any]) -> None:
        if restart["reason"] == "start":
            return
        self._restarts.labels(bot, restart["reason"]).inc()
        if restart["gap_s"] is not None:
            self._gap.labels(bot).observe(restart["gap_s"])
        parts = (restart["ready_s"], restart["verify_s"])
        if restart["activate_s"] is not None and None not in parts:
            self._restore.labels(bot).observe(sum(parts))

    def _taken(self, bot: str, record: dict[str, Any]) -> None:
        frozen_s = record.get("frozen_s")
        if frozen_s == 0.0:
            return  # nobody was held still: the session was as in a snapshot that was there
        snapshot = record["snapshot"]
        self._copies.labels(bot, "sealed" if frozen_s is None else "hot").inc()
        self._copied.labels(bot).inc(snapshot["new_bytes"])
        self._duration.labels(bot).observe(snapshot["duration_s"])
        if frozen_s is not None:
            self._frozen.labels(bot).observe(frozen_s)

    def _heard(self, bot: str, generation: int, count: int) -> None:
        """A generation says how many it were so far."""
        before = self._deaf.get(bot, (0, 0))
        self._deaf[bot] = (generation, count)
        known = before[1] if before[0] == generation else 0
        self._undecryptable.labels(bot).inc(max(0, count - known))
