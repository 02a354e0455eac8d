"""What the shipped bot promises its user, on real processes: server, phone, bots, kills."""

import json
import random
import shutil
import threading
from pathlib import Path

import pytest

from bot.phone import PhoneClient, PhoneError, ask_admin
from tests.unit.bot.botkit import PATIENCE_S, ROOT, World, world
from tests.unit.bot.proxy import CuttingProxy


def assert_answered_once(here: World, phone: PhoneClient, sent: list[str]) -> None:
    """Check, by the phone's count and by the server's, that each was answered exactly once."""
    for message_id in sent:
        phone.wait_reply(message_id, PATIENCE_S)
    assert [len(phone.answers(message_id)) for message_id in sent] == [1] * len(sent)
    stats = here.stats()
    assert (stats["answered"], stats["answered_twice"]) == (stats["messages"], 0)
    assert stats["undecryptable"] == 0


def test_a_device_is_linked_once(here: World) -> None:
    """One code links; later starts of the same session are the same device, and show no code."""
    phone, bot = here.linked()
    identity = bot.ear.heard[-1]["X_STILLHERE_IDENTITY"]
    for generation in (2, 3):
        assert bot.stop() == 0
        bot = here.bot(generation=generation)
        ready = bot.ready()
        assert ready["X_STILLHERE_IDENTITY"] == identity
        assert not any("X_STILLHERE_QR" in fields for fields in bot.ear.heard)
    assert len(phone.devices()) == 1
    assert len(here.log("device_linked")) == 1
    answered = here.log("probe_answered")
    assert [line["generation"] for line in answered] == [1, 2, 3]
    assert {line["identity"] for line in answered} == {identity}


def test_a_code_is_good_for_one_link_and_rotates() -> None:
    """A code is replaced when its time is over; the last two work, an older or a used one not."""
    with world() as here:
        here.server(STILLHERE_CHAT_REF_TTL_S="0.15")
        bot = here.bot()
        codes = [bot.ear.until("X_STILLHERE_QR")["X_STILLHERE_QR"] for _ in range(3)]
        phone = here.phone()
        with pytest.raises(PhoneError, match="not valid any more"):
            phone.scan(codes[0], 5)
        phone.scan(bot.ear.until("X_STILLHERE_QR")["X_STILLHERE_QR"], 5)
        bot.ready()
        with pytest.raises(PhoneError, match="not valid any more"):
            phone.scan(codes[-1], 5)
        assert len(set(codes)) == 3


def test_a_phone_that_did_not_see_the_code_can_not_link(here: World) -> None:
    """The server knows the reference but not the secret: with a wrong secret the bot refuses."""
    bot = here.bot()
    code = bot.ear.until("X_STILLHERE_QR")["X_STILLHERE_QR"]
    phone = here.phone()
    with pytest.raises(PhoneError, match="did not accept"):
        phone.scan(code.rpartition(",")[0] + ",guessed", 5)
    assert phone.devices() == []
    assert not (here.session / "creds.json").exists()


def test_commands_are_answered(here: World) -> None:
    """The shipped commands work, and anything else gets one short hint."""
    phone, bot = here.linked()
    asked = ["!ping", "!help", "!note buy milk", "!note", "!note clear", "!note", "hello", "!nope"]
    answers = [phone.wait_reply(phone.send(text)).text for text in asked]
    assert answers[0] == "pong"
    assert all(f"!{name}" in answers[1] for name in ("help", "note", "ping", "remind", "status"))
    assert answers[2:] == [
        "Noted (1).",
        "1. buy milk",
        "Notes cleared.",
        "No notes.",
        "Try !help",
        "Try !help",
    ]
    assert bot.stop() == 0
    here.bot(generation=7).ready()
    status = phone.wait_reply(phone.send("!status")).text
    assert "generation 7, 1 restart survived" in status


