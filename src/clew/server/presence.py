"""Work that is done for a client alone: it ends when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from clew.server.http import Disconnected, Request

T = TypeVar("T")


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to. Where the client leaves first, it is ended, and this is Disconnected.

    For work before the first byte of an answer; a stream that has begun is watched by the app.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.left())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Disconnected
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
