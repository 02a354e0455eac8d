"""Any order of saves, snapshots, restores, clears, damage and crashes keeps the promises."""

import pytest

from tests.faults.programs import run


def test_a_short_life_keeps_every_promise() -> None:
    """A few lives of some steps each, the same ones each time."""
    run("machine", "--lives", "15", "--steps", "16", timeout_s=110, traces=False)


def test_what_lies_beside_a_session_is_never_touched() -> None:
    """The same where the session lies in a project: that is what it was, to stat(2) as well."""
    run("machine", "--among", "--lives", "3", "--steps", "10", timeout_s=110, traces=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", [(), ("--among",)])
def test_many_lives_keep_every_promise(where: tuple[str, ...]) -> None:
    """Hundreds of lives, others each time, with more in each."""
    args = (*where, "--lives", "300", "--steps", "40", "--by-chance")
    run("machine", *args, timeout_s=3500, traces=False)
