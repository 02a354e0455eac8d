"""The bot left alone for a while: what happens of itself, and what it uses. Looked at once."""

import time

import psutil

from supervisor.process import memory
from supervisor.process.tree import with_descendants
from supervisor.verify.model import Rest
from supervisor.verify.trial import Trial

_TROUBLE = {
    "exited": "it ended",
    "killed": "it was killed",
    "lost": "it lost its link",
    "conflict": "the network saw it twice",
    "offline": "it went offline",
    "pairing": "it asked for a QR code",
    "backoff": "it did not stay up",
    "failed": "it failed",
    "changed": "it changed a watched file itself",
    "spawned": "it was started again",
}
_FALSE_STATES = ("lost", "conflict", "offline", "pairing")


def rested(trial: Trial, *, anew: bool = False) -> Rest:
    """Leave it alone for `rest_s`, once for all rows that ask. `anew`: once more."""
    if trial.learnt.rest is not None and not anew:
        return trial.learnt.rest
    after = trial.watched.mark()
    status = trial.status()
    ours = int(trial.watched.client.call("ping")["pid"])
    bots = with_descendants([int(status["pid"])])
    before = _cpu_s([ours]), _cpu_s(bots)
    begin = time.monotonic()
    trial.watched.wait(lambda _event: False, after, trial.rest_s)
    passed_s = time.monotonic() - begin
    told = [said for event in trial.seen(after) if (said := _said(event))]
    bots = with_descendants([int(status["pid"])])
    rest = Rest(
        trouble="; ".join(dict.fromkeys(told)),
        supervisor_cpu=max(0.0, (_cpu_s([ours]) - before[0]) / passed_s),
        supervisor_bytes=_bytes([ours]),
        bot_cpu=max(0.0, (_cpu_s(bots) - before[1]) / passed_s),
        bot_bytes=_bytes(bots),
        processes=len(bots),
    )
    trial.learnt.rest = rest
    return rest


def _said(event: dict[str, object]) -> str:
    """Return what an event says against a bot that is left alone; "" for nothing."""
    kind = str(event.get("event"))
    if kind == "session_state" and event.get("state") in _FALSE_STATES:
        return f"it said {event['state']}"
    if kind not in _TROUBLE:
        return ""
    return _TROUBLE[kind] + (f": {event['why']}" if event.get("why") else "")


def _cpu_s(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def _bytes(pids: list[int]) -> int:
    return sum(memory.pss_bytes(pid) or 0 for pid in pids)
