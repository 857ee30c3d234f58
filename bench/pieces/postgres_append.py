"""A durable append on PostgreSQL, over HTTP and in process, beside pgbench on the same server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from bench import postgres, servers
from bench.load import Load
from bench.material import PROJECT, TEXT, Threads, append, new_thread
from bench.measure import Row, at_least, interleave
from bench.pieces.http_append import appends
from bench.plan import Plan
from bench.postgres import Postgres
from bench.servers import Server
from clew.store.postgres import PostgresStore

THREADS = 1_000
"""So many that the connections seldom meet on one."""

CONNECTIONS = (1, 8, 32)


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    with postgres.running(plan.folder / "postgres-append") as server, asyncio.Runner() as runner:
        dsn = server.new_database("append")
        store = runner.run(PostgresStore.open(dsn))
        runner.run(_make_threads(store))
        try:
            with servers.clew(dsn, plan.folder) as clew:
                for connections in CONNECTIONS:
                    yield from beside(plan, load, clew, store, runner, server, dsn, connections)
        finally:
            runner.run(store.close())


async def _make_threads(store: PostgresStore) -> None:
    for number in range(THREADS):
        await new_thread(store, key=postgres.thread_key(number))


def beside(
    plan: Plan,
    load: Load,
    clew: Server,
    store: PostgresStore,
    runner: asyncio.Runner,
    server: Postgres,
    dsn: str,
    connections: int,
) -> Iterator[Row]:
    keys = [postgres.thread_key(number) for number in range(THREADS)]
    script = postgres.APPEND.format(last=THREADS - 1, project=PROJECT, body=f'"{TEXT}"')
    seconds = plan.seconds
    http, inside, pgbench = interleave(
        plan.pairs,
        lambda: load.run(clew.url, appends(keys), connections, seconds).per_second,
        lambda: runner.run(in_process(store, keys, connections, seconds)),
        lambda: server.appends_per_second(dsn, script, connections, seconds),
    )
    name = "pgbench, same append, same connections"
    noun = "connection" if connections == 1 else "connections"
    yield Row(
        f"durable append on PostgreSQL over HTTP, {connections} {noun}",
        "appends/s",
        http,
        name,
        pgbench,
        at_least(0.50),
    )
    what = f"the same in process, {connections} {noun.replace('connection', 'writer')}"
    yield Row(what, "appends/s", inside, name, pgbench)


async def in_process(store: PostgresStore, keys: list[str], writers: int, seconds: float) -> float:
    """Appends per second through the store itself."""
    threads, count = Threads(keys), 0
    began = time.perf_counter()

    async def write() -> None:
        nonlocal count
        while time.perf_counter() - began < seconds:
            await append(store, threads.next())
            count += 1

    await asyncio.gather(*(write() for _ in range(writers)))
    return count / (time.perf_counter() - began)
