"""A command, a place or a library that does not fit: told, and mended by the edit that is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.cli.main import execute
from supervisor.control.journal import Journal
from supervisor.doctor.library import READ
from supervisor.presets.library import KNOWN as PRESETS
from supervisor.session.proof.kinds.baileys import KEYS
from tests.unit.doctor.kit import BOT, ID, Project
from tests.unit.doctor.test_doctor_service import supervised

BAILEYS = """
import { useMultiFileAuthState } from 'baileys'
const { state } = await useMultiFileAuthState('auth_info')
"""


def baileys(project: Project, version: str = "7.0.0-rc.9") -> Path:
    """Make it a Baileys bot, by its source; return where that keeps its session."""
    (project.root / "index.js").write_text(BAILEYS)
    (project.root / "package.json").write_text('{"dependencies": {"baileys": "^7"}}')
    library = project.root / "node_modules" / "baileys"
    library.mkdir(parents=True)
    (library / "package.json").write_text(json.dumps({"version": version}))
    node = project.tools / "node"
    node.write_text("#!/bin/sh\n")
    node.chmod(0o755)
    project.config(f'[bot.echo]\ncommand = ["{node}", "index.js"]\nsession = "{ID}"\n')
    return project.root / "auth_info"


def creds(folder: Path) -> None:
    """Put a Baileys session there, as it is before anybody scans."""
    folder.mkdir(mode=0o700, parents=True)
    (folder / "creds.json").write_text(json.dumps(dict.fromkeys(KEYS, "x")))


def test_a_broken_config(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All its mistakes are findings; what needs no config is still looked at."""
    monkeypatch.chdir(project.root)
    project.config(BOT.replace("session", "sesion") + "stop_timeout = 5\n")
    report = project.asked()
    assert [each.check for each in report.of("problem")] == ["config", "config"]
    assert "python" in [each.check for each in report.of("ok")]
    assert execute(["doctor"]) == 2
    assert capsys.readouterr().out.startswith("2 problems in ")
    project.config(BOT)
    project.well()


def test_no_config_and_no_bot(project: Project) -> None:
    """A folder that tells nothing: said, with the command that writes a config."""
    for path in [*project.root.rglob("*")][::-1]:
        path.unlink() if path.is_file() else path.rmdir()
    found = project.problem("config")
    assert "stillhere init" in found.fix


def test_without_a_config_it_looks_as_dev_would(project: Project) -> None:
    """The bot is guessed, and so is its session."""
    (project.root / "config.toml").unlink()
    report = project.asked()
    assert not report.of("problem")
    assert {each.bot for each in report.findings} == {None, "project"}


def test_an_environment_whose_python_is_gone(project: Project) -> None:
    """`.venv` was made for a Python that was removed: made anew by the command."""
    own = project.root / ".venv" / "bin"
    own.mkdir(parents=True)
    (own / "python").symlink_to("/opt/python3.9/bin/python3.9")
    found = project.problem("program")
    assert "/opt/python3.9/bin/python3.9" in found.seen
    # What the command makes, without the quarter of a minute that pip takes.
    project.type(f"{found.commands[0]} --without-pip")
    project.well()


def test_libraries_in_an_environment_of_another_name(project: Project) -> None:
    """They are in venv/, and `python` is another one."""
    project.type(f"{sys.executable} -m venv --without-pip venv")
    found = project.note("program")
    project.add(found.edit)
    project.well()


def test_a_program_that_is_not_there(project: Project) -> None:
    """The first word of the command is found nowhere."""
    project.add('[bot.echo]\ncommand = ["no-such-program", "bot.py"]')
    assert "no-such-program" in project.problem("program").seen
    project.add('[bot.echo]\ncommand = ["python", "bot.py"]')
    project.well()


def test_a_file_that_lies_in_another_folder(project: Project) -> None:
    """`cwd` and the command's path do not fit together: the edit names it from there."""
    (project.root / "app").mkdir()
    project.add('[bot.echo]\ncwd = "app"')
    found = project.problem("program")
    assert "relative to `cwd`" in found.cause
    project.add(found.edit)
    project.well()


