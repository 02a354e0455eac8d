"""docs/metrics.md and docs/alerts.rules.yml say what is exported, no more and no less."""

import re
import shutil
import subprocess
from typing import Any

import click
import pytest
import yaml
from prometheus_client import Metric

from supervisor.cli.main import cli
from supervisor.core.state import Phase
from supervisor.service.monitoring.facts import Copies, Facts, Figures, Glance, Ledger
from supervisor.service.monitoring.metrics import Metrics
from tests.markdown import ROOT, code, rows, section

PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "docs" / "alerts.rules.yml"
BEHIND = {"counter": "_total", "info": "_info"}
# What Prometheus itself adds to all that it scrapes.
SCRAPED = {"instance", "job"}
SELECTOR = re.compile(r"\b(stillhere_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*=(~?)\s*"([^"]*)"')


def exported() -> list[Metric]:
    """Return all that there can be: a bot of which everything is known."""
    glance = Glance(
        name="echo",
        session=True,
        phase=Phase.UP,
        up=True,
        wanted=True,
        paused=False,
        held=False,
        generation=1,
        memory_limit_bytes=1,
    )
    ledger = Ledger(restores=1, rollbacks=1, links=1, qr_shown=1)
    copies = Copies(verdicts={"good": 1}, newest="s1", taken_at=1.0, size_bytes=1)
    facts = Facts((glance,), {"echo": Figures(ledger=ledger, copies=copies)}, 0.0)
    return list(Metrics(["echo"], "1")._families(facts))


def labels(metric: Metric) -> dict[str, set[str]]:
    """Return the labels of a metric, and their values."""
    found: dict[str, set[str]] = {}
    for sample in metric.samples:
        for name, value in sample.labels.items():
            found.setdefault(name, set()).add(value)
    return found


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def each_rule() -> pytest.MarkDecorator:
    """Run a test for each rule, under its name."""
    return pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))


def test_every_metric_is_documented_and_no_other() -> None:
    """Both ways: name, type, labels and meaning, word by word."""
    there = {
        metric.name + BEHIND.get(metric.type, ""): (
            metric.type,
            sorted(set(labels(metric)) - {"le"}),
            metric.documentation,
        )
        for metric in exported()
    }
    headings = ("## Bots", "## Sessions and snapshots", "## The supervisor")
    listed = [row for heading in headings for row in rows(section(PAGE, heading))]
    page = {code(name)[0]: (kind, sorted(code(of)), text) for name, kind, of, text in listed}
    assert len(page) == len(listed), "a metric is documented twice"
    assert page == there


def test_every_word_of_a_label_is_documented_and_no_other() -> None:
    """Who writes a query finds what to compare with."""
    there: dict[str, set[str]] = {}
    for metric in exported():
        for name, values in labels(metric).items():
            there.setdefault(name, set()).update(values)
    page = {
        code(label)[0]: set(code(values))
        for label, values in rows(section(PAGE, "## The values of labels"))
    }
    assert page == {name: there[name] for name in set(there) - {"bot", "le", "version"}}


def test_there_are_eighteen_rules_each_with_its_name() -> None:
    """A name is what one silences: none is used twice."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) == 18
    assert all(re.fullmatch(r"Stillhere[A-Z]\w+", name) for name in names)


@each_rule()
def test_a_rule_asks_only_for_what_is_exported(rule: dict[str, Any]) -> None:
    """Its names, labels and the words it compares them with: a wrong one would never fire."""
    known = {s.name: labels(metric) for metric in exported() for s in metric.samples}
    asked = SELECTOR.findall(rule["expr"])
    assert asked
    for name, matchers in asked:
        assert name in known
        for label, pattern, value in MATCHER.findall(matchers):
            assert label in known[name]
            assert set(value.split("|") if pattern else [value]) <= known[name][label]
    joined = re.findall(r"\bon \(([^)]*)\)", rule["expr"])
    used = {word.strip() for group in joined for word in group.split(",")}
    used |= set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    for name in {name for name, _ in asked}:
        assert used <= set(known[name]) | SCRAPED


@each_rule()
def test_a_rule_says_what_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """Commands that it names are there."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["annotations"]) == {"summary", "what_to_do"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    named = re.findall(r"\bstillhere ([a-z]+)", rule["annotations"]["what_to_do"])
    assert set(named) <= set(cli.list_commands(click.Context(cli)))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
def test_prometheus_takes_the_rules() -> None:
    """Its own checker."""
    done = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
