"""A tool of Clew's own for tests, and runs as a process that is gone left them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from clew.core.events import Event
from clew.core.ids import new_key, new_run_key
from clew.core.items import Item, new_item
from clew.core.kept import pack
from clew.core.runs import Call, Lease, Run
from clew.store.events import News
from clew.tools.tool import Function, Offer, Place, Tell, ToolError

from .stage import T0, Stage, user

BEGUN = {"mcp": "calling", "code_interpreter": "interpreting"}
GONE = Lease("gone", T0 + 1)
"""The lease of a process that died at once."""


class Desk:
    """Notes what it is asked for. Asked to `hang` it never ends, asked to `raise` it breaks; asked
    to `meet` it waits until as many are at work as there were to meet."""

    def __init__(self, type: str = "mcp", repeats: bool = False) -> None:
        self.type, self.kind = type, f"{type}_call"
        self.begun, self.repeats = BEGUN[type], repeats
        self.called: list[str] = []
        self.left: list[str] = []
        self.hanging, self.met = asyncio.Event(), asyncio.Event()
        self.refuses: ToolError | None = None
        self.at_work = self.meeting = 0
        self.functions = ["desk"]

    def problem(self, config: dict[str, Any]) -> tuple[str, str] | None:
        return None

    async def offer(self, place: Place, seen: Sequence[dict[str, Any]]) -> Offer:
        if self.refuses is not None:
            raise self.refuses
        return Offer([Function(name, "A desk.", {}) for name in self.functions])

    def ask(self, place: Place, function: str, arguments: str) -> dict[str, Any]:
        return asked(arguments, type=self.kind)

    async def act(self, place: Place, item: dict[str, Any], tell: Tell) -> dict[str, Any]:
        wish = item["arguments"]
        self.called.append(wish)
        tell("in_progress", {})
        try:
            await self._grant(wish)
        finally:
            self.left.append(wish)
        return item | {"status": "completed", "output": f"did {wish}"}

    async def _grant(self, wish: str) -> None:
        if wish == "raise":
            raise ValueError("the desk broke")
        if wish == "hang":
            self.hanging.set()
            await asyncio.Event().wait()
        if wish.startswith("meet"):
            self.at_work += 1
            if self.at_work == self.meeting:
                self.met.set()
            await self.met.wait()

    def lost(self, item: dict[str, Any]) -> dict[str, Any]:
        return item | {"status": "failed", "error": "nobody knows"}

    def told(self, item: dict[str, Any]) -> tuple[str, str, str] | None:
        return "desk", item["arguments"], item["output"] or item["error"] or ""

    async def close(self) -> None:
        """Nothing is left running."""


def asked(wish: str, status: str = "in_progress", **fields: Any) -> dict[str, Any]:
    """A call of the desk, as an item."""
    call = {"type": "mcp_call", "status": status, "server_label": "desk", "name": "desk"}
    return call | {"arguments": wish, "output": None, "error": None} | fields


def call_item(id: str, data: dict[str, Any], run: Run) -> Item:
    return new_item(id, data, T0, run.key)


def record(run: Run, key: str, **fields: Any) -> Call:
    """A model call; it is under way unless it is said when it ended."""
    fields = {"ended_at": None} | fields
    return Call(key, run.key, "m", "told", T0 + 1, first_seq=1, last_seq=1, **fields)


async def left(
    here: Stage,
    status: str = "in_progress",
    *items: tuple[str, dict[str, Any]],
    events: Sequence[Event] = (),
    calls: Sequence[str] = (),
    ended: Sequence[str] = (),
    **fields: Any,
) -> Run:
    """A run of a process that is gone: its items, what was kept of its events, and the keys of its
    model calls, begun or `ended`."""
    key = new_key(T0)
    thread = await here.thread()
    run = Run(new_run_key(thread, T0), thread, T0, "m", **fields)
    run = await here.store.create_run(here.project, run, [user("hi")], lease=GONE)
    if status != "queued":
        going = replace(run, status="in_progress", started_at=T0 + 1)
        done = [record(run, one, ended_at=T0 + 2) for one in ended]
        run = await here.store.move_run(
            here.project,
            "queued",
            going,
            [call_item(f"{id}_{key}", data, run) for id, data in items],
            now_ms=T0 + 1,
            calls=[*done, *(record(run, one) for one in calls)],
            lease=GONE,
        )
    if status == "cancelling":
        stops = replace(run, status="cancelling")
        run = await here.store.move_run(here.project, "in_progress", stops, now_ms=T0 + 2)
    if events:
        news = News(here.project, run.thread, run.key, 0, 0, T0 + 10**9, pack(list(events)))
        await here.store.append_events([news], T0)
    return run
