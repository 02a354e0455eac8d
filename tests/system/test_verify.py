"""`stillhere verify`, run as people run it: all of it passes, and a fault fails its own row."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import ROOT, SHIPPED, Folder, processes_of, running

BOT = ROOT / "tests" / "bots" / "verify_bot"
PAIRED = """
[bot.echo.verify]
isolated = true
pair = ["python", "-m", "bot.phone", "scan"]
"""
QUICK = ("--rest", "1", "--restarts", "3")
# For each row the fault that is its own, and what has to be said of it.
FAULTS = {
    "start-up": ("ends at once", "no module named 'whatever'"),
    "first-session": ("writes no files", "there is no file in"),
    "qr-once": ("pairs twice", "asked for 2 times"),
    "restored": ("pairs at every start", "it asked for a QR code"),
    "save": ("", "the save was not seen"),
    "manual": ("wants a change", "nothing has changed"),
    "many": ("tires", "tired"),
    "stable": ("drops out", "it went offline"),
    "state": ("writes the state", "qr_count is"),
    "backups": ("breaks the store", "packs"),
    "corruption": ("knows its file by number", "creds.json deleted: it asked for a QR code"),
    "clear": ("pairs once in its life", "can't be linked a second time"),
    "restore-time": ("is slow", "is more than 0.2 s"),
    "backup-size": ("fills the store", "more than its backups account for"),
    "resources": ("", "more than memory_mb = 1"),
    "browser-crash": ("does not miss its browser", "goes on without a browser"),
    "supervisor-crash": ("logs out when it was orphaned", "it asked for a QR code"),
}
MORE = {
    "restore-time": "restore_timeout_s = 0.2",
    "resources": "[bot.one.limits]\nmemory_mb = 1\nmemory_grace_s = 600",
}
USUAL = ("restored",)


def faulty(new_folder: Callable[..., Folder], row: str) -> Folder:
    """Make the folder of a bot with the fault that belongs to a row."""
    more, watched = MORE.get(row, ""), "link.py" if row == "save" else "bot.py"
    folder = new_folder(
        f'[bot.one]\ncommand = ["python", "bot.py"]\nwatch = ["{watched}"]\n'
        f'start_timeout_s = 8\nstop_timeout_s = 3\nenv = {{ FAULT = "{FAULTS[row][0]}" }}\n{more}\n'
        '[bot.one.verify]\nisolated = true\npair = ["python", "phone.py"]\n'
    )
    for name in ("bot.py", "phone.py"):
        shutil.copy(BOT / name, folder.root / name)
    shutil.copy(ROOT / "bot" / "link.py", folder.root / "link.py")
    return folder


def verified(folder: Folder, *args: str) -> tuple[int, dict[str, Any]]:
    """Run `verify --json`; return its exit code and its report."""
    done = folder.stillhere("verify", *args, "--json", timeout_s=170)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def verdicts(report: dict[str, Any], verdict: str) -> dict[str, str]:
    """Return the rows with a verdict, and why."""
    return {t["key"]: str(t["why"]) for t in report["tests"] if t["verdict"] == verdict}


def test_the_bot_that_ships_passes(new_folder: Callable[..., Folder]) -> None:
    """Every row is measured; the original's folder is only read, and nothing is left running."""
    folder = new_folder(SHIPPED + PAIRED).with_shipped_bot()
    page = folder.root.parent / "report.html"
    before = {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")}
    code, report = verified(folder, *QUICK, "--html", str(page))
    assert not verdicts(report, "fail"), report
    assert list(verdicts(report, "n/a")) == ["browser-crash"]
    assert not verdicts(report, "not run")
    assert (code, report["passed"]) == (0, True)
    assert all(t["measured"] for t in report["tests"] if t["verdict"] == "pass")
    assert [m["verdict"] for m in report["metrics"]] == ["pass"] * 8
    assert {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")} == before
    assert not processes_of(folder)
    text = page.read_text()
    assert text.count("<svg") == len(report["restarts"])
    # One page that needs nothing else, and holds no code that could be scanned.
    assert not re.search(r"<script|https?://|<link rel=.stylesheet", text)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "row", [row if row in USUAL else pytest.param(row, marks=pytest.mark.long) for row in FAULTS]
)
def test_a_fault_fails_its_own_row(new_folder: Callable[..., Folder], row: str) -> None:
    """Exactly that row, with its reason; what can't be learnt any more is not run, and says so."""
    code, report = verified(faulty(new_folder, row), *QUICK)
    failed = verdicts(report, "fail")
    assert list(failed) == [row], failed
    assert FAULTS[row][1] in failed[row]
    assert all(why.startswith("test ") for why in verdicts(report, "not run").values())
    assert (code, report["passed"]) == (1, False)


@pytest.mark.long
def test_without_a_fault_it_passes(new_folder: Callable[..., Folder]) -> None:
    """The faulty bot without its fault: so each failure above is the fault's."""
    folder = faulty(new_folder, "save")
    config = (folder.root / "config.toml").read_text()
    folder.write("config.toml", config.replace("link.py", "bot.py"))
    code, report = verified(folder, *QUICK)
    assert (code, verdicts(report, "fail")) == (0, {})


@pytest.mark.long
def test_an_account_and_a_login_that_is_slow(new_folder: Callable[..., Folder]) -> None:
    """Both are no fault: who is linked anew may be called alike, and a copy is good only later."""
    folder = faulty(new_folder, "manual")
    config = (folder.root / "config.toml").read_text()
    fault, slow = "wants a change", "names its account"
    folder.write(
        "config.toml", config.replace(fault, slow).replace("watch =", "settle_s = 4\nwatch =")
    )
    code, report = verified(folder, *QUICK)
    assert (code, verdicts(report, "fail"), verdicts(report, "not run")) == (0, {}, {})
    measured = {each["key"]: each["measured"] for each in report["tests"]}
    assert measured["clear"] == "linked anew, again as account, links 2"
    (link,) = [each["did"] for each in report["tests"] if each["key"] == "first-session"]
    assert link.endswith("as its login needs")


@pytest.mark.long
@pytest.mark.parametrize("row", ["start-up", "resources"])
def test_a_row_alone_passes(new_folder: Callable[..., Folder], row: str) -> None:
    """What was not tried is no failure of it: no link was made, or it is its first one."""
    folder = faulty(new_folder, "manual")
    code, report = verified(folder, "--only", row, "--rest", "1")
    failed = [each["key"] for each in report["metrics"] if each["verdict"] == "fail"]
    assert (code, failed, report["passed"]) == (0, [], True)


@pytest.mark.long
def test_without_its_phone_only_the_link_fails(new_folder: Callable[..., Folder]) -> None:
    """One fault is one failure, also for the rows that need no link themselves."""
    folder = faulty(new_folder, "manual")
    folder.write("phone.py", "import sys\nsys.exit('no phone is connected')\n")
    code, report = verified(folder, *QUICK)
    assert (code, list(verdicts(report, "fail"))) == (1, ["first-session"])
    assert "no phone is connected" in verdicts(report, "fail")["first-session"]
    assert [each["key"] for each in report["metrics"] if each["verdict"] == "fail"] == []


@pytest.mark.long
def test_the_live_bot(linked: Folder) -> None:
    """What would unlink or break it is left out; its source is as it was, and it runs on."""
    source = {path: path.read_bytes() for path in (linked.root / "bot").rglob("*.py")}
    with running(linked) as supervisor:
        supervisor.wait("verified", bot="echo")
        code, report = verified(linked, "--live", "--yes", *QUICK)
        assert (code, verdicts(report, "fail"), verdicts(report, "not run")) == (0, {}, {})
        left_out = ["first-session", "qr-once", "clear", "browser-crash", "supervisor-crash"]
        assert sorted(verdicts(report, "n/a")) == sorted(left_out)
        assert linked.info()["link_count"] == 1
        assert supervisor.status()["phase"]
    assert {path: path.read_bytes() for path in (linked.root / "bot").rglob("*.py")} == source


@pytest.mark.long
def test_a_copy_with_its_session(linked: Folder) -> None:
    """An isolated bot without a phone: the copy goes on as the same device, beside the original."""
    config = (linked.root / "config.toml").read_text()
    linked.write("config.toml", f"{config}\n[bot.echo.verify]\nisolated = true\n")
    before = linked.info()
    code, report = verified(linked, *QUICK)
    assert (code, verdicts(report, "fail"), verdicts(report, "not run")) == (0, {}, {})
    assert sorted(verdicts(report, "n/a")) == ["browser-crash", "clear", "first-session", "qr-once"]
    assert linked.info() == before


def test_a_copy_of_a_known_session_is_not_run_unasked(new_folder: Callable[..., Folder]) -> None:
    """Two copies of one session are a theft to a chat network: a person chooses."""
    folder = new_folder().with_shipped_bot()
    done = folder.stillhere("verify")
    assert done.returncode == 1
    assert "not done without consent" in done.stderr
    assert "--scan" in done.stderr
    assert not Path(folder.root / "sessions").exists()


def test_an_unknown_test_is_named(new_folder: Callable[..., Folder]) -> None:
    """Before anything is run."""
    done = new_folder(SHIPPED + PAIRED).stillhere("verify", "--only", "everything")
    assert done.returncode == 2
    assert "there is no test 'everything'" in done.stderr
