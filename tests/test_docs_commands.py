"""docs/commands.md says what the commands themselves say."""

import click

from tests.commandline import PAGE, commands, reference, renewed, resolve

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
