"""The session: all or nothing, at rest two files, and nothing that pretends to be it."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from bot.keys import BoxKey, Identity, b64
from bot.session import Creds, Reminder, SessionLostError, Store, load_creds, save_new


def made(folder: Path) -> Creds:
    """Write a session."""
    identity = Identity()
    creds = Creds(
        device="1.1",
        account="1",
        private=b64(identity.private),
        fingerprint=identity.fingerprint,
        phone_sign="",
        phone_key="",
        linked_at=0,
    )
    save_new(folder, creds, BoxKey())
    return creds


def opened(folder: Path) -> Store:
    """Write a session and open its store."""
    return Store.open(folder / "store.db", made(folder).fingerprint)


def test_a_new_session_is_two_private_files(tmp_path: Path) -> None:
    """Nothing else is left behind, nothing is readable by others, and it can be loaded."""
    creds = made(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["creds.json", "store.db"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    assert load_creds(tmp_path) == creds
    store = Store.open(tmp_path / "store.db", creds.fingerprint)
    assert store.key(1) is not None
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["creds.json", "store.db"]


def test_a_linked_folder_is_not_linked_over(tmp_path: Path) -> None:
    """An existing creds.json, readable or not, is never overwritten."""
    assert load_creds(tmp_path) is None
    (tmp_path / "creds.json").write_text("{")
    with pytest.raises(SessionLostError, match="not overwritten"):
        made(tmp_path)
    with pytest.raises(SessionLostError, match="can't be read"):
        load_creds(tmp_path)
    assert (tmp_path / "creds.json").read_text() == "{"


@pytest.mark.parametrize("content", ["", "null", "[]", '{"device": 1}', "[" * 100_000])
def test_unreadable_creds_are_lost_and_not_quoted(tmp_path: Path, content: str) -> None:
    """Each kind of damage has a reason that does not quote the file."""
    (tmp_path / "creds.json").write_text(content)
    with pytest.raises(SessionLostError, match=r"creds\.json can't be read \(\w+\)"):
        load_creds(tmp_path)


def test_creds_with_another_key_are_lost(tmp_path: Path) -> None:
    """The fingerprint must be the key's."""
    made(tmp_path)
    kept = json.loads((tmp_path / "creds.json").read_text())
    kept["private"] = b64(Identity().private)
    (tmp_path / "creds.json").write_text(json.dumps(kept))
    with pytest.raises(SessionLostError, match="fingerprint"):
        load_creds(tmp_path)


def test_a_store_that_is_not_ours_is_refused_and_left(tmp_path: Path) -> None:
    """Missing, empty, torn, or another device's: refused, and the file stays as it is."""
    fingerprint = made(tmp_path).fingerprint
    path = tmp_path / "store.db"
    good = path.read_bytes()
    for content, why in (
        (b"", "empty"),
        (b"x" * 5000, "damaged"),
        (good[: len(good) // 2], "damaged"),
        (good, "another device"),
    ):
        path.write_bytes(content)
        with pytest.raises(SessionLostError, match=why):
            Store.open(path, fingerprint if why != "another device" else "other")
        assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(SessionLostError, match="missing"):
        Store.open(path, fingerprint)
    assert not path.exists()


def test_linking_anew_keeps_the_user_s_notes(tmp_path: Path) -> None:
    """A folder that lost its creds.json gets new keys; notes and reminders are carried over."""
    store = opened(tmp_path)
    old_key = store.key(1)
    store.add_note("mine")
    store.add_reminder(Reminder("r", 1.0, "later"))
    store.close()
    (tmp_path / "creds.json").unlink()
    store = opened(tmp_path)
    new_key = store.key(1)
    assert old_key is not None
    assert new_key is not None
    assert old_key.private != new_key.private
    assert (store.notes(), store.reminders()) == (["mine"], [Reminder("r", 1.0, "later")])
    store.close()


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """What a failed transaction wrote is gone; a failed attempt undoes only its own part."""
    store = opened(tmp_path)

    async def failing() -> None:
        async with store.transaction():
            store.note_handled("m1", "answer")
            raise ZeroDivisionError

    def half() -> None:
        with store.attempt():
            store.add_note("half")
            raise ZeroDivisionError

    async def scene() -> None:
        with pytest.raises(ZeroDivisionError):
            await failing()
        async with store.transaction():
            with pytest.raises(ZeroDivisionError):
                half()
            store.note_handled("m2", "answer")

    asyncio.run(scene())
    assert (store.answer_to("m1"), store.answer_to("m2"), store.notes()) == (None, "answer", [])
    store.close()


def test_keys_move_forward(tmp_path: Path) -> None:
    """The next key is made once; older ones can be dropped for good."""
    store = opened(tmp_path)
    second = store.make_key(2)
    assert store.make_key(2).private == second.private
    store.drop_keys_below(2)
    assert store.key(1) is None
    assert store.key(2) is not None
    store.close()


def test_a_checkpoint_empties_the_log(tmp_path: Path) -> None:
    """After a checkpoint the database file alone holds all, while the bot runs on."""
    store = opened(tmp_path)
    store.add_note("flushed")
    asyncio.run(store.checkpoint())
    alone = tmp_path / "alone.db"
    alone.write_bytes((tmp_path / "store.db").read_bytes())
    copy = sqlite3.connect(alone)
    assert copy.execute("SELECT text FROM notes").fetchall() == [("flushed",)]
    copy.close()
    store.close()
