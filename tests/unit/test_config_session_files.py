"""`session_files`: which names they are, and what they may never be."""

import fnmatch
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.config.patterns import COMPANIONS, around, covers, overlap
from supervisor.service.systemd.place import written
from supervisor.session.proof import sqlite_files
from tests.unit.configkit import problems, read

BOT = '[bot.{}]\ncommand = ["x"]\nsession_files = {}\n{}\n'


def test_the_session_lies_where_the_bot_works(tmp_path: Path) -> None:
    """In its `cwd`, or in `session_path`; a companion has none."""
    text = BOT.format("a", '["a.session"]', 'cwd = "app"')
    text += BOT.format("b", '["*.db"]', 'cwd = "app"\nsession_path = "data"')
    text += BOT.format("c", '["a.session"]', 'cwd = "app"\nsession = false')
    text += BOT.format("d", "[]", "")
    config = read(tmp_path, text)
    assert config.session_dir(config.bots["a"]) == tmp_path / "app"
    assert config.session_dir(config.bots["b"]) == tmp_path / "data"
    assert config.session_dir(config.bots["d"]) == tmp_path / "sessions" / "session-d"
    assert config.sessions_elsewhere() == {"a": tmp_path / "app", "b": tmp_path / "data"}
    assert config.session_parts() == {"a": ("a.session",), "b": ("*.db",)}


def test_a_service_may_write_where_the_session_lies(tmp_path: Path) -> None:
    """What comes back is made ready beside it: in that folder, not in the one above."""
    text = BOT.format("a", '["a.session"]', 'cwd = "app/deep"')
    text += BOT.format("b", "[]", 'session_path = "data/whole"')
    found = written(read(tmp_path, text))
    assert {tmp_path / "app" / "deep", tmp_path / "data"} <= set(found)
    assert tmp_path / "app" not in found


@pytest.mark.parametrize("name", ["", " ", "data/a.session", "..", "."])
def test_a_name_is_one_in_the_folder(tmp_path: Path, name: str) -> None:
    """Nothing deeper, and nothing above."""
    (problem,) = problems(tmp_path, BOT.format("a", f'["{name}"]', ""))
    assert "needs a list of names or patterns, without a slash" in problem


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ('["*"]', "config.toml"),
        ('["config.*"]', "config.toml"),
        ('["ses*"]', "session-state.json"),
        ('["sessions"]', "sessions"),
        ('[".session-cache", "x"]', ""),
        ('["*.json"]', "session-state.json"),
        ('["data"]', "data/deep/session"),
    ],
)
def test_no_pattern_is_of_what_is_not_the_session(tmp_path: Path, files: str, told: str) -> None:
    """The config, what the supervisor keeps, another bot's session: all would be moved with it."""
    text = BOT.format("a", files, "") + BOT.format("b", "[]", 'session_path = "data/deep/session"')
    if not told:  # ours by its name, which no pattern reaches
        read(tmp_path, text)
        return
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("config.toml: bot.a.session_files: found [")
    assert f"{told} would be moved with it" in problem


def test_the_snapshots_hold_no_session(tmp_path: Path) -> None:
    """Nor does a whole folder that is another session."""
    text = BOT.format("a", '["x"]', 'session_path = ".session-cache/deep"')
    (problem,) = problems(tmp_path, text)
    assert "needs a folder outside of" in problem
    text = BOT.format("a", '["x"]', 'session_path = "s"')
    text += BOT.format("b", "[]", 'session_path = "s"')
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("config.toml: bot.b.session_path: found ")


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("a.session", "b.session", True),
        ("a.session", "a.session", False),
        ("*.session", "a.session", False),
        ("*.session", "*.db", True),
        ("a*", "*b", False),
        ("a.db", "a.db-journal", False),
        ("a.db*", "a.db-wal", False),
    ],
)
def test_two_sessions_in_a_folder_share_no_name(
    tmp_path: Path, one: str, other: str, *, apart: bool
) -> None:
    """Not even one that is not there yet; in two folders they may have the same ones."""
    text = BOT.format("a", f'["{one}"]', "") + BOT.format("b", f'["{other}"]', "{}")
    read(tmp_path, text.format('cwd = "other"'))
    if apart:
        read(tmp_path, text.format(""))
        return
    (problem,) = problems(tmp_path, text.format(""))
    assert problem.startswith("config.toml: bot.b.session_files: found [")
    assert "(bot.a may)" in problem


def test_another_user_needs_a_folder(tmp_path: Path) -> None:
    """Where a bot writes at any time, nobody can move its files safely."""
    (problem,) = problems(tmp_path, BOT.format("a", '["x"]', 'user = "nobody"'))
    assert problem.startswith("config.toml: bot.a.session_files: found [")
    read(tmp_path, BOT.format("a", "[]", 'user = "nobody"'))


LETTERS = st.text("ab.-", max_size=5)
GLOBS = st.lists(
    st.sampled_from(["a", "b", "*", "?", ".", "-wal", "[ab]", "[!a]", "["]), max_size=4
).map("".join)


@settings(max_examples=100, deadline=None, database=None)
@given(one=GLOBS, other=GLOBS, name=LETTERS)
def test_what_is_of_both_is_an_overlap(one: str, other: str, name: str) -> None:
    """Whatever the globs: a name that two sessions would both take is always told before."""
    if covers((one,), name) and covers((other,), name):
        assert overlap(one, other)
        assert overlap(other, one)
    if "[" not in one:
        assert overlap(one, name.replace("*", "")) or not fnmatch.fnmatchcase(name, one)


def test_what_goes_with_a_name() -> None:
    """SQLite's companions, and for a watcher the drafts of who writes by a rename."""
    assert sqlite_files.COMPANIONS == COMPANIONS
    own = {"a.db", "a.db-wal", "a.db-journal", "a.db-shm"}
    drafts = {".a.db.swp", "a.db.tmp", "a.db.123.tmp", ".session-1.new", ".moving-ab"}
    others = {"a.db.py", "b.db", "a.db-walnut", "xa.db", "tmp"}
    assert {name for name in own | drafts | others if covers(("a.db",), name)} == own
    assert {name for name in own | drafts | others if around(("a.db",))(name)} == own | drafts
