"""Which page of a database did SQLite not write? No I/O.

It only ever shortens the way to 'damaged': where it names no page, SQLite itself decides.

A page that is in use is one of a b-tree, which begins with 2, 5, 10 or 13, or one of an overflow
chain or of the free list, which begins with the number of another page of the file or 0; or it
lies where none of them can (https://sqlite.org/fileformat2.html, 1.3 to 1.8). What a page was
before proves nothing: in WAL mode several transactions leave one change counter (in pager.c
`pager_write_changecounter` counts on from what was read last), so that a page may have become
another kind while page 1 looks the same.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Self

from supervisor.session.proof.sqlite_files import MAGIC

_HEADER_BYTES = 100
# The first byte of a b-tree's page, and how long the header is that begins with it (1.6).
_TREE = {2: 12, 5: 12, 10: 8, 13: 8}
_TREES = frozenset(bytes([kind]) for kind in _TREE)
# From so many pages on a chain's pointer could begin with the byte of a b-tree's page.
_PAGES_MAX = 2 << 24
# The page with this byte is never used: SQLite locks there.
_LOCKED_BYTE = 1 << 30
_PAGE_BYTES_MIN, _USABLE_BYTES_MIN = 512, 480

# Gives a page of the good copy, or as much of it as there is. Pages count from 1.
Pages = Callable[[int], bytes]


class Layout(NamedTuple):
    """What page 1 says of the file. `usable_bytes`: of each page, without what is reserved.

    `trunk`, `free`: the first page of the free list, and how many pages are on it. `mapped`:
    some pages say what the others are (auto_vacuum).
    """

    page_bytes: int
    usable_bytes: int
    pages: int
    trunk: int
    free: int
    mapped: bool

    @classmethod
    def of(cls, first: bytes, size: int) -> Self | None:
        """Return what the first page of a file of `size` bytes says, if that makes sense."""
        if len(first) < _HEADER_BYTES or first[:16] != MAGIC:
            return None
        page_bytes = int.from_bytes(first[16:18], "big")
        page_bytes = 65_536 if page_bytes == 1 else page_bytes
        usable_bytes = page_bytes - first[20]
        pages, trunk, free = (int.from_bytes(first[at : at + 4], "big") for at in (28, 32, 36))
        if (
            page_bytes < _PAGE_BYTES_MIN
            or page_bytes & (page_bytes - 1)
            or usable_bytes < _USABLE_BYTES_MIN
            or page_bytes * pages != size
            or not 0 < pages < _PAGES_MAX
            or first[24:28] != first[92:96]
        ):
            return None
        return cls(page_bytes, usable_bytes, pages, trunk, free, first[52:56] != bytes(4))

    def no_tree(self, page: int) -> bool:
        """Return whether that page can't belong to a b-tree, by its place alone."""
        locked = _LOCKED_BYTE // self.page_bytes + 1
        each = self.usable_bytes // 5 + 1
        # One map for so many pages; one that would lie on the locked page lies on the next.
        map_at = (page - 2) // each * each + 2
        map_at += map_at == locked
        return page == locked or (self.mapped and page == map_at)


def overwritten(layout: Layout, changed: Iterable[int], then: Pages, now: Pages) -> int | None:
    """Return the first of the `changed` pages that is damage for sure; None: they prove nothing.

    `then`, `now`: the pages of a good copy, and of the file, beside which no journal waits and
    whose `layout` it is.
    """
    spare: set[int] | None = None
    for page in changed:
        if page == 1 or layout.no_tree(page):
            continue
        if _may_be_used(now(page), layout) or not _is_tree(then(page), layout):
            continue
        if spare is None:
            spare = set(_free_pages(layout, now))
        if page not in spare:
            return page
    return None


def _may_be_used(page: bytes, layout: Layout) -> bool:
    """Return whether SQLite may have written this page, if it is in use."""
    return page[:1] in _TREES or int.from_bytes(page[:4], "big") <= layout.pages


def _is_tree(page: bytes, layout: Layout) -> bool:
    """Return whether this can be a page of a b-tree: header and cell pointers lie in it."""
    header_bytes = _TREE.get(page[0]) if len(page) == layout.page_bytes else None
    if header_bytes is None:
        return False
    usable = layout.usable_bytes
    cells = int.from_bytes(page[3:5], "big")
    end = header_bytes + 2 * cells
    content = int.from_bytes(page[5:7], "big") or 65_536
    if not end <= content <= usable:
        return False
    ats = (int.from_bytes(page[at : at + 2], "big") for at in range(header_bytes, end, 2))
    return all(content <= at < usable for at in ats)


def _free_pages(layout: Layout, now: Pages) -> Iterator[int]:
    """Yield the pages on the free list: what lies in them is of no account."""
    trunk, left = layout.trunk, layout.free
    while left > 0 and 1 < trunk <= layout.pages:
        page = now(trunk)
        yield trunk
        count = min(int.from_bytes(page[4:8], "big"), layout.usable_bytes // 4 - 2)
        for at in range(8, 8 + 4 * count, 4):
            yield int.from_bytes(page[at : at + 4], "big")
        trunk, left = int.from_bytes(page[:4], "big"), left - 1 - count
