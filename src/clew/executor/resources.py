"""What the tools of a run may use, at the moment they are about to use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from clew.core.ids import key_of
from clew.core.tool_resources import Resources, file_keys, stores_of, without
from clew.store.store import Store

WAIT_S = 60.0
"""How long a run waits for the files of its thread's store that are not indexed yet."""

_STEP_S = 0.2


async def indexed(
    store: Store,
    project: str,
    resources: Resources | None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> bool:
    """Wait, but not for ever, until the vector stores of a thread have no file in progress.

    What the assistant has is not waited for: it was not made for this question.
    """
    waited = 0.0
    for id in stores_of(resources):
        key = key_of("vector_store", id) or id
        while (await store.get_vector_store(project, key)).counts.in_progress:
            if waited >= WAIT_S:
                return False
            await sleep(_STEP_S)
            waited += _STEP_S
    return True


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
