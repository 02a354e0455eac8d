"""Any value of a dataclass, for hypothesis, by its annotations: nested ones too."""

import dataclasses
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

# Instants and counts as they occur: NaN would not even equal itself, and no pid is negative.
FLOATS = st.floats(allow_nan=False)
COUNTS = st.integers(min_value=0, max_value=2**59)


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a type."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*(any_of(each) for each in args))
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(any_of(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(any_of(each) for each in args))
    if origin is dict:
        return st.dictionaries(any_of(args[0]), any_of(args[1]), max_size=2)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        make: Any = kind
        hints = get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        fields = {name: any_of(hints[name]) for name in names}
        return st.fixed_dictionaries(fields).map(lambda given: make(**given))
    known: dict[Any, st.SearchStrategy[Any]] = {
        float: FLOATS,
        int: COUNTS,
        Any: st.none() | st.booleans() | COUNTS | st.text(),
    }
    return known[kind] if kind in known else st.from_type(kind)
