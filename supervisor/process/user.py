"""Another user for a bot: who that is, and what is executed so that the bot runs as them.

The bot gets the user's ids and groups, no capability, and no new privileges (prctl(2)). setpriv(1)
sets the death signal after all that, for a change of the user clears it; and it execs the bot, so
the pid stays.
"""

import os
import pwd
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from supervisor.core.errors import SupervisorError
from supervisor.session.belonging import Belonging, belonging_of

# They lead to folders of who started us, which the bot's user can't enter.
_OF_A_LOGIN = (
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "MAIL",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who runs a bot."""

    name: str
    home: str
    shell: str
    ids: Belonging

    def prefix(self) -> list[str]:
        """Return what setpriv(1) is told beside the death signal."""
        who = ["--reuid", str(self.ids.uid), "--regid", str(self.ids.gid), "--init-groups"]
        return [*who, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]

    def variables(self) -> dict[str, str]:
        """Return what a login as this user would set."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}

    def environment(self, env: dict[str, str]) -> dict[str, str]:
        """Return our own environment as it is theirs."""
        kept = {key: value for key, value in env.items() if key not in _OF_A_LOGIN}
        return {**kept, **self.variables()}


def find(name: str) -> User | None:
    """Return who `user` in the config names; None for "", which is who we are.

    Raises: SupervisorError where we can't become that user.
    """
    ids = belonging_of(name)
    if ids is None:
        return None
    if os.geteuid() != 0:
        raise SupervisorError(
            f"only root can start a bot as user {name!r}, and this is uid {os.geteuid()}",
            "run the supervisor as root (a system service), or leave `user` out of the config",
        )
    if shutil.which("setpriv") is None:
        raise SupervisorError(
            f"setpriv is not there, with which a bot is started as user {name!r}",
            "install util-linux",
        )
    found = pwd.getpwuid(ids.uid)
    return User(name=name, home=found.pw_dir, shell=found.pw_shell or "/bin/sh", ids=ids)


def check(names: Iterable[str]) -> None:
    """Raise what `find` raises for any of them: before a bot runs, not after."""
    for name in names:
        find(name)
