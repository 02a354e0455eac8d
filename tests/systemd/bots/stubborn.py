"""A bot whose ways to end are what its words say; each step is a line of notes.txt.

`late`: asked to end, it first waits for the file `go`. `slow`: it takes a while to start, and to
end. `deaf`: it does not hear SIGTERM. `daemon`:
it leaves a deaf process behind, in a session of its own and with no parent that is left.
"""

import os
import signal
import sys
import threading
from pathlib import Path

SLOW_S = 4


def note(what: str) -> None:
    """Write down what happens; whole, as all of them append."""
    with Path("notes.txt").open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


def leave_a_daemon() -> None:
    """Fork twice, as daemons do."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("daemon")
    threading.Event().wait()


def main(ways: list[str]) -> None:
    """Say that it is there, and end as it was told to."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if "daemon" in ways:
        leave_a_daemon()
    if "slow" in ways:
        threading.Event().wait(SLOW_S)
    note("started")
    sys.stdout.write("here\n")
    sys.stdout.flush()
    first = signal.sigwaitinfo({signal.SIGTERM})
    note("asked")
    if "deaf" in ways:
        threading.Event().wait()
    if "slow" in ways:
        threading.Event().wait(SLOW_S)
    if "late" in ways:
        pause = threading.Event()
        while not Path("go").exists():
            pause.wait(0.02)
    again = signal.sigtimedwait({signal.SIGTERM}, 0)
    # Of a parent's death the kernel may tell twice, in the parent's name: that is nobody's haste.
    if again and again.si_pid != first.si_pid:
        note("pressed")
    note("ended")


if __name__ == "__main__":
    main(sys.argv[1:])
