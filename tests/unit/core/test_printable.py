"""Text of others commands no terminal, and stays on its line."""

from supervisor.core.printable import printable


def test_what_prints_stays_as_it_is() -> None:
    """In any alphabet."""
    assert printable("Grüße, 世界: a b") == "Grüße, 世界: a b"


def test_what_commands_a_terminal_or_ends_a_line_is_replaced() -> None:
    """Each character by one: what is left of a sequence is plain text."""
    assert printable("a\x1b[2Jb\r\nc\u202ed\udc80") == "a?[2Jb??c?d?"
    assert printable("a\tb", " ") == "a b"
