"""A configuration is read whole, or everything that is wrong with it is said at once."""

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import (
    BotConfig,
    Config,
    LimitsConfig,
    ReadyCheck,
    RestartConfig,
    SnapshotsConfig,
    default_config,
    find,
    interpreter,
    keys,
    load,
    resolved_command,
)
from supervisor.core.errors import ConfigError
from supervisor.core.policy import Keep, Policy

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
watch   = ["bot", "../lib/x.py"]
watch_in_service = true
ignore  = ["*.tmp"]
preset  = "whatsapp-web.js"
cwd     = "bot"
env     = { LOG_LEVEL = "info" }
env_file = ""
ready   = { log = "^ready [0-9]+" }
standby = "warm"
stop_signal = "INT"
stop_timeout_s = 1
restore_timeout_s = 2.5
start_timeout_s = 3
checkpoint_timeout_s = 4

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

[bot.echo.limits]
memory_mb = 512
watchdog_s = 30

[bot.server]
command = ["node", "server.js"]
session = false
"""


def read(folder: Path, text: str) -> Config:
    """Write a file and load it."""
    (folder / "config.toml").write_text(text)
    return load(folder / "config.toml")


def problems(folder: Path, text: str) -> tuple[str, ...]:
    """Return what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return caught.value.problems


def bot_problems(folder: Path, lines: str) -> tuple[str, ...]:
    """Return what is wrong with a bot of which only some lines are given."""
    return problems(folder, f'[bot.echo]\ncommand = ["x"]\n{lines}\n')


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
        watch=(tmp_path / "bot", tmp_path.parent / "lib" / "x.py"),
        watch_in_service=True,
        ignore=("*.tmp",),
        preset="whatsapp-web.js",
        cwd=tmp_path / "bot",
        env={"LOG_LEVEL": "info"},
        env_file=None,
        ready=ReadyCheck(kind="log", value="^ready [0-9]+"),
        standby="warm",
        stop_signal=signal.SIGINT,
        stop_timeout_s=1.0,
        restore_timeout_s=2.5,
        start_timeout_s=3.0,
        checkpoint_timeout_s=4.0,
        snapshots=SnapshotsConfig(
            every_s=30.0, keep=Keep(1, 0, 2), older="auto", freeze_timeout_ms=200
        ),
        restart=RestartConfig(policy="always", backoff_s=(1.0, 1.0), intensity=(3, 1.5)),
        limits=LimitsConfig(memory_mb=512, watchdog_s=30.0),
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
        watch=(tmp_path,),
        watch_in_service=False,
        ignore=("*.log",),
        preset="auto",
        cwd=tmp_path,
        env={},
        env_file=tmp_path / ".env",
        ready=ReadyCheck(kind="notify"),
        standby="auto",
        stop_signal=signal.SIGTERM,
        stop_timeout_s=10.0,
        restore_timeout_s=10.0,
        start_timeout_s=60.0,
        checkpoint_timeout_s=2.0,
        snapshots=SnapshotsConfig(
            every_s=300.0, keep=Keep(5, 6, 7), older="ask", freeze_timeout_ms=300
        ),
        restart=RestartConfig(policy="on-failure", backoff_s=(0.5, 30.0), intensity=(5, 60.0)),
        limits=LimitsConfig(memory_mb=None, watchdog_s=None),
    )
    assert config.session_dir(echo) == tmp_path / "sessions" / "session-echo"
    assert echo.policy(on_change=True) == Policy()


