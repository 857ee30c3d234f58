"""What a long thread costs: append, newest 20, window and fork at 100 items and at a million."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from statistics import median
from typing import Any

from bench import postgres
from bench.load import Load
from bench.material import PROJECT, append, new_thread, now_ms
from bench.measure import Row, alternate, at_most
from bench.plan import Plan
from clew.core.ids import new_key
from clew.core.paging import Page
from clew.core.threads import Thread
from clew.executor.windows import read_window
from clew.store.store import Store
from clew.store.urls import open_store

SHORT = 100
TOKENS_MAX = 8_000
WARM_UP = 5

Act = Callable[[Store, str], Awaitable[Any]]


async def newest_20(store: Store, thread: str) -> None:
    await store.list_items(PROJECT, thread, Page())


async def window(store: Store, thread: str) -> None:
    await read_window(store, PROJECT, thread, tokens_max=TOKENS_MAX)


async def fork(store: Store, thread: str) -> None:
    now = now_ms()
    await store.fork_thread(PROJECT, thread, Thread(new_key(now), now, now))


ACTS: dict[str, Act] = {
    "append": append,
    "newest 20": newest_20,
    f"window of {TOKENS_MAX:,} tokens": window,
    "fork": fork,
}


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    url = f"sqlite:///{plan.folder / 'length.db'}"
    yield from asyncio.run(rows(plan, url, "SQLite", settle=lambda: None))
    with postgres.running(plan.folder / "postgres-length") as server:
        dsn = server.new_database("length")
        analyze = partial(server.analyze, dsn)
        yield from asyncio.run(rows(plan, dsn, "PostgreSQL", settle=analyze))


async def rows(plan: Plan, url: str, engine: str, *, settle: Callable[[], None]) -> list[Row]:
    """The acts on a fresh database; `settle` is called when the long thread is there."""
    async with AsyncExitStack() as stack:
        store = await open_store(url)
        stack.push_async_callback(store.close)
        length = plan.scaled(1_000_000, 20_000)
        long = await new_thread(store, length)
        settle()
        return [await row(plan, store, long, length, engine, what) for what in ACTS]


async def row(plan: Plan, store: Store, long: str, length: int, engine: str, what: str) -> Row:
    """One act on the long thread beside the same act on a short one, act by act."""
    ours, theirs = [], []
    for _ in range(plan.pairs):
        short = await new_thread(store, SHORT)
        on_long, on_short = await batch(store, ACTS[what], long, short, plan.scaled(200, 30))
        ours.append(on_long)
        theirs.append(on_short)
    return Row(
        f"{what} on a thread of {length:,} items, {engine}, p50",
        "ms",
        ours,
        f"the same on a thread of {SHORT}",
        theirs,
        at_most(1.3),
    )


async def batch(store: Store, act: Act, long: str, short: str, times: int) -> list[float]:
    """The p50 on either thread."""
    sides = (lambda: act(store, long), lambda: act(store, short))
    await alternate(WARM_UP, *sides)
    return [median(taken) for taken in await alternate(times, *sides)]
