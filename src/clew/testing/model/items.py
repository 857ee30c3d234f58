"""Items in the model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from clew.core.busy import REJECT, OnBusy
from clew.core.items import Item, with_metadata
from clew.core.paging import Page
from clew.core.threads import Thread
from clew.store.once import Once
from clew.testing.model.lines import Lines
from clew.testing.model.pages import page_of


class ItemVerbs(Lines):
    async def append_items(
        self,
        project: str,
        thread: str,
        items: Sequence[Item],
        now_ms: int,
        *,
        on_busy: OnBusy = REJECT,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> tuple[int, int]:
        def act() -> tuple[int, int]:
            log = self._log(project, thread, if_revision)
            if log.thread.active_run is not None:
                policy = on_busy.policy(log.thread.on_busy)
                self._arrive(project, log, policy, items, now_ms)
            if log.thread.active_run is None:
                log.append(items, now_ms)
                log.go_on(now_ms)
            return log.thread.revision, log.thread.last_seq

        return self._act((project, thread), once, act)

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
        log = self._log(project, thread)

        def wanted(item: Item) -> bool:
            return (
                item.id not in log.erased
                and (kinds is None or item.kind in kinds)
                and (run is None or item.run == run)
                and (upto is None or item.seq <= upto)
            )

        return page_of(log.items, page, "item", wanted)

    async def read_items(self, project: str, thread: str, *, below: int, limit: int) -> list[Item]:
        items = [item for item in self._log(project, thread).shown() if item.seq < below]
        return deepcopy(items[::-1][:limit])

    async def get_item(self, project: str, thread: str, item: str) -> Item:
        items, index = self._log(project, thread).place(item)
        return deepcopy(items[index])

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
        def act() -> Item:
            log = self._log(project, thread, if_revision)
            items, index = log.place(item)
            items[index] = with_metadata(items[index], metadata)
            log.change(now_ms)
            return items[index]

        return self._act((project, thread), once, act)

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
        def act() -> Thread:
            log = self._log(project, thread, if_revision)
            items, index = log.place(item)
            erased = {item}
            if items is log.items:
                erased |= log.summaries_of(items[index].seq)
                log.erased |= erased
            else:
                del items[index]
            log.change(now_ms)
            for id in erased:
                self._erase_answers(project, thread, id)
            return log.thread

        return self._act((project, thread), once, act)
