"""A bot is asked from outside whether it is ready, for as long as the caller waits."""

import asyncio
import contextlib
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.config import ReadyCheck
from supervisor.process import probes
from supervisor.process.probes import wait_ready


@contextlib.asynccontextmanager
async def server(
    answers: list[bytes], port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve each answer to one connection, the last one from then on; keep the requests."""
    requests: list[bytes] = []
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving[task] = writer
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answers.pop(0) if len(answers) > 1 else answers[0])
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls) as made:
        yield made.sockets[0].getsockname()[1], requests
        made.close()
        await asyncio.gather(*serving, return_exceptions=True)
        gone = [writer.wait_closed() for writer in serving.values()]
        await asyncio.gather(*gone, return_exceptions=True)


async def wait(check: ReadyCheck, cwd: Path = Path("/"), since_ns: int | None = None) -> None:
    """Wait with a bound."""
    async with asyncio.timeout(10):
        env = dict(os.environ)
        await wait_ready(check, cwd=cwd, env=env, interval_s=0.005, since_ns=since_ns)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_http_is_ready_at_the_first_answer_that_is_no_server_error() -> None:
    """Garbage, nothing at all and 503 are not yet; 404 is an answer."""
    answers = [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"HTTP/1.1 nine\r\n\r\n",
        b"x" * 70_000,
        b"HTTP/1.1 404 Not Found\r\n\r\n",
    ]

    async def main() -> list[bytes]:
        async with server(answers) as (port, requests):
            url = f"http://127.0.0.1:{port}/health?deep=1"
            await wait(ReadyCheck(kind="http", value=url))
            return requests

    requests = asyncio.run(main())
    assert len(requests) == 6
    assert requests[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")


def test_https_is_asked_in_a_process_whose_asyncio_has_no_tls(tmp_path: Path) -> None:
    """By a supervisor, that is; and whoever made the certificate."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl is not installed; with it, this runs")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = [*("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")]
    made += ["-subj", "/CN=self", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *made], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    answers = [b"HTTP/1.1 503 Not Yet\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
    program = """if True:
        import sys
        from supervisor.cli.lean import be_lean
        be_lean()
        import asyncio
        from pathlib import Path
        from supervisor.config import ReadyCheck
        from supervisor.process.probes import wait_ready
        assert "_ssl" not in sys.modules
        check = ReadyCheck(kind="http", value=sys.argv[1])
        asyncio.run(wait_ready(check, cwd=Path("/"), env={}, interval_s=0.005))
    """

    async def main() -> list[bytes]:
        async with server(answers, tls=tls) as (port, requests):
            url = f"https://127.0.0.1:{port}/health"
            asking = await asyncio.create_subprocess_exec(sys.executable, "-c", program, url)
            async with asyncio.timeout(10):
                assert await asking.wait() == 0
            return requests

    requests = asyncio.run(main())
    assert len(requests) == 2
    assert requests[0].startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_a_refused_connection_is_not_yet(kind: str) -> None:
    """Nobody listens at first; then somebody does."""
    port = free_port()
    value = f"http://127.0.0.1:{port}/" if kind == "http" else f"127.0.0.1:{port}"

    async def main() -> bool:
        check = ReadyCheck(kind="http" if kind == "http" else "tcp", value=value)
        waiting = asyncio.create_task(wait(check))
        refused = 0
        while refused < 3:
            try:
                await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                refused += 1
        early = waiting.done()
        async with server([b"HTTP/1.1 200 OK\r\n\r\n"], port):
            await waiting
        return early

    assert not asyncio.run(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_accepts_and_never_answers_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Each try ends by itself and another one follows; the caller's bound ends it all."""
    monkeypatch.setattr(probes, "TRY_S", 0.02)

    async def main() -> int:
        silent: list[asyncio.StreamWriter] = []
        enough = asyncio.Event()

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            silent.append(writer)
            if len(silent) == 3:
                enough.set()

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as made:
            port = made.sockets[0].getsockname()[1]
            check = ReadyCheck(kind="http", value=f"{scheme}://127.0.0.1:{port}/")
            waiting = asyncio.create_task(wait(check))
            async with asyncio.timeout(5):
                await enough.wait()
            assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            for writer in silent:
                writer.close()
            await asyncio.gather(*(w.wait_closed() for w in silent), return_exceptions=True)
        return len(silent)

    assert asyncio.run(main()) >= 3


def test_a_file_counts_when_it_is_of_this_generation(tmp_path: Path) -> None:
    """The one that an earlier generation left behind does not."""
    path = tmp_path / "run" / "ready"
    path.parent.mkdir()
    path.touch()
    check = ReadyCheck(kind="file", value="run/ready")
    later = time.time_ns() + 1_000_000_000

    async def main() -> None:
        await wait(check, tmp_path)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wait(check, tmp_path, since_ns=later)
        path.unlink()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wait(check, tmp_path)
        path.touch()
        await wait(check, tmp_path, since_ns=time.time_ns())

    asyncio.run(main())


def test_a_command_says_by_its_exit_whether_the_bot_is_ready(tmp_path: Path) -> None:
    """It runs in the bot's folder, in its environment, until it exits with 0."""
    code = (
        "import os, pathlib, sys\n"
        "tries = pathlib.Path('tries'); tries.open('a').write('x')\n"
        "sys.exit(len(tries.read_text()) < 3 or 'HOME_OF_BOT' not in os.environ)\n"
    )
    check = ReadyCheck(kind="command", value=(sys.executable, "-c", code))

    async def main() -> None:
        async with asyncio.timeout(20):
            env = {**os.environ, "HOME_OF_BOT": "1"}
            await wait_ready(check, cwd=tmp_path, env=env, interval_s=0.001)

    asyncio.run(main())
    assert (tmp_path / "tries").read_text() == "xxx"
    assert not probes.running


def test_a_command_that_hangs_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a probe is left, neither after its time nor after a cancellation."""
    monkeypatch.setattr(probes, "COMMAND_TRY_S", 0.3)
    script = "sleep 20 & echo $! > new; mv new pid; wait"
    check = ReadyCheck(kind="command", value=("sh", "-c", script))

    async def grandchild() -> int:
        while not (tmp_path / "pid").exists():
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        pid = os.pidfd_open(int((tmp_path / "pid").read_text()))
        (tmp_path / "pid").unlink()
        return pid

    async def ended(pid: int) -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(pid, gone.set)
        await gone.wait()
        asyncio.get_running_loop().remove_reader(pid)
        os.close(pid)

    async def main() -> None:
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(wait(check, tmp_path))
            await ended(await grandchild())
            second = await grandchild()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await ended(second)

    asyncio.run(main())
    assert not probes.running


def test_a_command_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    """It may be made later; until then the caller's bound decides."""
    check = ReadyCheck(kind="command", value=(str(tmp_path / "check"),))

    async def main() -> None:
        waiting = asyncio.create_task(wait(check, tmp_path))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(waiting)
        (tmp_path / "new").write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / "new").chmod(0o700)
        (tmp_path / "new").rename(tmp_path / "check")
        await waiting

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["notify", "log"])
def test_what_the_bot_says_by_itself_is_not_probed(kind: str) -> None:
    """A caller that asks for it has a mistake."""
    check = ReadyCheck(kind="notify" if kind == "notify" else "log", value="x")
    with pytest.raises(ValueError, match="not a probe"):
        asyncio.run(wait(check))


