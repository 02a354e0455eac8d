"""Which records make an alert, when it is told again, and when it is over."""

from pathlib import Path
from typing import Any

import pytest

from supervisor.service.alerting.cases import KINDS, Case, harmless
from supervisor.service.alerting.rules import NOT_UP_S, QUIET_S, Rules
from tests.unit.configkit import read
from tests.unit.service.alertkit import CONFIG, REPEAT_S, Story

GOOD = {"id": "1", "verdict": "good"}
CRASH = {"reason": "crash"}

# Of each kind: what opens it, and what ends it.
STORIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("pairing", {"event": "pairing"}, {"event": "verified"}),
    ("logged_out", {"event": "epoch_closed", "why": "a logout"}, {"event": "verified"}),
    ("conflict", {"event": "conflict", "pids": [7]}, {"event": "verified"}),
    ("failed", {"event": "failed", "why": "it crashed"}, {"event": "pairing"}),
    ("failed", {"event": "failed", "why": "it crashed"}, {"event": "verified"}),
    ("refused", {"event": "refused", "pid": 7}, {"event": "verified"}),
    ("snapshots", {"event": "snapshot_failed", "why": "full"}, {"event": "snapshot_taken"}),
    ("snapshots", {"event": "snapshots_away", "why": "gone"}, {"event": "sealed"}),
    ("store", {"event": "snapshots_checked", "damaged": 2}, {"event": "drill_passed"}),
    ("store", {"event": "drill_failed", "why": "no"}, {"event": "snapshots_checked"}),
    (
        "undecryptable",
        {"event": "undecryptable", "count": 3},
        {"event": "verified", "proof": "roundtrip"},
    ),
]


@pytest.mark.parametrize(("kind", "opens", "ends"), STORIES)
def test_each_kind_is_told_at_once_and_later_that_it_is_over(
    tmp_path: Path, kind: str, opens: dict[str, Any], ends: dict[str, Any]
) -> None:
    """Told when it begins; told to be over once it has been well for a minute, with how long."""
    story = Story(tmp_path)
    assert story.happens(**opens) == [f"{kind} open"]
    story.now += 10
    assert f"{kind} resolved" not in story.happens(**ends)
    assert f"{kind} resolved" not in story.passes(59)
    assert f"{kind} resolved" in story.passes(2)
    over = next(alert for alert in story.alerts if (alert.kind, alert.status) == (kind, "resolved"))
    assert (over.severity, over.what_to_do, over.fields["open_s"]) == ("info", "", 10.0)
    assert over.summary.startswith("echo: resolved: ")


def test_every_kind_has_a_story() -> None:
    """No kind is left without a test; `test` is sent by hand only."""
    by_time = {"not_up", "snapshot_age", "restarts", "test"}
    assert {kind for kind, *_ in STORIES} | by_time == set(KINDS)


def test_what_is_still_so_is_told_again_and_not_more_often(tmp_path: Path) -> None:
    """Every `repeat_s`, with the newest reason, however often it is reported."""
    story = Story(tmp_path)
    assert story.happens("failed", why="first") == ["failed open"]
    for _ in range(50):
        assert story.happens("failed", why="second") == []
    assert story.passes(REPEAT_S - 1) == []
    assert story.passes(1) == ["failed open"]
    assert story.passes(3 * REPEAT_S) == ["failed open"] * 3
    assert story.alerts[-1].fields == {"why": "second"}


def test_a_bot_that_goes_back_and_forth_is_not_told_each_time(tmp_path: Path) -> None:
    """A day of a failure every two minutes: some dozens of messages, not a thousand."""
    story = Story(tmp_path)
    told: list[str] = []
    for _ in range(720):
        told += story.happens("failed", why="again")
        told += story.passes(30)
        told += story.happens("verified", generation=1)
        told += story.passes(90)
    assert story.alerts[0].status == "open"
    assert len(told) <= 24 + 12


def test_what_was_said_last_is_never_better_than_what_is(tmp_path: Path) -> None:
    """Fails again after it was said to be well: told at once, not at the next `repeat_s`."""
    story = Story(tmp_path)
    story.happens("failed", why="one")
    story.happens("verified", generation=1)
    assert story.passes(61) == ["failed resolved"]
    assert story.happens("failed", why="two") == ["failed open"]


def test_who_is_not_online_for_long_is_told_of(tmp_path: Path) -> None:
    """From the first trouble on, whichever it was; online in time: nobody hears of it."""
    story = Story(tmp_path)
    assert story.happens("backoff") == []
    assert story.passes(NOT_UP_S - 1) == []
    assert story.happens("offline") == []
    assert story.passes(1) == ["not_up open"]
    story.happens("verified", generation=1)
    assert story.passes(60) == ["not_up resolved"]
    story.happens("late")
    story.passes(NOT_UP_S - 1)
    story.happens("verified", generation=2)
    assert story.passes(2 * NOT_UP_S) == []


