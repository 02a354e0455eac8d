"""Posts to a real server on this machine: what is sent, what is understood, what stays secret."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.service.alerting import announcer, post
from supervisor.service.alerting.announcer import by_webhook
from supervisor.service.alerting.delivery import Outcome
from tests.unit.configkit import read
from tests.unit.service.alertkit import CONFIG, alert
from tests.unit.service.hookkit import TOKEN, WAIT_S, Hooks, hooks

NOW = datetime(2026, 9, 21, 13, 0, 0, tzinfo=UTC).timestamp()


def posted(url: str, timeout_s: float = 5.0) -> dict[str, Any]:
    """Post once, in this process."""
    return post.post({"url": url, "agent": "a/1", "timeout_s": timeout_s, "body": {"a": "é"}})


def test_a_message_arrives_as_json() -> None:
    """Through the program of its own, with our name on it."""
    with hooks() as server:
        sent = alert(why="é 😀")
        assert asyncio.run(by_webhook(server.url, sent)) == Outcome(ok=True)
    (path, headers, body), *rest = server.got
    assert (path, rest) == (f"/hook/{TOKEN}", [])
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("stillhere/")
    assert json.loads(body) == sent.as_json()


def test_a_login_in_the_url_is_sent_as_basic_authentication() -> None:
    """Not as a part of the host."""
    with hooks() as server:
        assert posted(server.url.replace("://", "://me:a%40b@")) == {"ok": True}
    assert server.got[0][1]["Authorization"] == "Basic bWU6YUBi"


@pytest.mark.parametrize(
    ("status", "final"),
    [(404, True), (410, True), (400, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_an_answer_says_whether_another_try_can_help(status: int, final: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    """What is our fault is final; what may pass is not."""
    with hooks((status, {})) as server:
        told = posted(server.url)
    assert told == {
        "ok": False,
        "why": f"it answered {status}",
        "final": final,
        "retry_after_s": None,
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """Whoever it leads to gets neither the alert nor the token; no other try can help."""
    with hooks() as other, hooks((status, {"Location": other.url})) as server:
        told = posted(server.url)
    assert (told["ok"], told["final"]) == (False, True)
    assert other.got == []
    assert TOKEN not in str(told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("99999999999999999999", 999999999.0),
        ("-5", None),
        ("soon", None),
        ("Mon, 21 Sep 2026 13:35:20 GMT", 2120.0),
        ("Mon, 21 Sep 2020 13:35:20 GMT", 0.0),
        ("Mon, 99 Sep 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_read(text: str | None, expected: float | None) -> None:
    """Seconds or a date; what is neither says nothing."""
    assert post.retry_after_s(text, NOW) == expected


def test_a_server_that_hangs_is_given_up() -> None:
    """In the time that it has; another try may help."""
    with hooks() as server:
        server.go_on.clear()
        told = posted(server.url, 0.05)
    assert told == {"ok": False, "why": "no answer in time", "final": False}


def test_a_program_that_posts_and_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a name server does: its own timeout does not count, ours does."""
    monkeypatch.setattr(announcer, "_START_S", -announcer.POST_S + 0.5)
    with hooks() as server:
        server.go_on.clear()
        outcome = asyncio.run(by_webhook(server.url, alert()))
    assert outcome == Outcome(ok=False, why="it took longer than 0.5 s")


@pytest.mark.parametrize(
    ("url", "why", "final"),
    [
        ("http://127.0.0.1:1/TOKEN", "it could not be reached: Connection refused", False),
        ("http://no-such-host.invalid/TOKEN", "its name could not be resolved", False),
        ("http://[broken/TOKEN", "its URL can't be used", True),
        ("http://127.0.0.1:port/TOKEN", "its URL can't be used", True),
        ("http://127.0.0.1/\nTOKEN", None, None),
    ],
)
def test_no_error_names_the_url(url: str, why: str | None, final: bool | None) -> None:  # noqa: FBT001 - a parameter of pytest's
    """Nor its host, nor its path: in our own words."""
    told = posted(url.replace("TOKEN", TOKEN), 1.0)
    assert not told["ok"]
    if why is not None:
        assert (told["why"], told["final"]) == (why, final)
    assert TOKEN not in str(told)
    assert "no-such-host" not in str(told)


def test_a_server_without_http_is_no_end_of_the_program() -> None:
    """It is said, and tried again."""
    answer = b"220 mail.example ready\r\n\r\n"

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def story() -> Outcome:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await by_webhook(f"http://127.0.0.1:{port}/{TOKEN}", alert())

    assert asyncio.run(story()) == Outcome(ok=False, why="it does not speak HTTP")


def test_the_url_is_on_no_command_line() -> None:
    """While it is posted, no process of this machine shows it as its title or environment."""

    def shown() -> bytes:
        found = b""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                for name in ("cmdline", "environ"):
                    try:
                        found += (entry / name).read_bytes()
                    except OSError:
                        continue
        return found

    async def story(server: Hooks) -> bytes:
        server.go_on.clear()
        sending = asyncio.ensure_future(by_webhook(server.url, alert()))
        assert await asyncio.to_thread(server.asked.wait, WAIT_S)
        found = shown()
        server.go_on.set()
        await sending
        return found

    with hooks() as server:
        found = asyncio.run(story(server))
    assert b"post.py" in found
    assert TOKEN.encode() not in found


def test_the_url_is_in_no_repr(tmp_path: Path) -> None:
    """A config that somebody prints shows no token."""
    webhook = f'webhook = "https://hooks.example/{TOKEN}"'
    config = read(tmp_path, CONFIG.replace('command = ["true"]\nrepeat', f"{webhook}\nrepeat"))
    assert TOKEN in config.alerts.webhook
    assert TOKEN not in repr(config)
