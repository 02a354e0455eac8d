"""Who may not see the page, and what may not leave it: each attack over a real socket."""

import contextlib
import os
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from supervisor.process.masks import row
from supervisor.web import serve
from supervisor.web.code import copy, picture
from tests.system.harness import ROOT, WAIT_S, Folder, Running, end_all, running
from tests.system.webkit import OURS, Visitor, page_process, visitor

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"
CONFIG = f"""
[bot.evil]
command = ["/bin/sh", "-c", "echo \\"{EVIL}\\"; echo up; exec tail -f /dev/null"]
session = "971505760056"
ready = {{ log = "up" }}
watch = ["app"]

[bot.server]
command = ["python", "-m", "bot.server"]
session = false

[bot.echo]
command = ["python", "-m", "bot"]
session = "971505760057"
watch = ["bot"]

[bot.draws]
command = ["/bin/sh", "-c", "cat code.txt; exec tail -f /dev/null"]
session = "draws"
ready = {{ alive_s = 3 }}
watch = ["app"]

[web]
enabled = true
"""
DRAWN = ROOT / "tests" / "unit" / "presets" / "codes" / "qrcode-terminal.txt"
BOTS_OWN = "known-to-the-bots-alone"


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, bytecode_cache: Path
) -> Iterator[tuple[Folder, Running, Visitor]]:
    """One supervisor for all attacks: none may change anything. Its second bot wants a QR code."""
    folder = Folder(tmp_path_factory.mktemp("web"), bytecode_cache, CONFIG).with_shipped_bot()
    folder.write("app/x", "")
    folder.write("code.txt", DRAWN.read_text())
    with running(folder, "run", BOT_SECRET=BOTS_OWN) as supervisor:
        supervisor.wait("verified", bot="evil")
        supervisor.wait("pairing", bot="echo")
        supervisor.wait("pairing", bot="draws")
        yield folder, supervisor, visitor(supervisor)
    assert not end_all(folder)


@pytest.fixture
def supervisor(house: tuple[Folder, Running, Visitor]) -> Iterator[Running]:
    """The supervisor: after each attack both bots are what they were."""
    before = {name: house[1].status(name)["generation"] for name in ("evil", "echo")}
    yield house[1]
    assert {name: house[1].status(name)["generation"] for name in before} == before


@pytest.fixture
def visit(house: tuple[Folder, Running, Visitor]) -> Visitor:
    """One who knows the address."""
    return house[2]


# The token.


def test_without_the_token_nothing_is_told(visit: Visitor, supervisor: Running) -> None:
    """Nor with a part of it, or more than it; not even that a bot of that name runs."""
    token = visit.token
    other = ("0" if token[0] != "0" else "1") + token[1:]
    for given in ("", "/", "/x/", f"/{token[:-1]}/", f"/{token}x/", f"/{token[:-1]}/{token}/"):
        answer = visit.ask(given or "/")
        assert answer.status == 403, given
        assert "evil" not in answer.text
        assert token not in answer.text
    for path in ("bot/evil", "static/page.css", "bot/echo/code.svg", "bot/echo/feed"):
        assert visit.ask(f"/{other}/{path}").status == 403
        assert visit.ask(f"/{path}", headers={"Cookie": f"token={token}"}).status == 403
        assert visit.ask(f"/{path}?token={token}").status == 403
    assert supervisor.status("evil")["phase"] == "up"


def test_the_token_and_the_bots_secrets_are_nowhere_else(
    house: tuple[Folder, Running, Visitor],
) -> None:
    """In no file, log, journal, command line or environment; and theirs are not in the page's."""
    folder, supervisor, visit = house
    assert visit.get("bot/evil").status == 200
    page = page_process(supervisor)
    assert page is not None
    token = visit.token
    for path in folder.root.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path
    assert token not in supervisor.console
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            assert token not in " ".join(process.cmdline())
            if process.pid != os.getpid():
                assert token not in str(process.environ())
    assert BOTS_OWN not in str(page.environ())
    assert not {name for name in page.environ() if name.startswith(("STILLHERE", "NOTIFY"))}