def test_a_bot_whose_network_came_back_by_itself_is_well(tmp_path: Path) -> None:
    """It was up all the time, so nothing is verified anew: its link says it."""
    story = Story(tmp_path)
    story.happens("verified", generation=1)
    story.happens("offline")
    story.happens("session_state", state="restored")
    assert story.passes(2 * NOT_UP_S) == []


def test_a_third_restart_that_nobody_asked_for_is_told_of(tmp_path: Path) -> None:
    """Within an hour; those that a person asked for do not count; over after an hour's quiet."""
    story = Story(tmp_path)
    assert story.happens("restarted", record=CRASH) == []
    for _ in range(5):
        assert story.happens("restarted", record={"reason": "change"}) == []
    assert story.happens("restarted", record={"reason": "hang"}) == []
    assert story.happens("restarted", record={"reason": "limit"}) == ["restarts open"]
    assert story.alerts[-1].fields == {"reason": "limit"}
    assert "restarts resolved" in story.passes(QUIET_S + 61)


def test_restarts_far_apart_are_none_of_anybodys_business(tmp_path: Path) -> None:
    """One in forty minutes, for a day: no three within an hour."""
    story = Story(tmp_path)
    for _ in range(36):
        assert story.happens("restarted", record=CRASH) == []
        assert story.passes(2400) == []


def test_an_old_snapshot_is_told_of_while_the_bot_is_up(tmp_path: Path) -> None:
    """Only time that the bot is up counts, and a good snapshot ends it."""
    limit_s = 2 * read(tmp_path, CONFIG).alerts.snapshot_age_s
    text = CONFIG.replace("repeat_s = 3600", f"repeat_s = 3600\nsnapshot_age_s = {limit_s}")
    story = Story(tmp_path, text)
    story.happens("session_checked", files=3)
    story.happens("verified", generation=1)
    assert story.passes(limit_s - 10) == []
    story.happens("exited", generation=1)
    assert story.passes(5 * limit_s) == []
    story.happens("verified", generation=2)
    assert story.passes(9) == []
    assert story.passes(1) == ["snapshot_age open"]
    story.happens("snapshot_taken", snapshot=GOOD)
    assert story.passes(60) == ["snapshot_age resolved"]


def test_a_snapshot_that_is_judged_bad_counts_no_more(tmp_path: Path) -> None:
    """Pending counts until its verdict; one that never is counts not at all."""
    story = Story(tmp_path)
    limit_s = read(tmp_path, CONFIG).alerts.snapshot_age_s
    story.happens("verified", generation=1)
    story.happens("snapshot_taken", snapshot={"id": "0", "verdict": "good"})
    story.passes(limit_s / 2)
    story.happens("snapshot_taken", snapshot={"id": "1", "verdict": "pending"})
    assert story.passes(limit_s / 2) == []
    assert story.happens("snapshot_judged", snapshot="1") == ["snapshot_age open"]


def test_a_conflict_is_one_story(tmp_path: Path) -> None:
    """It ends in FAILED, which is no second alert; the pids are told, and nothing else."""
    story = Story(tmp_path)
    assert story.happens("conflict", pids=[7, "no"], token="t0ken") == ["conflict open"]  # noqa: S106 - looks like one, on purpose
    assert story.happens("failed", why="conflict") == []
    assert story.alerts[0].fields == {"pids": [7]}


def test_a_bot_that_is_stopped_needs_nobody(tmp_path: Path) -> None:
    """By a person: what is open is over. With the supervisor: nothing of it is told."""
    story = Story(tmp_path)
    story.happens("failed", why="x")
    story.happens("down")
    assert story.passes(60) == ["failed resolved"]
    assert story.happens("supervisor_stopping", bot="") == []
    assert story.happens("failed", why="x") == []


def test_another_config_forgets_bots_that_are_gone(tmp_path: Path) -> None:
    """What is open of the others stays so, and goes by the new times."""
    story = Story(tmp_path, CONFIG + '\n[bot.other]\ncommand = ["true"]\nready = { log = "x" }\n')
    story.happens("failed", why="x")
    story.happens("failed", bot="other", why="x")
    story.rules.configure(read(tmp_path, CONFIG.replace("3600", "600")))
    assert story.passes(600) == ["failed open"]
    assert {alert.bot for alert in story.alerts[2:]} == {"echo"}


def test_records_that_are_no_ones_business_are_passed_over(tmp_path: Path) -> None:
    """Unknown events, unknown bots, and fields that are missing."""
    story = Story(tmp_path)
    assert story.happens("nobody_knows_this") == []
    assert story.happens("failed", bot="stranger") == []
    assert story.happens("restarted", record="not one") == []
    assert story.happens("failed") == ["failed open"]


