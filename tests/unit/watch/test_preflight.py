"""What can't start is known before anything is stopped for it."""

import asyncio
import os
import sys
import threading
import warnings
from pathlib import Path

import pytest

from supervisor.watch import interpreters
from supervisor.watch.compiling import bytecode_path, is_checked
from supervisor.watch.preflight import Problem, preflight


@pytest.fixture(params=["ours", "the bot's"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an interpreter: ours, and the same as if it were of another version."""
    if request.param != "ours":
        monkeypatch.setattr(interpreters, "same_version", lambda _: False)
    return sys.executable


def judged(base: Path, python: str, *paths: str, prefix: Path | None = None) -> list[Problem]:
    """Return the problems of some files."""

    async def main() -> list[Problem]:
        async with asyncio.timeout(30):
            return await preflight(paths, base=base, python=python, prefix=prefix)

    return asyncio.run(main())


def test_each_file_that_cant_be_compiled_is_told_with_its_line(tmp_path: Path, python: str) -> None:
    """In the words of Python; what can, what is gone and what is no Python is not told."""
    sources: dict[str, bytes] = {
        "good.py": b"x = 1\n",
        "open.py": b"x = 1\nprint((1)\n",
        "outside.py": b"\n\nreturn 1\n",
        "tabs.py": b"if 1:\n\tx\n        y\n",
        "nul.py": b"x = 1\ny = '\0'\n",
        "latin.py": b"# coding: latin-1\nx = '\xe9'\n",
        "bytes.py": b"x = '\xe9'\n",
        "coding.py": b"# coding: nope\n",
        "data.json": b"{",
        "config.toml": b"=",
        "empty.py": b"",
    }
    for name, text in sources.items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / "folder.py").mkdir()
    told = judged(tmp_path, python, *sources, "gone.py", "folder.py", "good.py/gone.py")
    assert [(problem.path, problem.line) for problem in told][:4] == [
        *(("open.py", 2), ("outside.py", 3), ("tabs.py", 3), ("nul.py", 2)),
    ]
    assert [problem.path for problem in told][4:] == ["bytes.py", "coding.py"]
    assert told[0].text == "SyntaxError: '(' was never closed"
    assert told[1].text == "SyntaxError: 'return' outside function"
    assert told[2].text.startswith("TabError: ")


def test_what_compiles_is_left_for_the_next_start_and_nothing_else_is(
    tmp_path: Path, python: str
) -> None:
    """Of a file that does not compile, not even the bytecode of what it was before."""
    prefix, source = tmp_path / "cache", tmp_path / "a.py"
    target = Path(bytecode_path(str(source), str(prefix)))
    source.write_text("a = 1\n")
    assert judged(tmp_path, python, "a.py") == []
    assert not prefix.exists(), "it was only to be judged"
    assert judged(tmp_path, python, "a.py", "gone.py", "data.json", prefix=prefix) == []
    assert [path for path in prefix.rglob("*") if path.is_file()] == [target]
    assert is_checked(str(source), str(target))
    for broken in ("a = (\n", "a = '\0'\n"):
        source.write_text("a = 1\n")
        judged(tmp_path, python, "a.py", prefix=prefix)
        assert target.exists()
        source.write_text(broken)
        assert len(judged(tmp_path, python, "a.py", prefix=prefix)) == 1
        assert not target.exists()


def test_it_waits_for_no_other_work(tmp_path: Path) -> None:
    """All places of asyncio's own threads are taken: it is in a restart's way, and has its own."""
    (tmp_path / "a.py").write_text("a = 1\n")
    over = threading.Event()

    async def main() -> list[Problem]:
        loop = asyncio.get_running_loop()
        places = min(32, (os.cpu_count() or 1) + 4)
        others = [loop.run_in_executor(None, over.wait) for _ in range(places)]
        try:
            async with asyncio.timeout(30):
                return await preflight(["a.py"], base=tmp_path, python=sys.executable)
        finally:
            over.set()
            await asyncio.gather(*others)

    assert asyncio.run(main()) == []


def test_what_is_too_much_for_the_compiler_is_told_and_does_no_harm(
    tmp_path: Path, python: str
) -> None:
    """RecursionError and MemoryError come from the compiler like any other error."""
    (tmp_path / "deep.py").write_text("x = " + "-" * 100_000 + "1\n")
    (tmp_path / "nested.py").write_text("x = " + "(" * 500 + ")" * 500 + "\n")
    told = judged(tmp_path, python, "deep.py", "nested.py")
    assert [problem.path for problem in told] == ["deep.py", "nested.py"]


def test_warnings_are_not_errors_whatever_the_filter_says(tmp_path: Path, python: str) -> None:
    """And they are not shown: the bot will show them."""
    (tmp_path / "warns.py").write_text("x = 1 is 1\ny = '\\d'\n")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("error")
        assert judged(tmp_path, python, "warns.py") == []
    assert seen == []


def test_our_own_future_imports_are_not_the_bots(tmp_path: Path, python: str) -> None:
    """The compiler inherits the flags of its caller unless it is told not to."""
    (tmp_path / "a.py").write_text("def f(x: (y := 1)): pass\n")
    (tmp_path / "b.py").write_text("from __future__ import annotations\ndef f(x: (y := 1)): pass\n")
    told = judged(tmp_path, python, "a.py", "b.py")
    assert [problem.path for problem in told] == ["b.py"]


def test_a_file_that_cant_be_read_is_told(tmp_path: Path, python: str) -> None:
    """The bot could not read it either."""
    (tmp_path / "a.py").symlink_to(tmp_path / "a.py")
    told = judged(tmp_path, python, "a.py")
    assert [problem.text for problem in told] == [
        "OSError: can't be read: Too many levels of symbolic links"
    ]


def test_an_interpreter_that_cant_be_run_is_told(tmp_path: Path) -> None:
    """A restart into it would end in nothing."""
    (tmp_path / "a.py").write_text("")
    told = judged(tmp_path, str(tmp_path / "python"), "a.py")
    assert len(told) == 1
    assert "can't be run" in told[0].text


def test_without_python_files_no_interpreter_is_asked(tmp_path: Path) -> None:
    """A bot in another language has none."""
    assert judged(tmp_path, "/nonexistent", "index.js", "data.json") == []


def test_our_own_version_under_another_path_needs_no_process(tmp_path: Path) -> None:
    """The project's .venv links to the same interpreter, as a rule."""
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert interpreters.same_version(str(link))


def test_an_environment_that_is_made_anew_is_asked_anew(tmp_path: Path) -> None:
    """Else its code would be judged by the rules of the Python that it had before."""
    python = tmp_path / "python"
    old, new = tmp_path / "old", tmp_path / "new"
    for path, tag in ((old, "cpython-399"), (new, sys.implementation.cache_tag)):
        path.write_text(f"#!/bin/sh\necho {tag}\n")
        path.chmod(0o755)
    python.symlink_to(old)
    assert not interpreters.same_version(str(python))
    python.unlink()
    python.symlink_to(new)
    assert interpreters.same_version(str(python))
    python.unlink()
    old.replace(python)
    assert not interpreters.same_version(str(python))
