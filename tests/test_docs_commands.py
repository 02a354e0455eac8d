"""docs/commands.md says what the commands themselves say."""

import inspect
import re
from pathlib import Path

import click
import pytest

from supervisor import SessionManager
from tests.commandline import PAGE, commands, options, reference, renewed, resolve
from tests.markdown import blocks, code, rows, section

RENEW = "docs/commands.md differs from --help; write it anew: .venv/bin/python -m tests.commandline"


def test_the_page_is_what_help_says() -> None:
    """Usage, words and options of each command."""
    page = PAGE.read_text()
    assert page == renewed(page), RENEW


def test_each_command_is_on_the_page_with_its_options() -> None:
    """Whatever click makes of a command, the page has its name, and each option a meaning."""
    text = reference()
    for words in commands():
        name = " ".join(("stillhere", *words))
        assert f"### `{name}`\n" in text
        command, _ = resolve(list(words))
        assert command.help, f"{name} has no help"
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{name} {param.opts[0]} has no help"


def test_the_json_of_each_command_is_on_the_page() -> None:
    """A command with --json has a heading for its keys, and what has none is not named there."""
    headings = re.findall(r"^### (JSON of .+)$", section(PAGE, "## JSON"), re.MULTILINE)
    named = [name for heading in headings for name in code(heading)]
    there = {
        " ".join(words) for words in commands() if "--json" in options(resolve(list(words))[0])
    }
    missing = sorted(there - set(named))
    assert not missing, f"docs/commands.md: add '### JSON of `NAME`' with its keys: {missing}"
    assert len(named) == len(set(named)) == len(there)


def test_the_python_methods_are_there() -> None:
    """With the arguments that the page names, in their order."""
    for cell, _ in rows(section(PAGE, "## In Python")):
        name, _, rest = code(cell)[0].partition("(")
        there = inspect.signature(getattr(SessionManager, name)).parameters
        named = rest.strip("()").split(", ")
        assert list(there)[1 : len(named) + 1] == named, name


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a session that was there before stillhere."""
    (example,) = blocks(section(PAGE, "## In Python"), "python")
    (folder := tmp_path / "sessions" / "session-971505760056").mkdir(parents=True)
    (folder / "creds.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "commands.md", "exec"), {})  # noqa: S102 - ours
    state, action, snapshot = capsys.readouterr().out.split()
    assert (state, action) == ("none", "kept")
    assert snapshot.endswith(".before-surgery")
