"""What stays of a link that has ended: the good ones for a while, no useless ones beside them."""

from typing import Any

from supervisor.session.model import rfc3339
from supervisor.session.storage import retention
from supervisor.session.storage.manifest import Manifest
from tests.unit.session.sessionkit import ID

ENDED = 1_795_557_600.0
DAY_S = 86_400.0


def taken(seq: int, verdict: Any) -> Manifest:
    """Return a snapshot."""
    return Manifest(
        id=ID, seq=seq, epoch=1, reason="x", taken_at=rfc3339(ENDED - 100 + seq), verdict=verdict
    )


def test_bad_ones_do_not_outlive_the_good_ones_of_an_ended_link() -> None:
    """Nobody will heal them, and nothing is compared with them any more."""
    manifests = [taken(1, "good"), taken(2, "bad"), taken(3, "good"), taken(4, "bad")]
    manifests += [taken(5, "good"), taken(6, "bad")]
    assert retention.kept_after_end(manifests, ENDED, ENDED + DAY_S) == {3, 5}
    assert retention.kept_after_end(manifests, ENDED, ENDED + 31 * DAY_S) == set()
    assert retention.kept_after_end(manifests, ENDED, ENDED + 31 * DAY_S, last=True) == {5}


def test_where_all_are_bad_the_newest_of_them_stay() -> None:
    """They are all that a person has of that link."""
    manifests = [taken(seq, "bad") for seq in (1, 2, 3)]
    assert retention.kept_after_end(manifests, ENDED, ENDED + DAY_S) == {2, 3}
