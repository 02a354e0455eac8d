"""The seal's head start, made while the bot stops: used where stat proves it, and nowhere else."""

import ctypes
import gc
import mmap
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.events import Sealed
from supervisor.core.policy import Keep
from supervisor.loop.session_work import SessionWork
from supervisor.session.checked import Checks
from supervisor.session.copying.capture import Copies
from supervisor.session.copying.hot import mapped
from supervisor.session.copying.stat_boot import file_clock_ns
from supervisor.session.manager import SessionManager
from supervisor.session.model import Check
from supervisor.session.proof.profile import GENERIC
from supervisor.session.scan import Seen, seen_from
from supervisor.session.storage.entries import Blob
from tests.unit.session.damagekit import DAMAGES
from tests.unit.session.kindkit import baileys
from tests.unit.session.sessionkit import ID, Place, tree, with_snapshots, write_key
from tests.unit.session.workkit import heads, worked

# More than any window within which a time tells nothing, and than any machine here is slow.
LATER_NS = 60_000_000_000


def _sealed(manager: SessionManager, head: Copies | None) -> str:
    """Seal with this head start and commit; return the snapshot's id."""
    capture = manager.capture(ID, reason="sealed", generation=1, hot=False, pre=head)
    snapshot = manager.commit(capture)
    assert snapshot.verdict == "good"
    return snapshot.id


def now(path: Path) -> Seen:
    """Return what stat says of a file."""
    seen = seen_from(path.stat())
    assert seen is not None
    return seen


def _exported(manager: SessionManager, snapshot: str, target: Path) -> object:
    return tree(manager.export(ID, target, snapshot))


