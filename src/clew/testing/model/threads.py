"""Threads in the model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from clew.core.items import Item
from clew.core.paging import ThreadQuery
from clew.core.threads import Receipt, Thread
from clew.store.once import Once
from clew.testing.model.memory import Memory
from clew.testing.model.pages import page_of


class ThreadVerbs(Memory):
    async def create_thread(
        self, project: str, thread: Thread, items: Sequence[Item] = (), *, once: Once | None = None
    ) -> Thread:
        def act() -> Thread:
            return self._create(project, thread, items).thread

        return self._act((project, ""), once, act, thread.key)

    async def get_thread(self, project: str, thread: str) -> Thread:
        return deepcopy(self._log(project, thread).thread)

    async def list_threads(self, project: str, query: ThreadQuery) -> tuple[list[Thread], bool]:
        threads = [log.thread for log in self._logs.get(project, {}).values()]
        threads.sort(key=lambda thread: (thread.created_at, thread.key))
        return page_of(threads, query.page, "thread", lambda thread: _meets(thread, query))

    async def update_thread(
        self,
        project: str,
        thread: str,
        now_ms: int,
        *,
        metadata: dict[str, str] | None = None,
        tool_resources: dict[str, Any] | None = None,
        on_busy: str | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        def act() -> Thread:
            log = self._log(project, thread, if_revision)
            if metadata is not None:
                log.thread.metadata = deepcopy(metadata)
            if tool_resources is not None:
                log.thread.tool_resources = deepcopy(tool_resources)
            log.thread.on_busy = on_busy or log.thread.on_busy
            log.change(now_ms)
            return log.thread

        return self._act((project, thread), once, act)

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
            log = self._log(project, parent, if_revision)
            seq = len(log.items) if at_seq is None else at_seq
            if at_item is not None:
                seq = log.find(at_item) + 1
            return self._fork(project, log, fork, seq).thread

        return self._act((project, parent), once, act, fork.key)

    async def erase_thread(
        self,
        project: str,
        thread: str,
        receipt: Receipt,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Receipt:
        def act() -> Receipt:
            self._log(project, thread, if_revision)
            return self._erase_thread(project, thread, receipt)

        return self._act((project, thread), once, act)


def _meets(thread: Thread, query: ThreadQuery) -> bool:
    return (
        query.metadata.items() <= thread.metadata.items()
        and _within(thread.created_at, query.created_from, query.created_to)
        and _within(thread.updated_at, query.updated_from, query.updated_to)
    )


def _within(time: int, first: int | None, last: int | None) -> bool:
    return (first is None or first <= time) and (last is None or time <= last)
