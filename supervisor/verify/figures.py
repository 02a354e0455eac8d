"""The rows and the metrics that are computed: times, sizes, counters. They change nothing."""

import statistics
from pathlib import Path

from supervisor.verify.counted import COUNTERS, counted, settled
from supervisor.verify.model import Metric, Outcome, Verdict
from supervisor.verify.rest import rested
from supervisor.verify.trial import Trial, failed, not_applicable, passed

_MIB = 1 << 20
BACKUP_BYTES = 50 * _MIB
SUPERVISOR_BYTES, SUPERVISOR_CPU, BOT_CPU = 64 * _MIB, 0.05, 0.9
_KEPT = 3


def restore_time(trial: Trial) -> Outcome:
    """Row 13: every start of this run that was verified."""
    times = [back.took for back in trial.backs]
    target_s = trial.bot.restore_timeout_s
    did = f"timed the {len(times)} starts of this run"
    if not times:
        return not_applicable("no start of this run was verified")
    measured = f"{statistics.median(times):.2f} s in the middle, {max(times):.2f} s at most"
    if max(times) >= target_s:
        return failed(did, f"{max(times):.2f} s is more than {target_s:g} s", measured)
    return passed(did, measured)


def backup_size(trial: Trial) -> Outcome:
    """Row 14: what a backup takes, and all of them on the disk."""
    manager = trial.manager()
    kept = manager.snapshots(trial.session)
    live = manager.info(trial.session)["size_bytes"]
    largest = max((each.size_bytes for each in kept), default=0)
    store = _disk_bytes(trial.config.snapshots)
    trial.learnt.backup_bytes, trial.learnt.session_bytes = largest, live
    did = f"measured {len(kept)} backups and their folder"
    measured = (
        f"{_size(largest)} at most for a session of {_size(live)}; {_size(store)} for all on disk"
    )
    if not kept:
        return failed(did, "there is none")
    if largest > max(BACKUP_BYTES, live * 1.1):
        return failed(did, f"a backup of {_size(largest)} for a session of {_size(live)}", measured)
    if store > max(BACKUP_BYTES, len(kept) * live * 1.1):
        why = (
            f"{trial.config.snapshots.name} holds {_size(store)}, more than its backups account for"
        )
        return failed(did, why, measured)
    return passed(did, measured)


def resources(trial: Trial) -> Outcome:
    """Row 15: memory and CPU of a bot and its supervisor that are left alone."""
    rest = rested(trial)
    did = f"left it alone for {trial.rest_s:.0f} s"
    if rest.supervisor_cpu > SUPERVISOR_CPU or rest.bot_cpu > BOT_CPU:
        rest = rested(trial, anew=True)  # what was begun before may have ended in it
        did += ", twice"
    measured = (
        f"supervisor {_size(rest.supervisor_bytes)}, {rest.supervisor_cpu:.1%} of a core; "
        f"bot {_size(rest.bot_bytes)}, {rest.bot_cpu:.1%}"
    )
    limit_mb = trial.bot.limits.memory_mb
    wrong = []
    if rest.supervisor_bytes > SUPERVISOR_BYTES:
        wrong.append(f"the supervisor holds {_size(rest.supervisor_bytes)}")
    if rest.supervisor_cpu > SUPERVISOR_CPU:
        wrong.append(f"the supervisor uses {rest.supervisor_cpu:.0%} of a core")
    if rest.bot_cpu > BOT_CPU:
        wrong.append(f"the bot uses {rest.bot_cpu:.0%} of a core while nothing happens")
    if limit_mb and rest.bot_bytes > limit_mb * _MIB:
        wrong.append(f"the bot holds {_size(rest.bot_bytes)}, more than memory_mb = {limit_mb}")
    return failed(did, "; ".join(wrong), measured) if wrong else passed(did, measured)


