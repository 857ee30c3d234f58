"""The calls of our own tools in a turn: asked for by the model, done here, each stored as it goes.

The log says how far a call came: `in_progress` when it was asked for, the tool's own word when its
work began, and how it ended. All that a step asked for is done side by side.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from clew.core.ids import new_item_id
from clew.core.items import Item, new_item
from clew.executor.ledger import Ledger
from clew.executor.toolbox import Asked, Toolbox

TAIL = 256
"""How far back an approval's request may stand."""

log = logging.getLogger("clew.executor")


class Hosting:
    """`steps` counts model calls, `pending` holds what is not done: the number of each, by id.

    `client_calls` and `approvals` say that the client has to answer before the model goes on.
    """

    def __init__(self, ledger: Ledger, toolbox: Toolbox) -> None:
        self._ledger, self.toolbox = ledger, toolbox
        self.pending: dict[str, tuple[int, Item]] = {}
        self.steps = self.calls = 0
        self.client_calls = self.approvals = False
        self.waiting: asyncio.Task[object] | None = None
        self.let_go = False

    @property
    def waits_for_client(self) -> bool:
        return self.client_calls or self.approvals

    @property
    def is_spent(self) -> bool:
        """Whether the run may call no more of our tools."""
        most = self._ledger.run.settings.get("max_tool_calls")
        return most is not None and self.calls >= most

    def ask(self, asked: Iterable[Asked]) -> list[Item]:
        """The items of calls that the model asks for; those beyond the run's limit are ignored."""
        items = []
        for call in asked:
            if not self.is_spent:
                items.append(self._add(self.toolbox.ask(call)))
        return items

    def heed(self, items: Sequence[Item]) -> None:
        """What the model said may need the client."""
        self.client_calls |= any(item.kind == "function_call" for item in items)
        self.approvals |= any(item.kind == "mcp_approval_request" for item in items)

    async def approve(self) -> None:
        """Ask for what the client has approved in the run's input, if that was not done before."""
        ledger, run = self._ledger, self._ledger.run
        if self.toolbox.is_empty or run.input_seq < run.first_seq:
            return
        own = run.input_seq - run.first_seq + 1
        args = ledger.project, run.thread
        said = await ledger.log.read_items(*args, below=run.input_seq + 1, limit=own)
        if not any(item.kind == "mcp_approval_response" for item in said):
            return
        known = await ledger.log.read_items(*args, below=1 << 62, limit=own + TAIL)
        approved = self.toolbox.approved(known[::-1])
        if approved:
            await ledger.start()
            for data in approved:
                self._add(data)
            await ledger.keep()

    async def act(self) -> None:
        """Do all that is pending."""
        if not self.pending:
            return
        if self.let_go:
            raise asyncio.CancelledError
        begun = {id: (at, self.toolbox.begun(item)) for id, (at, item) in self.pending.items()}
        self._ledger.change(*(item for _, item in begun.values()))
        await self._ledger.keep()
        self.pending = begun
        tasks = {asyncio.create_task(self._act(*one)): one for one in begun.values()}
        try:
            while tasks:
                for task in await self._wait(tasks):
                    index, _ = tasks.pop(task)
                    await self._done(index, task.result())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._ledger.keep(steps=True)

    def drop(self) -> None:
        """Nobody will do what is pending."""
        for index, item in self.pending.values():
            dropped = self.toolbox.dropped(item)
            self._ledger.change(dropped)
            self._ledger.end(index, dropped)
        self.pending = {}

    def _add(self, data: dict[str, object]) -> Item:
        now, run = self._ledger.now(), self._ledger.run
        item = new_item(new_item_id(str(data["type"]), now), data, now, run.key)
        index = self._ledger.begin(item, data={n: v for n, v in data.items() if n != "type"})
        self._ledger.add(item)
        if self.toolbox.does(item):
            self.calls += 1
            self.pending[item.id] = index, item
        else:
            self._ledger.end(index, item)
        return item

    async def _wait(self, tasks: Iterable[asyncio.Task[Item]]) -> set[asyncio.Task[Item]]:
        self.waiting = asyncio.current_task()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.waiting = None
        return done

    async def _act(self, index: int, item: Item) -> Item:
        def tell(stage: str, data: dict[str, Any]) -> None:
            self._ledger.progress(index, item, stage, data)

        try:
            return await self.toolbox.act(item, tell)
        except Exception:
            log.exception("run %s: a %s failed", self._ledger.run.key, item.kind)
            return self.toolbox.dropped(item)

    async def _done(self, index: int, item: Item) -> None:
        """A call has ended: that is on disk before anything else is done, and then told."""
        self._ledger.change(item)
        await self._ledger.keep()
        del self.pending[item.id]
        self._ledger.end(index, item)
