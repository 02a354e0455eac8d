"""The bot on WhatsApp under a real supervisor, as far as it goes without WhatsApp."""

from collections.abc import Callable

import pytest

from tests.system.harness import PHONE, Folder, running
from tests.whatsapp import add_device, database, dead_proxy, needs_neonize

CONFIG = """
[bot.echo]
command = ["python", "-m", "bot"]
session = "{phone}"
watch = ["bot"]
env = {{ BOT_TRANSPORT = "whatsapp", BOT_WHATSAPP_PROXY = "{proxy}" }}
"""


@needs_neonize
@pytest.mark.long
def test_a_bot_that_is_offline_restarts_on_a_save_and_is_never_restored(
    new_folder: Callable[..., Folder],
) -> None:
    """The network is to blame, not the session: it stays as it is, over the restart too."""
    config = CONFIG.format(phone=PHONE, proxy=dead_proxy())
    folder = new_folder(config).with_shipped_bot()
    folder.session.mkdir(mode=0o700, parents=True)
    add_device(database(folder.session / "whatsapp.db"))
    with running(folder) as it:
        it.wait("session_state", state="offline")
        first = it.status()
        assert first["session"]["state"] == "offline"
        after = it.mark_now()
        source = folder.root / "bot" / "commands" / "ping.py"
        folder.replace("bot/commands/ping.py", source.read_text() + "# saved\n")
        it.wait("session_state", after, state="offline")
        second = it.status()
        assert second["generation"] > first["generation"]
        assert second["pid"] != first["pid"]
        told = {event["event"] for event in it.events}
        assert not told & {"restored", "restoring", "pairing", "session_refused", "conflict"}
        marker = (folder.session / "linked.json").read_bytes()
    assert (folder.session / "linked.json").read_bytes() == marker
    info = folder.info()
    assert (info["rollback_count"], info["qr_count"]) == (0, 0)
