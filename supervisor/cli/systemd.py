"""`stillhere systemd`: writes the unit that runs the bots as a service."""

import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli import target
from supervisor.core.errors import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.config import Config
    from supervisor.service.systemd.place import Place

_SYSTEM = Path("/etc/systemd/system")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@click.group(name="systemd")
def systemd() -> None:
    """Run the bots as a service of systemd's: Type=notify, a watchdog, a sandbox."""


def _options(command: "Callable[..., int]") -> "Callable[..., int]":
    for option in (
        click.option("--user", "manager", is_flag=True, help="For your own user's systemd."),
        click.option("--as", "user", metavar="USER", help="Who runs it (default: the owner)."),
        click.option("--name", help="The service's name (default: stillhere-FOLDER)."),
        target.config_option,
    ):
        command = option(command)
    return command


@systemd.command()
@_options
@click.pass_context
def show(ctx: click.Context, *, manager: bool, user: str | None, name: str | None) -> int:
    """Print the unit, and change nothing."""
    from supervisor.service.systemd import unit  # noqa: PLC0415 - quick commands skip it

    config, place = _look(ctx, manager=manager, user=user, name=name)
    click.echo(unit.text(config, place), nl=False)
    return 0


@systemd.command()
@_options
@click.option("--force", is_flag=True, help="Also over a unit that was written by somebody else.")
@click.option("--into", type=click.Path(path_type=Path), help="The folder of the units.")
@click.pass_context
def install(
    ctx: click.Context,
    *,
    manager: bool,
    user: str | None,
    name: str | None,
    force: bool,
    into: Path | None,
) -> int:
    """Write the unit where systemd finds it, and say what to run next."""
    from supervisor.service.systemd import unit  # noqa: PLC0415 - quick commands skip it

    config, place = _look(ctx, manager=manager, user=user, name=name)
    text = unit.text(config, place)
    path = (into or _folder(manager=manager)).absolute() / f"{place.name}.service"
    found = _read(path)
    if found == text:
        click.echo(f"{path} is up to date")
        return 0
    if found is not None and not force and not unit.ours(found):
        raise SupervisorError(
            f"{path} is there, and was not written by stillhere or was edited since",
            "keep your changes with `systemctl edit`; --force: write it anew",
        )
    _make_folders(config, place)
    _write(path, text)
    for line in _next(path, place, again=found is not None):
        click.echo(line)
    return 0


def _look(
    ctx: click.Context, *, manager: bool, user: str | None, name: str | None
) -> "tuple[Config, Place]":
    from supervisor.presets.choose import load  # noqa: PLC0415 - quick commands skip it
    from supervisor.service.systemd import place as places  # noqa: PLC0415 - the same

    path = target.find(ctx)
    if path is None:
        raise target.no_config()
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a linked file keeps its own folder
    name = name or places.unit_name(path.parent)
    if not _NAME.fullmatch(name):
        raise SupervisorError(
            f"{name!r} is no name for a service", "letters, digits, and _ . - within"
        )
    if manager and user:
        raise SupervisorError("--user and --as exclude each other", "your own systemd runs as you")
    who = _ourselves() if manager else user or places.owner(path)
    if not manager:
        # "~" in the config means the home of who will read it there.
        os.environ["HOME"] = str(places.home_of(who, name))
    config = load(path)
    if not manager:
        who = places.runs_as(config, who, asked=bool(user))
    return config, places.look(config, name=name, user=who, manager=manager)


def _ourselves() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise SupervisorError(
            f"uid {os.getuid()} has no name here, so no systemd of its own",
            "as root, for the system's: stillhere systemd install --as USER",
        ) from error


def _folder(*, manager: bool) -> Path:
    if not manager:
        return _SYSTEM
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _make_folders(config: "Config", place: "Place") -> None:
    """Make what the unit names: systemd refuses to start with a folder that is not there."""
    from supervisor.service.systemd import unit  # noqa: PLC0415 - quick commands skip it

    for folder in unit.folders_to_make(config, place):
        missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
        for each in reversed(missing):
            each.mkdir(mode=0o700)
            if place.user and os.geteuid() == 0:
                entry = pwd.getpwnam(place.user)
                os.chown(each, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def _write(path: Path, text: str) -> None:
    """Write a file that everybody may read, whole or not at all."""
    from supervisor.session import files  # noqa: PLC0415 - quick commands skip it

    files.make_private(path.parent)
    files.replace_synced(path, text.encode("utf-8", "surrogateescape"), path.parent)
    path.chmod(0o644)


def _next(path: Path, place: "Place", *, again: bool) -> list[str]:
    control = "systemctl --user" if place.manager else "systemctl"
    lines = [f"wrote {path}", "next:", f"  {control} daemon-reload"]
    lines.append(f"  {control} {'restart' if again else 'enable --now'} {place.name}")
    if place.manager:
        lines.append("  loginctl enable-linger   # so that it runs while you are not logged in")
    elif place.user == "root":
        lines.append("note: it runs as root. A user of its own is safer: --as USER")
    ask = f"sudo -u {place.user} " if place.user not in ("", "root") and not place.manager else ""
    lines.append(f"then: {ask}stillhere status   (in the folder of the config)")
    return lines
