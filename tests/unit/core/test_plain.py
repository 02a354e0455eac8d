"""Values that JSON can hold, and back: nothing is lost, and nothing that does not fit gets in."""

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.core.plain import Misfit, plain, rebuilt
from supervisor.core.state import Caps, Phase, State
from tests.unit.core.story import Story
from tests.unit.valuekit import any_of

GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


class Colour(Enum):
    """Something to choose."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    """What lies in another."""

    count: int
    raw: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Outer:
    """One field of each kind that there is."""

    name: str
    colour: Colour = Colour.RED
    way: Literal["", "in", 1] = ""
    at: float | None = None
    flag: bool = False
    pair: tuple[int, str] = (0, "")
    many: tuple[Inner, ...] = ()
    listed: list[int] = field(default_factory=list)
    numbers: frozenset[int] = frozenset()
    inner: Inner | None = None
    either: int | str = 0
    by_number: dict[int, str] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)


FULL = Outer(
    name="é\udcff",  # a file's name may be no text
    colour=Colour.BLUE,
    way=1,
    at=1.5,
    flag=True,
    pair=(3, "three"),
    many=(Inner(1, bytes(range(256))), Inner(2)),
    listed=[1, 2],
    numbers=frozenset({3, 1}),
    inner=Inner(4),
    either="text",
    by_number={7: "seven"},
    anything={"deep": [1, None, {"x": True}]},
)


def through_json(value: Any) -> Any:
    """Return what is read of what was written."""
    return json.loads(json.dumps(plain(value)))


# There and back.
@settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)
@given(any_of(State))
def test_any_state_comes_back_as_it_was(state: State) -> None:
    """All that decisions depend on is carried over, whatever its values are."""
    assert rebuilt(State, through_json(state)) == state


def test_each_kind_of_field_comes_back_as_it_was() -> None:
    """Bytes, sets, enumerations, nested and optional ones, dicts by number."""
    assert rebuilt(Outer, through_json(FULL)) == FULL
    assert rebuilt(Outer, {"name": "x"}) == Outer(name="x")  # an older one lacks new fields


def test_the_states_of_a_life_come_back_and_go_on_alike() -> None:
    """What is decided next is the same as if nothing had happened."""
    for to in (Story().up(), Story().standing_by(), Story().stopping()):
        other = Story(to.policy)
        other.now, other.state = to.now, rebuilt(State, through_json(to.state))
        to.later(1000.0)
        other.later(1000.0)
        assert (other.state, other.orders) == (to.state, to.orders)


def test_a_set_is_written_in_order() -> None:
    """Two documents of the same state are the same text."""
    assert plain(frozenset({3, 1, 2})) == [1, 2, 3]
    assert plain(State(doomed=frozenset({9, 4})))["doomed"] == [4, 9]


# What does not fit.
@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("name", None, "Outer.name"),
        ("name", b"bytes", "Outer.name"),
        ("colour", "green", "no Colour"),
        ("colour", ["red"], "no Colour"),
        ("way", "out", "none of"),
        ("way", True, "none of"),
        ("way", 1.0, "none of"),
        ("at", "1.5", "float is wanted, not str"),
        ("at", True, "float is wanted, not bool"),
        ("flag", 1, "bool is wanted, not int"),
        ("pair", [1], "2 values are wanted"),
        ("pair", [1, "x", 2], "2 values are wanted"),
        ("pair", ["x", 1], "int is wanted, not str"),
        ("many", {"count": 1}, "a list is wanted"),
        ("many", [{"count": 1}, {"count": "1"}], "Outer.many[1].count"),
        ("many", [{}], "count"),
        ("listed", [1, 2.0], "Outer.listed[1]"),
        ("numbers", "12", "a list is wanted"),
        ("numbers", [True], "int is wanted, not bool"),
        ("inner", [], "an object is wanted"),
        ("inner", {"count": 1, "raw": "\u1234"}, "no bytes"),
        ("inner", {"count": 1, "more": 2, "again": 3}, "unknown: again, more"),
        ("either", 1.5, "is wanted, not float"),
        ("either", None, "is wanted, not NoneType"),
        ("by_number", {"-1": "x"}, "no number"),
        ("by_number", {"x": "x"}, "no number"),
        ("by_number", {"9" * 5000: "x"}, "no number"),
        ("by_number", {"1": 2}, "Outer.by_number.1"),
        ("anything", [], "an object is wanted"),
        ("unheard_of", 1, "unknown: unheard_of"),
        ("\x1b[2J", 1, r"unknown: '\x1b[2J'"),
    ],
)
def test_what_does_not_fit_is_refused_and_its_place_named(key: str, value: Any, where: str) -> None:
    """Another type, a missing or an unknown field: never a value that nobody has checked."""
    with pytest.raises(Misfit) as caught:
        rebuilt(Outer, {"name": "x", key: value})
    assert where in str(caught.value)
    assert str(caught.value).startswith("Outer")


def test_a_value_is_not_quoted_at_length() -> None:
    """Whoever reads the refusal need not scroll."""
    with pytest.raises(Misfit) as caught:
        rebuilt(Caps, {"standby": "x" * 10_000})
    assert len(str(caught.value)) < 200
    with pytest.raises(Misfit) as caught:
        rebuilt(State, {"phase": "x" * 10_000})
    assert len(str(caught.value)) < 200


def test_a_missing_field_without_a_default_is_refused() -> None:
    """It is not made up."""
    with pytest.raises(Misfit, match="name"):
        rebuilt(Outer, {})


@settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(plain(State()))), GARBAGE, max_size=4))
def test_garbage_is_refused_or_fits(found: dict[str, Any]) -> None:
    """No other error comes out of it; and what is let in is what is written of it again."""
    try:
        state = rebuilt(State, found)
    except Misfit:
        return
    assert isinstance(state.phase, Phase)
    assert rebuilt(State, through_json(state)) == state or "nan" in repr(state)
