"""Of which kind a session is that no snapshot has named yet."""

from pathlib import Path

from supervisor.session.proof.profile import GENERIC, Profile, profile_for
from supervisor.session.proof.sight import missing_problems
from supervisor.session.scan import scan


def kind_of(folder: Path) -> Profile:
    """Return the kind that fits and lacks nothing: a bot may keep a file that is called like one.

    Raises: SupervisorError, OSError.
    """
    found = profile_for(folder)
    whole = found is GENERIC or not missing_problems(scan(folder).seen, found)
    return found if whole else GENERIC
