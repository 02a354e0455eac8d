"""The database of 20 MB alone: how many bytes ten snapshots of it store."""

from pathlib import Path
from typing import Any

from tests.bench import clock
from tests.bench.clock import Samples
from tests.bench.ours import IN_PROCESS, Ours, live_folder
from tests.bench.peers import Peer, present
from tests.bench.report import Report
from tests.bench.trees import PAGE_BYTES, Tree

SNAPSHOTS = 10
ROWS = 50
# rsync sees a change of the same size only in another second.
_NEXT_SECOND_S = 1.1


def run(scratch: Path, report: Report) -> None:
    """Answer it."""
    report.stage(f"database of 20 MB: {SNAPSHOTS} snapshots with {ROWS} row updates between them")
    project = scratch / "database"
    tree = Tree(live_folder(project), 0, database=True)
    tree.make()
    ours = Ours(project)
    others = [peer for peer in present(project / "peers") if peer.incremental]
    ours.fresh()
    ours.snapshot()
    for peer in others:
        peer.fresh()
        peer.snapshot(tree.folder)
    pages = Samples()
    stored: dict[str, Samples] = {
        IN_PROCESS: Samples(),
        **{peer.name: Samples() for peer in others},
    }
    for _ in range(SNAPSHOTS):
        pages.add(tree.change(0, ROWS).pages)
        before = clock.weigh(ours.store)
        if ours.validate(ours.snapshot()).verdict != "good":
            raise RuntimeError("the snapshot is not good: nothing of this run counts")
        stored[IN_PROCESS].add(clock.new_bytes(before, clock.weigh(ours.store)))
        clock.wait(_NEXT_SECOND_S)
        for peer in others:
            stored[peer.name].add(_stored(peer, tree.folder))
    changed_bytes = sum(pages.values) * PAGE_BYTES
    rows: list[dict[str, Any]] = [
        {"": "changed pages of 4 KiB", "MB stored": changed_bytes / 1e6, "of the pages": 1.0}
    ]
    for name, samples in stored.items():
        total = sum(samples.values)
        rows.append({"": name, "MB stored": total / 1e6, "of the pages": total / changed_bytes})
    title = f"A database of 20 MB: {SNAPSHOTS} snapshots, {ROWS} row updates before each"
    report.table("database", title, ("", "MB stored", "of the pages"), rows)
    share = sum(stored[IN_PROCESS].values) / changed_bytes
    report.bar("database", "stored, of the changed 4 KiB pages", 1.5, share)


def _stored(peer: Peer, live: Path) -> int:
    before = clock.weigh(peer.store)
    peer.snapshot(live)
    return clock.growth_bytes(before, clock.weigh(peer.store))
