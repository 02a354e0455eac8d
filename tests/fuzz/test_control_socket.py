"""Whatever comes over the control socket, however it comes: the next asker is served.

The server is the real one on a real socket; what answers it takes its time over nothing.
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.control.client import Client
from supervisor.control.requests import CALLS, SESSION_OPS, STREAMS
from supervisor.control.server import LINE_BYTES
from tests.fuzz.fuzzkit import JSON, as_json, cases, mistyped, open_files, readable
from tests.unit.control.fake_runner import Running, running

_KNOWN = {**CALLS, **STREAMS}
_OF = {str: st.text(max_size=30), bool: st.booleans(), int: st.integers(), type(None): st.none()}
_LARGE = {"line": "x" * 20_000}


def _args(command: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: st.one_of(*(_OF[k] for k in kinds)) for name, kinds in _KNOWN[command].items()}
    fields |= {"op": st.sampled_from(SESSION_OPS)} if command == "session" else {}
    return st.fixed_dictionaries({}, optional=fields)


_RIGHT = st.sampled_from(sorted(_KNOWN)).flatmap(
    lambda command: st.fixed_dictionaries({"command": st.just(command), "args": _args(command)})
)
_DEEP = st.tuples(st.sampled_from([b"[", b'{"command":', b'[{"args":']), st.integers(1, 20_000))
_LINE = st.one_of(
    _RIGHT.map(as_json),
    _RIGHT.flatmap(mistyped).map(as_json),
    JSON.map(as_json),
    st.binary(max_size=200),
    _DEEP.map(lambda of: (of[0] * of[1])[: LINE_BYTES - 1]),
)
_HUGE = st.integers(LINE_BYTES - 2, LINE_BYTES + 9).map(lambda size: b'"' + b"x" * size)
_LINES = st.tuples(st.lists(_LINE, max_size=6) | st.lists(_HUGE, max_size=1), st.booleans()).map(
    lambda of: b"\n".join(of[0]) + b"\n" * of[1]
)
_MANNER = st.sampled_from(("reads", "reads", "pieces", "half", "hangs up", "reads nothing"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """Yield a server whose every answer comes at once, and whose streams end."""
    with running(tmp_path / "s", alive_s=0.05, close_s=1.0) as found:
        found.fake.gate.set()
        found.fake.results |= {"pause": [None], "resume": "x"}
        found.fake.items["logs"] = [_LARGE] * 30
        yield found


def _read(sock: socket.socket, asked: bytes) -> None:
    """Hold that each line is an answer, each request has one, and a refusal is in words."""
    got = b""
    with suppress(ConnectionResetError):
        while chunk := sock.recv(1 << 20):
            got += chunk
    answers = [json.loads(line) for line in got.splitlines()]
    for answer in answers:
        if answer.get("ok") is False:
            readable(answer["error"]["message"])
    lines = [line for line in asked.split(b"\n") if line.strip()]
    last = [answer for answer in answers if "ok" in answer or "end" in answer]
    assert len(last) == len(lines)


def _send(server: Running, data: bytes, manner: str, at: int) -> None:
    with server.connect() as sock, suppress(BrokenPipeError, ConnectionResetError):
        match manner:
            case "pieces":
                sock.sendall(data[:at])
                sock.sendall(data[at:])
            case "half":
                data = data[:at]
                sock.sendall(data)
            case _:
                sock.sendall(data)
        if manner == "reads nothing":
            Client(server.path).call("ping")  # while it waits for us to read
        if manner not in ("hangs up", "reads nothing"):
            with suppress(OSError):  # it hung up already, on a line too long
                sock.shutdown(socket.SHUT_WR)
            _read(sock, data)


def _settled(server: Running, most: int) -> None:
    """Wait until nothing is open that was not before."""
    deadline = time.monotonic() + 10
    while open_files() > most:
        assert time.monotonic() < deadline, "descriptors stay open"
        assert Client(server.path).call("ping")


def test_whatever_is_sent_the_next_asker_is_served(server: Running) -> None:
    """It answers in JSON or hangs up, never hangs, and keeps no descriptor."""
    assert Client(server.path).call("ping")
    before = open_files()

    @cases(60)
    @given(_LINES, _MANNER, st.integers(0, 400))
    def send(data: bytes, manner: str, at: int) -> None:
        _send(server, data, manner, at)
        assert Client(server.path).call("ping")
        _settled(server, before + 8)  # those of a few that have just hung up

    send()
    _settled(server, before)
