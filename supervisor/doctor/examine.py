"""Asks all checks, each by itself: one that fails or hangs ends no other. It changes nothing."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue

from supervisor.config import BotConfig
from supervisor.core.errors import SupervisorError
from supervisor.doctor.checks import CHECKS, Check
from supervisor.doctor.findings import SEVERITIES, CannotTell, Finding, Findings
from supervisor.doctor.ground import Ground
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


def examine(ground: Ground, checks: Iterable[Check] = CHECKS) -> Report:
    """Make all checks, and return what they say. Raises nothing for a check that fails."""
    asked = [(check, bot, ask) for check in checks for bot, ask in _asked(ground, check)]
    masks = Masks(ground.config.logs.mask if ground.config else ())
    found = [
        _without_secrets(finding, masks)
        for check, bot, ask in asked
        for finding in _said(check, bot, ask)
    ]
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


def _said(check: Check, bot: BotConfig | None, ask: Callable[[], Findings]) -> list[Finding]:
    """Return what one check says of one bot, or of all."""
    name = bot.name if bot is not None else None
    found = _in_time(ask) or [Finding(severity="ok", seen=check.fine)]
    return [replace(each, check=check.id, bot=each.bot or name) for each in found]


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


def _in_time(ask: Callable[[], Findings]) -> list[Finding]:
    """Ask in a thread that is left alone if it hangs."""
    answers: SimpleQueue[list[Finding]] = SimpleQueue()
    threading.Thread(target=lambda: answers.put(_tried(ask)), daemon=True).start()
    with suppress(Empty):
        return answers.get(timeout=PATIENCE_S)
    why = f"no answer in {PATIENCE_S:g} s: a disk or a network share hangs"
    return [Finding(severity="unknown", seen=why)]


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
