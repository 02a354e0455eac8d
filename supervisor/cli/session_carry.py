"""`stillhere session prune`, `export`, `import`: make room, take a session out, bring one in."""

from pathlib import Path

import click

from supervisor.cli import target, words
from supervisor.cli.progress import ProgressLine
from supervisor.cli.session_change import change, consent, yes_option
from supervisor.cli.sessions import identify, open_manager
from supervisor.core.errors import SupervisorError


@click.command()
@click.argument("session_id", metavar="[ID]", required=False)
@target.config_option
@target.json_option
@click.pass_context
def prune(ctx: click.Context, session_id: str | None, *, as_json: bool) -> int:
    """Remove the snapshots that need not stay; each snapshot does so by itself."""
    config = target.config(ctx)
    chosen = identify(config, session_id)
    result = change(config, "prune", chosen, lambda manager: manager.cleanup_old_backups(chosen))
    removed = result["removed"] if isinstance(result, dict) else result
    torn = open_manager(config, chosen).stops_pruning(chosen)
    if as_json:
        target.echo_json({"id": chosen, "removed": removed, "stopped_by": torn})
    else:
        click.echo(f"{len(removed)} removed" + "".join(f"\n  {words.clean(n)}" for n in removed))
    if torn:
        raise SupervisorError(
            f"nothing is pruned while this can't be read: {words.names(torn)}",
            f"it may need any pack. If you don't need it, move it out of {config.snapshots}; "
            f"what else is there: stillhere session check {chosen}",
        )
    return 0


@click.command()
@click.argument("session_id", metavar="ID")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--snapshot", help="This one (its id or seq) instead of the newest whole one.")
@target.config_option
@click.pass_context
def export(ctx: click.Context, session_id: str, path: Path, snapshot: str | None) -> int:
    """Write a snapshot to PATH: a plain folder, or one file if PATH ends in .tar.zst."""
    config = target.config(ctx)
    chosen = identify(config, session_id)
    manager = open_manager(config, chosen)
    with ProgressLine("writing the session", manager):
        written = manager.export(chosen, path, snapshot)
    click.echo(f"session {chosen} written to {written}: whoever has it is the device")
    return 0


@click.command(name="import")
@click.argument("session_id", metavar="ID")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@yes_option
@target.config_option
@click.pass_context
def import_(ctx: click.Context, session_id: str, path: Path, *, yes: bool) -> int:
    """Make the session in PATH (from `export`) the live one; the bot must be stopped."""
    from supervisor.session.incoming import doubts  # noqa: PLC0415 - the help needs none

    config = target.config(ctx)
    chosen = identify(config, session_id)
    manager = open_manager(config, chosen)
    manager.refuse_import(chosen, path, config.root)
    doubtful = doubts(path)
    for doubt in doubtful:
        click.echo(f"this may be no session: {doubt}", err=True)
    all_the_same = " all the same" if doubtful else ""
    consent(
        f"import {path} as session {chosen}{all_the_same}? What is live now goes to quarantine",
        yes=yes,
    )
    with ProgressLine("reading the session", manager):
        quarantined = manager.import_(chosen, path)
    click.echo(f"session {chosen} imported; its next start adopts it")
    for note in manager.left_out:
        click.echo(f"not imported: {words.clean(note)}")
    if quarantined:
        click.echo(f"the session before is in quarantine: {quarantined}")
    return 0
