"""The shapes of a session before a fault: fresh, changed, damaged, gone, old, of another link.

Each returns what the live session is after a success, if there is such a thing.
"""

import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing

from supervisor.session.manager import SessionManager
from tests.unit.session.damagekit import flip
from tests.unit.session.sessionkit import ID, Place, fill, write_key

Tree = Mapping[str, bytes | str | None]
# Long enough for the quarantine's and the hourly rules to have something to remove.
MONTHS_S = 90 * 86_400.0


def change(place: Place, number: int) -> None:
    """Change a little everywhere: a key, a row, a page of a large file, a new file, a gone one."""
    write_key(place.live, f"key {number}")
    with closing(sqlite3.connect(place.live / "store.db")) as database, database:
        database.execute("UPDATE keys SET key = ? WHERE id = 3", (os.urandom(400),))
    with (place.live / "bulk").open("r+b") as file:
        file.seek(70_000 + number * 5000)
        file.write(os.urandom(300))
    (place.live / "keys" / f"new-{number}").write_bytes(os.urandom(900))
    (place.live / "keys" / f"new-{number - 2}").unlink(missing_ok=True)


def session(place: Place) -> None:
    """Write a session with all that a session has: a database, keys, links, empty folders."""
    fill(place.live)
    (place.live / "bulk").write_bytes(os.urandom(150_000) + bytes(50_000) + os.urandom(9_000))
    (place.live / "empty").mkdir()
    (place.live / "current").symlink_to("keys/one")
    (place.live / "none").write_bytes(b"")


def linked(place: Place, snapshots: int = 1, **options: object) -> SessionManager:
    """Link the session and take that many good snapshots, each of a changed session."""
    session(place)
    manager = place.manager(**options)
    manager.note_linked(ID, "1:aa")
    for number in range(snapshots):
        if number:
            change(place, number)
        assert manager.backup(ID, "linked").verdict == "good"
    return manager


def first(place: Place) -> Tree:
    """Link a session that has no snapshot yet."""
    session(place)
    place.manager().note_linked(ID, "1:aa")
    return place.content()


def unlinked(place: Place) -> Tree:
    """Write a session that nobody linked."""
    session(place)
    return place.content()


def incremental(place: Place) -> Tree:
    """Change a session that has two good snapshots."""
    linked(place, 2)
    change(place, 9)
    return place.content()


def to_prune(place: Place) -> Tree:
    """Change a session that has more snapshots than are kept."""
    linked(place, 5)
    change(place, 9)
    return place.content()


def dragged(place: Place) -> Tree:
    """Make a store that holds so much for the newest snapshot that a full one is due."""
    linked(place)
    block, count = 64 << 10, 24
    for number in range(6):
        with (place.live / "large").open("wb" if number == 0 else "r+b") as file:
            file.seek(number * 2 * block)
            file.write(os.urandom((count - number * 2) * block))
        place.manager().backup(ID)
    change(place, 9)
    return place.content()


def damaged_pack(place: Place) -> Tree:
    """Flip a byte in the newest pack, and change the session."""
    linked(place)
    change(place, 1)
    newest = place.manager().backup(ID)
    (pack,) = [name for name in place.packs() if f".{newest.seq:06}." in name]
    flip(place.store / "packs" / pack)
    change(place, 9)
    return place.content()


def torn_state(place: Place) -> Tree:
    """Tear the state file, and change the session."""
    linked(place)
    place.state.write_text('{"version": 1, "sess')
    change(place, 9)
    return place.content()


def broken(place: Place) -> None:
    """Tear the credentials, and leave another database's journal."""
    (place.live / "creds.json").write_text("{torn")
    (place.live / "store.db-wal").write_text("of the old one")


def damaged(place: Place) -> Tree:
    """Damage a session that has two good snapshots."""
    linked(place, 2)
    wanted = place.content()
    broken(place)
    return wanted


def overwritten(place: Place) -> Tree:
    """Overwrite a little of a large file, which is also longer now, and tear the credentials."""
    linked(place)
    large = place.live / "large"
    large.write_bytes(os.urandom((3 << 19) + 700))
    place.manager().backup(ID)
    wanted = place.content()
    with large.open("r+b") as file:
        file.seek(700_000)
        file.write(b"\xa5" * 900)
        file.truncate((3 << 19) + 900)
    broken(place)
    return wanted


def absent(place: Place) -> Tree:
    """Remove the session's folder."""
    linked(place, 2)
    wanted = place.content()
    shutil.rmtree(place.live)
    return wanted


def gone(place: Place) -> Tree:
    """Remove the session, and leave what else lies in its folder."""
    linked(place, 2)
    wanted = place.content()
    place.empty()
    return wanted


def emptied(place: Place) -> Tree:
    """Leave an empty folder."""
    wanted = absent(place)
    place.live.mkdir()
    return wanted


def strangers(place: Place) -> Tree:
    """Leave files and folders in the live session that no snapshot has."""
    linked(place, 2)
    wanted = place.content()
    (place.live / "keys" / "stranger").write_text("unknown")
    (place.live / "another" / "deep").mkdir(parents=True)
    (place.live / "another" / "deep" / "file").write_bytes(os.urandom(3000))
    (place.live / "current").unlink()
    (place.live / "current").mkdir()
    (place.live / "bulk").unlink()
    return wanted


def moved_on(place: Place) -> Tree:
    """Change a session since its first snapshot, and store that."""
    linked(place)
    wanted = place.content()
    for number in (1, 2):
        change(place, number)
        place.manager().backup(ID)
    change(place, 9)
    return wanted


def pending(place: Place) -> Tree:
    """Damage a session whose newest snapshot has no verdict yet."""
    manager = linked(place)
    change(place, 1)
    wanted = place.content()
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    assert manager.commit(capture, validate=False).verdict == "pending"
    broken(place)
    return wanted


def refused(place: Place) -> Tree:
    """Give the seat to a bot that will be refused, and change the session."""
    manager = linked(place)
    wanted = place.content()
    assert manager.next_generation(ID) == 1
    manager.set_seat(ID, 1)
    change(place, 9)
    return wanted


def nothing_live(place: Place) -> None:
    """Remove the session's folder, for good."""
    absent(place)


def export(place: Place, name: str) -> Tree:
    """Export a session to `name`, and change it."""
    linked(place)
    change(place, 1)
    manager = place.manager()
    manager.backup(ID)
    manager.export(ID, place.root / name)
    wanted = place.content()
    change(place, 9)
    return wanted


def months_old(place: Place) -> Tree:
    """Make a store with too many snapshots and sessions in quarantine, all of them old."""
    linked(place, 5)
    for number in range(3):
        broken(place)
        (place.live / "round").write_text(str(number))
        place.manager().restore(ID)
    place.clock.now += MONTHS_S
    return place.content()


def other_epoch(place: Place) -> Tree:
    """End one link, with snapshots and a quarantined session, and begin another: long ago."""
    linked(place, 3)
    place.manager().clear(ID)
    session(place)
    place.manager().note_linked(ID, "1:aa")
    place.manager().backup(ID)
    place.clock.now += MONTHS_S  # last: what is old goes with the next snapshot
    return place.content()
