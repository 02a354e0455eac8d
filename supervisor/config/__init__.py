"""The configuration: config.toml in, typed and complete values out."""

from supervisor.config.load import FILE_NAME, default_config, find, load
from supervisor.config.model import (
    AlertsConfig,
    BotConfig,
    Config,
    LimitsConfig,
    LogsConfig,
    MetricsConfig,
    ReadyCheck,
    RestartConfig,
    SnapshotsConfig,
    SystemdConfig,
    VerifyConfig,
    WebConfig,
    interpreter,
    resolved_command,
)

__all__ = [
    "FILE_NAME",
    "AlertsConfig",
    "BotConfig",
    "Config",
    "LimitsConfig",
    "LogsConfig",
    "MetricsConfig",
    "ReadyCheck",
    "RestartConfig",
    "SnapshotsConfig",
    "SystemdConfig",
    "VerifyConfig",
    "WebConfig",
    "default_config",
    "find",
    "interpreter",
    "load",
    "resolved_command",
]
