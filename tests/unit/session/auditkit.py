"""The check of a small session, for the tests of checks."""

from typing import Any

from supervisor.session.audit import carried_out
from supervisor.session.audited import Audited, Examined
from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import ID


def checked(manager: SessionManager, **how: Any) -> Audited:
    """Return what a check finds."""
    return carried_out(manager.audit(ID, **how))


def by_seq(found: Audited) -> dict[int, Examined]:
    """Return the snapshots by their number."""
    return {one.seq: one for one in found.snapshots}
