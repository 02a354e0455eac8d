"""Runs the list, row after row, telling how each ends; what a failure would hide is not run."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from supervisor.core.errors import SupervisorError
from supervisor.core.version import VERSION
from supervisor.verify import counted, figures, first, recovery, restarts
from supervisor.verify.model import Outcome, Report, Result, Row
from supervisor.verify.rows import BY_KEY, chosen
from supervisor.verify.trial import NotSteady, Trial, failed

ACTS: dict[str, Callable[[Trial], Outcome]] = {
    "start-up": first.start_up,
    "first-session": first.first_session,
    "qr-once": first.qr_once,
    "restored": restarts.restored,
    "save": restarts.save,
    "manual": restarts.manual,
    "many": restarts.many,
    "stable": restarts.stable,
    "state": figures.state,
    "backups": recovery.backups,
    "corruption": recovery.corruption,
    "clear": recovery.clear,
    "restore-time": figures.restore_time,
    "backup-size": figures.backup_size,
    "resources": figures.resources,
    "browser-crash": recovery.browser_crash,
    "supervisor-crash": recovery.supervisor_crash,
}
# These act on what was seen, and need no bot that is up.
_LOOK_BACK = {"start-up", "first-session", "qr-once", "restore-time", "backup-size"}

Telling = Callable[[Row], None]
Told = Callable[[Result], None]


def run(trial: Trial, only: tuple[str, ...], telling: Telling, told: Told) -> Report:
    """Run the chosen rows, and return what came of them.

    `telling`: a row begins. `told`: it is over. Raises: KeyError: `only` names no row.
    """
    keys = chosen(only)
    report = Report(
        bot=trial.bot.name,
        mode=trial.mode,
        version=VERSION,
        began_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
    begin = time.monotonic()
    counted.baseline(trial)
    outcomes: dict[str, Outcome] = {}
    for key in keys:
        row = BY_KEY[key]
        telling(row)
        trial.row = key
        if key == "clear":  # which makes another link
            trial.learnt.links = trial.record().link_count
        row_begin = time.monotonic()
        outcomes[key] = outcome = _outcome(trial, row, outcomes)
        result = Result(row=row, outcome=outcome, took_s=time.monotonic() - row_begin)
        report.results.append(result)
        told(result)
    if outcomes["start-up"].verdict == "pass":
        report.metrics = figures.metrics(trial)
    report.results.sort(key=lambda result: result.row.number)
    report.restarts = list(trial.told)
    report.notes = list(trial.notes)
    report.took_s = time.monotonic() - begin
    return report


def _outcome(trial: Trial, row: Row, outcomes: dict[str, Outcome]) -> Outcome:
    """Run one row. Whatever goes wrong with it is its own outcome, and never the run's end."""
    for need in row.needs:
        verdict = outcomes[need].verdict
        if verdict in ("fail", "not run"):
            number = BY_KEY[need].number
            return Outcome(
                verdict="not run", why=f"test {number} ({BY_KEY[need].name}) {_is(verdict)}"
            )
    try:
        if row.key not in _LOOK_BACK:
            trial.steady()
        return ACTS[row.key](trial)
    except NotSteady as error:
        return Outcome(verdict="not run", why=error.message)
    except SupervisorError as error:
        return failed(row.name, error.message + (f" ({error.hint})" if error.hint else ""))
    except OSError as error:
        return failed(row.name, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))


def _is(verdict: str) -> str:
    return "failed" if verdict == "fail" else "was not run"
