"""How the bots live: do they come online, is it the same device, do they end when they are told."""

import json
from collections.abc import Iterable

from supervisor.config import BotConfig
from supervisor.control.journal import Record
from supervisor.doctor import wrapped
from supervisor.doctor.findings import Finding, Findings
from supervisor.doctor.ground import Ground

_STARTS = 3
# One QR code after a link may be a logout; a second one is a habit.
_AGAIN = 2


def edited(bot: BotConfig, key: str, value: object) -> str:
    """Return an edit of one key of a bot's table, as the config file has it."""
    return f"[bot.{bot.name}]\n{key} = {_toml(value)}"


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def online(ground: Ground, bot: BotConfig) -> Findings:
    """A bot that is not online: why it is not, and what it waits for."""
    status = ground.status(bot)
    if not status:
        yield from _when_it_last_ran(ground, bot)
        return
    why = f": {status['why']}" if status.get("why") else ""
    logs = ground.command("logs", bot.name)
    match str(status.get("phase")):
        case "failed":
            yield Finding(
                severity="problem",
                seen=f"it has FAILED{why}",
                cause=_last_words(ground, bot) or "it ended again and again, or may not be started",
                fix="see what it printed, mend that, then start it",
                commands=(logs, ground.command("start", bot.name)),
            )
        case "backoff":
            yield Finding(
                severity="problem",
                seen=f"it ended, and is started again soon{why}",
                cause=_last_words(ground, bot) or "it ends by itself",
                fix="see what it printed, mend that; it is tried again by itself",
                commands=(logs,),
            )
        case "refused":
            yield Finding(
                severity="problem",
                seen=f"another supervisor owns its session{why}",
                cause="two supervisors run for the same session",
                fix="stop the other one, or let it do the work",
                commands=(ground.command("start", bot.name),),
            )
        case "pairing":
            yield Finding(
                severity="problem",
                seen="it waits for a QR code to be scanned",
                cause=_why_pairing(ground, bot),
                fix="scan it",
                commands=(ground.command("link", bot.name),),
            )
        case "verifying" if _is_late(ground, bot):
            yield _never_ready(ground, bot)
        case "down":
            yield Finding(
                severity="note",
                seen="it was stopped",
                cause="somebody asked for that, or it finished by itself",
                fix="start it",
                commands=(ground.command("start", bot.name),),
            )
        case _:
            yield from _waits(ground, bot, status)


def _waits(ground: Ground, bot: BotConfig, status: Record) -> Findings:
    """Say what an online bot waits for."""
    if status.get("paused"):
        yield Finding(
            severity="note",
            seen="it is paused: changes are collected, and nothing is restarted",
            cause="somebody pressed p, or asked for it",
            fix="go on",
            commands=(ground.command("resume", bot.name),),
        )
    elif status.get("held"):
        yield Finding(
            severity="note",
            seen=f"the old code runs on: {status['held']}",
            cause="a working bot is not stopped for code that can't start",
            fix="save the fix; see why by",
            commands=(ground.command("events", bot.name),),
        )


def _when_it_last_ran(ground: Ground, bot: BotConfig) -> Findings:
    """Say of a bot that does not run how its last run ended."""
    if ground.running or ground.silent:
        return
    last = _last(ground.events_of(bot), {"failed", "verified", "spawned", "pairing", "down"})
    if last is not None and last["event"] == "failed":
        yield Finding(
            severity="problem",
            seen=f"when it last ran it FAILED: {last.get('why')}",
            cause=_last_words(ground, bot) or "it ended again and again, or could not be started",
            fix="mend what it says, then start it",
            commands=(ground.command("logs", bot.name), ground.command("dev", bot.name)),
        )
        return
    own = _last(ground.events, {"supervisor_started", "supervisor_stopping"})
    if own is not None and own["event"] == "supervisor_started" and last is not None:
        yield Finding(
            severity="problem",
            seen=f"its supervisor (pid {own.get('pid')}) ended without stopping it",
            cause="it was killed: by hand, for want of memory (dmesg tells), or with the machine",
            fix="start it again; the session is checked first",
            commands=(ground.command("dev"),),
        )


def _last(records: Iterable[Record], kinds: set[str]) -> Record | None:
    found = None
    for record in records:
        found = record if record["event"] in kinds else found
    return found


def _last_words(ground: Ground, bot: BotConfig) -> str:
    """Return why the bot ended last, in the journal's words."""
    last = _last(ground.events_of(bot), {"failed", "backoff", "spawn_failed"})
    return "" if last is None else str(last.get("why") or "")


def _is_late(ground: Ground, bot: BotConfig) -> bool:
    last = _last(ground.events_of(bot), {"late", "spawned", "verified"})
    return last is not None and last["event"] == "late"


