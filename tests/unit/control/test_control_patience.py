"""How long a call waits: as long as the work gets further, and not for who is gone."""

import itertools
import math
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from supervisor.control.client import Client
from supervisor.core.errors import SupervisorError
from tests.unit.control.fake_runner import running

ALIVE_S = 0.02
PATIENCE_S = 0.1
# By then it has waited three times as long as it would for work that stands still.
SEEN = 15


@pytest.fixture
def path() -> Iterator[Path]:
    """Return a place for a socket: such paths are short."""
    with tempfile.TemporaryDirectory() as short:
        yield Path(short) / "private" / "x.sock"


def test_work_that_gets_further_is_waited_for(path: Path) -> None:
    """However long it takes: a check of a large store, say."""
    counted = itertools.count()

    def pulse() -> int:
        number = next(counted)
        if number == SEEN:
            server.fake.gate.set()
        return number

    with running(path, pulse=pulse, alive_s=ALIVE_S) as server:
        client = Client(path, total_s=PATIENCE_S)
        assert client.call("restart", bot=None) == {"echo": {"bot": None}}
        assert next(counted) > SEEN


def test_work_that_stands_still_is_left_alone(path: Path) -> None:
    """A disk that hangs: it is said, with what to do, and the work goes on."""
    with running(path, alive_s=ALIVE_S) as server:
        with pytest.raises(SupervisorError, match=r"got no further for 0 s") as caught:
            Client(path, total_s=PATIENCE_S).call("restart", bot=None)
        assert "events -f" in caught.value.hint
        assert not server.fake.finished.is_set()


def test_a_supervisor_that_dies_is_noticed_whatever_the_patience(path: Path) -> None:
    """Its end of the connection closes, and who asked is told at once."""
    with ThreadPoolExecutor(1) as asker, running(path, alive_s=ALIVE_S) as server:
        asked = asker.submit(Client(path, total_s=math.inf).call, "restart", bot=None)
        assert server.fake.entered.wait(5)
        server.stop()
        with pytest.raises(SupervisorError, match="went away"):
            asked.result(5)