def test_whoever_gives_up_leaves_no_command_behind(tmp_path: Path) -> None:
    """What hangs is killed at once, and what it started, too."""
    command = ("/bin/sh", "-c", "tail -f /dev/null & echo $! > pid; wait")
    check = ReadyCheck(kind="command", value=command)

    async def main() -> bool:
        env = dict(os.environ)
        asking = asyncio.ensure_future(probes.answers(check, cwd=tmp_path, env=env, within_s=30))
        written = ReadyCheck(kind="file", value="pid")
        await wait(written, tmp_path)
        probes.give_up()
        async with asyncio.timeout(10):
            return await asking

    assert not asyncio.run(main())
    assert not probes.running


@pytest.mark.parametrize(
    "check",
    [
        ReadyCheck(kind="tcp", value="127.0.0.1:9"),
        ReadyCheck(kind="http", value="http://127.0.0.1:9/"),
        ReadyCheck(kind="command", value=("true",)),
    ],
)
def test_who_cannot_ask_blames_nobody(check: ReadyCheck, tmp_path: Path) -> None:
    """With no descriptor left it is us who fail, and not the bot."""

    async def main() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with (tmp_path / "lowest").open("w") as file:
            lowest = file.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            with pytest.raises(probes.CannotAsk):
                await probes.answers(check, cwd=tmp_path, env={}, within_s=10)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(main())
    assert not probes.running
