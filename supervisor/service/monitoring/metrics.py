"""The page `/metrics`: what was counted, and what is so now, as Prometheus and OpenMetrics want it.

Imported only where it is served: prometheus-client costs 6 MB.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import Metric, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as PLAIN_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.openmetrics import exposition as openmetrics

from supervisor.service.monitoring.counts import Counts
from supervisor.service.monitoring.facts import Copies, Facts, Figures, Glance
from supervisor.service.monitoring.readings import READINGS, Reading, Seen

OPENMETRICS_TYPE = openmetrics.CONTENT_TYPE_LATEST
_ASKS_FOR_OPENMETRICS = "application/openmetrics-text"


class Metrics:
    """All that is exported. `wall`: seconds since 1970; `clock`: monotonic seconds."""

    def __init__(
        self,
        bots: Iterable[str],
        version: str,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # twice the lines for nothing
        self.counts = Counts(bots)
        self._version = version
        self._wall = wall
        self._clock = clock
        self._started_at = wall()
        # Of each bot: its newest copy, and when the session was last known to be so.
        self._confirmed: dict[str, tuple[str, float]] = {}
        ProcessCollector(registry=self.counts.registry)

    def note(self, record: dict[str, Any]) -> None:
        """Count what a record of the journal tells."""
        self.counts.note(record)
        if record["event"] in ("snapshot_taken", "sealed"):
            self._confirmed[record["bot"]] = (record["snapshot"]["id"], self._clock())

    def keep(self, bots: Iterable[str]) -> None:
        """Forget the bots that are not among these."""
        names = set(bots)
        self.counts.keep(names)
        for bot in set(self._confirmed) - names:
            del self._confirmed[bot]

    def page(self, facts: Facts, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, for a request's Accept field. For any thread."""
        page = _Page(self._families(facts))
        kinds = (part.partition(";")[0].strip() for part in accept.split(","))
        if _ASKS_FOR_OPENMETRICS in kinds:
            text: bytes = openmetrics.generate_latest(page)  # type: ignore[no-untyped-call] # it is
            return text, OPENMETRICS_TYPE
        return generate_latest(page), PLAIN_TYPE

    def _families(self, facts: Facts) -> Iterator[Metric]:
        yield from self.counts.registry.collect()
        yield InfoMetricFamily(
            "stillhere", "The supervisor that answers.", {"version": self._version}
        )
        yield GaugeMetricFamily(
            "stillhere_start_time_seconds",
            "When this supervisor began, since 1970; an upgrade in place begins anew.",
            self._started_at,
        )
        yield GaugeMetricFamily(
            "stillhere_bots", "Bots and companions in its care.", len(facts.glances)
        )
        if facts.age_s is not None:
            yield GaugeMetricFamily(
                "stillhere_figures_age_seconds",
                "Age of what was read from /proc and the disk; it grows while a disk hangs.",
                facts.age_s,
            )
        seen = [self._seen(glance, facts.figures.get(glance.name)) for glance in facts.glances]
        for reading in READINGS:
            yield _family(reading, seen)

    def _seen(self, bot: Glance, figures: Figures | None) -> Seen:
        copies = None if figures is None else figures.copies
        return Seen(bot, figures, None if copies is None else self._age_s(bot.name, copies))

    def _age_s(self, bot: str, copies: Copies) -> float | None:
        """Return since when the session may be other than its newest good snapshot.

        One that finds nothing changed makes no new snapshot, and says so of the one there is.
        """
        if copies.taken_at is None:
            return None
        age_s = max(0.0, self._wall() - copies.taken_at)
        name, confirmed_at = self._confirmed.get(bot, ("", 0.0))
        return min(age_s, self._clock() - confirmed_at) if name == copies.newest else age_s


class _Page:
    """What a page is made of, as the library asks for it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _family(reading: Reading, bots: Iterable[Seen]) -> Metric:
    kind = GaugeMetricFamily if reading.kind == "gauge" else CounterMetricFamily
    family = kind(reading.name, reading.text, labels=("bot", *reading.labels))
    for bot in bots:
        for labels, value in reading.read(bot):
            family.add_metric((bot.glance.name, *labels), value)
    return family
