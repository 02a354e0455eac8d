"""Which pages of a database are damage, told without SQLite: never one that SQLite wrote."""

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.session.proof import pages
from supervisor.session.proof.pages import Layout, overwritten

SIZES = (512, 1024, 4096, 16384, 65536)
MODES = ("delete", "truncate", "wal", "off")
STEPS = ("insert", "update", "grow", "delete", "drop", "create", "index", "vacuum", "incremental")


def _make(
    path: Path, page_bytes: int, mode: str, auto_vacuum: str, reserved: int = 0
) -> sqlite3.Connection:
    if reserved:
        _reserve(path, page_bytes, auto_vacuum, reserved)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA page_size = {page_bytes}")
    database.execute(f"PRAGMA auto_vacuum = {auto_vacuum}")
    database.execute(f"PRAGMA journal_mode = {mode}")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute("CREATE TABLE keys (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    return database


def _reserve(path: Path, page_bytes: int, auto_vacuum: str, reserved: int) -> None:
    """Write an empty database whose pages end with bytes that SQLite leaves alone."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA page_size = {page_bytes}")
        database.execute(f"PRAGMA auto_vacuum = {auto_vacuum}")
        database.execute("VACUUM")
    raw = bytearray(path.read_bytes())
    raw[20] = reserved
    raw[105:107] = (page_bytes - reserved).to_bytes(2, "big")
    path.write_bytes(raw)


def _do(database: sqlite3.Connection, step: str, chance: random.Random) -> None:
    """Do one thing that a bot may do."""
    low = chance.randrange(200)
    match step:
        case "insert":
            rows = [
                (f"n{chance.random()}", chance.randbytes(chance.choice((9, 90, 9000))))
                for _ in range(40)
            ]
            database.execute("BEGIN")
            database.executemany("INSERT INTO keys (name, data) VALUES (?, ?)", rows)
            database.execute("COMMIT")
        case "update":
            database.execute("UPDATE keys SET name = name || 'x' WHERE id % 7 = ?", (low % 7,))
        case "grow":
            data = chance.randbytes(chance.choice((20, 3000, 70_000)))
            database.execute(
                "UPDATE keys SET data = ? WHERE id BETWEEN ? AND ?", (data, low, low + 9)
            )
        case "delete":
            database.execute("DELETE FROM keys WHERE id > ? AND id % 3 < 2", (low,))
        case "drop":
            database.execute(f"DROP TABLE IF EXISTS t{low % 3}")
        case "create":
            database.execute(f"CREATE TABLE IF NOT EXISTS t{low % 3} (a INTEGER PRIMARY KEY, b)")
            database.execute(f"INSERT INTO t{low % 3} (b) SELECT data FROM keys LIMIT 30")  # noqa: S608 - a number
        case "index":
            database.execute(f"DROP INDEX IF EXISTS i{low % 2}")
            database.execute(f"CREATE INDEX i{low % 2} ON keys (name, data)")
        case "vacuum":
            database.execute("VACUUM")
        case "incremental":
            database.execute("PRAGMA incremental_vacuum(3)").fetchall()


def _of(raw: bytes, layout: Layout) -> Callable[[int], bytes]:
    return lambda page: raw[(page - 1) * layout.page_bytes : page * layout.page_bytes]


def _accused(old: bytes, new: bytes) -> int | None:
    """Return the page that is accused, as the check asks for it."""
    layout = Layout.of(new[:65_536], len(new))
    if layout is None or len(old) != len(new):
        return None
    then, now = _of(old, layout), _of(new, layout)
    changed = [page for page in range(1, layout.pages + 1) if then(page) != now(page)]
    return overwritten(layout, changed, then, now)


@settings(max_examples=30, deadline=None, database=None)
@given(
    st.sampled_from(SIZES),
    st.sampled_from(MODES),
    st.sampled_from(["none", "full", "incremental"]),
    st.sampled_from([0, 32]),
    st.lists(st.sampled_from(STEPS), min_size=3, max_size=8),
    st.integers(0, 2**32),
)
def test_what_sqlite_wrote_is_never_accused(
    page_bytes: int,
    mode: str,
    auto_vacuum: str,
    reserved: int,
    steps: list[str],
    seed: int,
) -> None:
    """Whatever was done between two moments of the same length."""
    chance = random.Random(seed)  # noqa: S311 - what hypothesis asks for
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.db")
        seen: list[bytes] = []
        with closing(_make(path, page_bytes, mode, auto_vacuum, reserved)) as database:
            for step in ("insert", "insert", *steps):
                _do(database, step, chance)
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                seen.append(path.read_bytes())
        for number, old in enumerate(seen):
            for new in seen[number + 1 :]:
                assert _accused(old, new) is None
        _trees_are_known(path, seen[-1])


def _trees_are_known(path: Path, raw: bytes) -> None:
    """Each page that SQLite calls one of a b-tree looks like one."""
    layout = Layout.of(raw[:65_536], len(raw))
    assert layout is not None
    found = _pages(path)
    for page in _trees(found):
        assert not layout.no_tree(page)
        assert pages._is_tree(_of(raw, layout)(page), layout)
    free = set(pages._free_pages(layout, _of(raw, layout)))
    for page in set(range(2, layout.pages + 1)) - found.keys() - free if found else ():
        assert layout.no_tree(page), "it says what the others are"


def _pages(path: Path) -> dict[int, str]:
    """Return what SQLite itself calls each page that is in use; none where it can't say."""
    with closing(sqlite3.connect(path)) as database:
        try:
            return dict(database.execute("SELECT pageno, pagetype FROM dbstat").fetchall())
        except sqlite3.OperationalError:
            return {}  # this library was built without dbstat


def _trees(found: dict[int, str]) -> set[int]:
    return {page for page, kind in found.items() if kind in ("leaf", "internal") and page != 1}


def _database(folder: Path, page_bytes: int = 4096, auto_vacuum: str = "none") -> bytes:
    path = folder / "a.db"
    with closing(_make(path, page_bytes, "wal", auto_vacuum)) as database:
        chance = random.Random(7)  # noqa: S311 - the same each time
        for _ in range(9):
            _do(database, "insert", chance)
        _do(database, "delete", chance)
    return path.read_bytes()


def _quick_check(folder: Path, raw: bytes) -> bool:
    path = folder / "checked.db"
    path.write_bytes(raw)
    with closing(sqlite3.connect(path)) as database:
        try:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        except sqlite3.DatabaseError:
            return False


def test_the_change_counter_proves_nothing(tmp_path: Path) -> None:
    """In WAL mode a page may become another kind while page 1 stays the same, byte for byte.

    A connection counts on from what it read, not from what it wrote.
    """
    path = tmp_path / "a.db"
    chance = random.Random(1053380)  # noqa: S311 - the seed with which it was found
    seen: list[bytes] = []
    with closing(_make(path, 4096, "wal", "none", 32)) as database:
        steps = ["insert", "insert", "create", *["update"] * 3, "index", "drop", "update"]
        for step in steps:
            _do(database, step, chance)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            seen.append(path.read_bytes())
    assert seen[-2][:4096] == seen[-1][:4096]
    assert seen[-2] != seen[-1]
    assert _accused(seen[-2], seen[-1]) is None


@pytest.mark.parametrize("auto_vacuum", ["none", "full", "incremental"])
@pytest.mark.parametrize("page_bytes", SIZES)
def test_overwritten_pages_of_trees_are_accused(
    tmp_path: Path, page_bytes: int, auto_vacuum: str
) -> None:
    """Each page of a tree that SQLite itself would complain of, and no page that it would not."""
    raw = _database(tmp_path, page_bytes, auto_vacuum)
    trees = _trees(_pages(tmp_path / "a.db"))
    if not trees:
        pytest.skip("this SQLite was built without dbstat")
    layout = Layout.of(raw[:65_536], len(raw))
    assert layout is not None
    tried = range(2, layout.pages + 1, max(1, layout.pages // 25))
    assert trees.intersection(tried)
    for page in tried:
        at = (page - 1) * page_bytes
        broken = raw[:at] + b"\xa5" * page_bytes + raw[at + page_bytes :]
        assert _accused(raw, broken) == (page if page in trees else None)
        assert page not in trees or not _quick_check(tmp_path, broken)


@pytest.mark.parametrize("start", [b"\0\0\0\0", b"\0\0\0\x07", b"\x0d"])
def test_what_sqlite_may_have_written_is_left_to_it(tmp_path: Path, start: bytes) -> None:
    """Zeros, a number of a page, the first byte of a tree: it might be, so it proves nothing."""
    raw = _database(tmp_path)
    for page in sorted(_trees(_pages(tmp_path / "a.db")))[:5]:
        at = (page - 1) * 4096
        broken = raw[:at] + start + b"\xa5" * (4096 - len(start)) + raw[at + 4096 :]
        assert _accused(raw, broken) is None


def test_a_free_page_may_hold_anything(tmp_path: Path) -> None:
    """SQLite does not look at what lies on the free list, so it is no damage."""
    path = tmp_path / "a.db"
    raw = _database(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("DELETE FROM keys WHERE id > 30")
    raw = path.read_bytes()
    layout = Layout.of(raw[:65_536], len(raw))
    assert layout is not None
    free = set(pages._free_pages(layout, _of(raw, layout)))
    assert len(free) == layout.free > 3
    trees = [p for p in sorted(free) if pages._is_tree(_of(raw, layout)(p), layout)]
    assert trees
    for page in trees:
        at = (page - 1) * 4096
        broken = raw[:at] + b"\xa5" * 4096 + raw[at + 4096 :]
        assert _accused(raw, broken) is None


def test_a_first_page_that_makes_no_sense_proves_nothing(tmp_path: Path) -> None:
    """No SQLite, an odd page size, another length, a counter of an old library."""
    raw = _database(tmp_path)
    first = raw[:4096]
    assert Layout.of(first, len(raw)) is not None
    assert Layout.of(first[:99], len(raw)) is None
    assert Layout.of(first, len(raw) + 4096) is None
    for at, value in ((0, b"X"), (16, b"\x0f\xff"), (20, b"\xff"), (24, b"\xff"), (28, b"\xff")):
        head = first[:at] + value + first[at + len(value) :]
        size = 512 * int.from_bytes(head[28:32], "big") if at == 20 else len(raw)
        head = head[:16] + b"\x02\x00" + head[18:] if at == 20 else head
        assert Layout.of(head, size) is None
