"""What a configuration must not say: all of it is told at once, with its place."""

from pathlib import Path

import pytest

from supervisor.config import keys, load
from supervisor.core.errors import ConfigError
from tests.unit.configkit import problems, read


def test_a_bots_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    """Its session would lie in a folder that no disk can have; that is told with the rest."""
    told = problems(tmp_path, '[bot."\\u0000"]\ncommand = ["x"]\n[bot.b]\ncommand = [7]\n')
    assert len(told) == 2
    assert "u0000" in told[0] or "x00" in told[0], told


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
        f"config.toml: unknown key colour; known are {', '.join((*keys.TABLES, 'bot', 'preset'))}",
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
        ('user = "nobody-of-that-name"', '"nobody-of-that-name" (a string)'),
        ("restart.no_retry = [256]", "256 (a whole number)"),
        ("restart.no_retry = [true]", "true (a boolean)"),
        ('limits.alive = "notify"', '"notify" (a string)'),
        ('limits.alive = { log = "x" }', "{...} (a table)"),
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


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ('[telegram]\ntoken = "x"\n', True),
        ('[bot]\ntoken = "x"\n', True),
        ('[bot.echo]\ncommand = ["x"]\n[telegram]\n', False),
    ],
)
def test_a_bots_own_file_of_that_name_is_no_dead_end(
    tmp_path: Path, text: str, *, others: bool
) -> None:
    """Many bots call theirs config.toml: the hint says how to have ours beside it."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert ("--config stillhere.toml" in str(caught.value.hint)) is others


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


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "0x" + "f" * 5000, str(2**63)])
@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("stop_timeout_s = {}", "bot.a.stop_timeout_s"),
        ("limits.memory_mb = {}", "bot.a.limits.memory_mb"),
        ("restart.backoff_s = [1, {}]", "bot.a.restart.backoff_s"),
        ("user = {}", "bot.a.user"),
        ("nonsense = [{{ x = {} }}]", "bot.a.nonsense.x"),
    ],
)
def test_a_number_that_toml_does_not_have_is_refused_by_its_place(
    number: str, line: str, where: str, tmp_path: Path
) -> None:
    """Python reads it, but makes no length of time of it, and can't even print it."""
    text = f'[bot.a]\ncommand = ["x"]\n{line.format(number)}\n'
    needs = "found a whole number of more than 64 bits, which TOML does not have"
    assert problems(tmp_path, text) == (f"config.toml: {where}: {needs}",)


def test_links_that_lead_round_and_round_are_a_config_like_any(tmp_path: Path) -> None:
    """What is to lie there can't be opened, which is said then; reading the file does not fail."""
    (tmp_path / "loop").symlink_to("loop")
    text = '[supervisor]\nsnapshots = "{}"\n[bot.a]\ncommand = ["x"]\nsession_path = "{}"\n'
    config = read(tmp_path, text.format("loop/cache", "loop/session"))
    assert config.bots["a"].session_path == tmp_path / "loop/session"
    (problem,) = problems(tmp_path, text.format("loop/session/cache", "loop/session"))
    assert "needs a folder of the session's own" in problem
