"""A tiny process that thaws what we froze, should we die meanwhile.

It holds the reading end of a pipe and nothing else of ours: no lock, no session. What we stop is
written into the pipe first; when the pipe ends, since we are gone, it sends SIGCONT to all of
that. It is a shell because that is in place in 0.2 ms and holds 0.1 MB of its own memory; Python
would need 6 ms and 2.6 MB.

It does not prove that a number still names the same process. A stopped process ends only by
SIGKILL, and SIGCONT does nothing to one that runs (signal(7)).
"""

import subprocess
from contextlib import suppress
from typing import Self

# The newest first: children before their parents. Whoever stops all processes of a service by a
# signal must not stop this one before its work is done. `kill` is the shell's own: small images
# have no program of that name.
_SCRIPT = """trap "" HUP INT TERM
while read -r pid; do pids="$pid $pids"; done
kill -CONT $pids 2>&-"""
_SHELL = "/bin/sh"


class Thawer:
    """In place once it is made. As a context manager it is ended and reaped on every way out.

    Ended, it thaws nobody any more: the caller has done so. Raises: OSError when there is none.
    """

    def __init__(self) -> None:
        # A session of its own: neither a terminal's Ctrl-C nor killpg takes it along. No
        # environment: a token in it would make it a member of the bot's tree.
        self._process = subprocess.Popen(
            (_SHELL, "-c", _SCRIPT),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The helper's process."""
        return self._process.pid

    def add(self, pid: int) -> None:
        """Hand over a process that is about to be stopped. Raises: OSError when it is gone."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._process.stdin.write(b"%d\n" % pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Killed before the pipe ends: a late SIGCONT would thaw what is frozen anew by then.
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
