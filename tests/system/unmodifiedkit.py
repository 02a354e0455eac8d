"""Bots that nobody adapted, and how a person gets one going: by one command, and one link."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import segno

from tests.bots import nodekit
from tests.bots.chat import Chat, chatting
from tests.system.harness import Folder, Running, running

BOTS = Path(__file__).parents[1] / "bots"
BACK_S = 60.0


@dataclass(frozen=True)
class Bot:
    """`proof`: the best that this one can give. `source`: what is saved to restart it.

    `session`: where it keeps what it is, from its folder. `key`: the file that says which device.
    `tears`: it ends at SIGTERM in the middle of a write, as Baileys' writes are not atomic.
    """

    name: str
    command: tuple[str, ...]
    source: str
    preset: str
    session: tuple[str, ...]
    key: str = ""
    proof: str = "identity"
    depends: str = ""
    tears: bool = False


TELETHON = Bot(
    "telethon_bot", ("python", "main.py"), "main.py", "telethon", ("anon.session",), "anon.session"
)
NIO = Bot(
    "nio_bot", ("python", "main.py"), "main.py", "matrix-nio", ("credentials.json", "store"),
    "credentials.json",
)  # fmt: skip
SHELL = Bot("shell_bot", ("./bot.sh",), "bot.sh", "generic", ("session.json",), "session.json")
GO = Bot(
    "go_bot", ("./bot",), "main.go", "generic", ("session",), "session/device.key", proof="ready"
)
BAILEYS = Bot(
    "baileys_bot", ("node", "baileys_bot.mjs"), "blocks.mjs", "baileys", ("auth_info_baileys",),
    "auth_info_baileys/creds.json", depends="baileys", tears=True,
)  # fmt: skip
BROWSER = Bot(
    "browser_bot", ("node", "browser_bot.mjs"), "blocks.mjs", "chromium",
    (".wwebjs_auth/session-x",), proof="ready", depends="playwright-core",
)  # fmt: skip

needs_go = pytest.mark.skipif(
    shutil.which("go") is None, reason="Go is not installed: golang would run this"
)
EACH = [
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


@dataclass
class Home:
    """A bot's folder as a newcomer has it, and its chat network, if it has one."""

    bot: Bot
    folder: Folder
    chat: Chat | None = None

    def link(self, supervisor: Running) -> None:
        """Link it as a person would; whoever comes next is not linked by that."""
        supervisor.wait("pairing", timeout_s=BACK_S)
        if self.chat is not None:
            self.chat.scan()
        else:
            (self.folder.root / "code").touch()
        supervisor.wait("linked", timeout_s=BACK_S)
        supervisor.wait("verified", timeout_s=BACK_S)
        (self.folder.root / "code").unlink(missing_ok=True)

    def save(self, words: str = "") -> None:
        """Change its source, as an editor does in place."""
        comment = "#" if self.bot.source.endswith((".py", ".sh")) else "//"
        with (self.folder.root / self.bot.source).open("a") as file:
            file.write(f"{comment} {words}\n")

    def device(self) -> object:
        """Return which device it is: its own key, or how many devices its network knows."""
        if self.chat is not None:
            chat = self.chat
            return (chat.pairings, len(chat.devices), set(chat.came_back) <= set(chat.devices))
        path = self.folder.root / self.bot.key
        if self.bot is not TELETHON:
            return path.read_bytes()
        with closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT auth_key FROM sessions").fetchone()


@contextmanager
def unlinked(new_folder: Callable[..., Folder], bot: Bot) -> Iterator[Home]:
    """Make a bot's folder, without a config; its network lives for the block."""
    folder = new_folder("")
    folder.command = list(bot.command)
    with ExitStack() as stack:
        home = Home(bot, folder)
        if bot.depends:
            home.chat = stack.enter_context(chatting())
            nodekit.bot_project(folder.root, bot.name, home.chat)
            listed = {"name": "a-bot", "type": "module", "dependencies": {bot.depends: "*"}}
            folder.write("package.json", json.dumps(listed))
        else:
            shutil.copytree(BOTS / bot.name, folder.root, dirs_exist_ok=True)
            folder.write("picture", picture())
        if bot is GO:
            built = ["go", "build", "-o", "bot", "main.go"]
            subprocess.run(built, cwd=folder.root, check=True, env=folder.environment(GOFLAGS=""))
        yield home


@contextmanager
def linked(new_folder: Callable[..., Folder], bot: Bot) -> Iterator[Running]:
    """Run a bot by one command, and link it as a person would."""
    with unlinked(new_folder, bot) as home, running(home.folder) as supervisor:
        home.link(supervisor)
        yield supervisor


def picture() -> str:
    """Return a QR code as terminals show it."""
    out = StringIO()
    segno.make("2@" + "a" * 120).terminal(out, compact=True)
    return out.getvalue()
