"""What the tools of a run may use, at the moment they are about to use it."""

from __future__ import annotations

from typing import Any

from clew.core.ids import key_of
from clew.core.tool_resources import Resources, file_keys, stores_of, without
from clew.store.store import Store


async def usable(store: Store, project: str, resources: Resources, now_ms: int) -> dict[str, Any]:
    """The resources that are there; their vector stores are in use now, which puts off their end.

    Files that were deleted or have expired are left out. A vector store that has expired is
    BadRequest, one that was deleted NotFound: without it, answers would be made of nothing.
    """
    for id in stores_of(resources):
        await store.touch_vector_store(project, key_of("vector_store", id) or id, now_ms)
    files = file_keys(resources)
    gone = await store.missing_files(project, files, now_ms) if files else set()
    return without(dict(resources), gone) or {}
