"""Which library a bot uses, and what follows: by its lists of packages and its source."""

import json
import shutil
from pathlib import Path

import pytest

from supervisor.core.errors import ConfigError
from supervisor.presets import choose
from supervisor.presets.library import KNOWN, ORDER, known
from supervisor.session.manager import SessionManager
from tests.markdown import ROOT

Files = dict[str, str]


def package(*names: str, field: str = "dependencies") -> str:
    """Return a package.json."""
    return json.dumps({"name": "bot", field: dict.fromkeys(names, "^1.0.0")})


FOLDERS: dict[str, tuple[str, Files]] = {
    "wwebjs": ("whatsapp-web.js", {"package.json": package("whatsapp-web.js", "qrcode-terminal")}),
    "wwebjs and its browser": (
        "whatsapp-web.js",
        {"package.json": package("puppeteer", "whatsapp-web.js")},
    ),
    "wwebjs by source": (
        "whatsapp-web.js",
        {"src/bot.js": "const { Client } = require('whatsapp-web.js')"},
    ),
    "baileys": ("baileys", {"package.json": package("@whiskeysockets/baileys", "pino")}),
    "baileys 7": ("baileys", {"package.json": package("baileys")}),
    "baileys by source": (
        "baileys",
        {"src/a/b.ts": 'import makeWASocket from "@whiskeysockets/baileys"'},
    ),
    "baileys by a part": (
        "baileys",
        {"a.mjs": "import x from '@whiskeysockets/baileys/lib/Utils'"},
    ),
    "baileys loaded late": ("baileys", {"a.mjs": "const b = await import('baileys')"}),
    "neonize": (
        "neonize",
        {"requirements.txt": "# bots\nneonize>=0.3,<1 ; python_version > '3.10'\n"},
    ),
    "neonize, poetry": (
        "neonize",
        {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\nneonize = "^0.3"\n'},
    ),
    "telethon": ("telethon", {"requirements.txt": "Telethon==1.45\n"}),
    "telethon, PEP 621": (
        "telethon",
        {"pyproject.toml": '[project]\ndependencies = ["telethon[cryptg]>=1"]\n'},
    ),
    "telethon by source": ("telethon", {"bot.py": "from telethon.sync import TelegramClient\n"}),
    "nio": ("matrix-nio", {"requirements-bot.txt": "matrix-nio[e2e]\n"}),
    "nio by source": ("matrix-nio", {"src/bot/__main__.py": "from nio import AsyncClient\n"}),
    "playwright": ("chromium", {"bot.py": "p.chromium.launch_persistent_context('p')\n"}),
    "puppeteer": ("chromium", {"bot.js": "puppeteer.launch({ userDataDir: 'p' })\n"}),
    # A browser without a profile keeps no session.
    "puppeteer for pictures": ("generic", {"package.json": package("puppeteer", "discord.js")}),
    "contract": ("contract", {"bot.py": "os.environ['STILLHERE_STANDBY_FD']\n"}),
    "contract before all": (
        "contract",
        {
            "bot.py": "import neonize\nlink = 'STILLHERE_SESSION_DIR'\n",
            "requirements.txt": "neonize\n",
        },
    ),
    "a test's tool": ("generic", {"package.json": package("baileys", field="devDependencies")}),
    "another's source": ("generic", {"node_modules/x/index.js": "require('baileys')"}),
    "an environment": ("generic", {"venv/lib/telethon/a.py": "import telethon\n"}),
    "a word in a text": (
        "generic",
        {"bot.py": 'print("import telethon")\n', "README.md": "baileys"},
    ),
    "its own module": ("generic", {"bot.py": "from .telethon import x\n"}),
    "a list that is torn": ("generic", {"package.json": "{", "pyproject.toml": "[["}),
    "a list of another shape": (
        "generic",
        {"package.json": '["baileys"]', "pyproject.toml": "project = 1\n"},
    ),
    "nothing": ("generic", {}),
}


def write(folder: Path, files: Files) -> None:
    """Make a bot's folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_tells_its_library(tmp_path: Path, case: str) -> None:
    """By what it depends on or imports; what lies around it does not count."""
    wanted, files = FOLDERS[case]
    write(tmp_path, files)
    (bot,) = choose.default_config(tmp_path, ["python", "bot.py"]).bots.values()
    assert bot.library.name == wanted


def test_our_own_bot_speaks_the_contract(tmp_path: Path) -> None:
    """As it is shipped, by its source."""
    shutil.copytree(ROOT / "bot", tmp_path / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    (bot,) = choose.default_config(tmp_path, ["python", "-m", "bot"]).bots.values()
    assert bot.library.name == "contract"
    assert bot.ready.kind == "notify"


MINE = """
[bot.one]
command = ["./bot"]
preset = "{name}"

[preset.mine]
about = "our own library"

[preset.mine.recognise]
packages = ["our-chat"]

[preset.mine.session]
path = ["keys"]

[preset.mine.output]
ready = ['^we are up as (?P<identity>\\S+)$']

[preset.mine.process]
alive_s = 7
"""


@pytest.mark.parametrize("name", ["mine", "auto"])
def test_a_person_s_own_preset_is_used(tmp_path: Path, name: str) -> None:
    """Where it is named, and where it is recognised, before any of ours."""
    write(
        tmp_path,
        {"requirements.txt": "our_chat\ntelethon\n", "config.toml": MINE.format(name=name)},
    )
    bot = choose.load(tmp_path / "config.toml").bots["one"]
    assert bot.library.name == "mine"
    assert bot.session_path == tmp_path / "keys"
    assert (bot.ready.kind, bot.ready.value) == ("alive", 7)


def test_what_the_config_says_is_not_changed(tmp_path: Path) -> None:
    """A preset fills in what is open."""
    text = '[bot.a]\ncommand = ["./bot"]\nready = { tcp = "localhost:80" }\nsession_path = "here"\n'
    write(tmp_path, {"requirements.txt": "telethon\n", "config.toml": text})
    bot = choose.load(tmp_path / "config.toml").bots["a"]
    assert bot.library.name == "telethon"
    assert (bot.ready.kind, bot.session_path) == ("tcp", tmp_path / "here")


def test_an_unknown_preset_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """All names are listed, a person's own too."""
    write(tmp_path, {"config.toml": MINE.format(name="bailey")})
    with pytest.raises(ConfigError) as caught:
        choose.load(tmp_path / "config.toml")
    (problem,) = caught.value.problems
    assert "bot.one.preset" in problem
    assert all(name in problem for name in (*ORDER, "auto", "mine", "bailey"))


def test_every_preset_has_its_place_and_its_line_in_the_docs() -> None:
    """A file in known/ that ORDER does not have would never be tried."""
    assert sorted(path.stem for path in KNOWN.glob("*.toml")) == sorted(ORDER)
    page = (ROOT / "docs" / "presets.md").read_text()
    assert all(f"| `{name}` |" in page for name in ORDER)
    assert all(preset.about for preset in known().values())


@pytest.mark.parametrize("name", ORDER)
def test_a_preset_says_what_it_was_read_in(name: str) -> None:
    """Its file begins with a comment, for who has to look again."""
    assert (KNOWN / f"{name}.toml").read_text().startswith("# ")


def test_a_session_that_is_a_link_to_elsewhere_is_followed(tmp_path: Path) -> None:
    """As with a volume: the link alone would be kept, and nothing of what it leads to."""
    folder, volume = tmp_path / "bot", tmp_path / "volume"
    folder.mkdir()
    volume.mkdir()
    (folder / "auth").symlink_to(volume)
    (bot,) = choose.default_config(folder, ["./bot"]).bots.values()
    assert (bot.session_path, bot.session_files) == (folder / "auth", ())
    (folder / "auth").unlink()
    (volume / "keys").write_text("x")
    (folder / "session.json").symlink_to(volume / "keys")
    (bot,) = choose.default_config(folder, ["./bot"]).bots.values()
    assert (bot.session_path, bot.session_files) == (volume, ("keys",))
    for target in (folder, tmp_path, "session.json", "nowhere"):  # no place of its own
        (folder / "session.json").unlink()
        (folder / "session.json").symlink_to(target)
        (bot,) = choose.default_config(folder, ["./bot"]).bots.values()
        assert bot.session_path == folder
        assert "session.json" in bot.session_files


def test_a_browsers_own_scripts_are_no_source(tmp_path: Path) -> None:
    """A profile in a folder called like a session is one, also once it has extensions in it."""
    profile = tmp_path / "tokens" / "me"
    extension = profile / "Default" / "Extensions" / "x" / "1.0"
    extension.mkdir(parents=True)
    (extension / "background.js").write_text("require('baileys')")
    (bot,) = choose.default_config(tmp_path, ["./bot"]).bots.values()
    assert "tokens" not in bot.session_files
    (profile / "Local State").write_text("{}")
    (bot,) = choose.default_config(tmp_path, ["./bot"]).bots.values()
    assert "tokens" in bot.session_files
    assert bot.library.name == "generic"


def test_source_that_a_bot_writes_into_its_session_changes_nothing(tmp_path: Path) -> None:
    """What was copied as its session stays that; a folder of source alone is none, copied or not.

    Else the bot would not come up at the next start: nothing of its session could be found.
    """
    for name in ("auth", "tokens"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text("x = 1")
    (tmp_path / "auth" / "session.json").write_text("{}")
    config = choose.default_config(tmp_path, ["./bot"])
    (bot,) = config.bots.values()
    assert not {"auth", "tokens"} & {*bot.session_files}
    manager = SessionManager(
        config.sessions,
        config.snapshots,
        config.state,
        paths={bot.name: tmp_path},
        parts={bot.name: ("auth", "tokens")},
    )
    manager.backup(bot.name)
    (bot,) = choose.default_config(tmp_path, ["./bot"]).bots.values()
    assert {"auth", "tokens"} & {*bot.session_files} == {"auth"}
