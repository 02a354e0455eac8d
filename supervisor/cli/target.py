"""What a command is about: which config, which bot, which session. Imports what it needs late."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from supervisor.control.client import Client
from supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from supervisor.config import Config

F = TypeVar("F", bound=Callable[..., Any])
FILE_NAME = "config.toml"


def _use(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(dict)["config"] = value


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=_use,
    expose_value=False,
    help="The config.toml to use (default: here or above).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def no_config() -> ConfigError:
    """Return the error for a folder without a config."""
    return ConfigError(
        (f"no {FILE_NAME} here or above, and no bot that is known ({Path.cwd()})",),
        "stillhere dev -- python bot.py runs one bot without a config",
    )


def guessed_command(folder: Path) -> list[str]:
    """Return the command that a folder without a config tells. Raises: ConfigError: none."""
    from supervisor.presets import command  # noqa: PLC0415 - quick commands skip it

    if not (found := command.guessed(folder)):
        raise no_config()
    return list(found)


def given(ctx: click.Context) -> Path | None:
    """Return the config that is named by --config, if it is there.

    Raises: ConfigError if the named file is missing.
    """
    named = (ctx.obj or {}).get("config")
    if named is None:
        return None
    path = Path(named).absolute()
    if not path.is_file():
        raise ConfigError((f"{path}: no such file",), "--config takes the path of a config.toml")
    return path


def find(ctx: click.Context) -> Path | None:
    """Return the config's path: the named one, else the nearest here or above."""
    path = given(ctx)
    if path is not None:
        return path
    # As supervisor.config.find, without its imports: `status` has to be quick.
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def client(ctx: click.Context) -> Client:
    """Return the client for the supervisor of this config.

    `dev -- COMMAND` needs no config.toml: its supervisor is found under the name of the file that
    is not there. Raises: ConfigError if there is neither.
    """
    path = find(ctx)
    if path is not None:
        return Client.for_config(path)
    found = Client.for_config(Path.cwd() / FILE_NAME)
    if not found.running():
        raise no_config()
    return found


def config(ctx: click.Context) -> "Config":
    """Return the loaded config; without a file, the defaults for this folder.

    Raises: ConfigError.
    """
    from supervisor.presets.choose import default_config, load  # noqa: PLC0415 - quick commands skip it

    path = find(ctx)
    if path is not None:
        return load(path)
    here = Path.cwd()
    found = default_config(here, ["python"])
    if not (found.sessions.is_dir() or found.snapshots.is_dir()):
        raise no_config()
    return found


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON: in ASCII where it holds what can't be written otherwise.

    The name of a file need be no text: what was changed may be called so.
    """
    text = json.dumps(value, indent=indent, default=str, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent, default=str)
    click.echo(text)
