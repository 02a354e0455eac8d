"""A program that goes on from a spare can't tell it from a cold start."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from supervisor.core import events as ev
from supervisor.process import environment, spare
from supervisor.process.plan import Ahead
from tests.contract.pausekit import pythons
from tests.contract.sparekit import LOOK, Seen, cold, from_spare

pytestmark = pytest.mark.usefixtures("adopting")

# Loaded ahead, and by the program as well: what the look itself imports.
MODULES = ("atexit", "json", "logging", "inspect", "pickle", "locale", "resource", "sqlite3")


def program(folder: Path) -> None:
    """Write the same program in all the forms that one can be started in."""
    (folder / "x.py").write_text(LOOK)
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("")
    (folder / "pkg" / "__main__.py").write_text(LOOK)
    (folder / "mod.py").write_text(LOOK)


FORMS = {
    "script": ["x.py", "arg"],
    "module": ["-m", "mod", "-v"],
    "package": ["-m", "pkg"],
    "folder": ["pkg"],
    "code": ["-c", LOOK, "more"],
    "dev and warnings": ["-X", "dev", "-W", "error::SyntaxWarning", "x.py"],
    "optimized": ["-O", "-u", "-B", "x.py"],
    "no unsafe path": ["-P", "-s", "x.py"],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("python", pythons())
def test_it_sees_what_a_cold_start_sees(tmp_path: Path, python: str, form: str) -> None:
    """Some seventy properties, for each form of a program and each version of Python."""
    program(tmp_path)

    async def main() -> None:
        command = [python, *FORMS[form]]
        as_cold = await cold(tmp_path, command)
        ahead = await from_spare(tmp_path, command, MODULES)
        assert len(as_cold) > 60
        differing = {k: (as_cold[k], ahead[k]) for k in as_cold if as_cold[k] != ahead[k]}
        assert not differing

    asyncio.run(main())


def test_a_console_script_in_a_virtual_environment(tmp_path: Path) -> None:
    """By its shebang; with a sitecustomize and a .pth file of its own, each run once."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "own.pth").write_text("import sys; sys.counted = getattr(sys, 'counted', 0) + 1\n")
    (packages / "sitecustomize.py").write_text("import sys\nsys.asked = list(sys.path)\n")
    script = venv / "bin" / "bot"
    extra = 'print(sys.counted, sys.asked == sys.path[1:], "PYTHONPATH" in os.environ)\n'
    script.write_text(f"#!{venv}/bin/python\nimport os, sys\n{extra}{LOOK}")
    script.chmod(0o755)

    async def main() -> None:
        command = [str(script), "--flag"]
        found = [await start(tmp_path, command) for start in (cold, from_spare)]
        assert found[0] == found[1]
        assert found[1]["sitecustomize"] == str(packages / "sitecustomize.py")

    asyncio.run(main())


def test_the_users_own_path_stays(tmp_path: Path) -> None:
    """PYTHONPATH as it was, in the environment and on the search path."""
    program(tmp_path)
    env = environment.base({"PYTHONPATH": f"{tmp_path}/a:{tmp_path}/b", "STRANGE": "é=b c"}, None)

    async def main() -> None:
        command = [sys.executable, "x.py"]
        assert await cold(tmp_path, command, env=env) == await from_spare(
            tmp_path, command, env=env
        )

    asyncio.run(main())


