"""The page's process comes with the first visit and goes with its supervisor; no bot notices it."""

import json
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import psutil
import pytest

from tests.system.harness import ROOT, WAIT_S, Folder, Running, running
from tests.system.webkit import Visitor, page_process, visitor
from tests.unit.cli.terminal import Terminal

CONFIG = """
[bot.one]
command = ["/bin/sh", "-c", "echo up; exec tail -f /dev/null"]
session = "one"
ready = { log = "up" }
watch = ["app"]
"""
ENABLED = "\n[web]\nenabled = true\n"
# The page's libraries: the supervisor itself loads none of them.
HEAVY = {"starlette", "uvicorn", "jinja2", "h11", "supervisor.web.app", "supervisor.web.serve"}
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", re.MULTILINE)


def made(new_folder: Callable[..., Folder], config: str = CONFIG) -> Folder:
    """Return a folder with a bot that watches an empty one."""
    folder = new_folder(config)
    folder.write("app/x", "")
    return folder


def ended(pid: int) -> bool:
    """Wait until a process has ended, whoever's child it is."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], WAIT_S)[0])
    finally:
        os.close(pidfd)


def the_page(supervisor: Running) -> psutil.Process:
    """Return the page's process, which is there."""
    found = page_process(supervisor)
    assert found is not None
    return found


def test_it_starts_with_the_first_visit_and_the_supervisor_loads_none_of_it(
    new_folder: Callable[..., Folder],
) -> None:
    """What nobody looks at costs a socket; what serves is never in it, and ends with it."""
    with running(made(new_folder), PYTHONPROFILEIMPORTTIME="1") as supervisor:
        supervisor.wait("verified")
        visit = visitor(supervisor)
        assert page_process(supervisor) is None
        assert visit.get("bot/one").status == 200
        page = the_page(supervisor)
        assert visit.get("bot/one").status == 200
        assert the_page(supervisor).pid == page.pid
        loaded = set(IMPORTED.findall(supervisor.console))
        assert "supervisor.web.door" in loaded
        assert not loaded & HEAVY
        supervisor.kill()  # nothing in it can end the page now
        assert ended(page.pid)


@pytest.mark.long
def test_one_that_is_deaf_does_not_outlive_its_supervisor(
    new_folder: Callable[..., Folder],
) -> None:
    """It is killed, by its pid and within a bound."""
    with running(made(new_folder)) as supervisor:
        supervisor.wait("verified")
        assert visitor(supervisor).get("bot/one").status == 200
        page = the_page(supervisor)
        page.suspend()
        assert supervisor.stop() == 0
        assert ended(page.pid)


@pytest.mark.long
def test_one_that_is_killed_comes_again(new_folder: Callable[..., Folder]) -> None:
    """With the next visit, at the same address; the bot is not touched, and it is told."""
    with running(made(new_folder)) as supervisor:
        supervisor.wait("verified")
        visit = visitor(supervisor)
        assert visit.get("bot/one").status == 200
        before = supervisor.status("one")["pid"]
        the_page(supervisor).kill()
        supervisor.wait("web_ended")
        supervisor.until(lambda: answers(visit), "the page is there again")
        assert supervisor.status("one")["pid"] == before
        assert visitor(supervisor).url == visit.url


def answers(visit: Visitor) -> bool:
    """Say whether the page is there."""
    try:
        return visit.get("bot/one").status == 200
    except OSError:
        return False


def test_one_that_is_broken_says_so_and_harms_nobody(new_folder: Callable[..., Folder]) -> None:
    """A library that can't be loaded: who visits is told, and so is the journal, not a loop."""
    folder = made(new_folder)
    folder.write("broken/uvicorn.py", "raise ImportError('torn on the way here')\n")
    path = f"{ROOT}:{folder.root}/broken"
    with running(folder, PYTHONPATH=path) as supervisor:
        supervisor.wait("verified")
        visit = visitor(supervisor)
        assert visit.ask(visit.path).status == 503
        assert "torn on the way here" in supervisor.wait("web_ended")["why"]
        with visit.raw(), visit.raw():  # it is tried once more; then it waits, for longer each time
            supervisor.until(lambda: len(supervisor.seen("web_ended")) > 1, "tried again")
        assert page_process(supervisor) is None
        assert supervisor.status("one")["phase"] == "up"


def test_an_upgrade_keeps_the_address_and_an_open_page(
    new_folder: Callable[..., Folder],
) -> None:
    """The new program has the same socket and token; the page is of the new code."""
    folder = made(new_folder, CONFIG + ENABLED)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified")
        visit = visitor(supervisor)
        assert visit.get("bot/one").status == 200
        page = the_page(supervisor)
        before = supervisor.status("one")["pid"]
        with visit.raw() as live:
            ask = (
                f"GET {visit.path}bot/one/feed HTTP/1.1\r\nHost: {visit.host}:{visit.port}\r\n\r\n"
            )
            live.sendall(ask.encode())
            assert live.recv(65536)
            done = folder.stillhere("upgrade", timeout_s=60)
            assert done.returncode == 0, done.stderr
            live.settimeout(WAIT_S)
            try:
                while live.recv(65536):
                    continue
            except ConnectionResetError:
                assert ended(page.pid)
        assert ended(page.pid)
        assert visitor(supervisor).url == visit.url
        assert visit.get("bot/one").status == 200
        assert the_page(supervisor).pid != page.pid
        assert supervisor.status("one")["pid"] == before
        assert not supervisor.seen("web_ended")