def test_the_table_of_keys_and_the_types_name_the_same(tmp_path: Path) -> None:
    """A key that is added to one is added to the other; every default is one that may be given."""

    def fields(kind: Any) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    assert {*keys.BOT, *keys.BOT_TABLES, "name"} == fields(BotConfig)
    assert {*keys.SUPERVISOR, "path", "root", "bots"} == fields(Config)
    assert set(keys.RESTART) == fields(RestartConfig)
    assert set(keys.LIMITS) == fields(LimitsConfig)
    kept = {f"keep_{age}" for age in fields(Keep)}
    assert set(keys.SNAPSHOTS) == fields(SnapshotsConfig) - {"keep"} | kept
    for table in (keys.SUPERVISOR, keys.BOT, *keys.BOT_TABLES.values()):
        for key in table.values():
            assert (
                key.default is None
                or key.kind.read(key.default, tmp_path) is not None
                or (key.default == "")
            )


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """With file, key, what was found, and what is allowed."""
    told = problems(
        tmp_path,
        """
        colour = "red"
        [supervisor]
        sesions = "x"
        [bot.echo]
        command = ["x"]
        stop_timeout_s = "ten"
        wach = ["bot"]
        keep_last = 3
        session = "one"
        [bot.echo.limits]
        memory_mb = -1
        [bot.two]
        command = ["x"]
        session = "one"
        """,
    )
    first = "config.toml: bot.echo"
    megabytes = "a whole number of megabytes of at least 1"
    unused = "an id that no other bot has (bot.echo has it)"
    assert list(told) == [
        "config.toml: unknown key colour; known are supervisor, bot",
        "config.toml: unknown key supervisor.sesions; did you mean sessions?",
        "config.toml: unknown key bot.echo.wach; did you mean watch?",
        "config.toml: unknown key bot.echo.keep_last; did you mean snapshots.keep_last?",
        f'{first}.stop_timeout_s: found "ten" (a string), needs a number of seconds above 0',
        f"{first}.limits.memory_mb: found -1 (a whole number), needs {megabytes}",
        f'config.toml: bot.two.session: found "one" (a string), needs {unused}',
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('command = "python -m bot"', '"python -m bot" (a string)'),
        ("command = []", "[] (a list)"),
        ('command = [""]', '"" (a string)'),
        ('command = ["x", 1]', "1 (a whole number)"),
        ('command = ["x\\u0000"]', '"x\\u0000" (a string)'),
        ("session = 971505760056", "971505760056 (a whole number)"),
        ("session = true", "true (a boolean)"),
        ('session = ""', '"" (a string)'),
        ('session = "a/b"', '"a/b" (a string)'),
        ('session = ".."', '".." (a string)'),
        ('session = "caf\u00e9"', '"caf\u00e9" (a string)'),
        ('session_path = "~nobody-at-all/x"', '"~nobody-at-all/x" (a string)'),
        ('watch = "bot"', '"bot" (a string)'),
        ('watch = ["bot", false]', "false (a boolean)"),
        ('watch = [""]', '"" (a string)'),
        ("watch_in_service = 1", "1 (a whole number)"),
        ('ignore = "*.log"', '"*.log" (a string)'),
        ("preset = 3", "3 (a whole number)"),
        ("cwd = 1.5", "1.5 (a number)"),
        ('env = ["A=1"]', '["A=1"] (a list)'),
        ("env = { A = 1 }", "1 (a whole number)"),
        ('env = { "A=B" = "1" }', '"A=B" (a string)'),
        ('ready = "log"', '"log" (a string)'),
        ("ready = {}", "{} (a table)"),
        ('ready = { log = "x", tcp = "h:1" }', "{...} (a table)"),
        ('ready = { log = "(" }', '"(" (a string)'),
        ('ready = { http = "ftp://x" }', '"ftp://x" (a string)'),
        ('ready = { http = "http://x:y" }', '"http://x:y" (a string)'),
        ('ready = { http = "http://" }', '"http://" (a string)'),
        ('ready = { tcp = "8080" }', '"8080" (a string)'),
        ('ready = { tcp = "h:0" }', '"h:0" (a string)'),
        ('ready = { tcp = "h:65536" }', '"h:65536" (a string)'),
        ("ready = { command = [] }", "[] (a list)"),
        ('standby = "yes"', '"yes" (a string)'),
        ('stop_signal = "SIGFOO"', '"SIGFOO" (a string)'),
        ('stop_signal = "SIGKILL"', '"SIGKILL" (a string)'),
        ('stop_signal = "SIGSTOP"', '"SIGSTOP" (a string)'),
        ("stop_signal = 15", "15 (a whole number)"),
        ("stop_timeout_s = 0", "0 (a whole number)"),
        ("stop_timeout_s = -1.5", "-1.5 (a number)"),
        ("stop_timeout_s = inf", "inf (a number)"),
        ("stop_timeout_s = nan", "nan (a number)"),
        ("stop_timeout_s = true", "true (a boolean)"),
        ("stop_timeout_s = 2020-01-01", "2020-01-01 (a date or time)"),
        ("snapshots = 5", "5 (a whole number)"),
        ("snapshots.keep_last = 0", "0 (a whole number)"),
        ("snapshots.keep_last = 1.0", "1.0 (a number)"),
        ("snapshots.keep_daily = true", "true (a boolean)"),
        ("snapshots.older = true", "true (a boolean)"),
        ("snapshots.freeze_timeout_ms = 60000", "60000 (a whole number)"),
        ("restart.backoff_s = [3, 1]", "[3, 1] (a list)"),
        ("restart.backoff_s = 3", "3 (a whole number)"),
        ("restart.intensity = [0, 60]", "[0, 60] (a list)"),
        ("restart.intensity = [true, 60]", "[true, 60] (a list)"),
        ("limits.watchdog_s = 0", "0 (a whole number)"),
    ],
)
def test_what_cant_be_taken_is_shown_with_what_can(tmp_path: Path, line: str, found: str) -> None:
    """One problem for one mistake."""
    key = line.partition(" ")[0]
    text = line if key == "command" else f'command = ["x"]\n{line}'
    (told,) = problems(tmp_path, f"[bot.echo]\n{text}\n")
    assert told.startswith(f"config.toml: bot.echo.{key}: found {found}, ")
    assert "needs " in told


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ('{ http = "http://[::1]:8080/x" }', ReadyCheck(kind="http", value="http://[::1]:8080/x")),
        ('{ tcp = "[::1]:80" }', ReadyCheck(kind="tcp", value="[::1]:80")),
        ('{ command = ["check", "x"] }', ReadyCheck(kind="command", value=("check", "x"))),
    ],
)
def test_the_other_ways_to_be_ready(tmp_path: Path, text: str, check: ReadyCheck) -> None:
    """Each with its own value; a file is relative to the configuration."""
    config = read(tmp_path, f'[bot.echo]\ncommand = ["x"]\nready = {text}\n')
    assert config.bots["echo"].ready == check
    assert not config.bots["echo"].policy(on_change=False).notify
    file = read(tmp_path, '[bot.echo]\ncommand = ["x"]\nready = { file = "run/up" }\n')
    assert file.bots["echo"].ready.value == str(tmp_path / "run" / "up")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[bot.echo]\ncommand = [\n", "config.toml: line 3, column 1: "),
        ("[bot.echo]\ncommand == 1\n", "config.toml: line 2, column 10: "),
        ('x = "a', "config.toml: line 1, column 7: "),
        ("x = " + "[" * 5000, "config.toml: nested too deeply"),
    ],
)
def test_bad_toml_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    """Line and column, also at the end of the file."""
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(told)


