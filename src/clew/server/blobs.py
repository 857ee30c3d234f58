"""The file in a form, on its way into the store: piece by piece, never more than one in memory.

The next piece is not read from the network before the one before is on disk, so a fast client waits
for a slow disk, and the writes of others get their turn between two pieces.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from clew.core.errors import ClewError
from clew.core.files import PIECE_BYTES_MAX
from clew.core.ids import new_key
from clew.server.http import Request, Server, encode
from clew.wire.multipart import Form

FORM_BYTES_MAX = 65_536
"""What a form may have besides its file."""


class Incoming:
    """A form as it comes in: its text fields, and the key of the blob that its file goes into."""

    def __init__(self, server: Server, request: Request, field: str, bytes_max: int) -> None:
        assert request.route.body is not None
        content_type = request.header(b"content-type") or ""
        self.form = Form(content_type, field, request.route.body)
        self.blob = new_key(server.now())
        self.bytes = 0
        self._server, self._request, self._field = server, request, field
        self._bytes_max = bytes_max
        self._hash = hashlib.sha256() if request.header(b"idempotency-key") else None
        self._is_stored = False

    async def store(self) -> None:
        """Read the form to its end; the bytes of its file are on disk then."""
        if int(self._request.header(b"content-length") or 0) > self._bytes_max + FORM_BYTES_MAX:
            raise self._too_large()
        waiting = bytearray()
        async for chunk in self._request.chunks():
            for data in self.form.feed(chunk):
                self._count(data)
                waiting += data
            while len(waiting) >= PIECE_BYTES_MAX:
                await self._write(bytes(waiting[:PIECE_BYTES_MAX]))
                del waiting[:PIECE_BYTES_MAX]
        self.form.finish()
        await self._write(bytes(waiting))

    async def drop(self) -> None:
        """The file is not wanted. Should that fail too, the sweep finds its bytes."""
        if self._is_stored:
            with suppress(ClewError):
                await self._server.store.drop_blob(self._request.project, self.blob)

    def fingerprint(self) -> bytes:
        """What tells this form from another one, whatever its boundary is."""
        digest = self._hash.hexdigest() if self._hash else ""
        return encode([self.form.filename, self.form.fields, digest])

    def _count(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.bytes > self._bytes_max:
            raise self._too_large()
        if self._hash is not None:
            self._hash.update(data)

    async def _write(self, piece: bytes) -> None:
        self._is_stored = True
        now, project = self._server.now(), self._request.project
        await self._server.store.write_blob(project, self.blob, piece, now)

    def _too_large(self) -> ClewError:
        message = f"File is too large. The maximum size is {self._bytes_max} bytes."
        return ClewError("too_large", message, self._field, "file_too_large")


@asynccontextmanager
async def incoming(
    server: Server, request: Request, field: str, bytes_max: int
) -> AsyncIterator[Incoming]:
    """The form of a request, its file stored; the file's bytes go again if the block fails."""
    form = Incoming(server, request, field, bytes_max)
    try:
        await form.store()
        yield form
    except BaseException:
        await form.drop()
        raise
