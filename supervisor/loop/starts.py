"""How a bot's processes are started: what each gets, and from a spare where one fits.

Knows nothing of why one is started, and of none that runs.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from supervisor.config import BotConfig, Config, interpreter, resolved_command
from supervisor.core.errors import SupervisorError
from supervisor.core.events import Event
from supervisor.loop.sockets import Sockets
from supervisor.process import descriptors, environment, user
from supervisor.process.carried import Carried
from supervisor.process.child import Child
from supervisor.process.command import death_signal
from supervisor.process.plan import Ahead, Plan
from supervisor.process.tree import Stat
from supervisor.session.lock import OwnerLock
from supervisor.watch import bytecode

Output = Callable[[int, str, bytes], None]


class Starts:
    """Starts the generations of one bot, and its spares.

    `watched`: whether its source may change, so that bytecode has to be checked by content.
    """

    def __init__(
        self,
        config: Config,
        bot: BotConfig,
        *,
        lock: OwnerLock,
        token_prefix: str,
        folder: Path | None,
        socket_dir: Path,
        watched: bool,
        terminal: bool,
        stdin: bool,
        emit: Callable[[Event], None],
        on_line: Output,
        on_drop: Callable[[int, str, int], None],
        on_prompt: Output,
        on_qr: Callable[[], None],
        on_stranger: Callable[[], None],
    ) -> None:
        self.lock = lock
        self._config = config
        self._bot = bot
        self._token_prefix = token_prefix
        self._folder = folder
        self._user = user.find(bot.user)
        self._sockets = Sockets(socket_dir, self._user)
        self._watched = watched
        self._terminal = terminal
        self._stdin = stdin
        self.mask: Sequence[str] = config.logs.mask
        self._child = partial(
            Child,
            emit=emit,
            on_line=on_line,
            on_drop=on_drop,
            on_qr=on_qr,
            on_stranger=on_stranger,
            on_prompt=on_prompt if stdin else None,
        )

    def reconfigure(self, bot: BotConfig) -> None:
        """Start the next ones by other settings."""
        self._bot = bot

    @property
    def _listed(self) -> str:
        return f"{self._bot.name}.changed.json"

    @property
    def prefix(self) -> list[str]:
        """What is executed to run something else as the bot's user."""
        return [] if self._user is None else death_signal(self._user)

    @property
    def command(self) -> tuple[str, ...]:
        """The command as it is executed."""
        return resolved_command(self._bot, self._config.root)

    @property
    def python(self) -> str | None:
        """The interpreter that runs the bot, if its command names one."""
        return interpreter(self._bot, self._config.root)

    @property
    def bytecode_folder(self) -> Path | None:
        """Where this bot's bytecode is checked by content; None: nowhere."""
        env = environment.base(self._bot.env, self._bot.env_file, self._user)
        if self.python is None or not self._watched:
            return None
        # Where nothing is watched, nothing is saved twice within a second either.
        # Nor has another user anything to do with our bytecode, or we with theirs.
        folder = bytecode.prefix() if self._user is None else bytecode.NOWHERE
        return folder if bytecode.variables(env, folder) else None

    def environment(self) -> dict[str, str]:
        """Return what all generations get: read anew, for the env file may have changed."""
        env = environment.base(self._bot.env, self._bot.env_file, self._user)
        if (folder := self.bytecode_folder) is not None:
            env |= bytecode.variables(env, folder)
        return env | self._watched_over(env)

    def _watched_over(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return what a bot is told that is looked after: how often to say that it lives."""
        limits, found = self._bot.limits, {}
        if limits.watchdog_s is not None and self._bot.ready.by_contract:
            found["WATCHDOG_USEC"] = str(int(limits.watchdog_s * 1e6))
        if (limits.watchdog_s or limits.alive) and self.python and "PYTHONFAULTHANDLER" not in env:
            found["PYTHONFAULTHANDLER"] = "1"  # SIGABRT prints the stacks of all threads
        return found

    def start(self, generation: int, lock_fd: int, *, cold: bool) -> Child:
        """Start a generation, with the session or to wait. Raises: SupervisorError, OSError."""
        child = self._child(self._plan(generation, lock_fd, cold=cold), mask=self.mask)
        descriptors.give_back(child.pid)
        return child

    def adopt(self, carried: Carried) -> Child:
        """Take a generation over that an earlier program of ours has started.

        Raises: SupervisorError, if that process is not our child any more.
        """
        with suppress(ProcessLookupError):
            stat = Stat(carried.pid)
            if (stat.parent, stat.started) == (os.getpid(), carried.started):
                plan = self._plan(carried.generation, None, cold=True)
                return self._child(plan, mask=self.mask, carried=carried)
        raise SupervisorError(f"process {carried.pid} is not ours any more")

    def start_spare(self, lock_fd: int, ahead: Ahead, on_spare: Callable[[str], None]) -> Child:
        """Start a spare, which inherits `lock_fd`. Raises: SupervisorError, OSError."""
        plan = self._plan(0, lock_fd, cold=False, ahead=ahead)
        child = self._child(plan, mask=self.mask, on_spare=on_spare)
        descriptors.give_back(child.pid)
        return child

    def list_changed(self, changed: Sequence[str]) -> Path:
        """Write down for a new generation what changed."""
        return self._sockets.write(self._listed, json.dumps({"changed": list(changed)}))

    def _plan(
        self, generation: int, lock_fd: int | None, *, cold: bool, ahead: Ahead | None = None
    ) -> Plan:
        bot = self._bot
        listed = self._sockets.path(self._listed)
        return Plan(
            generation=generation,
            token_prefix=self._token_prefix,
            command=self.command,
            cwd=bot.cwd,
            env={**self.environment(), "STILLHERE_CHANGED": str(listed)},
            session_id=bot.session or bot.name,
            session_dir=self._folder if cold else None,
            notify=bot.ready.by_contract,
            can_stand_by=bot.session is not None,
            socket_dir=self._sockets.ready(),
            lock=self.lock,
            lock_fd=lock_fd,
            stop_signal=bot.stop_signal,
            terminal=self._terminal,
            stdin=self._stdin,
            paused=ahead,
            user=self._user,
        )
