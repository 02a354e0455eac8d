"""Twenty-five saves in a row, and a message at every moment of every restart."""

import json
import os
from collections import Counter
from contextlib import closing
from itertools import pairwise

from bot.phone_client import PhoneClient
from bot.server_store import ServerStore
from tests.system.harness import Event, Folder, Running, link, running

SAVES = 25
COMMAND = "bot/commands/number.py"


def code(number: int) -> str:
    """Return the command's file. Every number makes a file of the same length."""
    return (
        '"""`!number`: which code this is."""\n\nfrom bot.commands import Context\n\n'
        'name = "number"\nhelp = "!number: which code this is"\n\n\n'
        "async def run(_ctx: Context, _args: str) -> str:\n"
        f'    """Answer."""\n    return "{number:04d}"\n'
    )


def save(folder: Folder, number: int) -> None:
    """Save the next code, in place and atomically by turns.

    Every third file gets the time of the one before it: the same second, the same size, other
    code. Two saves within one second leave just that, however slow the machine is.
    """
    path = folder.root / COMMAND
    before_ns = path.stat().st_mtime_ns
    (folder.replace if number % 2 else folder.write)(COMMAND, code(number))
    if number % 3 == 0:
        os.utime(path, ns=(before_ns, before_ns))


def talk_until_restarted(
    supervisor: Running, phone: PhoneClient, mark: int, asked: list[str]
) -> Event:
    """Send a message at every event of the restart; return its record."""
    while True:
        event = supervisor.wait_for(lambda _: True, mark, 20.0, "event")
        asked.append(phone.send("!number"))
        mark += 1
        if event["event"] == "restarted" and event["bot"] == "echo":
            record: Event = event["record"]
            return record


def spans(folder: Folder) -> list[tuple[float, float]]:
    """Return when each generation had the session, by the bot's own clock: first to last word."""
    lines = [json.loads(line) for line in (folder.root / "trace.jsonl").read_text().splitlines()]
    first = {line["pid"]: line["mono"] for line in lines if line["event"] == "activated"}
    last = {line["pid"]: line["mono"] for line in lines if line["event"] == "released"}
    assert first.keys() == last.keys()
    return sorted((first[pid], last[pid]) for pid in first)


def connections(folder: Folder) -> list[tuple[float, float]]:
    """Return when each was connected: from the bot's own first moment to the server's last."""
    since = {entry["conn"]: entry["since"] for entry in folder.server_log("connected")}
    until = {entry["conn"]: entry["mono"] for entry in folder.server_log("disconnected")}
    assert since.keys() == until.keys()
    return sorted((since[conn], until[conn]) for conn in since)


def test_25_saves_lose_no_message_and_never_the_device(folder: Folder) -> None:
    """25 restarts by save: new code each time, one device, each message answered exactly once."""
    folder.write(COMMAND, code(0))
    asked: list[str] = []
    stamps: list[tuple[int, int]] = []
    with (
        running(folder, STILLHERE_BOT_TRACE=str(folder.root / "trace.jsonl")) as supervisor,
        link(supervisor) as phone,
    ):
        before = supervisor.status()["session"]
        records: list[Event] = []
        for number in range(1, SAVES + 1):
            mark = supervisor.mark_now()
            save(folder, number)
            status = (folder.root / COMMAND).stat()
            stamps.append((status.st_mtime_ns // 1_000_000_000, status.st_size))
            records.append(talk_until_restarted(supervisor, phone, mark, asked))
            asked.append(phone.send("!number"))
            assert phone.wait_reply(asked[-1], 20.0).text == f"{number:04d}"  # the new code runs
        phone.settle(20.0)
        replies = list(phone.replies)
        verified = supervisor.seen("verified", bot="echo")
        pairings = supervisor.seen("pairing")
        assert supervisor.stop() == 0
    session = folder.info()
    with closing(ServerStore(folder.chat_data / "server.db")) as store:
        stats = store.stats()

    # Several saves had the size and the second of the one before.
    assert sum(one == other for one, other in pairwise(stamps)) >= SAVES // 3

    # One device, linked once.
    assert len(pairings) == 1
    assert (session["qr_count"], session["link_count"]) == (1, 1)
    assert {event["identity"] for event in verified} == {before["identity"]}
    assert session["identity"] == before["identity"]
    assert len(folder.server_log("device_linked")) == 1

    # Each restart is verified by a round trip, and the server's log confirms it.
    for record in records:
        assert (record["verified"], record["proof"], record["late"]) == (True, "roundtrip", False)
        assert (record["reason"], record["changed"]) == ("change", [COMMAND])
    probed = Counter(entry["generation"] for entry in folder.server_log("probe_answered"))
    assert all(probed[record["generation"]] for record in records)
    assert not folder.server_log("probe_failed")
    assert session["restore_count"] - before["restore_count"] == SAVES
    assert session["rollback_count"] == 0

    # Exactly once: as the phone counts, as the server counts, and by name.
    assert Counter(reply.re for reply in replies) == Counter(asked)
    assert (stats["messages"], stats["answered"]) == (len(asked), len(asked))
    assert (stats["answered_twice"], stats["undecryptable"], stats["queued"]) == (0, 0, 0)
    accepted = [entry["re"] for entry in folder.server_log("reply_accepted")]
    assert Counter(accepted) == Counter(asked)
    # No message was ever answered by older code than the one before it.
    texts = {reply.re: reply.text for reply in replies}
    assert [texts[re] for re in accepted] == sorted(texts.values())

    # Never two at once.
    assert len(supervisor.seen("restarted", bot="echo")) == SAVES + 1
    assert not folder.server_log("conflict")
    for found in (spans(folder), connections(folder)):
        assert len(found) >= SAVES + 1
        assert [(one, other) for one, other in pairwise(found) if other[0] < one[1]] == []
