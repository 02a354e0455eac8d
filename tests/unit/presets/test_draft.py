"""What `init` writes means what `dev` assumes without it; the command is guessed, too."""

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.cli.main import execute
from supervisor.presets import choose, command
from supervisor.presets.draft import draft

FOLDERS = {
    "telethon": ("main.py", 'from telethon import TelegramClient\nTelegramClient("me", 1, "x")\n'),
    "matrix-nio": ("main.py", "from nio import AsyncClient\n"),
    "baileys": ("index.js", "import { useMultiFileAuthState } from 'baileys'\n"),
    "whatsapp-web.js": ("index.js", "const { Client } = require('whatsapp-web.js')\n"),
    "chromium": ("index.mjs", "chromium.launchPersistentContext('profile')\n"),
    "contract": ("bot.py", "os.environ['STILLHERE_SESSION_DIR']\n"),
    "generic": ("bot.py", 'print("a \\"bot\\"")\n'),
}


@pytest.mark.parametrize("preset", FOLDERS)
def test_the_draft_means_what_was_assumed(tmp_path: Path, preset: str) -> None:
    """Of each library: read as a config, the text gives the same bot."""
    name, text = FOLDERS[preset]
    (tmp_path / name).write_text(text)
    config = choose.default_config(tmp_path, command.guessed(tmp_path))
    (bot,) = config.bots.values()
    assert bot.library.name == preset
    (tmp_path / "config.toml").write_text(draft(config))
    (written,) = choose.load(tmp_path / "config.toml").bots.values()
    assert written == replace(bot, preset=preset)


def test_a_name_that_is_no_line_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is found is named in a comment, and on the terminal: names of files may be anything."""
    folder = tmp_path / "a\nb\udcff"
    folder.mkdir()
    for name in ("x\ncommand = 5\n.session", "\x1b[31m.session", "\udcff.session"):
        (folder / name).touch()
    monkeypatch.chdir(folder)
    assert execute(["init", "--", "./bot"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    (written,) = choose.load(folder / "config.toml").bots.values()
    (bot,) = choose.default_config(folder, ["./bot"]).bots.values()
    assert written == replace(bot, preset="generic")


def test_a_disk_that_is_full_leaves_no_half_of_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be in the way of the next try, which touches nothing that is there."""

    def full(*_args: object, **_more: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdopen", full)
        assert execute(["init", "--", "./bot"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert execute(["init", "--", "./bot"]) == 0


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"bot/__main__.py": ""}, ("python", "-m", "bot")),
        ({"main.py": "", "index.js": ""}, ("python", "main.py")),
        ({"src/index.mjs": ""}, ("node", "src/index.mjs")),
        ({"package.json": '{"scripts": {"start": "node app.js --x"}}'}, ("node", "app.js", "--x")),
        ({"package.json": '{"scripts": {"start": "A=1 node app.js"}}'}, ("npm", "start")),
        ({"package.json": '{"scripts": {"start": "tsx a.ts && b"}}'}, ("npm", "start")),
        ({"package.json": '{"main": "lib.js"}', "lib.js": ""}, ("node", "lib.js")),
        ({"package.json": '{"main": "gone.js"}', "index.js": ""}, ("node", "index.js")),
        ({"package.json": "[1"}, ()),
        ({"readme.md": ""}, ()),
    ],
)
def test_the_command_is_guessed(
    tmp_path: Path, files: dict[str, str], words: tuple[str, ...]
) -> None:
    """As people would type it; where the folder does not tell, nothing is made up."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert command.guessed(tmp_path) == words


def test_init_writes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For its owner alone, since a command may hold a token; one that is there is not touched."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.py").touch()
    assert execute(["init"]) == 0
    path = tmp_path / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("# mine\n")
    assert execute(["init", "--", "python", "other.py"]) == 1
    assert "is there already, and is not touched" in capsys.readouterr().err
    assert path.read_text() == "# mine\n"
    assert execute(["init", "--print", "--", "python", "other.py"]) == 0
    assert '"other.py"' in capsys.readouterr().out


def test_init_without_a_bot_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert execute(["init"]) == 2
    assert "stillhere dev -- python bot.py" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_session_that_is_where_it_was_stays_there(tmp_path: Path) -> None:
    """With something in the usual folder no library's habit moves it: an upgrade loses nothing."""
    (tmp_path / "config.toml").write_text('[bot.one]\ncommand = ["node", "index.js"]\n')
    (tmp_path / "index.js").write_text(FOLDERS["baileys"][1])
    usual = tmp_path / "sessions" / "session-one"
    usual.mkdir(parents=True)
    moved = choose.load(tmp_path / "config.toml")
    assert moved.session_dir(moved.bots["one"]) != usual  # an empty one is only a place
    (usual / "creds.json").write_text("{}")
    kept = choose.load(tmp_path / "config.toml")
    assert kept.session_dir(kept.bots["one"]) == usual
    assert kept.bots["one"].library.name == "baileys"
