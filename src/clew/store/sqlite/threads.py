"""Threads in SQLite: create, list, fork, erase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec.structs import replace

from clew.core.errors import BadRequest, NotFound
from clew.core.items import Item
from clew.core.paging import ThreadQuery
from clew.core.threads import Thread
from clew.core.tool_resources import Grant
from clew.core.webhooks import thread_notice
from clew.store.once import Once
from clew.store.sqlite import log, outbox
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.engine import SQL, Engine, decode, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.grants import grant
from clew.store.sqlite.locks import Lock, check_revision, lock
from clew.store.sqlite.pages import read_page


class ThreadVerbs(Engine):
    async def create_thread(
        self,
        project: str,
        thread: Thread,
        items: Sequence[Item] = (),
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Thread:
        def act() -> Thread:
            replay(self.db, project, PROJECT, once)
            insert_thread(self.db, project, granted(self.db, project, thread, given), items)
            outcome = read_thread(self.db, project, thread.key)
            record(self.db, project, PROJECT, once, outcome, thread.key)
            return outcome

        return await self.write(act)

    @reads
    async def get_thread(self, project: str, thread: str) -> Thread:
        return read_thread(self.snapshot(), project, thread)

    @reads
    async def list_threads(self, project: str, query: ThreadQuery) -> tuple[list[Thread], bool]:
        bindings: dict[str, Any] = {
            "project": project,
            "created_from": query.created_from or 0,
            "created_to": log.EVERYTHING if query.created_to is None else query.created_to,
            "updated_from": query.updated_from or 0,
            "updated_to": log.EVERYTHING if query.updated_to is None else query.updated_to,
        }
        prefix = ""
        if query.metadata:
            prefix = "find_"
            name, value = next(iter(query.metadata.items()))
            bindings |= {"name": name, "value": value, "metadata": text(query.metadata)}
        rows, more = read_page(self.snapshot(), "thread", query.page, bindings, prefix)
        return [_to_thread(row) for row in rows], more

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
        def act() -> Thread:
            replay(self.db, project, thread, once)
            found = lock(self.db, project, thread)
            check_revision(found, if_revision)
            grant(self.db, project, tool_resources, given, now_ms)
            if metadata is not None:
                self.db.execute(SQL["delete_metadata"], {"no": found.no})
                _index_metadata(self.db, project, found.no, metadata)
            changes = {
                "no": found.no,
                "updated_at": now_ms,
                "metadata": None if metadata is None else text(metadata),
                "tool_resources": None if tool_resources is None else text(tool_resources),
                "on_busy": on_busy,
            }
            self.db.execute(SQL["update_thread"], changes)
            outbox.tell(self.db, found, [thread_notice("updated", thread)], now_ms)
            outcome = read_thread(self.db, project, thread)
            record(self.db, project, thread, once, outcome)
            return outcome

        return await self.write(act)

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
        def act() -> Thread:
            replay(self.db, project, parent, once)
            found = lock(self.db, project, parent)
            check_revision(found, if_revision)
            seq = fork_point(self.db, found, at_item, at_seq)
            insert_thread(self.db, project, fork, (), (found.no, seq))
            outcome = read_thread(self.db, project, fork.key)
            record(self.db, project, parent, once, outcome, fork.key)
            return outcome

        return await self.write(act)


def granted(db: apsw.Connection, project: str, thread: Thread, given: Grant | None) -> Thread:
    """A new thread with what is given to its tools."""
    resources = grant(db, project, thread.tool_resources, given, thread.created_at)
    return replace(thread, tool_resources=resources)


def read_thread(db: apsw.Connection, project: str, thread: str) -> Thread:
    row = db.execute(SQL["get_thread"], {"thread": thread, "project": project}).fetchone()
    if row is None:
        raise NotFound("thread", thread)
    return _to_thread(row)


def insert_thread(
    db: apsw.Connection,
    project: str,
    thread: Thread,
    items: Sequence[Item],
    hangs: tuple[int, int] | None = None,
) -> Lock:
    """Store a new thread with its first items, as its first revision.

    A fork `hangs` on its parent's number, at the seq up to which it shares the parent's items.
    """
    parent, parent_seq = hangs or (None, 0)
    row = {
        "key": thread.key,
        "project": project,
        "revision": 0,
        "last_seq": parent_seq,
        "updated_at": thread.updated_at,
        "created_at": thread.created_at,
        "parent": parent,
        "parent_seq": parent_seq,
        "chain": thread.chain,
        "metadata": text(thread.metadata),
        "tool_resources": None if thread.tool_resources is None else text(thread.tool_resources),
        "on_busy": thread.on_busy,
    }
    told: Any = db.execute(SQL["insert_thread"], row).fetchall()
    ends = 0, parent_seq, None, parent, parent_seq, 0, thread.on_busy
    made = Lock(db.last_insert_rowid(), *ends, bool(told[0][0]), project, thread.key)
    _index_metadata(db, project, made.no, thread.metadata)
    outbox.tell(db, made, [thread_notice("created", thread.key)], thread.updated_at)
    log.append(db, made, items, thread.updated_at)
    return made


def _index_metadata(db: apsw.Connection, project: str, no: int, metadata: dict[str, str]) -> None:
    if metadata:
        row = {"project": project, "no": no, "metadata": text(metadata)}
        db.execute(SQL["insert_metadata"], row)


def fork_point(db: apsw.Connection, found: Lock, at_item: str | None, at_seq: int | None) -> int:
    if at_item is not None:
        shown = log.find(db, log.levels(db, found), at_item)
        if shown is None or shown[2] is None:
            raise NotFound("item", at_item)
        return shown[5]
    if at_seq is None:
        return found.last_seq
    if not 0 <= at_seq <= found.last_seq:
        raise BadRequest(f"The thread ends at {found.last_seq}.", "at", "invalid_value")
    return at_seq


def _to_thread(row: tuple[Any, ...]) -> Thread:
    key, created_at, updated_at, metadata, tool_resources, *rest = row
    revision, last_seq, active_run, parent, parent_seq, chain, on_busy = rest
    return Thread(
        key,
        created_at,
        updated_at,
        decode(metadata),
        None if tool_resources is None else decode(tool_resources),
        revision,
        last_seq,
        active_run,
        parent,
        parent_seq,
        bool(chain),
        on_busy,
    )
