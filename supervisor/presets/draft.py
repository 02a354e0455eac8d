"""Writes the config.toml of a folder that has none: what is assumed, as a person may change it."""

import json
from collections.abc import Iterable, Iterator

from supervisor.config import BotConfig, Config
from supervisor.core.printable import printable

_HEAD = """\
# How stillhere runs this bot. A relative path is relative to this file; all keys have defaults.
"""


def draft(config: Config) -> str:
    """Return the text of a config file that means what this config says."""
    return _HEAD + "".join(
        "\n" + "\n".join(_bot(bot, config)) + "\n" for bot in config.bots.values()
    )


def _bot(bot: BotConfig, config: Config) -> Iterator[str]:
    yield f"[bot.{bot.name}]"
    yield f"command = {_list(bot.command)}"
    yield f"session = {_text(bot.session or bot.name)}  # its id; the phone number, say"
    yield ""
    # The name of a file may be anything, the end of a comment among it.
    yield from (f"# {printable(line)}" for line in bot.assumed)
    yield f"preset = {_text(bot.library.name)}"
    if bot.session_path is not None:
        where = bot.session_path
        inside = where.is_relative_to(config.root)
        yield f"session_path = {_text(str(where.relative_to(config.root) if inside else where))}"
    if bot.session_files:
        yield f"session_files = {_list(bot.session_files)}"
    if bot.settle_s is not None:
        yield f"settle_s = {bot.settle_s:g}  # so long a login needs until it is on the disk"
    yield ""
    yield from _ready(bot)
    yield ""
    yield "# A save of these restarts it, in `stillhere dev`; never one of its session."
    yield 'watch = ["."]'
    if bot.watch_only:
        yield f"watch_only = {_list(bot.watch_only)}"
    yield f"ignore = {_list(bot.ignore)}"


def _ready(bot: BotConfig) -> Iterator[str]:
    if bot.ready.kind != "alive":
        yield "# It says itself when it is up, by the contract (docs/contract.md)."
        yield 'ready = "notify"'
        return
    yield "# When is it up? Once it says so, in words that its preset knows; or when it has run"
    yield '# for so long. A line that it prints then is surer: ready = { log = "logged in" }'
    yield f"ready = {{ alive_s = {bot.ready.value:g} }}"


def _text(value: str) -> str:
    # What JSON escapes TOML reads; a lone surrogate is no text in either.
    return json.dumps(value.encode("utf-8", "replace").decode(), ensure_ascii=False).replace(
        "\x7f", "\\u007f"
    )


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"
