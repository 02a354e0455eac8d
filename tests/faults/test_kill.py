"""kill -9 at every system call of an operation; nothing is lost, half done, or comes back.

The calls are hit by strace's injection (strace(1), `inject=SYSCALL:signal=KILL:when=N`): see
`tests.faults.traced`. The ordinary run takes a sample; `make soak` visits every call of every
shape in `tests.faults.scenarios`.
"""

import pytest

from tests.faults.programs import may_unshare, run
from tests.faults.scenarios import SCENARIOS, Scenario

# How many calls there are at least, by what is done: fewer would say that some were not seen.
AT_LEAST = {"snapshot": 90, "restore": 120, "clear": 60, "import": 100, "prune": 25}
# A seal alone, not validated: since it is noted in its manifest it makes 85 calls.
_AT_LEAST_OF = {"snapshot-pending": 80}


def test_a_kill_at_any_of_a_sample_of_calls_is_recovered() -> None:
    """Calls of every kind, evenly spaced over snapshots, restores, clears, imports and prunes."""
    result = run("sweep", "--points", "6", timeout_s=110)
    assert result["problems"] == []
    assert result["tried"] == 6


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_every_call_is_recovered(name: str) -> None:
    """All calls of one shape: over a thousand of snapshots and restores together."""
    scenario = SCENARIOS[name]
    if scenario.mounted and not may_unshare():
        pytest.skip("to make the session's folder a mount point takes root")
    result = run("sweep", name, timeout_s=880)
    assert result["problems"] == []
    killed = result["killed"][name]
    print(f"{name}: killed at {killed} calls")  # noqa: T201 - the count is what is asked for
    assert killed >= _least(scenario)


def test_the_whole_sweep_is_over_a_thousand_points() -> None:
    """The shapes of snapshots and restores, each with its least number of calls, add up to it."""
    least = sum(_least(s) for s in SCENARIOS.values() if s.operation in _COUNTED)
    assert least >= 1000


_COUNTED = ("snapshot", "restore")


def _least(scenario: Scenario) -> int:
    return _AT_LEAST_OF.get(scenario.name, AT_LEAST[scenario.operation])
