"""What the tools of a run may use, at the moment they are about to use it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from clew.core.errors import ClewError, NotFound
from clew.core.ids import key_of
from clew.core.runs import Run
from clew.core.tool_resources import Resources, file_keys, merged, stores_of, without
from clew.store.store import Store
from clew.tools.tool import ToolError


async def resources_of(
    store: Store, project: str, run: Run, now_ms: int, *, has_thread: bool = True
) -> dict[str, Any]:
    """What a run's tools may use: its thread's and its assistant's. ToolError if that is gone.

    Without `has_thread` (a run that is not stored) there need be none.
    """
    held, assistant = await _held(store, project, run.thread, has_thread), None
    with suppress(NotFound):
        if run.assistant is not None:
            assistant = await store.get_assistant(project, run.assistant)
    own = None if assistant is None else assistant.settings.get("tool_resources")
    try:
        return await usable(store, project, merged(held, own), now_ms)
    except NotFound as gone:
        raise ToolError(f"No vector store found with id 'vs_{gone.id}'.") from gone
    except ClewError as error:
        raise ToolError(error.message) from error


async def _held(store: Store, project: str, thread: str, is_there: bool) -> Resources | None:
    try:
        return (await store.get_thread(project, thread)).tool_resources
    except NotFound:
        if is_there:
            raise
        return None


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
