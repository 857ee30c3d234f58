"""A durable append on PostgreSQL, over HTTP and in process, beside pgbench on the same server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from bench import postgres, servers
from bench.load import Load
from bench.material import PROJECT, TEXT, Threads, append, new_thread
from bench.measure import Row, at_least, interleave
from bench.pieces.http_append import appends
from bench.plan import Plan
from clew.store.postgres import PostgresStore

THREADS = 1_000
"""So many that the connections seldom meet on one."""

MESSAGES = 20
"""On each thread before."""

CONNECTIONS = (1, 8, 32)
PEER = "pgbench, same append, same connections"
KEYS = [postgres.thread_key(number) for number in range(THREADS)]
SCRIPT = postgres.APPEND.format(last=THREADS - 1, project=PROJECT, body=f'"{TEXT}"')

Rate = Callable[[int], float]
"""Appends per second over that many connections, or by as many writers."""


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    seconds = plan.seconds
    with postgres.running(plan.folder / "postgres-append") as server, asyncio.Runner() as runner:
        dsn = server.new_database("append")
        store = runner.run(PostgresStore.open(dsn))

        def inside(writers: int) -> float:
            return runner.run(in_process(store, writers, seconds))

        def pgbench(connections: int) -> float:
            return server.appends_per_second(dsn, SCRIPT, connections, seconds)

        try:
            runner.run(_make_threads(store))
            yield never_analyzed(plan, inside, pgbench)
            server.analyze(dsn)
            with servers.clew(dsn, plan.folder) as clew:

                def http(connections: int) -> float:
                    return load.run(clew.url, appends(KEYS), connections, seconds).per_second

                for connections in CONNECTIONS:
                    yield from beside(plan, connections, http, inside, pgbench)
        finally:
            runner.run(store.close())


async def _make_threads(store: PostgresStore) -> None:
    for key in KEYS:
        await new_thread(store, MESSAGES, key)


def never_analyzed(plan: Plan, inside: Rate, pgbench: Rate) -> Row:
    """The first minute of a database: PostgreSQL plans without knowing what is in its tables."""
    writers = CONNECTIONS[-1]
    ours, theirs = interleave(plan.pairs, lambda: inside(writers), lambda: pgbench(writers))
    what = f"durable append on PostgreSQL, never analyzed, in process, {writers} writers"
    return Row(what, "appends/s", ours, PEER, theirs)


def beside(plan: Plan, connections: int, http: Rate, inside: Rate, pgbench: Rate) -> Iterator[Row]:
    """The rows for one number of connections."""
    over_http, in_process, theirs = interleave(
        plan.pairs,
        lambda: http(connections),
        lambda: inside(connections),
        lambda: pgbench(connections),
    )
    plural = "" if connections == 1 else "s"
    what = f"durable append on PostgreSQL over HTTP, {connections} connection{plural}"
    yield Row(what, "appends/s", over_http, PEER, theirs, at_least(0.50))
    what = f"the same in process, {connections} writer{plural}"
    yield Row(what, "appends/s", in_process, PEER, theirs)


async def in_process(store: PostgresStore, writers: int, seconds: float) -> float:
    """Appends per second through the store itself."""
    threads, count = Threads(KEYS), 0
    began = time.perf_counter()

    async def write() -> None:
        nonlocal count
        while time.perf_counter() - began < seconds:
            await append(store, threads.next())
            count += 1

    await asyncio.gather(*(write() for _ in range(writers)))
    return count / (time.perf_counter() - began)
