"""The figures of restarts are what the bots say, and a wrong restart is seen."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import load
from tests.bench.clock import Samples
from tests.bench.ours import ID
from tests.bench.report import MISSED, Report
from tests.bench.restart import crowds, picture, procs, question, race, stillhere, tools
from tests.bench.restart.lives import Life, Trace, outcome, overlaps
from tests.bench.restart.peers import PEERS
from tests.bench.restart.project import FIRST_VALUE, LIGHT, REALISTIC, Project
from tests.bench.restart.race import Row
from tests.bench.restart.stillhere import OURS, NoSpare, Stillhere
from tests.bench.restart.tools import Places, Tool

MS = 1_000_000
OLD = """\
1000000 start 11 0
2000000 imported 11 7
3000000 taken 11 7
4000000 online 11 7
60000000 term 11 7
110000000 offline 11 7
"""
NEW = """\
115000000 start 12 0
150000000 imported 12 8
151000000 taken 12 8
152000000 online 12 8
"""
SAVED_NS = 50 * MS


def lives_of(folder: Path, text: str, dead_ms: int = 0) -> list[Life]:
    """Return what a trace says; the first process ends at `dead_ms`."""
    path = folder / "trace"
    path.write_text(text)
    lives = Trace(path).read()
    lives[0].dead = dead_ms * MS
    return lives


def a_row(tool: str, ready_ms: float, *, ours: bool = False, told_ms: float = 10.0) -> Row:
    """Return a row with one save."""
    row = Row(tool, "light", ours=ours, pss_bytes=40_000_000, spare_bytes=15_000_000)
    row.saves = 1
    values = {"told": told_ms, "stop": 50.0, "dead": 60.0, "gap": ready_ms - told_ms}
    for name, value in (values | {"ready": ready_ms}).items():
        row.times[name].add(value / 1000)
    return row


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return the light bot's project with a session of a few files and a database."""
    return Project(tmp_path / "project", LIGHT, Path(sys.executable), small_files=3)


def test_each_time_is_between_two_instants_of_the_bots(tmp_path: Path) -> None:
    """The save's clock, the old one's SIGTERM, last line and end, the new one online."""
    found = outcome(lives_of(tmp_path, OLD + NEW, dead_ms=114), SAVED_NS, 8)
    assert found.told_s == pytest.approx(0.010)
    assert found.stop_s == pytest.approx(0.050)
    assert found.dead_s == pytest.approx(0.054)
    assert found.gap_s == pytest.approx(0.092)
    assert found.ready_s == pytest.approx(0.102)
    assert (found.missed, found.extra, found.stale) == (False, 0, 0)


def test_a_missed_save_and_old_code_are_seen(tmp_path: Path) -> None:
    """A bot that came back with what was there before did not follow the save."""
    assert outcome(lives_of(tmp_path, OLD), SAVED_NS, 8).missed
    found = outcome(lives_of(tmp_path, OLD + NEW.replace(" 12 8", " 12 7")), SAVED_NS, 8)
    assert (found.missed, found.extra, found.stale) == (True, 1, 1)


def test_a_restart_too_many_is_seen(tmp_path: Path) -> None:
    """The first with the saved code counts, and each after it is one too many."""
    more = NEW.replace(" 12 ", " 13 ").replace("1", "3", 1)
    text = OLD + NEW + "160000000 term 12 8\n161000000 offline 12 8\n" + more
    text = text.replace("152000000 online 13", "352000000 online 13")
    found = outcome(lives_of(tmp_path, text), SAVED_NS, 8)
    assert (found.missed, found.extra) == (False, 1)
    assert found.ready_s == pytest.approx(0.102)


def test_two_at_once_are_seen(tmp_path: Path) -> None:
    """Who can't wait may write from its first line; who can, from when it opens the session."""
    lives = lives_of(tmp_path, OLD + NEW)
    assert overlaps(lives, waits=False) == overlaps(lives, waits=True) == 0
    early = lives_of(tmp_path, OLD + NEW.replace("115000000 start", "105000000 start"))
    assert overlaps(early, waits=False) == 1
    assert overlaps(early, waits=True) == 0
    open_early = lives_of(tmp_path, OLD + NEW.replace("151000000 taken", "109000000 taken"))
    assert overlaps(open_early, waits=True) == 1


def test_one_without_a_last_word_ends_with_its_process(tmp_path: Path) -> None:
    """If nobody saw that either, it counts as two at once."""
    killed = OLD.replace("110000000 offline 11 7\n", "")
    assert overlaps(lives_of(tmp_path, killed + NEW, dead_ms=112), waits=False) == 0
    assert overlaps(lives_of(tmp_path, killed + NEW), waits=False) == 1


