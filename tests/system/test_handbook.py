"""docs/recovery.md, heading by heading: each situation is brought about, its lines are shown."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from bot.phone_wire import PhoneError
from supervisor.cli.console import Console
from tests.faults.mounts import mounted
from tests.markdown import ROOT, blocks, section
from tests.system.harness import PHONE, Folder, Running, answer, link, running
from tests.system.test_full_disk import KEEPS, fill
from tests.test_docs_words import STANDS_FOR

RECOVERY = ROOT / "docs" / "recovery.md"
ANYTHING = re.compile(rf"\b(?:{'|'.join(STANDS_FOR)})\b")

pytestmark = pytest.mark.long  # a supervisor or more for each


def unseen(heading: str, shown: Iterable[str], left_out: tuple[str, ...] = ()) -> list[str]:
    """Return the lines below a heading that were not shown."""
    lines = [line for text in shown for line in text.splitlines()]
    wanted = [
        line
        for block in blocks(section(RECOVERY, heading), "text")
        for line in block.splitlines()
        if not line.startswith(left_out)
    ]
    assert wanted, heading
    return [line for line in wanted if not any(pattern(line).search(each) for each in lines)]


def pattern(line: str) -> re.Pattern[str]:
    """Return what finds a quoted line, whatever its words in capitals stand for."""
    counted = re.sub(r"\bN (\w+)s\b", r"N \1S?", line)
    parts = (re.escape(part).replace("S\\?", "s?") for part in ANYTHING.split(counted))
    return re.compile(".*?".join(parts))


def told(done: "subprocess.CompletedProcess[str]") -> str:
    """Return all that a command printed."""
    return done.stdout + done.stderr


def spoken(supervisor: Running) -> list[str]:
    """Return what the console says of the events so far: its own log may lie on a full disk."""
    console = Console({"server": None, "echo": PHONE})
    return [line for event in list(supervisor.events) for line in console.render(event)]


def damage_packs(folder: Folder) -> None:
    """Change a byte in each pack."""
    for pack in (folder.root / ".session-cache" / "packs").iterdir():
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 255
        pack.chmod(0o600)
        pack.write_bytes(data)


def test_a_session_file_is_damaged_or_missing(linked: Folder) -> None:
    """First one is cut short, then all of it is gone; then only older copies are left."""
    shown = []
    os.truncate(linked.session / "store.db", 100)
    with running(linked) as supervisor:
        supervisor.restarted(0)
        shown.append(supervisor.shows("same device"))
    shutil.rmtree(linked.session)
    with running(linked) as supervisor:
        supervisor.restarted(0)
        shown.append(supervisor.shows("same device"))
    shutil.rmtree(linked.session)
    newest = max((linked.root / ".session-cache").glob("session-*.json"))
    newest.chmod(0o600)
    newest.write_text(newest.read_text()[:100])
    with running(linked) as supervisor:
        supervisor.wait("failed", bot="echo")
        shown.append(supervisor.shows("next: as said above"))
    assert not unseen("## A session file is damaged or missing", shown)


def test_a_restore_was_wrong(linked: Folder) -> None:
    """What was replaced comes back by its name, and answers again; an ended link's does not."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        with linked.phone() as phone:
            answer(phone)
        oldest = str(linked.json("session", "snapshots")[0]["seq"])
        mark = supervisor.mark_now()
        back = linked.stillhere("session", "restore", "--snapshot", oldest, "--yes")
        supervisor.restarted(mark, 40.0)
        with linked.phone() as phone, suppress(PhoneError):
            answer(phone)
        supervisor.wait("undecryptable", mark)
        deaf = supervisor.shows("was one restored by hand?")
        mark = supervisor.mark_now()
        name = linked.info()["quarantine"][-1]["name"]
        assert linked.stillhere("session", "restore", "--snapshot", name, "--yes").returncode == 0
        supervisor.restarted(mark)
        with linked.phone() as phone:
            assert answer(phone) == "pong"
        newest = str(linked.json("session", "snapshots")[-1]["seq"])
        assert linked.stillhere("session", "clear", "--yes").returncode == 0
        ended = linked.stillhere("session", "restore", "--snapshot", newest, "--yes")
    assert not unseen("## A restore was wrong: go back", [told(back), told(ended)])
    assert not unseen("## Messages can't be decrypted, Bad MAC", [deaf])


