"""What a supervisor loads and keeps while nothing happens: it stays for weeks, beside each bot."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.system.harness import WAIT_S, Folder, running

# No Python: what is imported here, we imported.
CONFIG = """
[bot.echo]
command = ["/bin/sh", "-c", "echo up; exec tail -f /dev/null"]
session = "971505760056"
ready = { log = "up" }
watch = ["app"]
"""
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", re.MULTILINE)

# What is asked for only now and then, and costs a megabyte or more once it is loaded: a process's
# figures, a drawn code, an open database, a session on its way out or in, the installed packages,
# OpenSSL, the way to a browser, the page.
NEVER_AT_REST = {
    "_hashlib",
    "_ssl",
    "concurrent.futures.process",
    "email",
    "h11",
    "http",
    "jinja2",
    "importlib.metadata",
    "psutil",
    "segno",
    "sqlite3",
    "starlette",
    "supervisor.session.transfer",
    "supervisor.web.app",
    "tarfile",
    "unittest",
    "urllib.request",
    "uvicorn",
    "websockets",
    "xml",
}
# Who does not watch needs neither the watch library nor what is known of imports.
ONLY_WITH_A_WATCH = {"watchfiles", "zipfile", "supervisor.watch.preloading"}


def at_rest(folder: Folder, mode: str) -> set[str]:
    """Run it until its bot is up and all is quiet; return what was imported by then."""
    folder.write("app/x", "")
    with running(folder, mode, PYTHONPROFILEIMPORTTIME="1") as supervisor:
        supervisor.wait("verified")
        supervisor.mark_now()
        found = set(IMPORTED.findall(supervisor.console))
    assert "supervisor.runner" in found
    return found


def test_a_service_loads_only_what_it_needs_all_the_time(
    new_folder: Callable[..., Folder],
) -> None:
    """The rest comes when somebody asks for it."""
    found = at_rest(new_folder(CONFIG), "run")
    assert not found & (NEVER_AT_REST | ONLY_WITH_A_WATCH)


def test_the_console_loads_no_more_than_the_watch(new_folder: Callable[..., Folder]) -> None:
    """Nor does it draw a code before there is one."""
    found = at_rest(new_folder(CONFIG), "dev")
    assert not found & NEVER_AT_REST
    assert "watchfiles" in found


def test_idle_bots_have_neither_thread_nor_helper(new_folder: Callable[..., Folder]) -> None:
    """Of eight bots none keeps a thread; and the only processes below us are the bots."""
    names = [f"b{number}" for number in range(8)]
    config = "".join(
        CONFIG.replace("echo]", f"{name}]").replace("971505760056", name) for name in names
    )
    folder = new_folder(config)
    folder.write("app/x", "")
    with running(folder, "run") as supervisor:
        for name in names:
            supervisor.wait("verified", bot=name)
        bots = {event["pid"] for event in supervisor.seen("spawned")}
        tasks = Path(f"/proc/{supervisor.process.pid}/task")

        def children() -> set[int]:
            texts = [(task / "children").read_text() for task in tasks.iterdir()]
            return {int(word) for text in texts for word in text.split()}

        until = time.monotonic() + WAIT_S
        while len(os.listdir(tasks)) >= len(names) or children() != bots:
            assert time.monotonic() < until, f"{len(os.listdir(tasks))} threads, {children()}"
            supervisor.process_waits()
