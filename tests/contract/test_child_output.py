"""What a real child prints: every line is heard, none blocks the loop, no secret is kept."""

import asyncio
import os

import pytest

from supervisor.core import events as ev
from supervisor.process import output
from supervisor.process.output import LineReader
from tests.contract.childkit import PATIENCE_S, watched

pytestmark = pytest.mark.usefixtures("adopting")


# What it prints.
def test_lines_of_any_length() -> None:
    """Lines are whole up to 4 MiB; a longer one is cut, and says so. One may have no end."""

    async def run() -> None:
        script = (
            "out = sys.stdout.buffer\n"
            "out.write(b'short\\r\\n\\n' + b'y' * 3_000_000 + b'\\nnext\\n')\n"
            "out.write(b'z' * 5_000_000 + b'\\nthen\\nno end')\n"
            "out.flush()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.TreeGone)
            lines = [line for _, line in bot.lines]
            assert lines[:2] == [b"short", b""]
            assert lines[2] == b"y" * 3_000_000
            assert lines[3] == b"next"
            assert lines[4] == b"z" * output.LINE_MAX_BYTES + output.CUT
            assert lines[5:] == [b"then", b"no end"]

    asyncio.run(run())


def test_a_drawn_code_is_in_no_tail() -> None:
    """A generation's last words get into the journal when it fails: no QR code is among them."""

    async def run() -> None:
        script = "for line in ('scan', '█▀▄ █▀▄█' * 5, 'failed'): print(line)"
        async with watched(script, env={"PYTHONIOENCODING": "utf-8"}) as bot:
            await bot.heard(ev.TreeGone)
            assert list(bot.child.heard.tail) == ["scan", "failed"]

    asyncio.run(run())


def test_a_flood_is_sampled_and_counted_and_no_line_of_it_torn() -> None:
    """Every line that comes is one that was written; what is left out is told to the last line."""

    async def run() -> None:
        script = (
            "import io\n"
            "out = io.BufferedWriter(io.FileIO(1, 'w', closefd=False), 1 << 20)\n"
            "for n in range(600_000): out.write(b'%d %s\\n' % (n, b'x' * (n % 300)))\n"
            "out.flush()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.TreeGone)
            dropped = sum(count for _, count in bot.dropped)
            assert dropped > 0
            assert len(bot.lines) + dropped == 600_000
            numbers = []
            for _, line in bot.lines:
                number, _, rest = line.partition(b" ")
                assert rest == b"x" * (int(number) % 300)
                numbers.append(int(number))
            assert numbers == sorted(set(numbers))  # in order, and none twice

    asyncio.run(run())


def test_a_bot_that_never_stops_printing_does_not_take_the_loop() -> None:
    """Between its lines everything else gets its turn, and it can be stopped."""

    async def run() -> None:
        script = "data = b'y\\n' * 65536\nsay(b'READY=1')\nwhile True: os.write(1, data)"
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            await bot.until(lambda: bot.lines, "printing")
            for _ in range(20):
                await asyncio.wait_for(asyncio.to_thread(os.getpid), PATIENCE_S)
            bot.child.kill()
            await bot.heard(ev.TreeGone)
            assert bot.lines

    asyncio.run(run())


def test_a_grandchild_that_prints_for_ever_does_not_hold_up_the_end() -> None:
    """The exit of the main process is told though its output never ends."""

    async def run() -> None:
        script = (
            "code = 'import os\\nwhile True: os.write(1, b\"y\\\\n\" * 65536)'\n"
            "subprocess.Popen([sys.executable, '-I', '-S', '-c', code], start_new_session=True)\n"
            "os.read(0, 1)"
        )
        async with watched(script, stdin=True) as bot:
            await bot.until(lambda: bot.lines, "printing")
            bot.child.write_line("")
            exited = await bot.heard(ev.Exited)
            assert exited.status == 0
            assert "TreeGone" not in bot.kinds()

    asyncio.run(run())


def test_kept_lines_are_bounded_by_their_bytes() -> None:
    """Ten thousand lines of any length would be no bound."""
    kept = output.Kept()
    for n in range(1000):
        kept.add({"line": "x" * 100_000, "n": n})
    assert sum(len(str(record["line"])) for record in kept.tail(10_000)) <= output.KEPT_BYTES
    assert kept.tail(1)[0]["n"] == 999
    assert kept.tail(0) == []
    for n in range(20_000):
        kept.add({"line": "", "n": n})
    assert [record["n"] for record in kept.tail(10_000)] == list(range(10_000, 20_000))


def test_a_reader_is_closed_once() -> None:
    """The end of the file closes it; closing again, or reading, does nothing."""

    async def run() -> None:
        ends = output.pipe()
        got: list[bytes] = []
        reader = LineReader(ends.ours, "stdout", lambda _, line: got.append(line))
        os.write(ends.childs, b"rest")
        os.close(ends.childs)
        reader.drain()
        reader.close()
        reader.drain()
        assert got == [b"rest"]
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(ends.ours)

    asyncio.run(run())


def test_a_qr_code_never_gets_into_the_log() -> None:
    """A bot that prints its code gets it replaced in what is kept; and it is handed over."""

    async def run() -> None:
        script = (
            "say(b'X_STILLHERE_SESSION=pairing')\n"
            "say(b'X_STILLHERE_QR=s3cret-code\\nX_STILLHERE_QR_TTL_USEC=20000000')\n"
            "sys.stdin.readline()\n"
            "print('scan s3cret-code', flush=True)\n"
            "say(b'X_STILLHERE_SESSION=linked')\n"
            "hold()"
        )
        async with watched(script, stdin=True) as bot:
            await bot.until(lambda: bot.child.heard.qr == "s3cret-code", "a code")
            bot.child.write_line("go on")
            await bot.until(lambda: bot.child.heard.qr is None, "linked")
            await bot.printed(b"scan [QR code]")
            assert list(bot.child.heard.tail) == ["scan [QR code]"]
            assert bot.qr_changes == 2

    asyncio.run(run())


def test_a_secret_in_pieces_is_put_together_before_it_is_looked_for() -> None:
    """Written letter by letter, or over a chunk's end: it is masked in the line, whole."""

    async def run() -> None:
        script = (
            "os.write(1, b'x' * 65_530 + b' ')\n"
            "for byte in b'password=hunter2hunter2\\n': os.write(1, bytes([byte]))"
        )
        async with watched(script) as bot:
            await bot.heard(ev.TreeGone)
            assert bot.lines == [("stdout", b"x" * 65_530 + b" password=[masked]")]

    asyncio.run(run())


@pytest.mark.parametrize("secret", ["ghp_" + "abcdEFGH12" * 3, "https://me:hunter2hunter2@host/x"])
def test_no_half_of_a_secret_is_left_of_a_line_that_is_cut(secret: str) -> None:
    """The limit goes through it: half a token is no pattern's, so the whole word is left out."""

    async def run() -> None:
        script = (
            f"os.write(1, b'say' * {(output.LINE_MAX_BYTES - 12) // 3} + b' ')\n"
            f"print({secret!r}, 'more')\n"
            "print('next')"
        )
        async with watched(script) as bot:
            await bot.heard(ev.TreeGone)
            (_, line), (_, after) = bot.lines
            assert after == b"next"
            assert line.endswith(b"saysay" + output.CUT)

    asyncio.run(run())


def test_a_wrapped_qr_code_never_gets_into_the_log() -> None:
    """A bot that prints its code over several lines, and as a prompt without an end."""

    async def run() -> None:
        payload = "sgnl://linkdevice?uuid=" + "".join(chr(48 + n * 7 % 75) for n in range(160))
        script = (
            f"code = {payload!r}\n"
            "say(b'X_STILLHERE_SESSION=pairing')\n"
            "say(b'X_STILLHERE_QR=' + code.encode())\n"
            "sys.stdin.readline()\n"
            "for at in range(0, 160, 40): print('|', code[at:at + 40], '|')\n"
            "print('scan', code[:60], end='', flush=True)\n"
            "sys.stdin.readline()"
        )
        prompts: list[bytes] = []
        async with watched(script, stdin=True, prompts=prompts) as bot:
            await bot.until(lambda: bot.child.heard.qr == payload, "a code")
            bot.child.write_line("go on")
            await bot.until(lambda: prompts, "a prompt")
            assert bot.lines == [("stdout", b"| [QR code] |")] * 4
            assert prompts == [b"scan [QR code]"]
            bot.child.write_line("go on")
            await bot.heard(ev.TreeGone)
            assert bot.lines[4] == ("stdout", b"scan [QR code]")
            assert payload[:20] not in "".join(bot.child.heard.tail)

    asyncio.run(run())


def test_the_terminal_is_a_terminal() -> None:
    """On a terminal of ours the bot has one too, and its bytes come as they were written."""

    async def run() -> None:
        script = (
            "print(os.isatty(1), os.isatty(2))\nsys.stdout.flush()\nos.write(2, b'\\x1b[31mr\\n')"
        )
        async with watched(script, terminal=True) as bot:
            await bot.heard(ev.TreeGone)
            assert bot.text == b"True True\n\x1b[31mr\n"

    asyncio.run(run())
