"""Prepares what the rows act on, and clears it away, whatever happens in between."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from supervisor.config import BotConfig, Config
from supervisor.verify import scratch
from supervisor.verify.pairing import ByCommand, ByHand, Item, Pairing
from supervisor.verify.trial import Trial
from supervisor.verify.watched import Attached, Own


@contextmanager
def prepared(
    config: Config, bot: BotConfig, how: str, *, show: Callable[[Item], None], keep: bool
) -> Iterator[Trial]:
    """Yield the trial of a bot.

    `how`: `live`; or of a copy whose session is made anew by `pair`, the bot's command, or by a
    `scan` of what `show` draws; or a `copy` of the session, too. `keep`: the copy's folder stays.
    Raises: SupervisorError.
    """
    if how == "live":
        with _live(config, bot) as trial:
            yield trial
        return
    copy = scratch.make(config, bot, with_session=how == "copy", keep=keep)
    own = Own(copy.root)
    try:
        pairing: Pairing | None = None
        if how == "pair":
            pairing = ByCommand(copy.config, copy.bot)
        elif how == "scan":
            pairing = ByHand(show)
        trial = Trial(
            config=copy.config,
            bot=copy.bot,
            mode="scratch",
            watched=own,
            pairing=pairing,
            fresh=how != "copy",
        )
        if how == "scan":
            trial.notes.append("remove the devices that were linked for this on your phone")
        if keep:
            trial.notes.append(f"the copy is kept in {copy.folder}: it holds a session")
        yield trial
    finally:
        own.close()
        if not keep:
            copy.remove()


@contextmanager
def _live(config: Config, bot: BotConfig) -> Iterator[Trial]:
    watched = Attached(config.path)
    trial = Trial(config=config, bot=bot, mode="live", watched=watched, pairing=None, fresh=False)
    try:
        yield trial
    finally:
        watched.close()
        _take_back(trial.added)


def _take_back(added: list[tuple[Path, bytes]]) -> None:
    """Take our comments out of the source again; whatever else was changed meanwhile stays."""
    for path in dict.fromkeys(path for path, _ in added):
        content = path.read_bytes()
        for each, comment in added:
            if each == path:
                content = content.replace(comment, b"")
        beside = path.with_name(f".{path.name}.stillhere~")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, path.stat().st_mode & 0o777)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        beside.replace(path)
