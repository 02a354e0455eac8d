"""What the console says of a bot that does not speak the contract: what was assumed of it."""

from supervisor.cli import words
from supervisor.cli.tell import Event, Line, Teller, info, warn


def _assumed(_bot: str, event: Event) -> list[Line]:
    what = event.get("what")
    texts = [words.clean(text) for text in what] if isinstance(what, list) else []
    return info(*(f"assumed: {text}" for text in texts))


def _ready_assumed(_bot: str, event: Event) -> list[Line]:
    after = words.seconds(event.get("after_s"))
    return warn(
        f"taken to be up: it has run for {after} and said nothing that is known",
        'if there is a sign that it is, say so in the config: ready = { log = "logged in" }',
    )


PRESETS: dict[str, Teller] = {"assumed": _assumed, "ready_assumed": _ready_assumed}
