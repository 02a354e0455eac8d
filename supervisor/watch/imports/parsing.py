"""Parses source as ours does, without a word about what its authors should have written."""

import ast
import warnings

from supervisor.watch import compiling


def parsed(source: bytes) -> ast.Module:
    """Return the syntax tree.

    Raises: SyntaxError, ValueError, RecursionError, MemoryError, as the compiler does.
    """
    one_at_a_time = compiling._warnings  # noqa: SLF001 - filters are the process's: one lock for all
    with one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)
