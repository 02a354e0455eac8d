"""What the tests of the session's commands share."""

from tests.unit.cli.projectkit import project

__all__ = ["project"]
