"""Making the vector store that a new thread or assistant asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from clew.core.errors import NotFound
from clew.server.http import Server
from clew.wire.tool_resources import decode_new_store, naming


@asynccontextmanager
async def with_store(
    server: Server,
    project: str,
    resources: dict[str, Any] | None,
    expires_days: int | None = None,
) -> AsyncIterator[dict[str, Any] | None]:
    """The resources as they are to be kept; the store is deleted if the block fails, however."""
    asked = decode_new_store(resources, server.now(), expires_days)
    if asked is None:
        yield naming(resources, None) if resources and "file_search" in resources else resources
        return
    assert resources is not None
    store, files = asked
    await server.store.create_vector_store(project, store, files)
    try:
        yield naming(resources, store)
    except BaseException:
        await asyncio.shield(_undo(server, project, store.key))
        raise
    server.wake_indexer()


async def _undo(server: Server, project: str, store: str) -> None:
    with suppress(NotFound):
        await server.store.delete_vector_store(project, store)
    server.wake_indexer()
