"""The figures of many bots are what the bots and the kernel say, and wrong ones are seen."""

import os
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from supervisor.config import load
from tests.bench.many import picture, proc, question
from tests.bench.many.fleet import Fleet
from tests.bench.many.project import FIRST_VALUE, Project
from tests.bench.many.question import Saves
from tests.bench.many.traces import Life, Traces, outcome, overlaps
from tests.bench.report import Report

MS = 1_000_000
OLD = Life(1, 7, start=1 * MS, taken=2 * MS, online=3 * MS, term=100 * MS, offline=104 * MS)
NEW = Life(2, 8, start=90 * MS, taken=110 * MS, online=112 * MS)


def test_the_gap_is_from_the_old_one_s_sigterm_to_the_new_one_online() -> None:
    """And the way to ready begins with the save; nothing else came online."""
    found = outcome([OLD, NEW], saved_ns=50 * MS, value=8)
    assert found.gap_s == pytest.approx(0.012)
    assert found.ready_s == pytest.approx(0.062)
    assert (found.missed, found.extra, found.stale) == (False, 0, 0)
    assert overlaps([OLD, NEW]) == 0


def test_a_save_that_never_came_online_is_missed() -> None:
    """Also if the bot was restarted, with the old code: that one is stale."""
    assert outcome([OLD], saved_ns=50 * MS, value=8).missed
    again = Life(2, 7, start=90 * MS, taken=110 * MS, online=112 * MS)
    found = outcome([OLD, again], saved_ns=50 * MS, value=8)
    assert (found.missed, found.extra, found.stale) == (True, 1, 1)


def test_a_restart_too_many_is_seen() -> None:
    """One save is one restart."""
    more = Life(3, 8, start=200 * MS, taken=210 * MS, online=212 * MS)
    ended = Life(2, 8, start=90, taken=110 * MS, online=112 * MS, term=205 * MS, offline=206 * MS)
    found = outcome([OLD, ended, more], saved_ns=50 * MS, value=8)
    assert (found.missed, found.extra, found.stale) == (False, 1, 0)
    assert found.gap_s == pytest.approx(0.012)


def test_two_with_one_session_are_seen() -> None:
    """Whoever is given it before the other's last word, or without one, is a second."""
    early = Life(2, 8, start=90 * MS, taken=103 * MS, online=112 * MS)
    assert overlaps([OLD, early]) == 1
    silent = Life(1, 7, start=1, taken=2, online=3)
    assert overlaps([silent, NEW]) == 1
    waiting = Life(2, 8, start=50 * MS)  # a standby that was not needed
    assert overlaps([OLD, waiting, NEW]) == 0


def test_a_trace_is_read_on_as_it_grows(tmp_path: Path) -> None:
    """Half a line waits for its other half; a pid that comes again is another life."""
    trace = tmp_path / "one"
    traces = Traces(tmp_path, ["one"])
    assert traces.lives("one") == []
    trace.write_text("5 start 40 7\n6 onl")
    assert traces.lives("one") == [Life(40, 7, start=5)]
    with trace.open("a") as file:
        file.write("ine 40 7\n9 start 40 8\n")
    assert traces.lives("one") == [Life(40, 7, start=5, online=6), Life(40, 8, start=9)]
    assert traces.online("one", 6, 7)
    assert not traces.online("one", 6, 8)
    assert not traces.online("one", 7)


