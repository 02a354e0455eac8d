"""One value out of a LevelDB: what was written last counts, wherever it lies."""

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.session.proof.kinds.chromium import WHATSAPP, chromium_identity
from supervisor.session.proof.leveldb_format import NotOurs
from supervisor.session.proof.leveldb_values import unpacked, value_of
from supervisor.session.proof.profile import KNOWN
from tests.unit.session.kindkit import chromium
from tests.unit.session.leveldbkit import Edit, batch, log_of, table_of, varint
from tests.unit.session.sessionkit import ID, Place

WID = "971505760056:12@c.us"
KEY = f"_{WHATSAPP}\0\1last-wid-md".encode()


def database(
    folder: Path, *, logged: list[bytes] | None = None, tables: list[bytes] | None = None
) -> Path:
    """Write a LevelDB with these tables, and a log with these records."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = tuple((5 + number, len(data)) for number, data in enumerate(tables or []))
    edits = [Edit(log=0, first=True), Edit(log=3, new=sizes)]
    (folder / "MANIFEST-000002").write_bytes(log_of([edit.encoded() for edit in edits])[0])
    (folder / "CURRENT").write_bytes(b"MANIFEST-000002\n")
    (folder / "000003.log").write_bytes(log_of(logged or [])[0])
    for (number, _size), data in zip(sizes, tables or [], strict=True):
        (folder / f"{number:06}.ldb").write_bytes(data)
    return folder


def test_the_last_word_counts_whatever_file_has_it(tmp_path: Path) -> None:
    """A log is newer than a table, but a number says it; a deletion is a word too."""
    old = table_of([(b"a", 7, b"x"), (b"key", 9, b"old"), (b"key", 4, b"older")])
    new = table_of([(b"key", 30, b"new")])
    log = [batch(20, [(b"key", b"logged"), (b"k", b"other")]), batch(25, [(b"b", b"key")])]
    folder = str(database(tmp_path / "one", tables=[old]))
    assert value_of(folder, b"key") == b"old"
    folder = str(database(tmp_path / "two", tables=[old], logged=log))
    assert value_of(folder, b"key") == b"logged"
    assert value_of(folder, b"b") == b"key"
    folder = str(database(tmp_path / "three", tables=[old, new], logged=log))
    assert value_of(folder, b"key") == b"new"
    folder = str(
        database(tmp_path / "four", tables=[old, new], logged=[batch(40, [(b"key", None)])])
    )
    assert value_of(folder, b"key") is None
    assert value_of(folder, b"nothing") is None
    assert value_of(str(tmp_path / "nowhere"), b"key") is None


@pytest.mark.parametrize("packed", [False, True])
def test_a_key_is_found_in_whatever_block_it_lies(tmp_path: Path, *, packed: bool) -> None:
    """Keys are written as what differs from the one before; each block may be packed."""
    entries = [(f"key {n:03}".encode(), n + 1, f"value {n}".encode() * 9) for n in range(100)]
    folder = str(database(tmp_path, tables=[table_of(entries, in_block=7, packed=packed)]))
    for name, _sequence, value in entries[::9]:
        assert value_of(folder, name) == value
    assert value_of(folder, b"key") is None
    assert value_of(folder, b"key 0405") is None
    assert value_of(folder, b"z") is None


def test_what_snappy_packed() -> None:
    """By the examples of its own description: literals, near and far copies, one into itself."""
    assert unpacked(b"\x00") == b""
    assert unpacked(b"\x05\x10hello") == b"hello"
    assert unpacked(varint(70) + b"\xf0\x45" + b"l" * 70) == b"l" * 70
    assert unpacked(b"\x0c\x0cxabx\x11\x03") == b"xabxabxabxab"
    assert unpacked(b"\x08\x0cabcd\x0e\x04\x00") == b"abcdabcd"
    assert unpacked(b"\x08\x0cabcd\x0f\x04\x00\x00\x00") == b"abcdabcd"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05\x10hell",
        b"\x04\x10hello",
        b"\x06\x10hello",
        b"\x08\x0cabcd\x0e\x05\x00",
        b"\x08\x0cabcd\x0e\x00\x00",
        b"\xff\xff\xff\xff\x0f\x00a",
        b"\xff" * 20,
        varint((5 << 20) + 1) + b"\x00a" + b"\xfe\x01\x00" * (5 << 14),
    ],
    ids=range(9),
)
def test_what_snappy_did_not_pack_is_refused(data: bytes) -> None:
    """Too short, too long, a copy of what is not there, a length that nobody has room for."""
    with pytest.raises(NotOurs):
        unpacked(data)


def test_no_bytes_crash_the_reader(tmp_path: Path) -> None:
    """Cut or changed anywhere it says the value, or nothing."""
    table = table_of([(b"key", 9, b"value"), (b"other", 10, b"x" * 30)], packed=True)
    folder = database(tmp_path, tables=[table], logged=[batch(20, [(b"third", b"y")])])
    for name in ("000005.ldb", "000003.log", "MANIFEST-000002"):
        path = folder / name
        whole = path.read_bytes()
        for at in range(len(whole)):
            for other in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
                path.write_bytes(other)
                value_of(str(folder), b"key")
                value_of(str(folder), b"third")
        path.write_bytes(whole)
    assert value_of(str(folder), b"key") == b"value"


# --- whose WhatsApp it is -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "identity"),
    [
        (b'\1"971505760056:12@c.us"', WID),
        (b"\1971505760056:12@c.us", WID),
        (b"\0" + f'"{WID}"'.encode("utf-16-le"), WID),
        (b'\1"somebody"', None),
        (b'\1{"a": 1}', None),
        (b"\1" + b"[" * 9000, None),
        (b"\2" + WID.encode(), None),
        (b"", None),
    ],
)
def test_a_profile_says_as_which_device_whatsapp_is_linked(
    tmp_path: Path, stored: bytes, identity: str | None
) -> None:
    """As the site keeps it, in either of the browser's encodings; anything else is none."""
    database(tmp_path / "Default/Local Storage/leveldb", logged=[batch(1, [(KEY, stored)])])
    assert chromium_identity(tmp_path) == identity
    assert chromium_identity(tmp_path, "https://example.org") is None


def _whatsapp(place: Place, wid: str) -> None:
    storage = place.live / "Default/Local Storage/leveldb"
    for path in storage.iterdir():
        path.unlink()
    database(storage, logged=[batch(1, [(KEY, f'\1"{wid}"'.encode())])])


def _logged_out(place: Place) -> None:
    storage = place.live / "Default/Local Storage/leveldb"
    with (storage / "000003.log").open("ab") as log:
        log.write(log_of([batch(2, [(KEY, None)])])[0])


CHANGES: dict[str, tuple[Callable[[Place], None], bool]] = {
    "another device": (lambda place: _whatsapp(place, "971505760056:13@c.us"), True),
    "no device": (_logged_out, False),
}


@pytest.mark.parametrize(("change", "foreign"), CHANGES.values(), ids=CHANGES)
def test_another_device_is_noticed_and_none_is_no_damage(
    place: Place, change: Callable[[Place], None], *, foreign: bool
) -> None:
    """A site may call its keys otherwise tomorrow: an old copy must not come back for that."""
    chromium(place.live)
    _whatsapp(place, WID)
    manager = place.manager()
    manager.note_linked(ID, None)
    place.clock.now += 60
    assert manager.backup(ID).verdict == "good"
    assert manager.store.listing(ID).snapshots[0].at_rest == WID
    change(place)
    check = manager.check(ID)
    assert (check.verdict, check.foreign) == ("passed", foreign)
    assert KNOWN["chromium"].identity(place.live) != WID
