"""Twenty-five saves in a row, while messages arrive all the time."""

import json
import threading
from collections import Counter
from itertools import pairwise

from bot.phone import ask_admin
from bot.phone_client import PhoneClient
from tests.system.harness import Event, Folder, Running, link, running

SAVES = 25
COMMAND = "bot/commands/number.py"


def code(number: int) -> str:
    """Return the command's file; every number makes a file of the same length."""
    return (
        '"""`!number`: which code this is."""\n\nfrom bot.commands import Context\n\n'
        'name = "number"\nhelp = "!number: which code this is"\n\n\n'
        f'async def run(_ctx: Context, _args: str) -> str:\n    return "{number:04d}"\n'
    )


def save(folder: Folder, number: int) -> int:
    """Save the next code: in turn in place and atomically. Return its second of change.

    Every third file is given the second of the one before, which is what two saves within one
    second leave: the same size, the same second, other content.
    """
    path = folder.root / COMMAND
    before = path.stat().st_mtime_ns
    (folder.replace if number % 2 else folder.write)(COMMAND, code(number))
    if number % 3 == 0:
        os_utime(path, before)
    return path.stat().st_mtime_ns // 1_000_000_000