def test_what_is_no_text_is_told_with_its_line(tmp_path: Path) -> None:
    """A byte order mark is none of these."""
    (tmp_path / "config.toml").write_bytes(b'[bot.echo]\ncommand = ["caf\xe9"]\n')
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        load(tmp_path / "config.toml")
    (tmp_path / "config.toml").write_bytes(b'\xef\xbb\xbf[bot.echo]\ncommand = ["x"]\n')
    assert load(tmp_path / "config.toml").bots["echo"].command == ("x",)


def test_a_file_that_cant_be_read_is_told(tmp_path: Path) -> None:
    """None there, or a folder in its place."""
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        load(tmp_path / "config.toml")
    assert "docs/config.md" in caught.value.hint
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no bot: needs a table [bot.NAME] with a command"),
        ("bot = 3", "bot: found 3 (a whole number), needs a table for each bot: [bot.NAME]"),
        ("[bot]\necho = 3", "bot.echo: found 3 (a whole number), needs a table for each bot"),
        ("[bot.echo]", "bot.echo.command: missing, needs a list of words"),
        ('[bot."a b"]\ncommand = ["x"]', 'bot: found "a b" (a string), needs a name of at most 64'),
        ("supervisor = 1\n[bot.e]\ncommand=['x']", "supervisor: found 1 (a whole number), needs"),
        (
            "[supervisor]\nstate = 'sessions'\n[bot.e]\ncommand=['x']",
            "supervisor: sessions, snapshots and state need a different path each",
        ),
    ],
)
def test_a_file_of_another_shape_is_told(tmp_path: Path, text: str, told: str) -> None:
    """Also what is missing."""
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(f"config.toml: {told}")


def test_two_bots_never_share_a_session(tmp_path: Path) -> None:
    """Neither by id, nor by folder, nor by the lock of a companion."""
    bot = '[bot.{}]\ncommand = ["x"]\nsession = {}\nsession_path = "{}"\n'
    (by_name,) = problems(tmp_path, bot.format("a", '"b"', "") + bot.format("b", "false", ""))
    assert by_name.endswith("needs an id that no other bot has (bot.a has it)")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (by_path,) = problems(tmp_path, bot.format("a", '"a"', "real") + bot.format("b", '"b"', "link"))
    assert by_path.startswith("config.toml: bot.b.session_path: found ")
    read(tmp_path, bot.format("a", "false", "") + bot.format("b", "false", ""))


@pytest.mark.parametrize(
    ("folder", "inside"),
    [(".", "config.toml"), ("..", "config.toml"), ("kept", "snapshots"), ("sessions", "session-b")],
)
def test_a_session_holds_nothing_but_itself(tmp_path: Path, folder: str, inside: str) -> None:
    """It is moved as a whole: not with the project, the snapshots or another session in it."""
    text = (
        '[supervisor]\nsnapshots = "kept/snapshots"\n[bot.b]\ncommand = ["x"]\n'
        f'[bot.a]\ncommand = ["x"]\nsession_path = "{folder}"\n'
    )
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("config.toml: bot.a.session_path: found ")
    assert f"{inside} in it" in problem


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
