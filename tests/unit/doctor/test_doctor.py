"""The command itself: the answer first, exit codes, --fix and --json; and who asks the checks."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from supervisor.cli.doctor import told
from supervisor.cli.main import execute
from supervisor.control.journal import Journal
from supervisor.doctor import examine as room
from supervisor.doctor import watching
from supervisor.doctor.checks import CHECKS, Check
from supervisor.doctor.examine import Report, examine
from supervisor.doctor.findings import Finding, Findings
from supervisor.doctor.ground import Ground
from tests.markdown import ROOT, rows, section
from tests.unit.doctor.kit import BOT, Project

Out = pytest.CaptureFixture[str]
SIGNS = {"problem": "x", "unknown": "?", "note": "!", "ok": "+"}


@pytest.fixture(autouse=True)
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in the project's folder, on a machine that has no units of its own for it."""
    monkeypatch.chdir(project.root)


def test_nothing_is_found(capsys: Out) -> None:
    """One line says so, and the exit code is 0; -v lists what was fine."""
    assert execute(["doctor"]) == 0
    (answer,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"no problem in \d+ checks; no supervisor runs here now", answer)
    assert execute(["doctor", "-v"]) == 0
    out = capsys.readouterr().out
    assert {check.id for check in CHECKS} == set(re.findall(r"^✓ ([\w-]+)", out, re.MULTILINE))


