"""What a configuration means once it is read: typed, absolute, complete."""

import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from supervisor.config.preset import GENERIC, Preset
from supervisor.core.policy import Keep, Policy, RestartPolicy, Standby

ReadyKind = Literal["notify", "alive", "log", "http", "tcp", "file", "command"]
Older = Literal["ask", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyCheck:
    """How a bot shows that it is ready.

    `value` is the regex, URL, HOST:PORT or absolute path; for `command` the words of the command;
    for `alive` seconds; empty for `notify`. `alive`: by the contract if it speaks it, else by what
    its preset knows of its output, else it is taken to be up once it has run so long.
    """

    kind: ReadyKind
    value: str | float | tuple[str, ...] = ""

    @property
    def by_contract(self) -> bool:
        """Whether the bot may say so itself."""
        return self.kind in ("notify", "alive")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotsConfig:
    """When snapshots are taken while the bot runs, and how many stay."""

    every_s: float
    keep: Keep
    older: Older
    freeze_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartConfig:
    """What follows a bot's unplanned exit.

    `intensity` is (crashes, in so many seconds); `no_retry` the exit statuses that no new try
    can cure.
    """

    policy: RestartPolicy
    backoff_s: tuple[float, float]
    intensity: tuple[int, float]
    no_retry: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """What a bot may use, and how long it may be silent, before it is restarted.

    None: no such limit. A bot may be over `memory_mb` for `memory_grace_s`; `alive_misses` checks
    in a row may fail, less one. `hang_signal` asks a bot that hangs for a dump of its stacks.
    """

    memory_mb: int | None
    memory_grace_s: float
    watchdog_s: float | None
    alive: ReadyCheck | None
    alive_every_s: float
    alive_misses: int
    hang_signal: signal.Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyConfig:
    """How `stillhere verify` may treat a bot.

    `isolated`: a copy of its folder reaches no network that knows the original's session. `pair`:
    a command that scans a QR code, whose text it gets on standard input; (): only a person can.
    """

    isolated: bool
    pair: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsConfig:
    """Where the bots' output is kept, and how long. `folder` None: in no file.

    `mask`: regular expressions of what is blotted out, beside what always is.
    """

    folder: Path | None
    rotate_mb: int
    rotate_hours: int
    keep_files: int
    mask: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where metrics and health are served: "HOST:PORT", "unix:PATH", or "": nowhere.

    `public`: HOST may be another than loopback.
    """

    listen: str
    public: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The page. `enabled` "auto": only in `dev`. `port` 0: any that is free."""

    enabled: bool | Literal["auto"]
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsConfig:
    """Whom to tell when a person is needed: a command, a webhook; the same again after `repeat_s`.

    `snapshot_age_s`: a session whose newest snapshot is older than that is told, too.
    """

    command: tuple[str, ...]
    webhook: str = field(repr=False)  # there may be a token in it
    repeat_s: float
    snapshot_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemdConfig:
    """What only the unit file takes: secrets that systemd hands to the service, file by name."""

    credentials: dict[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class BotConfig:
    """One `[bot.NAME]` table. `session` is None for a companion; all paths are absolute.

    `session_files`: which entries of its folder are the session; (): the whole folder is.
    `given`: the keys that the file has. `library`: what is known of the library that it uses; and
    in `assumed` what was settled by that, in words (see presets/choose.py).
    """

    name: str
    command: tuple[str, ...]
    session: str | None
    session_path: Path | None
    session_files: tuple[str, ...]
    watch: tuple[Path, ...]
    watch_only: tuple[str, ...]
    watch_in_service: bool
    ignore: tuple[str, ...]
    preset: str
    cwd: Path
    env: dict[str, str]
    env_file: Path | None
    ready: ReadyCheck
    standby: Standby
    user: str
    stop_signal: signal.Signals
    stop_timeout_s: float
    restore_timeout_s: float
    start_timeout_s: float
    checkpoint_timeout_s: float
    settle_s: float | None
    snapshots: SnapshotsConfig
    restart: RestartConfig
    limits: LimitsConfig
    verify: VerifyConfig = field(compare=False)  # a bot that runs does not notice it
    given: frozenset[str] = field(default=frozenset(), compare=False)
    library: Preset = GENERIC
    assumed: tuple[str, ...] = field(default=(), compare=False)

    def policy(self, *, on_change: bool) -> Policy:
        """Return what the core must know; `on_change`: a changed source file restarts this bot."""
        return Policy(
            has_session=self.session is not None,
            standby=self.standby,
            restart=self.restart.policy,
            stop_timeout_s=self.stop_timeout_s,
            restore_timeout_s=self.restore_timeout_s,
            start_timeout_s=self.start_timeout_s,
            checkpoint_timeout_s=self.checkpoint_timeout_s,
            settle_s=self.settle_s or 0.0,
            backoff_s=self.restart.backoff_s,
            intensity=self.restart.intensity,
            no_retry=self.restart.no_retry,
            on_change=on_change,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole file: `path` is the file, `root` its folder, the rest what it says."""

    path: Path
    root: Path
    sessions: Path
    snapshots: Path
    state: Path
    logs: LogsConfig
    metrics: MetricsConfig
    web: WebConfig
    alerts: AlertsConfig
    systemd: SystemdConfig
    bots: dict[str, BotConfig]
    presets: dict[str, Preset] = field(default_factory=dict)

    def session_dir(self, bot: BotConfig) -> Path:
        """Return the folder that holds this bot's session, or is it.

        Raises: ValueError for a companion, which has none.
        """
        if bot.session is None:
            raise ValueError(f"{bot.name} is a companion and has no session")
        usual = bot.cwd if bot.session_files else self.sessions / f"session-{bot.session}"
        return bot.session_path or usual

    def sessions_elsewhere(self) -> dict[str, Path]:
        """Return by id the folders of the sessions that do not lie in `sessions`."""
        return {
            bot.session: self.session_dir(bot)
            for bot in self.bots.values()
            if bot.session is not None and (bot.session_path or bot.session_files)
        }

    def session_parts(self) -> dict[str, tuple[str, ...]]:
        """Return by id the patterns of the sessions that are files among others."""
        bots = self.bots.values()
        return {bot.session: bot.session_files for bot in bots if bot.session and bot.session_files}


def interpreter(bot: BotConfig, root: Path) -> str | None:
    """Return the Python that runs this bot, or None if its command does not start with one."""
    program = bot.command[0]
    if program in {"python", "python3"}:
        own = root / ".venv" / "bin" / "python"
        return str(own) if os.access(own, os.X_OK) else sys.executable
    if not Path(program).name.startswith(("python", "pypy")):
        return None
    return shutil.which(_located(program, root))


def resolved_command(bot: BotConfig, root: Path) -> tuple[str, ...]:
    """Return the command as it is executed: "python" resolved, a program's path made absolute."""
    program, *arguments = bot.command
    if program in {"python", "python3"}:
        return (interpreter(bot, root) or program, *arguments)
    return (_located(program, root), *arguments)


def _located(program: str, root: Path) -> str:
    # A bare name is looked up on PATH by whoever executes it; a path is the file's neighbour.
    if "/" not in program:
        return program
    return os.path.normpath(root / Path(program).expanduser())
