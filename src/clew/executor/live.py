"""A run while this process works on it: what happened so far, and who is listening."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

from msgspec.structs import replace

from clew.core.events import ArgumentsAdded, Event, ItemBegan, ItemEnded, RunChanged, TextAdded
from clew.core.items import Item
from clew.core.runs import Run


class Live:
    """An append-only list of events that any number of followers read at their own pace.

    A follower that comes late gets everything from the beginning, and one that goes away leaves
    nothing behind.
    """

    def __init__(self, run: Run) -> None:
        self.events: list[Event] = [RunChanged(run)]
        self.over = False
        self._news: asyncio.Future[None] | None = None

    @classmethod
    def told(cls, run: Run, items: Iterable[Item]) -> Live:
        """The events of a run as its log has them, for those who come when it is over."""
        live = cls(replace(run, status="queued"))
        live.tell(RunChanged(replace(run, status="in_progress")))
        written = (item for item in items if not item.kind.endswith("_output"))
        for index, item in enumerate(written):
            for event in _told(index, item):
                live.tell(event)
        live.tell(RunChanged(run))
        live.end()
        return live

    @property
    def run(self) -> Run:
        """The run as it was last told of."""
        return next(e.run for e in reversed(self.events) if isinstance(e, RunChanged))

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._wake()

    def end(self) -> None:
        """Nothing more will happen here."""
        self.over = True
        self._wake()

    async def follow(self) -> AsyncIterator[list[Event]]:
        """Events in order, as many at a time as there are."""
        told = 0
        while True:
            if told < len(self.events):
                news = self.events[told:]
                told += len(news)
                yield news
            elif self.over:
                return
            else:
                if self._news is None or self._news.done():
                    self._news = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._news)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _told(index: int, item: Item) -> Iterator[Event]:
    if item.kind == "function_call":
        data = item.data()
        named = (data["call_id"], data["name"])
        yield ItemBegan(index, item.id, item.kind, item.created_at, *named)
        yield ArgumentsAdded(index, item.id, data["arguments"])
    else:
        yield ItemBegan(index, item.id, item.kind, item.created_at)
        yield TextAdded(index, item.id, item.text())
    yield ItemEnded(index, item)
