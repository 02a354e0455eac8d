"""What a new configuration changes: only the bots that it must, and nothing that has to stay."""

import signal
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.config import BotConfig, Config, ReadyCheck
from supervisor.config.preset import Preset
from supervisor.core.policy import Keep
from supervisor.service.reload import FIXED, LIVE, Changes, changes, different, problems
from tests.unit.configkit import read

TEXT = """
[bot.one]
command = ["true"]
[bot.two]
command = ["true"]
[bot.three]
command = ["true"]
"""
# Another value of each key of a bot, `name` aside: with another name it is another bot.
OTHER: dict[str, Any] = {
    "command": ("false",),
    "session": "other",
    "session_path": Path("/other"),
    "session_files": ("*.session",),
    "watch": (Path("/other"),),
    "watch_only": ("*.x",),
    "watch_in_service": True,
    "ignore": ("*.x",),
    "preset": "other",
    "cwd": Path("/other"),
    "env": {"A": "b"},
    "env_file": Path("/other/.env"),
    "ready": ReadyCheck(kind="log", value="up"),
    "standby": "warm",
    "user": "nobody",
    "stop_signal": signal.SIGINT,
    "stop_timeout_s": 1.25,
    "restore_timeout_s": 1.25,
    "start_timeout_s": 1.25,
    "checkpoint_timeout_s": 1.25,
    "settle_s": 1.25,
    "library": Preset(name="other"),
}
OTHER_INNER: dict[str, dict[str, Any]] = {
    "snapshots": {
        "every_s": 1.25,
        "keep": Keep(last=1, hourly=1, daily=1),
        "older": "auto",
        "freeze_timeout_ms": 7,
    },
    "restart": {
        "policy": "no",
        "backoff_s": (1.25, 2.0),
        "intensity": (1, 1.25),
        "no_retry": (99,),
    },
    "limits": {
        "memory_mb": 77,
        "memory_grace_s": 1.25,
        "alive": ReadyCheck(kind="tcp", value="localhost:1"),
        "alive_every_s": 1.25,
        "alive_misses": 77,
        "hang_signal": signal.SIGUSR1,
    },
}


@pytest.fixture
def old(tmp_path: Path) -> Config:
    """Three bots, all by their defaults."""
    return read(tmp_path, TEXT)


def with_bot(config: Config, name: str, **changed: Any) -> Config:
    """Return the configuration with other values of one bot."""
    return replace(config, bots={**config.bots, name: replace(config.bots[name], **changed)})


def with_bots(config: Config, *names: str) -> Config:
    """Return the configuration with these bots, in this order; unknown ones are new."""
    one = config.bots["one"]
    bots = {name: config.bots.get(name, replace(one, name=name, session=name)) for name in names}
    return replace(config, bots=bots)


def with_inner(config: Config, table: str, key: str, value: object) -> Config:
    """Return the configuration with another value in a table of the bot `two`."""
    inner = replace(getattr(config.bots["two"], table), **{key: value})
    return with_bot(config, "two", **{table: inner})


# One bot.
def test_each_key_of_a_bot_is_tried_here(old: Config) -> None:
    """A new key must be put on one side or the other, with thought."""
    compared = {field.name for field in fields(BotConfig) if field.compare}
    assert compared == {"name", *OTHER, *OTHER_INNER}
    assert {*OTHER, *OTHER_INNER} >= LIVE
    for table, keys in OTHER_INNER.items():
        names = {field.name for field in fields(getattr(old.bots["one"], table))}
        assert names == keys.keys() | ({"watchdog_s"} if table == "limits" else set())


@pytest.mark.parametrize("key", OTHER)
def test_a_bot_is_restarted_only_if_its_process_depends_on_the_key(key: str, old: Config) -> None:
    """What only the supervisor goes by is taken over while the bot runs."""
    assert getattr(old.bots["two"], key) != OTHER[key], "it is no other value"
    new = with_bot(old, "two", **{key: OTHER[key]})
    assert different(old, new, "two") == {key}
    live = key.endswith("_timeout_s") or key == "settle_s"
    assert (key in LIVE) is live
    assert changes(old, new) == (Changes(changed=("two",)) if live else Changes(restarted=("two",)))
    assert problems(old, new) == ()


@pytest.mark.parametrize(
    ("table", "key"), [(table, key) for table, keys in OTHER_INNER.items() for key in keys]
)
def test_snapshots_restarts_and_limits_change_while_it_runs(
    table: str, key: str, old: Config
) -> None:
    """A knob that is turned costs nobody a connection."""
    new = with_inner(old, table, key, OTHER_INNER[table][key])
    assert different(old, new, "two") == {table}
    assert changes(old, new) == Changes(changed=("two",))


@pytest.mark.parametrize(("before", "after"), [(None, 30.0), (30.0, 10.0), (30.0, None)])
def test_another_watchdog_needs_a_restart(
    before: float | None, after: float | None, old: Config
) -> None:
    """It was told at its start how often to speak (WATCHDOG_USEC)."""
    had = with_inner(old, "limits", "watchdog_s", before)
    new = with_inner(old, "limits", "watchdog_s", after)
    assert different(had, new, "two") == {"limits", "watchdog_s"}
    assert changes(had, new) == Changes(restarted=("two",))
    also = with_inner(new, "limits", "memory_mb", 77)
    assert changes(had, also) == Changes(restarted=("two",))


