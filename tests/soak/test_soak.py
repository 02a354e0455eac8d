"""A day's mixed faults in a quarter of an hour: at the end every bot is the device it was.

`STILLHERE_SOAK_MINUTES` makes it longer, or shorter to try it; `STILLHERE_SOAK_SEED` repeats one.
"""

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.mounts import mounted
from tests.soak.faults import WEIGHTS, the_clock_jumps, the_supervisor_is_killed
from tests.soak.world import Size, World

MINUTES = float(os.environ.get("STILLHERE_SOAK_MINUTES", "15"))
SEED = int(os.environ.get("STILLHERE_SOAK_SEED", "0"))
# A supervisor that has seen hundreds of faults may hold so much more than one that saw few.
GROWTH_BYTES = 6 << 20
GROWTH_DESCRIPTORS = 8
LONG_MINUTES = 10  # long enough for every kind of fault


@pytest.mark.long
@pytest.mark.timeout(int(MINUTES * 60) + 600)
def test_a_day_of_faults_leaves_every_bot_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Online, with its first device, one link and one QR code; nothing leaked; memory flat."""
    chance = random.Random(SEED)  # noqa: S311 - no secret
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done: Counter[str] = Counter()
    cache = tmp_path / "cache"
    cache.mkdir()
    with mounted("tmpfs", tmp_path) as root, World(root / "project", cache).standing() as world:
        early = world.size()
        faults = [f for f in WEIGHTS if world.has_clock or f is not the_clock_jumps]
        weights = [WEIGHTS[f] for f in faults]
        until = time.monotonic() + MINUTES * 60
        while time.monotonic() < until:
            for fault in chance.choices(faults, weights, k=chance.randint(1, 3)):
                done[fault.__name__] += 1
                fault(world, chance)
            world.recovered(", ".join(done))
        world.quiet()
        found = world.judge()
    print(f"{sum(done.values())} faults in {MINUTES:g} min: {dict(done)}")  # noqa: T201 - asked for
    print(f"{world.lives} lives, {world.upgrades} upgrades")  # noqa: T201 - the same
    print(f"early {early}, each life's end {world.sizes}, found {found}")  # noqa: T201 - the same
    assert set(done) >= {f.__name__ for f in faults} or MINUTES < LONG_MINUTES
    assert world.upgrades or MINUTES < LONG_MINUTES
    for size in (*world.sizes, found["size"]):
        assert flat(early, size), f"{early} grew to {size}"
    assert world.lives == done[the_supervisor_is_killed.__name__] + 1


def flat(early: Size, late: Size) -> bool:
    """Say whether nothing grew."""
    return (
        late.pss_bytes <= early.pss_bytes + GROWTH_BYTES
        and late.descriptors <= early.descriptors + GROWTH_DESCRIPTORS
        and late.threads <= early.threads + 4
    )
