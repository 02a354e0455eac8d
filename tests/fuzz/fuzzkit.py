"""What the fuzz tests share: how many cases, any JSON, and what happens to a file's content."""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG = "STILLHERE_FUZZ" in os.environ
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), "", " ", "\0", "\x1b[2J", "\ud800", "..", "/", "~", "é" * 300),
    *("9" * 5000, [], {}, [[]], {"": {}}, [None], {"a": [1]}, "2026-11-24T22:00:00Z"),
)
# Few characters, and each of a kind: all that there are would take hypothesis seconds to list.
TEXT = st.text(
    "aZ09 _-+./\\~\0\n\r\t\x1b\x7f\x85\xa0é€\u2028\u202e😀{}[]()\"'`:,;=#$%*?", max_size=9
)
_LEAVES = st.one_of(
    st.sampled_from(ODD), st.integers(), st.floats(), TEXT, st.text("0189.-e", max_size=9)
)
JSON = st.recursive(
    _LEAVES,
    lambda some: st.lists(some, max_size=4) | st.dictionaries(TEXT, some, max_size=4),
    max_leaves=8,
)


def cases(usual: int = 60) -> settings:
    """Return how a fuzz test runs: so many cases, or as many as STILLHERE_FUZZ says."""
    return settings(
        max_examples=int(os.environ.get("STILLHERE_FUZZ", str(usual))),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def as_json(value: object) -> bytes:
    """Return a text of it, as a careless program might write it: with NaN and half characters."""
    return json.dumps(value).encode("ascii")


@st.composite
def bent(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw what a crash or a bad disk makes of a content: torn, spliced, with other bits."""
    data = bytearray(whole)
    match draw(st.sampled_from(("torn", "bits", "spliced", "zeroed", "other"))):
        case "torn":
            del data[draw(st.integers(0, len(data))) :]
        case "bits":
            for at in draw(st.lists(st.integers(0, 8 * len(data) - 1), min_size=1, max_size=4)):
                data[at // 8] ^= 1 << at % 8
        case "spliced":
            start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
            data[start:end] = draw(st.binary(max_size=40) | st.just(bytes(data[start:end]) * 2))
        case "zeroed":
            start = draw(st.integers(0, len(data)))
            data[start:] = bytes(len(data) - start)
        case _:
            return draw(st.binary(max_size=300) | JSON.map(as_json))
    return bytes(data)


@st.composite
def mistyped(draw: st.DrawFn, whole: Any) -> Any:
    """Draw a JSON value that is nearly `whole`: one to three places of it hold something else."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        found = list(_places(value))
        if not found:
            break
        holder, key = draw(st.sampled_from(found))
        match draw(st.sampled_from(("other", "other", "other", "gone", "more"))):
            case "gone":
                del holder[key]
            case "more" if isinstance(holder, dict):
                holder[draw(TEXT)] = copy.deepcopy(draw(JSON))
            case "more":
                holder.insert(key, copy.deepcopy(draw(JSON)))
            case _:
                holder[key] = copy.deepcopy(draw(JSON))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in it with each key."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield value, key
        yield from _places(value[key])


def content(whole: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for what a JSON file may hold instead of `whole`."""
    return bent(whole) | mistyped(json.loads(whole)).map(as_json)


def open_files() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def readable(text: str) -> None:
    """Hold that a text is for a person: there is some, and it does nothing to a terminal."""
    assert text.strip()
    assert "Traceback" not in text
    assert all(line.isprintable() for line in text.split("\n")), ascii(text)
