"""A run while this process works on it: what happened so far, and who is listening."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from msgspec.structs import replace

from clew.core.events import Event, ItemEnded, RunChanged
from clew.core.items import OUTPUTS, Item
from clew.core.runs import Run
from clew.executor.retelling import retell

_ENDED_AT = ("completed_at", "failed_at", "cancelled_at")


class Live:
    """An append-only list of events that any number of followers read at their own pace.

    A follower that comes late gets everything from the beginning, and one that goes away leaves
    nothing behind. `turn` names the turn: a run has one, and another each time it goes on after
    tool outputs.
    """

    def __init__(self, run: Run) -> None:
        self.turn = run.turn
        self.events: list[Event] = [RunChanged(run)]
        self.over = False
        self._waiting: list[Callable[[], None]] = []

    @classmethod
    def told(cls, run: Run, items: Iterable[Item]) -> Live:
        """The events of a turn as its log has them, for those who come when it is over."""
        live = cls(_as_of("queued", run))
        if run.started_at is not None:
            live.tell(RunChanged(_as_of("in_progress", run)))
        written = (item for item in items if item.kind not in OUTPUTS)
        for index, item in enumerate(written):
            for event in retell(index, item):
                live.tell(event)
        live.tell(RunChanged(run))
        live.end()
        return live

    @classmethod
    def again(cls, run: Run, kept: list[Event]) -> Live:
        """A turn that somebody else began: what was kept of it, to be gone on from."""
        live = cls(_as_of("queued", run))
        if kept:
            live.events = kept
        if run.status != "queued" and live.run.status == "queued":
            live.tell(RunChanged(_as_of("in_progress", run)))
        return live

    @property
    def run(self) -> Run:
        """The run as it was last told of."""
        return next(e.run for e in reversed(self.events) if isinstance(e, RunChanged))

    @property
    def items(self) -> list[Item]:
        """The items that are whole, in the order they began."""
        ended = {e.index: e.item for e in self.events if isinstance(e, ItemEnded)}
        return [item for _, item in sorted(ended.items())]

    def tell(self, event: Event) -> None:
        self.events.append(event)
        if self._waiting:
            self._wake()

    def end(self) -> None:
        """Nothing more will happen here."""
        self.over = True
        self._wake()

    def when_news(self, seen: int, wake: Callable[[], None]) -> None:
        """Call `wake` once: when there are more than `seen` events, or there will be no more."""
        if len(self.events) > seen or self.over:
            wake()
        else:
            self._waiting.append(wake)

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
                await self._news(told)

    async def _news(self, seen: int) -> None:
        """Wait for more than `seen` events, or for the end."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not news.done():
                news.set_result(None)

        self.when_news(seen, wake)
        try:
            await news
        except BaseException:
            if wake in self._waiting:
                self._waiting.remove(wake)
            raise

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()


def _as_of(status: str, run: Run) -> Run:
    """The run when it was in `status`, before its end."""
    began = None if status == "queued" else run.started_at
    ends = dict.fromkeys(("usage", "error", "incomplete_reason", *_ENDED_AT))
    return replace(run, status=status, started_at=began, **ends)
