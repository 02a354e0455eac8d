"""What the tests of the Matrix bot share: its owner, its first login, its key on the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.matrix.conftest import PASSWORD, MatrixFolder
from tests.matrix.person import Person
from tests.system.harness import Running, running


def owner_of(folder: MatrixFolder) -> Person:
    """Return the bot's owner, not yet at a device."""
    return Person(folder.server.url, folder.owner, PASSWORD, folder.root.parent / "person")


@contextmanager
def talking(folder: MatrixFolder) -> Iterator[tuple[Running, Person]]:
    """A bot that logged in, in a room with its owner, and answered once."""
    with running(folder) as supervisor, owner_of(folder) as person:
        supervisor.wait("snapshot_taken", bot="echo")
        person.invite(folder.bot)
        assert person.ask("!ping") == "pong"
        yield supervisor, person


def published(folder: MatrixFolder, person: Person) -> dict[str, Any]:
    """Return the keys that the server has of the bot's devices."""
    asked: dict[str, dict[str, list[str]]] = {"device_keys": {folder.bot: []}}
    answer = folder.server.call("POST", "/_matrix/client/v3/keys/query", asked, person.token)
    keys: dict[str, Any] = answer["device_keys"].get(folder.bot, {})
    return {device: sorted(one["keys"].items()) for device, one in keys.items()}


def answered_once(folder: MatrixFolder, person: Person, asked: list[str]) -> None:
    """Each message has one answer, for the person and for the server; with the first of all."""
    for one in asked:
        person.reply(one)
    assert {len(person.replies[one]) for one in asked} == {1}
    written = folder.server.written_by(folder.bot, person.room, person.token)
    assert written == len(asked) + 1
    assert person.unread == 0
