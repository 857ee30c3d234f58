"""Proofs about the kept events of runs."""

from __future__ import annotations

import asyncio

import msgspec

from clew.core.busy import OnBusy
from clew.core.runs import Lease, Run
from clew.store.events import News
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    new_project,
    new_receipt,
    new_run,
    new_thread,
    not_found,
    proof,
    reply,
    stored_thread,
    user,
)

Told = list[tuple[int, bytes]]


def news(project: str, run: Run, first: int, events: bytes, **fields: int) -> News:
    turn, until = fields.get("turn", run.last_seq), fields.get("until", T0 + 1)
    return News(project, run.thread, run.key, turn, first, until, events, run.attempts)


async def running(store: Store, project: str) -> Run:
    """A run in the store, on a thread of its own with one message."""
    return await active_run(store, project, (await stored_thread(store, project, "hi")).key)


async def kept(store: Store, project: str, run: Run, first: int = 0) -> Told:
    turn = run.last_seq
    return await store.list_events(project, run.thread, run.key, turn, first=first)


class Events(Proof):
    """Keeping and telling the events of runs; what erasure leaves of them, which is nothing."""

    @proof
    async def test_events_are_told_in_order(self, store: Store, project: str) -> None:
        """What was kept of many runs at once is told run by run, by number, from any row on."""
        one, other = [await running(store, project) for _ in range(2)]
        await store.append_events(
            [news(project, one, 2, b"c\x00\xff"), news(project, other, 0, b"x")], T0
        )
        await store.append_events([news(project, one, 0, b"ab")], T0)
        await store.append_events([], T0)
        assert await kept(store, project, one) == [(0, b"ab"), (2, b"c\x00\xff")]
        assert await kept(store, project, one, 1) == [(2, b"c\x00\xff")]
        assert await kept(store, project, one, 3) == []
        assert await kept(store, project, other) == [(0, b"x")]

    @proof
    async def test_each_turn_of_a_run_is_numbered_anew(self, store: Store, project: str) -> None:
        """A run that goes on after tool outputs has the events of either turn."""
        run = await running(store, project)
        await store.append_events([news(project, run, 0, b"a")], T0)
        await store.append_events([news(project, run, 0, b"b", turn=run.last_seq + 2)], T0)
        later = await store.list_events(project, run.thread, run.key, run.last_seq + 2)
        assert (await kept(store, project, run), later) == ([(0, b"a")], [(0, b"b")])

    @proof
    async def test_news_that_come_again_are_kept_once(self, store: Store, project: str) -> None:
        """Who does not know whether an append went through repeats it, with what came meanwhile."""
        run = await running(store, project)
        for events in (b"a", b"a", b"ab"):
            await store.append_events([news(project, run, 0, events)], T0)
        assert await kept(store, project, run) == [(0, b"ab")]

    @proof
    async def test_events_without_a_run_are_dropped(self, store: Store, project: str) -> None:
        """News of a thread or run that is not there are dropped; those beside them are kept."""
        run, erased = [await running(store, project) for _ in range(2)]
        await store.erase_thread(project, erased.thread, new_receipt(erased.thread))
        foreign = new_project()
        all = [
            news(project, erased, 0, b"erased"),
            news(project, new_run(run.thread), 0, b"unknown"),
            news(foreign, run, 5, b"foreign"),
            news(project, run, 0, b"kept"),
        ]
        await store.append_events(all, T0)
        assert await kept(store, project, run) == [(0, b"kept")]
        assert await kept(store, foreign, run) == []
        assert await kept(store, project, erased) == []

    @proof
    async def test_who_lost_a_run_is_not_heard(self, store: Store, project: str) -> None:
        """News of an earlier attempt are dropped, also when the run is over; what it told before
        stays, and the news of others beside it are kept."""
        thread, mine, yours = new_thread(), Lease("me", T0 + 100), Lease("you", T0 + 300)
        run = await store.create_run(project, new_run(thread.key), thread=thread, lease=mine)
        await store.append_events([news(project, run, 0, b"a")], T0)
        taken = await store.claim_run(project, run.thread, yours, T0 + 200)
        assert taken is not None
        other = await running(store, project)
        late = [news(project, run, 0, b"A"), news(project, run, 1, b"B")]
        await store.append_events([*late, news(project, other, 0, b"x")], T0)
        assert await kept(store, project, run) == [(0, b"a")]
        await store.append_events([news(project, taken, 1, b"b")], T0)
        going = msgspec.structs.replace(taken, status="in_progress")
        going = await store.move_run(project, "queued", going, now_ms=T0, lease=yours)
        over = msgspec.structs.replace(going, status="completed")
        over = await store.move_run(project, "in_progress", over, now_ms=T0, lease=yours)
        await store.append_events([*late, news(project, over, 2, b"c")], T0)
        assert await kept(store, project, run) == [(0, b"a"), (1, b"b"), (2, b"c")]
        assert await kept(store, project, other) == [(0, b"x")]

    @proof
    async def test_erasing_an_item_forgets_its_run(self, store: Store, project: str) -> None:
        """The events of the run that wrote it are gone, and later ones are not kept; others are."""
        run = await running(store, project)
        item = reply("secret", run.key)
        moved = await store.move_run(project, "queued", run, [item], now_ms=T0)
        await store.append_events([news(project, run, 0, b"secret")], T0)
        neighbour = await running(store, project)
        await store.append_events([news(project, neighbour, 0, b"kept")], T0)
        await store.erase_item(project, run.thread, item.id, T0)
        await store.append_events([news(project, run, 1, b"secret")], T0)
        assert await kept(store, project, run) == []
        assert await kept(store, project, neighbour) == [(0, b"kept")]
        assert await store.get_run(project, run.thread, run.key) == moved

    @proof
    async def test_a_withdrawn_run_is_forgotten(self, store: Store, project: str) -> None:
        """Its events are gone with its items, and later ones are not kept; the newcomer's are."""
        run = await running(store, project)
        await store.append_events([news(project, run, 0, b"secret")], T0)
        new = new_run(run.thread)
        await store.create_run(project, new, on_busy=OnBusy("rollback"))
        stands = await store.get_run(project, run.thread, run.key)
        ended = msgspec.structs.replace(stands, status="cancelled")
        await store.move_run(project, stands.status, ended, now_ms=T0)
        new = await store.get_run(project, run.thread, new.key)
        all = [news(project, run, 1, b"late"), news(project, new, 0, b"kept")]
        await store.append_events(all, T0)
        assert await kept(store, project, run) == []
        assert await kept(store, project, new) == [(0, b"kept")]

    @proof
    async def test_erasing_what_was_asked_keeps_events(self, store: Store, project: str) -> None:
        """An input item is in no event, so its erasure takes none."""
        thread = await stored_thread(store, project)
        item = user("hi")
        run = await store.create_run(project, new_run(thread.key), [item])
        await store.append_events([news(project, run, 0, b"a")], T0)
        await store.erase_item(project, run.thread, item.id, T0)
        assert await kept(store, project, run) == [(0, b"a")]

    @proof
    async def test_a_forks_erasure_leaves_events(self, store: Store, project: str) -> None:
        """An item erased in a fork is still told where its run is; erased there, it is not."""
        run = await running(store, project)
        item = reply("hello", run.key)
        run = msgspec.structs.replace(run, status="completed")
        run = await store.move_run(project, "queued", run, [item], now_ms=T0)
        await store.append_events([news(project, run, 0, b"a")], T0)
        fork = await store.fork_thread(project, run.thread, new_thread())
        await store.erase_item(project, fork.key, item.id, T0)
        assert await kept(store, project, run) == [(0, b"a")]
        await store.erase_thread(project, run.thread, new_receipt(run.thread))
        assert await kept(store, project, run) == []

    @proof
    async def test_an_erased_runs_events_are_gone(self, store: Store, project: str) -> None:
        """They go with their run, and none come after it."""
        run = await running(store, project)
        await store.append_events([news(project, run, 0, b"a")], T0)
        await store.erase_run(project, run.thread, run.key, new_receipt(run.thread))
        await store.append_events([news(project, run, 1, b"b")], T0)
        assert await kept(store, project, run) == []
        act = store.get_run(project, run.thread, run.key)
        assert await not_found(act) == ("run", run.key)

    @proof
    async def test_events_go_when_their_time_is_over(self, store: Store, project: str) -> None:
        """An append takes away what may go, and nothing that may not."""
        run = await running(store, project)
        until = {0: T0 + 5, 1: T0 + 6, 2: T0 + 7}
        rows = [news(project, run, first, b"a", until=time) for first, time in until.items()]
        await store.append_events(rows, T0)
        await store.append_events([news(project, run, 3, b"a", until=T0 + 9)], T0 + 6)
        assert [first for first, _ in await kept(store, project, run)] == [1, 2, 3]

    @proof
    async def test_erasure_wins_every_race(self, store: Store, project: str) -> None:
        """Whatever an append and an erasure do at the same time, nothing is left."""
        for _ in range(10):
            run = await running(store, project)
            item = reply("secret", run.key)
            await store.move_run(project, "queued", run, [item], now_ms=T0)
            appends = [
                store.append_events([news(project, run, first, b"secret")], T0)
                for first in range(4)
            ]
            erasure = store.erase_item(project, run.thread, item.id, T0)
            await asyncio.gather(*appends[:2], erasure, *appends[2:])
            assert await kept(store, project, run) == []
