"""Server and client over real sockets: nobody can hang, crash or confuse the other."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.control import requests
from supervisor.control import server as server_module
from supervisor.control.client import Client, NotAnswering, NotRunning
from supervisor.core.errors import SupervisorError
from tests.unit.control.fake_runner import FakeRequests, Running, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """Return a running server."""
    with running(tmp_path / "c" / "x.sock", alive_s=0.05, close_s=1.0) as found:
        yield found


def test_a_call_is_answered(server: Running) -> None:
    """The client gets what the runner returns."""
    client = Client(server.path)
    assert client.call("start", bot="echo") == {"echo": {"bot": "echo"}}
    assert client.call("ping") == {"pid": os.getpid()}
    assert client.running()


def test_a_refusal_keeps_its_hint(server: Running) -> None:
    """The runner's SupervisorError arrives with message and hint."""
    with pytest.raises(SupervisorError, match="no bot 'x'") as caught:
        Client(server.path).call("stop", bot="x")
    assert caught.value.hint == "the bots: echo"


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_bug_is_an_answer_and_not_the_end(command: str, server: Running) -> None:
    """An unexpected exception, or a result that is no JSON, is refused; the server goes on."""
    with pytest.raises(SupervisorError, match="failed inside the supervisor"):
        Client(server.path).call(command, bot=None)
    assert Client(server.path).call("status") == {"echo": {}}


def test_a_stream_ends_and_fails_as_told(server: Running) -> None:
    """Items come in order, then the end; an error in the middle comes after the items."""
    client = Client(server.path)
    assert list(client.stream("events", bot=None, follow=False)) == [{"n": 1}, {"n": 2}]
    items = client.stream("link", bot="echo")
    assert next(items) == {"n": 1}
    with pytest.raises(SupervisorError, match="not pairing"):
        next(items)


def test_the_runner_learns_that_a_follower_left(server: Running) -> None:
    """A follower that hangs up ends its stream, though nothing happens in it."""
    items = Client(server.path).stream("logs", bot=None, follow=True)
    assert next(items) == {"n": 1}
    assert not server.fake.closed.is_set()
    items.close()  # type: ignore[attr-defined]  # it is a generator
    assert server.fake.closed.wait(5)


def test_no_request_blocks_another(server: Running) -> None:
    """While one call waits, others are answered; the waiting one is told that we live."""
    with server.connect() as waiting:
        waiting.sendall(b'{"command": "restart", "args": {"bot": null}}\n')
        assert server.fake.entered.wait(5)
        assert Client(server.path).call("ping") == {"pid": os.getpid()}
        assert json.loads(waiting.recv(100).splitlines()[0])["alive"] is True
        server.fake.gate.set()
        stream = waiting.makefile("rb")
        answer = next(a for a in map(json.loads, stream) if "ok" in a)
        assert answer == {"ok": True, "result": {"echo": {"bot": None}}}


def test_work_outlives_the_one_who_asked(server: Running) -> None:
    """A client that hangs up does not cut the work in two."""
    with server.connect() as asking:
        asking.sendall(b'{"command": "restart"}\n')
        assert server.fake.entered.wait(5)
    assert Client(server.path).call("ping")
    server.fake.gate.set()
    assert server.fake.finished.wait(5)


def test_closing_ends_followers_cleanly(server: Running) -> None:
    """A stopping supervisor ends a stream with its end."""
    items = Client(server.path).stream("logs", bot=None)
    assert next(items) == {"n": 1}
    server.stop()
    assert list(items) == []


def test_closing_is_not_an_answer(server: Running) -> None:
    """A call that the supervisor's end cut off is said to be unanswered."""
    failed: list[SupervisorError] = []

    def ask() -> None:
        try:
            Client(server.path).call("restart")
        except SupervisorError as error:
            failed.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    assert server.fake.entered.wait(5)
    server.stop()
    asker.join(5)
    assert "went away" in failed[0].message


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"hello", "not JSON"),
        (b"[" * 60000, "not JSON"),
        (b'{"command": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no command"),
        (b'{"command": 1}', "no command"),
        (b'{"command": "shutdown"}', "unknown command 'shutdown'"),
        (b'{"command": "ping", "args": []}', "args"),
        (b'{"command": "ping", "args": {"x": 1}}', "unknown argument 'x'"),
        (b'{"command": "start", "args": {"bot": 3}}', "bot has the wrong type"),
        (b'{"command": "logs", "args": {"lines": true}}', "lines has the wrong type"),
        (b'{"command": "session", "args": {"id": "x"}}', "op is missing"),
        (b'{"command": "session", "args": {"op": "rm"}}', "op is missing or unknown"),
    ],
)
def test_each_bad_request_is_refused_by_name(line: bytes, problem: str, server: Running) -> None:
    """It never reaches the runner, and the connection still serves the next request."""
    refused, served = server.answers(line + b'\n\n{"command": "ping"}\n')
    assert refused["ok"] is False
    assert problem in refused["error"]["message"]
    assert served["ok"] is True
    assert server.fake.asked == []


