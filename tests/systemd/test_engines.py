"""What bots that are no plain Python need of the sandbox, and that each exception is needed.

The unit is the one that is written for them. What it would be without one of its exceptions is
tried as well: a drop-in, and then the bot does not come up.
"""

import shutil
from pathlib import Path

import pytest

from tests.systemd.conftest import USER, Service
from tests.systemd.manager import until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("systemd")]

BOTS = Path(__file__).with_name("bots")
NODE = shutil.which("node")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None
)
STRICTER_FOR_NODE = ("MemoryDenyWriteExecute=yes", "RestrictAddressFamilies=~AF_NETLINK")
STRICTER_FOR_A_BROWSER = (
    "RestrictNamespaces=yes",
    "SystemCallFilter=~@privileged",
    "SystemCallFilter=~chroot",
)


def given(service: Service, program: str, words: str, ready: str, rest: str = "") -> None:
    """Make it a project of one bot; one failure is the end of that bot."""
    shutil.copy(BOTS / program, service.folder / program)
    config = f'[bot.one]\ncommand = [{words}]\nsession = false\nready = {{ log = "{ready}" }}\n'
    service.write("config.toml", f"{config}{rest}\n[bot.one.restart]\nintensity = [1, 60]\n")
    service.give()


def node(service: Service) -> None:
    """Make it a project of a Node bot."""
    if NODE is None:
        pytest.skip("Node is not installed: nodejs would run this")
    given(service, "engine.js", '"node", "--trace-opt", "engine.js"', "engine runs")


def browser(service: Service) -> None:
    """Make it a project of a bot with a browser."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed: chromium-headless-shell would run this")
    # The names of its program are how it is known that it needs one (place.py).
    given(service, "pages.py", f'"python", "pages.py", "{BROWSER}"', "rendered")


def test_node_compiles_as_it_runs(service: Service) -> None:
    """V8's compiler has its memory; the processors and the network are there to be asked for."""
    node(service)
    service.install("", "--as", USER)
    service.start()
    service.happens("verified", bot="one")
    until(lambda: "completed optimizing" in service.said("one"), "compiled")
    service.stop()


@pytest.mark.parametrize("line", STRICTER_FOR_NODE)
def test_node_could_not_live_with_less(service: Service, line: str) -> None:
    """One exception less, and the bot fails."""
    node(service)
    service.install(f"{line}\n", "--as", USER)
    service.start()
    service.happens("failed", bot="one")


def test_chromium_renders_in_its_own_sandbox(service: Service) -> None:
    """With no --no-sandbox: its namespaces, its chroot and its filters work within ours."""
    browser(service)
    service.install("", "--as", USER)
    service.start()
    service.happens("verified", bot="one")
    assert "rendered 123 by 45, b'\\x89PNG" in service.said("one")
    service.stop()


@pytest.mark.parametrize("line", STRICTER_FOR_A_BROWSER)
def test_chromium_could_not_live_with_less(service: Service, line: str) -> None:
    """One exception less, and it does not even start."""
    browser(service)
    service.install(f"{line}\n", "--as", USER)
    service.start()
    service.happens("failed", bot="one")
