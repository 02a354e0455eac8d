"""Ways to look at a session with odd things in it, for the tests of those."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot
from tests.unit.session.sessionkit import ID, Place

NOBODY = 65534


def said(manager: SessionManager, snapshot: Snapshot) -> str:
    """Return all that the snapshot says of what it could not have."""
    manifest = manager.store.find(ID, snapshot.id)
    return "\n".join([*manifest.notes, *manifest.doubts])


def round_trip(place: Place, manager: SessionManager) -> Snapshot:
    """Take a snapshot, look at the session in each way, lose it, and bring it back."""
    snapshot = manager.backup(ID)
    assert manager.check(ID).verdict == "passed"
    assert manager.info(ID)["restorable"]
    shutil.rmtree(place.live)
    assert manager.restore_from_backup(ID, snapshot.id).action == "restored"
    assert manager.check(ID).verdict == "passed"
    return snapshot


@contextmanager
def without_rights(place: Place) -> Iterator[None]:
    """Be somebody to whom modes apply: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    time.strptime("2026", "%Y")  # loads its module while that can be read
    for path in [place.root, *place.root.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
