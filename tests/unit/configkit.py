"""A configuration from a text, for the tests of the configuration."""

from pathlib import Path

import pytest

from supervisor.config import Config, load
from supervisor.core.errors import ConfigError


def read(folder: Path, text: str) -> Config:
    """Write a file and load it."""
    (folder / "config.toml").write_text(text)
    return load(folder / "config.toml")


def problems(folder: Path, text: str) -> tuple[str, ...]:
    """Return what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return caught.value.problems
