"""A configuration is read whole: every key, every default, and where the file is found."""

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import (
    AlertsConfig,
    BotConfig,
    Config,
    LimitsConfig,
    LogsConfig,
    MetricsConfig,
    ReadyCheck,
    RestartConfig,
    SnapshotsConfig,
    VerifyConfig,
    WebConfig,
    default_config,
    find,
    interpreter,
    keys,
    load,
    resolved_command,
)
from supervisor.core.errors import ConfigError
from supervisor.core.policy import Keep, Policy
from tests.unit.configkit import read

# The example of the manual, with a value other than the default for each key.
WHOLE = """
[supervisor]
sessions  = "s"
snapshots = "/var/cache"
state     = "~/state.json"

[bot.echo]
command = ["python", "-m", "bot", ""]
session = "971505760056"
session_path = ".wwebjs_auth/session-x"
session_files = ["creds.json", "*.session"]
watch   = ["bot", "../lib/x.py"]
watch_only = ["*.py"]
watch_in_service = true
ignore  = ["*.tmp"]
preset  = "whatsapp-web.js"
cwd     = "bot"
env     = { LOG_LEVEL = "info" }
env_file = ""
ready   = { log = "^ready [0-9]+" }
standby = "warm"
user = "root"
stop_signal = "INT"
stop_timeout_s = 1
restore_timeout_s = 2.5
start_timeout_s = 3
checkpoint_timeout_s = 4
settle_s = 35

[bot.echo.snapshots]
every_s = 30
keep_last = 1
keep_hourly = 0
keep_daily = 2
older = "auto"
freeze_timeout_ms = 200

[bot.echo.restart]
policy = "always"
backoff_s = [1, 1]
intensity = [3, 1.5]
no_retry = [2, 78]

[bot.echo.limits]
memory_mb = 512
memory_grace_s = 3
watchdog_s = 30
alive = { tcp = "localhost:80" }
alive_every_s = 4
alive_misses = 5
hang_signal = "SIGQUIT"

[bot.echo.verify]
isolated = true
pair = ["./scan"]

[logs]
folder = "logs"
rotate_mb = 1
rotate_hours = 2
keep_files = 3
mask = ["a+"]

[metrics]
listen = "unix:m.sock"
public = true

[alerts]
command = ["./tell"]
webhook = "http://localhost/x"
repeat_s = 5
snapshot_age_s = 6

[bot.server]
command = ["node", "server.js"]
session = false
"""


