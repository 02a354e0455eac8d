"""Snapshots side by side: each tool copies the same session in turn, round after round."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import clock, ours, peers
from tests.bench.clock import Samples, timed
from tests.bench.ours import COMMAND, IN_PROCESS, OurCommand, Ours
from tests.bench.trees import Change, Tree

FLOOR = "floor"
WALK = "stat walk"
UNCHANGED = "nothing changed"
VALIDATION = "validation"
SECONDS_HEAD = ("", "plain ms", "synced ms", "n", "MB stored", "start ms")


@dataclass(slots=True)
class Line:
    """One row of a table. `plain`: until the work was done; `synced`: and on the disk as well."""

    plain: Samples = field(default_factory=Samples)
    synced: Samples = field(default_factory=Samples)
    stored_bytes: Samples = field(default_factory=Samples)

    def as_json(self, name: str, start_s: float | None) -> dict[str, Any]:
        """Return the row."""
        row: dict[str, Any] = {"": name, "n": len(self.synced.values)}
        row["plain ms"] = self.plain.as_json() if self.plain.values else None
        row["synced ms"] = self.synced.as_json()
        if self.stored_bytes.values:
            row["MB stored"] = self.stored_bytes.median / 1e6
        row["start ms"] = None if start_s is None else round(start_s * 1000, 1)
        return row


class Race:
    """One session, our store and the others. `starts`: seconds that each program's start takes."""

    def __init__(self, project: Path, tree: Tree, starts: dict[str, float]) -> None:
        self.project = project
        self.tree = tree
        self.ours = Ours(project)
        self.command = OurCommand(project)
        self.peers = peers.present(project / "peers")
        self.lines: dict[str, Line] = {}
        self._starts = starts

    def first(self, *, whole_command: bool = True) -> None:
        """Run one round: everyone's first copy, into a place of its own."""
        self.lines.setdefault(IN_PROCESS, Line())
        self.ours.fresh()
        self._take_ours()
        if whole_command:
            self.command.fresh()
            self._take_command()
        for peer in self.peers:
            peer.fresh()
            self._take(peer)

    def next(
        self,
        files: int,
        rows: int = 0,
        *,
        left_out: tuple[type[peers.Peer], ...] = (),
        whole_command: bool = True,
    ) -> Change:
        """Change the session, then run one round of copies that build on the last ones."""
        change = self.tree.change(files, rows)
        clock.wait(clock.SETTLED_S)
        self._walk()
        self._floor(change)
        self._take_ours()
        if whole_command:
            self._take_command()
        for peer in self.peers:
            if not isinstance(peer, left_out):
                self._take(peer)
        return change

    def unchanged(self) -> bool:
        """Snapshot what has not changed. Returns whether a new snapshot appeared."""
        before = self.ours.manifests()
        self._walk()
        time, _ = timed(self.ours.snapshot, self.project, sync=False)
        self._line(UNCHANGED).synced.add(time.plain_s)
        return self.ours.manifests() != before

    def rows(self, *, own_start: bool = True) -> list[dict[str, Any]]:
        """Return the lines for a table; ours once more with an interpreter's start added."""
        found: list[dict[str, Any]] = []
        for name, line in self.lines.items():
            found.append(line.as_json(name, self._starts.get(name)))
            start_s = self._starts.get(IN_PROCESS)
            if name == IN_PROCESS and own_start and start_s:
                added = Line(Samples(), Samples([value + start_s for value in line.synced.values]))
                found.append(added.as_json("  with an interpreter's start", start_s))
                found[-2]["start ms"] = None
        return found

    def synced(self, name: str) -> Samples | None:
        """Return a tool's synced times, or None if it is not here."""
        line = self.lines.get(name)
        return line.synced if line else None

    def best_peer(self) -> str | None:
        """Return who of the others was fastest, synced."""
        here = [peer.name for peer in self.peers if peer.name in self.lines]
        return min(here, key=lambda name: self.lines[name].synced.median, default=None)

    def start_over(self) -> None:
        """Forget the times of the rounds so far."""
        self.lines = {}

    def _line(self, name: str) -> Line:
        return self.lines.setdefault(name, Line())

    def _walk(self) -> None:
        time, _ = timed(lambda: clock.walk(self.tree.folder), self.project, sync=False)
        self._line(WALK).synced.add(time.plain_s)

    def _floor(self, change: Change) -> None:
        target = self.project / "floor"
        work = lambda: clock.floor(self.tree.folder, change, target)  # noqa: E731 - one line
        time, _ = timed(work, self.project, sync=False)
        line = self._line(FLOOR)
        line.synced.add(time.plain_s)
        line.stored_bytes.add(len(change.blocks))
        target.unlink()

    def _take_ours(self) -> None:
        before = clock.weigh(self.ours.store)
        time, snapshot = timed(self.ours.snapshot, self.project, sync=False)
        after = clock.weigh(self.ours.store)
        line = self._line(IN_PROCESS)
        line.synced.add(time.plain_s)
        line.stored_bytes.add(clock.new_bytes(before, after))
        time, snapshot = timed(lambda: self.ours.validate(snapshot), self.project, sync=False)
        if snapshot.verdict != "good":
            raise RuntimeError(f"the snapshot is {snapshot.verdict}: nothing of this run counts")
        self._line(VALIDATION).synced.add(time.plain_s)

    def _take_command(self) -> None:
        before = clock.weigh(self.command.store)
        time, _ = timed(self.command.snapshot, self.project, sync=False)
        line = self._line(COMMAND)
        line.synced.add(time.plain_s)
        line.stored_bytes.add(clock.new_bytes(before, clock.weigh(self.command.store)))

    def _take(self, peer: peers.Peer) -> None:
        before = clock.weigh(peer.store)
        time, _ = timed(lambda: peer.snapshot(self.tree.folder), peer.place)
        line = self._line(peer.name)
        line.plain.add(time.plain_s)
        line.synced.add(time.synced_s)
        line.stored_bytes.add(clock.growth_bytes(before, clock.weigh(peer.store)))


def measure_starts(place: Path, rounds: int) -> tuple[dict[str, float], dict[str, str]]:
    """Return how long each program takes to start and do nothing, and its version."""
    samples: dict[str, Samples] = {}
    versions: dict[str, str] = {}
    command = OurCommand.start
    present = peers.present(place)
    for _ in range(rounds):
        time, _none = timed(ours.start_interpreter, place, sync=False)
        samples.setdefault(IN_PROCESS, Samples()).add(time.plain_s)
        time, versions[COMMAND] = timed(command, place, sync=False)
        samples.setdefault(COMMAND, Samples()).add(time.plain_s)
        for peer in present:
            time, versions[peer.name] = timed(peer.start, place, sync=False)
            samples.setdefault(peer.name, Samples()).add(time.plain_s)
    return {name: taken.median for name, taken in samples.items()}, versions
