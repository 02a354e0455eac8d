"""What a command runs: its interpreter, the options that count, and where its code begins.

Reads the command as CPython does. Never runs anything of it.
"""

# ruff: noqa: PTH100, PTH112, PTH113, PTH118, PTH119, PTH120 - paths as CPython joins them

import os
import shlex
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# Options that decide where modules are found; a question to the interpreter has to have them too.
_FINDING = "EIPSs"
_TAKES_VALUE = "WXcm"
_FLAGS = "bBdEiIOPqRsStuv"
# What exec reads of a script's first line (Linux: BINPRM_BUF_SIZE).
_SHEBANG_BYTES = 256


class Kind(StrEnum):
    """How the program is named."""

    SCRIPT = "script"
    MODULE = "module"
    FOLDER = "folder"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Entry:
    """`what`: an absolute path, a module's name, or code. `options`: see _FINDING.

    `first`: the folder that the program's search path begins with; "" if none (-P, -I).
    """

    kind: Kind
    what: str
    python: str
    options: tuple[str, ...]
    first: str


def entry_of(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Entry | str:
    """Return what a command runs, or in words why that can't be told."""
    program = _program(command[0], cwd, env)
    if program is None:
        return f"{command[0]} is not there"
    with_shebang = _shebang(program, env)
    if with_shebang is None:
        # A link's own name counts: it decides which environment the interpreter runs in.
        if not os.path.basename(program).startswith(("python", "pypy")):
            return f"{command[0]} is not a Python program"
        return _parsed(program, command[1:], cwd, env)
    python, *options = with_shebang or [""]
    if not os.path.basename(python).startswith(("python", "pypy")):
        return f"{command[0]} is not a Python program"
    return _parsed(python, [*options, program, *command[1:]], cwd, env)


def _program(name: str, cwd: Path, env: Mapping[str, str]) -> str | None:
    if "/" in name:
        path = os.path.join(cwd, name)
        return path if os.path.isfile(path) else None
    return shutil.which(name, path=env.get("PATH"))


def _shebang(program: str, env: Mapping[str, str]) -> list[str] | None:
    # None: no script at all; []: a script whose interpreter can't be told.
    try:
        with open(program, "rb") as file:  # noqa: PTH123 - a path as text, like all here
            line = file.read(_SHEBANG_BYTES).partition(b"\n")[0]
    except OSError:
        return None
    if not line.startswith(b"#!"):
        return None
    # The kernel hands over all that follows the interpreter as one argument.
    words = line[2:].decode(errors="replace").strip().split(None, 1)
    if words and os.path.basename(words[0]) == "env":
        rest = words[1] if len(words) > 1 else ""
        words = shlex.split(rest.removeprefix("-S")) if rest.startswith("-S") else [rest]
        found = shutil.which(words[0], path=env.get("PATH")) if words else None
        words = [found, *words[1:]] if found else []
    return words


def _parsed(
    python: str, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> Entry | str:
    rest = list(arguments)
    flags: list[str] = []
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            if word != "--check-hash-based-pycs":
                return f"the option {word} is not one that starts a program"
            del rest[:1]
            continue
        named = _option(word[1:], rest, flags)
        if isinstance(named, str):
            return named
        if named is not None:
            kind, what = named
            first = "" if _safe(flags, env) else os.path.abspath(cwd)
            return Entry(kind, what, python, tuple(flags), first)
    return _file(rest, python, flags, cwd, env)


def _option(letters: str, rest: list[str], flags: list[str]) -> tuple[Kind, str] | str | None:
    # Takes the value from `rest` where it stands apart; adds to `flags`. A pair names the program.
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _TAKES_VALUE:
            value = letters or (rest.pop(0) if rest else "")
            if letter == "X":
                flags += [f"-X{value}"] if value.startswith("frozen_modules") else []
                return None
            if letter == "W":
                return None
            kind = Kind.CODE if letter == "c" else Kind.MODULE
            return (kind, value) if value else f"the option -{letter} has no value"
        if letter not in _FLAGS:
            return f"the option -{letter} is not one that starts a program"
        flags += [f"-{letter}"] if letter in _FINDING else []
    return None


def _file(
    rest: list[str], python: str, flags: list[str], cwd: Path, env: Mapping[str, str]
) -> Entry | str:
    if not rest or rest[0] == "-":
        return "the program is read from standard input"
    path = os.path.join(cwd, rest[0])
    if os.path.isdir(path):
        return Entry(Kind.FOLDER, path, python, tuple(flags), os.path.abspath(path))
    if not os.path.isfile(path):
        return f"{rest[0]} is not there"
    if zipfile.is_zipfile(path):
        return f"{rest[0]} is an archive: its names are not looked at"
    # CPython follows a link to the script before it takes the folder.
    first = "" if _safe(flags, env) else os.path.dirname(os.path.realpath(path))
    return Entry(Kind.SCRIPT, path, python, tuple(flags), first)


def _safe(flags: list[str], env: Mapping[str, str]) -> bool:
    isolated = "-I" in flags
    return isolated or "-P" in flags or (bool(env.get("PYTHONSAFEPATH")) and "-E" not in flags)
