"""A kill at the worst places between a message and the note that it needs not to come again."""

import pytest

pytest.importorskip("nio", reason="matrix-nio is not installed: `make test-matrix` does it")

from tests.matrix.conftest import MatrixFolder
from tests.matrix.marks import owner_of
from tests.system.harness import running

pytestmark = pytest.mark.matrix
INBOX = "bot/transports/matrix_inbox.py"
# The line of the bot before which it is killed, once.
PLACES = {
    "its key is here, it was not answered": "answer = self._store.answer_to(event.event_id)",
    "its answer is written, and not sent": 'reply_id = derived_id("reply", event.event_id)',
    "its answer is sent, and that is not noted": "self.heard |= event.session_id in",
}
KILL = """

def _killed_once() -> None:
    import os
    import pathlib
    if not pathlib.Path("killed").exists():
        pathlib.Path("killed").touch()
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("line", PLACES.values(), ids=PLACES)
def test_a_bot_that_is_killed_there_answers_once(folder: MatrixFolder, line: str) -> None:
    """The room's key came in the same sync as the message: it is not lost; nothing is doubled."""
    source = (folder.root / INBOX).read_text()
    assert source.count(line) == 1
    folder.write(INBOX, source.replace(line, f"_killed_once(); {line}") + KILL)
    with running(folder) as supervisor, owner_of(folder) as person:
        supervisor.wait("snapshot_taken", bot="echo")
        person.invite(folder.bot)
        mark = supervisor.mark_now()
        asked = person.send("!note once")
        record = supervisor.restarted(mark)
        assert (folder.root / "killed").exists()
        assert (record["reason"], record["proof"]) == ("crash", "roundtrip")
        assert person.reply(asked) == "Noted (1)."
        assert person.ask("!note") == "1. once"
        assert person.replies[asked] == ["Noted (1)."]
        assert folder.server.written_by(folder.bot, person.room, person.token) == 2
        assert not supervisor.seen("undecryptable")
        assert person.unread == 0
