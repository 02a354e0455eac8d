"""Compiles Python files: to judge them, or to leave checked-hash bytecode.

Needs nothing but the standard library of Python 3.8, since the bot's interpreter runs this file
as a program when it is another version than ours: a JSON request on stdin, the answer on stdout.
"""

from __future__ import annotations

# ruff: noqa: PTH100, PTH103, PTH105, PTH107, PTH110, PTH114, PTH116, PTH118, PTH120, PTH123 - thousands of plain strings
import contextlib
import json
import marshal
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from importlib.util import MAGIC_NUMBER, source_hash
from types import CodeType

# A pyc's header: the magic number, the flags (1: hash-based, 2: checked), the source's hash.
HEADER_BYTES = 16
CHECKED_HASH = 0b11
# Bytecode written this long after its source was last changed is certainly of that source.
CERTAIN_S = 2.0

# Filters of warnings are the whole process's: one at a time may swap them.
_warnings = threading.Lock()
# What the compiler says besides SyntaxError.
_TOO_MUCH = (ValueError, RecursionError, MemoryError, OverflowError)


def judge(path: str, prefix: str = "") -> tuple[int | None, str] | None:
    """Return the line and text of what keeps a file from compiling; None: it compiles, or is gone.

    With `prefix`, what was compiled is left below it for the next start: compiled once. What does
    not compile leaves no bytecode there. Warnings are the bot's affair, also where a filter would
    make errors of them.
    """
    try:
        source = _read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        return None, f"{type(error).__name__}: can't be read: {error.strerror}"
    why = None
    for level, target in _targets(path, prefix, {}) if prefix else [(0, "")]:
        try:
            code = _compiled(source, path, level)
        except SyntaxError as error:
            why = error.lineno or _nul_line(source), f"{type(error).__name__}: {error.msg}"
        except _TOO_MUCH as error:
            text = str(error) or "too much for the compiler"
            why = _nul_line(source), f"{type(error).__name__}: {text}"
        else:
            if target:
                _keep(code, source, target)
            continue
        _discard(target)
    return why


def _nul_line(source: bytes) -> int | None:
    # Of a NUL byte Python says that it is there, not where.
    return source.count(b"\n", 0, source.find(b"\0")) + 1 if b"\0" in source else None


def refresh(paths: Iterable[str], prefix: str) -> int:
    """Write the bytecode of files below `prefix` where it is missing, stale or unchecked.

    Returns how many files were written. Never raises for what is wrong with a source. Others may
    judge or refresh the same files meanwhile: whatever text the last one read, the bytecode that
    it leaves is of that text, and is compared with the source at the import.
    """
    written = 0
    resolved: dict[str, str] = {}
    for path in paths:
        for level, target in _targets(path, prefix, resolved):
            if is_checked(path, target):
                continue
            try:
                source = _read(path)
                written += _keep(_compiled(source, path, level), source, target)
            except (SyntaxError, OSError, *_TOO_MUCH):
                _discard(target)
    return written


def _targets(path: str, prefix: str, resolved: dict[str, str]) -> list[tuple[int, str]]:
    """Return level and place of what there should be, under each name that an import may use.

    Bytecode of `python -O` is replaced where there is any.
    """
    found = []
    for name in _names(path, resolved):
        found.append((0, bytecode_path(name, prefix)))
        optimized = ((level, bytecode_path(name, prefix, f".opt-{level}")) for level in (1, 2))
        found += [each for each in optimized if os.path.exists(each[1])]
    return found


def _names(path: str, resolved: dict[str, str]) -> list[str]:
    """Return the absolute names of a file that differ in how far its links are followed.

    Python follows those of the script's folder and of the current one, and no others.
    `resolved`: folders, followed once for all files.
    """
    name = head = os.path.abspath(path)
    folder = os.path.dirname(name)
    if folder not in resolved:
        resolved[folder] = os.path.realpath(folder)
    names = [name]
    if resolved[folder] != folder or os.path.islink(name):
        rest = ""
        while head != "/":
            names.append(os.path.realpath(head) + rest)
            head, tail = os.path.split(head)
            rest = f"/{tail}{rest}"
    return list(dict.fromkeys(names))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _compiled(source: bytes, path: str, level: int) -> CodeType:
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(source, path, "exec", dont_inherit=True, optimize=level)


def _keep(code: CodeType, source: bytes, target: str) -> bool:
    """Replace bytecode by one that is checked by content; say whether it could be written.

    The layout is PEP 552's. It takes the old one's place whole or not at all.
    """
    flags = CHECKED_HASH.to_bytes(4, "little")
    data = MAGIC_NUMBER + flags + source_hash(source) + marshal.dumps(code)
    beside = f"{target}.{os.getpid()}.{threading.get_ident()}"
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(beside, target)
    except OSError:  # the bot then compiles by itself
        _discard(beside)
        _discard(target)
        return False
    return True


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
        return header[8:16] == source_hash(_read(path))
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
        json.dump(refresh(request["refresh"], request["prefix"]), sys.stdout)


if __name__ == "__main__":
    main()
