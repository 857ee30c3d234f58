"""Group commit: the appends that wait are sent as one statement, one round trip and one commit.

While a group is under way the next gathers (two under way at a time were measured: not faster).
They have a connection of their own, past the driver's cursors (direct.py): measured with one
writer, that halves the CPU time of an append in this process.

The statement appends wherever nothing speaks against it. A request it leaves out (no such thread,
a run is active, another revision, a thread locked by another write) is done in a transaction of its
own, which waits or finds out why, and holds up nobody else. So is each request of a group that the
server refused as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec
import psycopg

from clew.core.busy import REJECT, OnBusy
from clew.core.items import Item
from clew.store.postgres.direct import Direct
from clew.store.postgres.engine import SQL, Engine, Row, encode
from clew.store.postgres.failures import is_lost
from clew.store.postgres.log import item_row, number

GROUP_MAX = 256
"""Requests in one statement."""

STATEMENT = SQL["append_items"].replace(b"%(threads)s", b"$1")


class Append(msgspec.Struct, eq=False):
    """One waiting request; `end` is what it returns."""

    project: str
    thread: str
    items: Sequence[Item]
    now_ms: int
    if_revision: int | None
    end: asyncio.Future[tuple[int, int]]
    on_busy: OnBusy = REJECT


class Appender:
    """Appends for `engine` in groups; `alone` does one request in a transaction of its own."""

    def __init__(
        self, engine: Engine, alone: Callable[[Append], Awaitable[tuple[int, int]]]
    ) -> None:
        self._engine, self._alone = engine, alone
        self._waiting: list[Append] = []
        self._under_way: dict[str, list[Append]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._statement: Direct | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, request: Append) -> None:
        """Send it with the next group: with all that are submitted in this step of the loop."""
        self._waiting.append(request)
        if self._idle.is_set():
            self._idle.clear()
            asyncio.get_running_loop().call_soon(self._send_next)

    async def close(self) -> None:
        """Wait until everything submitted is done."""
        await self._idle.wait()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._statement is not None:
            self._statement.close()

    def _send_next(self) -> None:
        if not self._waiting:
            self._idle.set()
        elif self._statement is None or not self._statement.is_open:
            self._start(self._connect())
        else:
            self._under_way, self._waiting = gather(self._waiting)
            self._statement.execute(_encoded(self._under_way))

    async def _connect(self) -> None:
        try:
            connection = await self._engine.connect()
            self._statement = await Direct.prepare(connection, STATEMENT, self._sent)
        except Exception as error:
            reason = self._engine.failed(error) if isinstance(error, psycopg.Error) else error
            unsent, self._waiting = self._waiting, []
            for request in unsent:
                _fail(request, reason)
        self._send_next()

    def _sent(self, outcome: list[Row] | psycopg.Error) -> None:
        """A group ended: send the next one, so that the server has work, and tell this one."""
        group, self._under_way = self._under_way, {}
        self._send_next()
        if not isinstance(outcome, psycopg.Error):
            self._finish(group, outcome)
        elif is_lost(outcome):
            reason = self._engine.failed(outcome)
            reason.__cause__ = outcome
            for requests in group.values():
                for request in requests:
                    _fail(request, reason)
        else:
            self._finish(group, [])

    def _finish(self, group: dict[str, list[Append]], rows: list[Row]) -> None:
        ends = {thread: (int(revision), int(last_seq)) for thread, revision, last_seq in rows}
        for thread, requests in group.items():
            end = ends.get(thread.encode())
            if end is None:
                self._start(self._send_alone(requests))
            else:
                _resolve(requests, *end)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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


def _encoded(group: dict[str, list[Append]]) -> bytes:
    """A group as the statement's parameter."""
    return encode([_thread_row(thread, requests) for thread, requests in group.items()])


def _thread_row(thread: str, requests: list[Append]) -> dict[str, Any]:
    items = [item for request in requests for item in request.items]
    return {
        "thread": thread,
        "project": requests[0].project,
        "count": len(items),
        "requests": len(requests),
        "now_ms": requests[-1].now_ms,
        "if_revision": requests[0].if_revision,
        "items": [item_row(item, position) for position, item in enumerate(items, 1)],
    }


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
