"""The bot that ships, in the whole sandbox of the unit that is written for it, by who runs it."""

import json
from collections.abc import Callable

import pytest

from tests.system.harness import PHONE, SHIPPED
from tests.systemd.conftest import PYTHON, USER, Service

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("systemd")]

# A system call filter is on; nothing can be gained by executing something.
FILTERED, NOTHING = "2", "0000000000000000"


def by_the_owner(service: Service) -> list[str]:
    """Have it run by root, whose project it is, without any capability."""
    assert "User=root" in service.python("supervisor", "systemd", "show")
    return []


def by_a_user(service: Service) -> list[str]:
    """Have it run by a user of its own."""
    service.give()
    return ["--as", USER]


def by_nobody_elses(service: Service) -> list[str]:
    """Have it run by a dynamic user: all that is written lies where systemd makes folders."""
    state = f"/var/lib/{service.name}"
    service.store = f"{state}/snapshots"
    service.env = {"STILLHERE_CHAT_DATA": f"{state}/chat"}
    chat = f'env = {{ STILLHERE_CHAT_DATA = "{state}/chat" }}\n'
    config = SHIPPED.replace("\nsession = ", f"\n{chat}session = ")
    folders = f'sessions = "{state}/sessions"\nsnapshots = "{service.store}"\n'
    service.write("config.toml", f'[supervisor]\n{folders}state = "{state}/state.json"\n{config}')
    assert "DynamicUser=yes" in service.python(
        "supervisor", "systemd", "show", "--name", service.name
    )
    return []


def by_root_for_a_user(service: Service) -> list[str]:
    """Have the bots run by a user of their own, and what supervises them by root."""
    config = SHIPPED.replace("\nsession = ", f'\nuser = "{USER}"\nsession = ')
    service.write("config.toml", config)
    chat = f"{service.here}/.chat-server"  # the server may not write beside its code
    service.manager.run("install", "-d", "-m", "700", "-o", USER, chat)
    # And the session's folder is there, too open: root must be able to close what is another's.
    service.manager.run("install", "-d", f"{service.here}/sessions")
    session = f"{service.here}/sessions/session-{PHONE}"
    service.manager.run("install", "-d", "-m", "755", "-o", USER, session)
    return []


def empty_the_session(service: Service) -> None:
    """Leave of the credentials what a full disk leaves."""
    folder = "sessions" if not service.env else f"../../var/lib/{service.name}/sessions"
    path = f"{service.here}/{folder}/session-{PHONE}/creds.json"
    service.manager.run("truncate", "--size=0", path)


def sees(service: Service, pid: int) -> bool:
    """Return whether the bot's /proc shows some other user a process, inside."""
    who = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    look = ["nsenter", "-t", str(service.bot_pid()), "-m", *who, "test", "-d", f"/proc/{pid}"]
    return not service.manager.run(*look, check=False).returncode


@pytest.mark.parametrize(
    "who",
    [by_the_owner, by_a_user, by_nobody_elses, by_root_for_a_user],
    ids=lambda who: who.__name__,
)
def test_the_bot_that_ships_lives_in_it(
    service: Service, who: "Callable[[Service], list[str]]"
) -> None:
    """Linked, verified, restarted, upgraded, restored: one device, and no second QR code."""
    before = service.link("", *who(service))
    service.python("supervisor", "restart", "echo")
    assert service.happens("restarted", 2, bot="echo")["record"]["proof"] == "roundtrip"
    assert service.answer() == "pong"
    bot = service.seen_of(service.bot_pid())
    assert (bot["Seccomp"], bot["NoNewPrivs"]) == (FILTERED, "1")
    assert (bot["CapEff"], bot["CapBnd"]) == (NOTHING, NOTHING)
    assert not sees(service, service.main_pid)
    assert service.told()["usage"]["rss_bytes"] > 0  # the supervisor sees it, whoever it is

    pid = service.bot_pid()
    service.python("supervisor", "upgrade")
    service.happens("upgraded")
    assert service.bot_pid() == pid
    assert service.answer() == "pong"

    service.stop()
    empty_the_session(service)
    service.start()
    service.happens("session_restored", bot="echo", action="restored")
    assert service.happens("restarted", 3, bot="echo")["record"]["proof"] == "roundtrip"
    assert service.answer() == "pong"
    assert service.device() == before
    assert len(service.events("pairing", bot="echo")) == 1
    service.stop()


@pytest.mark.parametrize(
    "who", [by_the_owner, by_a_user, by_nobody_elses], ids=lambda who: who.__name__
)
def test_the_page_lives_in_it(service: Service, who: "Callable[[Service], list[str]]") -> None:
    """It is started, shows the code, finds the session, and goes with the service."""
    words = who(service)
    config = (service.folder / "config.toml").read_text()
    service.write("config.toml", f"{config}\n[web]\nenabled = true\n")
    service.link("", *words)
    url = json.loads(service.python("supervisor", "web", "--json"))["url"]
    look = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
    page = service.manager.run(str(PYTHON), "-c", look, f"{url}bot/echo").stdout
    assert "device proved (roundtrip)" in page
    assert "Restore the snapshot taken" in page
    assert url.rstrip("/").rpartition("/")[2] not in service.said()
    service.stop()
