"""`stillhere doctor`: says what is wrong, why, and what to type. What is found, it only prints."""

import sys
from pathlib import Path
from typing import Any

import click

from supervisor.cli import target, words
from supervisor.core.errors import SupervisorError
from supervisor.doctor.checks import CHECKS
from supervisor.doctor.examine import Report, examine, lay
from supervisor.doctor.findings import Finding
from supervisor.doctor.ground import Ground

FOUND, REFUSED = 1, 2
_SIGNS = {"problem": "✗", "unknown": "?", "note": "!", "ok": "✓"}
_PLAIN = {"problem": "x", "unknown": "?", "note": "!", "ok": "+"}


@click.command()
@click.argument("bot", required=False)
@click.option("--fix", is_flag=True, help="Do what is safe; each is shown, and asked for.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("-v", "--verbose", is_flag=True, help="Show what was fine, too.")
@target.config_option
@target.json_option
@click.pass_context
def doctor(
    ctx: click.Context, bot: str | None, *, fix: bool, yes: bool, verbose: bool, as_json: bool
) -> int:
    """Find what is wrong with BOT (or all bots) and this machine, and say what to type.

    It changes nothing without --fix. Exit code 1: something needs a person; 2: the config can't
    be read.
    """
    if yes and not fix:
        raise click.UsageError("--yes goes with --fix")
    named, here = target.given(ctx), Path.cwd()
    ground = lay(here, named=named, only=bot)
    report = examine(ground)
    mended: list[str] = []
    if fix:
        mended = _mend(report, ask=not yes, quiet=as_json)
        if mended:  # what was mended may have been the cause of something else
            ground = lay(here, named=named, only=bot)
            report = examine(ground)
    if as_json:
        target.echo_json(_as_json(ground, report, mended))
    else:
        idle = not ground.running and ground.silent is None and ground.refused is None
        for line in told(report, verbose=verbose, signs=_signs(), idle=idle):
            click.echo(line)
    if ground.refused is not None:
        return REFUSED
    return FOUND if report.of("problem") else 0


def _signs() -> dict[str, str]:
    try:
        "".join(_SIGNS.values()).encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return _PLAIN
    return _SIGNS


def _mend(report: Report, *, ask: bool, quiet: bool) -> list[str]:
    """Do what is safe, as far as it is wanted. Returns what was done."""
    done: list[str] = []
    if report.of("problem") and not any(each.mend for each in report.findings) and not quiet:
        click.echo("nothing here is safe to do without a person", err=True)
    for finding in report.findings:
        if finding.mend is None:
            continue
        says = words.clean(finding.mend.says)
        if ask and not sys.stdin.isatty():
            click.echo(f"not done, there is nobody to ask (--yes does not): {says}", err=True)
            continue
        if not quiet or ask:
            click.echo(f"{_name(finding)}: {words.clean(finding.seen)}", err=True)
        if ask and not click.confirm(f"do it? {says}", default=False, err=True):
            continue
        try:
            finding.mend.act()
        except (SupervisorError, OSError) as error:
            why = error.message if isinstance(error, SupervisorError) else str(error)
            click.echo(f"not done: {says}: {words.clean(why)}", err=True)
            continue
        done.append(says)
        if not quiet:
            click.echo(f"done: {says}", err=True)
    return done


def _as_json(ground: Ground, report: Report, mended: list[str]) -> dict[str, Any]:
    return {
        "config": str(ground.path) if ground.written else None,
        "running": ground.running,
        "problems": len(report.of("problem")),
        "checks": report.checks,
        "mended": mended,
        "findings": [finding.as_json() for finding in report.findings],
        "known": [{"id": check.id, "symptom": check.symptom} for check in CHECKS],
    }


def told(report: Report, *, verbose: bool, signs: dict[str, str], idle: bool = False) -> list[str]:
    """Return what a person reads: the answer first. `idle`: no supervisor runs."""
    lines = [_answer(report) + ("; no supervisor runs here now" if idle else "")]
    for finding in report.of("problem", "unknown", "note"):
        lines += ["", *_lines(finding, signs)]
    if verbose:
        fine = report.of("ok")
        lines += [""] * bool(fine)
        lines += [f"{signs['ok']} {_name(each)}: {words.clean(each.seen)}" for each in fine]
    return lines


def _answer(report: Report) -> str:
    problems, unknown = len(report.of("problem")), len(report.of("unknown"))
    found = words.count(problems, "problem") if problems else "no problem"
    rest = f"; {unknown} could not be made" if unknown else ""
    return f"{found} in {words.count(report.checks, 'check')}{rest}"


def _name(finding: Finding) -> str:
    return f"{finding.check} ({words.clean(finding.bot)})" if finding.bot else finding.check


def _lines(finding: Finding, signs: dict[str, str]) -> list[str]:
    lines = [f"{signs[finding.severity]} {_name(finding)}: {words.clean(finding.seen)}"]
    if finding.cause:
        lines.append(f"    why: {words.clean(finding.cause)}")
    if finding.fix:
        lines.append(f"    fix: {words.clean(finding.fix)}")
    if finding.edit:
        lines.append("         in config.toml (stillhere init writes one, if there is none):")
    lines += [f"           {words.clean(line)}" for line in finding.edit.splitlines()]
    lines += [f"         $ {words.clean(command)}" for command in finding.commands]
    if finding.mend is not None:
        lines.append("    --fix does it")
    return lines