def test_a_new_command_is_one_file(here: World) -> None:
    """A file with name, help and run, dropped into bot/commands, is a command."""
    package = here.folder / "bot"
    shutil.copytree(ROOT / "bot", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "commands" / "shout.py").write_text(
        'name = "shout"\nhelp = "!shout TEXT"\n\n\n'
        "async def run(ctx, args):\n    return args.upper()\n"
    )
    bot = here.bot(PYTHONPATH=str(here.folder))
    phone = here.phone()
    phone.scan(bot.ear.until("X_STILLHERE_QR")["X_STILLHERE_QR"], 5)
    assert phone.wait_reply(phone.send("!shout hey")).text == "HEY"


def test_messages_wait_for_an_offline_bot(here: World) -> None:
    """What is sent while the bot is away is answered after its start, once, in order."""
    phone, bot = here.linked()
    assert bot.stop() == 0
    sent = [phone.send(f"!note number {n}") for n in range(10)]
    assert {phone.state(message_id) for message_id in sent} == {"queued"}
    here.bot(generation=2)
    assert_answered_once(here, phone, sent)
    assert [phone.answers(message_id)[0].text for message_id in sent] == [
        f"Noted ({n})." for n in range(1, 11)
    ]


def test_kills_lose_nothing_and_double_nothing(here: World) -> None:
    """Killed again and again in a stream of messages: one answer each, and never deaf."""
    phone, bot = here.linked()
    bot.kill()
    sent: list[str] = []
    over = threading.Event()

    def stream() -> None:
        sender = here.phone()
        while not over.is_set():
            sent.append(sender.send(f"!note {len(sent)}"))
            if len(sent) > 8:  # never more than that on the way: kills hit work, not a long queue
                sender.wait_reply(sent[-8], PATIENCE_S)

    talking = threading.Thread(target=stream)
    talking.start()
    seed = random.randrange(1 << 32)  # noqa: S311 (a test's moments)
    dice = random.Random(seed)  # noqa: S311 (a test's moments)
    try:
        for generation in range(2, 12):
            bot = here.bot(generation=generation)
            assert bot.ready().get("X_STILLHERE_PROOF") == "roundtrip", f"deaf, seed {seed}"
            phone.wait_more(len(phone.replies) + 1, PATIENCE_S)  # it works: now at any moment
            timer = threading.Timer(dice.uniform(0, 0.03), bot.popen.kill)
            timer.start()
            assert bot.popen.wait(PATIENCE_S) == -9
            timer.join()
    finally:
        here.bot(generation=12)
        over.set()
        talking.join(PATIENCE_S)
    assert len(sent) >= 20
    assert_answered_once(here, phone, sent)
    assert here.log("conflict") == []


@pytest.mark.parametrize("moment", ["before reply", "before ack", "after ack"])
def test_a_kill_at_the_worst_moment(here: World, moment: str) -> None:
    """Killed between its disk, its answer and its acknowledgement, the bot answers once."""
    phone, bot = here.linked()
    assert bot.stop() == 0
    when, op = moment.split()
    with CuttingProxy(here, op, after=when == "after") as proxy:
        bot = here.bot(generation=2, STILLHERE_CHAT_DATA=str(proxy.data))
        proxy.victim = bot.popen
        bot.ready()
        sent = [phone.send("!note only once")]
        assert bot.popen.wait(PATIENCE_S) == -9
    bot = here.bot(generation=3)
    assert bot.ready()["X_STILLHERE_PROOF"] == "roundtrip"
    sent.append(phone.send("!note"))
    assert_answered_once(here, phone, sent)
    assert phone.answers(sent[1])[0].text == "1. only once"


