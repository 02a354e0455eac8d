"""Import archives that nobody made for it. Run in a box, by its test.

Its argument: the box's folder. It ends with 0 where each came in or was refused in words, nothing
outside of the session was changed, and what was live is live still, or in quarantine.
"""

import io
import sys
import tarfile
from pathlib import Path

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.boxed_session import Project, files_of, used
from tests.fuzz.fuzzkit import TEXT, bent, cases, open_files
from tests.unit.session.sessionkit import ID

_NAMES = st.sampled_from(
    (
        *(
            "auth.json",
            "keys",
            "keys/one",
            "./keys/one",
            "more/one",
            "link",
            "link/x",
            f"session-{ID}",
        ),
        *("/", ".", "..", "../x", "/x", "a//b", "a/./b", "x" * 300, "x/" * 100 + "x", "\udcff"),
    )
)
_TYPES = st.sampled_from([tarfile.REGTYPE, *(bytes([kind]) for kind in b"1234567xgKLSZ")])
_PAX = st.dictionaries(
    st.sampled_from(("mtime", "size", "path", "linkpath", "uid", "GNU.sparse.map", "hdrcharset")),
    st.sampled_from(("nan", "inf", "-1", "1e300", "9" * 30, "a\0b", "", "..", "0,1,2", "BINARY"))
    | TEXT,
    max_size=2,
)


@st.composite
def _member(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    data = draw(st.binary(max_size=20))
    info = tarfile.TarInfo(draw(_NAMES))
    info.type = draw(_TYPES)
    info.linkname = draw(_NAMES) if draw(st.booleans()) else ""
    info.size = draw(st.sampled_from((len(data), len(data), 0, 10**6, 2**40)))
    info.mtime = draw(st.sampled_from((0, 1, -1, 2**33, 2**62)))
    info.mode = draw(st.sampled_from((0o600, 0, 0o7777)))
    info.pax_headers = draw(_PAX)
    return info, data


def _tar(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Write the members, whatever becomes of what comes after."""
    blocks = [
        info.tobuf(tarfile.PAX_FORMAT) + data.ljust(512 * bool(data), b"\0")
        for info, data in members
    ]
    return b"".join(blocks) + bytes(1024)


def main(box: Path) -> None:
    """Import one after the other."""
    project = Project(box)
    path = box / "in.tar.zst"
    project.past.manager().export(ID, box / "whole.tar.zst")
    whole = (box / "whole.tar.zst").read_bytes()
    packed = zstandard.ZstdCompressor(level=1).compress
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(whole)) as stream:
        tar = stream.read()

    @cases(10)
    @given(
        st.lists(_member(), max_size=5).map(_tar).map(packed)
        | bent(whole)
        | bent(tar).map(packed)
        | bent(tar[:2048]).map(lambda head: packed(head + tar[2048:]))
    )
    def bring(data: bytes) -> None:
        project.anew()
        path.write_bytes(data)
        live, outside = {d for _path, d in files_of(project.case.live)}, project.outside()
        around, opened = sorted(box.iterdir()), open_files()
        manager = project.case.manager(owned=True)
        used(lambda: manager.import_(ID, path))
        assert live <= project.holds(), "what was live is lost"
        assert project.outside() == outside
        assert sorted(box.iterdir()) == around
        assert path.read_bytes() == data
        assert open_files() == opened

    bring()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