def test_the_seal_reads_anewonly_what_changed_since(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied while the bot stopped, and is old enough for stat to tell, is not read."""
    manager = place.linked()
    write_key(place.live, "written before the end")
    head = manager.precapture(ID, haste=False)
    assert set(head.copied) >= {"keys/one"}
    head.scan_ns += LATER_NS  # as if that had been looked at long after it was written
    (place.live / "keys" / "two").write_bytes(b"written at the end")
    opened: list[str] = []
    really = os.open

    def noted(path: str, *args: int, **how: int) -> int:
        opened.append(str(path))
        return really(path, *args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", noted)
        capture = manager.capture(ID, reason="sealed", generation=1, hot=False, pre=head)
    assert str(place.live / "keys" / "two") in opened
    assert str(place.live / "keys" / "one") not in opened
    snapshot = manager.commit(capture)
    assert _exported(manager, snapshot.id, place.root / "out") == tree(place.live)


def test_no_rewriting_right_after_the_head_start_is_missed(place: Place) -> None:
    """Of the same size, in place; and in the same tick of a coarse clock, so that no time tells."""
    manager = place.linked()
    fd = os.open(place.live / "keys" / "one", os.O_RDWR)
    try:
        for number in range(60):
            os.pwrite(fd, f"before {number:4}".encode(), 0)
            head = manager.precapture(ID, haste=False)
            os.pwrite(fd, f"behind {number:4}".encode(), 0)
            if number % 2:
                head.seen["keys/one"] = now(place.live / "keys" / "one")
            capture = manager.capture(ID, reason="sealed", generation=1, hot=False, pre=head)
            again = manager.precapture(ID)
            kept, anew = capture.copies.copied["keys/one"], again.copied["keys/one"]
            assert [piece.hash for piece in kept.pieces] == [piece.hash for piece in anew.pieces]
            capture.close()
            again.spool.close()
    finally:
        os.close(fd)


def test_what_was_mapped_meanwhile_is_read_again(place: Place) -> None:
    """A write through a page that is dirty already moves no time; and the seal says so no more."""
    manager = place.linked()
    key = place.live / "keys" / "one"
    key.write_bytes(b"A" * 4096)
    with key.open("r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
        pages[0:1] = b"B"
        head = manager.precapture(ID, partial(frozenset, {key.stat().st_ino}), haste=False)
        head.scan_ns += LATER_NS
        head.seen["keys/one"] = now(place.live / "keys" / "one")
        ctypes.memmove(ctypes.addressof(ctypes.c_char.from_buffer(pages)), b"C", 1)
        gc.collect()  # what was borrowed of the pages
    capture = manager.capture(ID, reason="sealed", generation=1, hot=False, pre=head)
    assert capture.copies.seen["keys/one"] == now(
        place.live / "keys" / "one"
    )  # from now on stat tells
    snapshot = manager.commit(capture)
    assert _exported(manager, snapshot.id, place.root / "out") == tree(place.live)


def test_what_is_mapped_right_after_the_look_is_read_again(place: Place) -> None:
    """Its first write moves its times past the clock of the walk, however long the look took."""
    manager = place.linked()
    key = place.live / "keys" / "one"
    key.write_bytes(b"A" * 4096)
    with key.open("r+b") as file, ExitStack() as bot:

        def look() -> frozenset[int]:
            found = mapped([os.getpid()])
            pages = bot.enter_context(mmap.mmap(file.fileno(), 0))
            pages[0:1] = b"B"
            written_ns = file_clock_ns()
            while file_clock_ns() < written_ns + 20_000_000:
                pass  # more than a tick of the clock
            bot.callback(pages.__setitem__, slice(0, 1), b"C")
            return found

        head = manager.precapture(ID, look)
        bot.pop_all().close()
    capture = manager.capture(ID, reason="manual", generation=1, hot=True, pre=head)
    snapshot = manager.commit(capture)
    assert _exported(manager, snapshot.id, place.root / "out") == tree(place.live)


def test_a_session_that_becomes_of_a_kind_while_its_bot_stops_is_sealed_as_that(
    place: Place,
) -> None:
    """What the head start took it for holds only where nothing moved since."""
    place.live.mkdir(parents=True)
    (place.live / "notes").write_text("nothing that anybody knows")
    manager = place.manager()
    head = manager.precapture(ID, haste=False)
    assert head.profile is GENERIC
    baileys(place.live)
    (place.live / "notes").unlink()
    snapshot = _sealed(manager, head)
    assert manager.store.find(ID, snapshot).profile == "baileys"
    assert _exported(manager, snapshot, place.root / "out") == tree(place.live)


def test_nobody_looks_for_its_kind_while_the_bot_stands_still(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session of no kind is opened by all of them, which takes as long as to walk it."""
    place.live.mkdir(parents=True)
    (place.live / "notes").write_text("nothing that anybody knows")
    manager = place.manager()
    before = manager.precapture(ID)
    monkeypatch.setattr(manager, "_profile_of", lambda *_given: pytest.fail("it was looked for"))
    (place.live / "notes").write_text("and more of it")
    capture = manager.capture(ID, reason="stop", generation=1, hot=True, pre=before)
    assert capture.profile is GENERIC
    monkeypatch.undo()
    snapshot = manager.commit(capture)
    assert _exported(manager, snapshot.id, place.root / "out") == tree(place.live)


def test_a_head_start_on_what_was_pruned_meanwhile_is_not_used(place: Place) -> None:
    """It says that bytes are stored already, which are so no more."""
    manager = with_snapshots(place, 2)
    key = place.live / "keys" / "one"
    os.utime(key)  # the same bytes, and stat does not prove that
    head = manager.precapture(ID, haste=False)
    head.scan_ns += LATER_NS
    (pack,) = {blob.pack for blob in head.copied["keys/one"].pieces if isinstance(blob, Blob)}
    content = key.read_bytes()
    manager.keep = Keep(last=1, hourly=0, daily=0)
    for number in range(4):
        key.write_bytes(b"another %d" % number)
        assert manager.backup(ID).verdict == "good"
    assert pack not in place.packs()
    key.write_bytes(content)
    head.seen["keys/one"] = now(place.live / "keys" / "one")
    snapshot = _sealed(manager, head)
    assert _exported(manager, snapshot, place.root / "out") == tree(place.live)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_quick_look_that_skips_what_is_proved_says_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object]
) -> None:
    """While the last snapshot waits for its verdict, too: only what stat vouches for is skipped."""
    manager = place.linked()
    write_key(place.live, "before the stop")
    hot = manager.capture(ID, reason="stop", generation=1, hot=True)
    assert manager.commit(hot, validate=False).verdict == "pending"
    damage(place.live)
    quick = manager.check(ID, quick=True)
    assert quick.verdict != "passed" or damage is DAMAGES["database overwritten"]
    monkeypatch.setattr(Checks, "_proved", lambda *_given: frozenset())
    assert manager.check(ID, quick=True) == quick


