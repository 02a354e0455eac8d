"""Bots that nobody adapted, without a config: one command, one link, the same device for good."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import segno

from tests.bots import nodekit
from tests.bots.chat import chatting
from tests.system.harness import Folder, Running, running

BOTS = Path(__file__).parents[1] / "bots"
BACK_S = 60.0


@dataclass(frozen=True)
class Bot:
    """`proof`: the best that this one can give. `source`: what is saved to restart it."""

    name: str
    command: tuple[str, ...]
    source: str
    preset: str
    proof: str = "identity"
    depends: str = ""


TELETHON = Bot("telethon_bot", ("python", "main.py"), "main.py", "telethon")
NIO = Bot("nio_bot", ("python", "main.py"), "main.py", "matrix-nio")
SHELL = Bot("shell_bot", ("./bot.sh",), "bot.sh", "generic")
GO = Bot("go_bot", ("./bot",), "main.go", "generic", proof="ready")
BAILEYS = Bot(
    "baileys_bot", ("node", "baileys_bot.mjs"), "blocks.mjs", "baileys", depends="baileys"
)
BROWSER = Bot(
    "browser_bot", ("node", "browser_bot.mjs"), "blocks.mjs", "chromium", "ready",
    depends="playwright-core",
)  # fmt: skip

needs_go = pytest.mark.skipif(
    shutil.which("go") is None, reason="Go is not installed: golang would run this"
)
LONG = [
    pytest.param(TELETHON, id="telethon"),
    pytest.param(NIO, id="nio"),
    pytest.param(SHELL, id="shell"),
    pytest.param(GO, id="go", marks=needs_go),
    pytest.param(BAILEYS, id="baileys", marks=nodekit.needs_node),
    pytest.param(
        BROWSER,
        id="browser",
        marks=[
            nodekit.needs_node,
            nodekit.needs_browser,
            nodekit.needs_packages("playwright-core"),
        ],
    ),
]


@contextmanager
def linked(new_folder: Callable[..., Folder], bot: Bot) -> Iterator[Running]:
    """Run a bot by one command, and link it as a person would."""
    folder = new_folder("")
    folder.command = list(bot.command)
    with ExitStack() as stack:
        if bot.depends:
            chat = stack.enter_context(chatting())
            nodekit.bot_project(folder.root, bot.name, chat)
            listed = {"name": "a-bot", "type": "module", "dependencies": {bot.depends: "*"}}
            folder.write("package.json", json.dumps(listed))
        else:
            shutil.copytree(BOTS / bot.name, folder.root, dirs_exist_ok=True)
            folder.write("picture", picture())
        if bot is GO:
            built = ["go", "build", "-o", "bot", "main.go"]
            subprocess.run(built, cwd=folder.root, check=True, env=folder.environment(GOFLAGS=""))
        supervisor = stack.enter_context(running(folder))
        supervisor.wait("pairing", timeout_s=BACK_S)
        if bot.depends:
            chat.scan()
        else:
            (folder.root / "code").touch()
        supervisor.wait("linked", timeout_s=BACK_S)
        supervisor.wait("verified", timeout_s=BACK_S)
        yield supervisor


def picture() -> str:
    """Return a QR code as terminals show it."""
    import io  # noqa: PLC0415 - here alone

    out = io.StringIO()
    segno.make("2@" + "a" * 120).terminal(out, compact=True)
    return out.getvalue()


def kept_over(supervisor: Running, bot: Bot, restarts: int) -> None:
    """Save so many times: each time the same device is back, and nobody is asked again."""
    (name,) = supervisor.client.call("status")["bots"]
    first = supervisor.status(name)["session"]
    for number in range(restarts):
        mark = supervisor.mark_now()
        comment = "#" if bot.source.endswith((".py", ".sh")) else "//"
        with (supervisor.folder.root / bot.source).open("a") as file:
            file.write(f"{comment} {number}\n")
        record = supervisor.restarted(mark, BACK_S, bot=name)
        assert (record["verified"], record["proof"], record["reason"]) == (
            True,
            bot.proof,
            "change",
        )
    counted = first["restore_count"] + restarts
    supervisor.until(
        lambda: supervisor.status(name)["session"]["restore_count"] == counted, "counted"
    )
    now = supervisor.status(name)["session"]
    assert (now["qr_count"], now["link_count"]) == (1, 1)
    assert now["identity"] == first["identity"]
    assert not now["rollback_count"]
    assert not supervisor.seen("session_restored")
    assert len(supervisor.seen("pairing")) == 1


def counted(supervisor: Running) -> tuple[int, int]:
    """Return how many codes were shown, and how many links there were."""
    info = supervisor.status("project")["session"]
    return info["qr_count"], info["link_count"]


def snapshots(supervisor: Running) -> list[tuple[str, str]]:
    """Stop it, and return what is thought of each of its snapshots."""
    assert supervisor.stop() == 0
    found = supervisor.folder.json("session", "info")["snapshots"]
    return [(each["reason"], each["verdict"]) for each in found]


def test_a_code_that_is_printed_as_text_is_drawn_and_told_to_nobody_else(
    new_folder: Callable[..., Folder],
) -> None:
    """As in the first example of whatsapp-web.js: what `link` shows is in no log and no journal."""
    folder = new_folder("")
    folder.command = ["sh", "bot.sh"]
    code = "2@" + "AbC1" * 40 + ",xyz="
    folder.write(
        "bot.sh",
        'echo "QR RECEIVED $CODE"; while [ ! -e code ]; do sleep 0.02; done; mkdir session\n'
        "echo key > session/key; echo bot is ready; sleep 60\n",
    )
    with running(folder, CODE=code) as supervisor:
        supervisor.wait("pairing")
        shown = supervisor.client.stream("link", bot="project")
        assert next(item for item in shown if "qr" in item)["qr"] == code
        (folder.root / "code").touch()
        supervisor.wait("linked")
        supervisor.wait("verified")
        supervisor.until(lambda: counted(supervisor) == (1, 1), "counted")
        shown_to_all = supervisor.shows("QR RECEIVED [QR code]")
        told = json.dumps([supervisor.events, list(supervisor.client.stream("logs"))])
    assert code[:40] not in shown_to_all + told


def test_what_a_bot_writes_beside_its_source_restarts_nothing(
    new_folder: Callable[..., Folder],
) -> None:
    """Data, caches and logs change all the time; a save of its source is still seen."""
    folder = new_folder("")
    folder.command = ["sh", "bot.sh"]
    folder.write(
        "bot.sh",
        "n=0\nwhile :; do n=$((n+1)); echo $n > cache.txt; echo '{}' > data.json; mkdir -p m$n;"
        " echo $n > m$n/x; [ $n = 20 ] && echo bot is ready; sleep 0.01; done\n",
    )
    with running(folder) as supervisor:
        supervisor.wait("verified")
        assert not supervisor.seen("changed")
        mark = supervisor.mark_now()
        with (folder.root / "bot.sh").open("a") as file:
            file.write("# saved\n")
        assert supervisor.restarted(mark, BACK_S, bot="project")["changed"] == ["bot.sh"]


@pytest.mark.parametrize(
    "bot", [pytest.param(SHELL, id="shell"), pytest.param(TELETHON, id="telethon")]
)
def test_one_command_is_enough(new_folder: Callable[..., Folder], bot: Bot) -> None:
    """`stillhere dev -- COMMAND`: linked once, the same device after two saves, all copies good."""
    with linked(new_folder, bot) as supervisor:
        kept_over(supervisor, bot, 2)
        assert {verdict for _reason, verdict in snapshots(supervisor)} == {"good"}
        told = supervisor.seen("assumed")
        assert told
        assert "its session" in " ".join(told[0]["what"])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bot", LONG)
def test_twenty_restarts_of_a_bot_that_nobody_adapted(
    new_folder: Callable[..., Folder], bot: Bot
) -> None:
    """No code after the first, each start verified by the best proof, and every copy good."""
    with linked(new_folder, bot) as supervisor:
        kept_over(supervisor, bot, 20)
        judged = snapshots(supervisor)
        young = [verdict for reason, verdict in judged if verdict != "good"]
        assert not young, judged