def test_an_old_copy_is_deaf_and_says_so(here: World) -> None:
    """A copy that missed one message logs in, proves nothing, opens nothing, publishes nothing."""
    phone, bot = here.linked()
    phone.wait_reply(phone.send("!ping"))
    assert bot.stop() == 0
    old = here.copy_session("old")
    bot = here.bot(generation=2)
    phone.wait_reply(phone.send("!note the one it misses"))
    assert bot.stop() == 0
    device = phone.devices()[0]["id"]
    key_before = here.stats()["devices"][device]["key_id"]

    deaf = here.bot(old, generation=3)
    ready = deaf.ready()
    assert ready["X_STILLHERE_SESSION"] == "restored"
    assert ready["X_STILLHERE_UNDECRYPTABLE"] == "1"
    assert "X_STILLHERE_PROOF" not in ready
    assert here.log("probe_failed")[-1]["generation"] == 3
    unread = phone.send("!note")
    assert deaf.ear.until("X_STILLHERE_UNDECRYPTABLE")["X_STILLHERE_UNDECRYPTABLE"] == "2"
    with pytest.raises(PhoneError, match="could not decrypt"):
        phone.wait_reply(unread)
    assert phone.state(unread) == "undecryptable"
    assert deaf.stop() == 0
    assert here.stats()["devices"][device]["key_id"] == key_before

    # The newest session, back again, is given what the copy could not open.
    newest = here.bot(generation=4)
    assert newest.ready()["X_STILLHERE_PROOF"] == "roundtrip"
    phone.undecryptable.clear()
    assert phone.wait_reply(unread).text == "1. the one it misses"
    assert newest.stop() == 0
    assert phone.state(unread) == "delivered"


def test_two_copies_are_a_conflict(here: World) -> None:
    """The same device twice: the older one is told 440, does not fight, and it is counted."""
    phone, first = here.linked()
    second = here.bot(here.copy_session("copy"), generation=2)
    told = first.ear.until("X_STILLHERE_SESSION", "conflict")
    assert told["X_STILLHERE_REASON"] == "440 replaced"
    second.ready()
    conflict = here.log("conflict")[0]
    assert (conflict["generation"], conflict["replaced"]["generation"]) == (2, 1)
    assert (conflict["pid"], conflict["replaced"]["pid"]) == (second.pid, first.pid)
    assert phone.wait_reply(phone.send("!status")).text.startswith("up 0 s, generation 2")
    assert first.stop() == 0
    assert here.stats()["devices"][phone.devices()[0]["id"]]["connects"] == 2


def test_a_killed_bot_s_successor_is_no_conflict(here: World) -> None:
    """A connection whose process is dead is no second copy, however early the next one comes."""
    _, bot = here.linked()
    for generation in range(2, 8):
        bot.kill()
        bot = here.bot(generation=generation)
        bot.ready()
    assert here.log("conflict") == []
    spans = [line["event"] for line in here.log() if line["event"] in ("connected", "disconnected")]
    assert spans == ["connected", "disconnected"] * 6 + ["connected"]


def test_a_removed_device_is_told_at_once(here: World) -> None:
    """Removed on the phone while online: 401, and the bot waits, its session untouched."""
    phone, bot = here.linked()
    creds = (here.session / "creds.json").read_bytes()
    phone.remove()
    lost = bot.ear.until("X_STILLHERE_SESSION", "lost")
    assert lost["X_STILLHERE_REASON"] == "401 device removed"
    assert bot.popen.poll() is None
    assert bot.stop() == 0
    assert (here.session / "creds.json").read_bytes() == creds
    assert phone.devices() == []
    with pytest.raises(PhoneError, match="no bot is linked"):
        phone.send("!ping")


def test_a_device_removed_while_offline_is_told_at_login(here: World) -> None:
    """Removed while the bot was away: 401 at its next start; never ready, never a code."""
    phone, bot = here.linked()
    assert bot.stop() == 0
    phone.remove()
    bot = here.bot(generation=2)
    assert (
        bot.ear.until("X_STILLHERE_SESSION", "lost")["X_STILLHERE_REASON"] == "401 device removed"
    )
    assert bot.stop() == 0
    bot.ear.rest()
    assert not any("READY" in fields or "X_STILLHERE_QR" in fields for fields in bot.ear.heard)
    assert here.log("login_refused")[-1]["reason"] == "device removed"


