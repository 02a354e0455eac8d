"""Bots that nobody adapted, without a config: one command, one link, the same device for good."""

import json
from collections.abc import Callable

import pytest

from tests.system.harness import Folder, Running, running
from tests.system.unmodifiedkit import BACK_S, EACH, SHELL, TELETHON, Bot, linked

JUST_NOW_S = 5.0
TWO_GOOD = 2  # so many always stay


def kept_over(supervisor: Running, bot: Bot, restarts: int) -> None:
    """Save so many times: each time the same device is back, and nobody is asked again."""
    (name,) = supervisor.client.call("status")["bots"]
    first = supervisor.status(name)["session"]
    for number in range(restarts):
        mark = supervisor.mark_now()
        comment = "#" if bot.source.endswith((".py", ".sh")) else "//"
        with (supervisor.folder.root / bot.source).open("a") as file:
            file.write(f"{comment} {number}\n")
        record = supervisor.restarted(mark, BACK_S, bot=name)
        assert (record["verified"], record["proof"], record["reason"]) == (
            True,
            bot.proof,
            "change",
        )
    counted = first["restore_count"] + restarts
    supervisor.until(
        lambda: supervisor.status(name)["session"]["restore_count"] == counted, "counted"
    )
    now = supervisor.status(name)["session"]
    assert (now["qr_count"], now["link_count"]) == (1, 1)
    assert now["identity"] == first["identity"]
    # A file that the bot itself tore as it ended is brought back from a moment before its stop.
    mended = supervisor.seen("session_restored")
    assert now["rollback_count"] == len(mended)
    assert bot.tears or not mended
    assert all(event["age_s"] < JUST_NOW_S for event in mended)
    assert len(supervisor.seen("pairing")) == 1


def counted(supervisor: Running) -> tuple[int, int]:
    """Return how many codes were shown, and how many links there were."""
    info = supervisor.status("project")["session"]
    return info["qr_count"], info["link_count"]


def snapshots(supervisor: Running) -> list[tuple[str, str]]:
    """Stop it, and return what is thought of each of its snapshots."""
    assert supervisor.stop() == 0
    found = supervisor.folder.json("session", "info")["snapshots"]
    return [(each["reason"], each["verdict"]) for each in found]


def test_what_others_write_ends_no_link(new_folder: Callable[..., Folder]) -> None:
    """A logout in a library's own words, while the bot is up: a restart tells that it is none.

    Said at a start, before anybody can write to the bot, it is believed.
    """
    folder = new_folder("")
    folder.command = ["sh", "bot.sh"]
    said = "SessionRevokedError: The authorization has been invalidated, because of the user"
    folder.write("main.py", "import telethon\n")
    folder.write(
        "bot.sh",
        "mkdir -p session; echo key > x.session; [ -e gone ] && cat words\n"
        "echo '(Press Ctrl+C to stop this)'; while [ ! -e say ]; do sleep 0.02; done\n"
        "rm say; cat words; sleep 60\n",
    )
    folder.write("words", f"{said} terminating all sessions\n")
    with running(folder) as supervisor:
        supervisor.wait("verified")
        mark = supervisor.mark_now()
        (folder.root / "say").touch()
        assert supervisor.wait("loss_doubted", mark)["restarts"] is True
        record = supervisor.restarted(mark, bot="project")
        assert record["verified"]
        assert not supervisor.seen("epoch_closed")
        mark = supervisor.mark_now()
        (folder.root / "say").touch()  # once more: no restart for each message
        assert supervisor.wait("loss_doubted", mark)["restarts"] is False
        (folder.root / "gone").touch()
        supervisor.client.call("restart", bot="project")
        supervisor.wait("epoch_closed", mark)


def test_a_code_that_is_printed_as_text_is_drawn_and_told_to_nobody_else(
    new_folder: Callable[..., Folder],
) -> None:
    """As in the first example of whatsapp-web.js: what `link` shows is in no log and no journal."""
    folder = new_folder("")
    folder.command = ["sh", "bot.sh"]
    code = "2@" + "AbC1" * 40 + ",xyz="
    folder.write(
        "bot.sh",
        'echo "QR RECEIVED $CODE"; while [ ! -e code ]; do sleep 0.02; done; mkdir session\n'
        "echo key > session/key; echo bot is ready; sleep 60\n",
    )
    with running(folder, CODE=code) as supervisor:
        supervisor.wait("pairing")
        shown = supervisor.client.stream("link", bot="project")
        assert next(item for item in shown if "qr" in item)["qr"] == code
        (folder.root / "code").touch()
        supervisor.wait("linked")
        supervisor.wait("verified")
        supervisor.until(lambda: counted(supervisor) == (1, 1), "counted")
        shown_to_all = supervisor.shows("QR RECEIVED [QR code]")
        told = json.dumps([supervisor.events, list(supervisor.client.stream("logs"))])
    assert code[:40] not in shown_to_all + told


def test_what_a_bot_writes_beside_its_source_restarts_nothing(
    new_folder: Callable[..., Folder],
) -> None:
    """Data, caches and logs change all the time; a save of its source is still seen."""
    folder = new_folder("")
    folder.command = ["sh", "bot.sh"]
    folder.write(
        "bot.sh",
        "n=0\nwhile :; do n=$((n+1)); echo $n > cache.txt; echo '{}' > data.json; mkdir -p m$n;"
        " echo $n > m$n/x; [ $n = 20 ] && echo bot is ready; sleep 0.01; done\n",
    )
    with running(folder) as supervisor:
        supervisor.wait("verified")
        assert not supervisor.seen("changed")
        mark = supervisor.mark_now()
        with (folder.root / "bot.sh").open("a") as file:
            file.write("# saved\n")
        assert supervisor.restarted(mark, BACK_S, bot="project")["changed"] == ["bot.sh"]


@pytest.mark.parametrize(
    "bot", [pytest.param(SHELL, id="shell"), pytest.param(TELETHON, id="telethon")]
)
def test_one_command_is_enough(new_folder: Callable[..., Folder], bot: Bot) -> None:
    """`stillhere dev -- COMMAND`: linked once, the same device after two saves, all copies good."""
    with linked(new_folder, bot) as supervisor:
        kept_over(supervisor, bot, 2)
        assert {verdict for _reason, verdict in snapshots(supervisor)} == {"good"}
        told = supervisor.seen("assumed")
        assert told
        assert "its session" in " ".join(told[0]["what"])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bot", EACH)
def test_twenty_restarts_of_a_bot_that_nobody_adapted(
    new_folder: Callable[..., Folder], bot: Bot
) -> None:
    """No code after the first, each start verified by the best proof, and every copy good."""
    with linked(new_folder, bot) as supervisor:
        kept_over(supervisor, bot, 20)
        judged = snapshots(supervisor)
        # What was copied in the middle of a write is known to be torn, and displaces nothing.
        good = [reason for reason, verdict in judged if verdict == "good"]
        assert len(good) == len(judged) or (bot.tears and len(good) >= TWO_GOOD), judged
