"""All sessions of one process: one for each key, not too many at a time, none for ever.

Who needs a session when there are as many as may be takes the place of the one that was used
longest ago; if all are in use, it waits. One that nobody used for a while ends by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from clew.tools.sandbox.bubblewrap import Sandbox
from clew.tools.sandbox.limits import Limits
from clew.tools.sandbox.session import Facts, Session

SLOTS = 500
"""Numbers of users to choose from: a few, so that two servers on a machine seldom share one."""

REMEMBERED_MAX = 1_000
"""Keys of which it is known why their last session ended."""

Key = tuple[str, str]


class Seat(msgspec.Struct, eq=False):
    """A key's session, and what is known of its files: names of what was put into it, by key of
    the file, and what its files looked like when they were last seen.

    `news` says why the session is a new one, if an earlier one of the key ended.
    """

    lock: asyncio.Lock
    session: Session | None = None
    slot: int = 0
    users: int = 0
    news: str | None = None
    idle: asyncio.TimerHandle | None = None
    placed: dict[str, str] = {}
    seen: dict[str, Facts] = {}


class Sessions:
    """Used on one event loop; `close` ends them all."""

    def __init__(self, sandbox: Sandbox, alive_max: int, idle_s: float) -> None:
        self._sandbox, self._alive_max, self._idle_s = sandbox, alive_max, idle_s
        self._seats: dict[Key, Seat] = {}
        self._slots: set[int] = set()
        self._freed = asyncio.Condition()
        self._ended: dict[Key, str] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> int:
        return len(self._slots)

    @asynccontextmanager
    async def held(self, key: Key, limits: Limits) -> AsyncIterator[tuple[Seat, Session]]:
        """The key's session, awake and for nobody else meanwhile.

        Raises Ended where none can be started. What is left by an exception is ended.
        """
        seat = self._taken(key)
        try:
            async with seat.lock:
                session = await self._session(key, seat, limits)
                try:
                    async with session.awake():
                        yield seat, session
                except BaseException:
                    await self._empty(key, seat, "A call was broken off")
                    raise
                if session.is_over:
                    await self._empty(key, seat, session.why or "It ended")
        finally:
            await self._left(key, seat)

    async def close(self) -> None:
        for key, seat in list(self._seats.items()):
            await self._empty(key, seat, "The server stopped")
        while self._ending:
            await asyncio.wait(self._ending)

    def _taken(self, key: Key) -> Seat:
        """The seat of the key, as the one used last."""
        seat = self._seats.pop(key, None) or Seat(asyncio.Lock())
        self._seats[key] = seat
        seat.users += 1
        if seat.idle is not None:
            seat.idle.cancel()
            seat.idle = None
        return seat

    async def _left(self, key: Key, seat: Seat) -> None:
        seat.users -= 1
        if seat.users == 0 and seat.session is None:
            self._forget(key, seat)
        elif seat.users == 0:
            loop = asyncio.get_running_loop()
            why = "Nobody used it for a while"
            seat.idle = loop.call_later(self._idle_s, self._emptying, key, seat, why)
        async with self._freed:
            self._freed.notify_all()

    async def _session(self, key: Key, seat: Seat, limits: Limits) -> Session:
        if seat.session is not None and seat.session.is_over:
            await self._empty(key, seat, seat.session.why or "The interpreter ended")
        seat.news = None
        if seat.session is None:
            seat.slot = await self._slot()
            try:
                seat.session = await Session.start(self._sandbox, seat.slot, limits)
            except BaseException:
                self._slots.discard(seat.slot)
                raise
            seat.news = self._ended.pop(key, None)
        return seat.session

    async def _slot(self) -> int:
        """A number that no other session has, when there is room for one more."""
        while len(self._slots) >= self._alive_max:
            idle = next(((k, s) for k, s in self._seats.items() if s.session and not s.users), None)
            if idle is not None:
                await self._empty(*idle, "Others needed its place")
            else:
                async with self._freed:
                    await self._freed.wait()
        slot = random.choice([each for each in range(1, SLOTS) if each not in self._slots])
        self._slots.add(slot)
        return slot

    async def _empty(self, key: Key, seat: Seat, why: str) -> None:
        """End the session of a seat, also if whoever waits for that is cancelled."""
        task = self._emptying(key, seat, why)
        if task is not None:
            await asyncio.shield(task)

    def _emptying(self, key: Key, seat: Seat, why: str) -> asyncio.Task[None] | None:
        session, seat.session = seat.session, None
        if session is None:
            return None
        if seat.idle is not None:
            seat.idle.cancel()
        self._ended[key] = why
        while len(self._ended) > REMEMBERED_MAX:
            del self._ended[next(iter(self._ended))]
        seat.placed, seat.seen = {}, {}
        if not seat.users:
            self._forget(key, seat)
        task = asyncio.create_task(self._end(session, seat.slot, why))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _end(self, session: Session, slot: int, why: str) -> None:
        try:
            await session.end(why)
        finally:
            self._slots.discard(slot)
            async with self._freed:
                self._freed.notify_all()

    def _forget(self, key: Key, seat: Seat) -> None:
        if self._seats.get(key) is seat:
            del self._seats[key]