def test_a_huge_line_is_refused(server: Running) -> None:
    """More than 64 KiB without an end: one answer, then the server hangs up."""
    (answer,) = server.answers(b"x" * 200_000)
    assert "longer than 65536 bytes" in answer["error"]["message"]
    assert Client(server.path).call("ping")


def test_a_line_without_its_newline_counts(server: Running) -> None:
    """`printf ... | nc` works: the end of the input ends the line."""
    (answer,) = server.answers(b'{"command": "ping"}')
    assert answer["ok"] is True


def test_who_has_asked_all_and_reads_slowly_gets_the_end_too(server: Running) -> None:
    """As `printf ... | nc` does: what waits when the last request is answered is still sent."""
    items: list[dict[str, str]] = [{"line": "x" * 1000}] * 120  # more than the kernel keeps for it
    server.fake.items["logs"] = items
    with server.connect() as slow:
        slow.sendall(b'{"command": "logs"}')
        slow.shutdown(socket.SHUT_WR)
        for _ in range(20):
            assert Client(server.path).call("ping")  # it has got as far as it can by then
        answers = [json.loads(line) for line in slow.makefile("rb")]
    assert answers == [*({"item": item} for item in items), {"end": True}]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
_COMMAND = st.sampled_from([*requests.CALLS, *requests.STREAMS]) | _JSON
_REQUEST = st.builds(
    lambda command, args: json.dumps({"command": command, "args": args}).encode(),
    # What waits for ever by design would only make the test wait too.
    _COMMAND.filter(lambda c: c not in ("restart", "logs")),
    st.dictionaries(st.sampled_from(["bot", "op", "id", "follow", "lines", "x"]), _JSON),
)


def test_nothing_that_is_sent_crashes_or_hangs_it(tmp_path: Path) -> None:
    """Whatever the bytes: JSON lines come back, the connection ends, the next one is served."""
    with running(tmp_path / "s", alive_s=0.05) as server:

        @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(st.binary(max_size=300) | _REQUEST, max_size=5), st.binary(max_size=5))
        def send(lines: list[bytes], rest: bytes) -> None:
            for answer in server.answers(b"\n".join(lines) + b"\n" + rest):
                assert isinstance(answer, dict)
            assert Client(server.path).call("ping")

        send()


def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    """0600 in a 0700 folder, with any umask; removed at the end."""
    old = os.umask(0)
    try:
        with running(tmp_path / "d" / "s.sock") as server:
            assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
            assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(old)
    assert not server.path.exists()


def test_a_dead_supervisors_socket_is_replaced(tmp_path: Path) -> None:
    """A socket that nobody listens at, or a plain file there, is no obstacle."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with running(path) as server:
        assert Client(server.path).call("ping")
    path.write_text("a file")
    with running(path) as server:
        assert Client(server.path).call("ping")


def test_a_live_supervisors_socket_is_never_taken(server: Running) -> None:
    """The second one is refused with the first one's pid, and the first goes on."""
    with pytest.raises(SupervisorError, match=rf"pid {os.getpid()}\)"), running(server.path):
        pass
    assert Client(server.path).call("ping")
    server.path.with_suffix(".lock").unlink()
    with pytest.raises(SupervisorError, match=rf"pid {os.getpid()}\)"), running(server.path):
        pass
    assert Client(server.path).call("ping")


def test_two_that_find_a_stale_socket_do_not_both_replace_it(tmp_path: Path) -> None:
    """Whoever has the lock may listen; the other one is refused before it touches the socket."""
    path = tmp_path / "s.sock"
    with path.with_suffix(".lock").open("w") as held:
        held.write("4321")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with pytest.raises(SupervisorError, match=r"pid 4321\)"), running(path):
            pass
        assert path.exists()


