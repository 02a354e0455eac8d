"""The store as a whole is not there, though the link had snapshots: nothing ends for it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.cli.session_check import told
from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore, SnapshotFailed, UnreadableBlob
from tests.unit.session.auditkit import checked
from tests.unit.session.damagekit import drop, empty, tear
from tests.unit.session.sessionkit import ID, Place, fill, tree, with_snapshots, write_key


def away(place: Place) -> None:
    """Move the store away; a note that was made before knows of its snapshots."""
    place.manager().note_state(ID, "restored")
    place.store.rename(place.root / "away")


def back(place: Place) -> None:
    """Put its manifests and packs back beside what is there now."""
    shutil.copytree(place.root / "away", place.store, dirs_exist_ok=True)


def no_device(live: Path) -> None:
    """Put fresh credentials in the place of the old ones."""
    (live / "creds.json").write_text("{}")


DAMAGES = {
    "gone": shutil.rmtree,
    "no creds": drop("creds.json"),
    "torn": tear("creds.json"),
    "no device": no_device,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("because", ["damaged", "pairing", "asked"])
def test_no_link_ends_for_it(place: Place, damage: Callable[[Path], object], because: str) -> None:
    """All waits until the store is back, and then the session comes back."""
    wanted = tree(with_snapshots(place, 3).folder(ID))
    away(place)
    damage(place.live)
    broken = tree(place.live)
    manager = place.manager()
    with pytest.raises(SupervisorError, match="up to 3 are not there any more") as refused:
        manager.restore(ID, because=because)  # type: ignore[arg-type]  # the parameters' str
    assert not isinstance(refused.value, NothingToRestore)
    assert "put them back" in refused.value.hint
    assert f"stillhere session clear {ID}" in refused.value.hint
    advice = told(checked(manager).as_json())
    assert any("put it back" in line for line in advice)
    assert not any("stillhere link" in line for line in advice)
    assert tree(place.live) == broken
    assert manager.record(ID).state == "linked"
    back(place)
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted


def test_who_gives_it_up_links_anew(place: Place) -> None:
    """As the hint says. What comes back later is of an ended link."""
    with_snapshots(place, 3)
    away(place)
    shutil.rmtree(place.live)
    manager = place.manager()
    manager.clear(ID)
    assert manager.record(ID).state == "closed"
    back(place)
    assert "cleared" in str(manager.info(ID)["why_not"])
    place.state.unlink()
    with pytest.raises(NothingToRestore):
        place.manager().restore(ID)


def test_what_is_no_json_waits_for_the_store(place: Place) -> None:
    """Nothing tells any more whether it was JSON: nobody starts with half a login for that."""
    path = place.live / "session.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"device": "4711", "key": "0123456789"}')
    manager = place.manager()
    manager.note_linked(ID, None)
    assert manager.backup(ID).verdict == "good"
    away(place)
    whole = path.read_bytes()
    assert place.manager().restore(ID).action == "kept"
    path.write_bytes(whole[:20])
    with pytest.raises(UnreadableBlob, match=r"session.json .* whether it was JSON is not known"):
        place.manager().restore(ID)
    back(place)
    assert place.manager().restore(ID).action == "restored"
    assert path.read_bytes() == whole


def test_a_whole_session_begins_anew_with_higher_numbers(place: Place) -> None:
    """A removed store stops no healthy bot's snapshots; the old ones may come back beside them."""
    with_snapshots(place, 3)
    away(place)
    manager = place.manager()
    assert "up to 3" in manager.snapshots_away(ID)
    assert manager.restore(ID).action == "kept"
    found = checked(manager)
    assert (found.check.verdict, found.ok) == ("passed", False)
    assert any("up to 3 are not there any more" in line for line in told(found.as_json()))
    write_key(place.live, "meanwhile")
    snapshot = manager.backup(ID)
    assert (snapshot.seq, snapshot.verdict) == (4, "good")
    assert manager.snapshots_away(ID) == ""
    back(place)
    shutil.rmtree(place.live)
    restored = place.manager().restore(ID).snapshot
    assert restored is not None
    assert restored.seq == 4
    assert tree(place.live)["keys/one"] == b"meanwhile"


def test_what_is_empty_may_have_held_something(place: Place) -> None:
    """The store would tell; a bot makes a new device of it."""
    place.live.mkdir(parents=True)
    (place.live / "auth.bin").write_bytes(b"key")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID)
    away(place)
    empty("auth.bin")(place.live)
    with pytest.raises(SupervisorError, match=r"auth\.bin is empty.* not there any more"):
        place.manager().check(ID)


def another_device(live: Path) -> None:
    """Put another device's session there."""
    shutil.rmtree(live)
    fill(live, device=2)


@pytest.mark.parametrize(
    "damage", [tear("creds.json"), tear("store.db"), another_device, no_device]
)
@pytest.mark.parametrize("hot", [True, False])
def test_a_session_that_is_not_whole_does_not(
    place: Place, damage: Callable[[Path], None], *, hot: bool
) -> None:
    """Its copy would stand for the good ones that are elsewhere."""
    manager = with_snapshots(place, 2)
    away(place)
    damage(place.live)
    manager = place.manager()
    with pytest.raises(SnapshotFailed, match="up to 2 are not there") as refused:
        manager.commit(manager.capture(ID, reason="x", generation=1, hot=hot))
    assert "put it back" in refused.value.hint
    assert place.manifests() == []


def test_what_turns_out_bad_does_not_stand_for_the_store(place: Place) -> None:
    """Only a copy that is worth something ends the waiting."""
    with_snapshots(place, 2)
    away(place)
    raw = bytearray((place.live / "store.db").read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    (place.live / "store.db").write_bytes(raw)
    manager = place.manager()
    assert manager.backup(ID).verdict == "bad"
    assert manager.snapshots_away(ID)
    with pytest.raises(SupervisorError, match="not there any more") as refused:
        manager.restore(ID)
    assert not isinstance(refused.value, NothingToRestore)


def test_an_older_store_that_lies_over_the_newer_waits_too(place: Place) -> None:
    """A disk was mounted over what was begun anew: nothing older comes back unasked."""
    with_snapshots(place, 2)
    away(place)
    write_key(place.live, "meanwhile")
    manager = place.manager()
    assert manager.backup(ID).seq == 3
    manager.note_state(ID, "restored")
    shutil.rmtree(place.store)
    back(place)
    shutil.rmtree(place.live)
    with pytest.raises(SupervisorError, match="snapshot 3 was taken") as refused:
        place.manager().restore(ID)
    assert "--snapshot 2" in refused.value.hint
    assert place.manager().restore(ID, "2").action == "restored"


def test_an_older_programs_file_knows_the_seal(place: Place) -> None:
    """It has no other word of what was taken."""
    manager: SessionManager = with_snapshots(place, 2)
    manager.commit(manager.capture(ID, reason="sealed", generation=1, hot=False))
    away(place)
    record = json.loads(place.state.read_text())
    del record["sessions"][ID]["newest"]
    assert record["sessions"][ID]["sealed"] == 2
    place.state.write_text(json.dumps(record))
    shutil.rmtree(place.live)
    with pytest.raises(SupervisorError, match="up to 2") as refused:
        place.manager().restore(ID)
    assert not isinstance(refused.value, NothingToRestore)
