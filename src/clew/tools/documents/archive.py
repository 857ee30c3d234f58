"""A ZIP archive of strangers: its members piece by piece, whatever its directory says of them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from clew.tools.documents.limits import (
    MEMBERS_MAX,
    RATIO_FREE_BYTES,
    RATIO_MAX,
    UNPACKED_BYTES_MAX,
)
from clew.tools.formats import Unreadable, invalid

_PIECE = 64 * 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """The members of an archive; archives within it are never opened."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
            raise broken() from None
        if len(self._zip.infolist()) > MEMBERS_MAX:
            raise invalid(f"The file is an archive of more than {MEMBERS_MAX} members.")
        self._members = {info.filename: info for info in self._zip.infolist()}
        self._unpacked = 0

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @property
    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a member, in pieces. Raises Unreadable where they are not there, or are
        more than may be."""
        info = self._members.get(name)
        if info is None:
            raise invalid("The file is incomplete: a part that it names is missing.")
        if info.flag_bits & 0x1:
            raise invalid("The file is encrypted.")
        if info.compress_type not in _METHODS:
            raise invalid("The file is compressed in a way that is not accepted.")
        try:
            with self._zip.open(info) as member:
                came = 0
                while piece := member.read(_PIECE):
                    came += len(piece)
                    self._check(info, came, len(piece))
                    yield piece
        except Unreadable:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError):
            raise broken() from None

    def _check(self, info: zipfile.ZipInfo, came: int, more: int) -> None:
        self._unpacked += more
        if self._unpacked > UNPACKED_BYTES_MAX:
            raise invalid("The file unpacks to more than may be read.")
        if came > RATIO_FREE_BYTES and came > RATIO_MAX * max(1, info.compress_size):
            raise invalid("The file unpacks to far more than its size.")


def broken() -> Unreadable:
    return invalid("The file is damaged: it is no complete archive.")
