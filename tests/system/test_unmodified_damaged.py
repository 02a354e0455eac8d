"""Whatever becomes of a session's files: the same device comes back, or a refusal with a reason.

Bots that nobody adapted, without a config, under a real supervisor. Never a new device unasked.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from supervisor.session.proof.leveldb_format import FULL, HEADER
from tests.system.harness import Folder, Running, running
from tests.system.unmodifiedkit import (
    BACK_S,
    BROWSER,
    EACH,
    GO,
    SHELL,
    TELETHON,
    Bot,
    Home,
    unlinked,
)

DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
}
# Of a browser's hundreds of files, what its login is in.
VITAL = (
    "Default/Local Storage/leveldb/CURRENT",
    "Default/Local Storage/leveldb/MANIFEST-*",
    "Default/Local Storage/leveldb/*.log",
    "Default/IndexedDB/*.leveldb/CURRENT",
    "Default/IndexedDB/*.leveldb/MANIFEST-*",
    "Default/IndexedDB/*.leveldb/*.log",
    "Default/Cookies",
    "Default/Preferences",
    "Local State",
)
ENDS = ("verified", "failed", "pairing", "held")


@contextmanager
def stopped(new_folder: Callable[..., Folder], bot: Bot) -> Iterator[Home]:
    """Link a bot, save once, and stop it in good order; its chat network goes on."""
    with unlinked(new_folder, bot) as home:
        with running(home.folder) as supervisor:
            home.link(supervisor)
            mark = supervisor.mark_now()
            home.save()
            supervisor.restarted(mark, BACK_S, bot="project")
        yield home


def files_of(home: Home) -> list[Path]:
    """Return the files that its session can't be without."""
    found: list[Path] = []
    for name in home.bot.session:
        path = home.folder.root / name
        if home.bot is BROWSER:
            found += [each for pattern in VITAL for each in sorted(path.glob(pattern))]
        else:
            found += sorted(path.rglob("*")) if path.is_dir() else [path]
    return [path for path in found if path.is_file()]


def key_of(home: Home) -> Path:
    """Return the file without which it is no device."""
    return home.folder.root / home.bot.key if home.bot.key else files_of(home)[0]


def counts(home: Home) -> dict[str, object]:
    """Return whose device it is, and how often anybody was asked to link it."""
    info = home.folder.json("session", "info")
    return {key: info[key] for key in ("identity", "qr_count", "link_count")}


def outcome(home: Home, damaged: str = "") -> str:
    """Start it, and return what came of it: the same device, or a refusal and its reason."""
    back = len(home.chat.came_back) if home.chat else 0
    with running(home.folder) as supervisor:
        event = supervisor.wait_for(lambda e: e["event"] in ENDS, 0, BACK_S, "any end")
        if event["event"] == "verified" and home.chat is not None:
            chat = home.chat
            chat.wait(lambda: len(chat.came_back) > back, "back")
        restored = supervisor.seen("session_restored")
        assert not supervisor.seen("pairing"), f"{damaged}\n{supervisor.console[-3000:]}"
        if event["event"] != "verified":
            assert Path(damaged).name in event["why"], event
            return f"refused: {event['why']}"
        return "restored" if restored else "harmless"


def tell(table: list[str]) -> None:
    """Print the matrix itself, with -s."""
    print("\n".join(["", *table]))  # noqa: T201 - it is what this is for


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bot", EACH)
def test_each_file_in_each_way(new_folder: Callable[..., Folder], bot: Bot) -> None:
    """100 %: restored without a pairing, or refused with a reason that names what is wrong."""
    table: list[str] = []
    with stopped(new_folder, bot) as home:
        before, device = counts(home), home.device()
        for path in files_of(home):
            name = str(path.relative_to(home.folder.root))
            for damage, do in DAMAGES.items():
                # A browser has begun another by now, or it holds nothing at all.
                if not path.is_file() or not path.stat().st_size:
                    table.append(f"{bot.name} {name} {damage}: nothing to damage")
                    continue
                do(path)
                table.append(f"{bot.name} {name} {damage}: {outcome(home, name)}")
                assert home.device() == device, table[-1]
        assert counts(home) == before
    tell(table)
    assert any("restored" in line for line in table)


def test_a_session_that_was_emptied_comes_back(new_folder: Callable[..., Folder]) -> None:
    """The most usual one: a kill in the middle of a write leaves an empty file."""
    with stopped(new_folder, SHELL) as home:
        before, device = counts(home), home.device()
        (path,) = files_of(home)
        path.write_bytes(b"")
        assert outcome(home) == "restored"
        assert (counts(home), home.device()) == (before, device)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bot", EACH)
