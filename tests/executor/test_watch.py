"""The watch: leases held on while their process lives, and what is due taken by whoever looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from clew.core.errors import ClewError
from clew.core.runs import Lease
from clew.executor import watch
from clew.executor.watch import BEAT_S, LEASE_MS, LOOK_S, TAKEN_AT_ONCE, Watch
from clew.store.runs import Due

from .stage import HANG, STOP, T0, over, play, says, stage, statuses

MINE, OTHER = Due("proj", "T1", "R1"), Due("proj", "T2", "R2")


class Board:
    """A store of leases that notes what it is asked; it fails as often as it is told."""

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}
        self.due: list[Due] = []
        self.held: list[tuple[Sequence[Due], Lease]] = []
        self.looked: list[tuple[int, int]] = []
        self.failures: list[Exception] = []

    async def hold_runs(self, runs: Sequence[Due], lease: Lease) -> dict[str, str]:
        self.held.append((list(runs), lease))
        if self.failures:
            raise self.failures.pop(0)
        return self.standing

    async def list_due(self, now_ms: int, limit: int) -> list[Due]:
        self.looked.append((now_ms, limit))
        if self.failures:
            raise self.failures.pop(0)
        return self.due


class Watched:
    """A watch, and what it told of whom."""

    def __init__(self, *held: Due) -> None:
        self.board, self.mine = Board(), list(held)
        self.heeded: list[tuple[str, str | None]] = []
        self.taken: list[Due] = []
        self.looked = 0
        self.breaks: Exception | None = None
        board: Any = self.board
        self.watch = Watch(board, lambda: T0, lambda: self.mine, self._heed, self._take, self._look)

    def _heed(self, run: str, status: str | None) -> None:
        self.heeded.append((run, status))

    async def _take(self, due: Due) -> None:
        self.taken.append(due)
        if self.breaks is not None:
            raise self.breaks

    async def _look(self) -> None:
        self.looked += 1


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT_S", 0.001)
    monkeypatch.setattr(watch, "LOOK_S", 0.001)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_a_lease_outlives_lost_heartbeats() -> None:
    """It is held on several times before it ends, and what ended is found soon."""
    assert LEASE_MS >= 3 * BEAT_S * 1000
    assert LOOK_S <= 5


def test_each_process_has_a_name_of_its_own() -> None:
    """A lease says whose it is; it begins now, whenever it is asked for."""
    one, other = Watched().watch.lease(), Watched().watch.lease()
    assert one.holder != other.holder
    assert one.until == T0 + LEASE_MS


def test_leases_are_held_on_and_the_runs_told_how_they_stand() -> None:
    """Of what is somebody else's by now, it says that it is lost."""

    async def main() -> None:
        here = Watched(MINE, OTHER)
        here.board.standing = {"R1": "cancelling"}
        here.watch.start()
        await until(lambda: len(here.heeded) >= 4)
        await here.watch.stop()
        assert here.heeded[:2] == [("R1", "cancelling"), ("R2", None)]
        assert here.board.held[0] == ([MINE, OTHER], here.watch.lease())

    play(main())


def test_who_works_on_nothing_holds_nothing() -> None:
    """No statement is made for it."""

    async def main() -> None:
        here = Watched()
        here.watch.start()
        await until(lambda: here.looked > 3)
        await here.watch.stop()
        assert here.board.held == []

    play(main())


def test_what_is_due_is_taken_but_for_what_is_held() -> None:
    """A process that is late with its own lease goes on; that is no case of taking over."""

    async def main() -> None:
        here = Watched(MINE)
        here.board.due = [MINE, OTHER]
        here.watch.start()
        await until(lambda: here.taken)
        await here.watch.stop()
        assert set(map(id, here.taken)) == {id(OTHER)}
        assert here.board.looked[0] == (T0, TAKEN_AT_ONCE)

    play(main())


def test_one_that_cannot_be_taken_does_not_hold_up_others() -> None:
    """Each is tried; who looks next tries again."""

    async def main() -> None:
        here = Watched()
        here.board.due, here.breaks = [MINE, OTHER], ClewError("unavailable", "Not now.")
        here.watch.start()
        await until(lambda: len(here.taken) >= 4 and here.looked)
        await here.watch.stop()
        assert here.taken[:4] == [MINE, OTHER, MINE, OTHER]

    play(main())


@pytest.mark.parametrize("error", [ClewError("unavailable", "Away."), ValueError("a fault")])
def test_a_store_that_is_away_is_asked_again(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """It is said in the log, and the next time all is as before."""

    async def main() -> None:
        here = Watched(MINE)
        here.board.failures, here.board.standing = [error], {"R1": "in_progress"}
        with caplog.at_level(logging.WARNING, "clew.executor"):
            here.watch.start()
            await until(lambda: here.heeded and here.looked)
            await here.watch.stop()
        assert len(caplog.records) == 1
        assert str(error) in caplog.text or "Away." in caplog.text

    play(main())


def test_what_is_given_up_is_due_at_once() -> None:
    """Its lease ends now; a store that is away is no reason not to end."""

    async def main() -> None:
        here = Watched(MINE)
        await here.watch.give_up([])
        assert here.board.held == []
        here.board.failures = [ClewError("unavailable", "Away.")]
        await here.watch.give_up([MINE])
        assert here.board.held == [([MINE], Lease(here.watch.holder, T0))]

    play(main())


def test_a_cancellation_by_another_process_reaches_the_model() -> None:
    """The heartbeat hears of it."""

    async def main() -> None:
        async with stage([*says("Hel")[:1], HANG, STOP]) as here:
            run, live = await here.hanging("hi")
            stopped = await here.another().cancel(here.project, run)
            assert stopped.status == "cancelling"
            here.executor.watch()
            assert statuses(await over(live))[-1] == "cancelled"
            assert (await here.stored(run)).status == "cancelled"
            assert await here.said(run.thread) == ["user: hi", "assistant: Hel…"]

    play(main())


def test_a_run_that_is_lost_is_left_as_it_is() -> None:
    """The heartbeat hears that somebody else works on it: the model is left, nothing is written,
    and who followed it here hears no more."""

    async def main() -> None:
        async with stage([*says("Hel")[:1], HANG, STOP]) as here:
            run, live = await here.hanging("hi")
            here.ms += 100_000
            lease = Lease("another", here.ms + 10**6)
            taken = await here.store.claim_run(here.project, run.thread, lease, here.ms)
            here.executor.watch()
            assert statuses(await over(live)) == ["queued", "in_progress"]
            assert here.provider.left.is_set()
            assert await here.stored(run) == taken
            assert await here.said(run.thread) == ["user: hi"]
            assert here.recorded()[0].ended_at is None

    play(main())


def test_what_another_process_left_is_found() -> None:
    """Without being asked: whoever looks takes it, once its lease is over."""

    async def main() -> None:
        async with stage([HANG, STOP], says("Hello")) as here:
            run, _ = await here.hanging("hi")
            second = here.another()
            second.watch()
            await asyncio.sleep(0.02)
            assert (await here.stored(run)).attempts == 1
            here.ms += 100_000
            while (await here.stored(run)).status != "completed":
                await asyncio.sleep(0.001)
            assert await here.said(run.thread) == ["user: hi", "assistant: Hello"]
            await second.close()

    play(main())
