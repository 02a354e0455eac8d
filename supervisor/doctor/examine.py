"""Asks all checks, each by itself: one that fails or hangs ends no other. It changes nothing."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from supervisor.config import BotConfig
from supervisor.core.errors import SupervisorError
from supervisor.doctor.checks import CHECKS, Check
from supervisor.doctor.findings import SEVERITIES, CannotTell, Finding, Findings
from supervisor.doctor.ground import Ground
from supervisor.doctor.world import World
from supervisor.process.masks import Masks

# A disk that hangs keeps who looks at it: so long we wait for one check.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Report:
    """What all checks said, the worst first; `checks`: how many were made."""

    findings: tuple[Finding, ...]
    checks: int

    def of(self, *severities: str) -> tuple[Finding, ...]:
        """Return the findings of these severities."""
        return tuple(each for each in self.findings if each.severity in severities)


def lay(
    here: Path, *, named: Path | None = None, only: str | None = None, world: World | None = None
) -> Ground:
    """Return what the checks look at; see Ground for the arguments.

    Raises: ConfigError for a bot that is not in the config; SupervisorError where the disk of the
    project does not answer.
    """
    world = world or World()
    made: list[Ground] = []
    trouble: list[Exception] = []

    def work() -> None:
        try:
            made.append(Ground(here, named=named, only=only, world=world))
        except Exception as error:  # noqa: BLE001 - it is raised again below
            trouble.append(error)

    if not _within(PATIENCE_S, work):
        shares = ", ".join(f"{mount.at} ({mount.kind})" for mount in world.mounts if mount.remote)
        raise SupervisorError(
            f"the project's disk does not answer within {PATIENCE_S:g} s",
            f"a network's disk that is mounted, and may be away: {shares}" if shares else "dmesg",
        )
    if trouble:
        raise trouble[0]
    return made[0]


def examine(ground: Ground, checks: Iterable[Check] = CHECKS) -> Report:
    """Make all checks, and return what they say. Raises nothing for a check that fails."""
    asked = [(check, bot, ask) for check in checks for bot, ask in _asked(ground, check)]
    masks = Masks(ground.config.logs.mask if ground.config else ())
    found: list[Finding] = []
    patience_s = PATIENCE_S
    for check, bot, ask in asked:
        said = _in_time(ask, patience_s)
        if said is None:
            why = f"no answer in {patience_s:g} s: a disk or a network share hangs"
            said = [Finding(severity="unknown", seen=why)]
            patience_s = PATIENCE_S / 10  # where one hangs, others may: not each is waited for
        name = bot.name if bot is not None else None
        for each in said or [Finding(severity="ok", seen=check.fine)]:
            named = replace(each, check=check.id, bot=each.bot or name)
            found.append(_without_secrets(named, masks))
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(tuple(found), len(asked))


def _asked(
    ground: Ground, check: Check
) -> Iterator[tuple[BotConfig | None, Callable[[], Findings]]]:
    """Yield what a check asks, and of which bot."""
    if check.whole is not None:
        yield None, partial(check.whole, ground)
    if check.each is not None:
        for bot in ground.bots:
            if bot.session is not None or not check.session:
                yield bot, partial(check.each, ground, bot)


def _without_secrets(finding: Finding, masks: Masks) -> Finding:
    """Return it as it may be shown: a command, or what a bot said, may hold a token."""
    return replace(
        finding,
        seen=masks.clean(finding.seen),
        cause=masks.clean(finding.cause),
        fix=masks.clean(finding.fix),
        commands=tuple(map(masks.clean, finding.commands)),
        edit=masks.clean(finding.edit),
    )


def _in_time(ask: Callable[[], Findings], patience_s: float) -> list[Finding] | None:
    """Return what one check says; None: nothing in that time."""
    found: list[Finding] = []
    return found if _within(patience_s, lambda: found.extend(_tried(ask))) else None


def _within(patience_s: float, work: Callable[[], None]) -> bool:
    """Do work in a thread that is left alone if it hangs; return whether it ended in time."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(patience_s)
    return not thread.is_alive()


def _tried(ask: Callable[[], Findings]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(ask())
    except CannotTell as why:
        found.append(Finding(severity="unknown", seen=str(why)))
    except SupervisorError as error:
        found.append(Finding(severity="unknown", seen=error.message, fix=error.hint))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        found.append(Finding(severity="unknown", seen=f"{error.strerror or error}{where}"))
    except Exception as error:  # noqa: BLE001 - whatever a check does wrong, the others go on
        found.append(
            Finding(severity="unknown", seen=f"this check failed: {type(error).__name__}: {error}")
        )
    return found
