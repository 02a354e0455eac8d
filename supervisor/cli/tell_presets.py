"""What the console says of a bot that does not speak the contract: what was assumed of it."""

from supervisor.cli import words
from supervisor.cli.tell import Event, Line, Teller, detail, info, warn
from supervisor.cli.words import get


def _assumed(_bot: str, event: Event) -> list[Line]:
    return info(*(f"assumed: {text}" for text in _each(event)))


def _ready_assumed(_bot: str, event: Event) -> list[Line]:
    after = words.seconds(event.get("after_s"))
    return warn(
        f"taken to be up: it has run for {after} and said nothing that is known",
        'if there is a sign that it is, say so in the config: ready = { log = "logged in" }',
    )


def _session_elsewhere(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"its source names another place for its session now: {words.get(event, 'place')},"
        f" but what is kept is {words.get(event, 'before')}",
        "next: stillhere reload; or back to the old place, where it is the same device",
    )


def _unheard(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"it has said nothing by the contract in {words.seconds(event.get('after_s'))}:"
        " without its READY=1 it is started again and again",
        "does it not speak it? then say in the config when it is up:"
        ' ready = { log = "logged in" }, or ready = { alive_s = 3 }',
    )


def _watched_twice(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"it is started by {words.get(event, 'by')}, which restarts it by itself: at each save,"
        " and for files that stillhere writes; its session is not guarded then",
        "start the bot itself: `command` in the config, or stillhere dev -- COMMAND",
    )


def _loss_doubted(_bot: str, event: Event) -> list[Line]:
    restarts = event.get("restarts") is True
    then = "it is restarted: if that is true, it says so again" if restarts else "nothing is done"
    return warn(
        f"its output says that the link is lost ({get(event, 'reason')}), while it is up;"
        f" a message to it may say that, too: {then}"
    )


def _browser_closed(_bot: str, event: Event) -> list[Line]:
    told = _each(event) or ["its browser was closed"]
    return [line for text in told for line in detail(text)]


def _each(event: Event) -> list[str]:
    what = event.get("what")
    return [words.clean(text) for text in what] if isinstance(what, list) else []


def _session_unseen(_bot: str, event: Event) -> list[Line]:
    names = event.get("names")
    what = (
        f" by the names that it may have ({len(names)})"
        if isinstance(names, list) and names
        else ""
    )
    return warn(
        f"nothing of its session is in {words.get(event, 'where')}{what}: nothing is backed up yet",
        "where does it lie? say so in the config: session_path, or session_files",
    )


PRESETS: dict[str, Teller] = {
    "assumed": _assumed,
    "ready_assumed": _ready_assumed,
    "session_unseen": _session_unseen,
    "session_elsewhere": _session_elsewhere,
    "unheard": _unheard,
    "watched_twice": _watched_twice,
    "loss_doubted": _loss_doubted,
    "browser_closed": _browser_closed,
}
