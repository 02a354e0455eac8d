"""Who must not be told to stop, since it passes that on by rules of its own.

tsx gives what it runs 30 ms to confirm a signal, sends it once more, and after 30 ms more it kills
it: on a busy machine the bot is gone before it has saved, or is told twice, which for many means
to leave everything and go. It ends with what it runs, so only that is told; and what started tsx
(`npm start`, a shell) ends with tsx.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from supervisor.process.tree import children
from supervisor.session.sight import looked

_TSX = ("/tsx/dist/cli.mjs", "/.bin/tsx")
_SHELLS = {"sh", "dash", "bash"}
_PACKAGERS = {"npm", "npx", "npm-cli.js", "npx-cli.js", "pnpm", "pnpm.cjs", "yarn", "yarn.js"}
_DEEP = 8


def told_to_stop(pids: Iterable[int]) -> list[int]:
    """Return who is to get a stop signal that is meant for `pids`, each once."""
    found: dict[int, None] = {}
    for pid in pids:
        found.update(dict.fromkeys(_below_tsx(pid) or [pid]))
    return list(found)


def _below_tsx(pid: int) -> list[int]:
    """Return what tsx runs, if `pid` is tsx or only waits for it; else nobody."""
    for _ in range(_DEEP):
        words, below = _words(pid), children(pid)
        if any(word.endswith(_TSX) for word in words[1:2]):
            # Who watches is told itself: it would only wait for the next save.
            return [] if words[2:3] == ["watch"] else below
        if len(below) != 1 or not _waits(words):
            return []
        pid = below[0]
    return []


def _words(pid: int) -> list[str]:
    try:
        text = looked(pid, Path(f"/proc/{pid}/cmdline").read_bytes)
    except OSError:
        return []
    return [os.fsdecode(word) for word in text.split(b"\0")]


def _waits(words: list[str]) -> bool:
    """Return whether a program only runs another: a shell for one line, npm and its kind."""
    names = [Path(word).name for word in words[:2]]
    # npm has its whole command line in the first word.
    return (
        (names[:1] != [] and names[0] in _SHELLS and "-c" in words[1:2])
        or not _PACKAGERS.isdisjoint(names)
        or (words[:1] != [] and words[0].partition(" ")[0] in _PACKAGERS)
    )
