"""Why there is no snapshot, in words that a person can use."""

from collections.abc import Iterator
from contextlib import contextmanager

from supervisor.session.model import DamagedBlob, SnapshotFailed


@contextmanager
def snapshot_failing(session_id: str) -> Iterator[None]:
    """Let what the system says of a copy end in SnapshotFailed, with what to do."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise SnapshotFailed(
            f"no snapshot of session {session_id}: {error.strerror or error}{where}",
            "nothing was lost; make room or mend the disk, then: stillhere session backup",
        ) from error
    except DamagedBlob as error:
        raise SnapshotFailed(
            f"no snapshot of session {session_id}: {error.message}",
            error.hint or "the disk does not give back what was written to it: check it",
        ) from error
