"""How large the database is, beside the text in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from bench.load import Load
from bench.material import TEXT, Threads, append, new_thread
from bench.measure import Row, at_most
from bench.plan import Plan
from clew.store.sqlite import SQLiteStore

MESSAGES_PER_THREAD = 50
WRITERS = 64


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    messages = plan.scaled(50_000, 5_000)
    threads = messages // MESSAGES_PER_THREAD
    path = plan.folder / "disk.db"
    asyncio.run(fill(path, messages, threads))
    yield Row(
        f"database of {messages:,} messages on {threads:,} threads, after checkpoint",
        "MB",
        [size(path) / 1e6],
        f"their raw text, {len(TEXT)} bytes each",
        [messages * len(TEXT) / 1e6],
        at_most(1.5),
    )


async def fill(path: Path, messages: int, threads: int) -> None:
    """One message per request, the threads in turn; closing copies the log into the database."""
    store = await SQLiteStore.open(str(path))
    turns = Threads([await new_thread(store) for _ in range(threads)])

    async def write(count: int) -> None:
        for _ in range(count):
            await append(store, turns.next())

    shares = [len(range(writer, messages, WRITERS)) for writer in range(WRITERS)]
    await asyncio.gather(*map(write, shares))
    await store.close()


def size(path: Path) -> int:
    """Of the database and what lies beside it."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
