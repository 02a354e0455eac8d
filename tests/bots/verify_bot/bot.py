"""A bot that is linked by a QR code, and has the one fault that FAULT names.

It speaks the contract by link.py, which lies beside it. Whoever scans writes to the pipe `phone`.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from link import Link

FAULT = os.environ.get("FAULT", "")
SUPERVISOR = os.pidfd_open(os.getppid())
ALIVE, LINKED, STARTS = Path("alive"), Path("linked-once"), Path("starts")
KNOWN = Path("known-file")


def scanned() -> None:
    """Wait until somebody has scanned."""
    if not Path("phone").exists():
        os.mkfifo("phone", 0o600)
    with open("phone") as pipe:
        pipe.read()


def link_it(link: Link, session: Path) -> None:
    """Ask for a scan, and make a session of it."""
    if FAULT == "pairs once in its life" and LINKED.exists():
        sys.exit("this bot can't be linked a second time")
    for _ in range(2 if FAULT == "pairs twice" else 1):
        link.session("pairing")
        link.qr(f"qr-{uuid.uuid4()}", 60)
        scanned()
        link.session("connecting")
    LINKED.write_text("")
    device = "account" if FAULT == "names its account" else uuid.uuid4().hex[:12]
    if FAULT != "writes no files":
        write(session, device)
    link.ready("linked", identity=device)


def write(session: Path, device: str) -> None:
    """Write the session as one should: beside, then renamed."""
    session.mkdir(parents=True, exist_ok=True)
    files = {"creds.json": json.dumps({"device": device, "key": "k" * 40}).encode()}
    for name, content in files.items():
        beside = session / f".{name}.new"
        beside.write_bytes(content)
        beside.rename(session / name)
        KNOWN.write_text(str((session / name).stat().st_ino))


def device_of(session: Path) -> str:
    """Return whose device the session is; "" for nobody's."""
    if FAULT == "pairs at every start":
        return ""
    if FAULT == "logs out when it was orphaned" and ALIVE.exists():
        return ""
    try:
        device = json.loads((session / "creds.json").read_bytes())["device"]
        if FAULT == "knows its file by number":
            same = KNOWN.read_text() == str((session / "creds.json").stat().st_ino)
            return device if same else ""
    except (OSError, ValueError, KeyError):
        return ""
    return device


def before(link: Link) -> None:
    """What goes wrong before it has a session."""
    if FAULT == "ends at once":
        sys.exit("no module named 'whatever'")
    stands_by = "STILLHERE_SESSION_DIR" not in os.environ
    changed = bool(json.loads(Path(os.environ["STILLHERE_CHANGED"]).read_text())["changed"])
    if FAULT == "wants a change" and stands_by and not changed:
        sys.exit("nothing has changed")
    if FAULT == "tires" and stands_by and changed:
        count = int(STARTS.read_text()) + 1 if STARTS.exists() else 1
        STARTS.write_text(str(count))
        if count > 3:
            sys.exit("tired")
    if FAULT == "fills the store" and not stands_by:
        with open(".session-cache/junk", "wb") as junk:
            os.posix_fallocate(junk.fileno(), 0, 60 << 20)
    if FAULT == "breaks the store" and Path(".session-cache/packs").is_dir():
        Path(".session-cache/packs").rmdir()
        Path(".session-cache/packs").write_text("")
    link.caps("standby")


def after(link: Link, device: str) -> None:
    """What goes wrong once it is up."""
    ALIVE.write_text("")
    if FAULT == "drops out":
        threading.Event().wait(0.5)
        link.session("offline", reason="the network is gone")
        link.ready("restored", identity=device)
    if FAULT == "does not miss its browser":
        words = [sys.executable, "-c", "input()", "--remote-debugging-port=0"]
        subprocess.Popen(words, stdin=subprocess.PIPE)


def ends(link: Link) -> None:
    """What goes wrong at the end."""
    # The signal comes with the end of the supervisor's first thread; of itself a moment later.
    if FAULT != "logs out when it was orphaned" or not select.select([SUPERVISOR], [], [], 0.2)[0]:
        ALIVE.unlink(missing_ok=True)
    if FAULT == "writes the state" and Path("session-state.json").exists():
        state = json.loads(Path("session-state.json").read_bytes())
        for record in state["sessions"].values():
            record["qr_count"] += 7
        Path("session-state.json").write_text(json.dumps(state))
    link.released()


def main() -> None:
    """Live until SIGTERM."""
    link = Link(default_session="sessions/session-one")
    before(link)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    session = link.standby()
    if session is None:
        return
    link.session("connecting")
    if device := device_of(session):
        if FAULT == "is slow":
            threading.Event().wait(0.4)
        link.ready("restored", identity=device)
        after(link, device)
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        link_it(link, session)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    ends(link)


if __name__ == "__main__":
    main()
