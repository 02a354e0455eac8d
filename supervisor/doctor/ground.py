"""What the checks look at: the config, the bots, who runs them, what happened. It changes nothing.

Each thing is looked at once, when the first check asks for it.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from supervisor.config import BotConfig, Config, find
from supervisor.control import journal
from supervisor.control.client import Client, NotRunning
from supervisor.core.errors import ConfigError, SupervisorError
from supervisor.doctor.findings import CannotTell, line
from supervisor.doctor.world import World
from supervisor.presets.choose import default_config, load
from supervisor.presets.command import guessed
from supervisor.process.tree import with_descendants
from supervisor.session.copying.writers import writers
from supervisor.session.manager import SessionManager
from supervisor.session.model import since_1970
from supervisor.session.opened import manager_of
from supervisor.session.scan import Scan, scan
from supervisor.session.state import Record
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Manifest
from supervisor.watch.fingerprints import Tree

FILE_NAME = "config.toml"
# A supervisor that works answers within milliseconds.
_PATIENCE_S = 1.5


class Place(NamedTuple):
    """What is written: what it is, where it lies, and the table and key that say so."""

    what: str
    path: Path
    table: str
    key: str

    def edit(self, path: Path) -> str:
        """Return the edit that says that it lies there."""
        return f"{self.table}\n{self.key} = {json.dumps(str(path), ensure_ascii=False)}"


def _is_dated(record: journal.Record) -> bool:
    try:
        since_1970(str(record.get("t")))
    except ValueError:
        return False
    return True


class Ground:
    """See the module. `named`: the config that was asked for; `only`: the one bot.

    `path`: of the config, be it there or not. `config`: what it says; None where it is `refused`.
    Raises: ConfigError for a bot that is not in the config.
    """

    def __init__(
        self,
        here: Path,
        *,
        named: Path | None = None,
        only: str | None = None,
        world: World | None = None,
    ) -> None:
        self.here = here
        self.world = world or World()
        found = named or find(here)
        self._named = named
        self.path = Path(os.path.abspath(found or here / FILE_NAME))  # noqa: PTH100 - a linked file keeps its own folder
        self.written = found is not None
        self.unsaid = False  # how the bot is started: only `dev -- COMMAND` knows
        self.config: Config | None = None
        self.refused: ConfigError | None = None
        try:
            self.config = load(self.path) if self.written else self._as_dev_would()
        except ConfigError as error:
            self.refused = error
        bots = self.config.bots if self.config else {}
        if only is not None and self.config is not None and only not in bots:
            raise ConfigError(
                (f"{self.path}: there is no bot {only!r}",), "the bots: " + ", ".join(bots)
            )
        self.only = only
        self.bots = tuple(bot for name, bot in bots.items() if only in (None, name))

    def _as_dev_would(self) -> Config:
        """Return the config of a folder without one. Raises: ConfigError."""
        words = guessed(self.here)
        self.unsaid = not words
        config = default_config(self.here, words or ("python",))
        if words or config.sessions.is_dir() or config.snapshots.is_dir() or self.running:
            return config
        raise ConfigError(
            (f"no {FILE_NAME} here or above, and no bot that is known ({self.here})",),
            "stillhere init -- COMMAND writes one; COMMAND is how the bot is started",
        )

    # Who runs it.

    @cached_property
    def _asked(self) -> tuple[dict[str, Any] | None, SupervisorError | None]:
        """What a supervisor answers, and why it does not."""
        client = Client.for_config(self.path)
        client = Client(*client.paths, name=client.name, patience_s=_PATIENCE_S, total_s=3.0)
        try:
            found = client.call("status")
        except NotRunning:
            return None, None
        except SupervisorError as error:
            return None, error
        nonsense = SupervisorError("the supervisor answered nonsense")
        return (found, None) if isinstance(found, dict) else (None, nonsense)

    @property
    def running(self) -> bool:
        """Whether a supervisor runs for this config and answers."""
        return self._asked[0] is not None

    @property
    def silent(self) -> SupervisorError | None:
        """Why a supervisor that is there does not answer; None if none is, or it does."""
        return self._asked[1]

    @property
    def pid(self) -> int | None:
        """The supervisor's process."""
        supervisor = (self._asked[0] or {}).get("supervisor")
        pid = supervisor.get("pid") if isinstance(supervisor, dict) else None
        return pid if isinstance(pid, int) else None

    def status(self, bot: BotConfig) -> dict[str, Any]:
        """Return what the supervisor says of a bot; nothing where none runs."""
        bots = (self._asked[0] or {}).get("bots")
        found = bots.get(bot.name) if isinstance(bots, dict) else None
        return found if isinstance(found, dict) else {}

    def tree_of(self, bot: BotConfig) -> list[int]:
        """Return the processes of a bot that its supervisor runs."""
        pid = self.status(bot).get("pid")
        return with_descendants([pid]) if isinstance(pid, int) else []

    @cached_property
    def who(self) -> int:
        """The uid that runs the supervisor: of the one that runs, else our own."""
        if self.pid is not None:
            with contextlib.suppress(OSError):
                return (self.world.proc / str(self.pid)).stat().st_uid
        return os.geteuid()

    @cached_property
    def events(self) -> list[journal.Record]:
        """What happened, the oldest first; each has a time `t` that is one."""
        if self.config is None:
            return []
        return list(filter(_is_dated, journal.read(self.config.snapshots / ".events.jsonl")))

    def events_of(self, bot: BotConfig) -> list[journal.Record]:
        """Return what happened to one bot, the oldest first."""
        return [record for record in self.events if record.get("bot") == bot.name]

    # What lies where.

    @property
    def settled(self) -> Config:
        """The config. Raises: CannotTell where there is none."""
        if self.config is None:
            raise CannotTell("the config can't be read")
        return self.config

    def places(self) -> Iterator[Place]:
        """Yield what the supervisor writes into, the outer ones first."""
        if (config := self.config) is None:
            return
        yield Place("the sessions", config.sessions, "[supervisor]", "sessions")
        yield Place("the snapshots", config.snapshots, "[supervisor]", "snapshots")
        yield Place("the state", config.state, "[supervisor]", "state")
        if config.logs.folder is not None:
            yield Place("the logs", config.logs.folder, "[logs]", "folder")
        for bot in self.bots:
            if bot.session is not None:
                what, table = f"the session of {bot.name}", f"[bot.{bot.name}]"
                yield Place(what, config.session_dir(bot), table, "session_path")

    @cached_property
    def sessions(self) -> Path:
        """The real path of the folder in which sessions lie as a rule."""
        return Path(os.path.realpath(self.settled.sessions))

    @cached_property
    def sessions_in_use(self) -> bool:
        """Whether somebody has a file below that open to write."""
        return next(writers(self.sessions), None) is not None

    @staticmethod
    def nearest(path: Path) -> Path:
        """Return a path, or what is there of it."""
        return next(each for each in (path, *path.parents) if each.exists())

    def tree(self, bot: BotConfig) -> Tree:
        """Return what the watcher of a bot looks at (as loop/charge.py has it)."""
        config = self.settled
        never = [config.sessions, config.snapshots, config.state]
        among: list[tuple[Path, tuple[str, ...]]] = []
        for each in config.bots.values():
            if each.session is not None and each.session_files:
                among.append((config.session_dir(each), each.session_files))
            elif each.session is not None:
                folder = config.session_dir(each)
                never += [folder, folder.parent / f".session-{each.session}.lock"]
        return Tree(
            bot.watch,
            base=config.root,
            ignore=bot.ignore,
            only=bot.watch_only,
            never=never,
            among=among,
        )

    # The sessions.

    def manager(self, bot: BotConfig) -> SessionManager:
        """Return the manager of a bot's session."""
        return manager_of(self.settled, bot)

    @cached_property
    def _looked(self) -> dict[str, tuple[Scan, Record, Listing]]:
        return {}

    def _session(self, bot: BotConfig) -> tuple[Scan, Record, Listing]:
        if bot.session is None:
            raise CannotTell("it has no session")
        if bot.session not in self._looked:
            manager = self.manager(bot)
            found = scan(manager.folder(bot.session), names=manager.names(bot.session))
            record = manager.record(bot.session)
            self._looked[bot.session] = found, record, manager.store.listing(bot.session)
        return self._looked[bot.session]

    def live(self, bot: BotConfig) -> Scan:
        """Return what a walk finds of a bot's live session."""
        return self._session(bot)[0]

    def record(self, bot: BotConfig) -> Record:
        """Return what is written down of a bot's session."""
        return self._session(bot)[1]

    def listing(self, bot: BotConfig) -> Listing:
        """Return a bot's snapshots."""
        return self._session(bot)[2]

    def newest(self, bot: BotConfig) -> Manifest | None:
        """Return a bot's newest snapshot, whatever it is worth; None: it has none."""
        if bot.session is None:
            return None
        return next(iter(reversed(self.listing(bot).snapshots)), None)

    @property
    def session_bytes(self) -> int:
        """How large the sessions are together."""
        return sum(self.live(bot).size_bytes for bot in self.bots if bot.session is not None)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the sessions."""
        return tuple(bot.session for bot in self.bots if bot.session is not None)

    # What a person types.

    def command(self, *words: str) -> str:
        """Return a command line of ours, as it is typed where we were asked."""
        config = ("--config", str(self.path)) if self._named is not None else ()
        return line("stillhere", *config, *words)
