"""Group commit: the appends that wait are sent as one statement, one round trip and one commit.

While a group is under way the next gathers (two under way at a time were measured: not faster). The
statement appends wherever nothing speaks against it. A request it leaves out (no such thread, a run
is active, another revision, a thread locked by another write) is done in a transaction of its own,
which waits or finds out why, and holds up nobody else. So is each request of a group that the
server refused as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import psycopg

from clew.core.items import Item
from clew.store.postgres.engine import Engine, text
from clew.store.postgres.failures import is_lost
from clew.store.postgres.log import item_row, number

GROUP_MAX = 256
"""Requests in one statement."""


class Append(msgspec.Struct, eq=False):
    """One waiting request; `end` is what it returns."""

    project: str
    thread: str
    items: Sequence[Item]
    now_ms: int
    if_revision: int | None
    end: asyncio.Future[tuple[int, int]]


class Appender:
    """Appends for `engine` in groups; `alone` does one request in a transaction of its own."""

    def __init__(
        self, engine: Engine, alone: Callable[[Append], Awaitable[tuple[int, int]]]
    ) -> None:
        self._engine, self._alone = engine, alone
        self._waiting: list[Append] = []
        self._sender: asyncio.Task[None] | None = None
        self._loners: set[asyncio.Task[None]] = set()

    def submit(self, request: Append) -> None:
        self._waiting.append(request)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_waiting())

    async def close(self) -> None:
        """Wait until everything submitted is done."""
        while self._sender is not None:
            await self._sender
        if self._loners:
            await asyncio.wait(self._loners)

    async def _send_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = gather(self._waiting)
            try:
                await self._send(group)
            except Exception as error:
                for request in _of(group):
                    _fail(request, error)
        self._sender = None  # in the same step that found nobody waiting: nobody is forgotten

    async def _send(self, group: dict[str, list[Append]]) -> None:
        try:
            ends = await self._append(group)
        except psycopg.Error as error:
            if is_lost(error):
                raise self._engine.failed(error) from error
            ends = {}
        for thread, requests in group.items():
            if thread in ends:
                _resolve(requests, *ends[thread])
            else:
                loner = asyncio.create_task(self._send_alone(requests))
                self._loners.add(loner)
                loner.add_done_callback(self._loners.discard)

    async def _append(self, group: dict[str, list[Append]]) -> dict[str, tuple[int, int]]:
        """Thread -> its revision and last_seq, for those appended to."""
        threads, items = [], []
        for thread, requests in group.items():
            added = [item for request in requests for item in request.items]
            threads.append(_thread_row(thread, requests, len(added)))
            items += [item_row(item, at) | {"thread": thread} for at, item in enumerate(added, 1)]
        found = await self._engine.run("append_items", threads=text(threads), items=text(items))
        return {thread: (revision, last_seq) for thread, revision, last_seq in found}

    async def _send_alone(self, requests: list[Append]) -> None:
        for request in requests:
            try:
                end = await self._alone(request)
            except Exception as error:
                _fail(request, error)
            else:
                _succeed(request, end)


def gather(waiting: list[Append]) -> tuple[dict[str, list[Append]], list[Append]]:
    """The next group by thread, each thread's in the order they came, and those left waiting.

    A request that depends on a revision has its thread to itself, and who comes after it waits.
    """
    group: dict[str, list[Append]] = {}
    left: list[Append] = []
    closed: set[str] = set()
    for position, request in enumerate(waiting):
        if position == GROUP_MAX:
            return group, left + waiting[position:]
        others = group.get(request.thread)
        if request.thread not in closed and (others is None or _fits(request, others[0])):
            group.setdefault(request.thread, []).append(request)
        else:
            closed.add(request.thread)
            left.append(request)
    return group, left


def _fits(request: Append, first: Append) -> bool:
    free = request.if_revision is None and first.if_revision is None
    return free and request.project == first.project


def _thread_row(thread: str, requests: list[Append], items: int) -> dict[str, Any]:
    return {
        "thread": thread,
        "project": requests[0].project,
        "items": items,
        "requests": len(requests),
        "now_ms": requests[-1].now_ms,
        "if_revision": requests[0].if_revision,
    }


def _of(group: dict[str, list[Append]]) -> list[Append]:
    return [request for requests in group.values() for request in requests]


def _resolve(requests: list[Append], revision: int, last_seq: int) -> None:
    """Share out where the thread stands after all of them, the last one first."""
    for request in reversed(requests):
        _succeed(request, (revision, last_seq))
        revision, last_seq = revision - 1, last_seq - len(request.items)
        number(request.items, last_seq)


def _succeed(request: Append, end: tuple[int, int]) -> None:
    if not request.end.done():
        request.end.set_result(end)


def _fail(request: Append, error: Exception) -> None:
    if not request.end.done():
        request.end.set_exception(error)
