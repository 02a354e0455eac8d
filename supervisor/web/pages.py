"""Puts what is known into the templates; the feed has each part of a page rendered alone."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from supervisor.core.records import PHASES
from supervisor.core.version import VERSION
from supervisor.web import words

PARTS = ("bots", "now", "pairing", "timeline", "snapshots")
HERE = Path(__file__).parent


class Pages:
    """The templates. Whatever they are given is text, and is escaped."""

    def __init__(self, key: str) -> None:
        self._all = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._all.globals.update(form_key=key, version=VERSION, phases=PHASES)
        self._all.filters.update(size=words.size, span=words.span, ago=words.ago, local=words.local)

    def page(self, name: str, **facts: Any) -> str:
        """Return a whole page."""
        return self._all.get_template(f"{name}.html").render(**facts)

    def part(self, name: str, **facts: Any) -> str:
        """Return one part of a bot's page."""
        return self._all.get_template(f"_{name}.html").render(**facts)
