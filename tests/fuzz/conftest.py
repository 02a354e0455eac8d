"""Thousands of cases take longer than a test may."""

import pytest

from tests.fuzz.fuzzkit import LONG


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give them an hour each, where that many are asked for."""
    for item in items if LONG else ():
        if "fuzz" in item.path.parts:
            item.add_marker(pytest.mark.timeout(3600))
