"""How a bot's processes are started: what each gets, and from a spare where one fits.

Knows nothing of why one is started, and of none that runs.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from supervisor.config import BotConfig, Config, interpreter, resolved_command
from supervisor.control import paths
from supervisor.core.events import Event
from supervisor.process import descriptors, environment
from supervisor.process.child import Child
from supervisor.process.plan import Ahead, Plan
from supervisor.session import files
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
        on_prompt: Output,
        on_qr: Callable[[], None],
    ) -> None:
        self.lock = lock
        self._config = config
        self._bot = bot
        self._token_prefix = token_prefix
        self._folder = folder
        self._socket_dir = socket_dir
        self._watched = watched
        self._terminal = terminal
        self._stdin = stdin
        self._child = partial(
            Child,
            emit=emit,
            on_line=on_line,
            on_qr=on_qr,
            on_prompt=on_prompt if stdin else None,
        )

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
        env = environment.base(self._bot.env, self._bot.env_file)
        if self.python is None or not self._watched:
            return None
        # Where nothing is watched, nothing is saved twice within a second either.
        folder = bytecode.prefix()
        return folder if bytecode.variables(env, folder) else None

    def environment(self) -> dict[str, str]:
        """Return what all generations get: read anew, for the env file may have changed."""
        env = environment.base(self._bot.env, self._bot.env_file)
        if (folder := self.bytecode_folder) is not None:
            env |= bytecode.variables(env, folder)
        return env

    def start(self, generation: int, lock_fd: int, *, cold: bool) -> Child:
        """Start a generation, with the session or to wait. Raises: SupervisorError, OSError."""
        child = self._child(self._plan(generation, lock_fd, cold=cold))
        descriptors.give_back(child.pid)
        return child

    def start_spare(self, lock_fd: int, ahead: Ahead, on_spare: Callable[[str], None]) -> Child:
        """Start a spare, which inherits `lock_fd`. Raises: SupervisorError, OSError."""
        child = self._child(self._plan(0, lock_fd, cold=False, ahead=ahead), on_spare=on_spare)
        descriptors.give_back(child.pid)
        return child

    def list_changed(self, changed: Sequence[str]) -> Path:
        """Write down for a new generation what changed."""
        self._prepare_sockets()
        path = self._socket_dir / f"{self._bot.name}.changed.json"
        path.write_text(json.dumps({"changed": list(changed)}), errors="surrogateescape")
        return path

    def _plan(
        self, generation: int, lock_fd: int, *, cold: bool, ahead: Ahead | None = None
    ) -> Plan:
        bot = self._bot
        self._prepare_sockets()
        listed = self._socket_dir / f"{bot.name}.changed.json"
        return Plan(
            generation=generation,
            token_prefix=self._token_prefix,
            command=self.command,
            cwd=bot.cwd,
            env={**self.environment(), "STILLHERE_CHANGED": str(listed)},
            session_id=bot.session or bot.name,
            session_dir=self._folder if cold else None,
            notify=bot.ready.kind == "notify",
            can_stand_by=bot.session is not None,
            socket_dir=self._socket_dir,
            lock=self.lock,
            lock_fd=lock_fd,
            stop_signal=bot.stop_signal,
            terminal=self._terminal,
            stdin=self._stdin,
            paused=ahead,
        )

    def _prepare_sockets(self) -> None:
        """Make the sockets' folder anew if it is gone: what cleans /tmp goes by age, not by use."""
        folder = self._socket_dir
        if not folder.is_dir():
            paths.prepare(folder.parent)
            folder.mkdir(mode=0o700)
            files.hold(folder)  # until we end: another supervisor sweeps what nobody holds