def test_every_key_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the file, ~ is the home."""
    monkeypatch.setenv("HOME", "/home/somebody")
    config = read(tmp_path, WHOLE)
    assert (config.path, config.root) == (tmp_path / "config.toml", tmp_path)
    assert config.sessions == tmp_path / "s"
    assert config.snapshots == Path("/var/cache")
    assert config.state == Path("/home/somebody/state.json")
    echo, server = config.bots["echo"], config.bots["server"]
    assert echo == BotConfig(
        name="echo",
        command=("python", "-m", "bot", ""),
        session="971505760056",
        session_path=tmp_path / ".wwebjs_auth" / "session-x",
        session_files=("creds.json", "*.session"),
        watch=(tmp_path / "bot", tmp_path.parent / "lib" / "x.py"),
        watch_only=("*.py",),
        watch_in_service=True,
        ignore=("*.tmp",),
        preset="whatsapp-web.js",
        cwd=tmp_path / "bot",
        env={"LOG_LEVEL": "info"},
        env_file=None,
        ready=ReadyCheck(kind="log", value="^ready [0-9]+"),
        standby="warm",
        user="root",
        stop_signal=signal.SIGINT,
        stop_timeout_s=1.0,
        restore_timeout_s=2.5,
        start_timeout_s=3.0,
        checkpoint_timeout_s=4.0,
        settle_s=35.0,
        snapshots=SnapshotsConfig(
            every_s=30.0, keep=Keep(1, 0, 2), older="auto", freeze_timeout_ms=200
        ),
        restart=RestartConfig(
            policy="always", backoff_s=(1.0, 1.0), intensity=(3, 1.5), no_retry=(2, 78)
        ),
        limits=LimitsConfig(
            memory_mb=512,
            memory_grace_s=3.0,
            watchdog_s=30.0,
            alive=ReadyCheck(kind="tcp", value="localhost:80"),
            alive_every_s=4.0,
            alive_misses=5,
            hang_signal=signal.SIGQUIT,
        ),
        verify=VerifyConfig(isolated=True, pair=("./scan",)),
    )
    assert echo.verify == VerifyConfig(isolated=True, pair=("./scan",))
    assert config.logs == LogsConfig(
        folder=tmp_path / "logs", rotate_mb=1, rotate_hours=2, keep_files=3, mask=("a+",)
    )
    assert config.metrics == MetricsConfig(listen=f"unix:{tmp_path / 'm.sock'}", public=True)
    assert config.alerts == AlertsConfig(
        command=("./tell",), webhook="http://localhost/x", repeat_s=5.0, snapshot_age_s=6.0
    )
    assert server.session is None
    assert config.session_dir(echo) == tmp_path / ".wwebjs_auth" / "session-x"
    with pytest.raises(ValueError, match="companion"):
        config.session_dir(server)


def test_everything_has_a_default(tmp_path: Path) -> None:
    """A bot needs a name, and the module `bot` or a command."""
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "__main__.py").touch()
    config = read(tmp_path, "[bot.echo]\n")
    assert config.sessions == tmp_path / "sessions"
    assert config.snapshots == tmp_path / ".session-cache"
    assert config.state == tmp_path / "session-state.json"
    echo = config.bots["echo"]
    assert echo == BotConfig(
        name="echo",
        command=("python", "-m", "bot"),
        session="echo",
        session_path=None,
        session_files=(),
        watch=(tmp_path,),
        watch_only=(),
        watch_in_service=False,
        ignore=("*.log",),
        preset="auto",
        cwd=tmp_path,
        env={},
        env_file=tmp_path / ".env",
        ready=ReadyCheck(kind="notify"),
        standby="auto",
        user="",
        stop_signal=signal.SIGTERM,
        stop_timeout_s=10.0,
        restore_timeout_s=10.0,
        start_timeout_s=60.0,
        checkpoint_timeout_s=2.0,
        settle_s=None,
        snapshots=SnapshotsConfig(
            every_s=300.0, keep=Keep(5, 6, 7), older="ask", freeze_timeout_ms=300
        ),
        restart=RestartConfig(
            policy="on-failure", backoff_s=(0.5, 30.0), intensity=(5, 60.0), no_retry=()
        ),
        limits=LimitsConfig(
            memory_mb=None,
            memory_grace_s=10.0,
            watchdog_s=None,
            alive=None,
            alive_every_s=10.0,
            alive_misses=3,
            hang_signal=signal.SIGABRT,
        ),
        verify=VerifyConfig(isolated=False, pair=()),
    )
    assert config.logs == LogsConfig(
        folder=None, rotate_mb=10, rotate_hours=24, keep_files=7, mask=()
    )
    assert config.metrics == MetricsConfig(listen="", public=False)
    assert config.alerts == AlertsConfig(
        command=(), webhook="", repeat_s=3600.0, snapshot_age_s=3600.0
    )
    assert config.session_dir(echo) == tmp_path / "sessions" / "session-echo"
    assert echo.policy(on_change=True) == Policy()


def test_the_table_of_keys_and_the_types_name_the_same(tmp_path: Path) -> None:
    """A key that is added to one is added to the other; every default is one that may be given."""

    def fields(kind: Any) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    settled = {"given", "library", "assumed"}  # by the presets, and by no key
    assert {*keys.BOT, *keys.BOT_TABLES, "name", *settled} == fields(BotConfig)
    others = {"logs", "metrics", "web", "alerts", "systemd", "bots", "presets"}
    assert {*keys.SUPERVISOR, "path", "root", *others} == fields(Config)
    assert set(keys.TABLES) == {"supervisor", *others} - {"bots", "presets"}
    assert set(keys.LOGS) == fields(LogsConfig)
    assert set(keys.METRICS) == fields(MetricsConfig)
    assert set(keys.WEB) == fields(WebConfig)
    assert set(keys.ALERTS) == fields(AlertsConfig)
    assert set(keys.RESTART) == fields(RestartConfig)
    assert set(keys.LIMITS) == fields(LimitsConfig)
    assert set(keys.VERIFY) == fields(VerifyConfig)
    kept = {f"keep_{age}" for age in fields(Keep)}
    assert set(keys.SNAPSHOTS) == fields(SnapshotsConfig) - {"keep"} | kept
    for table in (*keys.TABLES.values(), keys.BOT, *keys.BOT_TABLES.values()):
        for key in table.values():
            assert (
                key.default is None
                or key.kind.read(key.default, tmp_path) is not None
                or (key.default == "")
            )


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ('{ http = "http://[::1]:8080/x" }', ReadyCheck(kind="http", value="http://[::1]:8080/x")),
        ('{ tcp = "[::1]:80" }', ReadyCheck(kind="tcp", value="[::1]:80")),
        ('{ command = ["check", "x"] }', ReadyCheck(kind="command", value=("check", "x"))),
        ("{ alive_s = 2 }", ReadyCheck(kind="alive", value=2.0)),
    ],
)
def test_the_other_ways_to_be_ready(tmp_path: Path, text: str, check: ReadyCheck) -> None:
    """Each with its own value; a file is relative to the configuration."""
    config = read(tmp_path, f'[bot.echo]\ncommand = ["x"]\nready = {text}\n')
    assert config.bots["echo"].ready == check
    assert config.bots["echo"].ready.by_contract == (check.kind == "alive")
    file = read(tmp_path, '[bot.echo]\ncommand = ["x"]\nready = { file = "run/up" }\n')
    assert file.bots["echo"].ready.value == str(tmp_path / "run" / "up")


def test_a_session_in_a_watched_folder_is_allowed(tmp_path: Path) -> None:
    """The watcher leaves it out."""
    text = '[bot.a]\ncommand = ["x"]\nwatch = ["."]\nsession_path = "src/session"\n'
    assert read(tmp_path, text).bots["a"].session_path == tmp_path / "src" / "session"


def test_the_file_is_found_from_a_folder_below(tmp_path: Path) -> None:
    """The nearest one; a folder of that name is none."""
    deep = tmp_path / "a" / "b"
    (deep / "config.toml").mkdir(parents=True)
    (tmp_path / "config.toml").touch()
    assert find(deep) == tmp_path / "config.toml"
    (tmp_path / "config.toml").unlink()
    assert find(deep) is None


def test_a_linked_file_keeps_the_folder_where_it_is_named(tmp_path: Path) -> None:
    """Relative paths are relative to where the person sees the file."""
    (tmp_path / "real").mkdir()
    read(tmp_path / "real", '[bot.echo]\ncommand = ["x"]\n')
    (tmp_path / "config.toml").symlink_to(tmp_path / "real" / "config.toml")
    assert load(tmp_path / "config.toml").root == tmp_path


def test_a_folder_without_a_file_has_one_bot(tmp_path: Path) -> None:
    """Named after the folder; it watches the folder."""
    root = tmp_path / "my bot!"
    root.mkdir()
    config = default_config(root, ["python", "main.py"])
    (bot,) = config.bots.values()
    assert (bot.name, bot.session, bot.watch) == ("my-bot", "my-bot", (root,))
    assert bot.command == ("python", "main.py")
    assert config.path == root / "config.toml"
    assert default_config(Path("/"), ["/usr/bin/node", "x.js"]).bots.keys() == {"node"}
    with pytest.raises(ConfigError):
        default_config(root, [])


def test_python_is_the_projects_own_if_it_has_one(tmp_path: Path) -> None:
    """Otherwise ours; other programs are what they are called."""
    bot = default_config(tmp_path, ["python", "-m", "bot"]).bots.popitem()[1]
    assert resolved_command(bot, tmp_path) == (sys.executable, "-m", "bot")
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    assert resolved_command(bot, tmp_path) == (str(own), "-m", "bot")
    assert interpreter(bot, tmp_path) == str(own)
    named = dataclasses.replace(bot, command=("./.venv/bin/python", "x.py"))
    assert resolved_command(named, tmp_path) == (str(own), "x.py")
    assert interpreter(named, tmp_path) == str(own)
    node = dataclasses.replace(bot, command=("node", "x.js"))
    assert resolved_command(node, tmp_path) == ("node", "x.js")
    assert interpreter(node, tmp_path) is None
    script = dataclasses.replace(bot, command=("~/bin/bot",))
    assert resolved_command(script, tmp_path) == (os.path.expanduser("~/bin/bot"),)  # noqa: PTH111 - a string is what is compared
