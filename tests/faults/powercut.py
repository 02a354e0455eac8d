"""Cut the power at each moment of an operation, and look what is left. A program of its own.

`python -m tests.faults.powercut [--states N] [--audit] SCENARIO...`: the operation runs once,
under strace, which writes down what it changes and what it syncs (`tests.faults.oplog`). Then the
folder is made again as the disk may hold it at each moment: what was synced is there, and of the
rest

    strict    nothing
    all       everything
    lost      all names, no data: files are empty
    zeroed    all names and sizes, zeros for data
    torn      all names, half of each write
    ordered   names up to some moment, as a journal keeps them; data by chance
    random    names and data by chance

`--audit` leaves out one sync after the other, as if the code had not made it, and says of each
whether some state then breaks a promise. Modes and times are not modelled.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.faults import oplog, traced
from tests.faults.invariants import recovered
from tests.faults.oplog import Data, Names, Op, Sync
from tests.faults.scenarios import (
    SAMPLED,
    SCENARIOS,
    UNMOUNTED,
    Before,
    Scenario,
    build,
    without_validator,
)

_PROBLEMS_MAX = 6
_BY_CHANCE = 3
Choice = Callable[[int, Data | Names], Data | Names | None]


class Recorded:
    """One operation's log, and the states that a cut may leave."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.root = folder / scenario.name
        self.before: Before = build(scenario, self.root)
        self.log = oplog.Log(self.root)
        place = self.scenario.place(self.root, self.before.clock_s)
        manager = scenario.manager(place)
        now = self.log.copy()
        text = folder / "strace.log"
        act = lambda: scenario.act(manager, place)  # noqa: E731 - it is called once
        outcome = traced.traced(act, *oplog.OPTIONS, log=text)
        assert outcome.how == "done", outcome.message
        self.log.read(text.read_text(), now)
        real = oplog.Log(self.root)
        assert shape(real.copy(), real.top) == shape(now, self.log.top), "a call was not understood"

    def syncs(self) -> list[int]:
        """Return where in the log something is synced."""
        return [number for number, op in enumerate(self.log.ops) if isinstance(op, Sync)]

    def states(self, without: int | None = None) -> Iterator[tuple[str, int, list[Data | Names]]]:
        """Yield (how, moment, the changes that are on the disk)."""
        ops = self.log.ops
        chance = random.Random(f"{self.scenario.name} {len(ops)}")  # noqa: S311 - repeatable
        synced = _synced(ops, without)
        for moment in range(len(ops) + 1):
            if moment and isinstance(ops[moment - 1], Sync) and moment < len(ops):
                continue  # what it leaves is what the next moment begins with
            for how, choice in _choices(ops, moment, chance):
                done: list[Data | Names] = []
                for number, op in enumerate(ops[:moment]):
                    if isinstance(op, Sync):
                        continue
                    kept = op if synced[number] < moment else choice(number, op)
                    if kept is not None:
                        done.append(kept)
                yield how, moment, done

    def check(self, done: list[Data | Names], *, finished: bool) -> None:
        """Make that state real, recover, and compare. Raises: whatever goes wrong."""
        nodes = self.log.copy()
        for op in done:
            oplog.apply(op, nodes)
        shutil.rmtree(self.root)
        oplog.write_out(nodes, self.log.top, self.root)
        place = self.scenario.place(self.root, self.before.clock_s)
        # A disk that was made anew has modes and times of its own; what is in the files is not.
        beside = place.beside()
        assert {name: looks[2:] for name, looks in beside.items()} == {
            name: looks[2:] for name, looks in self.before.beside.items()
        }, "what is none of the session's was lost"
        recovered(self.scenario, place, replace(self.before, beside=beside), finished=finished)


def _synced(ops: list[Op], without: int | None) -> list[float]:
    """Return, for each op, the number of the sync that makes it last."""
    found: list[float] = [float("inf")] * len(ops)
    pending: dict[int, list[int]] = {}
    for number, op in enumerate(ops):
        if isinstance(op, Data):
            pending.setdefault(op.node, []).append(number)
        elif isinstance(op, Names):
            pending.setdefault(op.changes[-1][0], []).append(number)
        elif number != without:
            nodes = list(pending) if op.node is None else [op.node]
            for node in nodes:
                for earlier in pending.pop(node, []):
                    found[earlier] = number
    return found