def test_the_page_has_no_descriptor_of_the_supervisor_s(
    house: tuple[Folder, Running, Visitor],
) -> None:
    """No lock, no pipe to a bot, no journal: the listening socket, its leash, and its own."""
    folder, supervisor, visit = house
    assert visit.get("bot/evil").status == 200
    page = page_process(supervisor)
    assert page is not None

    def links(pid: int) -> set[str]:
        folder = Path(f"/proc/{pid}/fd")
        found = set()
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.add(str((folder / name).readlink()))
        return found

    shared = links(page.pid) & links(supervisor.process.pid)
    shared = {each for each in shared if not each.startswith(("anon_inode", "/dev/null"))}
    kinds = sorted(each.partition(":")[0].partition(" ")[0] for each in shared)
    # Its listener, the leash, and the memory file for its last words.
    assert kinds == ["/memfd", "pipe", "socket"]
    assert not [each for each in links(page.pid) if str(folder.root) in each]


# Names, origins, forms.


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]:1", ""]
)
def test_by_another_name_nothing_is_told(visit: Visitor, supervisor: Running, host: str) -> None:
    """A name of an attacker's that leads to this machine (DNS rebinding) is none of ours."""
    told = visit.ask(visit.path, headers={"Host": host.format(port=visit.port)})
    assert told.status in (400, 403)
    assert "evil" not in told.text.replace("evil.example", "")
    assert supervisor.process.poll() is None


def test_it_answers_to_localhost(visit: Visitor) -> None:
    """And by that name as by its number."""
    told = visit.ask(visit.path + "bot/evil", headers={"Host": f"localhost:{visit.port}"})
    assert told.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
def test_a_form_of_another_page_is_refused(
    visit: Visitor, supervisor: Running, headers: dict[str, str]
) -> None:
    """Even with the right path and the right key: it was not sent from here."""
    form = {"key": visit.key("bot/evil")}
    told = visit.ask(f"{visit.path}bot/evil/restart", "POST", form=form, headers=headers)
    assert told.status == 403
    assert supervisor.status("evil")["phase"] == "up"


@pytest.mark.parametrize("form", [{}, {"key": ""}, {"key": "0" * 64}])
def test_a_form_without_its_key_is_refused(
    visit: Visitor, supervisor: Running, form: dict[str, str]
) -> None:
    """Whoever did not see our page can't know it."""
    for name in ("restart", "snapshot", "restore", "clear"):
        path = f"{visit.path}bot/evil/{name}"
        more = {"typed": "971505760056", "snapshot": "1"}
        assert visit.ask(path, "POST", form={**form, **more}, headers=OURS).status == 403
    assert supervisor.status("evil")["phase"] == "up"


def test_to_look_changes_nothing(visit: Visitor, supervisor: Running) -> None:
    """What changes something can't be asked for by a link; other methods are none."""
    for name in ("restart", "snapshot"):
        assert visit.get(f"bot/evil/{name}").status == 405
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        assert visit.ask(visit.path, method).status == 403
        assert visit.ask(visit.path, method, headers=OURS).status == 405
    assert supervisor.status("evil")["phase"] == "up"


def test_what_changes_a_session_is_asked_first(visit: Visitor, supervisor: Running) -> None:
    """To clear one its id must be typed; to restore one it must be there, and is shown."""
    key = visit.key("bot/evil/clear")
    after = supervisor.mark_now()
    for typed in ("", "evil", "97150576005", "971505760056x", "*"):
        told = visit.post("bot/evil/clear", key=key, typed=typed)
        assert told.status == 200
        assert "nothing was changed" in told.text
    assert visit.get("bot/evil/restore?snapshot=none").status == 404
    assert visit.post("bot/evil/restore", key=key).status == 400
    refused = visit.post("bot/evil/restore", key=key, snapshot="none")
    page = visit.get("bot/" + refused.headers["location"].removeprefix("../"))
    assert "not done: " in page.text
    assert visit.post("bot/server/clear", key=key, typed="server").status == 404
    last = supervisor.mark_now()
    assert not supervisor.seen("session_cleared", after)
    assert not [each for each in supervisor.events[after:last] if each["bot"] == "evil"]


