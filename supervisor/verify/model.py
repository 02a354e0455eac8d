"""What a row of the list says, what came of it, and the report that holds all of that. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["pass", "fail", "n/a", "not run"]
Mode = Literal["scratch", "live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One test of the list. `needs`: rows without which nothing could be learnt from it."""

    number: int
    key: str
    group: str
    name: str
    target: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a row. `did`, `measured`, `why` are words; `why`: unless it passed."""

    verdict: Verdict
    did: str = ""
    measured: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A row and its outcome; `took_s`: how long that was tried."""

    row: Row
    outcome: Outcome
    took_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it with the keys of `verify --json`."""
        return {
            "number": self.row.number,
            "key": self.row.key,
            "group": self.row.group,
            "name": self.row.name,
            "target": self.row.target,
            "verdict": self.outcome.verdict,
            "did": self.outcome.did,
            "measured": self.outcome.measured,
            "why": self.outcome.why or None,
            "took_s": round(self.took_s, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that was promised, and what it is. `value` in `unit`, None: not measured."""

    key: str
    name: str
    target: str
    measured: str
    value: float | None
    unit: str
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Return it with the keys of `verify --json`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """One restart of the run: the row that made it, when it was over, and its record."""

    row: str
    t: str
    record: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it with the keys of `verify --json`."""
        return {"test": self.row, "t": self.t, "record": dict(self.record)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What was seen. `trouble`: "" for none. CPU in shares of one core, memory in bytes (PSS)."""

    trouble: str
    supervisor_cpu: float
    supervisor_bytes: int
    bot_cpu: float
    bot_bytes: int
    processes: int


@dataclass(slots=True, kw_only=True)
class Learnt:
    """What one row learnt for another; None: that row was not run, or learnt nothing.

    `before`: the session's counters before the first row. `asked`: how often a QR code was asked
    for until the first link; `expected_pairings`: that, and what the clear made. `links`: before
    the clear. `saves`: how many were made; `source`: the file whose save was seen. `backup_bytes`,
    `session_bytes`: the largest backup, and its session.
    """

    before: Mapping[str, Any] = field(default_factory=dict)
    asked: int | None = None
    expected_pairings: int = 0
    links: int | None = None
    saves: int = 0
    source: Path | None = None
    backup_bytes: int | None = None
    session_bytes: int = 0
    rest: Rest | None = None


@dataclass(slots=True, kw_only=True)
class Report:
    """A whole run. `notes`: what a person has to know of it, or to do after it."""

    bot: str
    mode: Mode
    version: str
    began_at: str
    took_s: float = 0.0
    results: list[Result] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    restarts: list[Restarted] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """The keys of the rows and metrics that failed."""
        rows = [each.row.key for each in self.results if each.outcome.verdict == "fail"]
        return rows + [each.key for each in self.metrics if each.verdict == "fail"]

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something was tried."""
        return not self.failed and any(each.outcome.verdict == "pass" for each in self.results)

    def as_json(self) -> dict[str, Any]:
        """Return what `verify --json` prints."""
        return {
            "bot": self.bot,
            "mode": self.mode,
            "version": self.version,
            "began_at": self.began_at,
            "took_s": round(self.took_s, 3),
            "passed": self.passed,
            "tests": [each.as_json() for each in self.results],
            "metrics": [each.as_json() for each in self.metrics],
            "restarts": [each.as_json() for each in self.restarts],
            "notes": list(self.notes),
        }
