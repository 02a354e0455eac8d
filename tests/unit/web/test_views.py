"""What the page makes of what the supervisor says: bars, words, codes. No supervisor."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import segno

from supervisor.core.records import Restart
from supervisor.web import code, views, words
from supervisor.web.guard import form_key, same


def event(**record: Any) -> dict[str, Any]:
    """Return the event at the end of a restart."""
    whole = Restart(reason="manual", begun_at=0.0).to_json() | record
    return {"t": "2026-11-24T22:51:36.000Z", "bot": "echo", "event": "restarted", "record": whole}


def test_each_phase_is_drawn_as_what_it_is() -> None:
    """Until the stop the old bot is online, until the new one is ready nobody."""
    found = views.restart(event(detect_s=0.1, stop_s=0.1, ready_s=0.1, verify_s=0.1))
    drawn = [(part["bar"].phase, part["kind"]) for part in found["parts"]]
    assert drawn == [("detect", "before"), ("stop", "gap"), ("ready", "gap"), ("verify", "after")]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"reason": "change", "changed": ["a.py"]}, "a.py changed"),
        ({"reason": "change", "changed": ["a.py", "b.py", "c.py"]}, "a.py and 2 more changed"),
        ({"reason": "change", "changed": []}, "the source changed"),
        ({"reason": "crash"}, "crashed"),
        ({"reason": "something new"}, "something new"),
    ],
)
def test_why_it_was_restarted(record: dict[str, Any], said: str) -> None:
    """In words; of what is not known, its own word."""
    assert views.restart(event(**record))["why"] == said


def test_the_last_restarts_are_shown_the_newest_first() -> None:
    """And nothing else that happened."""
    events = [event(generation=n) for n in range(20)]
    events.insert(3, {"event": "restarted"})
    events.append({"event": "ready", "record": {}})
    found = views.restarts(events)
    assert [each["record"]["generation"] for each in found] == list(
        range(19, 19 - views.RESTARTS, -1)
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 ms"),
        (-1.0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1000 ms"),
        (1.234, "1.23 s"),
        (7, "7 s"),
        (42.0, "42 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (864000, "10 days"),
        (None, ""),
    ],
)
def test_spans(seconds: object, said: str) -> None:
    """As a person says them."""
    assert words.span(seconds) == said


def test_ages() -> None:
    """Of no time there is none; one of the future is now."""
    now = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
    assert words.ago("2026-11-24T11:57:00.000Z", now) == "3 min ago"
    assert words.ago("2026-11-24T11:59:51", now) == "9 s ago"
    assert words.ago("2026-11-24T12:00:05Z", now) == "just now"
    assert words.ago("x", now) == words.ago(None, now) == words.local("x") == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        ("10 %\r20 %\r\n", "20 %"),
        ("a\tb\x07\x00", "a\tb\ufffd\ufffd"),
        ("\u202eright to left", "\ufffdright to left"),
        ("héllo ✓", "héllo ✓"),
    ],
)
def test_a_line_is_text(line: str, said: str) -> None:
    """What would move or colour a terminal is left out; what could deceive is marked."""
    assert words.line(line) == said


@pytest.mark.parametrize("payload", ["x", "https://example.org/" + "a" * 200, "2@" + "Zz9+/" * 40])
def test_a_code_that_was_drawn_on_a_terminal_is_the_same_as_a_picture(payload: str) -> None:
    """Module by module: what a phone sees is what the bot meant."""
    made = segno.make(payload, error="l", micro=False, boost_error=False)
    out = io.StringIO()
    made.terminal(out, compact=True, border=4)
    rows = out.getvalue().splitlines()
    svg = code.copy(rows).decode()
    dark = {(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", svg)}
    left, top = min(x for x, _ in dark), min(y for _, y in dark)
    wanted = {(x, y) for y, row in enumerate(made.matrix) for x, module in enumerate(row) if module}
    assert {(x - left, y - top) for x, y in dark} == wanted
    assert (left, top) == (4, 4)


def test_what_is_no_code_is_not_drawn() -> None:
    """A banner is none, and nothing is none."""
    for rows in ([], ["█" * 40] * 20, ["hello"] * 30):
        with pytest.raises(ValueError, match="no QR code"):
            code.copy(rows)


def test_secrets_are_compared_whatever_they_are() -> None:
    """A token need not be ASCII where a stranger chooses it; and a form's key is not the token."""
    assert same("abc", "abc")
    assert not same("abc", "abd")
    assert not same("\udcff", "abc")
    assert form_key("a") != form_key("b")
    assert "token" not in form_key("token")