def test_a_form_that_is_too_long_is_refused(visit: Visitor) -> None:
    """Before it is read to its end."""
    form = {"key": visit.key("bot/evil"), "typed": "x" * 100_000}
    with contextlib.suppress(OSError):  # it hung up on us
        told = visit.ask(f"{visit.path}bot/evil/clear", "POST", form=form, headers=OURS)
        assert told.status == 413
    assert visit.get("bot/evil").status == 200


@pytest.mark.parametrize(
    "path", ["..%2f..%2fserve.py", "../../__main__.py", "%2e%2e/serve.py", "page.css/../../app.py"]
)
def test_no_other_file_is_served(visit: Visitor, path: str) -> None:
    """The static folder ends where it ends."""
    told = visit.get(f"static/{path}")
    assert told.status == 404
    assert "import" not in told.text


# What a page may hold.


def test_every_answer_forbids_what_a_page_does_not_need(visit: Visitor) -> None:
    """Pages, pictures, styles and refusals: nothing inline, framed, kept, or told to others."""
    paths = ["", "bot/evil", "bot/none", "static/page.css", "bot/echo/code.svg", "bot/evil/clear"]
    for path in [*(visit.path + path for path in paths), "/"]:
        headers = visit.ask(path).headers
        policy = dict(
            part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
        )
        assert policy.pop("default-src") == "'none'"
        assert policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
        assert set(policy.values()) == {"'self'"}
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "set-cookie" not in headers


def test_no_page_has_anything_inline(visit: Visitor) -> None:
    """No style, no script and no handler in it: the policy would forbid it."""
    for path in ("bot/evil", "bot/echo", "bot/server", "bot/evil/clear", "bot/none"):
        text = visit.get(path).text
        assert not re.search(r"<style|\sstyle=|javascript:|<script(?![^>]* src=)", text)
        assert not re.search(r"<[^>]*\son[a-z]+=", text)
        assert "http" not in re.sub(r'xmlns="[^"]*"', "", text)


def test_what_a_bot_prints_is_text(visit: Visitor) -> None:
    """In the page, and in its live part."""
    page = visit.get("bot/evil").text
    assert EVIL not in page
    assert "&lt;script&gt;alert(" in page
    with visit.raw() as live:
        feed = start_feed(visit, live, "evil", b"event: lines")
    assert EVIL.encode() in feed  # JSON, which the page sets as text
    parts = [line for line in feed.splitlines() if b'"html"' in line]
    assert parts
    assert not [part for part in parts if b"<script>" in part]


def start_feed(visit: Visitor, live: socket.socket, bot: str, until: bytes) -> bytes:
    """Open the live part of a page; return all up to a whole event of that kind."""
    ask = f"GET {visit.path}bot/{bot}/feed HTTP/1.1\r\nHost: {visit.host}:{visit.port}\r\n\r\n"
    live.sendall(ask.encode())
    found = b""
    while b"\n\n" not in found.partition(until)[2]:
        piece = live.recv(65536)
        assert piece, found
        found += piece
    return found


def test_a_qr_code_s_payload_is_in_its_picture_alone(visit: Visitor, supervisor: Running) -> None:
    """Not in the page, not in its live part; and the picture is of just this code."""
    payload = next(iter(supervisor.client.stream("link", bot="echo")))["qr"]
    drawn = visit.get("bot/echo/code.svg")
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    page = visit.get("bot/echo").text
    with visit.raw() as live:
        feed = start_feed(visit, live, "echo", b'"pairing-title').decode()
    again = next(iter(supervisor.client.stream("link", bot="echo")))["qr"]
    if again == payload:  # else it went over to the next one meanwhile
        assert drawn.text == picture(payload).decode()
    assert "code.svg" in page
    assert "code.svg" in feed
    for text in (page, feed, drawn.text):
        assert payload not in text
        assert payload[:12] not in text


