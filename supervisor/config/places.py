"""Where sessions may lie: none in another's place, none around what is not its own."""

import os
import pwd
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from supervisor.config.kinds import shown
from supervisor.config.model import BotConfig, Config
from supervisor.config.patterns import covers, overlap


def problems(config: Config) -> Iterator[str]:
    """Yield what is wrong with the places of the bots' sessions, in words, key first."""
    ids: dict[str, str] = {}
    lying: list[_Lies] = []
    for bot in config.bots.values():
        # A companion locks by its name, so that counts as an id here.
        lock = bot.session or bot.name
        owner = ids.setdefault(lock, bot.name)
        if owner != bot.name:
            needs = f"an id that no other bot has (bot.{owner} has it)"
            yield _found(bot, "session", bot.session or bot.name, needs)
        elif bot.session:
            new = _Lies(bot.name, _real(config.session_dir(bot)), bot.session_files)
            owner = next((old.bot for old in lying if old.shares_with(new)), "")
            if owner and new.parts:
                needs = f"names that no other bot has in {new.folder} (bot.{owner} may)"
                yield _found(bot, "session_files", list(new.parts), needs)
            elif owner:
                needs = f"a folder that no other bot has (bot.{owner} has it)"
                yield _found(bot, "session_path", str(bot.session_path), needs)
            else:
                lying.append(new)
            if bot.session_files and bot.user and pwd.getpwnam(bot.user).pw_uid:
                # We would be root in a folder in which the bot may put anything, at any time.
                needs = "no `user` beside it: let the supervisor itself be that user"
                yield _found(bot, "session_files", list(bot.session_files), needs)
    yield from _around(lying, config)


def _around(lying: "Sequence[_Lies]", config: Config) -> Iterator[str]:
    """A session is copied and moved as a whole: nothing that is not of it may lie in it."""
    kept = [_real(path) for path in (config.path, config.snapshots, config.state)]
    store, sessions = kept[1], _real(config.sessions)
    for each in lying:
        bot = config.bots[each.bot]
        others = [other.folder for other in lying if other is not each]
        if each.parts and each.folder.is_relative_to(store):
            needs = f"a folder outside of {store}, where the snapshots lie"
            yield _found(bot, "session_path", str(each.folder), needs)
        for other in (*kept, *others, *([sessions] if each.parts else [])):
            if not each.holds(other):
                continue
            if each.parts:
                needs = f"names of the session's own: {other} would be moved with it"
                yield _found(bot, "session_files", list(each.parts), needs)
            else:
                needs = f"a folder of the session's own, without {other} in it"
                yield _found(bot, "session_path", str(each.folder), needs)
            break


def _found(bot: BotConfig, key: str, value: object, needs: str) -> str:
    return f"bot.{bot.name}.{key}: found {shown(value)}, needs {needs}"


class _Lies(NamedTuple):
    """Where a bot's session lies: the whole of `folder`, or the `parts` of it."""

    bot: str
    folder: Path
    parts: tuple[str, ...]

    def shares_with(self, other: "_Lies") -> bool:
        """Return whether something may be of both."""
        whole = not self.parts or not other.parts
        return self.folder == other.folder and (
            whole or any(overlap(one, two) for one in self.parts for two in other.parts)
        )

    def holds(self, path: Path) -> bool:
        """Return whether that is of the session, or something of that is."""
        if not path.is_relative_to(self.folder):
            return False
        if not self.parts:
            return True
        inside = path.relative_to(self.folder).parts
        return bool(inside) and covers(self.parts, inside[0])


def _real(path: Path) -> Path:
    """Return where a path leads; of links that lead round and round, as far as that is known."""
    try:
        return Path(os.path.realpath(path))  # Path.resolve() raises for those
    except ValueError:
        return path  # of a name with a NUL in it, which is told elsewhere