def test_problems_come_first(project: Project, capsys: Out) -> None:
    """The answer, then what is wrong, why, and what to type; what is only worth a word after it."""
    project.live.chmod(0o755)
    project.add('[bot.echo]\ncommand = ["sh", "-c", "exec python bot.py"]')
    assert execute(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 problem in ")
    assert lines[2].startswith(f"✗ private (echo): other users may look into {project.live}")
    assert lines[3].startswith("    why: ")
    assert f"         $ chmod -R go-rwx {project.live}" in lines
    assert "    --fix does it" in lines
    (note,) = (at for at, line in enumerate(lines) if line.startswith("! stop (echo): "))
    assert note > lines.index("    --fix does it")
    assert '           command = ["python", "bot.py"]' in lines


def test_as_json(project: Project, capsys: Out) -> None:
    """All of it: each check is listed, what was fine as well."""
    project.live.chmod(0o755)
    assert execute(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["problems"], found["running"], found["mended"]) == (1, False, [])
    assert [check["id"] for check in found["known"]] == [check.id for check in CHECKS]
    assert {each["check"] for each in found["findings"]} == {check.id for check in CHECKS}
    (problem,) = (each for each in found["findings"] if each["severity"] == "problem")
    assert problem["commands"] == [problem["safe_fix"]] == [f"chmod -R go-rwx {project.live}"]


def test_fix_asks_nobody_where_nobody_is(project: Project, capsys: Out) -> None:
    """Without a terminal nothing is done but by --yes; then it is looked at again."""
    project.live.chmod(0o755)
    assert execute(["doctor", "--fix"]) == 1
    assert "not done, there is nobody to ask" in capsys.readouterr().err
    assert project.live.stat().st_mode & 0o777 == 0o755
    assert execute(["doctor", "--fix", "--yes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mended"] == [f"chmod -R go-rwx {project.live}"]
    assert found["problems"] == 0
    assert project.live.stat().st_mode & 0o777 == 0o700


def test_what_needs_a_person_is_left_to_one(project: Project, capsys: Out) -> None:
    """--fix restores nothing, ends nothing: it says so. --yes alone is a mistake."""
    (project.live / "creds.json").write_bytes(b"")
    assert execute(["doctor", "--fix", "--yes"]) == 1
    assert "nothing here is safe to do without a person" in capsys.readouterr().err
    assert (project.live / "creds.json").read_bytes() == b""
    assert execute(["doctor", "--yes"]) == 2
    assert "--yes goes with --fix" in capsys.readouterr().err


def test_a_user_without_a_home(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers have users of whom nothing is known; then it looks in no home."""
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("no home")))
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert execute(["doctor"]) == 0
    assert project.root.exists()


@pytest.mark.parametrize(("answer", "mode"), [("", 0o755), ("y", 0o700)])
def test_fix_asks_on_a_terminal(project: Project, answer: str, mode: int) -> None:
    """Each is shown before; only a yes does it."""
    project.live.chmod(0o755)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "supervisor", "doctor", "--fix"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, f"{answer}\n".encode())
        _out, err = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert f"do it? chmod -R go-rwx {project.live} [y/N]" in err
    assert project.live.stat().st_mode & 0o777 == mode
    assert process.returncode == (0 if mode == 0o700 else 1)


def test_one_bot_only(project: Project, capsys: Out) -> None:
    """What is wrong with another one is not asked; one that is not there is a config error."""
    project.config(BOT + '[bot.web]\ncommand = ["no-such-program"]\nsession = false\n')
    assert execute(["doctor"]) == 1
    assert execute(["doctor", "echo"]) == 0
    assert execute(["doctor", "web"]) == 1
    capsys.readouterr()
    assert execute(["doctor", "other"]) == 2
    assert "the bots: echo, web" in capsys.readouterr().err


def test_a_config_from_elsewhere_stands_in_each_command(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """What is to be typed works in the folder where it was asked."""
    (project.live / "creds.json").write_bytes(b"")
    monkeypatch.chdir(project.home)
    path = project.root / "config.toml"
    assert execute(["doctor", "--config", str(path)]) == 1
    assert f"$ stillhere --config {path} session restore " in capsys.readouterr().out


def test_a_check_that_fails_or_hangs_ends_no_other(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said to be unknown, and the next one is made."""
    monkeypatch.setattr(room, "PATIENCE_S", 0.05)
    never = threading.Event()

    def fails(_ground: Ground) -> Findings:
        yield Finding(severity="note", seen="before it failed")
        raise KeyError("a bug")

    def hangs(_ground: Ground) -> Findings:
        never.wait(20)
        yield Finding(severity="ok", seen="late")

    def passes(_ground: Ground) -> Findings:
        yield Finding(severity="note", seen="made")

    checks = [
        Check(id=each.__name__, symptom="", fine="", whole=each) for each in (fails, hangs, passes)
    ]
    found = examine(Ground(project.root, world=project.world()), checks).findings
    never.set()
    assert [(each.check, each.severity) for each in found] == [
        ("fails", "unknown"),
        ("hangs", "unknown"),
        ("fails", "note"),
        ("passes", "note"),
    ]
    assert "KeyError" in found[0].seen


def test_what_is_shown_commands_no_terminal(project: Project, capsys: Out) -> None:
    """A file's name may be anything: control characters do not get through."""
    bad = Finding(severity="problem", seen="\x1b[2Jx\ny", cause="\x07", fix="a\rb", check="c")
    text = "".join(told(Report((bad,), 1), verbose=True, signs=SIGNS))
    assert text.isprintable()
    folder = project.live / "\x1b[31m\n"
    folder.mkdir()
    folder.chmod(0o000)
    assert execute(["doctor", "-v"]) in (0, 1)  # for root it is readable
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    folder.chmod(0o700)


def test_no_secret_is_shown(project: Project, capsys: Out) -> None:
    """Neither one in a command that is to be edited, nor one that a bot has said."""
    token = "sk-0123456789abcdefghij"  # noqa: S105 - it opens nothing
    project.add(f'[bot.echo]\ncommand = ["sh", "-c", "exec python bot.py --api-key={token}"]')
    journal = Journal(project.store / ".events.jsonl")
    journal.append("echo", "failed", generation=1, why=f"401: token {token} is not valid")
    assert execute(["doctor", "-v"]) == 1
    out = capsys.readouterr().out
    assert token not in out
    assert out.count("[masked]") >= 2
    assert execute(["doctor", "--json"]) == 1
    assert token not in capsys.readouterr().out


def test_the_page_has_every_check() -> None:
    """docs/doctor.md lists just those that there are, in their order, by what a person sees."""
    table = rows(section(ROOT / "docs" / "doctor.md", "## The checks"))
    listed = [(row[0].strip("`"), row[1]) for row in table]
    assert listed == [(check.id, check.symptom) for check in CHECKS]
    assert all(how and helps for *_, how, helps in table)


def test_it_imports_no_supervisor() -> None:
    """It is quick: what runs bots is not loaded for it."""
    script = """if True:
        import sys
        from supervisor.cli.main import execute
        execute(["doctor"])
        print(*(each for each in sys.modules if each.startswith("supervisor.loop")), "none", sep="")
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "none"


def test_a_tree_is_walked_only_so_long(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer is said to be unknown."""
    over = threading.Event()
    over.set()
    monkeypatch.setattr(watching, "alarm", lambda: over)
    found = project.asked().of("unknown")
    assert [each.check for each in found] == ["inotify-watches", "watched"]