def _never_ready(ground: Ground, bot: BotConfig) -> Finding:
    offline = _last(ground.events_of(bot), {"offline", "spawned"})
    if offline is not None and offline["event"] == "offline":
        return Finding(
            severity="problem",
            seen="it runs, and can't reach its server",
            cause="the network, or the server, is away; the session is not to blame",
            fix="see to the network; it is tried again by itself",
            commands=(ground.command("logs", bot.name),),
        )
    return Finding(
        severity="problem",
        seen=f"it runs, and does not say that it is ready ({bot.ready.kind})",
        cause="it hangs, or it says so in words that nobody listens for",
        fix="look at what it prints when it is up, and have that listened for",
        commands=(ground.command("logs", bot.name),),
        edit=f'[bot.{bot.name}]\nready = {{ log = "WHAT IT PRINTS WHEN IT IS UP" }}',
    )


def qr(ground: Ground, bot: BotConfig) -> Findings:
    """A QR code at start after start, though it was scanned before."""
    linked, again = False, dict[str, Record]()
    for record in ground.events_of(bot):
        if record["event"] == "verified" and not record.get("fresh"):
            linked, again = True, {}  # it came back as it was
        elif record["event"] == "linked":
            linked = True
        elif record["event"] == "pairing" and linked:
            again[str(record.get("generation"))] = record
    if len(again) < _AGAIN:
        return
    last = [*again.values()][-1]
    yield Finding(
        severity="problem",
        seen=f"{len(again)} starts asked for a QR code though it was linked, last {last.get('t')}",
        cause=_why_pairing(ground, bot),
        fix=_instead(ground, bot),
        commands=(ground.command("session", "check", str(bot.session)),),
    )


def _why_pairing(ground: Ground, bot: BotConfig) -> str:
    """Return why a QR code was shown, as far as that is known."""
    records = ground.events_of(bot)
    closed = _last(records, {"epoch_closed", "verified"})
    if closed is not None and closed["event"] == "epoch_closed":
        return f"its link has ended: {closed.get('why')}"
    if not _last(records, {"linked", "verified"}):
        return "nobody has scanned one yet"
    if bot.session is not None and not ground.live(bot).files:
        folder = ground.settled.session_dir(bot)
        return f"nothing is ever written into {folder}: the bot keeps its session elsewhere"
    return "the network does not take the session that there is, or the bot does not read it"


def _instead(ground: Ground, bot: BotConfig) -> str:
    if not ground.live(bot).files:
        return "name the place where the bot keeps it (`session_path`, or `session_files`)"
    return "see whether it was logged out on the phone, and what could be restored"


def restores(ground: Ground, bot: BotConfig) -> Findings:
    """Starts that are not counted as restores, or of which nothing is proved."""
    verified = [r for r in ground.events_of(bot) if r["event"] == "verified"][-_STARTS:]
    record = ground.record(bot)
    if len(verified) >= _STARTS and record.state != "linked" and not record.restore_count:
        yield Finding(
            severity="problem",
            seen=f"{len(verified)} starts were fine, and the restore counter is still 0",
            cause="the bot keeps no file where its session is to lie, and does not say which device"
            f" it is: nothing is linked ({ground.settled.session_dir(bot)})",
            fix="name the place where it keeps its session; or have it say its device"
            " (docs/contract.md)",
            edit=f'[bot.{bot.name}]\nsession_path = "WHERE IT KEEPS IT"',
        )
    elif verified and verified[-1].get("proof") == "ready" and not record.identity:
        yield Finding(
            severity="note",
            seen="it says that it is ready, and nothing says which device it is: 'not proved'",
            cause="neither its files nor its words tell that",
            fix="have it say its device: identity, in docs/contract.md",
        )


def stop(ground: Ground, bot: BotConfig) -> Findings:
    """A bot that is not told to stop, or does not, so that it is killed."""
    wrapper = wrapped.wrapper(bot.command)
    stops = [r for r in ground.events_of(bot) if r["event"] in ("stopping", "killed")]
    by = next((r.get("generation") for r in reversed(stops) if r["event"] == "stopping"), None)
    killed = [r for r in stops if r["event"] == "killed" and r.get("generation") == by]
    killed = [r for r in killed if "did not stop" in str(r.get("why"))]
    if not wrapper and not killed:
        return
    inner = wrapped.unwrapped(bot.command, bot.cwd) if wrapper else ()
    if inner and wrapped.restarter(inner):
        inner = wrapped.without_restarter(inner)
    last = f"the last stop ended with SIGKILL: {killed[-1].get('why')}; " if killed else ""
    if wrapper:
        yield Finding(
            severity="problem" if killed else "note",
            seen=f"{last}its command runs it by {wrapper}",
            cause=f"{wrapper} gets the signal to stop, and does not pass it on: the bot may learn"
            " too late that it is to save and end",
            fix="start the program itself"
            + ("" if inner else ": what it runs, with `exec` before it where a shell is needed"),
            edit=edited(bot, "command", list(inner)) if inner else "",
        )
        return
    longer_s = max(10.0, 2 * bot.stop_timeout_s)
    yield Finding(
        severity="problem",
        seen=f"{last.removesuffix('; ')}",
        cause=f"it does not end on {bot.stop_signal.name}: it has no handler that ends it, or takes"
        f" longer than {bot.stop_timeout_s:g} s; what it had not saved is lost",
        fix=f"end on {bot.stop_signal.name} (README, 'Your own bot'), or give it more time",
        commands=(ground.command("logs", bot.name),),
        edit=edited(bot, "stop_timeout_s", longer_s),
    )
