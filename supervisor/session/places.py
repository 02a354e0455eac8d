"""Where a session lies, what of that is the session, and where what is ours lies beside it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.belonging import Belonging, make_folder
from supervisor.session.lock import OwnerLock
from supervisor.session.model import check_id
from supervisor.session.names import Names, kept_from, make_plain


class Places:
    """`ours`: what is no session's, wherever it lies. See SessionManager for the others."""

    def __init__(
        self,
        sessions: Path,
        *,
        paths: Mapping[str, Path],
        parts: Mapping[str, tuple[str, ...]],
        ours: Sequence[Path],
        belongs: Belonging | None,
    ) -> None:
        self.sessions = sessions
        self._paths = dict(paths)
        self._parts = {key: tuple(patterns) for key, patterns in parts.items() if patterns}
        self._ours = (sessions, *ours)
        self._belongs = belongs

    def folder(self, session_id: str) -> Path:
        """Return the real path of the session's folder. Raises: SupervisorError for a bad id.

        It is the session, or holds it among other files: see `names`.
        """
        check_id(session_id)
        path = self._paths.get(session_id, self.sessions / f"session-{session_id}")
        try:
            return path.resolve()
        except RuntimeError as error:  # before Python 3.13, where opening it fails then
            raise SupervisorError(
                f"{path} is a link that leads back to itself",
                "remove that link: the session's snapshots are untouched",
            ) from error

    def names(self, session_id: str) -> Names | None:
        """Return what of the session's folder is the session; None: all of it."""
        patterns = self._parts.get(session_id)
        if patterns is None:
            return None
        return Names(patterns, kept_from(self.folder(session_id), self._ours))

    def make_folder(self, session_id: str) -> None:
        """Make the session's folder, for nobody else to look into; with other files in it, as is.

        Raises: SupervisorError, OSError.
        """
        folder = self.folder(session_id)
        self._refuse_anothers(session_id)
        if session_id in self._parts:
            make_plain(folder)
            return
        if self._belongs is not None:
            make_folder(folder, self._belongs, self.sessions)
            return
        files.make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)

    def lock_for(self, session_id: str) -> OwnerLock:
        """Return the lock that owns the session; not taken yet.

        It lies beside the session's folder; if that is not its own, among those of all others.
        """
        check_id(session_id)
        if session_id in self._parts:
            return OwnerLock(self.sessions, session_id)
        folder = self.folder(session_id)
        return OwnerLock(folder.parent, session_id, folder)

    @property
    def _uid(self) -> int | None:
        return None if self._belongs is None else self._belongs.uid

    def _refuse_anothers(self, session_id: str) -> None:
        """Raise SupervisorError for another user's session among files of which it may write any.

        We are root then, and each step there could be led astray while it is done.
        """
        if session_id in self._parts and self._uid not in (None, os.geteuid()):
            raise SupervisorError(
                f"session {session_id} lies among other files, and its bot has a `user`",
                "let the supervisor itself be that user, or give the session a folder of its own",
            )

    def _there(self, session_id: str) -> bool:
        """Return whether there is anything of the session, or a folder of its own."""
        folder, names = self.folder(session_id), self.names(session_id)
        return folder.exists() if names is None else bool(names.among(folder))

    def _holds(self, session_id: str, path: Path) -> bool:
        """Return whether a real path is the live session's, or lies in it."""
        folder, names = self.folder(session_id), self.names(session_id)
        if not path.is_relative_to(folder):
            return False
        return names is None or (path != folder and names.has(str(path.relative_to(folder))))

    def _beside(self, session_id: str) -> Path:
        """Return the folder in which what is ours lies beside the session, on its disk."""
        folder = self.folder(session_id)
        return folder if session_id in self._parts else folder.parent

    def _rebuild_folder(self, session_id: str, end: str = "new") -> Path:
        """Return where what comes is made ready."""
        among = session_id in self._parts
        name = f"session-{session_id}" if among else self.folder(session_id).name
        return self._beside(session_id) / f".{name}.{end}"

    def _whole_folder(self, session_id: str) -> Path:
        """Return where the whole session grows that comes instead of what was staged."""
        return self._rebuild_folder(session_id, "whole")
