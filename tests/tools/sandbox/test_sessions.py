"""One session for each key, not too many at a time, none for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from clew.tools.sandbox import Sandbox, processes
from clew.tools.sandbox import sessions as sessions_module
from clew.tools.sandbox.session import Ended, Ran
from clew.tools.sandbox.sessions import Sessions
from tests.tools.sandbox.driving import TIGHT, play

pytestmark = pytest.mark.usefixtures("bubblewrap")

A, B, C = ("project", "a"), ("project", "b"), ("project", "c")
LOST = ("_", "other")


@asynccontextmanager
async def opened(alive_max: int = 8, idle_s: float = 100) -> AsyncIterator[Sessions]:
    sessions = Sessions(Sandbox(), alive_max, idle_s)
    try:
        yield sessions
    finally:
        await sessions.close()
        assert sessions.alive == 0
        assert sessions._seats == {}


async def run(sessions: Sessions, key: tuple[str, str], code: str, **limits: Any) -> Ran:
    tight = msgspec.structs.replace(TIGHT, **limits)
    async with sessions.held(key, tight) as (_, session):
        return await session.run(code)


async def news(sessions: Sessions, key: tuple[str, str]) -> str | None:
    async with sessions.held(key, TIGHT) as (seat, _):
        return seat.news


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def held(test: Callable[[Sessions], Awaitable[None]], **settings: Any) -> None:
    async def opening() -> None:
        async with opened(**settings) as sessions:
            await test(sessions)

    play(opening)


def test_a_key_finds_its_own_session_again():
    """The same key has its variables, another one, also of the same thread's name, has not."""

    async def test(sessions: Sessions) -> None:
        await run(sessions, A, "x = 1")
        assert (await run(sessions, A, "x")).output == "1\n"
        assert "NameError" in (await run(sessions, B, "x")).output
        assert "NameError" in (await run(sessions, ("other project", "a"), "x")).output
        assert await news(sessions, A) is None

    held(test)


def test_calls_of_one_key_take_turns():
    """Two calls at once run one after the other, in the order in which they came."""

    async def test(sessions: Sessions) -> None:
        await run(sessions, A, "import time; seen = []")
        slow = "seen.append({}); time.sleep(0.1); seen.append({})"
        await asyncio.gather(*(run(sessions, A, slow.format(n, n)) for n in range(3)))
        assert (await run(sessions, A, "seen")).output == "[0, 0, 1, 1, 2, 2]\n"

    held(test)


def test_calls_of_different_keys_run_at_once():
    """A session that is busy keeps no other waiting."""

    async def test(sessions: Sessions) -> None:
        busy = asyncio.create_task(run(sessions, A, "while True: pass", wall_s=3))
        await until(lambda: sessions.alive == 1)
        assert (await run(sessions, B, "1")).output == "1\n"
        assert not busy.done()
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)

    held(test)


def test_the_one_used_longest_ago_makes_room():
    """With no room left a new key ends the session that was idle longest, and that one is told."""

    async def test(sessions: Sessions) -> None:
        for key in (A, B, A, C):
            await run(sessions, key, "x = 1")
        assert sessions.alive == 2
        assert (await run(sessions, A, "x")).output == "1\n"
        assert await news(sessions, B) == "Others needed its place"

    held(test, alive_max=2)


def test_with_all_in_use_the_next_waits():
    """Nobody's running code is ended for another's: that one waits until there is room."""

    async def test(sessions: Sessions) -> None:
        first = asyncio.create_task(run(sessions, A, "import time; time.sleep(0.5); 'a'"))
        await until(lambda: sessions.alive == 1)
        second = asyncio.create_task(run(sessions, B, "'b'"))
        done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        assert done == {first}
        assert ((await first).output, (await second).output) == ("'a'\n", "'b'\n")
        assert sessions.alive == 1

    held(test, alive_max=1)


def test_an_idle_session_ends():
    """One that nobody uses for a while is gone, and the next call is told so."""

    async def test(sessions: Sessions) -> None:
        await run(sessions, A, "x = 1")
        await until(lambda: sessions.alive == 0)
        assert sessions._seats == {}
        assert await news(sessions, A) == "Nobody used it for a while"
        assert await news(sessions, B) is None

    held(test, idle_s=0.1)


def test_use_keeps_a_session_alive():
    """The time counts from the last use."""

    async def test(sessions: Sessions) -> None:
        await run(sessions, A, "x = 1")
        for _ in range(4):
            await run(sessions, A, "import time; time.sleep(0.5)")
        assert (await run(sessions, A, "x")).output == "1\n"

    held(test, idle_s=1)


def test_a_broken_limit_is_told_to_the_next_call():
    """The session is gone at once, and a fresh one says why."""

    async def test(sessions: Sessions) -> None:
        found = await run(sessions, A, "while True: pass", wall_s=0.5)
        assert found.ended == "The code ran longer than 0.5 seconds"
        assert sessions.alive == 0
        assert await news(sessions, A) == found.ended
        assert await news(sessions, A) is None

    held(test)


def test_a_cancelled_call_ends_its_session():
    """Cancelling returns soon, nothing goes on running, and the key works again."""

    async def test(sessions: Sessions) -> None:
        running = asyncio.create_task(run(sessions, A, "while True: pass"))
        await until(lambda: sessions.alive == 1)
        await asyncio.sleep(0.3)
        (seat,) = sessions._seats.values()
        assert seat.session is not None
        inside = processes.below(seat.session._process.pid)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await until(lambda: sessions.alive == 0)
        assert len(inside) == 2
        assert all(processes._is_dead(pid) for pid in inside)
        assert (await run(sessions, A, "1")).output == "1\n"

    held(test)


def test_a_call_cancelled_while_it_waits_harms_nobody():
    """Who gives up waiting for room, or for its turn, leaves the others as they were."""

    async def test(sessions: Sessions) -> None:
        first = asyncio.create_task(run(sessions, A, "x = 1; import time; time.sleep(0.3)"))
        await until(lambda: sessions.alive == 1)
        waiting = [asyncio.create_task(run(sessions, key, "1")) for key in (A, B)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await first
        assert (await run(sessions, A, "x")).output == "1\n"

    held(test, alive_max=1)


def test_a_session_killed_from_outside_is_replaced():
    """An interpreter that is gone when it is needed is no error: a fresh one says so."""

    async def test(sessions: Sessions) -> None:
        await run(sessions, A, "x = 1")
        (seat,) = sessions._seats.values()
        assert seat.session is not None
        seat.session._process.kill()
        await seat.session._process.wait()
        assert await news(sessions, A) == "The interpreter ended"

    held(test)


def test_a_sandbox_that_does_not_start_is_an_error_and_takes_no_room():
    """Ended is raised, again and again, and no place is lost."""

    async def test() -> None:
        sessions = Sessions(Sandbox(bwrap="/bin/false"), 1, 100)
        for _ in range(3):
            with pytest.raises(Ended):
                await run(sessions, A, "1")
        assert sessions.alive == 0
        await sessions.close()

    play(test)


def test_not_everything_is_remembered_for_ever(monkeypatch: pytest.MonkeyPatch):
    """Why sessions ended is known of the last ones only."""
    monkeypatch.setattr(sessions_module, "REMEMBERED_MAX", 2)

    async def test(sessions: Sessions) -> None:
        for key in (A, B, C):
            await run(sessions, key, "import os; os._exit(0)")
        assert list(sessions._ended) == [B, C]

    held(test)
