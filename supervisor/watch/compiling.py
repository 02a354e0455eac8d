"""Compiles Python files: to judge them, or to leave checked-hash bytecode.

Needs nothing but the standard library of Python 3.8, since the bot's interpreter runs this file
as a program when it is another version than ours: a JSON request on stdin, the answer on stdout.
"""

from __future__ import annotations

# ruff: noqa: PTH100, PTH103, PTH105, PTH107, PTH110, PTH116, PTH118, PTH120, PTH123 - thousands of plain strings
import contextlib
import json
import marshal
import os
import py_compile
import sys
import threading
import warnings
from importlib.util import MAGIC_NUMBER, source_hash
from types import CodeType

# A pyc's header: the magic number, the flags (1: hash-based, 2: checked), the source's hash.
HEADER_BYTES = 16
CHECKED_HASH = 0b11
# Bytecode written this long after its source was last changed is certainly of that source.
CERTAIN_S = 2.0

# Filters of warnings are the whole process's: one at a time may swap them.
_warnings = threading.Lock()


def judge(path: str, prefix: str = "") -> tuple[int | None, str] | None:
    """Return the line and text of what keeps a file from compiling; None: it compiles, or is gone.

    With `prefix`, what was compiled is left below it for the next start: compiled once. Warnings
    are the bot's affair, also where a filter would make errors of them.
    """
    try:
        with open(path, "rb") as file:
            source = file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        return None, f"{type(error).__name__}: can't be read: {error.strerror}"
    try:
        with _warnings, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except SyntaxError as error:
        return error.lineno or _nul_line(source), f"{type(error).__name__}: {error.msg}"
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        text = str(error) or "too much for the compiler"
        return _nul_line(source), f"{type(error).__name__}: {text}"
    if prefix:
        with contextlib.suppress(OSError):  # the bot then compiles by itself
            _keep(code, source, bytecode_path(path, prefix))
        refresh(path, prefix)  # where there is some of `python -O`
    return None


def _keep(code: CodeType, source: bytes, target: str) -> None:
    """Write bytecode that is checked by content: the layout is PEP 552's."""
    flags = CHECKED_HASH.to_bytes(4, "little")
    data = MAGIC_NUMBER + flags + source_hash(source) + marshal.dumps(code)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    beside = f"{target}.{threading.get_ident()}"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(beside, target)
    except OSError:
        _discard(beside)
        raise


def _nul_line(source: bytes) -> int | None:
    # Of a NUL byte Python says that it is there, not where.
    return source.count(b"\n", 0, source.find(b"\0")) + 1 if b"\0" in source else None


def refresh(path: str, prefix: str) -> int:
    """Write the bytecode of one file below `prefix` where it is missing, stale or unchecked.

    Returns how many files were written. Never raises for what is wrong with the source.
    """
    written = 0
    for level, suffix in ((0, ""), (1, ".opt-1"), (2, ".opt-2")):
        target = bytecode_path(path, prefix, suffix)
        # Bytecode of `python -O` is replaced where there is any, not made.
        if (level and not os.path.exists(target)) or is_checked(path, target):
            continue
        try:
            with _warnings, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                py_compile.compile(
                    path,
                    cfile=target,
                    doraise=True,
                    optimize=level,
                    invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
                )
            written += 1
        except (py_compile.PyCompileError, OSError, ValueError, RecursionError, MemoryError):
            _discard(target)
    return written


def bytecode_path(path: str, prefix: str, suffix: str = "") -> str:
    """Return where the import system keeps a file's bytecode when `prefix` is its prefix."""
    folder, name = os.path.split(os.path.abspath(path))
    stem = name.rpartition(".")[0] or name
    tag = sys.implementation.cache_tag
    return os.path.join(prefix, folder.lstrip("/"), f"{stem}.{tag}{suffix}.pyc")


def is_checked(path: str, target: str) -> bool:
    """Return whether bytecode is checked by hash, and of the source as it is now."""
    try:
        with open(target, "rb") as file:
            header = file.read(HEADER_BYTES)
            made_at = os.fstat(file.fileno()).st_mtime
        if header[:4] != MAGIC_NUMBER or int.from_bytes(header[4:8], "little") != CHECKED_HASH:
            return False
        if os.stat(path).st_mtime + CERTAIN_S < made_at:
            return True
        with open(path, "rb") as file:
            return header[8:16] == source_hash(file.read())
    except OSError:
        return False


def _discard(target: str) -> None:
    # Importing checks a timestamp only to the second: rather no bytecode than unchecked.
    with contextlib.suppress(OSError):
        os.remove(target)


def main() -> None:
    """Answer one request: `{"judge": [paths]}` or `{"refresh": [paths]}`, with a "prefix"."""
    request = json.load(sys.stdin)
    if "judge" in request:
        json.dump([judge(path, request["prefix"]) for path in request["judge"]], sys.stdout)
    else:
        json.dump([refresh(path, request["prefix"]) for path in request["refresh"]], sys.stdout)


if __name__ == "__main__":
    main()
