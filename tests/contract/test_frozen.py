"""Who is thawed can be asked to stop at once."""

import signal
import subprocess
import sys

from supervisor.process.freezer import frozen
from supervisor.process.signals import send
from supervisor.process.tree import Stat

ROUNDS = 50
PATIENCE_S = 10.0
PAUSES = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_after_the_thaw_a_bot_waits_where_it_waited_before() -> None:
    """A signal between the thaw and the call that goes on would not end the call."""
    command = [sys.executable, "-I", "-S", "-c", PAUSES]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline() == b"ready\n"
        try:
            with frozen(lambda: [bot.pid], PATIENCE_S):
                pass  # from here on it is in pause(2)
            seen = set()
            for _ in range(ROUNDS):
                with frozen(lambda: [bot.pid], PATIENCE_S) as freeze:
                    assert freeze.whole
                seen.add(Stat(bot.pid).state)
            assert seen == {"S"}
            with frozen(lambda: [bot.pid], PATIENCE_S):
                pass
            send(bot.pid, signal.SIGTERM)
            assert bot.wait(PATIENCE_S) == 7
        finally:
            bot.kill()
