"""The first three rows: the start, the link, its one QR code."""

import time

from supervisor.verify.model import Outcome
from supervisor.verify.trial import Trial, failed, not_applicable, passed

_NO_PHONE = "it began with a copy of your session: nothing was linked (see [bot.NAME.verify] pair)"
_STARTS = {
    "pairing": "",
    "restarted": "it is ready without being linked: its session is elsewhere (session_path)",
    "failed": "it failed",
    "backoff": "it did not stay up",
    "refused": "its session is another process's",
    "finished": "it ended by itself",
}
_LIVE = "the live bot is linked already, and stays so"


def start_up(trial: Trial) -> Outcome:
    """Row 1: from nothing to a bot that asks for its link, or is ready."""
    if trial.mode == "live":
        return _already_up(trial)
    did = "started the supervisor on the copy"
    begin = time.monotonic()
    own = trial.own()
    own.start()
    if not trial.fresh:
        back = trial.back(0)
        trial.identity = trial.device()
        took_s = time.monotonic() - begin
        return failed(did, back.why) if back.why else passed(did, f"ready in {took_s:.2f} s")
    event = trial.wait(lambda e: e["event"] in _STARTS, 0, trial.patience_s)
    took_s = time.monotonic() - begin
    if event is None:
        return failed(did, f"no QR code within {trial.patience_s:.0f} s; {own.last_words()}")
    if event["event"] == "pairing":
        return passed(did, f"asks for its QR code after {took_s:.2f} s")
    why = event.get("why") or _STARTS[event["event"]]
    said = trial.last_line()
    return failed(did, f"{why}: {said}" if said else why)


def _already_up(trial: Trial) -> Outcome:
    status, did = trial.status(), "looked at the bot that runs"
    if status["phase"] != "up":
        return failed(did, f"it is {status['phase']}: {status.get('why') or 'not up'}")
    trial.identity = trial.device()
    return passed(did, f"up as generation {status['generation']}")


def first_session(trial: Trial) -> Outcome:
    """Row 2: one scan, and there is a session on the disk."""
    if trial.mode == "live":
        return not_applicable(_LIVE)
    if trial.pairing is None:
        return not_applicable(_NO_PHONE)
    did = "scanned the QR code"
    asked, back = trial.pair(0)
    trial.learnt.asked = trial.learnt.expected_pairings = asked
    if back.why:
        return failed(did, back.why)
    waited_s = trial.settle()
    did += f", and waited {waited_s:.0f} s, as its login needs" if waited_s >= 1 else ""
    info = trial.manager().info(trial.session)
    if not info["exists"]:
        return failed(did, f"it is linked, and there is no file in {info['path']}")
    links = info["link_count"]
    device = trial.identity or "a device that it does not name"
    measured = f"{info['files']} files, {info['size_bytes'] / 1024:.0f} KB; links {links}; {device}"
    return passed(did, measured) if links == 1 else failed(did, f"links {links}", measured)


def qr_once(trial: Trial) -> Outcome:
    """Row 3: nobody had to scan twice."""
    asked = trial.learnt.asked
    if asked is None:
        return not_applicable(_LIVE if trial.mode == "live" else _NO_PHONE)
    did, measured = "counted the pairings until it was linked", f"{asked}"
    if asked == 1:
        return passed(did, measured)
    return failed(did, f"a QR code was asked for {asked} times before it was linked", measured)
