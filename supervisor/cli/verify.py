"""`stillhere verify`: the acceptance list, tried on this bot, shown as it goes and as a table."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli import target, words
from supervisor.cli.dev import WithCommand
from supervisor.cli.progress import draws
from supervisor.cli.tables import table
from supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from supervisor.config import BotConfig, Config
    from supervisor.verify.model import Report, Result, Row
    from supervisor.verify.pairing import Item
    from supervisor.verify.trial import Trial

_MARK = {"pass": "pass", "fail": "FAIL", "n/a": "n/a", "not run": "not run"}
_CLEAR = "\r\x1b[K"


class _Shown:
    """Tells a person how far it is: a line for each test, and on a terminal which is tried now."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._draws = sys.stderr is not None and draws(sys.stderr)

    def telling(self, row: "Row") -> None:
        if self._draws and not self._quiet:
            click.echo(f"   ..   {row.number:>2} {row.name} ", err=True, nl=False)

    def told(self, result: "Result") -> None:
        if self._draws and not self._quiet:
            click.echo(_CLEAR, err=True, nl=False)
        if self._quiet:
            return
        outcome, row = result.outcome, result.row
        found = words.clean(outcome.measured)
        if outcome.why:
            found = "; ".join(part for part in (found, words.clean(outcome.why)) if part)
        click.echo(f"{_MARK[outcome.verdict]:<7} {row.number:>2} {row.name}: {found}")

    def code(self, item: "Item") -> None:
        """Draw a QR code to be scanned, or say that it was."""
        from supervisor.cli import qr  # noqa: PLC0415 - only where a person scans

        if isinstance(payload := item.get("qr"), str):
            _drawn, lines = qr.draw(payload, room=qr.columns(sys.stdout.fileno()), colours=True)
            click.echo("\n".join([*lines, "scan it with the phone: Linked devices"]))
        elif isinstance(picture := item.get("picture"), list):
            click.echo("\n".join(f"{row}\x1b[0m" for row in picture))
            click.echo("scan it with the phone: Linked devices")


def _bot(config: "Config", name: str | None) -> "BotConfig":
    """Return the bot that is meant. Raises: ConfigError if it is not clear."""
    own = {n: bot for n, bot in config.bots.items() if bot.session is not None}
    if name is None and len(own) == 1:
        return next(iter(own.values()))
    if name in own:
        return own[name]
    what = "has no session to verify" if name in config.bots else "is not there"
    problem = f"which bot? {config.path} has several" if name is None else f"bot {name!r} {what}"
    raise ConfigError((problem,), "stillhere verify BOT, with BOT one of " + ", ".join(own))


def _config(ctx: click.Context) -> "Config":
    from supervisor.presets.choose import default_config, load  # noqa: PLC0415 - as elsewhere

    command: list[str] | None = ctx.obj.get("command")
    path = target.find(ctx)
    if path is not None and not command:
        return load(path)
    return default_config(Path.cwd(), command or target.guessed_command(Path.cwd()))


def _how(bot: "BotConfig", *, live: bool, scan: bool, yes: bool) -> str:
    """Return `pair`, `scan`, `copy` or `live`: on what it is tried, as far as may be without harm.

    Raises: SupervisorError where a person has to choose, and nobody can be asked.
    """
    if live:
        _consent(bot, yes=yes)
        return "live"
    if scan:
        return "scan"
    if bot.verify.pair:
        return "pair"
    if bot.verify.isolated:
        return "copy"
    click.echo(
        f"{bot.name}: a chat network takes two copies of one session for a theft, and ends both. "
        "So no copy of it is run.\nEither link a copy as a device of its own (--scan, and remove "
        "it on the phone afterwards), or try the live bot (--live).",
        err=True,
    )
    _consent(bot, yes=yes)
    return "live"


def _consent(bot: "BotConfig", *, yes: bool) -> None:
    from supervisor.cli.session_change import consent  # noqa: PLC0415 - only then

    consent(
        f"Restart the live bot {bot.name} about ten times, adding a comment to a source file of it "
        "that is taken away again?",
        yes=yes,
    )


