"""A bot with a `user`: it runs as them and as nobody else, and has the same life as any other."""

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.control import paths
from tests.system import others
from tests.system.harness import PHONE, ROOT, Folder, Running, running
from tests.system.others import DAEMON, NOBODY

LACKING = others.lacking(NOBODY, DAEMON)
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

CONFIG = """
[supervisor]
sessions = "data/live"

[logs]
folder = "logs"

[bot.echo]
command = ["{python}", "main.py"]
session = "971505760056"
watch = ["main.py", "number.py"]
user = "nobody"
env = {{ PYTHONDONTWRITEBYTECODE = "1" }}

[bot.other]
command = ["/bin/sh", "-c", "date >$STILLHERE_SESSION_DIR/key; echo here; exec tail -f /dev/null"]
session = "other"
ready = {{ log = "here" }}
standby = "off"
watch = []
user = "daemon"
"""
ASKED = """
[bot.echo]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
session = false
ready = {{ command = ["/bin/sh", "-c", "grep -E '{facts}' /proc/self/status >{into}/ready"] }}
user = "nobody"

[bot.echo.limits]
alive = {{ command = ["/bin/sh", "-c", "grep -E '{facts}' /proc/self/status >{into}/alive"] }}
alive_every_s = 0.05
"""
FACTS = ("Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@pytest.fixture
def folder(bytecode_cache: Path) -> Iterator[Folder]:
    """A project that others can read."""
    with others.shared(CONFIG.format(python=others.python()), bytecode_cache) as made:
        made.write("main.py", (ROOT / "tests" / "system" / "bots" / "other_user.py").read_text())
        made.write("number.py", "NUMBER = 1\n")
        yield made


def facts(status: str) -> dict[str, list[str]]:
    """Return what the kernel says of a process's rights."""
    pairs = (line.split(":", 1) for line in status.splitlines())
    return {key: value.split() for key, value in pairs if key in FACTS}


def linked(supervisor: Running) -> int:
    """Link the bot, as if its QR code had been scanned; return its pid."""
    supervisor.wait("pairing", bot="echo")
    pid: int = supervisor.status()["pid"]
    os.kill(pid, signal.SIGUSR1)
    supervisor.wait("snapshot_taken", bot="echo")
    supervisor.mark_now()
    return pid


def confined(pid: int, name: str) -> dict[str, list[str]]:
    """Check that a process is just this user; return what it is."""
    who = pwd.getpwnam(name)
    found = facts(Path(f"/proc/{pid}/status").read_text())
    assert found["Uid"] == [str(who.pw_uid)] * 4
    assert found["Gid"] == [str(who.pw_gid)] * 4
    assert set(found["Groups"]) <= {str(gid) for gid in os.getgrouplist(name, who.pw_gid)}
    assert found["NoNewPrivs"] == ["1"]
    assert all(set(found[key][0]) == {"0"} for key in FACTS if key.startswith("Cap"))
    return found


def session_of(folder: Folder) -> Path:
    """Return the session of the bot that is linked."""
    return folder.root / "data" / "live" / f"session-{PHONE}"


def theirs(session: Path, name: str) -> None:
    """Check that a session belongs to this user, and that nobody else may look at it."""
    who = pwd.getpwnam(name)
    for path in (session, *session.rglob("*")):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (who.pw_uid, who.pw_gid), path
    assert session.stat().st_mode & 0o777 == 0o700


def test_it_can_change_its_own_session_and_nothing_else(folder: Folder) -> None:
    """Not the snapshots, the records, the sockets, the logs, or the session of another user."""
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="other")
        pid = linked(supervisor)
        confined(pid, NOBODY)
        other = supervisor.status("other")["pid"]
        confined(other, DAEMON)
        (control,) = [p for p in paths.candidates(folder.root / "config.toml") if p.exists()]
        store = folder.root / ".session-cache"
        sessions = folder.root / "data" / "live"
        tried = [
            *(control, control.with_suffix(".lock"), control.parent),
            *(store, store / ".events.jsonl", store / "packs", *(store / "packs").iterdir()),
            *(folder.root / "session-state.json", folder.root / "logs", *sessions.glob(".*.lock")),
            *(sessions, sessions / "session-other", sessions / "session-other" / "key"),
            *(Path(f"/proc/{supervisor.process.pid}/{name}") for name in ("environ", "mem")),
            *(Path(f"/proc/{other}/{name}") for name in ("environ", "mem")),
        ]
        assert len(tried) >= 17
        assert [path for path in tried if not path.exists()] == []
        folder.write("tried.txt", "\n".join(map(str, tried)))
        os.kill(pid, signal.SIGUSR2)
        assert "could []\n" in supervisor.shows("could ")
        assert (session_of(folder) / "device").read_text() == "device-1"
        theirs(session_of(folder), NOBODY)
        theirs(sessions / "session-other", DAEMON)


def test_it_has_the_whole_life_of_a_bot(folder: Folder) -> None:
    """Linked, saved, restarted, damaged and restored: the same device, and all is its own.

    Also where the umask would keep it from all that the supervisor makes.
    """
    folder.before = ["/bin/sh", "-c", 'umask 077; exec "$@"', "sh"]
    with running(folder) as supervisor:
        linked(supervisor)
        mark = supervisor.mark_now()
        folder.replace("number.py", "NUMBER = 2\n")
        record = supervisor.restarted(mark)
        assert (record["reason"], record["proof"]) == ("change", "identity")
        assert supervisor.status()["status"] == "number 2"
        confined(supervisor.status()["pid"], NOBODY)
        before = folder.info()
        supervisor.client.call("stop", bot="echo")
        os.truncate(session_of(folder) / "device", 0)
        mark = supervisor.mark_now()
        supervisor.client.call("start", bot="echo")
        assert supervisor.wait("session_restored", mark)["action"] == "restored"
        assert supervisor.restarted(mark)["proof"] == "identity"
        assert (session_of(folder) / "device").read_text() == "device-1"
        theirs(session_of(folder), NOBODY)
        after = folder.info()
        assert after["rollback_count"] == before["rollback_count"] + 1
        assert (after["id"], after["link_count"], after["qr_count"]) == (PHONE, 1, 1)
        assert not supervisor.seen("notify_strangers"), "what it says is heard"


def test_what_asks_whether_it_is_well_runs_like_it(bytecode_cache: Path) -> None:
    """The commands of `ready` and `alive`: the same ids, groups and lack of rights."""
    with others.shared("", bytecode_cache) as folder:
        into = folder.root / "into"
        into.mkdir()
        into.chmod(0o777)
        wanted = "^(" + "|".join(FACTS) + "):"
        folder.write("config.toml", ASKED.format(facts=wanted, into=into))
        with running(folder, "run") as supervisor:
            supervisor.wait("verified", bot="echo")
            bot = confined(supervisor.status()["pid"], NOBODY)
            assert facts((into / "ready").read_text()) == bot
            alive = into / "alive"
            supervisor.until(lambda: alive.exists() and facts(alive.read_text()) == bot, "like it")
            assert (into / "alive").stat().st_uid == pwd.getpwnam(NOBODY).pw_uid
