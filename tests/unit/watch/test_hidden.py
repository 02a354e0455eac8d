"""What no watcher may look at: of all bots, found once, and shared."""

import os
from pathlib import Path

from supervisor.config import load
from supervisor.loop.house import hidden_by
from supervisor.watch.fingerprints import Tree
from supervisor.watch.hidden import Hidden

CONFIG = """
[bot.one]
command = ["python", "one.py"]
session = "1"

[bot.two]
command = ["python", "two.py"]
session = "2"
session_path = "two/auth"

[bot.three]
command = ["python", "three.py"]
session = "3"
session_files = ["three.session"]
"""


def test_each_bots_session_and_lock_are_hidden_wherever_they_lie(tmp_path: Path) -> None:
    """Also the lock beside a session that has a place of its own: another bot may watch that."""
    (tmp_path / "config.toml").write_text(CONFIG)
    found = hidden_by(load(tmp_path / "config.toml"))
    assert {
        tmp_path / "sessions",
        tmp_path / "sessions" / "session-1",
        tmp_path / "sessions" / ".session-1.lock",
        tmp_path / "two" / "auth",
        tmp_path / "two" / ".session-2.lock",
    } <= set(found.never)
    assert found.among == ((tmp_path, ("three.session",)),)


def test_two_hundred_trees_hold_one_list(tmp_path: Path) -> None:
    """However often more is hidden: each with its own would take megabytes."""
    never = [tmp_path / f"session-{number}" for number in range(200)]
    among = [(tmp_path, (f"{number}.session",)) for number in range(200)]
    roots = [tmp_path / "a", tmp_path / "b"]
    trees = [Tree([root], base=tmp_path, ignore=[], never=never, among=among) for root in roots]
    for _ in range(2):
        assert trees[0]._never is trees[1]._never
        assert trees[0]._among is trees[1]._among
        for tree in trees:
            tree.hide([tmp_path / "more", never[0]], [(tmp_path / "more", ("*.db",)), among[0]])
        assert (len(trees[0]._never), len(trees[0]._among)) == (201, 201)


def test_a_hidden_path_is_hidden_by_its_real_name_too(tmp_path: Path) -> None:
    """Through a link on the way, one at the end, one to itself; and where nothing is yet."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "real" / "end").symlink_to("deep")
    (tmp_path / "itself").symlink_to("itself")
    names = ["way/deep", "way/end", "way/end/x", "itself", "itself/x", "none/at/all", "real/deep"]
    for name in [*names, "/"]:
        path = os.path.join(tmp_path, name)  # noqa: PTH118 - the watcher's plain strings
        hidden = Hidden([path], ())
        assert hidden._real == {os.path.realpath(path)}
        assert hidden._both == {path, os.path.realpath(path)}
