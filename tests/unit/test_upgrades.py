"""When the program may be replaced, and what is seen to just before."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor.config import load
from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase, State
from supervisor.loop import handoff
from supervisor.loop.upgrades import Ground, Upgrades, why_not
from supervisor.process import descriptors, probes, reexec
from tests.unit.configkit import read
from tests.unit.test_handoff import WHOLE


def ground(tmp_path: Path) -> Ground:
    """Return what an upgrade of a supervisor without bots is given."""
    config = read(tmp_path, '[bot.x]\ncommand = ["x"]\n')
    shared: dict[str, Any] = {
        "house": SimpleNamespace(config=config),
        "server": SimpleNamespace(carry=lambda: WHOLE.control),
    }
    fixed = {
        "dev": False,
        "config": handoff.digest(config.path),
        "started_at": 1.0,
        "upgrades": 1,
        "sockets": WHOLE.sockets,
    }
    return Ground(
        charges={},
        fixed=fixed,
        note=lambda *_: None,
        let_go=lambda: lambda: None,
        alerts=dict,
        web=lambda: WHOLE.web,
        busy=lambda: "",
        **shared,
    )


def test_who_waits_for_a_turn_does_not_keep_us_waiting() -> None:
    """It gets none before we are through: both would wait for each other until one gives up."""
    queues = State(phase=Phase.PREFLIGHT, current=1, compiled=True, turn="asked")
    assert why_not(queues, notify=True) == ""
    assert why_not(queues.but(settling=True), notify=True)
    assert why_not(queues.but(compiled=False), notify=True)
    assert why_not(queues.but(turn="given"), notify=True)


def test_a_config_that_changed_since_the_trial_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new program would end with its first line, and all bots with it."""
    given = ground(tmp_path)
    monkeypatch.setattr(reexec, "replace", lambda *_: pytest.fail("it was replaced"))
    given.house.config.path.write_text("[bot.x\n")
    with pytest.raises(SupervisorError, match="changed meanwhile"):
        Upgrades(given)._replace(-1, 0.0, "2")


def test_the_next_program_begins_by_the_config_that_this_one_runs_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written while it starts: a bot that is gone from the file was its end."""
    given, handed = ground(tmp_path), list[bytes | None]()
    path = given.house.config.path
    before = path.read_bytes()

    def replace(env: dict[str, str], _keep: Any) -> None:
        path.write_text("[bot.x")
        monkeypatch.setenv(handoff.HANDED, env[handoff.HANDED])
        handed.append(handoff.text())
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(reexec, "replace", replace)
    with pytest.raises(SupervisorError, match="Argument list"):
        Upgrades(given)._replace(0, 0.0, "2")
    assert handed == [before]
    assert list(load(path, handed[0]).bots) == ["x"]
    monkeypatch.setenv(handoff.HANDED, "99999")
    assert handoff.text() is None


def test_checks_that_run_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new program does not know of them: one that hangs would stay for ever."""
    done: list[str] = []

    def replace(*_: Any) -> None:
        done.append("replaced")
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(reexec, "replace", replace)
    monkeypatch.setattr(probes, "give_up", lambda: done.append("ended"))
    monkeypatch.setattr(descriptors, "given", lambda: (1024, 4096))
    with pytest.raises(SupervisorError, match="Argument list"):
        Upgrades(ground(tmp_path))._replace(0, 0.0, "2")
    assert done == ["ended", "replaced"]
