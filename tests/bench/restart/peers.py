"""The others, each for the bot that is not modified."""

import json
import os
import signal
import subprocess
from contextlib import suppress

from tests.bench.restart.tools import END_S, Tool


class NodemonExec(Tool):
    """Nodemon with `exec`, so that its signal reaches the bot and it waits for its end."""

    name = "nodemon, exec form"
    program = package = "nodemon"

    def argv(self) -> list[str]:
        """Watch the program's folder for .py; SIGTERM, as all others."""
        return [*self._watch(), "--exec", "exec " + " ".join(self.project.command)]

    def _watch(self) -> list[str]:
        return [self._path, "--no-stdin", "--watch", "app", "--ext", "py", "--signal", "SIGTERM"]


class Nodemon(NodemonExec):
    """The form that its documentation shows."""

    name = "nodemon"

    def argv(self) -> list[str]:
        """Name the interpreter, and then the program."""
        python, script = self.project.command
        return [*self._watch(), "--exec", python, script]


class Pm2(Tool):
    """PM2: a daemon of its own, with its home in the project."""

    name = "pm2 --watch"
    program = package = "pm2"

    def argv(self) -> list[str]:
        """Start the daemon and the bot; the command itself ends."""
        python, script = self.project.command
        app = {
            "name": "bench",
            "script": script,
            "interpreter": python,
            "watch": ["app"],
            "ignore_watch": ["**/__pycache__/**"],
        }
        config = self.project.root / "bench.config.json"
        config.write_text(json.dumps({"apps": [app]}))
        return [self._path, "start", str(config)]

    def env(self) -> dict[str, str]:
        """SIGTERM as for all others (its own is SIGINT)."""
        return {"PM2_HOME": str(self.project.root / "pm2"), "PM2_KILL_SIGNAL": "SIGTERM"}

    @property
    def pid(self) -> int:
        """The daemon's."""
        return int((self.project.root / "pm2" / "pm2.pid").read_text())

    def _end(self) -> None:
        super()._end()
        with suppress(FileNotFoundError):
            pid = self.pid
            self._once([self._path, "kill"])
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Watchfiles(Tool):
    """The command of the library that we use as well."""

    name = "watchfiles"
    program = package = "watchfiles"

    def argv(self) -> list[str]:
        """Watch Python files, its own filter for that."""
        return [self._path, "--filter", "python", " ".join(self.project.command), "app"]


class Entr(Tool):
    """Entr reads the names of the files that it watches; new ones it does not see."""

    name = "entr -r"
    program = "entr"

    def argv(self) -> list[str]:
        """Do without a terminal."""
        return [self._path, "-nr", *self.project.command]

    def stdin(self) -> bytes:
        """Return the names."""
        names = (str(path.relative_to(self.project.root)) for path in self.project.sources())
        return "".join(f"{name}\n" for name in names).encode()


class Watchmedo(Tool):
    """The command of watchdog."""

    name = "watchmedo auto-restart"
    program = "watchmedo"
    package = "watchdog"

    def argv(self) -> list[str]:
        """Watch .py at all depths: since watchdog 7.1 `*.py` alone is the top folder only."""
        options = ["--directory", "app", "--patterns", "*.py;**/*.py", "--recursive"]
        return [
            self._path,
            "auto-restart",
            *options,
            "--signal",
            "SIGTERM",
            "--",
            *self.project.command,
        ]


class Supervisord(Tool):
    """Supervisord, which does not watch: `supervisorctl restart` is called at the save."""

    name = "supervisorctl restart"
    program = "supervisord"
    package = "supervisor"
    watches = False

    def argv(self) -> list[str]:
        """Write its config, and run it in the foreground."""
        root = self.project.root
        (root / "supervisord.conf").write_text(
            f"[supervisord]\nnodaemon=true\nuser={os.geteuid()}\nlogfile=/dev/null\n"
            f"logfile_maxbytes=0\npidfile={root}/supervisord.pid\n"
            f"[unix_http_server]\nfile={root}/supervisor.sock\nchmod=0700\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{root}/supervisor.sock\n"
            f"[program:bench]\ncommand={' '.join(self.project.command)}\ndirectory={root}\n"
            "startsecs=0\nstdout_logfile=/dev/null\nstderr_logfile=/dev/null\n"
        )
        return [self._path, "--nodaemon", "--configuration", "supervisord.conf"]

    def saved(self) -> None:
        """Ask for the restart, as a hook of an editor would; nobody waits for the answer."""
        with self.project.log.open("ab") as out:
            self._asking = subprocess.Popen(
                [
                    f"{self._path.removesuffix('d')}ctl",
                    "-c",
                    "supervisord.conf",
                    "restart",
                    "bench",
                ],
                cwd=self.project.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def settled(self) -> None:
        """Collect the command that asked."""
        self._asking.wait(END_S)


PEERS: tuple[type[Tool], ...] = (
    NodemonExec,
    Nodemon,
    Pm2,
    Watchfiles,
    Entr,
    Watchmedo,
    Supervisord,
)