def test_one_key_that_needs_a_restart_is_enough(old: Config) -> None:
    """A bot is on one list only."""
    new = with_bot(old, "two", stop_timeout_s=1.25, command=("false",))
    assert changes(old, new) == Changes(restarted=("two",))


# All bots.
def test_the_same_text_changes_nothing(tmp_path: Path, old: Config) -> None:
    """Nor does one that differs only for a person."""
    assert changes(old, read(tmp_path, TEXT)) == Changes()
    assert changes(old, read(tmp_path, f"# a word\n{TEXT}")) == Changes()
    assert changes(old, with_bots(old, "three", "one", "two")) == Changes()


def test_who_comes_who_goes_and_who_differs(old: Config) -> None:
    """Each once, in the order of the new file; who goes, in that of the old one."""
    new = with_bots(old, "zoe", "three", "ann")
    new = with_bot(new, "three", stop_timeout_s=1.25)
    assert changes(old, new) == Changes(
        added=("zoe", "ann"), removed=("one", "two"), changed=("three",)
    )


def test_a_bot_of_another_name_is_another_bot(old: Config) -> None:
    """Though all else is the same, its session too."""
    two = replace(old.bots["two"], name="other")
    new = replace(old, bots={"one": old.bots["one"], "other": two, "three": old.bots["three"]})
    assert changes(old, new) == Changes(added=("other",), removed=("two",))


def test_what_is_no_bots_own_restarts_nobody(tmp_path: Path, old: Config) -> None:
    """Logs, metrics and alerts are taken over by the supervisor."""
    more = '[logs]\nrotate_mb = 7\n[metrics]\nlisten = "127.0.0.1:9"\n[alerts]\nrepeat_s = 77\n'
    new = read(tmp_path, TEXT + more)
    assert (new.logs, new.metrics, new.alerts) != (old.logs, old.metrics, old.alerts)
    assert changes(old, new) == Changes()
    assert problems(old, new) == ()


def test_only_the_chosen_bots_are_ours(old: Config) -> None:
    """`stillhere run one` neither starts nor stops another one's bots."""
    new = with_bot(with_bots(old, "one", "two", "new"), "two", command=("false",))
    assert changes(old, new, {"one"}) == Changes()
    assert changes(old, new, {"three", "one"}) == Changes(removed=("three",))
    assert changes(old, new, {"two"}) == Changes(restarted=("two",))
    assert changes(old, new, None) == Changes(
        added=("new",), removed=("three",), restarted=("two",)
    )


NAMES = st.lists(st.sampled_from("abcdef"), unique=True)
EDITS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["stop_timeout_s", "command"]))


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(
    before=NAMES,
    after=NAMES,
    edits=EDITS,
    chosen=st.none() | st.frozensets(st.sampled_from("abcdef")),
)
def test_each_bot_is_on_the_one_list_that_it_belongs_to(
    before: list[str],
    after: list[str],
    edits: dict[str, str],
    chosen: frozenset[str] | None,
    old: Config,
) -> None:
    """Whatever the two files are: nobody is forgotten, nobody is named twice, order is kept."""
    was, new = with_bots(old, *before), with_bots(old, *after)
    for name in edits.keys() & set(after):
        new = with_bot(new, name, **{edits[name]: OTHER[edits[name]]})
    found = changes(was, new, chosen)
    ours = set("abcdef") if chosen is None else chosen
    assert found.added == tuple(n for n in after if n in ours and n not in before)
    assert found.removed == tuple(n for n in before if n in ours and n not in after)
    both = [n for n in after if n in ours and n in before]
    assert found.changed == tuple(n for n in both if edits.get(n) == "stop_timeout_s")
    assert found.restarted == tuple(n for n in both if edits.get(n) == "command")


# What can't be taken.
@pytest.mark.parametrize("key", FIXED)
def test_where_everything_lies_can_not_move(key: str, old: Config) -> None:
    """What runs has it open and locked: the refusal names the key, both values and the remedy."""
    moved: Any = {key: Path("/other")}
    new = replace(old, **moved)
    (found,) = problems(old, new)
    assert f"supervisor.{key} was {getattr(old, key)}, and is /other" in found
    assert "needs a restart of the supervisor" in found
    assert str(new.path) in found


def test_every_problem_is_told_at_once(old: Config) -> None:
    """Nobody has to find them one by one."""
    new = replace(old, root=Path("/a"), sessions=Path("/b"), snapshots=Path("/c"), bots={})
    assert len(problems(old, new)) == 4


def test_one_of_our_bots_must_be_left(old: Config) -> None:
    """Else there would be a supervisor of nothing; to end it there is `stop`."""
    new = with_bots(old, "one", "new")
    assert problems(old, new) == ()
    assert problems(old, new, {"one", "two"}) == ()
    (found,) = problems(old, new, {"two", "three"})
    assert "none of the bots that run here is left" in found
    assert problems(old, replace(old, bots={})) == (found,)
