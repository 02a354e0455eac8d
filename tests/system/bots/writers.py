"""A bot that never stops writing, in every way that a library may: `writers.py FOLDER [KIND...]`.

Three processes, the last in a session of its own, with a thread for each kind. Each kind counts,
so that a copy tells by itself whether it is of one moment: `check` reads it. All end when their
standard input does.
"""

import json
import mmap
import os
import sqlite3
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from supervisor.session.proof.leveldb_format import BLOCK_BYTES, HEADER
from tests.unit.session.leveldbkit import Edit, log_of

Steps = Iterator[None]
ROW_BYTES = 2000
RECORDS_IN_A_LOG = 150
PAGE = 4096
# How often it is read for each time that it is written: else a copy would hardly ever be whole.
WHOLE_READS = 200
# Who runs what. The second is a child of the first, the third one of the second.
PROCESSES = (("wal", "rollback", "pair"), ("exclusive", "leveldb"), ("json", "mapped", "fresh"))
NUMBER = struct.Struct("<Q")


# SQLite: each transaction writes its number into one of the rows and into the counter.


def database(path: Path, journal: str, rows: int, *, exclusive: bool = False) -> Steps:
    """Write transactions. Each row's payload has its checksum beside it."""
    db = sqlite3.connect(path, isolation_level=None, timeout=30)
    if exclusive:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute(f"PRAGMA journal_mode={journal}")
    db.execute("PRAGMA synchronous=OFF")
    db.execute("CREATE TABLE row(id INTEGER PRIMARY KEY, n INT, sum INT, data BLOB)")
    db.execute("CREATE TABLE counter(n INT)")
    db.execute("BEGIN")
    db.execute("INSERT INTO counter VALUES (0)")
    for number in range(rows):
        put(db, "INSERT INTO row(n, sum, data, id) VALUES (?, ?, ?, ?)", 0, number)
    db.execute("COMMIT")
    n = 0
    while True:
        yield
        n += 1
        db.execute("BEGIN IMMEDIATE")
        put(db, "UPDATE row SET n = ?, sum = ?, data = ? WHERE id = ?", n, n * 7919 % rows)
        db.execute("UPDATE counter SET n = ?", (n,))
        db.execute("COMMIT")


def put(db: sqlite3.Connection, statement: str, n: int, number: int) -> None:
    """Write one row."""
    data = os.urandom(ROW_BYTES)
    db.execute(statement, (n, zlib.crc32(data), data, number))


def check_database(path: Path) -> str:
    """Return why a copy is of no one moment, or ""."""
    try:
        with closing(sqlite3.connect(path)) as db:
            if db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return "the integrity check failed"
            rows = db.execute("SELECT n, sum, data FROM row").fetchall()
            counters = db.execute("SELECT n FROM counter").fetchall()
    except sqlite3.DatabaseError as error:
        return str(error)
    if counters != [(max(n for n, _sum, _data in rows),)]:
        return f"the counter {counters} is not the newest row's"
    return "" if all(zlib.crc32(data) == told for _n, told, data in rows) else "a row is torn"


# LevelDB: a log that grows; after some records a new log, a new manifest, and CURRENT is renamed.


def leveldb(folder: Path) -> Steps:
    """Write records that are numbered; log L begins with the record L * RECORDS_IN_A_LOG."""
    folder.mkdir()
    number = 10
    while True:
        manifest = folder / f"MANIFEST-{number:06d}"
        with (folder / f"{number:06d}.log").open("xb", buffering=0) as log:
            edits = [Edit(log=0, first=True), Edit(log=number)]
            manifest.write_bytes(log_of([edit.encoded() for edit in edits])[0])
            draft = folder / f"{number:06d}.dbtmp"
            draft.write_text(f"{manifest.name}\n")
            draft.replace(folder / "CURRENT")
            for old in (f"{number - 1:06d}.log", f"MANIFEST-{number - 1:06d}"):
                (folder / old).unlink(missing_ok=True)
            yield
            begin = number * RECORDS_IN_A_LOG
            bodies: list[bytes] = []
            written = 0
            for n in range(begin, begin + RECORDS_IN_A_LOG):
                payload = os.urandom(100)
                bodies.append(NUMBER.pack(n) + NUMBER.pack(zlib.crc32(payload)) + payload)
                data = log_of(bodies)[0][written:]
                log.write(data[:7])
                log.write(data[7:])
                written += len(data)
                yield
        number += 1


def check_leveldb(folder: Path) -> str:
    """Return why what CURRENT leads to is not whole, or ""; the last record may be unfinished."""
    try:
        name = (folder / "CURRENT").read_text().strip()
        number = int(name.removeprefix("MANIFEST-"))
        if not (folder / name).stat().st_size:
            return "the manifest is empty"
        data = (folder / f"{number:06d}.log").read_bytes()
    except (OSError, ValueError) as error:
        return str(error)
    bodies = []
    at = 0
    while at + HEADER.size <= len(data):
        _crc, length, _kind = HEADER.unpack_from(data, at)
        if at + HEADER.size + length > len(data):
            break
        bodies.append(data[at + HEADER.size : at + HEADER.size + length])
        at += HEADER.size + length
    if len(data) > BLOCK_BYTES:
        return "the log is longer than it can be"
    for place, body in enumerate(bodies):
        n, told = (NUMBER.unpack_from(body, offset)[0] for offset in (0, NUMBER.size))
        if n != number * RECORDS_IN_A_LOG + place or zlib.crc32(body[2 * NUMBER.size :]) != told:
            return f"record {place} is not the one that was written"
    return ""


