"""Each kind of session is known by its files: what is cache, what must be there, whose it is."""

import base64
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.proof import checks
from supervisor.session.proof.profile import (
    KNOWN,
    expected_identity,
    identity_problems,
    left_out,
    profile_for,
    unsettled,
)
from supervisor.session.scan import scan
from tests.unit.session.kindkit import INDEXED, PUBLIC, baileys, chromium
from tests.unit.session.leveldbkit import Set
from tests.unit.session.sessionkit import ID, Place, fill


def linked(place: Place) -> SessionManager:
    """Return a manager of the session that lies there, with a good snapshot of it."""
    manager = place.manager()
    manager.note_linked(ID, None)
    place.clock.now += 60  # a browser's session is on the disk only a while after the login
    assert manager.backup(ID).verdict == "good"
    return manager


# --- which kind -----------------------------------------------------------------------------


def test_each_kind_is_known_by_its_files(tmp_path: Path) -> None:
    """And what looks like none of them is any bot's."""
    fill(tmp_path / "shipped")
    baileys(tmp_path / "baileys")
    chromium(tmp_path / "chromium")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "creds.json").write_text('{"noiseKey": 1}')
    names = {folder.name: profile_for(folder).name for folder in tmp_path.iterdir()}
    assert names == {
        "shipped": "stillhere",
        "baileys": "baileys",
        "chromium": "chromium",
        "other": "generic",
    }


def test_what_remoteauth_leaves_is_a_chromium_profile_too(tmp_path: Path) -> None:
    """It keeps two folders of it, and no file beside them."""
    folder = chromium(tmp_path / "chromium")
    (folder / "Local State").unlink()
    (folder / "Default" / "Preferences").unlink()
    assert profile_for(folder).name == "chromium"


def test_a_browsers_session_is_not_good_right_after_its_login(place: Place) -> None:
    """Cookies reach the disk half a minute later: a copy before that is fuzzy, and says so."""
    chromium(place.live)
    manager = place.manager()
    manager.note_linked(ID, None)
    early = manager.backup(ID)
    assert early.verdict == "fuzzy"
    assert "after the login" in manager.store.find(ID, early.id).why
    place.clock.now += 40
    assert manager.backup(ID).verdict == "good"


# --- Chromium -------------------------------------------------------------------------------


def test_only_a_browsers_caches_are_left_out(place: Place) -> None:
    """A plain bot's own folder called Cache is a part of its session."""
    chromium(place.live)
    manager = linked(place)
    notes = manager.store.find(ID, manager.snapshots(ID)[-1].id).notes
    assert len(notes) == 1
    assert notes[0].startswith("8 entries left out that a chromium session makes anew: Cache, ")
    shutil.rmtree(place.live)
    assert manager.restore(ID).action == "restored"
    found = {path.name for path in place.live.rglob("*")}
    assert found.isdisjoint({"Cache", "Code Cache", "GPUCache", "DawnWebGPUCache", "LOCK"})
    assert "SingletonLock" not in found
    assert {"Local State", "Preferences", "Cookies", "CURRENT", "000009.ldb"} <= found
    own = scan(place.root, KNOWN["generic"].excludes).seen
    (place.root / "Cache").mkdir()
    assert "Cache" in scan(place.root, KNOWN["generic"].excludes).seen.keys() - own.keys()


