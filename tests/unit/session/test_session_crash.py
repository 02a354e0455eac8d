"""Whenever the process dies: nothing is lost, nothing is half, nothing ended comes back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


SCENARIOS = (
    *(("snapshot", 25), ("restore", 60), ("in_place", 80), ("over", 70), ("swap", 60)),
    *(("absent", 40), ("fold", 25), ("clear", 20), ("relink", 12)),
)


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize(("scenario", "at_least"), SCENARIOS)
def test_a_crash_anywhere_is_recovered(scenario: str, at_least: int, every: int) -> None:
    """The process ends before a call that changes something; `make soak` visits each of them."""
    command = [sys.executable, "-m", "tests.unit.session.crashpoints", scenario, str(every)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    result = json.loads(done.stdout)
    assert result["problems"] == []
    assert result["points"] >= at_least
