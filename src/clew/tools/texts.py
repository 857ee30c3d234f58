"""The text of a file that is kept here, bit by bit.

What is text is read along with its bytes. A document is written to a file without a name first,
and read by a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from clew.core.files import PIECE_BYTES_MAX
from clew.core.vector_stores import Claim
from clew.store.store import Store
from clew.tools.documents import reading
from clew.tools.formats import Unreadable, document_of
from clew.tools.parsing import Parser

DOCUMENT_BYTES_MAX = 512 * 2**20
"""Bytes of a document: they go to the disk once more."""


async def texts_of(store: Store, claim: Claim, filename: str) -> AsyncGenerator[str, None]:
    """The text of a claim's file. Raises Unreadable where it has none that can be read."""
    async with aclosing(_pieces(store, claim)) as pieces:
        head = await anext(pieces, b"")
        format = document_of(head)
        if format is None:
            texts = _read_text(filename, head, pieces)
        else:
            texts = _read_document(format, head, pieces)
        async with aclosing(texts):
            async for text in texts:
                yield text


async def _pieces(store: Store, claim: Claim) -> AsyncGenerator[bytes, None]:
    """The bytes of the file."""
    place = 0
    while piece := await store.read_file(claim.project, claim.file, place, PIECE_BYTES_MAX):
        place += len(piece)
        yield piece


async def _read_text(
    filename: str, head: bytes, pieces: AsyncGenerator[bytes, None]
) -> AsyncGenerator[str, None]:
    parser = Parser(filename)
    yield await asyncio.to_thread(parser.feed, head)
    async for piece in pieces:
        yield await asyncio.to_thread(parser.feed, piece)
    yield await asyncio.to_thread(parser.finish)


async def _read_document(
    format: str, head: bytes, pieces: AsyncGenerator[bytes, None]
) -> AsyncGenerator[str, None]:
    with reading.spool() as file:
        await asyncio.to_thread(file.write, head)
        async for piece in pieces:
            await asyncio.to_thread(file.write, piece)
            if file.tell() > DOCUMENT_BYTES_MAX:
                raise Unreadable("invalid_file", "The file is too large to be read.")
        async with aclosing(reading.read(file, format)) as texts:
            async for text in texts:
                yield text