def test_an_env_file_that_was_not_copied(project: Project) -> None:
    """The config names it, and it is not there."""
    project.add('[bot.echo]\nenv_file = "secrets.env"')
    project.follow(project.problem("program"))
    project.well()


def test_a_session_that_the_config_looks_for_elsewhere(project: Project) -> None:
    """The source keeps it in auth_info, the config says `sessions`: the edit names the place."""
    creds(baileys(project))
    found = project.problem("session-place")
    assert str(project.root / "auth_info") in found.seen
    assert found.edit == '[bot.echo]\nsession_path = "auth_info"'
    project.add(found.edit)
    report = project.asked()
    assert "session-place" not in {each.check for each in report.of("problem", "unknown")}


def test_a_session_of_a_start_from_another_folder(bare: Project) -> None:
    """It was started from below once: what lies there comes in by the command."""
    (bare.live / "creds.json").unlink()
    bare.live.rmdir()
    baileys(bare)
    creds(bare.home / "auth_info")
    bare.add('[bot.echo]\nsession_path = "auth_info"')
    found = bare.problem("session-place")
    bare.type(f"{found.commands[0]} --yes")  # there is nobody to ask
    assert "session-place" not in {each.check for each in bare.asked().of("problem", "unknown")}
    assert (bare.root / "auth_info" / "creds.json").exists()


def test_a_session_that_is_watched(project: Project) -> None:
    """A folder with another session lies among what is watched: ignored, as told, it is quiet."""
    baileys(project)
    (project.root / "auth_info").mkdir()
    creds(project.root / "data" / "other")
    project.add('[bot.echo]\nsession_path = "auth_info"\nwatch = ["index.js", "data"]')
    found = [each for each in project.asked().of("problem") if each.check == "watched"]
    assert [each.seen.rpartition(": ")[2] for each in found] == ["data/other"]
    project.add(found[0].edit)
    assert "watched" not in {each.check for each in project.asked().of("problem", "unknown")}


def test_a_session_among_the_watched_source(project: Project) -> None:
    """It lies right beside the source: its files are ignored, not the folder."""
    project.add('[bot.echo]\nwatch = ["."]')
    (project.root / "creds.json").write_text(json.dumps(dict.fromkeys(KEYS, "x")))
    (project.root / "a.session").write_bytes(b"")
    found = project.problem("watched")
    assert found.seen.endswith(": a.session, creds.json")
    project.add(found.edit)
    project.well()


def test_a_session_within_what_the_config_names(project: Project) -> None:
    """The source names a folder in it: the whole is copied, so that is right."""
    creds(baileys(project))
    (project.root / "index.js").write_text(BAILEYS.replace("auth_info", "data/auth_info"))
    (project.root / "data").mkdir()
    (project.root / "auth_info").rename(project.root / "data" / "auth_info")
    plain = (project.root / "config.toml").read_text()
    for right in ('session_path = "data"', 'session_files = ["da*"]'):
        project.config(f"{plain}{right}\n")
        assert not _misplaced(project)
    project.config(f'{plain}session_files = ["other*"]\n')
    assert _misplaced(project)


def _misplaced(project: Project) -> bool:
    return "session-place" in {each.check for each in project.asked().of("problem")}


def test_what_the_bot_writes_is_watched(project: Project) -> None:
    """The journal has one data file as the only change, again and again."""
    (project.root / "data").mkdir()
    (project.root / "data" / "seen.json").write_text("{}")
    journal = Journal(project.store / ".events.jsonl")
    for _ in range(3):
        journal.append("echo", "changed", paths=["data/seen.json"])
    journal.append("echo", "changed", paths=["bot.py"])
    found = project.problem("watched")
    assert found.seen.endswith(": data/seen.json")
    project.add(found.edit)
    project.well()


def test_a_preset_of_a_library_that_is_not_used(project: Project) -> None:
    """The config names one, and neither the source nor a list of packages does."""
    project.add('[bot.echo]\npreset = "baileys"')
    found = project.problem("library")
    project.add(found.edit)
    project.well()