def test_the_light_bot_tells_its_life(tmp_path: Path) -> None:
    """Run as a supervisor runs it: which code, and all five instants in their order."""
    project = Project(tmp_path, 1)
    name = project.names[0]
    value, _ = project.save(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
        ears.bind(str(tmp_path / "ears"))
        ears.settimeout(10)
        bot = subprocess.Popen(
            [sys.executable, tmp_path / "bots" / name / "main.py"],
            env={
                "NOTIFY_SOCKET": str(tmp_path / "ears"),
                "STILLHERE_SESSION_DIR": str(tmp_path / "sessions" / f"session-{name}"),
            },
        )
        try:
            while b"READY=1" not in (said := ears.recv(4096)):
                assert said.startswith(b"X_STILLHERE_CAPS=standby")
            bot.send_signal(signal.SIGUSR2)
            assert ears.recv(4096).startswith(b"X_STILLHERE_CHECKPOINT=1")
            bot.send_signal(signal.SIGTERM)
            assert ears.recv(4096) == b"X_STILLHERE_RELEASED=1"
            assert bot.wait(10) == 0
        finally:
            bot.kill()
    (life,) = Traces(project.traces, project.names).lives(name)
    assert (life.pid, life.value) == (bot.pid, value)
    assert 0 < life.start < life.taken < life.online < life.term < life.offline


def test_the_project_is_one_that_our_config_accepts(tmp_path: Path) -> None:
    """Each bot watches its own folder; the saved file keeps its size."""
    project = Project(tmp_path, 3)
    bots = load(project.config).bots
    assert list(bots) == project.names
    assert {bot.standby for bot in bots.values()} == {"bot"}
    assert [[path.name for path in bot.watch] for bot in bots.values()] == [
        [name] for name in project.names
    ]
    file = tmp_path / "bots" / "bot001" / "value.py"
    before = file.read_text()
    value, saved_ns = project.save("bot001")
    assert (value, list(saved_ns)) == (FIRST_VALUE + 1, ["bot001"])
    assert file.read_text() == before.replace(str(FIRST_VALUE), str(value))


def test_a_real_fleet_is_measured(tmp_path: Path) -> None:
    """Two bots, one saved: it is back with that code, the other one never left."""
    project = Project(tmp_path, 2)
    left, right = project.names
    with Fleet.running(project, "dev") as fleet:
        assert fleet.started().missing == 0
        value, saved_ns = project.save(left)
        assert fleet.await_saved(value, saved_ns, 20)
        found = outcome(fleet.traces.lives(left), saved_ns[left], value)
        assert not found.missed
        assert found.gap_s is not None
        assert 0 < found.gap_s < (found.ready_s or 0)
        assert len([life for life in fleet.traces.lives(right) if life.online]) == 1
        reading = fleet.reading()
        assert reading.pss_bytes <= reading.rss_bytes
        assert reading.threads >= 1
        pids = fleet.traces.pids()
    assert {proc.state(pid) for pid in pids} == {"X"}


def test_another_process_s_work_is_counted() -> None:
    """All CPU time that it used, and none of ours."""
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
        assert proc.cpu_s(child.pid) >= 0.2
        assert proc.idle_share(child.pid, set(), 0.05) < 0.5
        child.kill()


def test_zombies_and_helpers_are_counted_bots_are_not() -> None:
    """A child that nobody waits for is a zombie; a live one is a helper, if it is no bot."""
    code = (
        "import os, subprocess, sys\n"
        "dead = subprocess.Popen(['true'])\n"
        "os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)\n"
        "live = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n"
        "print(live.pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        live = int(parent.stdout.readline())
        found = proc.Reading.of(parent.pid, set())
        assert (found.helpers, found.zombies) == (1, 1)
        assert found.helpers_pss_bytes > 0
        assert proc.Reading.of(parent.pid, {live}).helpers == 0
        parent.kill()
    os.kill(live, 0)  # its input ended with its parent: it goes by itself


def rest_row(bots: int, mode: str) -> dict[str, object]:
    """Return a row of the first table."""
    return {"bots": bots, "mode": mode, "all online s": 1.0, "idle %": 1.0, "PSS MB": 40.0} | {
        "not online": bots // 50,
        "helpers": 1,
        "helpers' PSS MB": 6.0,
        "threads": 3,
        "fds": 9,
    }


def saves(gap_s: float) -> Saves:
    """Return what came of one save."""
    found = Saves()
    found.add(outcome([OLD, NEW], saved_ns=50 * MS, value=8))
    found.gaps.values[:] = [gap_s]
    return found


def test_each_promise_can_be_missed(tmp_path: Path) -> None:
    """Memory with helpers, a gap that grew, one long gap of many, one stale save."""
    report = Report({})
    few, many = {"one": saves(0.01), "all": saves(0.01)}, {"one": saves(0.03), "all": saves(0.2)}
    few["all"].stale = 1
    rest = [rest_row(1, "dev"), rest_row(50, "dev")]
    question.judge(report, rest, {1: few, 50: many})
    assert [bar.name for bar in report.missed] == [
        "50 bots, dev: memory, helpers too",
        "one of 50: gap over that of one alone",
        "50 at once: longest gap",
        "bots that did not start, all starts together",
        "stale, all saves together",
    ]
    question.tell(report, rest, {1: few, 50: many})
    shown = {table["name"]: table["rows"] for table in report.tables}[question.RESTARTS]
    assert [row["gap ms"] for row in shown] == [10.0, 10.0, 30.0, 200.0]
    assert shown[0]["save to ready ms"] == pytest.approx(62)
    told = picture.draw(report, tmp_path)
    drawn = find_spec("matplotlib") is not None
    assert (tmp_path / "many.png").exists() is drawn
    assert (str(tmp_path) in told[0]) is drawn
    assert picture.draw(Report({}), tmp_path) == []
