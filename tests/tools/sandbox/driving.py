"""What the tests of the sandbox share: sessions to run code in, and a clock for the event loop."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from clew.tools.sandbox import Limits, Sandbox
from clew.tools.sandbox.limits import MIB
from clew.tools.sandbox.session import Ran, Session

TIGHT = Limits(
    wall_s=6,
    memory_bytes=512 * MIB,
    data_bytes=32 * MIB,
    scratch_bytes=16 * MIB,
    processes=32,
    open_files=64,
    open_files_in_all=300,
    files=1_000,
)
_slots = itertools.cycle(range(400, 500))


def play(test: Callable[[], Awaitable[Any]], timeout_s: float = 60) -> None:
    async def run() -> None:
        async with asyncio.timeout(timeout_s):
            await test()

    asyncio.run(run())


@asynccontextmanager
async def session(limits: Limits = TIGHT) -> AsyncIterator[Session]:
    """A session of its own, ended afterwards."""
    started = await Session.start(Sandbox(), next(_slots), limits)
    try:
        yield started
    finally:
        await started.end()


async def run(session: Session, code: str) -> Ran:
    async with session.awake():
        return await session.run(code)


async def ran(code: str, limits: Limits = TIGHT) -> Ran:
    """What comes of code in a session of its own."""
    async with session(limits) as started:
        return await run(started, code)


async def said(code: str, limits: Limits = TIGHT) -> str:
    return (await ran(code, limits)).output.strip()


@asynccontextmanager
async def stalls() -> AsyncIterator[list[float]]:
    """How long the event loop did not come round, each time it was late, in seconds."""
    late: list[float] = [0.0]

    async def look() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - before - 0.005)

    looking = asyncio.create_task(look())
    try:
        yield late
    finally:
        looking.cancel()
