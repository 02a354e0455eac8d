"""The entry: finds the command, and turns every way it can end into an exit code.

0 done, 1 failed, 2 usage or config error, 3 a bot is in FAILED, 130 interrupted. A person sees
`error:` and `hint:` lines, never a traceback.
"""

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from supervisor.core.errors import ConfigError, SupervisorError
from supervisor.core.version import VERSION

FAILED, USAGE, INTERRUPTED = 1, 2, 130

_LOOK = "look at that path: what it is, who may write there, its disk"
_ROOM = "make room on that disk, then do it again: nothing was lost"
_FEW = "close other programs, or raise the limit (ulimit -n), then do it again"
# What the machine may lack, whatever it is about.
_LACKS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EIO: "look after the disk (dmesg tells more), then do it again",
    errno.EROFS: "the disk can only be read: mount it so that it can be written",
    errno.EMFILE: _FEW,
    errno.ENFILE: _FEW,
    errno.ENOMEM: "close other programs, then do it again",
}

# Only the command that is asked for is imported.
COMMANDS = {
    "dev": ("supervisor.cli.dev", "Watch, restart at every save, show the console."),
    "run": ("supervisor.cli.dev", "Run as a service: no watching, no keys."),
    "init": ("supervisor.cli.init", "Look at this folder, write a config.toml for its bot."),
    "doctor": ("supervisor.cli.doctor", "Find what is wrong, say what to type."),
    "status": ("supervisor.cli.status", "Show what runs."),
    "events": ("supervisor.cli.events", "Show what happened."),
    "logs": ("supervisor.cli.events", "Show the bots' output."),
    "start": ("supervisor.cli.bots", "Start a bot, or all."),
    "stop": ("supervisor.cli.bots", "Stop a bot, or all."),
    "restart": ("supervisor.cli.bots", "Restart a bot, or all."),
    "pause": ("supervisor.cli.bots", "Collect changes, do not act on them."),
    "resume": ("supervisor.cli.bots", "Act on changes again."),
    "link": ("supervisor.cli.link", "Show the QR code until it is scanned."),
    "web": ("supervisor.cli.web", "Print the address of the page."),
    "reload": ("supervisor.cli.upgrade", "Take a new config; only the bots it changes notice."),
    "upgrade": ("supervisor.cli.upgrade", "Go on by the code that is installed now."),
    "verify": ("supervisor.cli.verify", "Try all that was promised, on a copy of your bot."),
    "alert": ("supervisor.cli.alert", "Try out how a person is told."),
    "systemd": ("supervisor.cli.systemd", "Run as a service: write its unit."),
    "session": ("supervisor.cli.session", "Look at sessions, back them up, bring them back."),
}

# The commands that stay, and so take only what they use.
STAYS = {"dev", "run"}


class _Broken(Exception):  # noqa: N818 - no error: nobody reads any more
    """The reader of our output is gone. By another name than click's, which would exit with 1."""


class _Lazy(click.Group):
    """The group of all commands; imports one when it is asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _Broken from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in STAYS:
            from supervisor.cli.lean import be_lean  # noqa: PLC0415 - the others have no need

            be_lean()
        found = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if not value or ctx.resilient_parsing:
        return
    click.echo(f"stillhere {VERSION}")
    ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="The config.toml to use.")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version)
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Restart a stateful bot without losing its session."""
    ctx.obj = {"config": config}


def say(message: str, hint: str = "") -> None:
    """Write an error and what to do about it; a lost stderr is no second error."""
    text = "".join(f"error: {line}\n" for line in message.splitlines() or ["failed"])
    if hint:
        text += f"hint: {hint}\n"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


def _unexpected(error: Exception) -> None:
    """Write the traceback to a private file and say where."""
    import tempfile  # noqa: PLC0415 - only for a bug
    import traceback  # noqa: PLC0415 - the same

    what = traceback.format_exception_only(error)[-1].strip()
    try:
        handle, name = tempfile.mkstemp(prefix="stillhere-", suffix=".txt")  # 0600
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
            stream.write("".join(traceback.format_exception(error)))
    except OSError:
        say(f"unexpected: {what}", "the traceback could not be written: no temporary file")
    else:
        say(f"unexpected: {what}", f"this is a bug in stillhere; the traceback is in {name}")


def _detach_stdout() -> None:
    """After a broken pipe: let Python's last flush go nowhere instead of complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        try:
            if not os.isatty(descriptor):
                os.dup2(nowhere, descriptor)
        except OSError:
            continue


def _usage(error: click.ClickException) -> int:
    """Say a mistake in the command line."""
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx is not None else "stillhere"
        say(error.format_message(), f"{where} --help")
        return USAGE
    say(error.format_message())
    return error.exit_code


def _told(error: Exception) -> int:
    """Tell a person what went wrong and return the exit code."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort():
            return INTERRUPTED
        case click.ClickException():
            return _usage(error)
        case SupervisorError():
            say(error.message, error.hint)
            return USAGE if isinstance(error, ConfigError) else FAILED
        case _Broken() | BrokenPipeError():
            _detach_stdout()
            return INTERRUPTED
        case OSError(filename=str(name), strerror=str(why)):
            # The machine's answer, and no bug: a disk that is full or read-only, a wrong kind.
            say(f"{why}: {name}", _LACKS.get(error.errno or 0, _LOOK))
        case OSError(errno=int(number), strerror=str(why)) if number in _LACKS:
            say(why, _LACKS[number])
        case _:
            _unexpected(error)
    return FAILED


def execute(args: list[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        code: Any = cli.main(args, prog_name="stillhere", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is, a person is told in one line
        return _told(error)
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """Run `stillhere`."""
    sys.exit(execute())
