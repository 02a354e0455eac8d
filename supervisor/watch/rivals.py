"""Says whether what starts a bot watches its source, too: then two restart it at each save.

And it takes what we write beside the bot for source of its own.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from supervisor.watch.node import inside

_WATCHERS = {
    *("nodemon", "ts-node-dev", "tsnd", "node-dev"),
    *("watchfiles", "watchmedo", "watchexec", "entr"),
}
_RUNNERS = {"node", "nodejs", "tsx", "bun", "deno", "uvicorn", "gunicorn", "hypercorn"}
_OPTIONS = {"--watch", "--watch-path", "--hot", "--reload"}
_DEEP = 4  # a script may run itself


def rival(command: Sequence[str], cwd: Path) -> str:
    """Return what watches, as it stands in the command or in package.json; "" if nothing does.

    Looks through npm and its kind, by the scripts in `cwd`, and through `sh -c`.
    """
    words: list[str] | None = list(command)
    for _ in range(_DEEP):
        if not words:
            break
        if words[1:2] == ["-m"] and Path(words[0]).name.startswith("python"):
            words = words[2:]
        name = Path(words[0]).name if words else ""
        if name in _WATCHERS:
            return name
        if name in _RUNNERS:
            return next((f"{name} {word}" for word in _options(words, cwd, name)), "")
        words = inside(name, words[1:], cwd)
    return ""


def _options(words: Sequence[str], cwd: Path, name: str) -> Iterator[str]:
    """Yield what of a runner's own words makes it watch; what follows its program is not its."""
    for word in takewhile(lambda word: not (cwd / word).is_file(), words[1:]):
        if word.partition("=")[0] in _OPTIONS or (name, word) == ("tsx", "watch"):
            yield word.partition("=")[0]
