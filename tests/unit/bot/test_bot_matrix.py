"""The Matrix device without a server: what it refuses to open, and what is on the disk when."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "nio", reason="matrix-nio is not installed: pip install -e '.[matrix]', or `make test-matrix`"
)

import nio

from bot.session import SessionLostError
from bot.transports.matrix_device import Device
from bot.transports.matrix_errors import LoggedOutError, RefusedError, ServerError, must
from bot.transports.matrix_inbox import Inbox
from bot.transports.matrix_session import (
    CREDS,
    KEYS,
    STORE,
    Creds,
    check_keys,
    fingerprint,
    load_creds,
    save_creds,
)

TOKEN, PICKLE = "syt_a_secret_token", "a secret of the key file"
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


def creds_of(device: Device) -> Creds:
    """Return the creds of a device."""
    keys = device.olm.account.identity_keys
    return Creds(
        server=NOBODY,
        user="@bot:here",
        device="DEVICE",
        fingerprint=fingerprint(keys["ed25519"], keys["curve25519"]),
        linked_at=1.0,
        token=TOKEN,
        pickle=PICKLE,
    )


@contextmanager
def opened(folder: Path, name: str = "DEVICE") -> Iterator[Device]:
    """A device whose library has the key file open."""
    device = Device(folder, NOBODY, "@bot:here", PICKLE)
    device.restore_login("@bot:here", name, TOKEN)
    yield device
    device.store.database.close()


@pytest.fixture
def linked(tmp_path: Path) -> Creds:
    """The folder of a device that was linked, and its creds."""
    with opened(tmp_path) as device:
        creds = creds_of(device)
    save_creds(tmp_path, creds)
    return creds


def cut(path: Path) -> None:
    """Leave the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "garbage": lambda path: path.write_bytes(b"\x93not this\xff" * 500),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_key_file_is_refused_and_left_as_it_is(
    tmp_path: Path, linked: Creds, damage: Callable[[Path], object]
) -> None:
    """Before the library sees it, which would make a new key."""
    damage(tmp_path / KEYS)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SessionLostError, match=KEYS):
        check_keys(tmp_path, linked)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == left


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_creds_are_refused_and_no_secret_is_told(
    tmp_path: Path, linked: Creds, damage: Callable[[Path], object]
) -> None:
    """Also where they are gone: keys that are there belong to a device."""
    assert load_creds(tmp_path) == linked
    damage(tmp_path / CREDS)
    with pytest.raises(SessionLostError, match=CREDS) as lost:
        load_creds(tmp_path)
    assert TOKEN not in str(lost.value)
    assert PICKLE not in str(lost.value)
    assert TOKEN not in repr(linked)
    assert PICKLE not in repr(linked)


@pytest.mark.parametrize("field", ["token", "pickle", "device", "fingerprint"])
@pytest.mark.parametrize("value", ["", None, 7])
def test_creds_with_a_field_that_says_nothing_are_refused(
    tmp_path: Path, linked: Creds, field: str, value: object
) -> None:
    """Whole JSON is not whole creds."""
    assert linked.device == "DEVICE"
    found = json.loads((tmp_path / CREDS).read_text())
    (tmp_path / CREDS).write_text(json.dumps({**found, field: value}))
    with pytest.raises(SessionLostError, match=CREDS):
        load_creds(tmp_path)


def test_an_empty_folder_was_never_linked(tmp_path: Path) -> None:
    """That is a first login; one file of a session makes it a loss."""
    assert load_creds(tmp_path) is None
    (tmp_path / STORE).touch()
    with pytest.raises(SessionLostError, match=f"{CREDS} is missing"):
        load_creds(tmp_path)