def test_a_trace_is_read_as_it_grows_whole_lines_only(tmp_path: Path) -> None:
    """A pid that comes again is another process."""
    trace = Trace(tmp_path / "trace")
    assert trace.read() == []
    trace.path.write_text(OLD + "115000000 sta")
    assert [life.offline for life in trace.read()] == [110 * MS]
    assert trace.current() is None
    with trace.path.open("a") as file:
        file.write("rt 11 0\n152000000 online 11 8\n")
    assert [(life.pid, life.value) for life in trace.read()] == [(11, 7), (11, 8)]
    back = trace.online(SAVED_NS, 8)
    assert back is trace.current() is trace.lives[1]
    assert trace.online(SAVED_NS, 9) is None


def test_the_bot_alone_is_measured(project: Project) -> None:
    """A real bot comes online, and needs 50 ms for its last work and a little for its end."""
    stop, dead = race.alone(project, 2)
    assert len(dead.values) == 2
    assert 0.05 <= stop.median <= dead.median
    lives = Trace(project.trace).read()
    assert all(0 < x.start <= x.imported <= x.taken <= x.online <= x.term for x in lives)
    assert {life.value for life in lives} == {FIRST_VALUE}


def test_a_save_is_another_value_of_the_same_size(project: Project) -> None:
    """So that neither size nor, within one second, the time tells old bytecode from new."""
    path = project.app / "value.py"
    before = path.stat().st_size
    project.save()
    assert path.stat().st_size == before
    assert f"VALUE = {FIRST_VALUE + 1}\n" in path.read_text()


def test_a_slow_save_compiles_when_it_is_torn(project: Project) -> None:
    """What has only the first parts runs, and says that it is the old code."""
    project.save_slowly()
    whole = (project.app / "value.py").read_text()
    first: dict[str, Any] = {}
    exec(whole[: whole.index("# a line")], first)  # noqa: S102 - our own three lines
    last: dict[str, Any] = {}
    exec(whole, last)  # noqa: S102 - the same
    assert (first["VALUE"], last["VALUE"]) == (FIRST_VALUE, FIRST_VALUE + 1)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_ours_accepts_the_config_of_each_form(kind: type[Tool], project: Project) -> None:
    """And the bot is run by the interpreter that the others run it by."""
    made = kind(project, Places(project.root))
    assert made.argv()[1:] == ["-m", "supervisor", "dev"]
    (bot,) = load(project.root / "config.toml").bots.values()
    assert list(bot.command) == project.command
    assert bot.session == ID


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.__name__)
def test_each_peer_runs_the_same_command(kind: type[Tool], project: Project) -> None:
    """All that differs is who restarts it."""
    made = kind(project, Places(project.root))
    given = " ".join(made.argv())
    written = [path.read_text() for path in project.root.glob("*.con*") if path.is_file()]
    for word in project.command:
        assert any(word in text for text in (given, *written))


class Shell(Tool):
    """A tool that restarts nothing: a shell, and below it the bot."""

    name = program = "sh"

    def argv(self) -> list[str]:
        """Ignore being told to stop, and put the bot where no signal to our group reaches it."""
        return ["sh", "-c", f"trap '' TERM; setsid {' '.join(self.project.command)} & wait"]


def test_nothing_is_left_of_a_tool(project: Project) -> None:
    """Whatever a tool leaves alive is ended: here all of it. The bot is not the tool's own tree."""
    tool = Shell(project, Places(project.root))
    with tool.running():
        assert race.wait(lambda: tool.trace.online(0) is not None, 20)
        (life,) = tool.trace.read()
        assert procs.tree(tool.pid, {life.pid}) == [tool.pid]
        assert life.pid in procs.tree(tool.pid, set())
        assert procs.pss_bytes([tool.pid]) > 0
        fd = os.pidfd_open(life.pid)
        os.kill(tool.pid, signal.SIGKILL)
    try:
        assert race.wait(lambda: not Path(f"/proc/{life.pid}/cwd").exists(), 5)
    finally:
        os.close(fd)


