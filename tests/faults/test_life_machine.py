"""Any order of saves, snapshots, restores, clears, damage and crashes keeps the promises."""

import pytest

from tests.faults.programs import run


def test_a_short_life_keeps_every_promise() -> None:
    """A few lives of some steps each, the same ones each time."""
    run("machine", "--lives", "15", "--steps", "16", timeout_s=110, traces=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_lives_keep_every_promise() -> None:
    """Hundreds of lives, others each time, with more in each."""
    args = ("--lives", "300", "--steps", "40", "--by-chance")
    run("machine", *args, timeout_s=3500, traces=False)
