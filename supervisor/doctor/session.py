"""The sessions and their snapshots: are they whole, are there any, do they come to be."""

from functools import partial

from supervisor.config import BotConfig
from supervisor.control.client import Client
from supervisor.doctor.findings import CannotTell, Finding, Findings, Mend
from supervisor.doctor.ground import Ground
from supervisor.session.copying.writers import open_by_somebody
from supervisor.session.model import since_1970
from supervisor.session.proof.halfway import half_written
from supervisor.session.storage.manifest import Manifest

# More than this takes longer to read than a person waits: `session check` does.
_READ_MAX_BYTES = 64 << 20
_SLACK_S = 2.0


def _id(bot: BotConfig) -> str:
    """Return the id of the session: only bots that have one are asked about it."""
    return str(bot.session)


def live(ground: Ground, bot: BotConfig) -> Findings:
    """A session that is damaged, gone, or another device's."""
    manager, key = ground.manager(bot), _id(bot)
    found = manager.glance(key)
    if found.verdict == "passed" and not found.foreign:
        return
    if found.verdict == "absent" and not found.linked:
        yield Finding(severity="ok", seen="nothing is linked yet")
        return
    if found.foreign:
        yield Finding(
            severity="problem",
            seen=f"it is whole, but another device's than before: {found.identity}",
            cause="it was linked again by hand, or another session was put in its place",
            fix="to go on with it: start the bot; to have the one before: restore a snapshot",
            commands=(ground.command("session", "snapshots", key),),
        )
        return
    hot = open_by_somebody(manager.folder(key), manager.names(key))
    if hot and half_written(found.why):
        raise CannotTell(f"it is just being written: {found.why}; ask again")
    info = manager.info(key)
    if info["restorable"]:
        fix = "bring the newest snapshot back; the next start of the bot does it, too"
        commands = [ground.command("session", "restore", key)]
    else:
        fix = f"no snapshot can take its place ({info['why_not']}): link it again"
        commands = [ground.command("session", "clear", key), ground.command("link", bot.name)]
    gone = found.verdict == "absent"
    yield Finding(
        severity="problem",
        seen=f"it is {'gone' if gone else 'damaged'}: {found.why}",
        cause="it was deleted or moved, its disk is not mounted, or the bot keeps it elsewhere"
        if gone
        else "a kill, a full disk or a crash tore a file while it was written",
        fix=fix,
        commands=tuple(commands),
    )


def state(ground: Ground) -> Findings:
    """The record of all sessions can't be read: what it counted is known from the snapshots."""
    bot = next((bot for bot in ground.bots if bot.session is not None), None)
    if bot is None:
        return
    manager = ground.manager(bot)
    torn = manager.torn_state()
    if torn is not None:
        says = f"keep {torn.name} aside, write it anew from the snapshots"
        yield Finding(
            severity="problem",
            seen=f"{torn} can't be read",
            cause="it was edited, or a disk lost a part of it",
            fix="its counters come from the snapshots: the next change of a session writes it anew",
            commands=(ground.command("doctor", "--fix"),),
            mend=None if ground.running else Mend(says, partial(manager.save_state, _id(bot))),
        )


def backups(ground: Ground, bot: BotConfig) -> Findings:
    """No snapshot, none that is worth something, or none that is young enough."""
    manager, key = ground.manager(bot), _id(bot)
    record, listing = ground.record(bot), ground.listing(bot)
    away = manager.snapshots_away(key) or manager.store.packs_away()
    if away:
        yield Finding(
            severity="problem",
            seen=away,
            cause="the disk of the snapshots is not mounted, or they were moved or deleted",
            fix="mount it, or put them back; whole sessions run on, and are copied again then",
        )
        return
    if not ground.live(bot).files:
        if ground.status(bot).get("phase") == "up":
            yield _keeps_nothing(ground, bot)
        return  # else it is gone, or not linked yet: another check's
    usable = [one for one in listing.of_epoch(record.epoch) if one.verdict != "bad"]
    newest = usable[-1] if usable else None
    if newest is None and manager.glance(key).verdict == "damaged":
        return  # there is nothing to take one of: another check's
    if newest is None:
        all_bad = bool(listing.of_epoch(record.epoch))
        fresh = not all_bad and record.state != "linked"
        yield Finding(
            severity="note" if fresh else "problem",
            seen="all its snapshots are bad" if all_bad else "there is no snapshot of it",
            cause="; ".join(dict.fromkeys(m.why for m in listing.snapshots[-3:] if m.why))
            or "none was taken since it is there: it is copied once its bot is ready",
            fix="take one of what is live",
            commands=(ground.command("session", "backup", key),),
            mend=_backup(ground, bot),
        )
    elif stale := _stale(ground, bot, newest):
        yield stale


