"""Records of the journal in, a page out: what is counted, and what is shown of a moment."""

from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as PLAIN_TYPE
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as plain_families

from supervisor.core.records import Reason, Restart
from supervisor.core.state import Phase
from supervisor.service.monitoring.counts import COUNTED, DRILLS, REASONS
from supervisor.service.monitoring.facts import Copies, Facts, Figures, Glance, Ledger
from supervisor.service.monitoring.metrics import OPENMETRICS_TYPE, Metrics
from supervisor.service.monitoring.readiness import readiness

MB = 1 << 20
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Clocks:
    """Both clocks, of which the test is the master."""

    def __init__(self) -> None:
        self.wall_s = 1_000_000.0
        self.mono_s = 50.0

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.wall_s += seconds
        self.mono_s += seconds


def glance(name: str = "echo", **changed: Any) -> Glance:
    """Return a bot that is well."""
    known: dict[str, Any] = {
        "session": True,
        "phase": Phase.UP,
        "up": True,
        "wanted": True,
        "paused": False,
        "held": False,
        "generation": 3,
    }
    return Glance(name=name, **(known | changed))


def figures(copies: Copies | None = None) -> Figures:
    """Return what was read of a bot."""
    ledger = Ledger(restores=9, rollbacks=1, links=2, qr_shown=4)
    return Figures(processes=2, rss_bytes=MB, cpu_s=1.5, strangers=7, ledger=ledger, copies=copies)


def metrics(*bots: str, clocks: Clocks | None = None) -> Metrics:
    """Return new metrics."""
    known = clocks or Clocks()
    return Metrics(bots, "1.2.3", wall=lambda: known.wall_s, clock=lambda: known.mono_s)


def families(page: bytes) -> Iterable[Metric]:
    """Read a page in the plain format."""
    return plain_families(page.decode())


def samples(of: Metrics, facts: Facts | None = None) -> Samples:
    """Return the page's samples by name and labels."""
    page, kind = of.page(facts or Facts(()), "")
    assert kind == PLAIN_TYPE
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(page)
        for sample in family.samples
    }


def value(of: Samples, name: str, **labels: str) -> float | None:
    """Return one sample; None: there is none."""
    return of.get((name, frozenset(({"bot": "echo"} | labels).items())))


def restart(reason: Reason, **instants: Any) -> dict[str, Any]:
    """Return the record of a restart, as the loop writes it."""
    record = Restart(reason=reason, changed=(), mode="cold", begun_at=0.0, **instants)
    return {"event": "restarted", "bot": "echo", "record": record.to_json()}


WHOLE = {"terminated_at": 1.0, "activated_at": 2.0, "ready_at": 3.0, "verified_at": 4.5}


def test_a_restart_is_counted_with_its_gap_and_restore() -> None:
    """The gap from the stop signal to ready, the restore from the session to verified."""
    found = metrics("echo")
    found.note(restart("change", **WHOLE))
    seen = samples(found)
    assert value(seen, "stillhere_bot_restarts_total", reason="change") == 1
    assert value(seen, "stillhere_gap_seconds_count") == 1
    assert value(seen, "stillhere_gap_seconds_sum") == 2.0
    assert value(seen, "stillhere_restore_seconds_count") == 1
    assert value(seen, "stillhere_restore_seconds_sum") == 2.5


def test_a_first_start_is_no_restart() -> None:
    """Else each upgrade of the machine would look like a restart of all bots."""
    found = metrics("echo")
    before = samples(found)
    found.note(restart("start", **WHOLE))
    after = samples(found)
    assert {k: v for k, v in after.items() if "stillhere" in k[0]} == {
        k: v for k, v in before.items() if "stillhere" in k[0]
    }


def test_a_restart_that_had_no_gap_has_none() -> None:
    """A crash has no stop signal: it is counted, and no gap is made up."""
    found = metrics("echo")
    found.note(restart("crash", ready_at=3.0))
    seen = samples(found)
    assert value(seen, "stillhere_bot_restarts_total", reason="crash") == 1
    assert value(seen, "stillhere_gap_seconds_count") == 0
    assert value(seen, "stillhere_restore_seconds_count") == 0


@pytest.mark.parametrize("event", COUNTED)
def test_each_event_counts_one_of_its_own(event: str) -> None:
    """And nothing else."""
    found = metrics("echo", "other")
    before = samples(found)
    found.note({"event": event, "bot": "echo"})
    after = samples(found)
    name = f"{COUNTED[event][0]}_total"
    changed = {key for key, now in after.items() if key[0].startswith("st") and now != before[key]}
    assert changed == {(name, frozenset({("bot", "echo")}))}


