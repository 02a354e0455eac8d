"""The list itself: each row's number, name and target, and which other it stands on.

A row that fails is not to fail others with it: what needs it is then not run, and says so.
"""

from supervisor.verify.model import Row

ROWS = (
    Row(
        number=1,
        key="start-up",
        group="basic",
        name="system start-up",
        target="waits for its QR code, or is ready, within start_timeout_s",
    ),
    Row(
        number=2,
        key="first-session",
        group="basic",
        name="first session creation",
        target="one scan makes one session, with files, linked once",
        needs=("start-up",),
    ),
    Row(
        number=3,
        key="qr-once",
        group="basic",
        name="QR code shown once",
        target="1 pairing",
        needs=("first-session",),
    ),
    Row(
        number=4,
        key="restored",
        group="persistence",
        name="session restored after a restart",
        target="same device, no QR code",
        needs=("first-session",),
    ),
    Row(
        number=5,
        key="save",
        group="persistence",
        name="automatic restart on a save",
        target="same device, no QR code",
        needs=("restored", "backups"),
    ),
    Row(
        number=6,
        key="manual",
        group="persistence",
        name="manual restart",
        target="same device, no QR code",
        needs=("restored", "backups"),
    ),
    Row(
        number=7,
        key="many",
        group="reliability",
        name="many consecutive restarts",
        target="each the same device, 0 QR codes",
        needs=("restored", "backups"),
    ),
    Row(
        number=8,
        key="stable",
        group="reliability",
        name="device connection stays stable",
        target="no loss, conflict or restart while it is left alone",
        needs=("first-session",),
    ),
    Row(
        number=9,
        key="state",
        group="reliability",
        name="session state accurate",
        target="its counters are what was seen",
        needs=("first-session",),
    ),
    Row(
        number=10,
        key="backups",
        group="recovery",
        name="backups are created",
        target="by themselves, good, under 1 s",
        needs=("first-session",),
    ),
    Row(
        number=11,
        key="corruption",
        group="recovery",
        name="recovery from corruption",
        target="each file deleted, emptied, truncated: same device, no QR code",
        needs=("restored", "backups"),
    ),
    Row(
        number=12,
        key="clear",
        group="recovery",
        name="manual clear, then pairing",
        target="a QR code, one scan, linked anew; the old session kept",
        needs=("first-session", "backups"),
    ),
    Row(
        number=13,
        key="restore-time",
        group="performance",
        name="restore time",
        target="under restore_timeout_s each time",
        needs=("restored",),
    ),
    Row(
        number=14,
        key="backup-size",
        group="performance",
        name="backup size",
        target="at most 50 MB or the session's own size each",
        needs=("backups",),
    ),
    Row(
        number=15,
        key="resources",
        group="performance",
        name="resource usage",
        target="at rest: supervisor under 64 MB and 5 % of a core, bot under 90 % and memory_mb",
        needs=("first-session",),
    ),
    Row(
        number=16,
        key="browser-crash",
        group="crashes",
        name="browser crash",
        target="same device, no QR code",
        needs=("restored", "backups"),
    ),
    Row(
        number=17,
        key="supervisor-crash",
        group="crashes",
        name="supervisor crash",
        target="same device, no QR code, one copy",
        needs=("restored",),
    ),
)
BY_KEY = {row.key: row for row in ROWS}
# What the others need first, and what ends the link last.
ORDER = (
    "start-up",
    "first-session",
    "qr-once",
    "restored",
    "backups",
    "stable",
    "resources",
    "save",
    "manual",
    "many",
    "browser-crash",
    "supervisor-crash",
    "corruption",
    "backup-size",
    "restore-time",
    "state",
    "clear",
)


def chosen(only: tuple[str, ...]) -> list[str]:
    """Return the keys to be run, in order: those named (key or number) and all that they need.

    Raises: KeyError with the name that is none.
    """
    if not only:
        return list(ORDER)
    names = {str(row.number): row.key for row in ROWS}
    wanted: set[str] = set()
    waiting = [names.get(each, each) for each in only]
    while waiting:
        key = waiting.pop()
        if key not in wanted:
            wanted.add(key)
            waiting += BY_KEY[key].needs
    return [key for key in ORDER if key in wanted]
