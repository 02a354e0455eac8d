"""What the console says of a bot that is not well, of reloads and of upgrades."""

from supervisor.cli import words
from supervisor.cli.tell import Event, Line, Teller, bad, because, detail, info, warn
from supervisor.cli.words import get


def _hang(_bot: str, event: Event) -> list[Line]:
    return bad(f"it hangs{because(event)}; its session is copied, then it is restarted")


def _limit(_bot: str, event: Event) -> list[Line]:
    return warn(f"it uses too much{because(event)}; it is restarted in good order")


def _watchdog_held(_bot: str, event: Event) -> list[Line]:
    return info(f"silent, and no hang{because(event)}")


def _reloading(_bot: str, _event: Event) -> list[Line]:
    return detail("the config is read anew")


def _reloaded(_bot: str, event: Event) -> list[Line]:
    done = [
        f"{text}: {', '.join(words.clean(name) for name in event[key])}"
        for key, text in (
            ("added", "new"),
            ("removed", "gone"),
            ("restarted", "restarted"),
            ("changed", "goes on by new settings"),
        )
        if event.get(key)
    ]
    return info(f"reloaded: {'; '.join(done) or 'no bot is affected'}")


def _reload_refused(_bot: str, event: Event) -> list[Line]:
    problems = str(event.get("why", "")).splitlines()
    return [
        *bad("the new config is refused; the old one goes on"),
        *bad(*(words.clean(problem) for problem in problems)),
    ]


def _reload_incomplete(_bot: str, event: Event) -> list[Line]:
    return warn(f"the new config could not be taken in full{because(event)}")


def _upgrading(_bot: str, event: Event) -> list[Line]:
    return info(f"upgrade from {get(event, 'from')} to {get(event, 'to')}: the bots run on")


def _upgraded(_bot: str, event: Event) -> list[Line]:
    pids = event.get("pids")
    count = len(pids) if isinstance(pids, dict) else 0
    took = words.seconds(event.get("duration_s"))
    return info(f"upgraded to {get(event, 'to')} in {took}, pid {get(event, 'pid')}; bots: {count}")


def _upgrade_refused(_bot: str, event: Event) -> list[Line]:
    return warn(f"no upgrade{because(event)}", "nothing was changed: all goes on as before")


def _output_dropped(_bot: str, event: Event) -> list[Line]:
    return detail(f"{get(event, 'lines')} lines of output were more than can be kept")


def _log_failed(_bot: str, event: Event) -> list[Line]:
    return warn(f"the log file can't be written{because(event)}; the bot goes on")


def _notify_strangers(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"{words.count(event.get('count'), 'message')} to its notify socket came from "
        "no process of the bot: ignored",
        "one that ends at once is gone before it is looked up; systemd-notify waits",
    )


def _web_listening(_bot: str, event: Event) -> list[Line]:
    # Its whole address, with the secret in it, is for terminals only.
    where = f"http://127.0.0.1:{get(event, 'port')}/"
    return detail(f"page: {where} (with the token that it wants: stillhere web)")


def _web_failed(_bot: str, event: Event) -> list[Line]:
    return warn(f"there is no page{because(event)}", get(event, "hint"))


def _web_ended(_bot: str, event: Event) -> list[Line]:
    return warn(f"the page's process ended{because(event)}; the bots go on")


SERVICE: dict[str, Teller] = {
    "output_dropped": _output_dropped,
    "log_failed": _log_failed,
    "notify_strangers": _notify_strangers,
    "hang": _hang,
    "limit": _limit,
    "watchdog_held": _watchdog_held,
    "reloading": _reloading,
    "reloaded": _reloaded,
    "reload_refused": _reload_refused,
    "reload_incomplete": _reload_incomplete,
    "upgrading": _upgrading,
    "upgraded": _upgraded,
    "upgrade_refused": _upgrade_refused,
    "web_listening": _web_listening,
    "web_failed": _web_failed,
    "web_ended": _web_ended,
}