def test_what_is_left_out_is_said_once() -> None:
    """As a count and the names, not file by file."""
    profile = KNOWN["chromium"]
    assert left_out(profile, []) == ""
    paths = [f"Default/{name}" for name in ("Cache", "GPUCache", "a/LOCK", "b/LOCK")]
    said = left_out(profile, paths)
    assert said == "4 entries left out that a chromium session makes anew: Cache, GPUCache, LOCK"
    many = left_out(profile, [f"n{number}" for number in range(9)])
    assert many.endswith("n5 and 3 more names")


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-000002"])
@pytest.mark.parametrize("where", [f"Default/IndexedDB/{INDEXED}", "Default/Local Storage/leveldb"])
def test_half_a_current_or_manifest_is_damage(place: Place, where: str, name: str) -> None:
    """The browser would start with it, with the key gone."""
    chromium(place.live)
    manager = linked(place)
    path = place.live / where / name
    os.truncate(path, path.stat().st_size // 2)
    assert manager.check(ID).verdict == "damaged"
    assert manager.backup(ID).verdict == "bad"


def test_what_the_browser_makes_anew_is_not_proved(place: Place) -> None:
    """A broken Session Storage costs no login, so it must not cost a restore either."""
    chromium(place.live)
    manager = linked(place)
    (place.live / "Default" / "Session Storage" / "CURRENT").write_bytes(b"MANI")
    assert manager.check(ID).verdict == "passed"


@pytest.mark.parametrize("lost", ["Local Storage", f"IndexedDB/{INDEXED}", "Cookies"])
def test_a_store_that_was_there_and_is_gone_is_damage(place: Place, lost: str) -> None:
    """The browser makes it anew, with nothing in it; another site's database may go."""
    chromium(place.live)
    other = Set().write(place.live / "Default/IndexedDB/https_ads.example_0.indexeddb.leveldb")
    manager = linked(place)
    shutil.rmtree(other)
    assert manager.check(ID).verdict == "passed"
    path = place.live / "Default" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert f"Default/{lost}" in manager.check(ID).why
    assert manager.backup(ID).verdict == "bad"
    assert manager.restore(ID).action == "restored"
    assert path.exists()


def test_cookies_may_move_as_the_browser_moved_them(place: Place) -> None:
    """From the profile's folder into Network/, in Chromium 96."""
    chromium(place.live)
    manager = linked(place)
    (place.live / "Default/Network").mkdir()
    (place.live / "Default/Cookies").rename(place.live / "Default/Network/Cookies")
    assert manager.check(ID).verdict == "passed"


def test_a_profile_without_any_store_is_no_session(place: Place) -> None:
    """One of the places where a login may lie must be there, also without a snapshot."""
    chromium(place.live)
    manager = place.manager()
    manager.note_linked(ID, None)
    for folder in ("Local Storage", "IndexedDB"):
        shutil.rmtree(place.live / "Default" / folder)
    assert manager.check(ID).verdict == "passed", "the cookies are there"
    (place.live / "Default" / "Cookies").unlink()
    assert "is missing or empty" in manager.check(ID).why


def test_a_copy_too_soon_after_the_login_is_doubted() -> None:
    """Chromium writes cookies 30 s late; other kinds write at once."""
    profile = KNOWN["chromium"]
    assert "copied 20 s after the login" in unsettled(profile, 100.0, 120.0)
    assert unsettled(profile, 100.0, 136.0) == ""
    assert unsettled(profile, None, 120.0) == ""
    assert unsettled(profile, 100.0, 95.0), "the clock was set back a little"
    assert unsettled(profile, 100.0, -9000.0) == ""
    assert unsettled(KNOWN["generic"], 100.0, 100.0) == ""


# --- Baileys --------------------------------------------------------------------------------


def test_baileys_says_at_rest_whose_device_it_is(tmp_path: Path) -> None:
    """The device and a hash of its public key; never the key, and the private one least."""
    profile = KNOWN["baileys"]
    identity = profile.identity(baileys(tmp_path))
    assert identity is not None
    assert identity.startswith("971505760056:12@s.whatsapp.net:")
    fingerprint = identity.rpartition(":")[2]
    assert len(fingerprint) == 16
    assert fingerprint not in (PUBLIC.hex(), base64.b64encode(PUBLIC).decode())
    assert profile.identity(baileys(tmp_path, public=b"\5" + PUBLIC)) == identity
    assert profile.identity(baileys(tmp_path, public=PUBLIC[::-1])) != identity
    assert profile.identity(baileys(tmp_path, linked=False)) is None


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{}",
        b'{"noiseKey": {}, "registrationId": 4}',
        b"[1]",
        b'{"me": {"id": "971"}, "signedIdentityKey"',
    ],
)
def test_broken_credentials_are_damage_and_come_back(place: Place, broken: bytes) -> None:
    """Baileys would silently make a new device of them."""
    baileys(place.live)
    manager = linked(place)
    whole = (place.live / "creds.json").read_bytes()
    (place.live / "creds.json").write_bytes(broken)
    for quick in (True, False):
        assert "creds.json" in manager.check(ID, quick=quick).why
    assert manager.backup(ID).verdict == "bad"
    assert manager.restore(ID).action == "restored"
    assert (place.live / "creds.json").read_bytes() == whole


