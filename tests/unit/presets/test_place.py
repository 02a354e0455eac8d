"""Where a session lies: by what the bot's own source says, else where its library puts it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.config import BotConfig
from supervisor.presets.choose import default_config
from supervisor.presets.expression import Source


def bot_of(folder: Path, name: str, text: str) -> BotConfig:
    """Write one source file and return what is settled of its bot."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (bot,) = default_config(folder, ["node", name]).bots.values()
    return bot


WWEBJS = "const { Client, LocalAuth } = require('whatsapp-web.js');\n"
BAILEYS = "import makeWASocket, { useMultiFileAuthState } from '@whiskeysockets/baileys'\n"
PLAYWRIGHT = "from playwright.sync_api import sync_playwright\n"


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        (
            "index.js",
            WWEBJS + "new Client({ authStrategy: new LocalAuth() })",
            ".wwebjs_auth/session",
        ),
        ("index.js", WWEBJS + "new LocalAuth({ clientId: 'one' })", ".wwebjs_auth/session-one"),
        (
            "index.js",
            WWEBJS + 'new LocalAuth({\n  clientId: "one",\n})',
            ".wwebjs_auth/session-one",
        ),
        (
            "index.js",
            WWEBJS + "new LocalAuth({ clientId: `one`, dataPath: './data' })",
            "data/session-one",
        ),
        (
            "index.js",
            WWEBJS + "new LocalAuth({ dataPath: 'data', clientId: 'one' })",
            "data/session-one",
        ),
        ("index.js", WWEBJS + "new LocalAuth({\n  dataPath: '.data/'\n})", ".data/session"),
        (
            "src/index.js",
            WWEBJS + 'new LocalAuth({ dataPath: path.join(__dirname, "../.auth"), })',
            ".auth/session",
        ),
        (
            "index.js",
            WWEBJS + "const NAME = process.env.NAME || 'two';\nnew LocalAuth({ clientId: NAME })",
            ".wwebjs_auth/session-two",
        ),
        # A template with a variable is not understood: the usual place.
        ("index.js", WWEBJS + "new LocalAuth({ clientId: `bd_${id}` })", ".wwebjs_auth/session"),
        (
            "index.js",
            BAILEYS + "await useMultiFileAuthState('auth_info_baileys')",
            "auth_info_baileys",
        ),
        ("index.ts", BAILEYS + 'await useMultiFileAuthState(\n  "./auth",\n)', "auth"),
        ("index.js", BAILEYS + "useMultiFileAuthState(`auth-of-me`)", "auth-of-me"),
        ("src/a.js", BAILEYS + "useMultiFileAuthState(path.join(__dirname, 'auth'))", "src/auth"),
        ("src/a.js", BAILEYS + "useMultiFileAuthState(`${__dirname}/auth`)", "src/auth"),
        ("src/a.js", BAILEYS + "useMultiFileAuthState(__dirname + '/../auth')", "auth"),
        (
            "a.ts",
            BAILEYS + "useMultiFileAuthState(resolve(process.cwd(), 'data', 'wa'))",
            "data/wa",
        ),
        ("a.ts", BAILEYS + "const dir: string = './keys'\nuseMultiFileAuthState(dir)", "keys"),
        (
            "a.js",
            BAILEYS
            + "const dir = './keys'\n// useMultiFileAuthState('old')\nuseMultiFileAuthState(dir)",
            "keys",
        ),
        ("a.js", BAILEYS + "useMultiFileAuthState('./sessions/' + name)", "auth_info_baileys"),
        ("a.js", BAILEYS + "useMultiFileAuthState('.')", "auth_info_baileys"),
        ("a.js", BAILEYS + "useMultiFileAuthState('..')", "auth_info_baileys"),
        ("a.js", BAILEYS + "useMultiFileAuthState(process.env.AUTH ?? 'keys')", "keys"),
        (
            "b.py",
            PLAYWRIGHT + "p.chromium.launch_persistent_context('profile', headless=True)",
            "profile",
        ),
        (
            "b.py",
            PLAYWRIGHT + "launch_persistent_context(\n    user_data_dir='profile',\n)",
            "profile",
        ),
        (
            "b.py",
            PLAYWRIGHT + "launch_persistent_context(headless=True, user_data_dir='profile')",
            "profile",
        ),
        (
            "src/b.py",
            PLAYWRIGHT
            + "DIR = Path(__file__).parent / 'profile'\nlaunch_persistent_context(str(DIR))",
            "src/profile",
        ),
        (
            "src/b.py",
            PLAYWRIGHT
            + "UP = Path(__file__).resolve().parent.parent\nlaunch_persistent_context(UP / 'p')",
            "p",
        ),
        ("b.js", "require('puppeteer').launch({ userDataDir: './me' })", "me"),
        ("b.js", "chromium.launchPersistentContext('./me', {})", "me"),
        ("b.js", "puppeteer.launch({ args: ['--no-sandbox', '--user-data-dir=./me'] })", "me"),
    ],
)
def test_a_folder_is_where_the_source_says(
    tmp_path: Path, name: str, text: str, where: str
) -> None:
    """In all the ways in which people write a path; what is not understood is not guessed at."""
    assert bot_of(tmp_path, name, text).session_path == tmp_path / where


