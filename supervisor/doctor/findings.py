"""What a check may say: what was seen, why that is so, and what to type. Pure."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["problem", "note", "unknown", "ok"]
# The worst first: so they are shown.
SEVERITIES: tuple[Severity, ...] = ("problem", "unknown", "note", "ok")


class CannotTell(Exception):  # noqa: N818 - no error: it is what a check has to say
    """A check can't be made now; the text says why."""


@dataclass(frozen=True, slots=True)
class Mend:
    """A fix that takes nothing from anybody. `says`: what `act` does, as a command would.

    `act` raises OSError or SupervisorError.
    """

    says: str
    act: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check has to say of the project, or of one bot.

    `cause`: why it is so. `fix`: what to do, in words; `commands`: what to type, word for word;
    `edit`: lines for the config file. `check` and `bot` are filled in by who asks the checks.
    """

    severity: Severity
    seen: str
    cause: str = ""
    fix: str = ""
    commands: tuple[str, ...] = ()
    edit: str = ""
    mend: Mend | None = None
    check: str = ""
    bot: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields, as `doctor --json` shows them."""
        return {
            "check": self.check,
            "bot": self.bot,
            "severity": self.severity,
            "seen": self.seen,
            "cause": self.cause or None,
            "fix": self.fix or None,
            "commands": list(self.commands),
            "edit": self.edit or None,
            "safe_fix": self.mend.says if self.mend else None,
        }


Findings = Iterator[Finding]


def line(*words: str | Path) -> str:
    """Return a command line of these words, quoted where a shell needs it."""
    return shlex.join(map(str, words))
