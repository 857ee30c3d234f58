"""A stage for turns: an in-memory store, a clock that ticks when read, a provider that is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from clew.core.compactions import summary_of
from clew.core.events import ArgumentsAdded, Event, ItemBegan, ItemEnded, RunChanged, TextAdded
from clew.core.ids import new_item_id, new_key, new_run_key
from clew.core.items import Item, message, new_item
from clew.core.paging import Page
from clew.core.runs import Call, Run, move
from clew.core.threads import Thread
from clew.executor.executor import Executor
from clew.executor.live import Live
from clew.providers.provider import (
    Abilities,
    Delta,
    Finish,
    ModelRequest,
    TextDelta,
    ToolCallDelta,
)
from clew.store.sqlite import SQLiteStore

T0 = 1_700_000_000_000
HANG = "hang"
"""In an answer: the model says nothing more until it is let go."""

STOP, TOOLS = Finish("stop", 10, 2), Finish("tool_calls", 20, 3, 5, 1)


def play(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


def says(*texts: str, finish: Finish = STOP) -> list[Any]:
    return [*map(TextDelta, texts), finish]


def calls(call_id: str, name: str, *arguments: str, index: int = 0) -> list[Any]:
    pieces = [ToolCallDelta(index, piece) for piece in arguments]
    return [ToolCallDelta(index, "", call_id, name), *pieces]


class Told:
    """A provider that answers as told, one list for each request."""

    name = "told"
    abilities = Abilities()

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = deque(answers)
        self.asked: list[ModelRequest] = []
        self.hanging, self.go_on, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.asked.append(request)
        try:
            for step in self.answers.popleft():
                if step == HANG:
                    self.hanging.set()
                    await self.go_on.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.left.set()

    async def close(self) -> None:
        """Nothing is held open."""


class Stage:
    """One project with its store, its executor and its provider."""

    project = "proj"

    def __init__(self, store: SQLiteStore, *answers: list[Any], **options: Any) -> None:
        self.store, self.provider, self.ms = store, Told(*answers), T0
        self._options = options
        self.executor = self.another()

    def another(self) -> Executor:
        """An executor like that of another process on this store."""
        return Executor(self.store, lambda _: self.provider, self.now, **self._options)

    def now(self) -> int:
        self.ms += 1
        return self.ms

    async def thread(self, *texts: str) -> str:
        key = new_key(T0)
        items = [user(text) for text in texts]
        return (await self.store.create_thread(self.project, Thread(key, T0, T0), items)).key

    async def queued(self, *texts: str, thread: str | None = None, **fields: Any) -> Run:
        """A stored run with these user messages as its input."""
        key = thread or await self.thread()
        run, said = Run(new_run_key(key, T0), key, T0, "m", **fields), map(user, texts)
        lease = self.executor.lease
        return await self.store.create_run(self.project, run, [*said], lease=lease)

    async def finished(self, *texts: str, **fields: Any) -> Run:
        """The same run after its turn."""
        run = await self.queued(*texts, **fields)
        await over(self.executor.start(self.project, run))
        return await self.stored(run)

    async def hanging(self, *texts: str, **fields: Any) -> tuple[Run, Live]:
        """A run whose model has come to where it hangs."""
        run = await self.queued(*texts, **fields)
        live = self.executor.start(self.project, run)
        await self.provider.hanging.wait()
        return await self.stored(run), live

    async def answered(self, run: Run, call_id: str, output: str) -> Run:
        """The paused run, queued again with the output of its call."""
        data = {"type": "function_call_output", "call_id": call_id, "output": output}
        item = new_item(new_item_id(data["type"], self.ms), data, self.ms, run.key)
        queued = move(run, "queued", self.now())
        how = {"now_ms": self.ms, "lease": self.executor.lease}
        return await self.store.move_run(self.project, run.status, queued, [item], **how)

    async def stored(self, run: Run) -> Run:
        return await self.store.get_run(self.project, run.thread, run.key)

    async def log(self, thread: str) -> list[Item]:
        found, _ = await self.store.list_items(self.project, thread, Page(100, "asc"))
        return found

    async def said(self, thread: str) -> list[str]:
        """The log in words: `user: hi`, `f({})`, `-> 1`; what was broken off ends in `…`."""
        return [in_words(item) for item in await self.log(thread)]

    def recorded(self) -> list[Call]:
        """The call records, oldest first."""
        rows = self.store.db.execute("SELECT body FROM calls ORDER BY no")
        return [msgspec.json.decode(body, type=Call) for (body,) in rows]


@asynccontextmanager
async def stage(*answers: list[Any], **options: Any) -> AsyncIterator[Stage]:
    """A stage whose model will give these answers; `options` are the executor's."""
    store = await SQLiteStore.open(":memory:")
    here = Stage(store, *answers, **options)
    try:
        yield here
    finally:
        await here.executor.close()
        await store.close()


def user(text: str) -> Item:
    return message(new_item_id("user", T0), "user", text, T0)


async def over(live: Live) -> list[Event]:
    """Everything that happened, once nothing more will."""
    return [event async for events in live.follow() for event in events]


def statuses(events: list[Event]) -> list[str]:
    return [event.run.status for event in events if isinstance(event, RunChanged)]


def in_words(item: Item) -> str:
    data = item.data()
    broken = "…" if data.get("status") == "incomplete" else ""
    if item.kind == "function_call":
        return f"{data['name']}({data['arguments']}){broken}"
    if item.kind == "compaction":
        return f"= {summary_of(item)}"
    if item.kind.endswith("_call"):
        outcome = data["output"] or data["error"] or data["status"]
        return f"{data['name']}({data['arguments']}) = {outcome}"
    return f"{item.kind}: {item.text()}{broken}" if item.is_message else f"-> {data['output']}"


def told(events: list[Event]) -> list[str]:
    """Events in words: `+0 assistant`, `0 text`, `-0`, or the run's status."""
    words: list[str] = []
    for event in events:
        match event:
            case RunChanged(run):
                words.append(run.status)
            case ItemBegan():
                words.append(f"+{event.index} {event.name or event.kind}")
            case TextAdded():
                words.append(f"{event.index} {event.text}")
            case ArgumentsAdded():
                words.append(f"{event.index} {event.arguments}")
            case ItemEnded():
                words.append(f"-{event.index}")
    return words
