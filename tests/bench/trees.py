"""The sessions that are copied: made from a fixed seed, half of each compressible, and changed."""

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from blake3 import blake3

SEED = 20_261_124
PAGE_BYTES = 4096
# Small files have between these sizes, 53 kB in the middle: 600 of them beside a database of 20 MB
# make 50 MB, 20,000 make 1 GB.
_SMALL_BYTES = (30_000, 76_000)
_STEP_BYTES = 512
_TEXT_BYTES = 1 << 20
_ROWS = 38_000
_RECORD_BYTES = 440
DATABASE = "store.db"
CREDENTIALS = "creds.json"


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed: the files' paths, and the 4 KiB blocks in them that differ now."""

    paths: list[str]
    blocks: bytes

    @property
    def pages(self) -> int:
        """How many 4 KiB blocks differ."""
        return len(self.blocks) // PAGE_BYTES


@dataclass(slots=True)
class Tree:
    """A session in `folder`. `small`: how many small files; `step`: how often it was changed."""

    folder: Path
    small: int
    database: bool
    step: int = 0
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Name the small files; nothing is written."""
        each = 50 if self.small < 1000 else 200
        self.names = [
            f"keys-{number // each:03}/{'pre-key' if number % 4 else 'session'}-{number:05}"
            + ("" if number % 4 else ".json")
            for number in range(self.small)
        ]

    def make(self) -> None:
        """Write it."""
        self.folder.mkdir(parents=True, mode=0o700)
        (self.folder / CREDENTIALS).write_text('{"me": "971505760056:1@s.whatsapp.net"}')
        for name in self.names:
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self._content(name))
        if self.database:
            _make_database(self.folder / DATABASE)

    def change(self, files: int, rows: int = 0) -> Change:
        """Rewrite `files` small files in place, whole, and update `rows` rows of the database."""
        self.step += 1
        chance = random.Random(f"{SEED} {self.step}")  # noqa: S311 - the same changes each time
        paths = sorted(chance.sample(self.names, files))
        blocks = bytearray()
        for name in paths:
            data = self._content(name)
            (self.folder / name).write_bytes(data)
            blocks += data + bytes(-len(data) % PAGE_BYTES)
        if rows:
            path = self.folder / DATABASE
            before = path.read_bytes()
            _update(path, chance, rows)
            blocks += differing(before, path.read_bytes())
            paths.append(DATABASE)
        return Change(paths, bytes(blocks))

    def _content(self, name: str) -> bytes:
        low, high = _SMALL_BYTES
        size = low + int.from_bytes(blake3(name.encode()).digest(length=4), "big") % (high - low)
        key = f"{name} {self.step}"
        if name.endswith(".json"):
            record = {"id": name, "record": blake3(key.encode()).digest(length=size // 2).hex()}
            return json.dumps(record).encode()
        return mixed(key, size)


def mixed(key: str, size: int) -> bytes:
    """Return `size` bytes that only `key` decides, by turns random and text."""
    step = min(_STEP_BYTES, size // 2)
    noise = blake3(f"{SEED} {key}".encode()).digest(length=size // 2 + step)
    at = int.from_bytes(noise[:4], "big") % (_TEXT_BYTES - size)
    text = _text()[at : at + size]
    parts: list[bytes] = []
    for begin in range(0, size // 2 + 1, step):
        parts += noise[begin : begin + step], text[begin : begin + step]
    return b"".join(parts)[:size]


def differing(before: bytes, after: bytes) -> bytes:
    """Return the 4 KiB blocks of `after` that are not the same in `before`."""
    starts = range(0, len(after), PAGE_BYTES)
    blocks = ((before[at : at + PAGE_BYTES], after[at : at + PAGE_BYTES]) for at in starts)
    return b"".join(now.ljust(PAGE_BYTES, b"\0") for then, now in blocks if then != now)


@lru_cache(maxsize=1)
def _text() -> bytes:
    """Return what compresses well: lines of JSON, as bots write them."""
    chance = random.Random(SEED)  # noqa: S311 - the same bytes each time
    lines: list[str] = []
    length = 0
    while length < _TEXT_BYTES:
        number = chance.randrange(10_000)
        jid = f"9715{number:05}@s.whatsapp.net"
        line = f'{{"jid": "{jid}", "state": "delivered", "count": {number}}}\n'
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()


def _make_database(path: Path) -> None:
    """Write 20 MB of sessions, as a WhatsApp library keeps them; the WAL is closed."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE sessions(id INTEGER PRIMARY KEY, their_id TEXT UNIQUE, record BLOB)"
        )
        rows = ((number, f"9715{number:05}.0:1", _record(number, 0)) for number in range(_ROWS))
        database.executemany("INSERT INTO sessions VALUES (?, ?, ?)", rows)


def _update(path: Path, chance: random.Random, rows: int) -> None:
    stamp = chance.getrandbits(32)
    with closing(sqlite3.connect(path)) as database, database:
        changed = [(_record(number, stamp), number) for number in chance.sample(range(_ROWS), rows)]
        database.executemany("UPDATE sessions SET record = ? WHERE id = ?", changed)


def _record(number: int, stamp: int) -> bytes:
    return mixed(f"row {number} {stamp}", _RECORD_BYTES)
