"""Which snapshots stay, and what is removed."""

from pathlib import Path
from typing import Any

from supervisor.core.policy import Keep
from supervisor.session.model import rfc3339, since_1970
from supervisor.session.storage import retention
from supervisor.session.storage.manifest import Manifest
from tests.unit.session.sessionkit import ID, Place, write_key


def test_a_manifest_that_cannot_be_read_stops_pruning(place: Place) -> None:
    """It may need any pack: nothing is removed until it is gone or mended."""
    manager = place.linked(keep=Keep(last=1, hourly=0, daily=0))
    victim = place.store / place.manifests()[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    for text in ("b", "c", "d", "e"):
        write_key(place.live, text)
        manager.backup(ID)
    assert manager.cleanup_old_backups(ID) == []
    assert len(place.manifests()) == len(place.packs()) == 5
    victim.write_bytes(whole)
    assert len(manager.cleanup_old_backups(ID)) == 3
    # The first pack stays: the snapshots that are left reuse its blobs.
    assert len(place.packs()) == 3
    assert all(not manager.verify(ID, s.id) for s in manager.snapshots(ID))


def _manifest(seq: int, at: float, verdict: Any = "good", proof: str = "") -> Manifest:
    return Manifest(
        id=ID, seq=seq, epoch=1, reason="x", taken_at=rfc3339(at), verdict=verdict, proof=proof
    )


def test_what_stays_is_counted_by_seq_under_a_clock_that_jumps() -> None:
    """A clock a year ahead and back again does not cost the newest."""
    start = 1_795_557_600.0
    times = [start + 600 * n for n in range(20)]
    times += [start + 400 * 86_400 + 600 * n for n in range(3)]
    times += [start + 600 * n for n in range(20, 30)]
    manifests = [_manifest(seq, at) for seq, at in enumerate(times, 1)]
    stay = retention.kept(manifests, Keep())
    newest = len(times)
    assert {newest - n for n in range(5)} <= stay
    hours = {since_1970(m.taken_at) // 3600 for m in manifests if m.seq in stay}
    assert len(hours) >= 5
    assert len(stay) <= 5 + 6 + 7 + 2


def test_the_newest_good_and_the_proved_one_stay() -> None:
    """However many others came after them; bad ones count for nothing."""
    start = 1_795_557_600.0
    manifests = [
        _manifest(1, start, proof="roundtrip"),
        _manifest(2, start + 1),
        _manifest(3, start + 2),
        *(_manifest(n, start + n, "fuzzy") for n in range(4, 30)),
        *(_manifest(n, start + n, "bad") for n in range(30, 60)),
    ]
    assert retention.kept(manifests, Keep(last=5, hourly=0, daily=0)) == {
        *(1, 2, 3),
        *(25, 26, 27, 28, 29),
        *(58, 59),
    }


def test_the_newest_one_that_may_come_back_stays() -> None:
    """Also behind one that is not judged yet: the record knows that there was one."""
    start = 1_795_557_600.0
    manifests = [
        _manifest(1, start),
        _manifest(2, start + 1),
        _manifest(3, start + 2, "fuzzy"),
        _manifest(4, start + 3, "fuzzy"),
        _manifest(5, start + 4, "pending"),
    ]
    assert retention.kept(manifests, Keep(last=1, hourly=0, daily=0)) == {1, 2, 4, 5}


def test_hourly_and_daily_ones_stay() -> None:
    """Six hours and seven days back, one each: the newest of its hour and day."""
    start = 1_795_564_800.0  # midnight
    hourly = [_manifest(n, start + 1800 * n) for n in range(1, 20 * 48)]
    stay = retention.kept(hourly, Keep(last=5, hourly=6, daily=7))
    days = {int(since_1970(m.taken_at) // 86_400) for m in hourly if m.seq in stay}
    assert len(days) == 7
    assert len(stay) == 5 + 6 - 3 + 7 - 1


def test_a_pruned_snapshot_takes_no_memory(place: Place) -> None:
    """A service takes hundreds a day: only those that are there stay in mind."""
    manager = place.linked()
    for n in range(20):
        write_key(place.live, f"key {n}")
        manager.backup(ID)
    there = {path.name for path in place.store.glob("session-*.json")}
    assert {Path(place).name for place in manager.store._parsed} <= there
    assert len(there) < 20
