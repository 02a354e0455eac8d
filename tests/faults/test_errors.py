"""Calls that fail, and calls that do less than was asked: said in words, and nothing is lost.

See `tests.faults.errors`: strace gives EIO, ENOSPC, EDQUOT or EINTR in the place of a call, and
short reads, writes and copies are patched into `os`.
"""

import pytest

from tests.faults.programs import run
from tests.faults.scenarios import SCENARIOS, UNMOUNTED
from tests.faults.test_kill import AT_LEAST


def test_any_of_a_sample_of_errors_is_said_and_survived() -> None:
    """A message, a next step, everything still there, and the next try works."""
    result = run("errors", "--points", "6", timeout_s=110)
    assert result["problems"] == []
    # About a seventh is refused; which calls there are differs a little from run to run, so that a
    # sample may have none of those. The long run has them all, and test_full_store some.
    assert sum(result["ended"].values()) == 6
    assert result["ended"]["done"] >= 1


@pytest.mark.parametrize(
    ("name", "count"),
    [("snapshot-first", 18), pytest.param("restore-absent", 18, marks=pytest.mark.long)],
)
def test_a_short_read_or_write_is_no_error(name: str, count: int) -> None:
    """The kernel may always do less than it was asked to: the rest follows."""
    result = run("errors", "--kind", "short", name, timeout_s=110)
    assert result["problems"] == []
    assert result["ended"] == {"done": count}


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", UNMOUNTED)
def test_every_error_at_every_call_is_said_and_survived(name: str) -> None:
    """All calls of one shape, with every error that they may give."""
    result = run("errors", name, timeout_s=1180)
    assert result["problems"] == []
    assert result["tried"] >= AT_LEAST[SCENARIOS[name].operation]
    assert set(result["ended"]) == {"done", "refused"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) for name in ("restore-absent", "restore-pending")],
)
def test_a_read_that_fails_once_condemns_nothing(name: str) -> None:
    """The snapshot that could not be read now is as good as it was when it can be read again."""
    args = ("--strict", "--kind", "pread64", name)
    assert run("errors", *args, timeout_s=110)["problems"] == []