def _choices(ops: list[Op], moment: int, chance: random.Random) -> Iterator[tuple[str, Choice]]:
    """Yield what may become of the changes that nothing made last."""
    yield "strict", lambda _number, _op: None
    yield "all", lambda _number, op: op
    yield "lost", lambda _number, op: op if isinstance(op, Names) else None
    yield "zeroed", lambda _number, op: _zeroed(op)
    yield "torn", lambda _number, op: _torn(op)
    for _time in range(_BY_CHANCE):
        last = chance.randrange(moment + 1)
        dice = [chance.random() for _op in ops]
        yield "ordered", _ordered(last, dice)
        yield "random", _by_chance(dice)


def _zeroed(op: Data | Names) -> Data | Names:
    return Data(op.node, op.offset, bytes(len(op.data)), op.size) if isinstance(op, Data) else op


def _torn(op: Data | Names) -> Data | Names:
    if isinstance(op, Data) and op.size is None:
        return Data(op.node, op.offset, op.data[: len(op.data) // 2])
    return op


def _ordered(last: int, dice: list[float]) -> Choice:
    def choice(number: int, op: Data | Names) -> Data | Names | None:
        if isinstance(op, Names):
            return op if number < last else None
        return _by_chance(dice)(number, op)

    return choice


def _by_chance(dice: list[float]) -> Choice:
    def choice(number: int, op: Data | Names) -> Data | Names | None:
        if dice[number] < 0.4:
            return None
        return op if dice[number] < 0.8 else _torn(op)

    return choice


def shape(nodes: dict[int, oplog.Folder | oplog.File | oplog.Link], node: int) -> Hashable:
    """Return what the model holds, to be compared."""
    item = nodes[node]
    if isinstance(item, oplog.Folder):
        return tuple((name, shape(nodes, inner)) for name, inner in sorted(item.names.items()))
    return item.data if isinstance(item, oplog.File) else f"-> {item.target}"


def different(
    recorded: Recorded, without: int | None = None
) -> Iterator[tuple[str, int, list[Data | Names]]]:
    """Yield the states, each once."""
    seen: set[tuple[int, bool]] = set()
    end = len(recorded.log.ops)
    for how, moment, done in recorded.states(without):
        nodes = recorded.log.copy()
        for op in done:
            oplog.apply(op, nodes)
        key = hash(shape(nodes, recorded.log.top)), moment == end
        if key not in seen:
            seen.add(key)
            yield how, moment, done


def audit(recorded: Recorded) -> dict[str, str]:
    """Leave out each sync in turn. Returns, for each, the first promise that breaks, or ""."""
    found: dict[str, str] = {}
    end = len(recorded.log.ops)
    for sync in recorded.syncs():
        op = recorded.log.ops[sync]
        assert isinstance(op, Sync)
        label = f"{sync:03} {op.path}"
        found[label] = ""
        for how, moment, done in different(recorded, sync):
            if moment <= sync:
                continue
            try:
                recorded.check(done, finished=moment == end)
            except Exception as error:  # noqa: BLE001 - any of them is what is looked for
                found[label] = f"{how} at {moment}: {type(error).__name__}: {str(error)[:120]}"
                break
    return found


def main() -> None:
    """Visit the states that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=0)
    parser.add_argument("--audit", action="store_true")
    parser.add_argument("scenarios", nargs="*", default=[])
    args = parser.parse_args()
    without_validator()
    visited: dict[str, int] = {}
    problems: list[str] = []
    needed: dict[str, dict[str, str]] = {}
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - only for speed
    names = [name for name in args.scenarios or SAMPLED if name in UNMOUNTED]
    with tempfile.TemporaryDirectory(dir=base) as folder:
        for name in names:
            recorded = Recorded(SCENARIOS[name], Path(folder))
            if args.audit:
                needed[name] = audit(recorded)
                continue
            states = list(different(recorded))
            if args.states:
                states = states[:: max(1, len(states) * len(names) // args.states)]
            visited[name] = len(states)
            for how, moment, done in states:
                try:
                    recorded.check(done, finished=moment == len(recorded.log.ops))
                except Exception:  # noqa: BLE001 - each state is reported, whatever it did
                    last = recorded.log.ops[:moment][-3:]
                    problems.append(f"{name} {how} {moment}\n{last!r:.600}\n{_trace()}")
                    if len(problems) > _PROBLEMS_MAX:
                        break
    json.dump({"visited": visited, "problems": problems, "audit": needed}, sys.stdout)


def _trace() -> str:
    return traceback.format_exc()[-1500:]


if __name__ == "__main__":
    main()