def test_another_devices_key_is_refused(tmp_path: Path, linked: Creds) -> None:
    """Another account in the file, another file beside the creds, another password of it."""
    check_keys(tmp_path, linked)
    with sqlite3.connect(tmp_path / KEYS) as db:
        db.execute("UPDATE accounts SET device_id = 'OTHER'")
    db.close()
    with pytest.raises(SessionLostError, match="has no key of this device"):
        check_keys(tmp_path, linked)
    (tmp_path / KEYS).unlink()
    with opened(tmp_path):
        pass
    with pytest.raises(SessionLostError, match="another device's key"):
        check_keys(tmp_path, linked)
    wrong = Creds(**{**json.loads((tmp_path / CREDS).read_text()), "pickle": "another"})
    with pytest.raises(SessionLostError, match="of two sessions"):
        check_keys(tmp_path, wrong)


def test_keys_are_on_the_disk_before_they_are_published(tmp_path: Path, linked: Creds) -> None:
    """The upload fails here; what may have reached the server is in the file."""

    async def upload() -> set[str]:
        with opened(tmp_path) as device:
            with pytest.raises(OSError, match="connect"):
                await device.upload_keys()
            await device.close()
            return set(device.olm.account.one_time_keys["curve25519"].values())

    made = asyncio.run(upload())
    check_keys(tmp_path, linked)
    with opened(tmp_path) as again:
        assert set(again.olm.account.one_time_keys["curve25519"].values()) == made
    assert len(made) > 10


def test_a_sync_that_is_cut_off_changes_no_key(
    tmp_path: Path, linked: Creds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it brings is one transaction: a room's key is not half there."""

    async def half(device: Any, _response: Any) -> None:
        device.olm.account.generate_one_time_keys(3)
        device.olm.save_account()
        raise KeyboardInterrupt

    monkeypatch.setattr(nio.AsyncClient, "receive_response", half)
    with sqlite3.connect(tmp_path / KEYS) as db:
        before = db.execute("SELECT * FROM accounts").fetchall()
        with opened(tmp_path) as device, pytest.raises(KeyboardInterrupt):
            asyncio.run(device.receive_response(object()))
        assert db.execute("SELECT * FROM accounts").fetchall() == before
    db.close()
    check_keys(tmp_path, linked)


class Answer:
    """An HTTP answer, as far as it is looked at."""

    def __init__(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("M_UNKNOWN_TOKEN", 401, LoggedOutError),
        ("M_USER_LOCKED", 401, ServerError),
        (None, 401, ServerError),  # a proxy's word is no logout
        (None, 502, ServerError),
        (None, 200, ServerError),
        ("M_LIMIT_EXCEEDED", 429, ServerError),
        ("M_FORBIDDEN", 403, RefusedError),
        ("M_TOO_LARGE", 413, RefusedError),
    ],
)
def test_what_an_error_of_the_server_means(
    code: str | None, status: int, kind: type[Exception]
) -> None:
    """Only the homeserver's own word ends a session; only a refusal is final."""
    error = nio.ErrorResponse("in words", code)
    error.transport_response = Answer(status)
    with pytest.raises(kind, match="in words"):
        must(error)


class Timeline:
    """What a sync says of a room."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.limited = False
        self.prev_batch = "before"


def test_what_was_said_before_the_bot_came_is_not_its_business(tmp_path: Path) -> None:
    """A room's events count from the bot's own entry on."""

    def member(user: str, membership: str) -> Any:
        source = {
            "type": "m.room.member",
            "event_id": f"${user}{membership}",
            "sender": user,
            "origin_server_ts": 1,
            "state_key": user,
            "content": {"membership": membership},
        }
        return nio.Event.parse_event(source)

    class Nothing:
        def kept(self, _name: str) -> str:
            return ""

    with opened(tmp_path) as device:
        inbox = Inbox(None, Nothing(), device, "@me:here")  # type: ignore[arg-type]
        before, entry, after = (
            member("@me:here", "join"),
            member("@bot:here", "join"),
            member("@me:here", "leave"),
        )
        events = asyncio.run(inbox._events("!room", Timeline([before, entry, after]), "since"))
        assert events == [entry, after]
        assert asyncio.run(inbox._events("!room", Timeline([before]), "since")) == [before]
