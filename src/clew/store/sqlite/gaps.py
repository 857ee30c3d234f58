"""Nothing but what is stored goes into the database file (invariant 9).

When SQLite moves rows from one page to another it leaves copies of them in the old page's gap, the
unallocated space between its cell pointers and its cells. `secure_delete` does not look there, so
an erased row could live on as such a copy. Whatever reaches the file comes there by a checkpoint:
the connection that checkpoints, made by `connect`, fills each gap with zeros.

A page is known by its first byte, which in a page that is no b-tree page is the highest of a page
number. So a file with 2**24 pages (64 GB) or more is written as it is.
Page layout: https://www.sqlite.org/fileformat2.html#b_tree_pages
"""

from __future__ import annotations

from typing import Any

import apsw

FIRST_PAGE_HEADER = 100
"""Bytes of the first page that belong to the file."""

_HEADERS = {2: 12, 5: 12, 10: 8, 13: 8}
"""Kind of b-tree page -> bytes of its header."""

_PAGES_BITS = 24


def connect(path: str) -> apsw.Connection:
    """A connection that leaves nothing in the gaps of the pages it copies into the database."""
    files = _Files()
    try:
        return apsw.Connection(path, vfs=files.name)
    finally:
        files.unregister()  # the connection keeps it, nobody else is to find it


class _Files(apsw.VFS):
    def __init__(self) -> None:
        self.name, self._base = f"clew-gaps-{id(self)}", apsw.vfs_names()[0]
        super().__init__(self.name, self._base)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        kind = _Database if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else apsw.VFSFile
        return kind(self._base, name, flags)


class _Database(apsw.VFSFile):
    def __init__(self, base: str, name: Any, flags: list[int]) -> None:
        super().__init__(base, name, flags)
        self._end = self.xFileSize()

    def xWrite(self, data: Any, offset: int) -> None:
        self._end = max(self._end, offset + len(data))
        if self._end >> _PAGES_BITS < len(data):
            data = without_gap(data, 0 if offset else FIRST_PAGE_HEADER)
        super().xWrite(data, offset)


def without_gap(page: Any, start: int = 0) -> Any:
    """The page with zeros in its gap; its header begins at `start`."""
    header = _HEADERS.get(page[start])
    if header is None:
        return page
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    gap = start + header + 2 * cells
    content = int.from_bytes(page[start + 5 : start + 7], "big") or 65_536
    if not gap < content <= len(page):
        return page
    return b"".join((page[:gap], bytes(content - gap), page[content:]))