def test_a_torn_key_is_damage(place: Place) -> None:
    """Every file of the set must be JSON, once it was."""
    baileys(place.live)
    manager = linked(place)
    (place.live / "session-97150.0.json").write_text('{"key": ')
    assert "session-97150.0.json" in manager.check(ID, quick=True).why


def test_fresh_credentials_are_no_good_copy_of_a_linked_device(place: Place) -> None:
    """They parse, and are of nobody: such a copy never displaces a good one."""
    baileys(place.live)
    manager = linked(place)
    baileys(place.live, linked=False, public=PUBLIC[::-1])
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "bad"
    assert "whose device" in manager.store.find(ID, snapshot.id).why


def test_what_the_files_must_say_is_known_from_the_files_or_from_a_bot_with_the_same_words() -> (
    None
):
    """A bot's own name for its device is compared only where the files use it too."""
    shipped, other = KNOWN["stillhere"], KNOWN["baileys"]
    assert expected_identity(shipped, None, "1:aa") == "1:aa"
    assert expected_identity(other, None, "1:aa") is None
    assert expected_identity(other, "x:bb", "1:aa") == "x:bb"
    assert identity_problems(other, None, None) == identity_problems(other, "a", "b") == []
    assert identity_problems(other, None, "x:bb")


# --- the quick look -------------------------------------------------------------------------


def test_what_stat_proves_is_not_read_again(tmp_path: Path) -> None:
    """Only the others are; and what is not there, empty or torn is seen all the same."""
    folder = baileys(tmp_path)
    profile = KNOWN["baileys"]
    (folder / "pre-key-1.json").write_text("torn")
    seen = scan(folder, profile.excludes).seen
    formats = checks.formats_of(folder, seen, profile, {})
    assert [p.path for p in checks.content_problems(folder, seen, formats)] == ["pre-key-1.json"]
    trusted = {"pre-key-1.json"}
    assert checks.content_problems(folder, seen, formats, trusted) == []


# --- what is looked at again ----------------------------------------------------------------


def test_only_what_changed_is_opened_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest has the bytes of a good snapshot; a database goes with its journal, a set whole."""
    fill(place.live)
    Set().write(place.live / "set")
    for name in ("a", "b"):
        (place.live / f"{name}.json").write_text("{}")
    manager = linked(place)
    looked: list[set[str]] = []
    really = checks.formats_of

    def formats_of(*given: Any, **how: Any) -> dict[str, str]:
        looked.append(set(given[1]))
        return really(*given, **how)

    monkeypatch.setattr(checks, "formats_of", formats_of)
    (place.live / "a.json").write_text("{ }")
    assert manager.backup(ID).verdict == "good"
    (place.live / "store.db-journal").write_bytes(b"")
    assert manager.backup(ID).verdict == "good"
    (place.live / "set" / "CURRENT").write_bytes((place.live / "set" / "CURRENT").read_bytes() * 2)
    assert manager.backup(ID).verdict == "bad"
    assert looked[0] == {"a.json"}
    assert looked[1] == {"store.db", "store.db-journal"}
    assert {path.partition("/")[0] for path in looked[2]} == {"set"}
    assert len(looked[2]) > 2
