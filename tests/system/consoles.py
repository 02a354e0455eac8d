"""The program on a terminal of its own, and where a secret of it can be found."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from supervisor.control import journal
from tests.system.harness import Folder
from tests.unit.cli.terminal import BASH, Terminal

needs_bash = pytest.mark.skipif(BASH is None, reason="needs bash, for job control")
DEV = f"{shlex.quote(sys.executable)} -m supervisor dev"
OURS = re.compile(r"^\d\d:\d\d:\d\d ")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(folder: Folder, **environ: str) -> Terminal:
    """Return a shell in the folder, on a terminal of its own."""
    clean = {k: v for k, v in folder.environment().items() if k != "NO_COLOR"}
    return Terminal(folder.root, **{**clean, "TMPDIR": "/tmp", **environ})  # noqa: S108 - where the socket of all others is


def said(text: str) -> list[str]:
    """Return the console's own lines: not the bots', without colours and times."""
    lines = [ESCAPE.sub("", line).strip() for line in text.split("\n")]
    return [OURS.sub("", line) for line in lines if OURS.match(line)]


def ends(shell: Terminal, code: int) -> None:
    """Wait for the prompt; see the exit code."""
    shell.wait("ready> ")
    shell.send("echo code=$?\n")
    shell.wait(f"code={code}\r\n")


def events_of(folder: Folder) -> list[dict[str, object]]:
    """Return the journal, as it is on the disk."""
    return list(journal.read(folder.root / ".session-cache" / ".events.jsonl", None))


def holders(folder: Folder, secrets: list[str]) -> set[str]:
    """Return where any of the secrets can be read: files of the folder, and all processes."""
    wanted = [secret.encode() for secret in secrets]
    found: set[str] = set()
    for path in folder.root.rglob("*"):
        if path.is_file() and any(secret in path.read_bytes() for secret in wanted):
            found.add(str(path.relative_to(folder.root)))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in ("cmdline", "environ", "comm"):
                try:
                    text = (entry / name).read_bytes()
                except OSError:
                    continue
                if any(secret in text for secret in wanted):
                    found.add(f"{entry.name}/{name}")
    return found
