"""What the patterns of `session_files` mean: names in one folder. Pure: looks at no disk.

A pattern is a glob of fnmatch on a first-level name, case and all. What SQLite keeps beside a
database goes with it, whether the name is a database's or not: nobody can tell once it is gone.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

# https://sqlite.org/fileformat2.html and walformat.html.
COMPANIONS = ("-wal", "-journal", "-shm")
# How our own entries begin that may lie beside a session's: no pattern reaches them.
OURS = (".session-", ".moving-", ".stillhere-export-")
_ANY, _ONE = "*", "?"
# A name that is none, for what a class of letters may be.
_Token = tuple[str, str]


@lru_cache(maxsize=64)
def named(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return whether a name itself fits one of these, what is ours aside."""
    fits = re.compile("|".join(fnmatch.translate(glob) for glob in patterns) or r"(?!)").match

    def is_one(name: str) -> bool:
        return bool(name) and bool(fits(name)) and not name.startswith(OURS)

    return lru_cache(maxsize=1 << 12)(is_one)


@lru_cache(maxsize=64)
def around(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return whether a name is of the session, or comes and goes with it.

    That is what we put beside it, and the drafts of a bot that writes a file by a rename.
    """
    drafts = [
        draft for glob in patterns for draft in (f".{glob.removeprefix('.')}*", f"{glob}.*tmp*")
    ]
    fits = named(tuple(drafts))
    return lambda name: name.startswith(OURS) or covers(patterns, name) or fits(name)


def beside(name: str) -> str:
    """Return of which database a file of this name would be a companion; "" for none."""
    end = next((end for end in COMPANIONS if name.endswith(end)), "")
    return name.removesuffix(end) if end else ""


def covers(patterns: Sequence[str], name: str) -> bool:
    """Return whether a name fits one of these, or is called like a companion of one that does."""
    fits = named(tuple(patterns))
    return fits(name) or fits(beside(name))


def overlap(one: str, other: str) -> bool:
    """Return whether some name may be of both: rather yes than no, where there are classes."""
    ends = ("", *COMPANIONS)
    pairs = [(one + end, other) for end in ends] + [(one, other + end) for end in ends]
    return any(_meet(tuple(_tokens(left)), tuple(_tokens(right))) for left, right in pairs)


def _tokens(glob: str) -> list[_Token]:
    """Return a glob's parts: `*`, something that is one letter, or that letter."""
    found: list[_Token] = []
    at = 0
    while at < len(glob):
        end = _class_end(glob, at) if glob[at] == "[" else 0
        if end:
            found.append((_ONE, glob[at:end]))
        elif glob[at] in (_ANY, _ONE):
            found.append((glob[at], glob[at]))
        else:
            found.append(("", glob[at]))
        at = end or at + 1
    return found


def _class_end(glob: str, at: int) -> int:
    """Return where the class that begins there ends; 0 for a bracket that is just one."""
    first = at + 2 if glob[at + 1 : at + 2] == "!" else at + 1
    end = glob.find("]", first + 1)
    return end + 1 if end > 0 else 0


def _meet(one: tuple[_Token, ...], other: tuple[_Token, ...]) -> bool:
    """Return whether one text may be both."""
    # How far the other one may be read, at each part of this.
    reached = _through_stars({0}, other)
    for kind, text in one:
        if kind == _ANY:
            reached = set(range(min(reached, default=len(other) + 1), len(other) + 1))
        else:
            reached = _through_stars(
                {
                    at if other[at][0] == _ANY else at + 1
                    for at in reached
                    if at < len(other) and (other[at][0] == _ANY or _same(text, kind, other[at]))
                },
                other,
            )
    return len(other) in reached


def _through_stars(places: set[int], tokens: tuple[_Token, ...]) -> set[int]:
    """Return these places, and those behind stars that stand for nothing."""
    found: set[int] = set()
    for place in places:
        at = place
        found.add(at)
        while at < len(tokens) and tokens[at][0] == _ANY:
            at += 1
            found.add(at)
    return found


def _same(text: str, kind: str, token: _Token) -> bool:
    """Return whether a letter may be both; of two classes that is not told apart."""
    if kind == _ONE and token[0] == _ONE:
        return True
    if kind == _ONE:
        return fnmatch.fnmatchcase(token[1], text)
    return fnmatch.fnmatchcase(text, token[1]) if token[0] == _ONE else text == token[1]
