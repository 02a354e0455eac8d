"""stillhere: restart a stateful bot without losing its session."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.session.manager import SessionManager

__all__ = ["SessionManager"]


def __getattr__(name: str) -> Any:
    """Import the SessionManager at its first use: most commands start faster without it."""
    if name == "SessionManager":
        from supervisor.session.manager import SessionManager  # noqa: PLC0415 - see the docstring

        return SessionManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