def spoiled(folder: Path, modules: Sequence[str], own_names: Sequence[str] = ()) -> str:
    """Return why a spare that loads these can't be used."""

    async def main() -> str:
        said: asyncio.Queue[str] = asyncio.Queue()
        bot = Seen(
            folder,
            "",
            command=[sys.executable, "x.py"],
            cwd=folder,
            generation=0,
            session_dir=None,
            env=environment.base({"PYTHONPATH": str(folder)}, None),
            paused=Ahead(tuple(modules), tuple(own_names)),
            on_spare=said.put_nowait,
        )
        async with asyncio.timeout(15):
            why = await said.get()
        bot.child.kill()
        async with asyncio.timeout(15):
            while not bot.child.gone:  # of a spare's end nobody is told
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        assert not bot.lines
        assert not bot.events
        return why

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(3)", "library: its import ends in SystemExit"),
        ("1 / 0", "library: its import ends in ZeroDivisionError"),
        ("import threading\nthreading.Thread(target=threading.Event().wait).start()",
         "library: it has started a thread"),
        ("import signal\nsignal.signal(signal.SIGTERM, print)", "library: it handles a signal"),
        ("import json", "library: it imports json, which the project has too"),
    ],
)  # fmt: skip
def test_what_was_loaded_ahead_can_spoil_it(tmp_path: Path, code: str, why: str) -> None:
    """It ends by itself, and says which module it was; the program has not begun."""
    program(tmp_path)
    (tmp_path / "library.py").write_text(code)
    assert spoiled(tmp_path, ["library"], ["json"]) == why


def test_a_line_that_is_printed_ahead_spoils_it(tmp_path: Path) -> None:
    """Nobody would know whose it is."""
    program(tmp_path)
    (tmp_path / "library.py").write_text("print('hello', flush=True)")
    assert "printed" in spoiled(tmp_path, ["library"])


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_an_interpreter_that_would_not_stop_is_found_out(tmp_path: Path, option: str) -> None:
    """Tried with a program of no lines, before the bot's own."""
    env = environment.base({}, None)
    assert spare.pauses(sys.executable, [], cwd=tmp_path, env=env) == ""
    assert "does not stop" in spare.pauses(sys.executable, [option], cwd=tmp_path, env=env)
    assert "can't be run" in spare.pauses(str(tmp_path / "none"), [], cwd=tmp_path, env=env)


def test_it_ends_when_we_hang_up(tmp_path: Path) -> None:
    """Whoever would release it is gone: the program never begins."""
    program(tmp_path)

    async def main() -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        bot = Seen(
            tmp_path,
            "",
            command=[sys.executable, "x.py"],
            cwd=tmp_path,
            generation=0,
            session_dir=None,
            paused=Ahead(("json",)),
            on_spare=said.put_nowait,
        )
        async with asyncio.timeout(15):
            assert await said.get() == ""
            assert bot.child.loaded > 0
            assert bot.child._line_to_spare is not None
            bot.child._line_to_spare.close()
            assert await said.get() == "it ended while it waited"
        assert not bot.lines

    asyncio.run(main())


def test_a_released_one_is_a_generation_like_any_other(tmp_path: Path) -> None:
    """A standby: it is told later; its messages, its lines and its end carry its number."""
    (tmp_path / "x.py").write_text(
        "import os, socket\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.sendto(b'X_STILLHERE_STANDBY=1', os.environ['NOTIFY_SOCKET'])\n"
        "print(os.read(int(os.environ['STILLHERE_STANDBY_FD']), 999).decode().strip(),\n"
        "  os.environ['STILLHERE_GENERATION'], 'STILLHERE_SESSION_DIR' in os.environ, flush=True)\n"
        "raise SystemExit(5)\n"
    )

    async def main() -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        bot = Seen(
            tmp_path,
            "",
            command=[sys.executable, "x.py"],
            cwd=tmp_path,
            generation=0,
            session_dir=None,
            paused=Ahead(),
            on_spare=said.put_nowait,
        )
        async with asyncio.timeout(15):
            assert await said.get() == ""
        bot.child.release(7, None)
        assert (await bot.heard(ev.StandbyReached)).generation == 7
        bot.child.activate(tmp_path)
        await bot.printed(f"activate {tmp_path} 7 False".encode())
        assert (await bot.heard(ev.Exited)).status == 5
        assert (await bot.heard(ev.TreeGone)).generation == 7

    asyncio.run(main())
