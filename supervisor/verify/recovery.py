"""The rows that break something: backups, torn files, a clear, dead browsers and supervisors.

Only a copy is ever broken. Of the live bot the newest backup is restored on trial, beside it.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.process.browser import browser_pids
from supervisor.process.tree import with_descendants
from supervisor.session.model import Snapshot
from supervisor.session.proof.profile import KNOWN
from supervisor.session.scan import matches
from supervisor.verify.counted import settled
from supervisor.verify.model import Outcome
from supervisor.verify.trial import Trial, failed, judged, not_applicable, passed

BACKUP_S = 1.0
_FILES_MAX = 8
_JUDGED_S = 20.0
_BROWSER_S = 30.0


def _halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: os.truncate(path, 0),
    "truncated": _halve,
}


def backups(trial: Trial) -> Outcome:
    """Row 10: there is one already that nobody asked for, and another within a second."""
    did = "looked for backups, and asked for one more"
    begin = time.monotonic()
    try:
        found = trial.watched.client.call("session", op="backup", id=trial.session)
    except SupervisorError as error:
        return failed(did, error.message)
    took = time.monotonic() - begin
    kept = _judged(trial)
    by_itself = [each for each in kept if each.reason != "manual"]
    good = [each for each in kept if each.verdict == "good"]
    measured = f"{len(kept)} kept, {len(good)} of them good; one takes {took:.2f} s"
    if not by_itself:
        return failed(did, "none was taken by itself" + _why_none(trial), measured)
    if not good:
        bad = f"{found.get('verdict')}: {found.get('why') or kept[-1].why or 'no reason'}"
        return failed(did, f"none is good; the newest is {bad}", measured)
    if took >= BACKUP_S:
        return failed(did, f"a backup takes {took:.2f} s, more than {BACKUP_S:.0f} s", measured)
    return passed(did, measured)


def _judged(trial: Trial) -> list[Snapshot]:
    """Return this link's snapshots, once each has its verdict."""
    manager, until = trial.manager(), time.monotonic() + _JUDGED_S
    while True:
        epoch = manager.record(trial.session).epoch
        kept = [each for each in manager.snapshots(trial.session) if each.epoch == epoch]
        if all(each.verdict != "pending" for each in kept) or time.monotonic() > until:
            return kept
        trial.watched.wait(lambda _event: True, trial.watched.mark(), 0.1)


def _why_none(trial: Trial) -> str:
    told = [e for e in trial.seen() if e["event"] == "snapshot_failed" and e.get("why")]
    return f": {told[-1]['why']}" if told else ""


def corruption(trial: Trial) -> Outcome:
    """Row 11: each file that matters, damaged in each way while the bot is down."""
    if trial.mode == "live":
        return _drilled(trial)
    files, more = vital_files(trial)
    if not files:
        return failed("looked for its session's files", "the newest backup holds none")
    did = f"damaged {len(files)} files in {len(DAMAGES)} ways each"
    done, wrong = 0, []
    for path in files:
        for how, damage in DAMAGES.items():
            why = _damaged(trial, path, damage)
            done += not why
            if why:
                wrong.append(f"{path.name} {how}: {why}")
                trial.steady()
    measured = f"{done} of {len(files) * len(DAMAGES)} back "
    unproved = done and all(back.proof == "ready" for back in trial.backs[-done:])
    measured += "unasked (device not proved)" if unproved else "as the same device"
    measured += f"; {more} smaller files were not tried" if more else ""
    return failed(did, "; ".join(wrong), measured) if wrong else passed(did, measured)


def _damaged(trial: Trial, path: Path, damage: Callable[[Path], object]) -> str:
    """Stop the bot, damage a file, start the bot; return what was wrong with what came."""
    trial.watched.client.call("stop", bot=trial.bot.name)
    if not path.is_file():
        return "the bot itself removed it"
    damage(path)
    after = trial.watched.mark()
    trial.watched.client.call("start", bot=trial.bot.name)
    return trial.back(after).why


