"""Dataclasses as plain values that JSON can hold, and back, by their annotations.

What is read back is as strict as it is written: an unknown field, a missing one without a default
or a value of another type is refused. Pure.
"""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_UNIONS = (Union, type(int | str))
_WORD_CHARS = 60
_DIGITS = 18  # no number of ours has more, and int() fails at some thousand


class Misfit(ValueError):  # noqa: N818 - it says what the value is
    """A value that is not of the type that was asked for; the message says where."""


def plain(value: Any) -> Any:
    """Return dataclasses as dicts, tuples and sets as lists, bytes as latin-1 text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1")
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(each) for each in value)
    return value


def rebuilt(kind: type[T], value: Any, where: str = "") -> T:
    """Return what `plain` was given. Raises: Misfit."""
    found: T = _rebuilt(kind, value, where or kind.__name__)
    return found


def _rebuilt(kind: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in _UNIONS:
        return _one_of(args, value, where)
    if origin is Literal:
        if not any(value == each and type(value) is type(each) for each in args):
            raise Misfit(f"{where}: {value!r:.60} is none of {args}")
        return value
    if origin in (tuple, frozenset, list):
        return _several(origin, args, value, where)
    if origin is dict:
        return {
            _key(args[0], key, where): _rebuilt(args[1], each, f"{where}.{_word(key)}")
            for key, each in _dict(value, where).items()
        }
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind, value, where)
    return _simple(kind, value, where)


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    problem = Misfit(f"{where}: nothing is not allowed")
    for kind in kinds:
        if kind is not type(None):
            try:
                return _rebuilt(kind, value, where)
            except Misfit as misfit:
                problem = misfit
    raise problem


def _several(origin: Any, args: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise Misfit(f"{where}: a list is wanted")
    if origin is tuple and args[-1] is not Ellipsis:
        if len(value) != len(args):
            raise Misfit(f"{where}: {len(args)} values are wanted")
        return tuple(_rebuilt(kind, each, where) for kind, each in zip(args, value, strict=True))
    return origin(_rebuilt(args[0], each, f"{where}[{n}]") for n, each in enumerate(value))


def _dict(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Misfit(f"{where}: an object is wanted")
    return value


def _word(key: str) -> str:
    """Return a key as a message can name it: whoever wrote it may have meant a terminal."""
    return key if key.isprintable() and len(key) <= _WORD_CHARS else f"{key!a:.{_WORD_CHARS}}"


def _key(kind: Any, key: str, where: str) -> Any:
    if kind is int:
        if not key.isdecimal() or len(key) > _DIGITS:
            raise Misfit(f"{where}: {key!r:.60} is no number")
        return int(key)
    return key


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    given = _dict(value, where)
    hints = get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    if strange := given.keys() - known:
        raise Misfit(f"{where}: unknown: {', '.join(sorted(map(_word, strange)))}")
    fields = {name: _rebuilt(hints[name], each, f"{where}.{name}") for name, each in given.items()}
    try:
        return kind(**fields)
    except TypeError as error:
        raise Misfit(f"{where}: {error}") from None


def _enum(kind: type[Enum], value: Any, where: str) -> Enum:
    try:
        return kind(value)
    except (ValueError, TypeError):
        raise Misfit(f"{where}: {value!r:.60} is no {kind.__name__}") from None


def _simple(kind: Any, value: Any, where: str) -> Any:
    if kind is bytes and isinstance(value, str):
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            raise Misfit(f"{where}: no bytes") from None
    if kind is float and type(value) in (int, float):
        return value
    if type(value) is not kind:
        raise Misfit(f"{where}: {kind.__name__} is wanted, not {type(value).__name__}")
    return value
