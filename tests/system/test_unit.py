"""The unit that is written for a config: tight, honest about what it is, and nobody else's."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.cli.main import execute
from supervisor.config import default_config
from supervisor.service.systemd import place as places
from supervisor.service.systemd import unit
from supervisor.service.systemd.place import Needs, Place
from tests.system.harness import Folder

PYTHON = '[bot.a]\ncommand = ["python", "bot.py"]\nstop_timeout_s = 25\n'


def exposure(text: str, folder: Path) -> float:
    """Return what systemd thinks of it, from 0 (tight) to 10."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: systemd's package would run this")
    path = folder / "shown.service"
    path.write_text(text)
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    (line,) = [line for line in done.stdout.splitlines() if "Overall exposure level" in line]
    return float(line.split(":")[1].split()[0])


def shown(folder: Folder, *words: str) -> str:
    """Return the unit of a folder's config."""
    done = folder.stillhere("systemd", "show", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("needs", "most"),
    [(Needs(0), 1.3), (Needs.JIT, 1.3), (Needs.JIT | Needs.BROWSER, 2.0), (Needs.USERS, 2.5)],
    ids=["python", "node", "chromium", "users"],
)
def test_it_is_as_tight_as_its_bots_can_live_with(
    tmp_path: Path, needs: Needs, most: float
) -> None:
    """By systemd's own measure, for a project under /srv that a user of its own runs."""
    root = Path("/srv/bots")
    config = default_config(root, ["python", "bot.py"])
    place = Place(
        name="bots",
        program=("/usr/bin/stillhere",),
        python="/usr/bin/python3",
        version=252,
        user="root" if needs & Needs.USERS else "bots",
        home=root,
        manager=False,
        needs=needs,
        reads=(),
        kept=(),
        path=(),
    )
    assert exposure(unit.text(config, place), tmp_path) <= most


def test_it_says_what_the_supervisor_does(new_folder: Callable[..., Folder]) -> None:
    """Ready by notify, watched, always restarted; each end is followed by a sweep."""
    lines = set(shown(new_folder(PYTHON)).splitlines())
    assert {"Type=notify", "NotifyAccess=main", "Restart=always", "KillMode=process"} <= lines
    assert "ExecReload=/bin/kill -HUP $MAINPID" in lines or "Type=notify-reload" in lines
    (sweep,) = [line for line in lines if line.startswith("ExecStopPost=")]
    assert sweep.endswith(".sweep 25")  # as long as the slowest bot may take
    (stop,) = [line for line in lines if line.startswith("TimeoutStopSec=")]
    assert int(stop.partition("=")[2]) > 25
    assert any(line.startswith("WatchdogSec=") for line in lines)


def test_its_own_code_may_be_read_wherever_it_lies(tmp_path: Path) -> None:
    """A checkout in a home that the sandbox hides would not even begin."""
    config = default_config(tmp_path, ["python", "bot.py"])
    place = places.look(config, name="bots", user="nobody", manager=False)
    assert any((folder / "supervisor" / "__main__.py").is_file() for folder in place.reads)


def test_its_timeouts_are_longer_than_the_bots(new_folder: Callable[..., Folder]) -> None:
    """Of those that start or stop at once the longest counts; companions stop after the bots."""
    text = shown(
        new_folder(
            f"{PYTHON}start_timeout_s = 200\n"
            '[bot.b]\ncommand = ["python", "bot.py"]\nstop_timeout_s = 40\n'
            '[bot.c]\ncommand = ["python", "c.py"]\nsession = false\nstop_timeout_s = 50\n'
        )
    )
    found = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("Timeout"))
    assert 200 < int(found["TimeoutStartSec"]) < 240
    assert 40 + 50 < int(found["TimeoutStopSec"]) < 40 + 50 + 60
    assert "supervisor.service.systemd.sweep 50" in text


def test_a_path_with_spaces_and_percents_is_one_path(new_folder: Callable[..., Folder]) -> None:
    """Systemd would take both for something else."""
    folder = new_folder(PYTHON, "a b %h")
    text = shown(folder)
    assert "WorkingDirectory=" in text
    assert "%%h" in text
    for line in text.splitlines():
        if line.startswith(("ExecStart=", "Environment=", "ReadWritePaths=")) and "a b" in line:
            assert '"' in line, line


def test_it_is_written_once_and_over_nobody_elses(
    new_folder: Callable[..., Folder], tmp_path: Path
) -> None:
    """Up to date: nothing to do. Somebody else's file: only if that is said."""
    folder = new_folder(PYTHON)
    words = ("systemd", "install", "--name", "mine", "--into", str(tmp_path))
    first = folder.stillhere(*words)
    assert first.returncode == 0, first.stderr
    assert "daemon-reload" in first.stdout
    path = tmp_path / "mine.service"
    written = path.read_text()
    assert "up to date" in folder.stillhere(*words).stdout
    path.write_text("[Service]\nExecStart=/bin/true\n")
    refused = folder.stillhere(*words)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert path.read_text() != written
    assert folder.stillhere(*words, "--force").returncode == 0
    assert path.read_text() == written


def test_whoever_has_no_name_here_has_no_systemd_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that runs as any uid: it is told, and what to do."""
    (tmp_path / "config.toml").write_text(PYTHON)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert execute(["systemd", "show", "--user"]) == 1
    assert capsys.readouterr().err == (
        "error: uid 2147483641 has no name here, so no systemd of its own\n"
        "hint: as root, for the system's: stillhere systemd install --as USER\n"
    )
