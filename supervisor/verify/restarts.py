"""The rows that restart it: the supervisor anew, a save, by hand, many times, left alone."""

import statistics
from pathlib import Path

from supervisor.verify.model import Outcome
from supervisor.verify.rest import rested
from supervisor.verify.trial import Back, Trial, failed, judged, not_applicable, passed

# How a comment begins, by the end of a file's name.
_COMMENT = {
    **dict.fromkeys((".py", ".sh", ".rb", ".pl"), "#"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".go", ".rs", ".php"), "//"),
}
_SEEN_S = 10.0
_RANK = ("__main__.py", "main.py", "bot.py", "index.js", "index.ts", "bot.js", "main.js")


def restored(trial: Trial) -> Outcome:
    """Row 4: all of it is stopped, and started again."""
    if trial.mode == "live":
        did = "stopped the bot, and started it"
        trial.watched.client.call("stop", bot=trial.bot.name)
        after = trial.watched.mark()
        trial.watched.client.call("start", bot=trial.bot.name)
        return judged(did, trial.back(after))
    did = "stopped the supervisor, and started it again"
    own = trial.own()
    own.stop()
    after = len(own.events)
    own.start()
    return judged(did, trial.back(after))


def save(trial: Trial) -> Outcome:
    """Row 5: a changed source file."""
    path = source(trial)
    if path is None:
        return not_applicable("no source file of a known language is watched")
    did = f"saved {path.relative_to(trial.config.root)}"
    back = saved(trial, path)
    trial.learnt.source = path if not back.why else None
    if back.why.startswith("nothing came of it"):
        return failed(did, "the save was not seen: see `watch`, `watch_only` and `ignore`")
    return judged(did, back)


def manual(trial: Trial) -> Outcome:
    """Row 6: `stillhere restart`."""
    return judged("stillhere restart", by_hand(trial))


def many(trial: Trial) -> Outcome:
    """Row 7: several, one right after the other."""
    path = trial.learnt.source
    how = f"saved {path.name}" if path is not None else "restarted it by hand"
    did = f"{how} {trial.restarts} times"
    took: list[float] = []
    for number in range(1, trial.restarts + 1):
        back = saved(trial, path) if path is not None else by_hand(trial)
        if back.why:
            measured = f"{number - 1} of {trial.restarts}"
            return failed(did, f"restart {number}: {back.why}", measured)
        took.append(back.took)
    middle = statistics.median(took)
    return passed(
        did,
        f"{len(took)} of {trial.restarts}, back in {middle:.2f} s in the middle "
        f"({min(took):.2f}-{max(took):.2f}), 0 QR codes",
    )


def stable(trial: Trial) -> Outcome:
    """Row 8: nothing is done to it, and nothing happens."""
    rest = rested(trial)
    did = f"left it alone for {trial.rest_s:.0f} s"
    if rest.trouble:
        return failed(did, rest.trouble)
    return passed(did, "online throughout, the same generation")


def by_hand(trial: Trial) -> Back:
    """Restart it as a person does."""
    after = trial.watched.mark()
    trial.watched.client.call("restart", bot=trial.bot.name)
    return trial.back(after)


def saved(trial: Trial, path: Path) -> Back:
    """Change a file, and see the bot restart."""
    after = trial.watched.mark()
    trial.learnt.saves += 1
    number = trial.learnt.saves
    comment = f"\n{_COMMENT[path.suffix]} stillhere verify: save {number}\n".encode()
    trial.added.append((path, comment))
    with path.open("ab") as file:
        file.write(comment)
    name = trial.bot.name
    if trial.watched.wait(
        lambda e: e.get("bot") == name and e["event"] in ("changed", "held"), after, _SEEN_S
    ):
        return trial.back(after)
    return Back(why=f"nothing came of it within {_SEEN_S:.0f} s")


def source(trial: Trial) -> Path | None:
    """Return the file to be changed: what the command names, else what a program begins with."""
    bot = trial.bot
    for word in bot.command[1:]:
        path = bot.cwd / word
        if path.suffix in _COMMENT and path.is_file():
            return path
    found = [
        path
        for place in bot.watch
        for path in ([place] if place.is_file() else sorted(place.rglob("*")))
        if path.suffix in _COMMENT and path.is_file() and not _apart(path, trial.config.root)
    ]
    module = bot.command[bot.command.index("-m") + 1] if "-m" in bot.command[:-1] else ""
    inside = bot.cwd / module.replace(".", "/")

    def rank(path: Path) -> tuple[bool, int, int]:
        known = _RANK.index(path.name) if path.name in _RANK else len(_RANK)
        return (bool(module) and not path.is_relative_to(inside), known, len(path.parts))

    return min(found, key=rank, default=None)


def _apart(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ("node_modules",)
    return any(part == "node_modules" or part.startswith(".") or part == "venv" for part in parts)
