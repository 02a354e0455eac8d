"""The session of 50 MB: what a snapshot costs, and what a restore."""

import filecmp
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import clock, peers
from tests.bench.clock import Samples, timed
from tests.bench.ours import ID, IN_PROCESS, live_folder
from tests.bench.report import Report, ratio
from tests.bench.snapshots import FLOOR, SECONDS_HEAD, UNCHANGED, WALK, Line, Race
from tests.bench.trees import CREDENTIALS, DATABASE, PAGE_BYTES, Tree

SMALL_FILES = 598
CHANGED_FILES = 12
CHANGED_ROWS = 25
RSYNC = peers.Rsync.name
CP = peers.Cp.name
# No more rounds begin after this time, so that the whole run stays near six minutes.
_FIRSTS_S, _NEXTS_S, _RESTORES_S = 35.0, 50.0, 50.0
RESTORE_HEAD = ("", "plain ms", "synced ms", "n")


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often each thing is measured."""

    first: int
    next: int
    restore: int


def run(
    scratch: Path, report: Report, rounds: Rounds, starts: dict[str, float], only: set[str]
) -> None:
    """Answer what was asked of the session of 50 MB."""
    project = scratch / "session"
    tree = Tree(live_folder(project), SMALL_FILES, database=True)
    tree.make()
    race = Race(project, tree, starts)
    clock.wait(clock.SETTLED_S)
    if "session" in only:
        _snapshots(race, report, rounds)
    else:
        race.first(whole_command=False)
    if "restore" in only:
        report.stage(f"session of 50 MB: {rounds.restore} restores of each kind")
        restores = _Restores(race)
        for _ in clock.rounds(rounds.restore, _RESTORES_S):
            restores.round()
        restores.tell(report)


def _snapshots(race: Race, report: Report, rounds: Rounds) -> None:
    report.stage(f"session of 50 MB: {rounds.first} first snapshots, {rounds.next} more")
    for _ in clock.rounds(rounds.first, _FIRSTS_S):
        race.first()
    ours, rsync = race.lines[IN_PROCESS].synced, race.synced(RSYNC)
    title = "First snapshot of 50 MB, 600 files, among them a database of 20 MB"
    report.table("session first", title, SECONDS_HEAD, race.rows())
    report.bar("session", "first snapshot, of rsync's time", 1.0, ratio(ours, rsync))
    report.bar("session", "first snapshot", 1.0, ours.median, "s")

    race.start_over()
    appeared = False
    for _ in clock.rounds(rounds.next, _NEXTS_S):
        race.next(CHANGED_FILES, CHANGED_ROWS)
        appeared |= race.unchanged()
    title = f"The next one: {CHANGED_FILES} files rewritten, {CHANGED_ROWS} rows updated"
    report.table("session next", title, SECONDS_HEAD, race.rows())
    lines = race.lines
    ours = lines[IN_PROCESS].synced
    report.bar("session", "next snapshot, of rsync's time", 0.5, ratio(ours, race.synced(RSYNC)))
    report.bar("session", "next snapshot, of the floor", 2.0, ratio(ours, lines[FLOOR].synced))
    stored = max(lines[IN_PROCESS].stored_bytes.values) / 1e6
    report.bar("session", "next snapshot, stored at most", 2.0, stored, "MB")
    none, walk = lines[UNCHANGED].synced, lines[WALK].synced
    report.bar("session", "nothing changed, of the stat walk", 2.0, ratio(none, walk))
    report.bar("session", "nothing changed, new snapshots", 0.0, float(appeared), "")


class _Restores:
    """Brings the session back in all ways, and looks whether it is the same."""

    def __init__(self, race: Race) -> None:
        self._race = race
        self._live = race.tree.folder
        self._whole = race.project / "whole"
        shutil.copytree(self._live, self._whole)
        self._lines: dict[str, dict[str, Line]] = {
            kind: {} for kind in ("empty", CREDENTIALS, DATABASE, "intact")
        }

    def round(self) -> None:
        """Measure each once."""
        self._empty()
        for name, damage in ((CREDENTIALS, _halve), (DATABASE, _overwrite)):
            self._damaged(name, damage)
        self._intact()

    def tell(self, report: Report) -> None:
        """Say what came out."""
        titles = {
            "empty": "Restore of 50 MB into an empty folder (ours: verified and validated)",
            CREDENTIALS: f"Restore with one damaged file: {CREDENTIALS} cut in half",
            DATABASE: f"Restore with one damaged file: 16 KiB of {DATABASE} overwritten",
            "intact": "The session is intact: it stays as it is",
        }
        for kind, title in titles.items():
            rows = [line.as_json(name, None) for name, line in self._lines[kind].items()]
            report.table(f"restore {kind}", title, RESTORE_HEAD, rows)
        bars = (
            ("empty", "into an empty folder, of cp -a's time", 1.5, CP),
            (CREDENTIALS, "one small file damaged, of rsync's time", 0.5, RSYNC),
            (DATABASE, "the database damaged, of rsync's time", 0.5, RSYNC),
        )
        for kind, name, most, other in bars:
            ours = self._lines[kind][IN_PROCESS].synced
            report.bar("restore", name, most, ratio(ours, self._synced(kind, other)))
        intact = self._lines["intact"]
        bound = 2 * intact[WALK].synced.median + intact["the checks alone"].synced.median
        kept = intact[IN_PROCESS].synced.median
        how = "2 x the stat walk, plus the checks"
        report.bar("restore", "intact", bound, kept, "s", how)

    def _synced(self, kind: str, name: str) -> Samples | None:
        line = self._lines[kind].get(name)
        return line.synced if line else None

    def _empty(self) -> None:
        clock.put_aside(self._live)
        self._restore_ours("empty")
        for peer in self._race.peers:
            target = self._target(peer)
            clock.put_aside(target)
            target.mkdir()
            self._restore("empty", peer, peer.name)

    def _damaged(self, name: str, damage: Callable[[Path], None]) -> None:
        damage(self._live / name)
        self._restore_ours(name)
        for peer in self._race.peers:
            damage(self._target(peer) / name)
            self._restore(name, peer, peer.name)
            if isinstance(peer, peers.Rsync):
                damage(self._target(peer) / name)
                peer.restore_options = ("--checksum",)
                self._restore(name, peer, "rsync --checksum")
                peer.restore_options = ()

    def _intact(self) -> None:
        manager = self._race.ours.manager
        lines = self._lines["intact"]
        place = self._race.project
        for name, work in (
            (WALK, lambda: clock.walk(self._live)),
            ("the checks alone", lambda: manager.check(ID)),
            (IN_PROCESS, lambda: manager.restore(ID)),
        ):
            time, _ = timed(work, place, sync=False)
            lines.setdefault(name, Line()).synced.add(time.plain_s)

    def _restore_ours(self, kind: str) -> None:
        work = lambda: self._race.ours.manager.restore(ID)  # noqa: E731 - one line
        time, restored = timed(work, self._race.project, sync=False)
        if restored.action != "restored":
            raise RuntimeError(f"{kind}: the damage was not seen, so that this run means nothing")
        self._lines[kind].setdefault(IN_PROCESS, Line()).synced.add(time.plain_s)
        self._prove_same(self._live, IN_PROCESS)

    def _restore(self, kind: str, peer: peers.Peer, name: str) -> None:
        target = self._target(peer)
        time, _ = timed(lambda: peer.restore(target), peer.place)
        line = self._lines[kind].setdefault(name, Line())
        line.plain.add(time.plain_s)
        line.synced.add(time.synced_s)
        if len(line.synced.values) == 1:
            self._prove_same(target, name)

    def _target(self, peer: peers.Peer) -> Path:
        return peer.place / "target"

    def _prove_same(self, folder: Path, name: str) -> None:
        wanted = sorted(str(p.relative_to(self._whole)) for p in self._whole.rglob("*"))
        if sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) != wanted:
            raise RuntimeError(f"{name}: other files came back")
        files = [path for path in wanted if (self._whole / path).is_file()]
        _same, differ, errors = filecmp.cmpfiles(self._whole, folder, files, shallow=False)
        if differ or errors:
            raise RuntimeError(f"{name}: {differ[:3] or errors[:3]} came back with other bytes")


def _halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)
        file.write(b"\xa5" * (4 * PAGE_BYTES))
