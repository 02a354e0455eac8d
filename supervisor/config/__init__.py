"""The configuration: config.toml in, typed and complete values out."""

from supervisor.config.load import FILE_NAME, default_config, find, load
from supervisor.config.model import (
    BotConfig,
    Config,
    LimitsConfig,
    ReadyCheck,
    RestartConfig,
    SnapshotsConfig,
    interpreter,
    resolved_command,
)

__all__ = [
    "FILE_NAME",
    "BotConfig",
    "Config",
    "LimitsConfig",
    "ReadyCheck",
    "RestartConfig",
    "SnapshotsConfig",
    "default_config",
    "find",
    "interpreter",
    "load",
    "resolved_command",
]
