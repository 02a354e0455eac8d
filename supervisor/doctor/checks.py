"""The table of all checks: what a person sees, how it is looked for, what helps.

docs/doctor.md has the same table; a test holds that.
"""

from collections.abc import Callable
from dataclasses import dataclass

from supervisor.config import BotConfig
from supervisor.doctor import (
    folders,
    library,
    life,
    machine,
    process,
    project,
    rights,
    service,
    session,
    watching,
)
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
        whole=watching.inotify_watches,
    ),
    Check(
        id="inotify-instances",
        symptom="a save is seen late, or not at all",
        fine="there are enough inotify instances",
        whole=watching.inotify_instances,
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
        whole=rights.access,
    ),
    Check(
        id="private",
        symptom="none: others could be the bot",
        fine="nobody else may read a session or a secret",
        whole=rights.private,
    ),
    Check(
        id="git",
        symptom="none until it is pushed; an old session after a checkout",
        fine="git leaves the sessions out",
        whole=rights.committed,
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
        fine="no snapshot is missing, or too old",
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
        fine="the newest snapshot, if there is one, can be read back",
        each=session.newest_copy,
        session=True,
    ),
    Check(
        id="program",
        symptom="the bot does not start: a program, a file or a library is not found",
        fine="its command leads to what is there",
        each=project.program,
    ),
    Check(
        id="session-place",
        symptom="a QR code at every restart; no snapshots",
        fine="its session lies where the config says",
        each=project.session_place,
        session=True,
    ),
    Check(
        id="watched",
        symptom="it restarts again and again, also while a code is scanned",
        fine="what it writes is not watched",
        each=watching.watched,
    ),
    Check(
        id="watching",
        symptom="a save does nothing, or is seen late",
        fine="what is to be watched is there, and saves are seen",
        each=watching.watching,
    ),
    Check(
        id="library",
        symptom="no QR code is seen, or none of its states",
        fine="its library is one that is known",
        each=library.library,
    ),
    Check(
        id="online",
        symptom="the bot does not come online",
        fine="it is online, or nobody wants it to be",
        each=life.online,
    ),
    Check(
        id="qr",
        symptom="a QR code at every restart",
        fine="it comes back without a QR code",
        each=life.qr,
        session=True,
    ),
    Check(
        id="restores",
        symptom="the restore counter does not rise; `device not proved`",
        fine="its starts are counted as restores",
        each=life.restores,
        session=True,
    ),
    Check(
        id="stop",
        symptom="a stop takes long; what the bot had in memory is lost",
        fine="it ends when it is told",
        each=life.stop,
    ),
    Check(
        id="copies",
        symptom="`conflict`; messages are answered twice, or get lost",
        fine="nobody else runs it, or writes its session",
        each=process.copies,
    ),
    Check(
        id="orphans",
        symptom="the bot answers though nothing seems to run",
        fine="no earlier supervisor left it running",
        each=process.orphans,
        session=True,
    ),
    Check(
        id="owner",
        symptom="`another supervisor (pid N)`",
        fine="its session is no other supervisor's",
        each=process.owner,
        session=True,
    ),
    Check(
        id="beside",
        symptom="it restarts twice, or comes back after a stop",
        fine="nobody else restarts it",
        each=process.beside,
    ),
    Check(
        id="control",
        symptom="`no supervisor is running`, or it does not answer",
        fine="the supervisor answers, or none is there",
        whole=service.control,
    ),
    Check(
        id="unit",
        symptom="the service runs by an old config, or does not start",
        fine="the unit is of today, or there is none",
        whole=service.unit,
    ),
)
