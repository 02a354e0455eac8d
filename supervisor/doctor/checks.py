"""The table of all checks: what a person sees, how it is looked for, what helps.

docs/doctor.md has the same table; a test holds that.
"""

from collections.abc import Callable
from dataclasses import dataclass

from supervisor.config import BotConfig
from supervisor.doctor import folders, machine, project, session
from supervisor.doctor.findings import Findings
from supervisor.doctor.ground import Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `fine`: what is said where it finds nothing.

    `whole` looks at the project as a whole, `each` at one bot; with `session`, only at those that
    have one.
    """

    id: str
    symptom: str
    fine: str
    whole: Callable[[Ground], Findings] | None = None
    each: Callable[[Ground, BotConfig], Findings] | None = None
    session: bool = False


CHECKS: tuple[Check, ...] = (
    Check(
        id="config",
        symptom="nothing starts: the config is refused",
        fine="the config can be read",
        whole=project.config,
    ),
    Check(
        id="python",
        symptom="stillhere itself fails in odd ways",
        fine="this Python is one that it is made for",
        whole=machine.python,
    ),
    Check(
        id="inotify-watches",
        symptom="a save is seen late, or not at all",
        fine="there are enough inotify watches",
        whole=machine.inotify_watches,
    ),
    Check(
        id="inotify-instances",
        symptom="a save is seen late, or not at all",
        fine="there are enough inotify instances",
        whole=machine.inotify_instances,
    ),
    Check(
        id="disk",
        symptom="snapshots fail, changed bots are not restarted",
        fine="there is room on the disks",
        whole=machine.disk,
    ),
    Check(
        id="clock",
        symptom="snapshots from the future, odd ages",
        fine="the clock is plausible",
        whole=machine.clock,
    ),
    Check(
        id="network",
        symptom="a torn session, two bots at once; saves are seen late",
        fine="nothing that matters lies on a network's disk",
        whole=folders.network,
    ),
    Check(
        id="kept",
        symptom="a QR code after each start of the machine, or of the container",
        fine="what is written stays when the machine starts anew",
        whole=folders.kept,
    ),
    Check(
        id="access",
        symptom="`Permission denied`; a session that does not change, or is not copied",
        fine="who runs the bots may read and write what they have to",
        whole=folders.access,
    ),
    Check(
        id="private",
        symptom="none: others could be the bot",
        fine="nobody else may read a session or a secret",
        whole=folders.private,
    ),
    Check(
        id="git",
        symptom="none until it is pushed; an old session after a checkout",
        fine="git leaves the sessions out",
        whole=folders.committed,
    ),
    Check(
        id="session",
        symptom="a QR code after a crash",
        fine="the live session is whole",
        each=session.live,
        session=True,
    ),
    Check(
        id="state",
        symptom="counters that went back",
        fine="the record of the sessions can be read",
        whole=session.state,
    ),
    Check(
        id="backups",
        symptom="no snapshots, or only old or bad ones",
        fine="there is a snapshot that is young enough",
        each=session.backups,
        session=True,
    ),
    Check(
        id="snapshot-failing",
        symptom="no new snapshots; a save does not restart the bot",
        fine="the last snapshot was taken",
        each=session.failing,
        session=True,
    ),
    Check(
        id="newest-copy",
        symptom="a restore that fails",
        fine="the newest snapshot can be read back",
        each=session.newest_copy,
        session=True,
    ),
)
