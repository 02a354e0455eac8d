"""Whatever a bot sends to its notify socket, the next word is heard, and nothing stays open."""

import array
import asyncio
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from supervisor.process.notify import Message, NotifySocket
from tests.fuzz.fuzzkit import cases, open_files

_WORDS = st.sampled_from(
    (b"READY=1", b"=", b"A=B=C", b"X_STILLHERE_QR=", b"STATUS=\xff\xfe", b"\0", b"X" * 3000 + b"=1")
)
_TEXTS = st.lists(st.binary(max_size=80) | _WORDS, max_size=12).map(b"\n".join)
_SIZES = st.sampled_from((0, 1, 65535, 65536, 65537, 100_000))
_DATAGRAM = st.one_of(_TEXTS, _SIZES.map(lambda size: b"A=" + b"x" * size), st.just(b"\n" * 5000))
# A datagram, and how many descriptors come with it. More than 253 no kernel takes.
_SENT = st.lists(st.tuples(_DATAGRAM, st.sampled_from((0, 0, 0, 1, 16, 17, 40, 253))), max_size=4)


def _send(sock: socket.socket, data: bytes, fds: Iterable[int]) -> bool:
    """Return whether it was sent: what waits unread has a bound."""
    held = array.array("i", fds)
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)] if held else []
    try:
        sock.sendmsg([data], beside)
    except BlockingIOError:
        return False
    return True


def test_whatever_is_sent_the_next_word_is_heard(tmp_path: Path) -> None:
    """Each datagram is a message, or counted as one too long; descriptors are closed."""
    heard: list[Message] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature

        async def bot() -> None:
            path = tmp_path / "notify"
            listening = NotifySocket(path, heard.append, lambda pid: pid == os.getpid())
            sock.connect(str(path))
            before = open_files()

            @cases()
            @given(_SENT)
            def send(sent: list[tuple[bytes, int]]) -> None:
                counted = len(heard) + listening.truncated
                counted += sum(_send(sock, data, [sock.fileno()] * count) for data, count in sent)
                listening.drain()
                assert len(heard) + listening.truncated == counted
                assert _send(sock, b"READY=1", [])
                listening.drain()
                assert heard[-1] == {"READY": "1"}
                assert open_files() == before
                heard.clear()

            send()
            assert not listening.strangers
            listening.close()

        asyncio.run(bot())
