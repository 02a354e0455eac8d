"""What a new configuration changes. Pure: it compares two, and does nothing."""

from collections.abc import Collection
from dataclasses import dataclass, fields

from supervisor.config.model import BotConfig, Config

# What the loop can take over while the bot runs; with any other key its process is another one.
LIVE = frozenset(
    {
        "stop_timeout_s",
        "restore_timeout_s",
        "start_timeout_s",
        "checkpoint_timeout_s",
        "settle_s",
        "snapshots",
        "restart",
        "limits",
    }
)
# Where everything lies: what runs has it open, and locked.
FIXED = ("root", "sessions", "snapshots", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Names of bots, in the order of the new file (of the old one: `removed`).

    `changed` go on as they are, by new settings; `restarted` can't.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def changes(old: Config, new: Config, chosen: Collection[str] | None = None) -> Changes:
    """Return what is to be done; `chosen`: the only bots that are ours, None: all."""
    before = [name for name in old.bots if chosen is None or name in chosen]
    after = [name for name in new.bots if chosen is None or name in chosen]
    both = [name for name in after if name in before]
    differing = {name: different(old, new, name) for name in both}
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        restarted=tuple(name for name, keys in differing.items() if keys - LIVE),
        changed=tuple(name for name, keys in differing.items() if keys and keys <= LIVE),
    )


def different(old: Config, new: Config, name: str) -> frozenset[str]:
    """Return the keys of a bot whose values differ."""
    before, after = old.bots[name], new.bots[name]
    names = [field.name for field in fields(BotConfig) if field.compare]
    found = {key for key in names if getattr(before, key) != getattr(after, key)}
    if before.limits.watchdog_s != after.limits.watchdog_s:
        found.add("watchdog_s")  # it was told at its start how often to speak
    return frozenset(found)


def problems(old: Config, new: Config, chosen: Collection[str] | None = None) -> tuple[str, ...]:
    """Return why it can't be taken without a restart; nothing if it can."""
    found = [
        f"{new.path}: supervisor.{key} was {getattr(old, key)}, and is {getattr(new, key)}: "
        "that needs a restart of the supervisor"
        for key in FIXED
        if getattr(old, key) != getattr(new, key)
    ]
    if not any(chosen is None or name in chosen for name in new.bots):
        found.append(f"{new.path}: none of the bots that run here is left")
    return tuple(found)
