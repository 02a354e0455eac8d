"""Prepares what the rows act on, and clears it away, whatever happens in between."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supervisor.config import BotConfig, Config
from supervisor.verify import scratch
from supervisor.verify.pairing import ByCommand, ByHand, Item, Pairing
from supervisor.verify.trial import Trial
from supervisor.verify.watched import Attached, Own

_SPARE_S = 20.0


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
    longest_s = max(each.stop_timeout_s for each in copy.config.bots.values())
    own = Own(copy.root, stop_s=longest_s + _SPARE_S)
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
        try:
            own.close()
        finally:  # also where a second Ctrl-C ends that
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
    for named in dict.fromkeys(path for path, _ in added):
        path = Path(os.path.realpath(named))  # a link stays one
        if not path.is_file():
            continue
        before = path.read_bytes()
        content = before
        for each, comment in added:
            if each == named:
                content = content.replace(comment, b"")
        if content == before:
            continue
        beside = path.with_name(f".{path.name}.stillhere~")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        shutil.copymode(path, beside)
        with suppress(PermissionError):  # another user's file, where only its folder is ours
            shutil.chown(beside, path.stat().st_uid, path.stat().st_gid)
        beside.replace(path)