def test_all_of_it_gone(new_folder: Callable[..., Folder], bot: Bot) -> None:
    """The whole session deleted by mistake comes back whole."""
    with stopped(new_folder, bot) as home:
        before, device = counts(home), home.device()
        for name in bot.session:
            path = home.folder.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert outcome(home) == "restored"
        assert (counts(home), home.device()) == (before, device)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bot", EACH)
@pytest.mark.parametrize("damage", DAMAGES)
def test_under_a_running_bot(new_folder: Callable[..., Folder], bot: Bot, damage: str) -> None:
    """The save after it makes no new device, and what is damaged is never the only copy."""
    with stopped(new_folder, bot) as home:
        before, device = counts(home), home.device()
        with running(home.folder) as supervisor:
            supervisor.wait("verified", timeout_s=BACK_S)
            path = key_of(home)
            DAMAGES[damage](path)
            mark = supervisor.mark_now()
            home.save("again")
            came = supervisor.wait_for(
                lambda e: e["event"] in ("restarted", *ENDS[1:]), mark, BACK_S, "any end"
            )
            tell([f"{bot.name} {path.name} {damage} while it runs: {told(supervisor, came, mark)}"])
            assert not supervisor.seen("pairing")
        came_of_it = outcome(home)
        if bot is GO:
            by_hand(home, device)
        else:
            assert came_of_it in ("harmless", "restored")
        assert (counts(home), home.device()) == (before, device)


def by_hand(home: Home, device: object) -> None:
    """Bring back what nobody can judge: a key without a format, or a bot's own new shape.

    Its good copies are there all the same, and one of them is the device.
    """
    for each in home.folder.json("session", "info")["snapshots"]:
        done = home.folder.stillhere("session", "restore", "--snapshot", str(each["seq"]), "--yes")
        key = home.folder.root / home.bot.key
        if not done.returncode and key.exists() and home.device() == device:
            return
    raise AssertionError("no copy of it is left")


def told(supervisor: Running, came: dict[str, object], mark: int) -> str:
    """Return in a few words what became of a restart."""
    why = [each.get("why") for each in supervisor.seen("session_restored", mark)]
    return f"{came['event']} {came.get('why') or ''} {'restored' if why else ''}"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bot", EACH)
@pytest.mark.parametrize("damage", DAMAGES)
def test_without_its_snapshots(new_folder: Callable[..., Folder], bot: Bot, damage: str) -> None:
    """What is damaged and can't come back waits for a person, and nobody is asked to link."""
    with stopped(new_folder, bot) as home:
        shutil.rmtree(home.folder.root / ".session-cache")
        device, path = home.device(), key_of(home)
        DAMAGES[damage](path)
        came = outcome(home)
        tell([f"{bot.name} {path.name} {damage}, no snapshots: {came}"])
        # Of a key without a format nothing tells any more what it was.
        assert came.startswith("refused") or bot is GO or home.device() == device


@pytest.mark.long
def test_a_session_of_another_shape(new_folder: Callable[..., Folder]) -> None:
    """Another version of a bot may write it so: no new device, and the old shape is kept."""
    with stopped(new_folder, SHELL) as home:
        before, device = counts(home), home.device()
        path = home.folder.root / "session.json"
        path.write_text('{"login": {"id": 4711, "secret": "x"}}')
        tell([f"{SHELL.name} session.json of another shape: {outcome(home)}"])
        assert counts(home) == before
        by_hand(home, device)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bot", EACH[-1:])
def test_a_log_that_a_kill_tore(new_folder: Callable[..., Folder], bot: Bot) -> None:
    """Chromium goes on behind it, and is the same device each time."""
    with stopped(new_folder, bot) as home:
        before, device = counts(home), home.device()
        for path in files_of(home):
            if path.suffix == ".log" and "Local Storage" in str(path):
                with path.open("ab") as file:
                    file.write(HEADER.pack(1, 60, FULL) + bytes(20))
        assert [outcome(home) for _start in range(3)] == ["harmless"] * 3
        assert (counts(home), home.device()) == (before, device)


@pytest.mark.long
def test_two_sessions_of_one_kind_in_one_folder(new_folder: Callable[..., Folder]) -> None:
    """What happens to the one leaves the other as it is."""
    with stopped(new_folder, TELETHON) as home:
        before, device = counts(home), home.device()
        other = home.folder.root / "other.session"
        shutil.copy(home.folder.root / "anon.session", other)
        with closing(sqlite3.connect(other)) as database, database:
            database.execute("UPDATE sessions SET auth_key = ?", (os.urandom(256),))
        whole = other.read_bytes()
        assert outcome(home) == "harmless"
        for damage, do in DAMAGES.items():
            do(home.folder.root / "anon.session")
            tell([f"{TELETHON.name} one of two {damage}: {outcome(home, 'anon.session')}"])
            assert (counts(home), home.device()) == (before, device)
            assert other.read_bytes() == whole
