"""Whatever is read back of what others wrote, there is a value or an error in words."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.control.client import Client
from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.loop.handoff import Handoff, decoded, encoded
from supervisor.process.environment import read_env_file
from supervisor.service.logs import files as logfiles
from supervisor.session.lock import OwnerLock
from tests.fuzz.fuzzkit import JSON, as_json, bent, cases, content, mistyped, readable
from tests.unit.test_handoff import WHOLE

_SECRET = "2@payload"  # noqa: S105 - the QR payload of WHOLE
_ENV = b"# a comment\nA=1\nexport B='two words'\nC=\"x\ny\n=z\n\xff=\xfe\nD=\0\n"
_LOG = b"2026-11-24T22:00:00.000Z out hello\n2026-11-24T22:00:01.000Z err \xff\r\n"
_ANSWERS = (
    {"ok": True, "result": {"a": 1}},
    {"ok": False, "error": {"message": "no", "hint": "do"}},
    {"alive": True, "pulse": 3},
    {"item": {"line": "x"}},
    {"end": True},
)
_ANSWER = st.sampled_from(_ANSWERS).flatmap(mistyped) | st.sampled_from(_ANSWERS) | JSON


@cases(40)
@given(content(encoded(WHOLE)))
def test_any_hand_off_is_whole_or_refused(data: bytes) -> None:
    """Never half a supervisor; why is said in one line that a terminal survives."""
    try:
        found = decoded(data)
    except SupervisorError as error:
        readable(error.message)
        readable(error.hint)
        assert _SECRET not in error.message  # noqa: PT017 - either way is right
    else:
        assert isinstance(found, Handoff)
        assert all(isinstance(number, int) for number in found.descriptors())


def test_any_env_file_gives_texts(tmp_path: Path) -> None:
    """Names and values that an environment can hold, or at least that a bot's start refuses."""
    path = tmp_path / ".env"

    @cases(40)
    @given(bent(_ENV))
    def read(data: bytes) -> None:
        path.write_bytes(data)
        for name, value in read_env_file(path).items():
            assert name
            assert "=" not in name
            os.fsencode(name + value)

    read()


def test_any_log_file_has_last_lines(tmp_path: Path) -> None:
    """And its age is known or not; no byte of a bot's output ends that."""
    path = tmp_path / "a.log"

    @cases(40)
    @given(bent(_LOG * 3), st.integers(-1, 4))
    def read(data: bytes, count: int) -> None:
        path.write_bytes(data)
        assert len(logfiles.tail(tmp_path, "a", count)) <= max(count, 0)
        assert isinstance(logfiles._first_time(str(path)), float | None)

    read()


def test_any_lock_file_is_somebodys(tmp_path: Path) -> None:
    """Whoever holds a session, and whatever is written there: it is said to be in use."""
    with OwnerLock(tmp_path, "x") as held:
        whole = held.path.read_bytes()

        @cases(40)
        @given(content(whole))
        def take(data: bytes) -> None:
            held.path.write_bytes(data)
            with pytest.raises(SessionBusy) as caught:
                OwnerLock(tmp_path, "x").acquire()
            readable(caught.value.message)

        take()


@contextmanager
def _answering(path: Path, says: list[bytes]) -> Iterator[None]:
    """Answer each connection with what lies in `says` then."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with suppress(OSError):  # it was shut down
                while True:
                    with listener.accept()[0] as connection, suppress(OSError):
                        connection.recv(65536)
                        connection.sendall(says[0])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_any_answer_ends_a_command_in_words(tmp_path: Path) -> None:
    """Whatever listens at the socket's place: a result, items, or an error."""
    says = [b""]
    client = Client(tmp_path / "s", patience_s=5.0)

    @cases(40)
    @given(st.lists(_ANSWER, max_size=3).map(lambda all_: b"\n".join(map(as_json, all_)) + b"\n"))
    def ask(said: bytes) -> None:
        says[0] = said
        for act in (lambda: client.call("status"), lambda: list(client.stream("events"))):
            try:
                json.dumps(act())
            except SupervisorError as error:
                assert error.message  # noqa: PT017 - either way is right

    with _answering(tmp_path / "s", says):
        ask()
