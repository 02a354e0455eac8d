"""The others: each a command that copies a session into a place of its own, and brings it back."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from supervisor.core.errors import SupervisorError
from tests.bench import clock


class Peer:
    """A tool. `place`: a folder for all that it keeps. `copies`: how many it made so far."""

    name = ""
    program = ""
    # A command that does nothing, so that its time is that of the program's start.
    idle: tuple[str, ...] = ("--version",)
    # Whether a copy builds on the one before.
    incremental = False

    def __init__(self, place: Path) -> None:
        self.place = place
        self.copies = 0

    @property
    def store(self) -> Path:
        """The folder of the copies."""
        return self.place / "store"

    def fresh(self) -> None:
        """Begin anew, with no copy made."""
        clock.put_aside(self.place)
        self.store.mkdir(parents=True)
        self.copies = 0

    def snapshot(self, live: Path) -> None:
        """Copy the session."""
        self.copies += 1
        self._copy(live)

    def restore(self, target: Path) -> None:
        """Make the existing folder `target` what the last copied session was."""
        raise NotImplementedError

    def start(self) -> str:
        """Start the program for nothing. Returns what it says of its version."""
        return self._run([self.program, *self.idle]).partition("\n")[0].strip()

    def _copy(self, live: Path) -> None:
        raise NotImplementedError

    def _env(self) -> dict[str, str]:
        return {}

    def _run(self, argv: Sequence[str], cwd: Path | None = None) -> str:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, **self._env()},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SupervisorError(f"{argv[0]} failed ({done.returncode}): {done.stderr.strip()}")
        return done.stdout


class Rsync(Peer):
    """A folder per copy; what did not change is a hard link into the one before."""

    name = "rsync --link-dest"
    program = "rsync"
    incremental = True
    restore_options: tuple[str, ...] = ()

    def _copy(self, live: Path) -> None:
        before = self.store / str(self.copies - 1)
        linked = [f"--link-dest={before}"] if before.exists() else []
        self._run(["rsync", "-a", *linked, f"{live}/", f"{self.store / str(self.copies)}/"])

    def restore(self, target: Path) -> None:
        """See Peer."""
        options = ["-a", "--delete", *self.restore_options]
        self._run(["rsync", *options, f"{self.store / str(self.copies)}/", f"{target}/"])


class Restic(Peer):
    """A repository of encrypted, compressed, deduplicated packs."""

    name = "restic"
    program = "restic"
    idle = ("version",)
    incremental = True

    def fresh(self) -> None:
        """See Peer."""
        Peer.fresh(self)
        self._run(["restic", "init"])

    def _copy(self, live: Path) -> None:
        self._run(["restic", "backup", "--quiet", "."], live)

    def restore(self, target: Path) -> None:
        """See Peer."""
        self._run(["restic", "restore", "latest", "--target", str(target)])

    def _env(self) -> dict[str, str]:
        return {
            "RESTIC_REPOSITORY": str(self.store),
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": str(self.place / "cache"),
        }


class Borg(Peer):
    """A repository of deduplicated segments, LZ4; without encryption, its fastest."""

    name = "borg"
    program = "borg"
    incremental = True

    def fresh(self) -> None:
        """See Peer."""
        Peer.fresh(self)
        self._run(["borg", "init", "--encryption=none"])

    def _copy(self, live: Path) -> None:
        self._run(["borg", "create", f"::{self.copies}", "."], live)

    def restore(self, target: Path) -> None:
        """See Peer."""
        self._run(["borg", "extract", f"::{self.copies}"], target)

    def _env(self) -> dict[str, str]:
        return {
            "BORG_REPO": str(self.store),
            "BORG_BASE_DIR": str(self.place / "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }


class Cp(Peer):
    """A plain copy."""

    name = "cp -a"
    program = "cp"

    def _copy(self, live: Path) -> None:
        self._run(["cp", "-a", str(live), str(self.store / str(self.copies))])

    def restore(self, target: Path) -> None:
        """See Peer."""
        self._run(["cp", "-a", f"{self.store / str(self.copies)}/.", f"{target}/"])


class Tar(Peer):
    """One compressed archive."""

    name = "tar, zstd -1"
    program = "tar"

    def _copy(self, live: Path) -> None:
        self._run(["tar", "-I", "zstd -1", "-cf", self._archive(), "-C", str(live), "."])

    def restore(self, target: Path) -> None:
        """See Peer."""
        self._run(["tar", "-I", "zstd", "-xf", self._archive(), "-C", str(target)])

    def _archive(self) -> str:
        return str(self.store / f"{self.copies}.tar.zst")


class Zip(Peer):
    """Python's zipfile with deflate: what whatsapp-web.js's RemoteAuth does with archiver."""

    name = "zip (RemoteAuth)"
    program = sys.executable
    idle = ("-c", "import sys, zipfile; print('Python', sys.version.split()[0])")

    def _copy(self, live: Path) -> None:
        self._run([sys.executable, "-m", "zipfile", "-c", self._archive(), "."], live)

    def restore(self, target: Path) -> None:
        """See Peer."""
        self._run([sys.executable, "-m", "zipfile", "-e", self._archive(), str(target)])

    def _archive(self) -> str:
        return str(self.store / f"{self.copies}.zip")


ALL: tuple[type[Peer], ...] = (Rsync, Restic, Borg, Cp, Tar, Zip)


def missing() -> dict[str, str]:
    """Return the tools that are not installed here: name and what is not found."""
    found: dict[str, str] = {}
    for kind in ALL:
        needs = (kind.program, "zstd") if kind is Tar else (kind.program,)
        absent = [program for program in needs if shutil.which(program) is None]
        if absent:
            found[kind.name] = absent[0]
    return found


def present(place: Path) -> list[Peer]:
    """Return the tools that are here, each with a folder of its own below `place`."""
    left_out = missing()
    return [
        kind(place / kind.program.rpartition("/")[2]) for kind in ALL if kind.name not in left_out
    ]
