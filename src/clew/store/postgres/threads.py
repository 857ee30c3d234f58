"""Threads in PostgreSQL: create, list, update, fork."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from clew.core.errors import BadRequest, NotFound
from clew.core.items import Item
from clew.core.paging import ThreadQuery, walk
from clew.core.threads import Thread
from clew.core.tool_resources import Grant
from clew.core.webhooks import thread_notice
from clew.store.once import Once
from clew.store.postgres import log, outbox
from clew.store.postgres.answers import PROJECT, Answers
from clew.store.postgres.engine import Row, Transaction, decode, text
from clew.store.postgres.grants import grant
from clew.store.postgres.locks import Lock, check_revision, lock
from clew.store.postgres.metadata import from_jsonb, to_jsonb
from clew.store.postgres.pages import EVERYTHING, read_page, turned


class ThreadVerbs(Answers):
    async def create_thread(
        self,
        project: str,
        thread: Thread,
        items: Sequence[Item] = (),
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Thread:
        async def act(tx: Transaction) -> Thread:
            made = Lock(project, thread.key, 1, 0)
            await log.insert_items(tx, made, items)
            await insert_thread(tx, project, await granted(tx, project, thread, given), made)
            await outbox.tell_messages(tx, made, items, thread.updated_at)
            return await read_thread(tx, project, thread.key)

        return await self.act_once(project, PROJECT, once, act, about=thread.key)

    async def get_thread(self, project: str, thread: str) -> Thread:
        rows = await self.read("get_thread", thread=thread, project=project)
        if not rows:
            raise NotFound("thread", thread)
        return _to_thread(rows[0])

    async def list_threads(self, project: str, query: ThreadQuery) -> tuple[list[Thread], bool]:
        scope: dict[str, Any] = {
            "project": project,
            "created_from": query.created_from or 0,
            "created_to": EVERYTHING if query.created_to is None else query.created_to,
            "updated_from": query.updated_from or 0,
            "updated_to": EVERYTHING if query.updated_to is None else query.updated_to,
        }
        prefix = ""
        if query.metadata:
            prefix = "find_"
            scope["metadata"] = to_jsonb(query.metadata)
        steps = walk(query.page)
        rows = await read_page(self, "thread", query.page, steps, scope, prefix)
        return turned([_to_thread(row) for row in rows], query.page, steps)

    async def update_thread(
        self,
        project: str,
        thread: str,
        now_ms: int,
        *,
        metadata: dict[str, str] | None = None,
        tool_resources: dict[str, Any] | None = None,
        on_busy: str | None = None,
        given: Grant | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        async def act(tx: Transaction) -> Thread:
            found = await lock(tx, project, thread)
            check_revision(found, if_revision)
            await grant(tx, project, tool_resources, given, now_ms)
            await tx.run(
                "update_thread",
                thread=thread,
                updated_at=now_ms,
                metadata=None if metadata is None else to_jsonb(metadata),
                tool_resources=None if tool_resources is None else text(tool_resources),
                on_busy=on_busy,
            )
            await outbox.tell(tx, found, [thread_notice("updated", thread)], now_ms)
            return await read_thread(tx, project, thread)

        return await self.act_once(project, thread, once, act)

    async def fork_thread(
        self,
        project: str,
        parent: str,
        fork: Thread,
        *,
        at_item: str | None = None,
        at_seq: int | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        async def act(tx: Transaction) -> Thread:
            found = await lock(tx, project, parent)
            check_revision(found, if_revision)
            if at_item is not None:
                seq = (await log.find_shown(tx, project, parent, at_item)).seq
            else:
                seq = fork_point(found, at_seq)
            made = Lock(project, fork.key, 1, seq, None, parent, seq)
            await insert_thread(tx, project, fork, made)
            return await read_thread(tx, project, fork.key)

        return await self.act_once(project, parent, once, act, about=fork.key)


async def granted(tx: Transaction, project: str, thread: Thread, given: Grant | None) -> Thread:
    """A new thread with what is given to its tools."""
    resources = await grant(tx, project, thread.tool_resources, given, thread.created_at)
    return replace(thread, tool_resources=resources)


async def read_thread(tx: Transaction, project: str, thread: str) -> Thread:
    row = await tx.row("get_thread", thread=thread, project=project)
    if row is None:
        raise NotFound("thread", thread)
    return _to_thread(row)


async def insert_thread(tx: Transaction, project: str, thread: Thread, made: Lock) -> None:
    """Store a new thread, at its first revision, that ends and hangs where `made` says."""
    resources = thread.tool_resources
    row = await tx.row(
        "insert_thread",
        thread=thread.key,
        project=project,
        last_seq=made.last_seq,
        updated_at=thread.updated_at,
        created_at=thread.created_at,
        parent=made.parent,
        parent_seq=made.parent_seq,
        chain=thread.chain,
        metadata=to_jsonb(thread.metadata),
        tool_resources=None if resources is None else text(resources),
        on_busy=thread.on_busy,
    )
    assert row is not None
    made.is_told = row[0]
    await outbox.tell(tx, made, [thread_notice("created", thread.key)], thread.updated_at)


def fork_point(found: Lock, at_seq: int | None) -> int:
    if at_seq is None:
        return found.last_seq
    if not 0 <= at_seq <= found.last_seq:
        raise BadRequest(f"The thread ends at {found.last_seq}.", "at", "invalid_value")
    return at_seq


def _to_thread(row: Row) -> Thread:
    key, created_at, updated_at, metadata, tool_resources, *rest = row
    resources = None if tool_resources is None else decode(tool_resources)
    return Thread(key, created_at, updated_at, from_jsonb(metadata), resources, *rest)
