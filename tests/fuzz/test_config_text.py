"""Whatever a config.toml says, it is a config or an error in words. Nothing is run by it."""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config import keys, load
from supervisor.core.errors import ConfigError
from tests.fuzz.fuzzkit import JSON, bent, cases, mistyped, readable

_SECRET = "hunter2"  # noqa: S105 - what no error may repeat
_WHOLE: dict[str, Any] = {
    "supervisor": {"sessions": "s", "snapshots": "c", "state": "state.json"},
    "logs": {"folder": "logs", "rotate_mb": 1, "mask": ["code (\\d+)"]},
    "metrics": {"listen": "127.0.0.1:9000", "public": False},
    "alerts": {"command": ["tell"], "webhook": "https://x.example/y", "repeat_s": 60},
    "systemd": {"credentials": {"token": "/etc/token"}},
    "bot": {
        "a": {
            "command": ["python", "-m", "bot"],
            "session": "one",
            "session_path": "elsewhere",
            "session_files": ["*.session", "[a-c]?", "store"],
            "watch": ["bot"],
            "ignore": ["*.log"],
            "cwd": ".",
            "env": {"A": "1"},
            "ready": {"tcp": "localhost:80"},
            "user": "",
            "stop_signal": "INT",
            "stop_timeout_s": 3,
            "snapshots": {"every_s": 1.5, "keep_last": 2},
            "restart": {"backoff_s": [0.5, 3], "intensity": [5, 60], "no_retry": [2]},
            "limits": {"memory_mb": 100, "alive": {"http": "http://localhost/x"}},
        },
        "b": {"command": ["sh"], "session": False, "ready": {"log": "(ready|up)"}},
    },
}
_TEXTS = st.one_of(
    st.sampled_from(
        (
            *("", ".", "..", "/", "~", "~nobody-at-all", "~/x", "loop", "loop/x", "unix:x", "a\tb"),
            *("x" * 300, "x/" * 3000, "[::1]:80", "h:99999", "http://[", "http://h:0", "\x1b[2J"),
            *("(", "(?P<n>", "(?(1)a|b)", "[[a]", "a{99999999999}", "(" * 200, "\\N{x}", "(?i)a*+"),
        )
    ),
    st.text(max_size=12),
    st.text("(){}[]?*+|\\^$.:<>=!Paix01-,", max_size=12),  # regular expressions, now and then
)
_RAW = st.sampled_from(
    (
        "nan",
        "-inf",
        "0x" + "f" * 5000,
        "9" * 400,
        "-" + "9" * 400,
        "1e999",
        "1979-05-27",
        "07:32:00",
    )
)


class _Raw(str):
    """A value that is written as it is, for JSON has no such thing."""

    __slots__ = ()


def _places() -> list[tuple[str, ...]]:
    """Return the way to every key that there is."""
    found: list[tuple[str, ...]]
    found = [(table, key) for table, known in keys.TABLES.items() for key in known]
    found += [("bot", "a", key) for key in keys.BOT]
    found += [("bot", "a", t, key) for t, known in keys.BOT_TABLES.items() for key in known]
    return [(), *((table,) for table in keys.TABLES), ("bot",), ("bot", "a"), *found]


def _toml(value: Any) -> str:
    """Write a value inline, as TOML has it."""
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, dict):
        items = (f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if value is None:
        return '"none"'  # which TOML does not have
    return str(value).lower()


def _document(value: Any) -> str:
    items = value.items() if isinstance(value, dict) else [("x", value)]
    return "\n".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in items)


_ANY = st.one_of(
    JSON,
    _TEXTS,
    _RAW.map(_Raw),
    st.lists(_TEXTS | _RAW.map(_Raw), max_size=3),
    st.dictionaries(
        st.sampled_from(("log", "http", "tcp", "file", "command", "a")) | _TEXTS,
        _TEXTS | _RAW.map(_Raw) | st.lists(_TEXTS, max_size=2),
        max_size=2,
    ),
)


@st.composite
def _one_other(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the whole config with other values at one or two keys that there are."""
    value: dict[str, Any] = json.loads(json.dumps(_WHOLE))
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from([place for place in _places() if place]))
        table: Any = value
        for step in way:
            table = table.get(step) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[last] = draw(_ANY)
    return value


Load = Callable[[bytes], None]


@pytest.fixture(name="loaded")
def _loaded(tmp_path: Path) -> Load:
    """Return what loads a content, and holds what is promised of that."""
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / "config.toml"

    def loaded(data: bytes) -> None:
        path.write_bytes(data)
        before = os.listdir(tmp_path)
        for problem in _problems(path):
            readable(problem)
            assert problem.startswith("config.toml: ")
            assert _SECRET not in problem
        assert os.listdir(tmp_path) == before

    return loaded


def _problems(path: Path) -> tuple[str, ...]:
    """Return what is said to be wrong with a file; nothing: it is a whole config."""
    try:
        config = load(path)
    except ConfigError as error:
        return error.problems or ("nothing is said",)
    assert all(getattr(config, field.name) is not None for field in fields(config))
    assert config.bots
    assert all(bot.command and bot.name == name for name, bot in config.bots.items())
    return ()


def test_the_whole_one_is_one(loaded: Load, tmp_path: Path) -> None:
    """Else nothing below would get further than the first error."""
    loaded(_document(_WHOLE).encode())
    assert set(load(tmp_path / "config.toml").bots) == {"a", "b"}


def test_any_bytes_are_a_config_or_an_error(loaded: Load) -> None:
    """Random bytes, and a whole file that is torn or bent."""
    whole = _document(_WHOLE).encode()

    @cases()
    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | bent(whole))
    def read(data: bytes) -> None:
        loaded(data)

    read()


def test_any_value_of_any_key_is_taken_or_refused_by_name(loaded: Load) -> None:
    """Wrong types, out of all bounds, tables where none belong, keys that nobody knows."""

    @cases(60)
    @given(_one_other() | mistyped(_WHOLE))
    def read(value: Any) -> None:
        loaded(_document(value).encode("utf-8", "surrogatepass"))

    read()


def test_a_secret_address_is_not_repeated(loaded: Load) -> None:
    """However wrong a webhook's URL is, what may be a token in it stays out of the error."""

    @cases()
    @given(st.text("htps:/[]@#?. 019", max_size=20), st.text("htps:/[]@#?. 019", max_size=20))
    def read(before: str, after: str) -> None:
        value = _WHOLE | {"alerts": {"webhook": f"{before}{_SECRET}{after}"}}
        loaded(_document(value).encode())

    read()
