"""The report as one page that needs nothing else: no script, no link, no font from elsewhere."""

from importlib.resources import files

from jinja2 import Environment

from supervisor.core.records import PHASES
from supervisor.core.timeline import Timeline, length_s, timeline
from supervisor.verify.model import Report

_TEMPLATE = "page.html.jinja"


def page(report: Report) -> str:
    """Return the page's HTML. All that comes from a bot is escaped."""
    whole_s = max((length_s(each.record) for each in report.restarts), default=0.0)
    drawn = [(each, timeline(each.record, whole_s)) for each in report.restarts]
    text = (files("supervisor.verify") / _TEMPLATE).read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    counts = [
        (verdict, sum(1 for each in report.results if each.outcome.verdict == verdict))
        for verdict in ("pass", "fail", "not run", "n/a")
    ]
    return environment.from_string(text).render(
        report=report,
        counts=[(verdict, number) for verdict, number in counts if number],
        groups=list(dict.fromkeys(each.row.group for each in report.results)),
        pictures=[(each, picture, _words(picture)) for each, picture in drawn],
        phases=PHASES,
        whole_s=whole_s,
    )


def _words(picture: Timeline) -> str:
    """Say a picture to who does not see it."""
    bars = [f"{bar.phase} {bar.seconds * 1000:.0f} ms" for bar in picture.bars if bar.seconds]
    offline = f"; offline {picture.gap.seconds * 1000:.0f} ms" if picture.gap else ""
    return ", ".join(bars) + offline