# Plain files.


def state_json(path: Path) -> Steps:
    """Write the number at both ends of an object, truncating first, in two writes."""
    n = 0
    while True:
        n += 1
        text = json.dumps({"n": n, "pad": "x" * 3000, "again": n}).encode()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, text[:1500])
        os.write(fd, text[1500:])
        os.close(fd)
        for _ in range(WHOLE_READS):
            assert json.loads(path.read_bytes())["n"] == n
        yield


def check_json(path: Path) -> str:
    """Return why the object is torn, or ""."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        return str(error)
    return "" if value["n"] == value["again"] else f"{value['n']} and {value['again']}"


def pair(path: Path) -> Steps:
    """Count in two files, always in the first one first."""
    path.mkdir()
    fds = [os.open(path / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("first", "second")]
    n = 0
    while True:
        for fd in fds:
            os.pwrite(fd, NUMBER.pack(n) * (PAGE // NUMBER.size), 0)
        n += 1
        yield


def check_pair(path: Path) -> str:
    """Return why the two files are not of one moment, or ""."""
    numbers = [set(NUMBER.iter_unpack((path / name).read_bytes())) for name in ("first", "second")]
    if any(len(found) != 1 for found in numbers):
        return "a page is torn"
    (first,), (second,) = (next(iter(found)) for found in numbers)
    return "" if second <= first <= second + 1 else f"{first} and {second}"


def mapped(path: Path) -> Steps:
    """Count in two pages of one mapping, always in the first one first; no call tells of it."""
    path.write_bytes(bytes(64 * PAGE))
    with path.open("r+b") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 64 * PAGE)).cast("Q")
    n = 0
    while True:
        memory[0] = n  # at once, where struct.pack_into writes zeros first
        memory[63 * PAGE // NUMBER.size] = n
        n += 1
        yield


def check_mapped(path: Path) -> str:
    """Return why the two pages are not of one moment, or ""."""
    data = path.read_bytes()
    first, second = (NUMBER.unpack_from(data, page * PAGE)[0] for page in (0, 63))
    return "" if second <= first <= second + 1 else f"{first} and {second}"


def fresh(path: Path) -> Steps:
    """Write one new file after another, each twice the number of the one before; keep a few."""
    path.mkdir()
    n = 0
    while True:
        draft = path / "draft.tmp"
        draft.write_bytes(NUMBER.pack(n) * 200)
        draft.rename(path / f"key-{n}")
        (path / f"key-{n - 20}").unlink(missing_ok=True)
        n += 1
        yield


def check_fresh(path: Path) -> str:
    """Return why the files are no unbroken row, or ""."""
    keys = sorted(int(found.name.removeprefix("key-")) for found in path.glob("key-*"))
    if keys != list(range(keys[0], keys[0] + len(keys))) or len(keys) > 21:
        return f"the files are {keys}"
    whole = all((path / f"key-{n}").read_bytes() == NUMBER.pack(n) * 200 for n in keys)
    return "" if whole else "a file is torn"


WRITE: dict[str, tuple[str, Callable[[Path], Steps]]] = {
    "wal": ("wal.db", lambda path: database(path, "WAL", 8000)),
    "rollback": ("rollback.db", lambda path: database(path, "DELETE", 500)),
    "exclusive": ("exclusive.db", lambda path: database(path, "WAL", 500, exclusive=True)),
    "leveldb": ("level", leveldb),
    "json": ("state.json", state_json),
    "pair": ("pair", pair),
    "mapped": ("board.bin", mapped),
    "fresh": ("fresh", fresh),
}
CHECK: dict[str, Callable[[Path], str]] = {
    "wal": check_database,
    "rollback": check_database,
    "exclusive": check_database,
    "leveldb": check_leveldb,
    "json": check_json,
    "pair": check_pair,
    "mapped": check_mapped,
    "fresh": check_fresh,
}


def check(folder: Path, kinds: tuple[str, ...]) -> list[str]:
    """Return what is torn in a copy of the session."""
    found = ((kind, CHECK[kind](folder / WRITE[kind][0])) for kind in kinds)
    return [f"{kind}: {problem}" for kind, problem in found if problem]


def run(kind: str, folder: Path) -> None:
    """Write for ever; say so once there is something to copy."""
    steps = WRITE[kind][1](folder / WRITE[kind][0])
    next(steps)
    next(steps)
    os.write(1, f"ready {kind}\n".encode())
    for _ in steps:
        pass


def main() -> None:
    """Start the next process, then one thread for each kind of this one."""
    place, folder, *kinds = sys.argv[1:]
    mine = [kind for kind in PROCESSES[int(place)] if kind in kinds]
    if int(place) + 1 < len(PROCESSES):
        command = [sys.executable, __file__, str(int(place) + 1), folder, *kinds]
        subprocess.Popen(command, start_new_session=int(place) == 1)
    for kind in mine:
        threading.Thread(target=run, args=(kind, Path(folder)), daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