def _keeps_nothing(ground: Ground, bot: BotConfig) -> Finding:
    folder = ground.settled.session_dir(bot)
    return Finding(
        severity="problem",
        seen=f"it is up, and nothing of its session is in {folder}: nothing is backed up",
        cause="it keeps its session elsewhere, or has none",
        fix="say where it keeps it: `session_path`, or `session_files`; `session = false` if it has"
        " none" + ("" if ground.written else " (stillhere init writes a config)"),
        edit=f'[bot.{bot.name}]\nsession_path = "WHERE IT KEEPS IT"',
    )


def _stale(ground: Ground, bot: BotConfig, newest: Manifest) -> Finding | None:
    """Return what is to be said of a newest snapshot that is too old."""
    limit_s = max(ground.settled.alerts.snapshot_age_s, 2 * bot.snapshots.every_s)
    age_s = ground.world.now() - since_1970(newest.taken_at)
    if age_s <= limit_s or not _changed_since(ground, bot, newest):
        return None
    up = ground.status(bot).get("phase") == "up"
    return Finding(
        severity="problem",
        seen=f"the newest snapshot is {age_s / 3600:.1f} hours old ({newest.taken_at}), and the"
        " session has changed since",
        cause="the bot runs, and no snapshot comes: stillhere events tells why"
        if up
        else "the bot was run by something else since, or its supervisor was killed",
        fix="take one",
        commands=(ground.command("session", "backup", _id(bot)),),
        mend=_backup(ground, bot),
    )


def _changed_since(ground: Ground, bot: BotConfig, snapshot: Manifest) -> bool:
    newest_ns = max((seen.mtime_ns for seen in ground.live(bot).seen.values()), default=0)
    return newest_ns / 1e9 > since_1970(snapshot.taken_at) + _SLACK_S


def failing(ground: Ground, bot: BotConfig) -> Findings:
    """The last try to take a snapshot failed, and none came since."""
    last = None
    for record in ground.events_of(bot):
        if record["event"] in ("snapshot_failed", "snapshots_away"):
            last = record
        elif record["event"] in ("snapshot_taken", "sealed"):
            last = None
    newest = ground.newest(bot)
    if last is None or (newest and since_1970(newest.taken_at) > since_1970(str(last.get("t")))):
        return
    if newest is not None and not _changed_since(ground, bot, newest):
        return
    yield Finding(
        severity="problem",
        seen=f"the last snapshot failed, at {last.get('t')}: {last.get('why')}",
        cause="without a snapshot, no changed bot is restarted",
        fix=str(last.get("hint") or "see to what it says; then try again"),
        commands=(ground.command("session", "backup", _id(bot)),),
        mend=_backup(ground, bot),
    )


def newest_copy(ground: Ground, bot: BotConfig) -> Findings:
    """The newest snapshot can't be read back from the disk."""
    manager, key = ground.manager(bot), _id(bot)
    own = ground.listing(bot).of_epoch(ground.record(bot).epoch)
    newest = next((one for one in reversed(own) if one.verdict != "bad"), None)
    if newest is None or manager.store.packs_away():
        return  # another check's
    size_bytes = sum(pack.size_bytes for pack in newest.packs.values())
    check = ground.command("session", "check", key)
    if size_bytes > _READ_MAX_BYTES:
        raise CannotTell(f"it has {size_bytes >> 20} MB, which takes a while; read it by: {check}")
    if problem := manager.verify(key, newest.name):
        yield Finding(
            severity="problem",
            seen=f"{newest.name} can't be read back: {problem}",
            cause="the disk lost bytes, or somebody changed a file of the store",
            fix="see what else is lost, look after the disk; the next snapshot stores it again",
            commands=(f"{check} || true", ground.command("session", "backup", key)),
        )


def _backup(ground: Ground, bot: BotConfig) -> Mend:
    return Mend(ground.command("session", "backup", _id(bot)), partial(_take, ground, bot))


def _take(ground: Ground, bot: BotConfig) -> None:
    """Take a snapshot, by the supervisor if one runs. Raises: SupervisorError, OSError."""
    if ground.running:
        Client.for_config(ground.path).call("session", op="backup", id=bot.session)
    else:
        ground.manager(bot).backup(_id(bot))
