"""Items in PostgreSQL: append, read, change, erase."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from clew.core.busy import REJECT, OnBusy
from clew.core.errors import BadRequest
from clew.core.items import Item, with_metadata
from clew.core.paging import Page, walk
from clew.core.threads import Thread
from clew.core.tool_resources import Grant
from clew.core.webhooks import message_notice
from clew.store.once import Once
from clew.store.postgres import log, outbox
from clew.store.postgres.answers import Answers
from clew.store.postgres.appends import Append, Appender
from clew.store.postgres.compactions import erase_compactions
from clew.store.postgres.engine import Transaction
from clew.store.postgres.events import forget
from clew.store.postgres.grants import grant_thread
from clew.store.postgres.lines import arrive, go_on, refuse_busy
from clew.store.postgres.locks import check_revision, lock, lock_lineage, touch
from clew.store.postgres.pages import EVERYTHING, turned
from clew.store.postgres.threads import read_thread


class ItemVerbs(Answers):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._appender = Appender(self, self._append_alone)

    async def close(self) -> None:
        await self._appender.close()
        await super().close()

    async def append_items(
        self,
        project: str,
        thread: str,
        items: Sequence[Item],
        now_ms: int,
        *,
        on_busy: OnBusy = REJECT,
        given: Grant | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> tuple[int, int]:
        end = asyncio.get_running_loop().create_future()
        request = Append(project, thread, items, now_ms, if_revision, end, on_busy)
        if once is not None or given is not None:
            return await self._append_alone(request, once, given)
        self._appender.submit(request)
        revision, last_seq = await end
        return revision, last_seq

    async def _append_alone(
        self, request: Append, once: Once | None = None, given: Grant | None = None
    ) -> tuple[int, int]:
        async def act(tx: Transaction) -> tuple[int, int]:
            project, items, now_ms = request.project, request.items, request.now_ms
            found = await lock(tx, project, request.thread)
            check_revision(found, request.if_revision)
            policy = request.on_busy.policy(found.on_busy)
            refuse_busy(found, policy)
            await grant_thread(tx, project, request.thread, given, now_ms)
            if found.active_run is not None:
                await arrive(tx, project, found, policy, items, now_ms)
            if found.active_run is None:
                await log.append(tx, found, items, now_ms)
                await go_on(tx, project, found, now_ms)
            return found.revision, found.last_seq

        return await self.act_once(request.project, request.thread, once, act)

    async def list_items(
        self,
        project: str,
        thread: str,
        page: Page,
        *,
        kinds: Sequence[str] | None = None,
        run: str | None = None,
        upto: int | None = None,
    ) -> tuple[list[Item], bool]:
        steps = walk(page)
        start, stop = [
            None if cursor is None else (await log.find(self, project, thread, cursor))[5]
            for cursor in (steps.start, steps.stop)
        ]
        low, high = (stop, start) if steps.descending else (start, stop)
        name = "items_down" if steps.descending else "items_up"
        last = EVERYTHING if upto is None else upto + 1
        wanted: dict[str, Any] = {}
        if kinds is not None or run is not None:
            name = f"find_{name}"
            wanted = {"kinds": None if kinds is None else list(kinds), "run": run}
        rows = await self.read(
            name,
            project=project,
            thread=thread,
            low=0 if low is None else low,
            high=last if high is None else min(high, last),
            limit=page.limit + 1,
            **wanted,
        )
        return turned(log.to_items(thread, rows), page, steps)

    async def read_items(self, project: str, thread: str, *, below: int, limit: int) -> list[Item]:
        rows = await self.read(
            "items_down", project=project, thread=thread, low=0, high=below, limit=limit
        )
        return log.to_items(thread, rows)

    async def get_item(self, project: str, thread: str, item: str) -> Item:
        return await log.find_known(self, project, thread, item)

    async def update_item(
        self,
        project: str,
        thread: str,
        item: str,
        metadata: dict[str, str],
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Item:
        async def act(tx: Transaction) -> Item:
            found = await lock_lineage(tx, project, thread)
            check_revision(found, if_revision)
            old = await log.find_known(tx, project, thread, item)
            if not old.is_message:
                raise BadRequest("Only a message has metadata.", "message_id")
            new = with_metadata(old, metadata)
            if old.seq:
                await log.change(tx, found, old, new)
            else:
                body = new.body.decode()
                await tx.run("update_waiting", thread=thread, id=item, body=body)
            await outbox.tell(tx, found, [message_notice("updated", thread, new)], now_ms)
            await touch(tx, found, now_ms)
            return new

        return await self.act_once(project, thread, once, act)

    async def erase_item(
        self,
        project: str,
        thread: str,
        item: str,
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        async def act(tx: Transaction) -> Thread:
            found = await lock_lineage(tx, project, thread)
            check_revision(found, if_revision)
            old = await log.find_known(tx, project, thread, item)
            if old.seq:
                await log.change(tx, found, old, None)
                await forget(tx, thread, old.run)
                await erase_compactions(tx, project, found, old.seq)
            else:
                await tx.run("erase_waiting", thread=thread, id=item)
            await outbox.tell_deleted(tx, found, old, now_ms)
            await tx.run("erase_answers", thread=thread, project=project, item=item)
            await touch(tx, found, now_ms)
            return await read_thread(tx, project, thread)

        return await self.act_once(project, thread, once, act)