def state(trial: Trial) -> Outcome:
    """Row 9: session-state.json, against what was counted here from the first event on."""
    did = f"compared {trial.config.state.name} with the events of this run"
    wrong, seen = settled(trial), counted(trial)
    said = ", ".join(f"{key.removesuffix('_count')} {seen[key]}" for key in COUNTERS)
    return failed(did, "; ".join(wrong), said) if wrong else passed(did, said)


def metrics(trial: Trial) -> list[Metric]:
    """Return what was promised in numbers, as far as this run could measure it."""
    times = [back.took for back in trial.backs]
    kept = trial.manager().snapshots(trial.session)
    learnt = trial.learnt
    pairings = sum(1 for event in trial.seen() if event["event"] == "pairing")
    links: int | None = trial.record().link_count if learnt.links is None else learnt.links
    target_s = trial.bot.restore_timeout_s
    slowest = max(times, default=None)
    backup = max((each.duration_s for each in kept), default=None)
    keep = trial.bot.snapshots.keep
    most = keep.last + keep.hourly + keep.daily + 3  # the newest good ones and the proved one
    spread = max(times) - min(times) if len(times) > 1 else None
    # Of no restart there is none; and it came linked, or was not to be.
    again = float(pairings - learnt.expected_pairings) if trial.told else None
    links = links or None
    return [
        _metric("restore_s", "restore time", f"< {target_s:g} s", slowest, "s", target_s),
        _metric("qr_per_restart", "QR codes per restart", "0", again, "", 0.5),
        _exactly("links", "links of one session", 1, links),
        _metric("ready_s", "time to ready", "< 10 s", slowest, "s", 10.0),
        _metric("backup_s", "backup time", "< 1 s", backup, "s", 1.0),
        _metric(
            "backup_bytes",
            "backup size",
            "<= 50 MB or the session's own",
            learnt.backup_bytes,
            "bytes",
            max(BACKUP_BYTES, learnt.session_bytes * 1.1) + 1,
        ),
        _kept(len(kept), _taken(trial), most),
        _metric(
            "restore_spread_s", "restore time, spread", f"< {target_s:g} s", spread, "s", target_s
        ),
    ]


def _taken(trial: Trial) -> int:
    """Return how many backups were taken, of all links: one of an unchanged session is none."""
    told = (event.get("snapshot") for event in trial.seen())
    return len({each["id"] for each in told if isinstance(each, dict) and "id" in each})


def _metric(
    key: str, name: str, target: str, value: float | None, unit: str, below: float
) -> Metric:
    verdict: Verdict = "n/a" if value is None else "pass" if value < below else "fail"
    measured = "not measured" if value is None else _said(value, unit)
    return Metric(
        key=key,
        name=name,
        target=target,
        measured=measured,
        value=value,
        unit=unit,
        verdict=verdict,
    )


def _exactly(key: str, name: str, wanted: int, value: int | None) -> Metric:
    verdict: Verdict = "n/a" if value is None else "pass" if value == wanted else "fail"
    return Metric(
        key=key,
        name=name,
        target=str(wanted),
        measured="not measured" if value is None else str(value),
        value=None if value is None else float(value),
        unit="",
        verdict=verdict,
    )


def _kept(value: int, taken: int, most: int) -> Metric:
    verdict: Verdict = "pass" if min(_KEPT, taken) <= value <= most else "fail"
    if not taken and not value:
        verdict = "n/a"
    return Metric(
        key="backups_kept",
        name="backups kept",
        target="3-5, and more by age",
        measured=f"{value}" if value >= _KEPT else f"{value} of {taken} taken",
        value=float(value),
        unit="",
        verdict=verdict,
    )


def _said(value: float, unit: str) -> str:
    if unit == "bytes":
        return _size(int(value))
    if unit == "s" and value < 0.1:  # noqa: PLR2004 - hundredths would say nothing
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} {unit}".strip() if unit else f"{value:.0f}"


def _size(size_bytes: int) -> str:
    if size_bytes < _MIB:
        return f"{size_bytes / 1024:.0f} KB"
    return f"{size_bytes / _MIB:.1f} MB"


def _disk_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            total += path.stat().st_blocks * 512
    return total
