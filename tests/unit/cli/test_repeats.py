"""A bot that writes what looks like source restarts itself: a person learns what to do."""

from typing import Any

from supervisor.cli.console import Console
from tests.unit.cli.consolekit import calm, console, restarted


def told(shown: Console, second: float, *changed: str, reason: str = "change") -> list[str]:
    """Return what is said of a restart, beside that it is back."""
    record: dict[str, Any] = restarted(changed=list(changed), reason=reason)
    return calm(shown, {**record, "t": f"2026-11-24T22:00:{second:06.3f}Z"})[1:]


def test_the_same_file_again_and_again() -> None:
    """At the fifth restart for it, once; whatever else was saved with it."""
    shown = console()
    for second, changed in enumerate((["a.py", "n.py"], ["n.py"], ["n.py", "b.py"], ["n.py"])):
        assert not told(shown, second, *changed)
    what, then = told(shown, 5, "n.py", "a.py")
    assert what == "n.py changes again and again, and each time the bot is restarted"
    assert "ignore = [...]" in then
    assert not told(shown, 6, "n.py")


def test_a_person_who_saves_is_not_told() -> None:
    """Other files, pauses between, and restarts for another reason begin anew."""
    shown = console()
    for second in range(10):
        assert not told(shown, second, f"{second}.py")
    for second in range(0, 60, 11):
        assert not told(shown, second, "a.py")
    for second in range(10):
        assert not told(shown, second, "a.py", reason="change" if second % 4 else "manual")
