"""What is stored of a run while it is worked on, and told as soon as it is stored.

Every change names the lease under which it is made: who has lost that changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Protocol

from clew.core.events import ItemBegan, ItemEnded, ItemProgressed, RunChanged
from clew.core.items import Item
from clew.core.runs import Call, Lease, Run, move
from clew.executor.live import Live
from clew.executor.retelling import retell
from clew.executor.windows import Readable


class Log(Readable, Protocol):
    """What a turn needs of a store."""

    async def get_run(self, project: str, thread: str, run: str) -> Run: ...

    async def list_calls(self, project: str, thread: str, run: str) -> list[Call]: ...

    async def move_run(
        self,
        project: str,
        was: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        now_ms: int,
        changed: Sequence[Item] = (),
        calls: Sequence[Call] = (),
        lease: Lease | None = None,
        steps: bool = False,
    ) -> Run: ...


class Ledger:
    """`run` is its state as last stored; `number` gives the next number of an item that is told.

    What is added, changed or noted is stored with the next move of the run, or when it is kept; a
    move that fails leaves it for the next one.
    """

    def __init__(
        self,
        log: Log,
        project: str,
        run: Run,
        live: Live,
        now: Callable[[], int],
        lease: Callable[[], Lease] | None = None,
    ) -> None:
        self.log, self.project, self.run, self.live, self.now = log, project, run, live, now
        self._lease = lease
        self._calls: list[Call] = []
        self._items: list[Item] = []
        self._changed: list[Item] = []
        indexes = (event.index for event in live.events if isinstance(event, ItemBegan))
        self.number: Callable[[], int] = count(max(indexes, default=-1) + 1).__next__

    @property
    def is_stored(self) -> bool:
        """Whether the run outlives this process."""
        return self._lease is not None

    async def stands(self) -> Run:
        """The run as it stands for everybody."""
        return await self.log.get_run(self.project, self.run.thread, self.run.key)

    def note(self, call: Call) -> None:
        """Record the call, as it begins or as it ended."""
        self._calls = [other for other in self._calls if other.key != call.key] + [call]

    def add(self, *items: Item) -> None:
        """These items go to the end of the log."""
        self._items += items

    def change(self, *items: Item) -> None:
        """These items of the log have another body."""
        self._changed += items

    def begin(self, item: Item, data: dict[str, Any] | None = None) -> int:
        """Tell that an item of ours began; its number."""
        index = self.number()
        self.live.tell(ItemBegan(index, item.id, item.kind, item.created_at, data=data))
        return index

    def progress(
        self, index: int, item: Item, stage: str, data: dict[str, Any] | None = None
    ) -> None:
        """Tell that an item of ours has come to a stage."""
        self.live.tell(ItemProgressed(index, item.id, item.kind, stage, data or {}))

    def end(self, index: int, item: Item) -> None:
        self.live.tell(ItemEnded(index, item))

    def retell(self, item: Item) -> None:
        """Tell an item of the log from its beginning to its end: nobody has heard of it."""
        for event in retell(self.number(), item):
            self.live.tell(event)

    async def move(self, status: str, **changes: Any) -> None:
        """The run comes to another status."""
        was = self.run.status
        await self._store(was, move(self.run, status, self.now(), **changes))
        self.live.tell(RunChanged(self.run))

    async def start(self) -> None:
        """The run is in progress from now on, if it was not."""
        if self.run.status == "queued":
            await self.move("in_progress")

    async def keep(self, *, steps: bool = False) -> None:
        """Store what there is so far: the run goes on, with what steers it where it `steps`."""
        await self._store(self.run.status, self.run, steps)

    async def _store(self, was: str, run: Run, steps: bool = False) -> None:
        items, changed, calls = self._items, self._changed, self._calls
        self.run = await self.log.move_run(
            self.project,
            was,
            run,
            items,
            now_ms=self.now(),
            changed=changed,
            calls=calls,
            lease=None if self._lease is None else self._lease(),
            steps=steps,
        )
        self._items, self._changed, self._calls = [], [], []
