"""What metrics and health want to know of the bots: the loop's own word, and what has to be read.

What is read, from /proc and the store, is read in one thread that a hanging disk may keep: then
the figures are the last ones, and it is told how old they are. It changes nothing.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase
from supervisor.loop.charge import Charge
from supervisor.loop.shelf import Shelf
from supervisor.loop.strand import Strand
from supervisor.service.monitoring.facts import Copies, Facts, Figures, Glance, Ledger

# Who asks again so soon gets the same figures.
FRESH_S = 1.0
# Less than Prometheus waits for us.
PATIENCE_S = 3.0
_MB = 1 << 20


@dataclass(slots=True)
class _Tally:
    """What adds up over a bot's generations. `cpu_s`: of `generation`, last seen."""

    generation: int = 0
    cpu_s: float = 0.0
    total_cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """Of whom figures are wanted, as the loop knows them."""

    charge: Charge
    generation: int
    strangers: int


@dataclass(slots=True)
class _Found:
    figures: dict[str, Figures] = field(default_factory=dict)
    at: float | None = None


class Vitals:
    """Of all `charges` there are when it is asked. `snapshots`: the store's folder."""

    def __init__(self, charges: Mapping[str, Charge], snapshots: Path) -> None:
        self._charges = charges
        self._snapshots = snapshots
        self._shelf: Shelf | None = None
        self._strand: Strand | None = None
        self._reading: asyncio.Future[dict[str, Figures]] | None = None
        self._found = _Found()
        self._tallies: dict[str, _Tally] = {}

    def glances(self) -> tuple[Glance, ...]:
        """Return what the loop knows."""
        now = time.monotonic()
        return tuple(_glance(charge, now) for charge in self._charges.values())

    async def facts(self) -> Facts:
        """Return all that is known; new figures are waited for only so long."""
        age_s = self._age_s()
        if age_s is None or age_s > FRESH_S:
            if self._reading is None:
                self._read()
            assert self._reading is not None  # noqa: S101 - begun just now, if not before
            await asyncio.wait({self._reading}, timeout=PATIENCE_S)
        return Facts(self.glances(), self._found.figures, self._age_s())

    def close(self) -> None:
        """Wait for nothing any more: what hangs is not listened to."""
        if self._reading is not None:
            self._reading.cancel()

    def _age_s(self) -> float | None:
        return None if self._found.at is None else time.monotonic() - self._found.at

    def _read(self) -> None:
        asked = []
        for charge in self._charges.values():
            generation = charge.state.current or 0
            asked.append(_Asked(charge, generation, charge.hands.strangers.total))
        self._strand = self._strand or Strand("figures")
        loop = asyncio.get_running_loop()
        self._reading = loop.run_in_executor(self._strand, self._figures, asked)
        self._reading.add_done_callback(self._have_read)

    def _have_read(self, reading: asyncio.Future[dict[str, Figures]]) -> None:
        self._reading = None
        if reading.cancelled():
            return
        if (error := reading.exception()) is not None:
            context = {"message": "the figures could not be read", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            return
        self._found = _Found(reading.result(), time.monotonic())

    # In the strand.

    def _figures(self, asked: Sequence[_Asked]) -> dict[str, Figures]:
        self._shelf = self._shelf or Shelf(self._snapshots)
        gone = set(self._tallies) - {each.charge.bot.name for each in asked}
        for name in gone:
            del self._tallies[name]
        sessions = [each.charge.bot.session for each in asked]
        copies = self._shelf.look(session for session in sessions if session is not None)
        return {each.charge.bot.name: self._of(each, copies) for each in asked}

    def _of(self, asked: _Asked, copies: Mapping[str, Copies]) -> Figures:
        charge = asked.charge
        tally = self._tallies.setdefault(charge.bot.name, _Tally())
        pids = charge.hands.members(asked.generation) if asked.generation else []
        processes, rss_bytes, cpu_s = _usage(pids)
        if asked.generation != tally.generation:
            tally.generation, tally.cpu_s = asked.generation, 0.0
        tally.total_cpu_s += max(0.0, cpu_s - tally.cpu_s)
        tally.cpu_s = cpu_s
        return Figures(
            processes=processes,
            rss_bytes=rss_bytes,
            cpu_s=round(tally.total_cpu_s, 3),
            strangers=asked.strangers,
            ledger=_ledger(charge),
            copies=copies.get(charge.bot.session or ""),
        )


def _glance(charge: Charge, now: float) -> Glance:
    state, limit_mb = charge.state, charge.bot.limits.memory_mb
    waits = state.phase is Phase.BACKOFF and state.deadline is not None
    return Glance(
        name=charge.bot.name,
        session=charge.bot.session is not None,
        phase=state.phase,
        up=state.verified,
        wanted=state.wanted_up,
        paused=state.paused,
        held=bool(state.held),
        generation=state.current or state.generation,
        backoff_s=max(0.0, (state.deadline or now) - now) if waits else 0.0,
        memory_limit_bytes=None if limit_mb is None else limit_mb * _MB,
    )


def _usage(pids: Sequence[int]) -> tuple[int, int, float]:
    """Return how many of them live, their resident bytes, and their seconds of CPU.

    With those of the children they have waited for: a tree's time does not shrink when a part of
    it ends.
    """
    import psutil  # noqa: PLC0415 - only who asks needs it

    processes, rss_bytes, cpu_s = 0, 0, 0.0
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            with process.oneshot():
                cpu_s += sum(process.cpu_times()[:4])
                rss_bytes += process.memory_info().rss
                processes += 1
    return processes, rss_bytes, cpu_s


def _ledger(charge: Charge) -> Ledger | None:
    with suppress(SupervisorError, OSError):
        record = charge.hands.session.record()
        if record is not None:
            return Ledger(
                restores=record.restore_count,
                rollbacks=record.rollback_count,
                links=record.link_count,
                qr_shown=record.qr_count,
            )
    return None