def test_what_is_mapped_between_the_looks_is_read_again_by_the_next_snapshot(place: Place) -> None:
    """The page is dirty before the copy, and written after it: no time tells of that."""
    manager = place.linked()
    key = place.live / "keys" / "one"
    key.write_bytes(b"A" * 4096)
    head = manager.precapture(ID)
    with key.open("r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
        pages[0:1] = b"B"
        capture = manager.capture(
            ID,
            reason="manual",
            generation=1,
            hot=True,
            pre=head,
            mapped=lambda: mapped([os.getpid()]),
        )
        pages[0:1] = b"C"
    capture.copies.scan_ns += LATER_NS  # as if that had been looked at long after it was written
    manager.commit(capture)
    snapshot = manager.backup(ID)
    assert _exported(manager, snapshot.id, place.root / "out") == tree(place.live)


@pytest.mark.parametrize("end", ["no seal", "another stop"])
def test_a_head_start_that_no_seal_follows_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """After a crash, a restore, or the supervisor's end: its copies take no room any longer."""

    def use(work: SessionWork, manager: SessionManager) -> None:
        made = heads(manager, monkeypatch)
        work.begin_seal(generation=1)
        assert made[0].spool.get(0, 3) == b"key"
        if end == "no seal":
            work.commit_seals()
        else:
            work.begin_seal(generation=1)
        with pytest.raises(OSError):  # noqa: PT011 - of a spool that is closed
            made[0].spool.get(0, 3)
        assert not list((manager.store.tmp).iterdir())
        work.commit_seals()

    worked(tmp_path, use)


def test_the_seal_takes_the_head_start_and_commits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied while the bot stopped is what the snapshot holds."""

    def use(work: SessionWork, manager: SessionManager) -> None:
        made = heads(manager, monkeypatch)
        taken: list[Copies | None] = []
        really = manager.capture

        def noted(session_id: str, *, pre: Copies | None = None, **how: object) -> object:
            taken.append(pre)
            return really(session_id, pre=pre, **how)  # type: ignore[arg-type] # as it was given

        monkeypatch.setattr(manager, "capture", noted)
        work.begin_seal(generation=1)
        assert work.seal(7, generation=1) is not None
        work.commit_seals()
        assert taken == made
        (snapshot,) = manager.snapshots(work.id)
        assert tree(manager.export(work.id, tmp_path / "out", snapshot.id)) == {"key": b"key"}

    worked(tmp_path, use)


def test_a_head_start_that_fails_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seal does all of it then, and says what is wrong if that is still so."""

    def use(work: SessionWork, manager: SessionManager) -> None:
        scratch = manager.store.tmp
        manager.store.prepare()
        with monkeypatch.context() as patch:
            patch.setattr(
                type(manager.store), "prepare", lambda _self: scratch.joinpath("x").stat()
            )
            work.begin_seal(generation=1)
        assert work.seal(7, generation=1) is not None
        work.commit_seals()
        assert len(manager.snapshots(work.id)) == 1

    worked(tmp_path, use)


@pytest.mark.parametrize(
    "at_the_end", ["as it was", "more", "in the same tick", "a link", "emptied", "gone"]
)
def test_the_seal_looks_anewat_a_session_that_moved_and_at_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_the_end: str
) -> None:
    """What was found whole while the bot stopped, and lies there as it did, is whole."""

    def use(work: SessionWork, manager: SessionManager) -> None:
        key = Path(work.folder) / "key"
        manager.note_linked(work.id, None)
        assert manager.backup(work.id).verdict == "good"
        looked: list[object] = []
        really = manager.check

        def noted(session_id: str, **how: Any) -> Check:
            looked.append(how)
            return really(session_id, **how)

        monkeypatch.setattr(manager, "check", noted)
        key.write_bytes(b"new")
        work.begin_seal(generation=1)
        if at_the_end == "gone":
            key.unlink()
        elif at_the_end == "a link":
            key.with_name("link").symlink_to("key")
        elif at_the_end == "in the same tick":  # so that no time tells
            key.write_bytes(b"NEW")
            copies, _passed = work._head or pytest.fail("no head start")
            copies.seen["key"] = copies.found.seen["key"] = now(key)
        elif at_the_end != "as it was":
            key.write_bytes({"more": b"key and more", "emptied": b""}[at_the_end])
        intact = at_the_end not in ("emptied", "gone")
        assert work.seal(7, generation=1) == Sealed(7, intact=intact)
        assert len(looked) == (1 if at_the_end == "as it was" else 2)
        work.commit_seals()

    worked(tmp_path, use)
