"""Whatever becomes of a session's files: the same device comes back, or a refusal with a reason.

Bots that nobody adapted, without a config, under a real supervisor. Never a new device unasked.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.bots import nodekit
from tests.bots.chat import Chat, chatting
from tests.system.harness import Folder, Running, running
from tests.system.test_unmodified import BACK_S, BAILEYS, BOTS, NIO, SHELL, TELETHON, Bot, picture

DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
}
# What the bot itself makes anew without a word of its login is none of its session's.
ALL = [
    pytest.param(TELETHON, id="telethon"),
    pytest.param(NIO, id="nio"),
    pytest.param(SHELL, id="shell"),
    pytest.param(BAILEYS, id="baileys", marks=nodekit.needs_node),
]
PLACES = {
    TELETHON: ("anon.session",),
    NIO: ("credentials.json", "store"),
    SHELL: ("session.json",),
    BAILEYS: ("auth_info_baileys",),
}


@contextmanager
def stopped(new_folder: Callable[..., Folder], bot: Bot) -> Iterator[Folder]:
    """Link a bot, save once, and stop it in good order; its chat network goes on."""
    folder = new_folder("")
    folder.command = list(bot.command)
    with ExitStack() as stack:
        chat: Chat | None = None
        if bot.depends:
            chat = stack.enter_context(chatting())
            nodekit.bot_project(folder.root, bot.name, chat)
            folder.write(
                "package.json", f'{{"type": "module", "dependencies": {{"{bot.depends}": "*"}}}}'
            )
        else:
            shutil.copytree(BOTS / bot.name, folder.root, dirs_exist_ok=True)
            folder.write("picture", picture())
        with running(folder) as supervisor:
            supervisor.wait("pairing", timeout_s=BACK_S)
            if chat is None:
                (folder.root / "code").touch()
            else:
                chat.scan()
            supervisor.wait("linked", timeout_s=BACK_S)
            supervisor.wait("verified", timeout_s=BACK_S)
            mark = supervisor.mark_now()
            with (folder.root / bot.source).open("a") as file:
                file.write("\n")
            supervisor.restarted(mark, BACK_S, bot="project")
        # Nobody is there to link it again.
        (folder.root / "code").unlink(missing_ok=True)
        yield folder


def files_of(folder: Folder, bot: Bot) -> list[Path]:
    """Return the files of its session."""
    found: list[Path] = []
    for name in PLACES[bot]:
        path = folder.root / name
        found += sorted(path.rglob("*")) if path.is_dir() else [path]
    return [path for path in found if path.is_file()]


def outcome(folder: Folder, identity: str) -> str:
    """Start it, and return what came of it: the same device, or a refusal and its reason."""
    with running(folder) as supervisor:
        event = supervisor.wait_for(
            lambda e: e["event"] in ("verified", "failed", "pairing"), 0, BACK_S, "any end"
        )
        restored = supervisor.seen("session_restored")
        if event["event"] == "pairing":
            return f"PAIRS\n{supervisor.console[-3000:]}"
        if event["event"] == "failed":
            return f"refused: {event['why']}"
        assert event["identity"] == identity, supervisor.console[-3000:]
        return "restored" if restored else "harmless"


def identity_of(folder: Folder) -> str:
    """Return whose device the session is."""
    return str(folder.json("session", "info")["identity"])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bot", ALL)
def test_each_file_in_each_way(new_folder: Callable[..., Folder], bot: Bot) -> None:
    """100 %: restored without a pairing, or refused with a reason that names what is wrong."""
    table: list[str] = []
    with stopped(new_folder, bot) as folder:
        identity = identity_of(folder)
        counts = {key: folder.json("session", "info")[key] for key in ("qr_count", "link_count")}
        for path in files_of(folder, bot):
            for name, damage in DAMAGES.items():
                if not path.is_file() or not path.stat().st_size:
                    continue
                damage(path)
                came = outcome(folder, identity)
                table.append(f"{bot.name} {path.relative_to(folder.root)} {name}: {came}")
                assert not came.startswith("PAIRS"), table[-1]
        now = folder.json("session", "info")
        assert {key: now[key] for key in counts} == counts
    print("\n".join(table))  # noqa: T201 - the matrix itself, with -s
    assert any("restored" in line for line in table)


def test_a_session_that_was_emptied_comes_back(new_folder: Callable[..., Folder]) -> None:
    """The most usual one: a kill in the middle of a write leaves an empty file."""
    with stopped(new_folder, SHELL) as folder:
        identity = identity_of(folder)
        (path,) = files_of(folder, SHELL)
        before = path.read_bytes()
        path.write_bytes(b"")
        assert outcome(folder, identity) == "restored"
        assert path.read_bytes() == before


@pytest.mark.long
@pytest.mark.parametrize("bot", ALL)
def test_all_of_it_gone(new_folder: Callable[..., Folder], bot: Bot) -> None:
    """The whole session deleted by mistake comes back whole."""
    with stopped(new_folder, bot) as folder:
        identity = identity_of(folder)
        for path in files_of(folder, bot):
            path.unlink()
        assert outcome(folder, identity) == "restored"


def while_it_runs(supervisor: Running, folder: Folder, bot: Bot, damage: str) -> None:
    """Damage a file under a running bot, and save."""
    path = files_of(folder, bot)[0]
    DAMAGES[damage](path)
    mark = supervisor.mark_now()
    with (folder.root / bot.source).open("a") as file:
        file.write("\n")
    supervisor.wait_for(
        lambda e: e["event"] in ("restarted", "held", "failed"), mark, BACK_S, "any end"
    )


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_under_a_running_bot(new_folder: Callable[..., Folder], damage: str) -> None:
    """A bot that reads its session only at its start: the save must not make a new device of it."""
    with stopped(new_folder, SHELL) as folder:
        identity = identity_of(folder)
        with running(folder) as supervisor:
            supervisor.wait("verified", timeout_s=BACK_S)
            while_it_runs(supervisor, folder, SHELL, damage)
            assert not supervisor.seen("pairing")
        assert identity_of(folder) == identity
        assert outcome(folder, identity) in ("harmless", "restored")
