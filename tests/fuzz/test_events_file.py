"""Whatever lies in the journal's files: each whole event is read and told, and none is lost."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from supervisor.cli import console, events, tell, tell_alerts, tell_checks, tell_service
from supervisor.control.journal import Journal, read
from tests.fuzz.fuzzkit import JSON, ODD, as_json, bent, cases, open_files, readable

_TELLERS = (console, tell, tell_alerts, tell_checks, tell_service)
_SOURCES = "".join(Path(str(module.__file__)).read_text() for module in _TELLERS)
# All that is ever asked of an event, and what it may be.
_WORDS = sorted(set(re.findall(r'"([a-z_]+)"', _SOURCES)))
_TIMES = st.sampled_from(
    ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-24T22:00:00", "20261124")
)
_VALUE = JSON | st.sampled_from(ODD) | st.sampled_from(_WORDS) | _TIMES
_EVENT = st.builds(
    lambda fields, event, t: {**fields, "event": event, "t": t},
    st.dictionaries(st.sampled_from(_WORDS), _VALUE, max_size=9),
    st.sampled_from(sorted(console.Console({})._told)) | _VALUE,
    _TIMES | JSON,
)
_DEEP = st.sampled_from((b"[" * 50_000, b'{"event":' * 50_000))
_LINES = st.lists(_EVENT.map(as_json) | _DEEP, max_size=4).map(
    lambda lines: b"\n".join(lines) + b"\n"
)
_FILE = _LINES | _LINES.flatmap(bent)
_LAST = b'{"t":"2026-11-24T22:00:00.000Z","bot":"a","event":"claimed"}\n'


def _told(record: dict[str, Any], *, as_json: bool) -> None:
    teller = events._Teller(as_json=as_json)
    with CliRunner().isolation() as (out, *_):
        teller.tell(record)
    text = out.getvalue().decode()
    readable(text if not as_json else repr(text))


def test_whatever_the_file_holds_its_events_are_told(tmp_path: Path) -> None:
    """`stillhere events`, without a supervisor: no line of it ends the telling."""
    path = tmp_path / "events"

    @cases(25)
    @given(_FILE)
    def tell_all(data: bytes) -> None:
        path.write_bytes(data)
        for record in read(path):
            _told(record, as_json=False)
            _told(record, as_json=True)

    tell_all()


# Of a megabyte hypothesis says that it is long to show.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_whatever_the_file_holds_it_is_gone_on_with(tmp_path: Path) -> None:
    """What lay there stays, what is whole in it is in the memory; the next event comes after it."""
    path = tmp_path / "events"

    @cases(25)
    @given(_FILE, st.booleans())
    def go_on(data: bytes, small: bool) -> None:  # noqa: FBT001 - hypothesis calls it by place
        path.write_bytes(_LAST + data)
        path.with_name("events.1").unlink(missing_ok=True)
        before = open_files()
        journal = Journal(path, rotate_bytes=10 if small else 1 << 30)
        known = journal.backlog()
        assert known[0]["event"] == "claimed"
        journal.since("2026", "a")
        journal.append("a", "verified")
        journal.close()
        assert list(read(path))[: len(known)] == known
        assert list(read(path))[-1]["event"] == "verified"
        kept = path.with_name("events.1").read_bytes() if small else path.read_bytes()
        assert kept.startswith(_LAST + data)
        assert open_files() == before

    go_on()


@pytest.mark.parametrize("kind", ["leftovers_cleared", "browser_closed"])
def test_an_event_without_its_list_is_told_too(kind: str) -> None:
    """Of another version, or damaged: found by the test above."""
    _told({"t": "2026-11-24T22:00:00.000Z", "bot": "a", "event": kind}, as_json=False)
