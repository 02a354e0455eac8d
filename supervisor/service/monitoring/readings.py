"""What `/metrics` shows of a moment: one row for each name, and where its value comes from.

What is counted as it happens is in `counts`. No label but the bot's name and words of our own:
never a phone number, an identity or a path.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from supervisor.core.state import Phase
from supervisor.service.monitoring.facts import Figures, Glance
from supervisor.session.model import Verdict

Values = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Seen:
    """One bot. `age_s`: how old its newest good snapshot is; None where there is none."""

    glance: Glance
    figures: Figures | None
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A name, and the values of one bot under it: none where there is nothing to say.

    `labels`: those beside `bot`. The name of a counter is without its `_total`.
    """

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    read: Callable[[Seen], Values]
    labels: tuple[str, ...] = ()


def _one(value: float) -> Values:
    return (((), float(value)),)


def _phases(bot: Seen) -> Iterator[tuple[tuple[str, ...], float]]:
    for phase in Phase:
        yield (phase.value,), float(phase is bot.glance.phase)


def _limit(bot: Seen) -> Values:
    limit = bot.glance.memory_limit_bytes
    return () if limit is None else _one(limit)


def _figure(get: Callable[[Figures], float]) -> Callable[[Seen], Values]:
    return lambda bot: () if bot.figures is None else _one(get(bot.figures))


def _ledger(name: str) -> Callable[[Seen], Values]:
    def read(bot: Seen) -> Values:
        found = None if bot.figures is None else bot.figures.ledger
        return () if found is None else _one(getattr(found, name))

    return read


def _verdicts(bot: Seen) -> Iterator[tuple[tuple[str, ...], float]]:
    copies = None if bot.figures is None else bot.figures.copies
    if copies is not None:
        for verdict in get_args(Verdict):
            yield (verdict,), float(copies.verdicts.get(verdict, 0))


def _size(bot: Seen) -> Values:
    copies = None if bot.figures is None else bot.figures.copies
    return _one(copies.size_bytes) if copies is not None and copies.newest else ()


READINGS = (
    Reading(
        "stillhere_bot_up",
        "gauge",
        "1 while the bot is online and verified: as the device it was, without a QR code.",
        lambda bot: _one(bot.glance.up),
    ),
    Reading(
        "stillhere_bot_phase",
        "gauge",
        "1 for the phase that the bot is in, 0 for all others.",
        _phases,
        ("phase",),
    ),
    Reading(
        "stillhere_bot_wanted",
        "gauge",
        "1 if the bot is to run, 0 once somebody has stopped it.",
        lambda bot: _one(bot.glance.wanted),
    ),
    Reading(
        "stillhere_bot_paused",
        "gauge",
        "1 while changes of the source restart nothing.",
        lambda bot: _one(bot.glance.paused),
    ),
    Reading(
        "stillhere_bot_held",
        "gauge",
        "1 while a changed source is not applied, for example because it does not compile.",
        lambda bot: _one(bot.glance.held),
    ),
    Reading(
        "stillhere_bot_generation",
        "gauge",
        "The number of the generation that has the session; it outlives the supervisor.",
        lambda bot: _one(bot.glance.generation),
    ),
    Reading(
        "stillhere_bot_backoff_seconds",
        "gauge",
        "Time until the next try, 0 when none is waited for.",
        lambda bot: _one(bot.glance.backoff_s),
    ),
    Reading(
        "stillhere_bot_processes",
        "gauge",
        "Processes of the bot's tree.",
        _figure(lambda found: found.processes),
    ),
    Reading(
        "stillhere_bot_rss_bytes",
        "gauge",
        "Resident memory of the bot's tree; what processes share counts for each of them.",
        _figure(lambda found: found.rss_bytes),
    ),
    Reading(
        "stillhere_bot_memory_limit_bytes",
        "gauge",
        "The memory_mb of the bot's limits; no sample where there is none.",
        _limit,
    ),
    Reading(
        "stillhere_bot_cpu_seconds",
        "counter",
        "User and system time of the bot's tree, over all its generations.",
        _figure(lambda found: found.cpu_s),
    ),
    Reading(
        "stillhere_bot_strangers",
        "counter",
        "Notify messages dropped because no process of the bot had sent them.",
        _figure(lambda found: found.strangers),
    ),
    Reading(
        "stillhere_session_restores",
        "counter",
        "Times that a generation came back as the device it was. Kept in the session state file.",
        _ledger("restores"),
    ),
    Reading(
        "stillhere_session_rollbacks",
        "counter",
        "Times that a snapshot was brought back. Kept in the session state file.",
        _ledger("rollbacks"),
    ),
    Reading(
        "stillhere_session_links",
        "counter",
        "Times that a device was linked. Kept in the session state file.",
        _ledger("links"),
    ),
    Reading(
        "stillhere_session_qr_shown",
        "counter",
        "Times that the bot asked to be linked by a QR code. Kept in the session state file.",
        _ledger("qr_shown"),
    ),
    Reading(
        "stillhere_snapshots",
        "gauge",
        "Snapshots in the store, by what they are worth.",
        _verdicts,
        ("verdict",),
    ),
    Reading(
        "stillhere_snapshot_bytes",
        "gauge",
        "Size of the session in its newest good snapshot.",
        _size,
    ),
    Reading(
        "stillhere_snapshot_age_seconds",
        "gauge",
        "Time since the session was known to be as in its newest good snapshot; no sample"
        " where there is none.",
        lambda bot: () if bot.age_s is None else _one(bot.age_s),
    ),
)
