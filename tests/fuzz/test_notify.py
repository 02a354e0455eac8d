"""Whatever a bot says on its notify socket, reading it ends, and gives texts."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.process.notify import parse

_CASES = int(os.environ.get("STILLHERE_FUZZ", "60"))
_LINES = st.lists(st.one_of(st.binary(max_size=80), st.sampled_from([b"READY=1", b"=", b"A=B=C"])))


@settings(max_examples=_CASES, deadline=None, database=None)
@given(_LINES)
def test_any_datagram_is_read(lines: list[bytes]) -> None:
    """No bytes raise; each key is there, has no line's end, and none is of another line."""
    message = parse(b"\n".join(lines))
    assert len(message) <= b"\n".join(lines).count(b"\n") + 1
    for key, value in message.items():
        assert key
        assert "\n" not in key + value
        assert "=" not in key
