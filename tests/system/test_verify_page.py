"""The page of `verify`, in a real Chromium: whatever a bot said is text, and nothing is amiss."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.verify.model import Metric, Outcome, Report, Restarted, Result
from supervisor.verify.page import page
from supervisor.verify.rows import ROWS
from tests.system.chromium import Chromium, chromium, needs_chromium

pytestmark = needs_chromium
HOSTILE = '"><script>document.title="hit"</script>\x1b[31m<img src=http://127.0.0.1:9/x>'
RECORD = {
    "generation": 4,
    "reason": "change",
    "mode": "standby",
    "proof": "roundtrip",
    "save_to_ready_s": 0.06,
    "gap_s": 0.02,
    "detect_s": 0.01,
    "quiet_s": 0.01,
    "standby_s": 0.02,
    "stop_s": 0.005,
    "activate_s": None,
    "ready_s": 0.015,
    "verify_s": 0.0,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """One browser for the tests of this file."""
    with chromium() as found:
        yield found


def report() -> Report:
    """A report with every verdict, and a bot that says what it should not."""
    outcomes = [
        Outcome(verdict="pass", did="did it", measured="0.06 s"),
        Outcome(verdict="fail", did="did it", measured=HOSTILE, why=HOSTILE),
        Outcome(verdict="not run", why="test 2 failed"),
        Outcome(verdict="n/a", why="it runs no browser"),
    ]
    whole = Report(bot="one", mode="scratch", version="0.1.0", began_at="2026-11-29T16:50:53Z")
    whole.results = [Result(row=row, outcome=outcomes[row.number % 4]) for row in ROWS]
    whole.metrics = [
        Metric(
            key="restore_s",
            name="restore time",
            target="< 10 s",
            measured="0.06 s",
            value=0.06,
            unit="s",
            verdict="pass",
        )
    ]
    whole.restarts = [Restarted(row="save", t="2026-11-29T16:51:00Z", record=RECORD)] * 3
    whole.notes = [HOSTILE]
    return whole


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_opens_and_nothing_is_amiss(browser: Chromium, tmp_path: Path, width: int) -> None:
    """No error in its console, nothing loaded, nothing run; readable on a phone, too."""
    path = tmp_path / "report.html"
    path.write_text(page(report()), "utf-8")
    browser.look_like(width=width, height=800)
    browser.go(path.as_uri())
    assert not browser.trouble
    assert browser.run("document.title").startswith("one: failed")
    assert HOSTILE[:40] in browser.run("document.body.innerText")
    assert browser.run("document.querySelectorAll('svg[role=img]').length") == 3
    label = browser.run("document.querySelector('svg').getAttribute('aria-label')")
    assert (
        label == "detect 10 ms, quiet 10 ms, standby 20 ms, stop 5 ms, ready 15 ms; offline 20 ms"
    )
    drawn = browser.run(
        "[...document.querySelector('svg').querySelectorAll('rect')].map(r => r.getBBox().width)"
    )
    assert [round(each) for each in drawn] == [167, 167, 333, 83, 250, 333]
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_what_is_hostile_would_be_seen(browser: Chromium, tmp_path: Path) -> None:
    """The test above can fail: the same words unescaped are trouble in the console."""
    path = tmp_path / "report.html"
    path.write_text(page(report()).replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"'))
    browser.go(path.as_uri())
    assert browser.trouble
