"""What a request gives to tools, in PostgreSQL: checked and made with what it comes with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.core.errors import NotFound
from clew.core.tool_resources import (
    Grant,
    file_keys,
    store_key,
    with_files,
    with_store,
    without,
)
from clew.core.vector_stores import check_living
from clew.store.postgres.engine import Transaction, decode, text
from clew.store.postgres.store_files import lock_store
from clew.store.postgres.vector_stores import add_missing, insert_store, require_files

Resources = dict[str, Any] | None


async def grant(
    tx: Transaction, project: str, resources: Resources, given: Grant | None, now_ms: int
) -> Resources:
    """The resources as they are to be kept, with what is given. NotFound for what is not there."""
    if given is None:
        return resources
    await require_files(tx, project, [*given.files, *given.attached], now_ms)
    for store in given.stores:
        await lock_store(tx, project, store)
    if given.attached:
        kept = without(resources, await missing(tx, project, file_keys(resources), now_ms))
        resources = with_files(kept, given.attached)
    return await _searching(tx, project, resources, given, now_ms)


async def grant_thread(
    tx: Transaction, project: str, thread: str, given: Grant | None, now_ms: int
) -> None:
    """Give it to a thread that is there; the revision is that of the change it comes with."""
    if given is None:
        return
    asked = {"thread": thread, "project": project}
    ((kept,),) = await tx.run("get_tool_resources", **asked)
    now = await grant(tx, project, None if kept is None else decode(kept), given, now_ms)
    await tx.run("set_tool_resources", **asked, tool_resources=text(now))


async def missing(tx: Transaction, project: str, files: Sequence[str], now_ms: int) -> set[str]:
    """Those of these files that are not there."""
    if not files:
        return set()
    there = await tx.run("find_files", project=project, files=list(files), now=now_ms)
    return set(files) - {key for (key,) in there}


async def _searching(
    tx: Transaction, project: str, resources: Resources, given: Grant, now_ms: int
) -> Resources:
    """The resources with a store that has the files to be searched, made where there is none."""
    if given.store is None:
        return resources
    named = store_key(resources)
    if named is not None and named != given.store.key:
        try:
            check_living(await lock_store(tx, project, named), now_ms)
        except NotFound:
            pass
        else:
            await add_missing(tx, project, named, given.searched, now_ms)
            return resources
    await insert_store(tx, project, given.store, given.searched)
    return with_store(resources, given.store.key)
