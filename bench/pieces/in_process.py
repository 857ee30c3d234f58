"""Appends in process on SQLite, beside openai-agents' session and LangGraph's checkpointer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import msgspec

from bench import peers
from bench.known import AGENTS_1_WRITER, AGENTS_8_WRITERS, LANGGRAPH_AT_1000, Known
from bench.load import Load
from bench.material import TEXT, Threads, append, new_thread
from bench.measure import Row, Target, alternate, at_least, interleave
from bench.peers import AGENTS, LANGGRAPH, Peer
from bench.plan import Plan
from clew.store.sqlite import SQLiteStore

THREADS = 100
LENGTH = 1_000
"""Messages on the thread that LangGraph's appends are measured on."""


class Case(msgspec.Struct, frozen=True):
    """One row: how we measure, how the peer is told to, and its known figure otherwise."""

    what: str
    ours: Callable[[], float]
    told: dict[str, Any]
    known: Known
    target: Target


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    with asyncio.Runner() as runner:
        store = runner.run(SQLiteStore.open(str(plan.folder / "in-process.db")))
        try:
            yield from beside(plan, AGENTS, agents_cases(plan, runner, store))
            yield from beside(plan, LANGGRAPH, [langgraph_case(plan, runner, store)])
        finally:
            runner.run(store.close())


def beside(plan: Plan, peer: Peer, cases: list[Case]) -> Iterator[Row]:
    """The cases beside the peer, or beside its known figures where it cannot be installed."""
    try:
        with peers.running(peer, plan.peers, plan.folder) as asked:
            for case in cases:
                told = case.told | {"text": TEXT}
                ours, theirs = interleave(
                    plan.pairs, case.ours, lambda told=told: asked.measure(**told)
                )
                yield Row(case.what, "appends/s", ours, peer.name, theirs, case.target)
    except peers.Unavailable as error:
        for case in cases:
            [ours] = interleave(plan.pairs, case.ours)
            name = f"{case.known.name} (not installed: {error})"
            yield Row(case.what, "appends/s", ours, name, [case.known.figure], case.target)


def agents_cases(plan: Plan, runner: asyncio.Runner, store: SQLiteStore) -> list[Case]:
    keys = [runner.run(new_thread(store)) for _ in range(THREADS)]
    appends = plan.scaled(8_000, 800)

    def ours(writers: int) -> float:
        return runner.run(appends_per_second(store, keys, writers, appends))

    told = {"threads": THREADS, "appends": appends}
    return [
        Case(
            f"append in process, 8 writers, {THREADS} threads",
            lambda: ours(8),
            told | {"writers": 8},
            AGENTS_8_WRITERS,
            at_least(4),
        ),
        Case(
            f"append in process, 1 writer, {THREADS} threads",
            lambda: ours(1),
            told | {"writers": 1},
            AGENTS_1_WRITER,
            at_least(1),
        ),
    ]


def langgraph_case(plan: Plan, runner: asyncio.Runner, store: SQLiteStore) -> Case:
    return Case(
        f"append in process on a thread of {LENGTH:,} messages, p50 as a rate",
        lambda: runner.run(appends_per_second_at(store, LENGTH, plan.scaled(500, 100))),
        {"messages": LENGTH, "appends": plan.scaled(20, 5)},
        LANGGRAPH_AT_1000,
        at_least(30),
    )


async def appends_per_second(
    store: SQLiteStore, keys: list[str], writers: int, appends: int
) -> float:
    """What `writers` reach that each wait for one append before the next."""
    threads = Threads(keys)

    async def write() -> None:
        for _ in range(appends // writers):
            await append(store, threads.next())

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    return appends // writers * writers / (time.perf_counter() - began)


async def appends_per_second_at(store: SQLiteStore, length: int, appends: int) -> float:
    """One append after the other on a thread of that length; 1 / p50."""
    thread = await new_thread(store, length)
    [taken] = await alternate(appends, lambda: append(store, thread))
    return 1000 / median(taken)
