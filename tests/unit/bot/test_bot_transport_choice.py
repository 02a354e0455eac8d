"""Which network the bot is on, and what it must be told for that. No library is needed here."""

import pytest

from bot.transports import SetupError, choose
from bot.transports.matrix_config import settings

TOLD = {
    "BOT_MATRIX_SERVER": "https://matrix.example.org/",
    "BOT_MATRIX_USER": "@bot:example.org",
    "BOT_MATRIX_OWNER": "@me:example.org",
    "BOT_MATRIX_PASSWORD": "hunter2",
}


def test_a_network_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With those that are."""
    monkeypatch.setenv("BOT_TRANSPORT", "smoke signals")
    with pytest.raises(SetupError, match=r"'smoke signals' is unknown: local"):
        choose.transport(None)  # type: ignore[arg-type] # it is not reached


def test_the_environment_is_read_and_its_secret_not_shown() -> None:
    """The address without its last slash; the password in no repr."""
    told = settings(TOLD)
    assert (told.server, told.user) == ("https://matrix.example.org", "@bot:example.org")
    assert told.password == "hunter2"  # noqa: S105 (made up)
    assert "hunter2" not in repr(told)


@pytest.mark.parametrize("name", ["BOT_MATRIX_SERVER", "BOT_MATRIX_USER", "BOT_MATRIX_OWNER"])
@pytest.mark.parametrize("value", ["", "bot", "ftp://example.org", "@:example.org", "@a b:c"])
def test_what_is_missing_or_wrong_is_named(name: str, value: str) -> None:
    """By the variable; what it says otherwise is not repeated."""
    with pytest.raises(SetupError, match=name):
        settings({**TOLD, name: value})