def vital_files(trial: Trial) -> tuple[list[Path], int]:
    """Return the session's files that matter, and how many more there are than can be tried.

    As the newest good backup has them, by what is known of its kind of session; what has to be
    there, and says whose device it is, comes first; then the larger ones.
    """
    manager = trial.manager()
    good = [each for each in manager.snapshots(trial.session) if each.verdict == "good"]
    if not good:
        return [], 0
    manifest = manager.store.find(trial.session, good[-1].id)
    kind = KNOWN.get(manager.record(trial.session).profile) or KNOWN["generic"]
    required = (name for each in kind.required for name in each.split("|"))
    first = (*required, *kind.identified_by)
    entries = [
        entry
        for entry in manifest.files
        if entry.seen.kind == "file"
        and entry.seen.size
        and (not kind.vital or matches(entry.path, kind.vital))
    ]
    entries.sort(key=lambda entry: (not matches(entry.path, first), -entry.seen.size))
    folder = manager.folder(trial.session)
    paths = [folder / entry.path for entry in entries]
    return paths[:_FILES_MAX], max(0, len(paths) - _FILES_MAX)


def _drilled(trial: Trial) -> Outcome:
    did = "restored the newest good backup on trial, beside the live session"
    drilled = trial.manager().drill(trial.session)
    if drilled is None:
        return failed(did, "there is no good backup")
    if drilled.outcome != "passed":
        return failed(did, drilled.why)
    return passed(did, f"{drilled.size_bytes / 1024:.0f} KB in {drilled.duration_s:.2f} s")


def clear(trial: Trial) -> Outcome:
    """Row 12: the session is given up on purpose, and the bot is linked as a new device."""
    if trial.mode == "live":
        return not_applicable("it would unlink the live bot")
    if trial.pairing is None:
        return not_applicable("nobody can scan the new QR code (see [bot.NAME.verify] pair)")
    did = "stillhere session clear, then scanned the new QR code"
    before, after = trial.identity, trial.watched.mark()
    trial.watched.client.call("session", op="clear", id=trial.session)
    asked, back = trial.pair(after)
    trial.learnt.expected_pairings += asked
    if back.why:
        return failed(did, back.why)
    info = trial.manager().info(trial.session)
    who = trial.identity or "(it names none)"
    # What it names may be its account, which a new device has as well: it was linked anew.
    new = f"linked anew, again as {who}" if who == before else f"new device {who}"
    measured = f"{new}, links {info['link_count']}"
    if asked > (trial.learnt.asked or 1):  # if as often as at first, row 3 has said so
        return failed(did, f"a QR code was asked for {asked} times before it was linked", measured)
    if not info["quarantine"]:
        return failed(did, "the session that was cleared is not kept", measured)
    return passed(did, measured)


def browser_crash(trial: Trial) -> Outcome:
    """Row 16: SIGKILL to the bot's browser."""
    pids = browser_pids(with_descendants([int(trial.status()["pid"])]))
    if not pids:
        return not_applicable("it runs no browser")
    if trial.mode == "live":
        return not_applicable("it would end the browser of the live bot")
    did = f"SIGKILL to its browser (pid {pids[0]})"
    after = trial.watched.mark()
    os.kill(pids[0], signal.SIGKILL)
    back = trial.back(after, within_s=_BROWSER_S)
    if back.why.startswith("nothing came of it"):
        now = browser_pids(with_descendants([int(trial.status()["pid"])]))
        if now and now != pids:
            return passed(did, "the bot itself started another one")
        return failed(did, "the bot goes on without a browser, and nobody was told")
    return judged(did, back)


def supervisor_crash(trial: Trial) -> Outcome:
    """Row 17: SIGKILL to the supervisor, then a new one."""
    if trial.mode == "live":
        return not_applicable("it would kill the supervisor of the live bot")
    own = trial.own()
    did = "SIGKILL to the supervisor, then started another one"
    before = int(trial.status()["pid"])
    settled(trial)  # a counter that is not written down yet would be lost with it
    own.kill()
    after = len(own.events)
    own.start()
    outcome = judged(did, trial.back(after))
    if outcome.verdict == "pass" and _runs(before):
        return failed(did, f"its old process (pid {before}) still runs beside the new one")
    return outcome


def _runs(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")