def _end_in_order() -> None:
    """Have SIGTERM and a terminal that hangs up end it as Ctrl-C does: what was made is removed."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup(1)
            signal.signal(each, signal.default_int_handler)


def _page_path(path: Path | None) -> Path | None:
    """Return where the page goes. Raises: ConfigError now, and not after the run."""
    if path is not None and not path.parent.is_dir():
        raise ConfigError((f"{path.parent} is not a folder",), "--html takes the path of a file")
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError((f"{path} can't be written",), "--html takes the path of a file")
    return path


@click.command(cls=WithCommand)
@click.argument("bot", required=False)
@click.option("--only", multiple=True, metavar="TEST", help="This test, and what it needs.")
@click.option(
    "--restarts",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="How many in a row.",
)
@click.option(
    "--rest",
    type=click.FloatRange(1, 3600),
    default=5.0,
    show_default=True,
    help="For how many seconds it is left alone.",
)
@click.option("--live", is_flag=True, help="Try the bot that runs, not a copy of it.")
@click.option("--scan", is_flag=True, help="Link the copy as a new device: you scan its QR code.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--keep", is_flag=True, help="Keep the copy's folder.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page.")
@target.config_option
@target.json_option
@click.pass_context
def verify(
    ctx: click.Context,
    bot: str | None,
    only: tuple[str, ...],
    restarts: int,
    rest: float,
    html: Path | None,
    *,
    live: bool,
    scan: bool,
    yes: bool,
    keep: bool,
    as_json: bool,
) -> int:
    """Try all that was promised on BOT: links, restarts, backups, damages, crashes.

    By default on a copy of its folder, with a session of its own; the original is only read.
    TEST is a number or a name of the list. Exit code 1: something failed.
    """
    from supervisor.verify import course, ground  # noqa: PLC0415 - quick commands skip it
    from supervisor.verify.rows import ROWS, chosen  # noqa: PLC0415 - the same

    try:
        chosen(only)
    except KeyError as error:
        known = ", ".join(row.key for row in ROWS)
        raise ConfigError((f"there is no test {error.args[0]!r}",), f"known: {known}") from None
    page = _page_path(html)
    config = _config(ctx)
    one = _bot(config, bot)
    how = _how(one, live=live, scan=scan, yes=yes)
    shown = _Shown(quiet=as_json)
    _end_in_order()
    with ground.prepared(config, one, how, show=shown.code, keep=keep) as trial:
        trial.restarts, trial.rest_s = restarts, rest
        if not as_json:
            click.echo(_said(trial))
        report = course.run(trial, only, shown.telling, shown.told)
    if as_json:
        target.echo_json(report.as_json())
    else:
        _print(report)
    if page is not None:  # at last: what was found is told even if this fails
        from supervisor.verify.page import page as drawn  # noqa: PLC0415 - only with --html

        page.write_text(drawn(report), "utf-8", errors="backslashreplace")
        if not as_json:
            click.echo(f"the page: {words.clean(page)}")
    return 0 if report.passed else 1


def _said(trial: "Trial") -> str:
    name = words.clean(trial.bot.name)
    if trial.mode == "live":
        return f"verifying {name} itself, as it runs"
    return f"verifying a copy of {name} in {words.clean(trial.config.root)}"


def _print(report: "Report") -> None:
    rows = [
        [each.name, each.target, words.clean(each.measured), _MARK[each.verdict]]
        for each in report.metrics
    ]
    if rows:
        click.echo("")
        for line in table(("METRIC", "TARGET", "MEASURED", ""), rows):
            click.echo(line)
    click.echo("")
    for note in report.notes:
        click.echo(words.clean(note))
    counts = dict.fromkeys(_MARK, 0)
    for result in report.results:
        counts[result.outcome.verdict] += 1
    said = ", ".join(f"{number} {_MARK[v].lower()}" for v, number in counts.items() if number)
    click.echo(f"{'passed' if report.passed else 'FAILED'}: {said}, in {report.took_s:.0f} s")
