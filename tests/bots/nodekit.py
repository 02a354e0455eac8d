"""Folders of Node bots that nobody adapted, and what they need of this machine.

What is not Node itself is in build/bots, by `make build/bots/.ready` (tests/bots/package.json).
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.bots.chat import Chat

BOTS = Path(__file__).parent
MODULES = BOTS.parents[1] / "build" / "bots" / "node_modules"
NODE = shutil.which("node")
# People's bots have the whole browser: only that locks its profile.
BROWSERS = [*filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome")))]
SMALL = shutil.which("chromium-headless-shell") or next(iter(BROWSERS), None)
BROWSER = next(iter(BROWSERS), SMALL)
SESSION = {"baileys_bot": "auth_info_baileys", "browser_bot": ".wwebjs_auth/session-x"}
READY = {"baileys_bot": "opened connection to WA", "browser_bot": "Client is ready!"}

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed: nodejs would run this")
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium is installed: chromium would run this"
)


def needs_packages(*names: str) -> pytest.MarkDecorator:
    """Skip where these packages are not installed."""
    missing = [name for name in names if not (MODULES / name).is_dir()]
    return pytest.mark.skipif(
        bool(missing),
        reason=f"without {', '.join(missing)}: `make build/bots/.ready` would run this",
    )


def node_project(root: Path, *files: str) -> Path:
    """Make a folder of a Node program from files of this one, with the packages installed."""
    root.mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copy(BOTS / name, root / name)
    (root / "package.json").write_text('{ "name": "a-bot", "type": "module" }\n')
    if MODULES.is_dir():
        (root / "node_modules").symlink_to(MODULES)
    return root


def bot_project(root: Path, name: str, chat: Chat, *, driver: str = "playwright") -> Path:
    """Make the folder of `browser_bot` or `baileys_bot`: `node <name>.mjs` in it runs it."""
    node_project(root, f"{name}.mjs", "blocks.mjs")
    told = {"url": chat.url, "port": chat.port, "browser": BROWSER, "driver": driver}
    (root / "settings.json").write_text(json.dumps(told))
    return root


def bot_config(name: str, *, more: str = "") -> str:
    """Return the least that has to be said of one of them today."""
    return (
        f'[bot.one]\ncommand = ["node", "{name}.mjs"]\nsession = "x"\n'
        f'session_path = "{SESSION[name]}"\nready = {{ log = "{READY[name]}" }}\n{more}\n'
    )