@pytest.mark.parametrize(
    ("record", "name", "labels", "amount"),
    [
        ({"event": "output_dropped", "lines": 12}, "stillhere_output_dropped_lines", {}, 12),
        ({"event": "epoch_closed", "why": "401 logged out"}, "stillhere_session_ends",
         {"cause": "logged_out"}, 1),
        ({"event": "epoch_closed", "why": "the session is lost"}, "stillhere_session_ends",
         {"cause": "lost"}, 1),
        *(({"event": event}, "stillhere_drills", {"result": result}, 1)
          for event, result in DRILLS.items()),
    ],
)  # fmt: skip
def test_what_comes_with_words_or_numbers_is_counted_by_them(
    record: dict[str, Any], name: str, labels: dict[str, str], amount: int
) -> None:
    """How many lines, why it ended, how the rehearsal went."""
    found = metrics("echo")
    found.note({"bot": "echo", **record})
    assert value(samples(found), f"{name}_total", **labels) == amount


def copy(event: str, frozen_s: float | None, name: str = "s1") -> dict[str, Any]:
    """Return the record of a snapshot."""
    snapshot = {"id": name, "new_bytes": 100, "duration_s": 0.25}
    record = {"event": event, "bot": "echo", "snapshot": snapshot}
    return record if frozen_s is None else record | {"frozen_s": frozen_s}


def test_snapshots_are_counted_by_kind() -> None:
    """Hot ones with how long the bot was held; one that found nothing new is none."""
    found = metrics("echo")
    found.note(copy("snapshot_taken", 0.002))
    found.note(copy("snapshot_taken", 0.0))
    found.note(copy("sealed", None))
    seen = samples(found)
    assert value(seen, "stillhere_snapshots_taken_total", kind="hot") == 1
    assert value(seen, "stillhere_snapshots_taken_total", kind="sealed") == 1
    assert value(seen, "stillhere_snapshots_stored_bytes_total") == 200
    assert value(seen, "stillhere_snapshot_duration_seconds_count") == 2
    assert value(seen, "stillhere_snapshot_frozen_seconds_sum") == 0.002


def test_undecryptable_messages_add_up_over_generations() -> None:
    """A generation tells how many it were so far; the next one begins anew."""
    found = metrics("echo")
    for generation, count in ((1, 2), (1, 5), (2, 1), (2, 1)):
        found.note(
            {"event": "undecryptable", "bot": "echo", "generation": generation, "count": count}
        )
    assert value(samples(found), "stillhere_undecryptable_total") == 6


def test_all_that_counts_is_shown_from_zero() -> None:
    """A counter that appears with its first event hides that event from `rate`."""
    seen = samples(metrics("echo"))
    for reason in REASONS:
        assert value(seen, "stillhere_bot_restarts_total", reason=reason) == 0
    assert value(seen, "stillhere_gap_seconds_count") == 0
    assert value(seen, "stillhere_bot_restarts_total", reason="start") is None


def test_a_bot_that_is_gone_is_forgotten() -> None:
    """After a reload without it nothing of it is shown; the others' counts go on."""
    found = metrics("echo", "other")
    for bot in ("echo", "other"):
        found.note({"event": "backoff", "bot": bot})
        found.note(copy("snapshot_taken", 0.1) | {"bot": bot})
    found.keep(["other"])
    seen = samples(found)
    assert not [key for key in seen if ("bot", "echo") in key[1]]
    assert value(seen, "stillhere_bot_backoffs_total", bot="other") == 1
    found.note({"event": "backoff", "bot": "echo"})
    assert value(samples(found), "stillhere_bot_backoffs_total") == 1


def test_records_of_no_bot_are_heard_and_not_counted() -> None:
    """The supervisor's own."""
    found = metrics()
    found.note({"event": "supervisor_started", "bot": None})
    found.note({"event": "failed"})
    assert not [key for key in samples(found) if key[0].startswith("stillhere_bot_")]


# What is so now.


