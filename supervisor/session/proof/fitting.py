"""Of which kind a session is that no snapshot has named yet."""

from collections.abc import Mapping
from pathlib import Path

from supervisor.session.names import Names, shown
from supervisor.session.proof.profile import GENERIC, KNOWN, Profile, fitting, profile_for
from supervisor.session.proof.sight import missing_problems
from supervisor.session.scan import Seen, matches, scan


def kind_of(folder: Path, names: Names | None = None) -> Profile:
    """Return the kind that fits and lacks nothing: a bot may keep a file that is called like one.

    `names`: what of the folder is the session. A kind fits that by what is named alone: what else
    it looks at may be another's. Raises: SupervisorError, OSError.
    """
    if names is None:
        found = profile_for(folder)
        whole = found is GENERIC or not missing_problems(scan(folder).seen, found)
        return found if whole else GENERIC
    seen = scan(folder, names=names).seen
    likely = (kind for kind in fitting(shown(folder, names)) if _is_of(kind, seen))
    return next((kind for kind in likely if not missing_problems(seen, kind)), GENERIC)


def _is_of(kind: Profile, seen: Mapping[str, Seen]) -> bool:
    """Return whether what makes it that kind is among these."""
    if kind.required or kind.in_any_database:
        return True
    return any(matches(path, kind.identified_by) for path in seen)


def known_or_fitting(folder: Path, name: str, names: Names | None = None) -> Profile:
    """Return the kind called `name`, or, where there is none, the one that fits."""
    return profile_for(folder, name) if names is None or name in KNOWN else kind_of(folder, names)
