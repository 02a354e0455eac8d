"""One owner: who does not own the session is told who does, and changes nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.core.errors import SessionBusy
from supervisor.session.model import NothingToCopy, SnapshotFailed
from tests.unit.session.sessionkit import ID, Place, tree

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from supervisor import SessionManager
root = Path(sys.argv[1])
manager = SessionManager(root / "sessions", root / ".session-cache", root / "session-state.json")
with manager.owning(sys.argv[2]):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_the_second_of_two_processes_is_refused(place: Place) -> None:
    """Every changing method says who has it; reading goes on; afterwards all work."""
    manager = place.linked()
    other = shutil.copytree(place.live, place.root / "other")
    wanted, state = tree(place.live), place.state.read_bytes()
    command = [sys.executable, "-c", HOLDER, str(place.root), ID]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "ready\n"
        for act in (
            lambda: manager.restore(ID),
            lambda: manager.restore_from_backup(ID),
            lambda: manager.backup(ID),
            lambda: manager.clear(ID),
            lambda: manager.import_(ID, other),
            lambda: manager.save_state(ID, a=1),
            lambda: manager.cleanup_old_backups(ID),
            lambda: manager.capture(ID, reason="x", generation=1, hot=False),
            lambda: manager.next_generation(ID),
        ):
            with pytest.raises(SessionBusy) as busy:
                act()
            assert busy.value.pid == holder.pid
        assert tree(place.live) == wanted
        assert place.state.read_bytes() == state
        assert manager.can_restore(ID)
        assert manager.check(ID).verdict == "passed"
        assert manager.info(ID)["restorable"]
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.wait(timeout=10) == 0
    assert manager.clear(ID)


def test_a_bot_that_survived_its_supervisor_is_in_the_way(place: Place) -> None:
    """Its session is neither replaced nor cleared, and a copy of it is fuzzy."""
    manager = place.linked()
    fd = manager.lock_for(ID).generation_fd(7)
    try:
        for act in (manager.restore, manager.clear):
            with pytest.raises(SessionBusy, match="generation 7"):
                act(ID)
        (place.live / "keys" / "one").write_text("still writing")
        assert manager.backup(ID).verdict == "fuzzy"
    finally:
        os.close(fd)
    assert manager.restore(ID).action == "kept"


def test_an_owned_manager_takes_no_lock(place: Place) -> None:
    """The runner has it, and lets the manager work."""
    manager = place.linked()
    with manager.lock_for(ID) as lock:
        assert lock.held
        place.manager(owned=True).note_qr(ID)
        with pytest.raises(SessionBusy):
            place.manager().note_qr(ID)


def test_several_steps_under_one_lock(place: Place) -> None:
    """The context keeps others out in between, and gives the lock back."""
    manager = place.linked()
    with manager.owning(ID):
        manager.note_qr(ID)
        manager.backup(ID)
        with pytest.raises(SessionBusy):
            place.manager().note_qr(ID)
    place.manager().note_qr(ID)


def test_an_empty_session_has_nothing_to_back_up(place: Place) -> None:
    """It is said where it would lie."""
    with pytest.raises(SnapshotFailed, match="no files") as failure:
        place.manager().backup(ID)
    assert str(place.live) in failure.value.hint
    assert place.manager().clear("nobody") is None


def test_a_session_that_somebody_writes_is_not_restored_or_cleared(place: Place) -> None:
    """What they write meanwhile would be lost; a reader is in nobody's way."""
    manager = place.linked()
    (place.live / "creds.json").write_text("{torn")
    program = "import sys; f = open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"
    for mode, refused in (("ab", True), ("rb", False)):
        command = [sys.executable, "-c", program, str(place.live / "keys" / "one"), mode]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            if refused:
                with pytest.raises(SessionBusy, match=f"process {process.pid} has files"):
                    manager.restore(ID)
                with pytest.raises(SessionBusy):
                    manager.clear(ID)
            else:
                assert manager.restore(ID).action == "restored"
            process.communicate()


def test_a_failed_backup_does_not_forget_that_it_was_cleared(place: Place) -> None:
    """There is nothing to copy: the session stays closed."""
    manager = place.linked()
    manager.clear(ID)
    before = manager.record(ID)
    with pytest.raises(NothingToCopy):
        manager.backup(ID)
    assert manager.record(ID) == before


def test_another_devices_session_is_no_good_copy_of_this_link(place: Place) -> None:
    """It never displaces a good one, and says whose it is."""
    manager = place.linked()
    good = manager.snapshots(ID)[-1]
    creds = {"device": 7, "fingerprint": "bb"}
    (place.live / "creds.json").write_text(json.dumps(creds))
    strange = manager.backup(ID)
    assert (strange.verdict, "another device" in strange.why) == ("fuzzy", True)
    assert manager.restore_from_backup(ID).snapshot == good
