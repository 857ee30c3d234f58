"""Proofs about what does not wait in line: it cuts the active run off, or steers it."""

from __future__ import annotations

import asyncio

import msgspec

from clew.core.busy import OnBusy
from clew.core.paging import Page
from clew.core.runs import Lease, Run
from clew.store.once import Once
from clew.store.runs import Steered
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    as_it_stands,
    asking_run,
    end_run,
    lost_race,
    move_to,
    new_receipt,
    new_run,
    new_thread,
    proof,
    queued_run,
    refusal,
    replay,
    reply,
    stored_thread,
    texts,
    user,
    users,
    working_run,
)

INTERRUPT, ROLLBACK, STEER = OnBusy("interrupt"), OnBusy("rollback"), OnBusy("steer")
_ALL = Page(100, "asc")


class CutOffs(Proof):
    """Who comes first, and cancels the active run: interrupt and rollback."""

    @proof
    async def test_an_interruption_goes_before_others(self, store: Store, project: str) -> None:
        """The newest interruption is first; the run under way is cancelling until it lets go."""
        thread = await stored_thread(store, project)
        first = await working_run(store, project, thread.key)
        queued = await queued_run(store, project, thread.key, "b")
        older = await store.create_run(project, new_run(thread.key), users("c"), on_busy=INTERRUPT)
        newer = await store.create_run(project, new_run(thread.key), users("d"), on_busy=INTERRUPT)
        places = [
            (await store.get_run(project, thread.key, run.key)).place
            for run in (newer, older, queued)
        ]
        assert places == [1, 2, 3]
        cancelling = await store.get_run(project, thread.key, first.key)
        assert (cancelling.status, cancelling.withdrawn) == ("cancelling", False)
        output = [reply("so far", first.key)]
        done = msgspec.structs.replace(cancelling, status="cancelled")
        done = await store.move_run(project, "cancelling", done, output, now_ms=T0)
        assert done.next_run == newer.key
        assert await texts(store, project, thread.key) == ["so far", "d"]
        for run in (newer, older, queued):
            await _answer(store, project, await store.get_run(project, thread.key, run.key))
        expected = ["so far", "d", "re d", "c", "re c", "b", "re b"]
        assert await texts(store, project, thread.key) == expected

    @proof
    async def test_who_waits_for_a_client_is_cut_off_at_once(
        self, store: Store, project: str
    ) -> None:
        """It is cancelled, and the newcomer holds the thread; others wait on."""
        thread = await stored_thread(store, project)
        asking = await asking_run(store, project, thread.key, "a")
        queued = await queued_run(store, project, thread.key, "b")
        given, lease = new_run(thread.key, T0 + 7), Lease("me", T0 + 60)
        made = await store.create_run(project, given, users("c"), on_busy=INTERRUPT, lease=lease)
        assert (made.place, made.attempts, made.first_seq) == (None, 1, 2)
        cut = await store.get_run(project, thread.key, asking.key)
        assert (cut.status, cut.cancelled_at) == ("cancelled", T0 + 7)
        assert (await store.get_run(project, thread.key, queued.key)).place == 1
        assert await store.claim_run(project, thread.key, Lease("you", T0 + 90), T0 + 59) is None
        assert (await end_run(store, project, made)).next_run == queued.key
        assert await texts(store, project, thread.key) == ["a", "c", "b"]

    @proof
    async def test_a_message_cuts_off_too(self, store: Store, project: str) -> None:
        """Items that come alone cancel the active run and land first; then the line goes on."""
        thread = await stored_thread(store, project)
        asking = await asking_run(store, project, thread.key, "a")
        queued = await queued_run(store, project, thread.key, "b")
        _, end = await store.append_items(project, thread.key, users("c"), T0, on_busy=INTERRUPT)
        found = await store.get_thread(project, thread.key)
        assert (found.active_run, found.last_seq) == (queued.key, end)
        assert (await store.get_run(project, thread.key, asking.key)).status == "cancelled"
        assert await texts(store, project, thread.key) == ["a", "c", "b"]
        await move_to(store, project, queued, "in_progress")
        await store.append_items(project, thread.key, users("d"), T0, on_busy=INTERRUPT)
        under_way = await store.get_run(project, thread.key, queued.key)
        assert under_way.status == "cancelling"
        assert (await end_run(store, project, under_way, "cancelled")).next_run is None
        assert await texts(store, project, thread.key) == ["a", "c", "b", "d"]

    @proof
    async def test_what_is_rolled_back_is_withdrawn(self, store: Store, project: str) -> None:
        """Its input and its output are erased as it ends; what others said stays."""
        thread = await stored_thread(store, project, "a")
        run = await store.create_run(project, new_run(thread.key), users("b"))
        run = await move_to(store, project, run, "in_progress", reply("B", run.key))
        await store.append_items(project, thread.key, users("mine"), T0, on_busy=STEER)
        run = await store.move_run(project, run.status, run, now_ms=T0, steps=True)
        fork = await store.fork_thread(project, thread.key, new_thread())
        new = await store.create_run(project, new_run(thread.key), users("c"), on_busy=ROLLBACK)
        stands = await store.get_run(project, thread.key, run.key)
        assert (stands.status, stands.withdrawn) == ("cancelling", True)
        assert await texts(store, project, thread.key) == ["a", "b", "B", "mine"]
        ended = msgspec.structs.replace(stands, status="cancelled", withdrawn=False)
        late = [reply("late", run.key)]
        ended = await store.move_run(project, "cancelling", ended, late, now_ms=T0)
        assert (ended.withdrawn, ended.next_run) == (True, new.key)
        assert await texts(store, project, thread.key) == ["a", "mine", "c"]
        assert await texts(store, project, fork.key) == ["a", "b", "B", "mine"]
        assert (await store.get_thread(project, thread.key)).last_seq == 5

    @proof
    async def test_a_rollback_of_who_waits_is_at_once(self, store: Store, project: str) -> None:
        """What it said and was told is gone when the newcomer begins."""
        thread = await stored_thread(store, project, "a")
        asking = await asking_run(store, project, thread.key, "b")
        await store.append_items(project, thread.key, users("c"), T0 + 1, on_busy=ROLLBACK)
        found = await store.get_run(project, thread.key, asking.key)
        assert (found.status, found.withdrawn) == ("cancelled", True)
        assert await texts(store, project, thread.key) == ["a", "c"]
        assert (await store.get_thread(project, thread.key)).active_run is None

    @proof
    async def test_nothing_tells_of_what_is_withdrawn(self, store: Store, project: str) -> None:
        """Recorded answers that show its items are not said again; their keys stay used."""
        thread = await stored_thread(store, project)
        item = user("secret")
        once = Once("k", "f", T0, lambda _: item.id.encode())
        given = new_run(thread.key)
        run = await store.create_run(project, given, [item], once=once)
        await store.append_items(project, thread.key, users("c"), T0, on_busy=ROLLBACK)
        again = store.create_run(project, given, [item], once=once)
        assert await replay(again) == item.id.encode()
        await end_run(store, project, await store.get_run(project, thread.key, run.key), "failed")
        assert (await refusal(store.create_run(project, given, [item], once=once))).code == (
            "not_found"
        )

    @proof
    async def test_erasing_a_withdrawn_run_ends_it(self, store: Store, project: str) -> None:
        """Its items go then, as they would have when it ended."""
        thread = await stored_thread(store, project, "a")
        run = await store.create_run(project, new_run(thread.key), users("b"))
        await store.append_items(project, thread.key, users("c"), T0, on_busy=ROLLBACK)
        await store.erase_run(project, thread.key, run.key, new_receipt(thread.key))
        assert await texts(store, project, thread.key) == ["a", "c"]