def test_a_service_has_none_unless_it_is_asked_for(new_folder: Callable[..., Folder]) -> None:
    """A reload opens it and shuts it; the bot stays. The command says where it is, or how."""
    folder = made(new_folder)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified")
        before = supervisor.status("one")["pid"]
        none = folder.stillhere("web")
        assert none.returncode == 1
        assert "enabled = true" in none.stderr
        folder.write("config.toml", CONFIG + ENABLED)
        assert folder.stillhere("reload").returncode == 0
        found = folder.json("web")
        assert folder.stillhere("web").stdout == f"{found['url']}\n"
        visit = Visitor(found["url"])
        assert (visit.host, visit.port) == (found["host"], found["port"])
        assert visit.get("bot/one").status == 200
        page = the_page(supervisor)
        assert visit.token not in supervisor.console
        folder.write("config.toml", CONFIG)
        assert folder.stillhere("reload").returncode == 0
        assert ended(page.pid)
        with pytest.raises(ConnectionRefusedError):
            visit.raw()
        assert supervisor.status("one")["pid"] == before


def test_who_is_slow_is_left_and_what_nobody_visits_ends() -> None:
    """A request that never becomes whole keeps no connection; without any, the process ends."""
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        script = (
            "import pathlib, socket\n"
            "from supervisor.web import serve\n"
            "serve.REQUEST_S, serve.IDLE_S, serve._LOOK_S = 0.2, 0.4, 0.1\n"
            f"listener = socket.socket(fileno={listener.fileno()})\n"
            "nowhere = pathlib.Path('/nowhere')\n"
            "serve.serve(listener, token='x', config=nowhere, control=nowhere)\n"
        )
        where = listener.getsockname()
        command = [sys.executable, "-c", script]
        page = stack.enter_context(
            subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()])
        )
        stack.callback(page.kill)
        with socket.create_connection(where, WAIT_S) as silent:
            assert silent.recv(1) == b""
        with socket.create_connection(where, WAIT_S) as slow:
            slow.sendall(b"GET /x/ HTTP/1.1\r\nHost: ")
            assert slow.recv(1) == b""
        with socket.create_connection(where, WAIT_S) as twice:
            ask = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{where[1]}\r\n\r\n"
            twice.sendall(ask.encode())
            told = b""
            while not told.endswith(b"stillhere web\n"):
                told += twice.recv(65536)
            twice.sendall(b"GET /x")  # as slow the second time
            assert twice.recv(1) == b""
        assert page.wait(WAIT_S) == 0


@pytest.mark.long
def test_a_port_that_is_taken_keeps_no_bot_down(new_folder: Callable[..., Folder]) -> None:
    """It is said, with what to do; a reload that wants one is told as well."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"port = {taken.getsockname()[1]}\n"
        folder = made(new_folder, CONFIG + ENABLED + port)
        with running(folder, "run") as supervisor:
            failed = supervisor.wait("web_failed")
            assert "cannot listen" in failed["why"]
            assert "port = 0" in failed["hint"]
            supervisor.wait("verified")
            folder.write("config.toml", CONFIG + ENABLED + port + "# again\n")
            done = folder.stillhere("reload", "--json")
            assert "cannot listen" in json.loads(done.stdout)["incomplete"][0]


@pytest.mark.long
def test_on_a_terminal_dev_prints_the_address(new_folder: Callable[..., Folder]) -> None:
    """Whole there, since a person sits there; without its secret anywhere else."""
    folder = made(new_folder)
    with running(folder) as supervisor:
        supervisor.wait("verified")
        visit = visitor(supervisor)
        console = supervisor.shows("stillhere web")
        assert f"http://127.0.0.1:{visit.port}/ " in console
        assert visit.token not in console
    with Terminal(folder.root, NO_COLOR="1") as terminal:
        terminal.send(f"{sys.executable} -m supervisor dev\r")
        terminal.wait("page: http://127.0.0.1:")
        terminal.wait("ready in")
        found = re.search(r"page: (http://127\.0\.0\.1:\d+/[0-9a-f]{32}/)", terminal.seen)
        assert found is not None
        assert Visitor(found[1]).get("bot/one").status == 200
        terminal.send("q")
        terminal.wait("ready> ")
    journal = (folder.root / ".session-cache" / ".events.jsonl").read_text()
    assert Visitor(found[1]).token not in journal


@pytest.mark.long
def test_one_that_was_stopped_is_started_from_the_page(new_folder: Callable[..., Folder]) -> None:
    """A restart of what is down is a start; it is said which it was."""
    with running(made(new_folder)) as supervisor:
        supervisor.wait("verified")
        supervisor.client.call("stop", bot="one")
        visit = visitor(supervisor)
        after = supervisor.mark_now()
        told = visit.post("bot/one/restart", key=visit.key("bot/one"))
        assert told.status == 303
        supervisor.wait("verified", after)
        page = visit.ask(visit.path + "bot/" + told.headers["location"].removeprefix("../"))
        assert "a start was asked for" in page.text