def test_the_message_is_what_the_document_promises(tmp_path: Path) -> None:
    """Its fields, in the version that is given."""
    story = Story(tmp_path)
    story.happens("failed", why="it crashed 6 times in 60 s")
    made = story.alerts[0].as_json()
    assert made.pop("t").endswith("Z")
    assert made == {
        "version": 1,
        "bot": "echo",
        "kind": "failed",
        "status": "open",
        "severity": "critical",
        "summary": "echo: it has FAILED: it crashed 6 times in 60 s",
        "what_to_do": "stillhere logs echo; mend it; then: stillhere start echo",
        "fields": {"why": "it crashed 6 times in 60 s"},
    }


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("no https://u:secret@host/token here", "no [URL] here"),
        ("can't open '/home/me/bots/creds.json'", "can't open '.../creds.json'"),
        ("two\nlines\t\x1b[31mred", "two lines ?[31mred"),
        ("x" * 1000, "x" * 300),
        (None, ""),
    ],
)
def test_a_reason_is_made_harmless(reason: str | None, told: str) -> None:
    """One short line, without URLs, and of a path its last part alone."""
    assert harmless(reason) == told


def test_the_wait_before_it_is_over_has_an_end() -> None:
    """However often it was too early: never longer than `repeat_s`, and no number overflows."""
    case = Case()
    case.open(0.0, REPEAT_S, "text", {})
    case.tell(0.0, "echo", "failed")
    for at in range(1, 5000):
        case.over(float(at))
        case.open(float(at), REPEAT_S, "text", {})
    case.over(5000.0)
    assert case.next_at(REPEAT_S) == 5000.0 + REPEAT_S


# `undecryptable` ends by itself when it would be told again.
@pytest.mark.parametrize(("kind", "opens", "ends"), STORIES[:-1])
def test_an_upgrade_forgets_nothing(
    tmp_path: Path, kind: str, opens: dict[str, Any], ends: dict[str, Any]
) -> None:
    """What is open stays so: nobody is told twice, all are told again in time, and of its end."""
    story = Story(tmp_path)
    story.happens(**opens)
    assert story.upgraded() == []
    assert f"{kind} open" in story.passes(REPEAT_S + 1)
    story.happens(**ends)
    assert story.upgraded() == []
    assert f"{kind} resolved" in story.passes(REPEAT_S)
    assert story.upgraded() == []


def test_a_bot_that_runs_through_an_upgrade_is_watched_on(tmp_path: Path) -> None:
    """The age of its newest snapshot goes on to be counted."""
    story = Story(tmp_path)
    story.happens("verified", generation=1)
    story.happens("snapshot_taken", snapshot=GOOD)
    story.passes(2000)
    assert story.upgraded() == []
    assert story.passes(1599) == []
    assert story.passes(2) == ["snapshot_age open"]


def test_what_did_not_get_there_before_an_upgrade_is_told_after_it(tmp_path: Path) -> None:
    """Messages that wait are not carried over; that they are due is."""
    story = Story(tmp_path)
    story.happens("failed", why="it crashed")
    assert story.upgraded(("echo", "failed"), ("gone", "failed")) == ["failed open"]
    story.happens("verified")
    assert story.passes(61) == ["failed resolved"]
    assert story.upgraded(("echo", "failed")) == ["failed resolved"]
    assert story.passes(REPEAT_S * 3) == []


def test_what_another_version_says_of_alerts_harms_nothing(tmp_path: Path) -> None:
    """A kind that is unknown here, or anything else that can't be read, begins anew."""
    story = Story(tmp_path)
    story.happens("failed", why="it crashed")
    carried = story.rules.carry(())
    carried["bots"]["echo"]["cases"]["unheard"] = carried["bots"]["echo"]["cases"]["failed"]
    rules = Rules(read(tmp_path, CONFIG), carried)
    assert [alert.kind for alert in rules.due(story.now + REPEAT_S)] == ["failed"]
    for strange in ({"bots": 7}, {"bots": {"echo": {"new": 1}}}, {"undelivered": [1]}, {"x": None}):
        assert Rules(read(tmp_path, CONFIG), strange).due(story.now + REPEAT_S) == []


@pytest.mark.timeout(30)
@pytest.mark.parametrize("letters", ["a", "a/", "/", "a ", "a:"])
def test_a_reason_without_end_holds_nobody_up(letters: str) -> None:
    """It is a bot's to give: the loop, and with it all other bots, would wait for its patterns."""
    assert len(harmless(letters * (1 << 20))) <= 300
    assert "secret" not in harmless("x" * 990 + " https://hooks.example/secret")