def test_a_moment_is_shown_as_it_is() -> None:
    """Phase, figures, ledger and store of one bot."""
    copies = Copies(verdicts={"good": 4, "bad": 1}, newest="s1", taken_at=999_900.0, size_bytes=MB)
    facts = Facts(
        (glance(phase=Phase.BACKOFF, up=False, backoff_s=2.5, memory_limit_bytes=8 * MB),),
        {"echo": figures(copies)},
        0.5,
    )
    seen = samples(metrics("echo"), facts)
    assert value(seen, "stillhere_bot_up") == 0
    assert value(seen, "stillhere_bot_phase", phase="backoff") == 1
    assert sum(v for (name, _), v in seen.items() if name == "stillhere_bot_phase") == 1
    assert value(seen, "stillhere_bot_backoff_seconds") == 2.5
    assert value(seen, "stillhere_bot_memory_limit_bytes") == 8 * MB
    assert value(seen, "stillhere_bot_cpu_seconds_total") == 1.5
    assert value(seen, "stillhere_session_restores_total") == 9
    assert value(seen, "stillhere_snapshots", verdict="good") == 4
    assert value(seen, "stillhere_snapshots", verdict="fuzzy") == 0
    assert value(seen, "stillhere_snapshot_bytes") == MB
    assert value(seen, "stillhere_snapshot_age_seconds") == 100.0
    assert seen["stillhere_bots", frozenset()] == 1
    assert seen["stillhere_figures_age_seconds", frozenset()] == 0.5


def test_what_is_not_known_is_not_shown() -> None:
    """No zero is made up for what could not be read, or is not there."""
    seen = samples(metrics("echo"), Facts((glance(),)))
    for name in ("rss_bytes", "memory_limit_bytes", "cpu_seconds_total"):
        assert value(seen, f"stillhere_bot_{name}") is None
    for name in ("snapshot_age_seconds", "snapshot_bytes", "session_restores_total"):
        assert value(seen, f"stillhere_{name}") is None
    assert ("stillhere_figures_age_seconds", frozenset()) not in seen
    assert value(seen, "stillhere_bot_up") == 1


def test_a_snapshot_is_as_old_as_its_last_confirmation() -> None:
    """One that finds nothing changed says that the newest is still what there is."""
    clocks = Clocks()
    found = metrics("echo", clocks=clocks)
    taken = Copies(verdicts={"good": 1}, newest="s1", taken_at=clocks.wall_s)
    facts = Facts((glance(),), {"echo": figures(taken)}, 0.0)
    clocks.pass_(100)
    assert value(samples(found, facts), "stillhere_snapshot_age_seconds") == 100
    found.note(copy("snapshot_taken", 0.0))
    clocks.pass_(30)
    assert value(samples(found, facts), "stillhere_snapshot_age_seconds") == 30


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    """0 at the least."""
    taken = Copies(verdicts={"good": 1}, newest="s1", taken_at=2_000_000.0)
    seen = samples(metrics("echo"), Facts((glance(),), {"echo": figures(taken)}, 0.0))
    assert value(seen, "stillhere_snapshot_age_seconds") == 0


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", PLAIN_TYPE),
        ("text/plain, */*", PLAIN_TYPE),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3", OPENMETRICS_TYPE),
        ("application/openmetrics-textual", PLAIN_TYPE),
    ],
)
def test_each_asker_gets_its_format(accept: str, kind: str) -> None:
    """Both are read back by a parser of their own, with the same families in them."""
    found = metrics("echo")
    found.note(restart("change", **WHOLE))
    facts = Facts((glance(),), {"echo": figures()}, 0.0)
    page, told = found.page(facts, accept)
    assert told == kind
    read = openmetrics_families if kind == OPENMETRICS_TYPE else plain_families
    names = {family.name for family in read(page.decode())}
    assert {"stillhere_bot_up", "stillhere_bot_restarts", "stillhere_gap_seconds"} <= names
    assert page.endswith(b"# EOF\n") is (kind == OPENMETRICS_TYPE)


def test_no_label_tells_more_than_a_bot_s_name() -> None:
    """No phone number, identity, path or word of a bot, whatever a record holds."""
    found = metrics("echo")
    found.note(restart("change", **WHOLE) | {"identity": "SECRET", "paths": ["SECRET"]})
    found.note({"event": "failed", "bot": "echo", "why": "SECRET"})
    found.note({"event": "epoch_closed", "bot": "echo", "why": "SECRET"})
    page, _ = found.page(Facts((glance(),), {"echo": figures()}, 0.0), "")
    assert b"SECRET" not in page
    labels = {name for family in families(page) for s in family.samples for name in s.labels}
    assert labels == {
        *("bot", "le", "version", "phase"),
        *("reason", "cause", "kind", "result"),
    }


def test_the_two_pages_agree_on_who_is_up() -> None:
    """`stillhere_bot_up` and `/readyz` say the same of the same bot."""
    facts = Facts((glance("a"), glance("b", up=False, phase=Phase.VERIFYING)))
    seen = samples(metrics("a", "b"), facts)
    _, page = readiness(facts.glances)
    assert [name for name in ("a", "b") if value(seen, "stillhere_bot_up", bot=name)] == (
        page["online"]
    )
