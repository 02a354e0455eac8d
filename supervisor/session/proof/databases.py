"""Read a few rows of a database that may be a live bot's, for whose device a session is.

It is opened as a file that never changes (`immutable=1`): SQLite takes no lock then, makes no
-shm, plays no journal back and writes nothing. So what lies in a -wal is not seen, and a row may be
torn under a writer: that is tried again, and is no answer in the end. `played_back` is for a
session at rest whose journals must count: it reads copies.

A database may be made by anybody: only plain tables are asked, and each question ends.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from supervisor.session import files
from supervisor.session.proof.sqlite_files import JOURNALS, MAGIC

if TYPE_CHECKING:
    import sqlite3

# The schema is what is written first: as a rule all of it lies within so much.
_SCHEMA_BYTES = 1 << 20
# https://sqlite.org/fileformat2.html: its root is the first page. If that is a leaf, it is all in
# there, each table's name before what could flow over. The size of a page is in the header, 1 is
# that of the largest.
_PAGE_MAX_BYTES = 1 << 16
_PAGE_SIZE, _ROOT_KIND, _LEAF = slice(16, 18), slice(100, 101), b"\x0d"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A session has a few files beside its database; a project's folder has more.
_LOOKED_AT_MAX = 4096
_OPENED_MAX = 64
_USUAL = (".db", ".db3", ".sqlite", ".sqlite3", ".session")
_TRIES = 3
_VALUE_MAX_BYTES = 1 << 20
# After so many steps of SQLite's machine, in the units below, a question gets no answer: 0.1 s.
_STEPS_MAX = 100
_STEPS_UNIT = 100_000
_ROWS_MAX = 64
# https://sqlite.org/rescode.html: what says nothing about the file, as an errno.
_LACKS = {7: errno.ENOMEM, 10: errno.EIO, 14: errno.EMFILE}
_SHORT_READ = 522

Row = tuple[Any, ...]


def databases_in(folder: Path, suffix: str = "") -> Iterator[Path]:
    """Yield the databases right in `folder` whose names end in `suffix`; a few at most.

    Those that are called as databases are come first, each by name. Raises: OSError for one that
    is there and can't be read.
    """
    try:
        paths = [
            path
            for path in islice(folder.iterdir(), _LOOKED_AT_MAX)  # which shows the session's alone
            if path.name.endswith(suffix) and files.is_plain(path)
        ]
    except (FileNotFoundError, NotADirectoryError):
        return
    paths.sort(key=lambda path: (not path.name.endswith(_USUAL), path.name))
    yield from filter(is_database, paths[:_OPENED_MAX])


def is_database(path: Path) -> bool:
    """Return whether a plain file begins as a database does. Raises: as `begins`."""
    return begins(path, len(MAGIC)) == MAGIC


def mentions(path: Path, table: str) -> bool:
    """Return whether the schema may have such a table, without SQLite. Raises: as `begins`."""
    begin = begins(path, _PAGE_MAX_BYTES)
    if begin[_ROOT_KIND] == _LEAF:
        size = int.from_bytes(begin[_PAGE_SIZE], "big")
        return table.encode() in begin[: _PAGE_MAX_BYTES if size == 1 else size]
    return table.encode() in begins(path, _SCHEMA_BYTES)


def begins(path: Path, length: int) -> bytes:
    """Return the first bytes of a plain file; none where there is no such file.

    Raises: OSError for one that is there and can't be read.
    """
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return b""
        raise
    try:
        plain = stat.S_ISREG(os.fstat(fd).st_mode)
        return files.read_at(fd, length, 0) if plain else b""
    finally:
        os.close(fd)


def columns(path: Path, table: str) -> set[str]:
    """Return the columns of a plain table; none where there is no such table, as in `rows`."""
    found = _asked(
        path,
        "SELECT c.name FROM sqlite_master t, pragma_table_info(t.name) c"
        " WHERE t.type = 'table' AND t.name = ?",
        table,
    )
    return {str(name) for (name,) in found}


def rows(path: Path, table: str, names: Sequence[str]) -> list[Row]:
    """Return these columns of a table's first rows, the oldest first.

    None of them where it has no such table or columns, or is no whole database (now). Raises:
    OSError for one that is there and can't be read.
    """
    if not columns(path, table).issuperset(names):
        return []
    what = ", ".join(names)
    return _asked(path, f"SELECT {what} FROM {table} ORDER BY rowid LIMIT {_ROWS_MAX}")  # noqa: S608 - our own words


def _asked(path: Path, question: str, *given: str) -> list[Row]:
    import sqlite3  # noqa: PLC0415 - 2 MB: for whom has such a session

    for _try in range(_TRIES):
        if not is_database(path):
            return []
        try:
            with closing(_opened(path)) as database:
                return database.execute(question, given).fetchall()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF in _LACKS and code != _SHORT_READ:
                raise OSError(_LACKS[code & 0xFF], str(error), str(path)) from error
    return []


def _opened(path: Path) -> "sqlite3.Connection":
    import sqlite3  # noqa: PLC0415 - see `_asked`

    # As bytes: a name need not be Unicode.
    uri = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_MAX_BYTES)
    left = iter(range(_STEPS_MAX))
    database.set_progress_handler(lambda: next(left, None) is None, _STEPS_UNIT)
    database.execute("PRAGMA mmap_size=0")  # a file that is cut then is an error, and no signal
    database.execute("PRAGMA trusted_schema=OFF")
    return database


def journals_of(path: str) -> tuple[str, ...]:
    """Return what the journals of a database are called."""
    return tuple(path + end for end in JOURNALS)


def play_back(path: Path) -> None:
    """Let SQLite take the journals of a *copy* into it. What can't be played back stays so."""
    import sqlite3  # noqa: PLC0415 - see `_asked`

    uri = f"file:{quote(os.fsencode(path))}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        return
