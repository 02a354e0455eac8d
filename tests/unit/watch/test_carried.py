"""What is known of the files is carried along: the next program finds all that was saved since."""

import json
import os
from pathlib import Path

from supervisor.core.plain import plain, rebuilt
from supervisor.watch.fingerprints import Known
from supervisor.watch.watcher import Watcher


def after(before: Watcher, folder: Path) -> Watcher:
    """Return the next program's watcher, which has taken the map over as it is written down."""
    known = before.carry()
    assert known is not None
    read = json.loads(json.dumps(plain(known)))
    following = Watcher([folder], base=folder)
    following.adopt({path: rebuilt(Known, each) for path, each in read.items()})
    return following


def looked(folder: Path) -> Watcher:
    """Return a watcher that has taken its baseline."""
    watcher = Watcher([folder], base=folder)
    assert watcher.check() is None
    return watcher


def test_what_was_saved_between_two_programs_is_found_once(tmp_path: Path) -> None:
    """Changed, added and deleted; also a change of the same size within the same tick."""
    for name in ("stays", "differs", "goes"):
        (tmp_path / f"{name}.py").write_text("a = 1\n")
    before = looked(tmp_path)
    (tmp_path / "differs.py").write_text("a = 2\n")
    (tmp_path / "goes.py").unlink()
    (tmp_path / "new.py").write_text("")
    following = after(before, tmp_path)
    found = following.check()
    assert found is not None
    assert found.paths == ("differs.py", "goes.py", "new.py")
    assert following.check() is None
    assert after(following, tmp_path).check() is None


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    """A new date is no change: no bot is restarted by an upgrade."""
    source = tmp_path / "a.py"
    source.write_text("a = 1\n")
    before = looked(tmp_path)
    os.utime(source, (1, 1))
    following = after(before, tmp_path)
    assert following.check() is None
    assert following.sources() == [source]


def test_one_that_has_not_looked_has_nothing_to_carry(tmp_path: Path) -> None:
    """The next program takes the baseline itself."""
    assert Watcher([tmp_path], base=tmp_path).carry() is None
