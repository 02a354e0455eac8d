"""A file of no known format beside its sealed copy: was it cut, or overwritten? Reads, no more.

Asked only where nobody may have run since the seal: then a change is a person's or an accident's.
A person edits text, and leaves text that ends where a line does. What is not so is damage.
"""

import os
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path

from supervisor.session import files
from supervisor.session.scan import NO_RIGHTS, OUR_LACKS, Seen
from supervisor.session.storage.entries import Entry

# Keys and tokens are small; what is larger is not read back for this.
_LOOKED_AT_MAX_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def opaque_problems(
    folder: Path,
    seen: Mapping[str, Seen],
    sealed: Mapping[str, Entry],
    known: Container[str],
    stored: Callable[[Entry], bytes],
) -> Iterator[str]:
    """Yield what accidents alone do. `known`: paths that have a format, which says more.

    `stored`: gives a sealed file's bytes, or none where it can't. Raises: OSError.
    """
    for path, item in seen.items():
        then = sealed.get(path)
        if then is None or path in known or item.kind != "file" or then.seen == item:
            continue
        if not item.size or max(item.size, then.seen.size) > _LOOKED_AT_MAX_BYTES:
            continue
        if problem := _problem(_content(folder / path, item.size), stored(then)):
            yield f"{path} {problem}"


def _problem(now: bytes, then: bytes) -> str:
    """Return what happened to a file that holds `now` and held `then`, or ""."""
    if not now or not then or now == then:
        return ""
    text = _is_text(then)
    if then.startswith(now) and not (text and b"\n" in (now[-1:], then[len(now) :][:1])):
        return f"is torn: {len(now)} bytes instead of {len(then)}"
    return (
        "was overwritten: it was text, and is none any more" if text and not _is_text(now) else ""
    )


def _is_text(data: bytes) -> bool:
    try:
        return b"\0" not in data and bool(data.decode())
    except UnicodeDecodeError:
        return False


def _content(path: Path, size: int) -> bytes:
    """Return a file's bytes, none where its disk does not give them. Raises: OSError."""
    try:
        fd = os.open(path, _FLAGS)
        try:
            return files.read_at(fd, size, 0)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (*OUR_LACKS, *NO_RIGHTS):
            raise
        return b""