class Steering(Proof):
    """What joins the active run at its next step."""

    @proof
    async def test_what_steers_lands_at_the_next_step(self, store: Store, project: str) -> None:
        """After what the run says with that step, in the order it came, and not before."""
        thread = await stored_thread(store, project, "a")
        run = await working_run(store, project, thread.key)
        await queued_run(store, project, thread.key, "last")
        told = await store.create_run(project, new_run(thread.key), users("b"), on_busy=STEER)
        assert told == run
        await store.append_items(project, thread.key, users("c", "d"), T0, on_busy=STEER)
        runs, _ = await store.list_runs(project, thread.key, _ALL)
        assert len(runs) == 2
        run = await move_to(store, project, run, "in_progress", reply("A", run.key))
        assert await texts(store, project, thread.key) == ["a", "A"]
        run = await move_to(store, project, run, "in_progress", reply("B", run.key), steps=True)
        assert await texts(store, project, thread.key) == ["a", "A", "B", "b", "c", "d"]
        assert run.last_seq == 6
        run = await move_to(store, project, run, "in_progress", steps=True)
        assert await texts(store, project, thread.key) == ["a", "A", "B", "b", "c", "d"]

    @proof
    async def test_a_steered_run_is_not_completed(self, store: Store, project: str) -> None:
        """Whoever works on it is told, and nothing is changed; what stands in line is no reason."""
        thread = await stored_thread(store, project, "a")
        lease = Lease("me", T0 + 60)
        run = await store.create_run(project, new_run(thread.key), lease=lease)
        run = await move_to(store, project, run, "in_progress", lease=lease)
        queued = await queued_run(store, project, thread.key, "last")
        await store.append_items(project, thread.key, users("b"), T0, on_busy=STEER)
        was = await as_it_stands(store, project, thread.key)
        done = move_to(store, project, run, "completed", reply("A", run.key), lease=lease)
        (outcome,) = await asyncio.gather(done, return_exceptions=True)
        assert isinstance(outcome, Steered)
        assert await as_it_stands(store, project, thread.key) == was
        run = await move_to(store, project, run, "in_progress", lease=lease, steps=True)
        run = await move_to(store, project, run, "completed", reply("B", run.key), lease=lease)
        assert run.next_run == queued.key
        assert await texts(store, project, thread.key) == ["a", "b", "B", "last"]

    @proof
    async def test_what_came_too_late_to_steer_is_first(self, store: Store, project: str) -> None:
        """When the run ends otherwise, it is appended before what stands in line."""
        thread = await stored_thread(store, project)
        run = await working_run(store, project, thread.key)
        queued = await queued_run(store, project, thread.key, "c")
        await store.append_items(project, thread.key, users("a"), T0, on_busy=STEER)
        await store.append_items(project, thread.key, users("b"), T0, on_busy=STEER)
        lease = Lease("me", T0 + 60)
        ended = await move_to(store, project, run, "failed", lease=lease)
        assert ended.next_run == queued.key
        assert await texts(store, project, thread.key) == ["a", "b", "c"]

    @proof
    async def test_who_cannot_be_steered_is_waited_for(self, store: Store, project: str) -> None:
        """A run that waits for its client, or is being cancelled: the newcomer stands in line."""
        for status in ("requires_action", "cancelling"):
            thread = await stored_thread(store, project)
            run = await move_to(
                store, project, await working_run(store, project, thread.key), status
            )
            queued = await queued_run(store, project, thread.key, "a")
            given = new_run(thread.key)
            made = await store.create_run(project, given, users("b"), on_busy=STEER)
            assert (made.key, made.place) == (given.key, 2)
            await store.append_items(project, thread.key, users("c"), T0, on_busy=STEER)
            assert (await end_run(store, project, run, "cancelled")).next_run == queued.key
            assert await texts(store, project, thread.key) == ["a"]

    @proof
    async def test_steering_is_done_once(self, store: Store, project: str) -> None:
        """A retry with its key steers no second time."""
        thread = await stored_thread(store, project)
        run = await working_run(store, project, thread.key)
        once = Once("k", "f", T0, lambda run: run.key.encode())
        given, said = new_run(thread.key), users("b")
        await store.create_run(project, given, said, on_busy=STEER, once=once)
        again = store.create_run(project, given, said, on_busy=STEER, once=once)
        assert await replay(again) == run.key.encode()
        await move_to(store, project, run, "in_progress", steps=True)
        assert await texts(store, project, thread.key) == ["b"]
        assert await lost_race(move_to(store, project, run, "failed", was="queued"))


async def _answer(store: Store, project: str, run: Run) -> Run:
    """The run, whose turn has come, completes and answers to the last thing said."""
    said = (await texts(store, project, run.thread))[-1]
    return await move_to(store, project, run, "completed", reply(f"re {said}", run.key))