def test_a_code_that_a_bot_draws_itself_is_a_picture_too(visit: Visitor) -> None:
    """Of just the modules that it drew; and the page has none of the signs."""
    drawn = visit.get("bot/draws/code.svg")
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    rows = [found for line in DRAWN.read_text().split("\n") if (found := row(line))]
    assert drawn.text == copy(rows).decode()
    page = visit.get("bot/draws").text
    assert "code.svg" in page
    assert rows[2] not in page


# Bounds.


def test_only_this_machine_can_reach_it(visit: Visitor) -> None:
    """It listens on the one address; not even another one of loopback has it."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", visit.port), timeout=WAIT_S)
    tables = [Path(f"/proc/net/{name}").read_text().splitlines() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table[1:]]
    mine = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{visit.port:04X}")}
    assert mine == {f"0100007F:{visit.port:04X}"}


def test_headers_without_end_are_not_taken(visit: Visitor) -> None:
    """A request's head has 16 KB at most."""
    with visit.raw() as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(OSError):
            for _ in range(64):
                stranger.sendall(b"X-A: " + b"a" * 4096 + b"\r\n")
        with contextlib.suppress(OSError):
            answer = stranger.recv(65536)
            assert not answer or b" 400 " in answer.splitlines()[0]
    assert visit.get("bot/evil").status == 200


def test_nonsense_ends_nothing(visit: Visitor, supervisor: Running) -> None:
    """Whatever is sent, the same process answers the next one as before."""
    assert visit.get("bot/evil").status == 200
    before = page_process(supervisor)
    head = f"Host: {visit.host}:{visit.port}\r\n".encode()
    path = visit.path.encode()
    for said in (
        b"\0" * 500,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"GET\r\n\r\n",
        b"GET " + path + b"\xff\xfe HTTP/1.1\r\n" + head + b"\r\n",
        b"GET " + path + b"bot/%ff%00%0d%0aX HTTP/1.1\r\n" + head + b"\r\n",
        b"GET http://evil.example" + path + b" HTTP/1.1\r\n" + head + b"\r\n",
        b"GET * HTTP/1.0\r\n\r\n",
        b"CONNECT evil.example:1 HTTP/1.1\r\n" + head + b"\r\n",
        b"GET " + path + b" HTTP/1.1\r\n" + head + head + b"\r\n",
        b"GET " + path + b" HTTP/1.1\r\n" + head + b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n\r\n",
        b"POST " + path + b" HTTP/1.1\r\n" + head + b"Content-Length: -1\r\n\r\n",
        b"POST " + path + b" HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\nzz",
    ):
        with visit.raw() as stranger, contextlib.suppress(ConnectionResetError):
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)
            answer = stranger.recv(65536)
            assert not answer or answer.split()[1] in (b"400", b"403", b"404", b"405", b"303")
    many = {"key": visit.key("bot/evil"), **{f"f{number}": "x" for number in range(50)}}
    assert visit.post("bot/evil/clear", **many).status == 400
    assert visit.get("bot/evil").status == 200
    assert page_process(supervisor) == before


def test_so_many_connections_and_no_more(visit: Visitor) -> None:
    """Who comes after them is hung up on; when they are gone, it is as before."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(visit.raw()) for _ in range(serve.CONNECTIONS + 6)]
        # Not since it was slow: who came before it still waits.
        assert select.select([crowd[0], crowd[-1]], [], [], WAIT_S)[0] == [crowd[-1]]
        with contextlib.suppress(ConnectionResetError):
            assert crowd[-1].recv(1) == b""
    assert visit.get("bot/evil").status == 200