def test_the_end_of_one_server_leaves_anothers_socket(tmp_path: Path) -> None:
    """At its end a server removes its own socket, not one that took its place."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as other:
        with running(path):
            path.unlink()
            other.bind(str(path))
        assert path.exists()


def test_another_user_is_refused(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own uid and root are served, by the kernel's word."""
    monkeypatch.setattr(server_module, "peer", lambda _: (1, 4242))
    (answer,) = server.answers(b'{"command": "ping"}\n')
    assert "another user" in answer["error"]["message"]


def test_a_silent_connection_is_dropped(tmp_path: Path) -> None:
    """Who connects and says nothing does not keep the place for ever."""
    with running(tmp_path / "s", idle_s=0.05) as server, server.connect() as silent:
        assert silent.recv(1) == b""


def test_too_many_connections_are_refused(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is said, and ends when connections end."""
    monkeypatch.setattr(server_module, "CONNECTIONS", 1)
    with server.connect() as held:
        held.sendall(b'{"command": "ping"}\n')
        assert held.recv(100)
        (answer,) = server.answers(b"")
        assert "too many" in answer["error"]["message"]


def test_without_a_supervisor_that_is_said(tmp_path: Path) -> None:
    """No socket, a dead socket, a foreign file: 'no supervisor is running' and what to do."""
    for path in (tmp_path / "none" / "s", tmp_path / "dead"):
        if path.name == "dead":
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(path))
        client = Client(path, name="config.toml")
        assert not client.running()
        with pytest.raises(NotRunning, match=r"no supervisor is running for config\.toml"):
            client.call("ping")


def test_a_socket_that_others_could_have_made_is_not_used(server: Running) -> None:
    """A folder that anybody may write is not trusted."""
    server.path.parent.chmod(0o777)
    with pytest.raises(NotRunning):
        Client(server.path).call("ping")


def test_the_second_place_is_tried(server: Running, tmp_path: Path) -> None:
    """A supervisor that was started with another environment is found."""
    assert Client(tmp_path / "none", server.path).call("ping")


def test_a_supervisor_that_hangs_is_named(tmp_path: Path) -> None:
    """It accepted and says nothing: its pid, in bounded time; the same with a full queue."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        client = Client(path, patience_s=0.05)
        with pytest.raises(NotAnswering, match=rf"\(pid {os.getpid()}\) does not answer"):
            client.call("ping")
        path.with_suffix(".lock").write_text(str(os.getpid()))
        with contextlib.ExitStack() as held:
            full = False
            while not full:
                extra = held.enter_context(socket.socket(socket.AF_UNIX))
                extra.setblocking(False)  # noqa: FBT003 - the socket module's signature
                try:
                    extra.connect(str(path))
                except BlockingIOError:
                    full = True
            with pytest.raises(NotAnswering, match=rf"\(pid {os.getpid()}\) does not answer"):
                client.call("ping")
            assert client.running()


def test_a_suspended_supervisor_is_called_so(tmp_path: Path) -> None:
    """After Ctrl-Z: the answer names the state and how to go on."""
    program = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n"
        "print('ready',flush=True)\nsys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "s")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            child.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
            with pytest.raises(NotAnswering, match="it is suspended"):
                Client(tmp_path / "s", patience_s=0.05).call("ping")
        finally:
            child.kill()


_MUTE = b'{"ok": false, "error": {"message": ""}}\n'


def test_nonsense_from_the_other_end_is_an_error(tmp_path: Path) -> None:
    """Whatever listens there cannot crash the client."""
    for sent in (
        b"hello\n",
        b"[" * 5000 + b"\n",
        b"[]\n",
        b"",
        b'{"ok": false, "error": 3}\n',
        _MUTE,
    ):
        path = tmp_path / f"s{len(sent)}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()

            def serve(listener: socket.socket = listener, sent: bytes = sent) -> None:
                with listener.accept()[0] as connection:
                    connection.sendall(sent)

            thread = threading.Thread(target=serve)
            thread.start()
            with pytest.raises(SupervisorError) as caught:
                Client(path, patience_s=5).call("ping")
            assert caught.value.message
            thread.join(5)


def test_the_fake_is_a_real_handler() -> None:
    """The fake that these tests use satisfies the protocol that the runner implements."""
    handler: requests.Requests = FakeRequests()
    assert handler