def test_a_stranger_with_another_key_is_not_the_device(here: World) -> None:
    """Creds with a wrong identity key: 403, said as lost, with no 401 that would mean a logout."""
    _, bot = here.linked()
    assert bot.stop() == 0
    with world() as elsewhere:
        elsewhere.server()
        _, other = elsewhere.linked()
        assert other.stop() == 0
        stranger = here.bot(Path(elsewhere.session), generation=2)
        lost = stranger.ear.until("X_STILLHERE_SESSION", "lost")
    assert lost["X_STILLHERE_REASON"] == "403 wrong key"


def test_a_reminder_fires_once_over_restarts(here: World) -> None:
    """A reminder set before a stop and due meanwhile fires after the start; and only once."""
    phone, bot = here.linked()
    assert "1 s" in phone.wait_reply(phone.send("!remind 1s tea is ready")).text
    bot.kill()
    copy = here.copy_session("before")
    bot = here.bot(generation=2)
    assert phone.wait_reply("").text == "Reminder: tea is ready"
    bot.stop()
    # Even from a copy in which it did not fire yet: the server drops the second one.
    here.bot(copy, generation=3).ready()
    while phone.wait_reply(phone.send("!remind")).text != "No reminders.":
        assert here.stats()["messages"] < 100
    assert len(phone.unasked()) == 1
    assert [line["generation"] for line in here.log("reply_duplicate") if not line["re"]] == [3]


def test_the_server_s_restart_keeps_the_queues() -> None:
    """Killed and started again, the server has the queue, the port, and the bot back by itself."""
    with world() as here:
        server = here.server()
        phone, bot = here.linked()
        bot.stop()
        sent = [phone.send(f"!note {n}") for n in range(5)]
        server.kill()
        bot = here.bot(generation=2)
        offline = bot.ear.until("X_STILLHERE_SESSION", "offline")
        assert "no chat server" in offline["X_STILLHERE_REASON"]
        address = (here.data / "address").read_text()
        server = here.server()
        assert (here.data / "address").read_text() == address
        assert bot.ready()["X_STILLHERE_PROOF"] == "roundtrip"
        server.kill()
        bot.ear.until("X_STILLHERE_SESSION", "offline")
        here.server()
        assert bot.ready()["X_STILLHERE_SESSION"] == "restored"
        sent.append(phone.send("!ping"))
        assert_answered_once(here, phone, sent)


def test_a_silent_server_is_waited_for(here: World) -> None:
    """A server that accepts and says nothing: connecting, not offline, not lost."""
    phone, bot = here.linked()
    assert bot.stop() == 0
    ask_admin(here.data, "mute", on=True)
    bot = here.bot(generation=2)
    bot.ear.until("X_STILLHERE_SESSION", "connecting")
    ask_admin(here.data, "mute", on=False)
    assert bot.ready()["X_STILLHERE_PROOF"] == "roundtrip"
    assert [f["X_STILLHERE_SESSION"] for f in bot.ear.heard if "X_STILLHERE_SESSION" in f] == [
        "connecting",
        "restored",
    ]
    assert phone.wait_reply(phone.send("!ping")).text == "pong"


def test_one_server_per_folder(here: World) -> None:
    """A second server for the same folder is refused and breaks nothing."""
    second = here.start("bot.server")
    assert second.popen.wait(PATIENCE_S) == 1
    assert "in use" in second.output()
    here.phone()


def test_the_bot_s_own_trace_shows_one_at_a_time(here: World) -> None:
    """The bot writes its own timestamps: each generation's time online, with no overlap."""
    _, bot = here.linked()
    bot.stop()
    here.bot(generation=2).ready()
    lines = [json.loads(line) for line in here.trace.read_text().splitlines()]
    assert [(line["generation"], line["event"]) for line in lines] == [
        *[(1, event) for event in ("standby", "activated", "online", "closing", "released")],
        *[(2, event) for event in ("standby", "activated", "online")],
    ]
    assert [line["mono"] for line in lines] == sorted(line["mono"] for line in lines)
