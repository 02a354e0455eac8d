"""What the tests of real children share."""

from tests.contract.childkit import adopting

__all__ = ["adopting"]
