"""The errors that a person is meant to read: what, which, why, and the next step."""

from collections.abc import Sequence


class SupervisorError(Exception):
    """What went wrong, and in `hint` what the person can do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SupervisorError):
    """Everything that is wrong with a configuration, all at once."""

    def __init__(self, problems: Sequence[str], hint: str = "") -> None:
        super().__init__("\n".join(problems), hint)
        self.problems = tuple(problems)


class SessionBusy(SupervisorError):  # noqa: N818 - the name is part of the Python API
    """Another process owns the session.

    `pid` is its process, `control` the path of its control socket, where it has one.
    """

    def __init__(
        self, message: str, hint: str = "", *, pid: int | None = None, control: str | None = None
    ) -> None:
        super().__init__(message, hint)
        self.pid = pid
        self.control = control