def test_logged_out_from_the_phone_and_in_again_as_it_was(linked: Folder) -> None:
    """A logout is final. After a clear the old session still comes in, where nobody scanned."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        assert linked.stillhere("session", "clear", "--yes").returncode == 0
        supervisor.wait("pairing")
        asks = supervisor.shows("scan it in another terminal")
        assert not unseen("## The bot asks for a QR code again", [asks])
        number = str(linked.json("session", "snapshots")[-1]["seq"])
        for words in (
            ("export", PHONE, "old", "--snapshot", number),
            ("import", PHONE, "old", "--yes"),
        ):
            assert words[0] == "export" or linked.stillhere("stop").returncode == 0
            done = linked.stillhere("session", *words)
            assert done.returncode == 0, done.stderr
        assert linked.stillhere("start").returncode == 0
        assert supervisor.status()["session"]["state"] == "restored"
        mark = supervisor.mark_now()
        with linked.phone() as phone:
            phone.remove()
        supervisor.wait("pairing", mark)
        shown = supervisor.shows("a QR code follows")
    assert not unseen("## Logged out from the phone", [shown])


def test_a_conflict(linked: Folder, tmp_path: Path) -> None:
    """A copy of the folder runs elsewhere on this machine: found by nobody, and said so."""
    copy = tmp_path / "copy"
    with running(linked) as supervisor:
        supervisor.restarted(0)
        mark = supervisor.mark_now()
        shutil.copytree(linked.root / "bot", copy / "bot")
        shutil.copytree(linked.session, copy / "session")
        (copy / ".chat-server").symlink_to(linked.chat_data)
        extra = {"STILLHERE_SESSION_DIR": str(copy / "session"), "STILLHERE_SESSION_ID": PHONE}
        with subprocess.Popen(
            [sys.executable, "-m", "bot"],
            cwd=copy,
            env=linked.environment(**extra, STILLHERE_GENERATION="1"),
            stdout=subprocess.DEVNULL,
        ) as other:
            supervisor.wait("failed", mark)
            shown = supervisor.shows("next: as said above")
            other.kill()
        assert linked.stillhere("start", "echo").returncode == 0
    heading = "## Conflict: the device is online twice"
    assert not unseen(heading, [shown], left_out=("the other copy is pid",))


def test_another_supervisor(linked: Folder) -> None:
    """For the same config, and for the same session from another one."""
    elsewhere = Folder(linked.root / "elsewhere", linked.cache, "")
    elsewhere.write(
        "config.toml",
        '[supervisor]\nsessions = "../sessions"\nsnapshots = "../.session-cache"\n'
        'state = "../session-state.json"\n[bot.echo]\ncommand = ["python", "-m", "bot"]\n'
        f'session = "{PHONE}"\ncwd = ".."\nwatch = ["../bot"]\n',
    )
    with running(linked) as supervisor:
        supervisor.restarted(0)
        same, other = linked.stillhere("run"), elsewhere.stillhere("run")
        assert (same.returncode, other.returncode) == (1, 1)
        busy = linked.stillhere("session", "export", PHONE, "out")
        busy = linked.stillhere("session", "import", PHONE, "out", "--yes")
        assert linked.stillhere("stop").returncode == 0
        assert linked.stillhere("session", "import", PHONE, "out", "--yes").returncode == 0
    shown = [told(same), told(other), told(busy)]
    assert not unseen("## Another supervisor runs already", shown)


def test_another_device(linked: Folder, new_folder: Callable[..., Folder]) -> None:
    """Its files in the place of ours: dev asks, and what was before comes back by hand."""
    stranger = new_folder(name="stranger").with_shipped_bot()
    with running(stranger) as supervisor, link(supervisor):
        pass
    shutil.rmtree(linked.session)
    shutil.copytree(stranger.session, linked.session)
    with running(linked) as supervisor:
        supervisor.wait("failed", bot="echo")
        shown = supervisor.shows("next: as said above")
        number = str(linked.json("session", "snapshots")[-1]["seq"])
        mark = supervisor.mark_now()
        done = linked.stillhere("session", "restore", "--snapshot", number, "--yes")
        assert done.returncode == 0, done.stderr
        assert supervisor.restarted(mark)["proof"] == "roundtrip"
    said_by_bots_without_a_server = ("this is another device than before",)
    assert not unseen("## Another device than before", [shown], said_by_bots_without_a_server)


def test_the_disk_is_full(tmp_path: Path, new_folder: Callable[..., Folder]) -> None:
    """Who works works on, who starts waits; with room again all is well by itself."""
    with mounted("tmpfs", tmp_path) as root:
        folder = new_folder(KEEPS, name=f"{root.name}/project")
        with running(folder, "run") as supervisor:
            pid = supervisor.wait("spawned", bot="keeps")["pid"]
            supervisor.wait("snapshot_taken")
            ballast = fill(root)
            mark = supervisor.mark()
            supervisor.client.call("restart", bot="keeps")
            supervisor.wait("snapshot_failed", mark)
            assert supervisor.status("keeps")["pid"] == pid
            shown = spoken(supervisor)
        with running(folder, "run") as supervisor:
            supervisor.wait("backoff")
            shown += spoken(supervisor)
            ballast.unlink()
            assert supervisor.restarted(0, bot="keeps")["verified"]
    told_at_times = ("SessionManager: the session's record", "events are not written")
    assert not unseen("## The disk is full", shown, told_at_times)


def test_the_store_is_gone(linked: Folder) -> None:
    """A whole session runs on; one that is not waits, in dev in FAILED, until it is cleared."""
    kept = linked.root / "kept"
    (linked.root / ".session-cache").rename(kept)
    with running(linked) as supervisor:
        assert supervisor.restarted(0)["verified"]
        shown = [supervisor.shows("a whole session runs on without it")]
    shutil.rmtree(linked.root / ".session-cache")
    shutil.rmtree(linked.session)
    with running(linked) as supervisor:
        supervisor.wait("failed", bot="echo")
        shown.append(supervisor.shows("next: as said above"))
        assert linked.stillhere("session", "clear", "--yes").returncode == 0
        supervisor.wait("pairing")
    assert not unseen("## The snapshots are gone: .session-cache was deleted", shown)


def test_the_store_is_damaged(linked: Folder) -> None:
    """Bytes that changed are found; a manifest that is torn stops pruning, and nothing else."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        damage_packs(linked)
        assert linked.stillhere("session", "check").returncode == 1
        shown = [supervisor.shows("the next snapshot stores what is live again")]
        torn = min((linked.root / ".session-cache").glob("session-*.json"))
        torn.chmod(0o600)
        torn.write_text(torn.read_text()[:100])
        shown.append(told(linked.stillhere("session", "prune")))
        torn.rename(linked.root / "torn.json")
        assert linked.stillhere("session", "backup").returncode == 0
        assert linked.stillhere("session", "check").returncode == 0
    heading = "## The snapshots are damaged"
    assert not unseen(heading, shown, left_out=("SessionManager: the restore drill failed",))


