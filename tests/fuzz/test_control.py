"""Whatever is sent as a request, it is understood or refused in words; nothing else comes of it."""

import json
import os
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.control.requests import CALLS, parse
from supervisor.core.errors import SupervisorError

_CASES = int(os.environ.get("STILLHERE_FUZZ", "60"))
_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
_JSON = st.recursive(
    _LEAVES, lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=9), some)
)
_ALMOST = st.fixed_dictionaries(
    {"command": st.sampled_from(sorted(CALLS)) | _JSON}, optional={"args": _JSON, "more": _JSON}
)


def _read(line: bytes) -> None:
    with suppress(SupervisorError):
        command, args = parse(line)
        assert isinstance(command, str)
        assert isinstance(args, dict)


@settings(max_examples=_CASES, deadline=None, database=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_answered(line: bytes) -> None:
    """No bytes raise anything but what is told the asker."""
    _read(line)


@settings(max_examples=_CASES, deadline=None, database=None)
@given(_ALMOST)
def test_almost_a_request_is_answered(value: dict[str, Any]) -> None:
    """A request with fields of any kind is understood or refused."""
    _read(json.dumps(value).encode())