def test_a_library_that_is_not_installed(project: Project) -> None:
    """package.json has it, node_modules has not."""
    project.add(f'[bot.echo]\nsession_path = "{baileys(project).name}"')
    library = project.root / "node_modules" / "baileys"
    (library / "package.json").rename(project.home / "package.json")
    found = [each for each in project.asked().of("problem") if each.check == "library"]
    assert [each.commands for each in found] == [(f"npm --prefix {project.root} install",)]
    (project.home / "package.json").rename(library / "package.json")  # as npm does
    assert "library" not in {each.check for each in project.asked().of("problem", "note")}


def test_a_version_that_was_never_read(project: Project) -> None:
    """The preset may not know what this one prints."""
    project.add(f'[bot.echo]\nsession_path = "{baileys(project, "8.1.0").name}"')
    found = [each for each in project.asked().of("note") if each.check == "library"]
    assert "baileys 8.1.0 is installed" in found[0].seen


@pytest.mark.parametrize("name", sorted(READ))
def test_the_versions_are_those_of_the_presets(name: str) -> None:
    """Each preset says in its first lines in which versions its library was read."""
    head = (PRESETS / f"{name}.toml").read_text().partition("\nabout")[0].replace("\n# ", " ")
    assert all(version in head for version in READ[name])


def test_a_python_library_that_is_not_installed(project: Project) -> None:
    """The command makes it an environment of its own, which `python` means from then on."""
    (project.root / "bot.py").write_text("import telethon\n")
    project.add('[bot.echo]\npreset = "telethon"\nsession_files = ["anon.session"]')
    for name in ("dist-packages", "site-packages"):  # a machine may have it
        assert not list(Path("/usr/lib").glob(f"python3*/{name}/Telethon*"))
    environment = project.root / ".venv"
    project.type(f"{sys.executable} -m venv --without-pip {environment}")
    elsewhere = project.home / ".local/lib/python3.11/site-packages/telethon-1.45.2.dist-info"
    elsewhere.mkdir(parents=True)  # which an environment of its own does not see
    found = [each for each in project.asked().of("problem") if each.check == "library"]
    assert [each.commands[-1] for each in found] == [
        f"{environment}/bin/python -m pip install telethon"
    ]
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "telethon-1.45.2.dist-info").mkdir()  # as pip does
    assert "library" not in {each.check for each in project.asked().of("problem", "note")}


def test_a_script_that_package_json_has_not(project: Project) -> None:
    """`npm run NAME` of a name that is none."""
    npm = project.tools / "npm"
    npm.write_text("#!/bin/sh\n")
    npm.chmod(0o755)
    (project.root / "package.json").write_text('{"scripts": {"bot": "python bot.py"}}')
    project.add(f'[bot.echo]\ncommand = ["{npm}", "run", "bott"]')
    assert project.problem("program").seen.endswith("has no script 'bott'")
    project.add('[bot.echo]\ncommand = ["python", "bot.py"]')
    project.well()


def test_a_file_that_is_nowhere(project: Project) -> None:
    """The command names one that does not exist."""
    (project.root / "bot.py").rename(project.root / "main.py")
    found = project.problem("program")
    assert found.seen == f"{project.root / 'bot.py'} does not exist"
    project.add('[bot.echo]\ncommand = ["python", "main.py"]')
    project.well()


WRITES = """
import sys
file = open(sys.argv[1], "w")
print("ready", flush=True); sys.stdin.readline()
"""


def test_a_session_that_the_running_bot_writes_elsewhere(bare: Project) -> None:
    """Its own folder is empty, and it has a database open: the edit names that one."""
    (bare.live / "creds.json").unlink()
    (bare.root / "data").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, str(bare.root / "data" / "bot.session")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline() == b"ready\n"
        with supervised(bare, supervisor=os.getpid(), phase="starting", pid=bot.pid):
            found = bare.problem("session-place")
            assert "data/bot.session" in found.seen
            bare.add(found.edit)
            assert "session-place" not in {each.check for each in bare.asked().of("problem")}
        bot.kill()