TELETHON = "from telethon import TelegramClient\n"
NEONIZE = "from neonize.client import NewClient\n"


@pytest.mark.parametrize(
    ("text", "where", "files"),
    [
        (TELETHON + "TelegramClient('anon', api_id, api_hash)", ".", ("anon.session",)),
        (TELETHON + 'TelegramClient(\n    "anon",\n    API_ID)', ".", ("anon.session",)),
        (TELETHON + "TelegramClient(session='anon.session')", ".", ("anon.session",)),
        (TELETHON + "TelegramClient('data/anon', 1, 'x')", "data", ("anon.session",)),
        (
            TELETHON + "SESSION = os.environ.get('TG_SESSION', 'gui')\nTelegramClient(SESSION, 1)",
            ".",
            ("gui.session",),
        ),
        (TELETHON + "TelegramClient(os.path.join('d', 'anon'), 1)", "d", ("anon.session",)),
        (TELETHON + "TelegramClient(Path(__file__).parent / 'anon', 1)", ".", ("anon.session",)),
        (TELETHON + "TelegramClient(StringSession(text), 1)", ".", ("*.session",)),
        (TELETHON + "TelegramClient(f'{name}', 1)", ".", ("*.session",)),
        (NEONIZE + 'NewClient("db.sqlite3")', ".", ("db.sqlite3",)),
        (NEONIZE + 'NewAClient(name="my.db")', ".", ("my.db",)),
        (NEONIZE + 'NewClient("bot", database="./d/neonize.db")', "d", ("neonize.db",)),
        (NEONIZE + 'ClientFactory("multi.db")', ".", ("multi.db",)),
        (NEONIZE + 'NewClient(":memory:")', ".", ("db.sqlite3",)),
        (
            "from nio import AsyncClient\nSTORE = './keys/'\nAsyncClient(h, u, store_path=STORE)",
            ".",
            ("keys", "credentials.json", "nio_store"),
        ),
        (
            "from nio import AsyncClient\nCONFIG_FILE = 'login.json'\nstore_path='/var/keys'",
            ".",
            ("login.json", "credentials.json", "nio_store"),
        ),
        ("import nio\nAsyncClient(store_path='.')", ".", ("credentials.json", "nio_store")),
    ],
)
def test_files_are_where_the_source_says(
    tmp_path: Path, text: str, where: str, files: tuple[str, ...]
) -> None:
    """One file, or several parts, among others; never the working folder itself."""
    bot = bot_of(tmp_path, "bot.py", text)
    assert (bot.session_path, bot.session_files) == (tmp_path / where, files)


def test_of_several_places_the_one_that_is_there_is_taken(tmp_path: Path) -> None:
    """An example in the same folder names another."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "example.js").write_text(BAILEYS + "useMultiFileAuthState('theirs')")
    assert bot_of(tmp_path, "index.js", BAILEYS + "useMultiFileAuthState('mine')").session_path == (
        tmp_path / "mine"
    )


def test_a_name_may_be_given_in_another_file(tmp_path: Path) -> None:
    """`config.js` has it, and its paths are its own."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "config.js").write_text(
        "export const AUTH = path.join(__dirname, 'auth')\n"
    )
    bot = bot_of(tmp_path, "index.js", BAILEYS + "useMultiFileAuthState(config.AUTH)")
    assert bot.session_path == tmp_path / "lib" / "auth"


def test_a_profile_that_is_there_is_found(tmp_path: Path) -> None:
    """A client's id that the source does not tell has left its folder behind."""
    (tmp_path / ".wwebjs_auth" / "session-7").mkdir(parents=True)
    bot = bot_of(tmp_path, "index.js", WWEBJS + "new LocalAuth({ clientId: id() })")
    assert bot.session_path == tmp_path / ".wwebjs_auth" / "session-7"


PIECES = [
    "path.join(",
    "Path(",
    ")",
    ",",
    "'a'",
    '"b"',
    "`c`",
    "`${x}`",
    "__dirname",
    " / ",
    " + ",
    " || ",
    "x",
    "y = x",
    "\nx = y",
    "\ny = ",
    ".parent",
    ".resolve()",
    "(",
    "process.env.A",
    "\n",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_source_keeps_it_busy_or_breaks_it(text: str) -> None:
    """A name that stands for itself, a bracket that is never closed: there is no value."""
    value = Source(text, "src").value(0)
    assert value is None or isinstance(value, str)


def test_what_stands_for_itself_has_no_value() -> None:
    """Nor what stands for itself by way of a hundred others, or a thousand brackets."""
    text = "x = y\ny = x\n" + "\n".join(f"a{n} = a{n + 1}" for n in range(100))
    assert Source("x\n" + text).value(0) is None
    assert Source("a0\n" + text).value(0) is None
    assert Source("join(" * 1000).value(0) is None
