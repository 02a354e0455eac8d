"""Open copies of a session's files and say what is wrong. Run as a program of its own.

It is started as `python -I -S validate.py`, with `[[format, path], ...]` as JSON on stdin, and
answers `[[path, problem, errno of why it can't be read or 0], ...]` on stdout; on stderr it says
which one it looks at (by its number from 0, after `AT`), in case that ends it. So that it starts
fast it imports nothing of ours, but `leveldb` with its format when there is one. A process of its
own, because closing a database file drops the locks that any SQLite connection of the same process
holds on it, and because a broken file may take the reader down.

Never give it a live database: opening one recovers, and so eats, its journal.
"""

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

AT = "at job "

# A collation or module of the bot's own, or a newer SQLite's words, that we lack: no damage.
_NOT_OURS = ("no such", "unknown tokenizer", "syntax error", "unsupported file format")
# https://sqlite.org/rescode.html: NOMEM, IOERR, FULL and CANTOPEN, each with its kinds above the
# lowest byte; and IOERR_SHORT_READ, which is the file's fault.
_OUR_LACKS = {7, 10, 13, 14}
_SHORT_READ = 522


def sqlite_problem(path: str) -> str:
    """Return why the database at `path` is broken, or "".

    Raises: sqlite3.DatabaseError when there is no room to open it in, say.
    """
    import sqlite3  # noqa: PLC0415 - 3 ms: many sessions hold no database

    try:
        # As bytes: a name need not be Unicode.
        uri = f"file:{quote(os.fsencode(path))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            rows = database.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        if _is_our_lack(error):
            raise
        return "" if any(words in str(error) for words in _NOT_OURS) else str(error)
    found = str(rows[0][0]) if rows else "no answer"
    # Above what it found, SQLite writes a title: in which database.
    return "" if found == "ok" else found.removeprefix("*** in database main ***\n").splitlines()[0]


def _is_our_lack(error: Exception) -> bool:
    """Return whether we lack room, memory or a disk: which says nothing about the database.

    To open one beside its -wal takes a -shm. A file that ends early is the file's fault.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _OUR_LACKS and code != _SHORT_READ


def json_problem(path: str, *keys: str) -> str:
    """Return why the file at `path` is no JSON, or no object with `keys`, or ""."""
    # Whoever put a pipe in its place since it was looked at must not be waited for.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - a descriptor
        data = file.read()
    return json_problem_of(data, *keys)


def json_problem_of(data: bytes, *keys: str) -> str:
    """Return why `data` is no JSON, or no object with `keys`, or ""."""
    if not data.strip():
        return "is empty"
    try:
        value = json.loads(data)
    except ValueError as error:
        return "" if not keys and _json_lines(data) else f"is no JSON: {error}"
    except RecursionError:
        return ""
    lost = [key for key in keys if not isinstance(value, dict) or value.get(key) in (None, "", {})]
    return f"lacks {', '.join(lost)}" if lost else ""


def _json_lines(data: bytes) -> bool:
    """Return whether each line is JSON by itself: a list that only grows, whatever its name."""
    try:
        for line in data.splitlines():
            if line.strip():
                json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def leveldb_problem(path: str) -> str:
    """Return why the LevelDB in the folder `path` is not whole, or ""."""
    from supervisor.session.proof.leveldb import problem  # noqa: PLC0415 - see the module

    return problem(path)


VALIDATORS = {"sqlite": sqlite_problem, "leveldb": leveldb_problem}


def main() -> None:
    """Answer one list of files."""
    # `-I` left out where `supervisor` lies. Behind all else: it hides nothing of Python's own.
    sys.path.append(str(Path(__file__).parents[3]))
    answers = []
    for number, (form, path) in enumerate(json.load(sys.stdin)):
        sys.stderr.write(f"{AT}{number}\n")  # which flushes each line
        failed = 0
        try:
            word, *keys = form.split()
            problem = json_problem(path, *keys) if word == "json" else VALIDATORS[word](path)
        except OSError as error:
            problem, failed = f"can't be read: {error.strerror}", error.errno or -1
        if problem:
            answers.append([path, problem, failed])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
