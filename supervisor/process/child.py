"""One generation: a process, its tree, and the channels to it.

It owns the pidfd, the pipes, the notify socket and the standby's pipe of one generation, and
turns what comes through them into events of the core. It decides nothing.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from supervisor.core.events import Event, Exited, TreeGone
from supervisor.process import spare
from supervisor.process.carried import Carried, Listening
from supervisor.process.command import cannot_start, death_signal, program
from supervisor.process.contract import Heard
from supervisor.process.input import Input
from supervisor.process.kin import Kin
from supervisor.process.notify import Message, NotifySocket
from supervisor.process.plan import Ahead, Plan
from supervisor.process.relays import told_to_stop
from supervisor.process.signals import send
from supervisor.process.speech import Speech
from supervisor.process.tree import TOKEN, Stat, mains
from supervisor.process.treewatch import TreeWatch


class Child:
    """A started generation. Raises SupervisorError from the constructor when it can't start.

    `carried`: a generation that runs already is taken over instead.
    Of a spare nothing is told but `on_spare`: "" once it waits, else why it can't be used.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        emit: Callable[[Event], None],
        on_line: Callable[[int, str, bytes], None],
        on_drop: Callable[[int, str, int], None] = lambda *_: None,
        mask: Sequence[str] = (),
        on_qr: Callable[[], None],
        on_prompt: Callable[[int, str, bytes], None] | None = None,
        on_spare: Callable[[str], object] = lambda _: None,
        on_stranger: Callable[[], None] = lambda: None,
        carried: Carried | None = None,
    ) -> None:
        self.plan = plan
        self.generation = plan.generation
        self.heard = Heard()
        self.token = f"{plan.token_prefix}.{plan.generation}.{os.urandom(8).hex()}"
        self.started_at = time.monotonic()
        self.status: int | None = None
        self.gone = False
        self._tell = emit
        self._on_spare = on_spare
        self._on_stranger = on_stranger
        self._line_to_spare: spare.Line | None = None
        self._on_line = on_line
        self._on_drop = on_drop
        self._on_qr = on_qr
        self._on_prompt = on_prompt
        self._loop = asyncio.get_running_loop()
        self._standby_pipe: int | None = None
        self._tree_watch = TreeWatch(self.recheck)
        self._notify: NotifySocket | None = None
        self._input: Input | None = None
        self.speech = Speech(
            on_line=self._line,
            on_prompt=None if on_prompt is None else self._prompt,
            on_drop=self._dropped,
            before=self._hear,
            blot=self._blot,
            mask=mask,
            uid=plan.uid,
        )
        self._process = self._start() if carried is None else None
        self.pid = self._process.pid if self._process is not None else self._adopt(carried)
        self._kin = Kin(self.pid, self.token, plan.lock, {} if carried is None else carried.seen)
        if self._process is not None:
            self._process.returncode = 0  # we collect it: its destructor has no say
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError as error:  # no descriptors left: what cannot be watched must not run
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._close_channels()
            raise cannot_start(plan.command[0], error) from error
        mains.add(self.pid)
        self._loop.add_reader(self._pidfd, self._ended)

    # Starting.

    def _start(self) -> subprocess.Popen[bytes]:
        plan = self.plan
        env = dict(plan.env)
        env[TOKEN] = self.token
        env["STILLHERE_SESSION_ID"] = plan.session_id
        env["STILLHERE_GENERATION"] = str(plan.generation)
        where = program(plan.command[0], plan.cwd, env)
        inherited: list[int] = [] if plan.lock_fd is None else [plan.lock_fd]
        close_after: list[int] = []
        try:
            if plan.notify:
                # Short: where the control socket's path fits, this one does.
                path = plan.socket_dir / self.token.rpartition(".")[2]
                self._notify = self._listen(path)
                env["NOTIFY_SOCKET"] = str(path)
            if plan.notify and plan.can_stand_by:
                theirs, self._standby_pipe = os.pipe()
                close_after.append(theirs)
                inherited.append(theirs)
                env["STILLHERE_STANDBY_FD"] = str(theirs)
            if plan.session_dir is not None:
                env["STILLHERE_SESSION_DIR"] = str(plan.session_dir)
                self.activate(plan.session_dir)
            if plan.paused is not None:
                env["STILLHERE_SESSION_DIR"] = ""  # in its place among the others; see `release`
                env = self._pause(plan.paused, env, inherited, close_after)
            channels = self._channels(close_after)
            return subprocess.Popen(
                [*death_signal(plan.user), str(where), *plan.command[1:]],
                cwd=plan.cwd,
                env=env,
                stdin=channels[0],
                stdout=channels[1],
                stderr=channels[2],
                pass_fds=inherited,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in the command or in a variable
            self._close_channels()
            raise cannot_start(plan.command[0], error) from error
        finally:
            for fd in close_after:
                os.close(fd)

    def _adopt(self, carried: Carried | None) -> int:
        """Go on with one that runs: it is our child still, and its ends are open."""
        assert carried is not None  # noqa: S101 - else one was started
        self.token, self.started_at = carried.token, carried.started_at
        self.heard = Heard.of(carried.said)
        if carried.notify is not None:
            self._notify = self._listen(Path(carried.notify.path), carried.notify)
        self.speech.adopt(carried.readers)
        self._input = None if carried.stdin is None else Input(carried.stdin)
        return carried.pid

    def carry(self) -> Carried | None:
        """Return what `carried` takes; None while it stands by, is a spare, or has ended."""
        if self.status is not None or self.stands_by or self.spare:
            return None
        return Carried(
            generation=self.generation,
            pid=self.pid,
            started=Stat(self.pid).started,
            token=self.token,
            started_at=self.started_at,
            said=self.heard.carry(),
            readers=self.speech.carry(),
            notify=None if self._notify is None else self._notify.carry(),
            stdin=None if self._input is None else self._input.carry(),
            seen=dict(self._kin.seen),
        )

    def _pause(
        self, ahead: Ahead, env: dict[str, str], inherited: list[int], close_after: list[int]
    ) -> dict[str, str]:
        line = spare.Line(ahead, self._spare_said)
        self._line_to_spare = line
        inherited.append(line.theirs)
        close_after.append(line.theirs)
        return spare.environment(env, line.theirs)

    def _listen(self, path: Path, carried: Listening | None = None) -> NotifySocket:
        return NotifySocket(
            path, self._told, self._trusts, self._on_stranger, uid=self.plan.uid, carried=carried
        )

    def _channels(self, close_after: list[int]) -> tuple[int, int, int]:
        out, err = self.speech.open(terminal=self.plan.terminal, close_after=close_after)
        if not self.plan.stdin:
            return subprocess.DEVNULL, out, err
        self._input = Input()
        close_after.append(self._input.childs)
        return self._input.childs, out, err

    def _line(self, stream: str, line: bytes) -> None:
        if self.spare:
            self._spare_said("what was loaded ahead printed a line")
            return
        self.heard.keep(line)
        self._on_line(self.generation, stream, line)

    def _prompt(self, stream: str, text: bytes) -> None:
        if self._on_prompt is not None and not self.spare:
            self._on_prompt(self.generation, stream, text)

    def _dropped(self, stream: str, count: int) -> None:
        if not self.spare:
            self._on_drop(self.generation, stream, count)

    def _blot(self, text: bytes) -> bytes:
        """Blot out what it told us, and what it was told."""
        text = self.heard.blot(text)
        return text if self._input is None else self._input.blot(text)

    # While it is a spare.

    @property
    def spare(self) -> bool:
        """Whether it waits before its first line, and is no generation yet."""
        return self.plan.paused is not None and self.generation == 0

    @property
    def loaded(self) -> int:
        """How many modules were loaded ahead."""
        return 0 if self._line_to_spare is None else self._line_to_spare.loaded

    def release(
        self, generation: int, session_dir: Path | None, forget: Sequence[str] = ()
    ) -> None:
        """Make a spare this generation, with the session, or as a standby.

        `forget`: what it loaded and is to load anew. Raises: OSError when it is gone.
        """
        assert self._line_to_spare is not None  # noqa: S101 - only a spare is released
        if session_dir is not None:
            self.activate(session_dir)
        self._line_to_spare.release(
            {
                "STILLHERE_GENERATION": str(generation),
                "STILLHERE_SESSION_DIR": None if session_dir is None else str(session_dir),
            },
            forget,
        )
        # Not before: what is gone stays a spare, and its end no generation's.
        self.generation = generation
        self.started_at = time.monotonic()

    def _spare_said(self, why: str) -> None:
        if self.spare:
            self._on_spare(why)

    def _emit(self, event: Event) -> None:
        if not self.spare:
            self._tell(event)
        elif isinstance(event, Exited):
            self._spare_said("it ended while it waited")

    # Towards the bot.

    @property
    def stands_by(self) -> bool:
        """Whether it waits for the session, and has not had it yet."""
        return self._standby_pipe is not None

    def activate(self, session_dir: Path) -> None:
        """Tell a waiting generation that the session is its own."""
        if self._standby_pipe is not None:
            with suppress(BrokenPipeError):
                os.write(self._standby_pipe, b"activate " + os.fsencode(session_dir) + b"\n")
            os.close(self._standby_pipe)
            self._standby_pipe = None

    def ask_dump(self, number: signal.Signals) -> None:
        """Ask it where it hangs; many die of it."""
        self._signal_main(number)

    def request_checkpoint(self) -> None:
        """Ask it to flush."""
        self.heard.checkpoint_asked_usec = time.monotonic_ns() // 1000
        self._signal_main(self.heard.checkpoint_signal)

    def write_line(self, text: str) -> None:
        """Give it a line on its standard input, if it has one."""
        if self._input is not None:
            self._input.put(text.encode("utf-8", "surrogateescape"))

    async def drained(self) -> None:
        """Wait until there is room for more lines, or its end."""
        if self._input is not None:
            await self._input.drained()

    def terminate(self) -> None:
        """The stop signal to the main process, or to what is left once it ended; then thaw all.

        Thawed first, a process could go back to sleep over the signal (see `frozen`).
        """
        # The main process first: to find the others takes a moment.
        for pid in told_to_stop([self.pid] if self.status is None else self.members()):
            send(pid, self.plan.stop_signal)
        for pid in self.members():
            send(pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the whole tree, twice: what was forked meanwhile dies too."""
        self._signal_main(signal.SIGKILL)  # first: to find the others takes a moment
        for _ in range(2):
            for pid in self.members():
                send(pid, signal.SIGKILL)

    def _signal_main(self, number: signal.Signals) -> None:
        if self.status is None:
            with suppress(ProcessLookupError, PermissionError):  # it may be root's (sudo)
                signal.pidfd_send_signal(self._pidfd, number)

    def members(self) -> list[int]:
        """Return the live processes that are of it, parents first."""
        return self._kin.members(self.generation)

    # From the bot.

    def _trusts(self, pid: int) -> bool:
        return self._kin.has(pid, self.generation)

    def _told(self, message: Message) -> None:
        if "READY" in message or any(key.startswith("X_STILLHERE_") for key in message):
            self.heard.spoke = True
        self.interpret(message)

    def interpret(self, message: Message) -> None:
        """Take words of the contract: its own, or those that somebody says on its behalf."""
        before = self.heard.qr
        for event in self.heard.take(self.generation, message, self.speech.clean):
            self._emit(event)
        if self.heard.qr != before:
            self._on_qr()

    # Its end.

    def _ended(self) -> None:
        """The main process is dead: hear its last words, then watch its tree go."""
        self._loop.remove_reader(self._pidfd)
        self.members()
        self._drain()
        # Not reaped before its tree is gone: until then its number must not be another's.
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
        assert result is not None  # noqa: S101 - without WNOHANG there is a result
        code = result.si_status
        self.status = code if result.si_code == os.CLD_EXITED else -code
        if self._process is not None:
            self._process.returncode = self.status  # else its destructor would wait for it
        self._emit(Exited(self.generation, self.status))
        self.recheck()

    def _hear(self) -> None:
        """Take what it said before it printed: which QR code is to be blotted out, above all."""
        if self._notify is not None:
            self._notify.drain()

    def _drain(self) -> None:
        self._hear()
        self.speech.drain()

    def recheck(self) -> None:
        """Look whether the tree is gone; watch what still lives of it."""
        if self.status is None or self.gone:
            return
        alive = self.members()
        if alive or not self._kin.byte_free(self.generation):
            self._tree_watch.watch(alive)
            return
        self._tree_watch.close()
        self.gone = True
        self._drain()
        self._close_channels()
        mains.discard(self.pid)  # before its number can be another's
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)
        self._emit(TreeGone(self.generation))

    def _close_channels(self) -> None:
        if self._notify is not None:
            self._notify.close()
        self.speech.close()
        if self._input is not None:
            self._input.close()
        if self._line_to_spare is not None:
            self._line_to_spare.close()
        if self._standby_pipe is not None:
            os.close(self._standby_pipe)
            self._standby_pipe = None
