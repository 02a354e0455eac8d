"""The project: its config, and what that says of the bots."""

from supervisor.doctor.findings import Finding, Findings
from supervisor.doctor.ground import Ground


def config(ground: Ground) -> Findings:
    """A config that is refused, with all that is wrong with it."""
    if ground.refused is None:
        return
    for problem in ground.refused.problems:
        if ground.written:
            cause, fix = "nothing is run by a config with a mistake in it", f"edit {ground.path}"
        else:
            cause, fix = "it does not tell how a bot is started", ground.refused.hint
        yield Finding(severity="problem", seen=problem, cause=cause, fix=fix)
