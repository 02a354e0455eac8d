"""What bots print, under a real supervisor: kept whole over restarts, and a flood drowns nobody."""

from collections.abc import Callable

import psutil
import pytest

from supervisor.service.logs.files import tail
from tests.system.harness import Folder, running

COUNTS = """
[logs]
folder = "logs"
rotate_mb = 1
keep_files = 50

[bot.counts]
command = ["python", "-u", "count.py"]
session = false
ready = { log = "begin" }
"""
COUNT = """
import pathlib, signal, sys, threading
place = pathlib.Path("number")
number = int(place.read_text()) if place.exists() else 0
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print("begin", flush=True)
while not stop.is_set():
    print("line", number, "x" * 900)
    number += 1
    place.write_text(str(number))
    stop.wait(0.0005)
"""
FLOODS = """
[logs]
folder = "logs"
rotate_mb = 1
keep_files = 2

[bot.floods]
command = ["python", "flood.py"]
session = false
ready = { log = "begin" }

[bot.calm]
command = ["/bin/sh", "-c", "echo calm; exec tail -f /dev/null"]
session = "calm"
ready = { log = "calm" }
"""
FLOOD = """
import os
os.write(1, b"begin\\n")
lines = b"".join(b"%06d %s\\n" % (n, b"x" * 93) for n in range(10_000))
while True:
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(1, rest):]
"""


CODES = """
[logs]
folder = "logs"

[bot.codes]
command = ["python", "-u", "codes.py"]
session = false
ready = { log = "waiting" }
"""
CODE = """
import io, segno, signal
out = io.StringIO()
segno.make(open("payload").read(), error="l").terminal(out, compact=True)
print("scan this:")
for row in out.getvalue().splitlines(): print(row)
for row in out.getvalue().splitlines(): print("INFO |", row)
print(open("payload").read())
print("waiting")
signal.pause()
"""


def test_a_code_that_a_bot_draws_is_kept_nowhere(new_folder: Callable[..., Folder]) -> None:
    """Bare and behind a logger's words: no file has a row of it, nor what it says."""
    folder = new_folder(CODES)
    folder.write("codes.py", CODE)
    payload = "2@" + "a8F7kQ2z/W0+" * 12
    folder.write("payload", payload)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="codes")
        shown = folder.stillhere("logs", "codes", "-n", "100").stdout
        assert supervisor.stop() == 0
        printed = supervisor.console
    kept = [line.split(" ", 2)[2] for line in tail(folder.root / "logs", "codes", 1000)]
    told = [line for line in kept if set(line) - set(" █▀INFO|")]  # the frame
    assert told == ["scan this:", "[QR code]", "[QR code]", "[QR code]", "waiting"]
    files = [path for path in folder.root.rglob("*") if path.is_file() and path.name != "payload"]
    said = [path.read_bytes() for path in files]
    for text in (shown.encode(), printed.encode(), *said):
        assert payload.encode() not in text
        assert "▄".encode() not in text


def test_no_line_is_lost_over_restarts_and_rotations(new_folder: Callable[..., Folder]) -> None:
    """In the files and as `logs` reads them, also when nothing runs any more."""
    folder = new_folder(COUNTS)
    folder.write("count.py", COUNT)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="counts")
        for _ in range(3):
            mark = supervisor.mark_now()
            folder.stillhere("stop", "counts")
            supervisor.wait("down", mark, bot="counts")
            folder.stillhere("start", "counts")
        assert supervisor.stop() == 0
    kept = [line.split(" ", 2)[2] for line in tail(folder.root / "logs", "counts", 1_000_000)]
    numbers = [int(text.split()[1]) for text in kept if text != "begin"]
    assert numbers == list(range(int((folder.root / "number").read_text())))
    shown = folder.stillhere("logs", "counts", "-n", "2").stdout.splitlines()
    assert shown == kept[-2:]


@pytest.mark.long
def test_a_flood_drowns_nobody(new_folder: Callable[..., Folder]) -> None:
    """Memory stays bounded, the other bot restarts as ever, and no line is torn."""
    folder = new_folder(FLOODS)
    folder.write("flood.py", FLOOD)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="calm")
        supervisor.wait("output_dropped", bot="floods")
        process = psutil.Process(supervisor.process.pid)
        early = process.memory_info().rss
        for _ in range(2):
            mark = supervisor.mark_now()
            supervisor.client.call("restart", bot="calm", wait=True)
            record = supervisor.restarted(mark, bot="calm")
            assert not record["late"]
            supervisor.wait("output_dropped", mark, bot="floods")
        assert process.memory_info().rss < early + (32 << 20)
        supervisor.stop()
    lines = tail(folder.root / "logs", "floods", 1_000_000)
    texts = [text for line in lines if "lines left out" not in (text := line.split(" ", 2)[2])]
    for text in texts[:-1]:  # it was ended in the middle of its last one
        assert text == "begin" or (len(text) == 100 and text.endswith("x" * 93)), text