@pytest.mark.long
def test_a_change_that_is_not_followed_is_not_none_too_many(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that restarts nothing has no count of restarts, and does not look better for it."""
    monkeypatch.setattr(crowds, "MOST_S", 0.2)
    monkeypatch.setattr(crowds, "FIRST_SETTLE_S", 0.1)
    monkeypatch.setattr(tools, "END_S", 0.2)
    crowds.prepare(project)
    row = crowds.measure(Shell(project, Places(project.root)))
    assert (row["burst"], row["back s"], row["branch"], row["slow save"]) == (None,) * 4
    assert (row["not followed"], row["offline at the end"]) == (3, 0)


class Slow(Stillhere):
    """Ours with a spare that is there when it was asked for the third time."""

    asked = 0

    def status(self) -> dict[str, Any]:
        """Return what is asked for here."""
        self.asked += 1
        return {"spare": {"pid": 1} if self.asked > 2 else None}


def test_a_save_waits_for_the_spare(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for ever, and not in the form that has none."""
    slow = Slow(project, Places(project.root))
    assert slow.prepared()
    assert slow.asked == 3
    assert NoSpare(project, Places(project.root)).prepared()
    monkeypatch.setattr(stillhere, "_SPARE_S", 0.1)
    assert not Stillhere(project, Places(project.root)).prepared()


def test_the_crowds_are_there_before_the_tool_starts(project: Project) -> None:
    """1,000 files, and two branches that differ in 500."""
    crowds.prepare(project)
    assert len(list((project.app / "burst").iterdir())) == crowds.BURST_FILES
    git = ["git", "diff", "--stat", "first", "second"]
    done = subprocess.run(git, cwd=project.root, check=True, capture_output=True, text=True)
    assert f"{crowds.BRANCH_FILES} files changed" in done.stdout


def test_the_realistic_bot_has_modules_of_its_own(tmp_path: Path) -> None:
    """Two hundred, each imported; the light one has none."""
    made = Project(tmp_path, REALISTIC, Path(sys.executable), contract=True, small_files=1)
    assert len(list((made.app / "parts").glob("part_*.py"))) == 200
    assert "from parts import part_199\n" in (made.app / "load.py").read_text()
    assert "aiohttp" in (made.app / "load.py").read_text()
    assert (made.app / "link.py").exists()
    for path in made.sources():
        compile(path.read_bytes(), str(path), "exec")


def test_ours_is_held_against_the_best_that_is_never_two() -> None:
    """A faster tool that ran two at once, or missed a save, is no measure."""
    doubles, misses = a_row("doubles", 50), a_row("misses", 60)
    doubles.overlaps, misses.missed = 1, 1
    rows = [doubles, misses, a_row("safe", 140), a_row("slow", 200), a_row("ours", 1, ours=True)]
    best = question.best_peer(rows, "light")
    assert best is not None
    assert best.tool == "safe"
    assert question.best_peer(rows, "realistic") is None


def test_bars_are_missed_when_they_are_missed() -> None:
    """Each promise is a bar, and what went wrong anywhere is counted."""
    name = OURS[0].name
    alone = {"light": (Samples([0.050]), Samples([0.060]))}
    good = question.Found(alone, [a_row("safe", 140), a_row(name, 80, ours=True)])
    good.rows[1].records = [{"detect_s": 0.008, "stop_s": 0.0}, {"detect_s": 0.010}]
    report = Report({})
    question.judge(report, good)
    assert report.missed == []
    assert question.phases(good.rows[1]) == {"detect": pytest.approx(9.0), "stop": 0.0}
    bad = question.Found(alone, [a_row("safe", 140), a_row(name, 120, ours=True)])
    bad.rows[1].overlaps = bad.rows[1].stale = 1
    bad.rows[1].records = [{"detect_s": 0.020}]
    bad.rows[1].pss_bytes = 50_000_000
    bad.crowds = [
        {
            "": name,
            "ours": True,
            "burst": 2,
            "branch": None,
            "slow save": 1,
            "slow: torn": 1,
            "not followed": 1,
        }
    ]
    bad.quick = {"missed": 0, "extra": 0, "stale": 1, "two at once": 0}
    bad.many = {"idle %": 0.5}
    report = Report({})
    question.judge(report, bad)
    assert sorted(bar.name.split(",")[0] for bar in report.bars if bar.verdict == MISSED) == [
        "10",
        "burst",
        "gap over the stop itself",
        "memory without spare",
        "not followed",
        "overlaps",
        "quick saves: stale",
        "save to detected",
        "save to ready of the best other's",
        "slow: torn",
        "stale",
    ]


def test_the_picture_is_drawn_or_said_to_be_missing(tmp_path: Path) -> None:
    """One file if matplotlib is there; nothing if restarts were not asked for."""
    report = Report({})
    assert picture.draw(report, tmp_path) == []
    rows = [a_row("safe", 140), a_row(OURS[0].name, 80, ours=True)]
    question.tell(report, question.Found({"light": (Samples([0.05]), Samples([0.06]))}, rows))
    (said,) = picture.draw(report, tmp_path)
    assert (tmp_path / "restart.png").exists() == (find_spec("matplotlib") is not None)
    assert "restart" in said


def test_what_was_compared_with_is_known_by_its_version(tmp_path: Path) -> None:
    """Of Node's packages and of Python's; what the system has is not ours to say."""
    described = tmp_path / "node" / "node_modules" / "nodemon" / "package.json"
    described.parent.mkdir(parents=True)
    described.write_text('{"version": "3.1.4"}')
    meta = (
        tmp_path / "tools" / "lib" / "python3.11" / "site-packages" / "watchfiles-1.3.0.dist-info"
    )
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: watchfiles\nVersion: 1.3.0\n")
    places = Places(tmp_path)
    versions = [places.version(name) for name in ("nodemon", "watchfiles", "pm2", "")]
    assert versions == ["3.1.4", "1.3.0", "", ""]


def test_what_installs_the_peers_is_a_shell_program() -> None:
    """It can be read by any shell, and wants a folder."""
    script = Path(__file__).with_name("install-peers")
    assert os.access(script, os.X_OK)
    subprocess.run([shutil.which("sh") or "sh", "-n", str(script)], check=True)
    assert subprocess.run([str(script)], check=False, capture_output=True).returncode
