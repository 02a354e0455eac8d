"""A homeserver for all tests, and for each its own bot account, person and project folder."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.matrix.homeserver import PYTHON, Homeserver
from tests.system.harness import PHONE, Folder, end_all

CONFIG = """
[bot.echo]
command = ["python", "-m", "bot"]
session = "{session}"
watch = ["bot"]
env_file = ".env"

[bot.echo.env]
BOT_TRANSPORT = "matrix"
BOT_MATRIX_SERVER = "{url}"
BOT_MATRIX_USER = "{bot}"
BOT_MATRIX_OWNER = "{owner}"
"""
PASSWORD = "correct horse battery staple"  # noqa: S105 (of accounts that live for a test)
_numbers = itertools.count(1)


class MatrixFolder(Folder):
    """The folder of somebody whose bot is on Matrix."""

    def __init__(self, root: Path, cache: Path, server: Homeserver) -> None:
        n = next(_numbers)
        self.server = server
        self.bot = server.register(f"bot{n}", PASSWORD)
        self.owner = server.register(f"owner{n}", PASSWORD)
        values = {"session": PHONE, "url": server.url, "bot": self.bot, "owner": self.owner}
        super().__init__(root, cache, CONFIG.format(**values))
        self.write(".env", f"BOT_MATRIX_PASSWORD={PASSWORD}\n")
        self.with_shipped_bot()

    def devices(self) -> list[str]:
        """Return the bot account's devices, as the server knows them; one is made by asking."""
        path = "/_matrix/client/v3/login"
        who = {"type": "m.id.user", "user": self.bot}
        asked = {"type": "m.login.password", "identifier": who, "password": PASSWORD}
        token = self.server.call("POST", path, {**asked, "device_id": "LOOKER"})["access_token"]
        found = self.server.call("GET", "/_matrix/client/v3/devices", token=token)["devices"]
        return [d["device_id"] for d in found if d["device_id"] != "LOOKER"]


@pytest.fixture(scope="session")
def homeserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    """One homeserver, started once."""
    if not PYTHON.exists():
        pytest.skip("there is no Synapse in build/synapse/: `make test-matrix` installs it")
    server = Homeserver(tmp_path_factory.mktemp("homeserver"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def bytecode_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all folders: the libraries are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path: Path, bytecode_cache: Path, homeserver: Homeserver) -> Iterator[MatrixFolder]:
    """A folder whose bot has an account, and was never linked; nothing of it may be left."""
    made = MatrixFolder(tmp_path / "project", bytecode_cache, homeserver)
    yield made
    left = end_all(made)
    assert not left, f"left behind: {left}"