def test_the_state_file_is_lost(linked: Folder) -> None:
    """Torn: rebuilt. Away with the store, too: adopted as it is."""
    state = linked.root / "session-state.json"
    before = linked.info()
    state.write_text('{"version": 1, "sess')
    with running(linked) as supervisor:
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        shown = [supervisor.shows("the old one is kept")]
    assert linked.info()["link_count"] == before["link_count"]
    state.unlink()
    shutil.rmtree(linked.root / ".session-cache")
    with running(linked) as supervisor:
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        shown.append(supervisor.shows("adopted the session of device"))
    assert not unseen("## session-state.json is lost or damaged", shown)


def test_moving_to_another_machine(linked: Folder, tmp_path: Path) -> None:
    """Exported here, imported there, adopted, the same device."""
    done = linked.stillhere("session", "export", PHONE, str(tmp_path / "moved.tar.zst"))
    assert done.returncode == 0, done.stderr
    there = Folder(tmp_path / "there", linked.cache).with_shipped_bot()
    shutil.copytree(linked.chat_data, there.chat_data)
    done = there.stillhere("session", "import", PHONE, str(tmp_path / "moved.tar.zst"), "--yes")
    with running(there, "run") as supervisor:
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        shown = supervisor.shows("adopted the session of device")
    assert there.info()["identity"] == linked.info()["identity"]
    assert not unseen("## Moving to another machine", [told(done), shown])


def test_a_bot_is_in_failed_and_a_save_mends_it(linked: Folder) -> None:
    """Code that does not start never stops the old bot; started with it, it is FAILED."""
    main = linked.root / "bot/__main__.py"
    whole = main.read_text()
    with running(linked) as supervisor:
        supervisor.restarted(0)
        mark = supervisor.mark_now()
        linked.write("bot/__main__.py", "import nothing_like_this\n")
        supervisor.wait("standby_failed", mark)
        assert linked.stillhere("pause").returncode == 0
        shown = supervisor.shows("paused: changes are collected")
    with running(linked) as supervisor:
        supervisor.wait("failed", bot="echo")
        failed = supervisor.shows("next: stillhere logs echo")
        assert linked.stillhere("status").returncode == 3
        mark = supervisor.mark_now()
        linked.write("bot/__main__.py", whole)
        assert supervisor.restarted(mark)["verified"]
    assert not unseen("## A bot is in FAILED", [failed])
    keys = ("paused: changes are collected, not acted on; p goes on", "FILE changed, not applied")
    assert not unseen("## A save does nothing", [shown], left_out=keys)


def test_it_does_not_come_online(new_folder: Callable[..., Folder]) -> None:
    """Nothing is restored for a bot that is late, nor for a network that is away."""
    folder = new_folder(
        '[bot.slow]\ncommand = ["/bin/sh", "-c", "exec tail -f /dev/null"]\n'
        "restore_timeout_s = 0.5\nstart_timeout_s = 1\n"
        f'[bot.echo]\ncommand = ["python", "-m", "bot"]\nsession = "{PHONE}"\n'
    ).with_shipped_bot()
    with running(folder) as supervisor:
        supervisor.wait("late", bot="slow")
        supervisor.wait("offline", bot="echo")
        supervisor.wait("backoff", bot="slow")
        shown = supervisor.shows("starts again in")
    assert not unseen("## It does not come online: late, offline", [shown])
