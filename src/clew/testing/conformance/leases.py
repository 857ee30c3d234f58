"""Proofs about who works on a run: leases, what is due, and what a taker-over finds recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from clew.core.busy import OnBusy
from clew.core.items import Item
from clew.core.runs import TERMINAL, Call, Lease, Run
from clew.store.runs import Due, Moved
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    as_it_stands,
    end_run,
    log,
    move_to,
    new_project,
    new_receipt,
    new_run,
    new_thread,
    not_found,
    proof,
    reply,
    stored_thread,
    texts,
    tool_call,
    users,
)

MINE, YOURS = Lease("me", T0 + 100), Lease("you", T0 + 300)
_EVERYTHING = 100_000


class Leases(Proof):
    """A run is worked on by one, and taken over when that one is gone."""

    @proof
    async def test_a_run_is_due_after_its_lease(self, store: Store, project: str) -> None:
        """At the end of the lease and from then on; before it nobody gets it."""
        thread, run = await _leased(store, project)
        assert await _due(store, project, T0 + 99) == []
        assert await store.claim_run(project, thread, YOURS, T0 + 99) is None
        due = [Due(project, thread, run.key)]
        assert await _due(store, project, T0 + 100) == due
        assert await _due(store, project, T0 + 500) == due
        taken = await store.claim_run(project, thread, YOURS, T0 + 100)
        assert taken == msgspec.structs.replace(run, attempts=2)
        assert await store.get_run(project, thread, run.key) == taken
        assert await _due(store, project, T0 + 299) == []
        assert await _due(store, project, T0 + 300) == due

    @proof
    async def test_a_run_without_a_lease_is_never_due(self, store: Store, project: str) -> None:
        """Nobody said that they work on it."""
        thread = await stored_thread(store, project)
        await active_run(store, project, thread.key)
        assert await _due(store, project, T0 + 10**9) == []
        assert await store.claim_run(project, thread.key, MINE, T0 + 10**9) is None

    @proof
    async def test_a_free_thread_has_nothing_to_claim(self, store: Store, project: str) -> None:
        """None where no run is active; NotFound where there is no thread, or another's."""
        thread = await stored_thread(store, project)
        assert await store.claim_run(project, thread.key, MINE, T0) is None
        await _leased(store, project)
        for owner, key in ((new_project(), thread.key), (project, "nowhere")):
            act = store.claim_run(owner, key, MINE, T0 + 999)
            assert await not_found(act) == ("thread", key)

    @proof
    async def test_one_of_many_claimers_wins(self, store: Store, project: str) -> None:
        """The others get nothing, and the attempts count one more."""
        thread, run = await _leased(store, project)
        acts = (
            store.claim_run(project, thread, Lease(f"w{number}", T0 + 900), T0 + 200)
            for number in range(8)
        )
        won = [taken for taken in await asyncio.gather(*acts) if taken is not None]
        assert [taken.attempts for taken in won] == [2]
        again = await store.claim_run(project, thread, Lease("w", T0 + 999), T0 + 900)
        assert again is not None
        assert again.attempts == 3
        moved = await move_to(store, project, run, "in_progress", lease=Lease("w", T0 + 999))
        assert moved.attempts == 3

    @proof
    async def test_who_lost_the_lease_cannot_move_the_run(self, store: Store, project: str) -> None:
        """The move is told that it is lost, and how the run stands; nothing is changed."""
        thread, run = await _leased(store, project)
        run = await move_to(store, project, run, "in_progress", reply("a", run.key), lease=MINE)
        taken = await store.claim_run(project, thread, YOURS, T0 + 200)
        assert taken is not None
        was = await as_it_stands(store, project, thread)
        due = await _due(store, project, T0 + 300)
        written = (await log(store, project, thread))[-1]
        changed = [_with_text(written, "late")]
        call = _call(run, 1)
        for status in ("in_progress", "completed", "failed"):
            act = move_to(
                store,
                project,
                run,
                status,
                reply("late", run.key),
                lease=MINE,
                changed=changed,
                calls=[call],
                steps=True,
            )
            moved = await _moved(act)
            assert (moved.run, moved.lost) == (taken, True)
        assert await as_it_stands(store, project, thread) == was
        assert await _due(store, project, T0 + 300) == due
        assert await store.list_calls(project, thread, run.key) == []
        done = await move_to(store, project, taken, "completed", lease=YOURS)
        late = await _moved(move_to(store, project, run, "failed", lease=MINE))
        assert (late.run, late.lost) == (done, False)

    @proof
    async def test_a_move_holds_the_lease(self, store: Store, project: str) -> None:
        """A lease holds from the move that names it; without one the old holds on."""
        thread, run = await _leased(store, project)
        run = await move_to(store, project, run, "in_progress")
        assert await _due(store, project, T0 + 99) == []
        assert len(await _due(store, project, T0 + 100)) == 1
        run = await move_to(store, project, run, "in_progress", lease=Lease("me", T0 + 200))
        assert await _due(store, project, T0 + 199) == []
        assert len(await _due(store, project, T0 + 200)) == 1
        run = await store.update_run(project, thread, run.key, {"a": "b"})
        assert len(await _due(store, project, T0 + 200)) == 1

    @proof
    async def test_an_unleased_run_is_anybodys(self, store: Store, project: str) -> None:
        """Who moves it with a lease has it from then on."""
        thread = await stored_thread(store, project)
        run = await active_run(store, project, thread.key)
        run = await move_to(store, project, run, "in_progress", lease=YOURS)
        lost = await _moved(move_to(store, project, run, "failed", lease=MINE))
        assert lost.lost
        assert len(await _due(store, project, T0 + 300)) == 1

    @proof
    async def test_holding_keeps_a_lease(self, store: Store, project: str) -> None:
        """All of a holder's runs at once; it hears how each stands, and of none that is not its."""
        runs = [await _leased(store, project) for _ in range(3)]
        (thread, first), (_, second), (theirs, third) = runs
        await move_to(store, project, second, "cancelling")
        await store.claim_run(project, theirs, YOURS, T0 + 100)
        other, fourth = await _leased(store, project)
        ended = await move_to(store, project, fourth, "failed", lease=MINE)
        asked = [Due(project, run.thread, run.key) for _, run in (*runs, (other, ended))]
        asked += [Due(project, thread, "no such run"), Due(project, "nowhere", first.key)]
        held = await store.hold_runs(asked, Lease("me", T0 + 200))
        assert held == {first.key: "queued", second.key: "cancelling"}
        due = {one.run for one in await _due(store, project, T0 + 199)}
        assert due == set()
        due = {one.run for one in await _due(store, project, T0 + 200)}
        assert due == {first.key, second.key}
        assert await store.hold_runs([], MINE) == {}
        late = Lease("you", T0 + 999)
        assert await store.hold_runs(asked, late) == {third.key: "queued"}

    @proof
    async def test_who_waits_for_a_client_is_nobodys(self, store: Store, project: str) -> None:
        """It is due when its time is over, and held by nobody until somebody moves it on."""
        thread = await stored_thread(store, project)
        given = new_run(thread.key, expires_at=T0 + 600)
        run = await store.create_run(project, given, lease=MINE)
        run = await move_to(store, project, run, "in_progress", lease=MINE)
        run = await move_to(store, project, run, "requires_action", lease=MINE)
        assert await store.hold_runs([Due(project, thread.key, run.key)], MINE) == {}
        assert await _due(store, project, T0 + 599) == []
        assert [one.run for one in await _due(store, project, T0 + 600)] == [run.key]
        run = await move_to(store, project, run, "queued", lease=YOURS)
        assert await _due(store, project, T0 + 299) == []
        lost = await _moved(move_to(store, project, run, "in_progress", lease=MINE))
        assert lost.lost

    @proof
    async def test_an_abandoned_run_can_be_claimed(self, store: Store, project: str) -> None:
        """Whoever finds that its client is gone takes it, and ends it."""
        thread = await stored_thread(store, project)
        run = await store.create_run(project, new_run(thread.key, expires_at=T0 + 600))
        run = await move_to(store, project, run, "in_progress", lease=MINE)
        run = await move_to(store, project, run, "requires_action", lease=MINE)
        assert await store.claim_run(project, thread.key, YOURS, T0 + 599) is None
        taken = await store.claim_run(project, thread.key, Lease("you", T0 + 900), T0 + 600)
        assert taken is not None
        assert (taken.status, taken.attempts) == ("requires_action", 2)
        assert await _due(store, project, T0 + 899) == []
        ended = await move_to(store, project, taken, "expired", lease=YOURS)
        assert (ended.status, ended.attempts) == ("expired", 2)

    @proof
    async def test_what_has_ended_is_never_due(self, store: Store, project: str) -> None:
        """In any terminal status, with a lease and without; nor is what was erased."""
        for status in sorted(TERMINAL):
            for lease in (MINE, None):
                thread, run = await _leased(store, project)
                await move_to(store, project, run, status, lease=lease)
                assert await _due(store, project, T0 + 10**9) == []
                assert await store.claim_run(project, thread, YOURS, T0 + 10**9) is None
                held = await store.hold_runs([Due(project, thread, run.key)], MINE)
                assert held == {}
        thread, run = await _leased(store, project)
        await store.erase_run(project, thread, run.key, new_receipt(thread))
        thread, _ = await _leased(store, project)
        await store.erase_thread(project, thread, new_receipt(thread))
        assert await _due(store, project, T0 + 10**9) == []

    @proof
    async def test_whose_turn_has_come_is_due_at_once(self, store: Store, project: str) -> None:
        """In line a run is nobody's and never due; then it is anybody's, never tried before."""
        thread, first = await _leased(store, project)
        given, queue = new_run(thread), OnBusy("queue")
        waiting = await store.create_run(project, given, lease=MINE, on_busy=queue)
        assert [one.run for one in await _due(store, project, T0 + 10**9)] == [first.key]
        assert await store.hold_runs([Due(project, thread, waiting.key)], MINE) == {}
        ended = msgspec.structs.replace(first, status="failed")
        await store.move_run(project, "queued", ended, now_ms=T0 + 50, lease=MINE)
        assert await _due(store, project, T0 + 49) == []
        assert await _due(store, project, T0 + 50) == [Due(project, thread, waiting.key)]
        taken = await store.claim_run(project, thread, YOURS, T0 + 50)
        assert taken is not None
        assert (taken.key, taken.attempts, taken.place) == (waiting.key, 1, None)

    @proof
    async def test_what_is_due_longest_comes_first(self, store: Store, project: str) -> None:
        """Of every project; and no more than asked for."""
        ends = [3, 1, 2]  # in 1970: before all that other proofs leave behind
        for number, end in enumerate(ends):
            owner = project if number else project + "x"
            thread = (await store.create_thread(owner, new_thread())).key
            await store.create_run(owner, new_run(thread), lease=Lease("me", end))
        found = await store.list_due(9, _EVERYTHING)
        ours = [one for one in found if one.project in (project, project + "x")]
        assert [one.project for one in ours] == [project, project, project + "x"]
        assert len(await store.list_due(9, 2)) == 2
        assert found[:2] == await store.list_due(9, 2)


class Records(Proof):
    """What a taker-over finds: calls, and items as they stand."""

    @proof
    async def test_a_call_is_recorded_as_it_begins_and_ends(
        self, store: Store, project: str
    ) -> None:
        """A call that ends replaces itself; they are listed in the order they began."""
        thread, run = await _leased(store, project)
        assert await store.list_calls(project, thread, run.key) == []
        first, second, third = [_call(run, number) for number in range(3)]
        run = await move_to(store, project, run, "in_progress", calls=[first])
        assert await store.list_calls(project, thread, run.key) == [first]
        run = await move_to(store, project, run, "in_progress", calls=[second, third])
        ended = msgspec.structs.replace(
            first, ended_at=T0 + 9, usage={"total_tokens": 3}, error={"code": "a\x00"}
        )
        run = await move_to(store, project, run, "in_progress", calls=[ended])
        assert await store.list_calls(project, thread, run.key) == [ended, second, third]
        await move_to(store, project, run, "completed")
        other = await active_run(store, project, thread)
        assert await store.list_calls(project, thread, other.key) == []
        await store.erase_run(project, thread, run.key, new_receipt(thread))
        gone = store.list_calls(project, thread, run.key)
        assert await not_found(gone) == ("run", run.key)

    @proof
    async def test_calls_are_their_projects(self, store: Store, project: str) -> None:
        """Another project's run is not found, nor is one of another thread."""
        thread, run = await _leased(store, project)
        other = await stored_thread(store, project)
        act = store.list_calls(new_project(), thread, run.key)
        assert await not_found(act) == ("thread", thread)
        act = store.list_calls(project, other.key, run.key)
        assert await not_found(act) == ("run", run.key)

    @proof
    async def test_what_a_run_wrote_can_change(self, store: Store, project: str) -> None:
        """A changed item keeps its seq and gets another body, with the move; others stay."""
        thread, run = await _leased(store, project)
        partial, other = reply("par", run.key), tool_call("f", run=run.key)
        run = await move_to(store, project, run, "in_progress", partial, other)
        was = await store.get_thread(project, thread)
        changed = [_with_text(partial, "partial \x00 text 🧶"), _with_text(other, "x")]
        run = await move_to(
            store, project, run, "in_progress", reply("more", run.key), changed=changed
        )
        found = await log(store, project, thread)
        assert [(item.id, item.seq) for item in found][:2] == [(partial.id, 1), (other.id, 2)]
        assert [item.body for item in found][:2] == [item.body for item in changed]
        assert [item.kind for item in found][:2] == [partial.kind, other.kind]
        assert found[2].text() == "more"
        assert (await store.get_thread(project, thread)).revision == was.revision + 1
        assert run.last_seq == 3

    @proof
    async def test_what_was_erased_stays_erased(self, store: Store, project: str) -> None:
        """A change to an erased item, or to none at all, does nothing."""
        thread, run = await _leased(store, project)
        item = reply("secret", run.key)
        run = await move_to(store, project, run, "in_progress", item)
        await store.erase_item(project, thread, item.id, T0)
        never = reply("never", run.key)
        changed = [_with_text(item, "back"), never]
        await move_to(store, project, run, "in_progress", changed=changed)
        for id in (item.id, never.id):
            assert await not_found(store.get_item(project, thread, id)) == ("item", id)
        assert await texts(store, project, thread) == []

    @proof
    async def test_a_fork_keeps_what_it_shared(self, store: Store, project: str) -> None:
        """A change is seen in the run's thread alone."""
        thread, run = await _leased(store, project)
        item = reply("old", run.key)
        run = await move_to(store, project, run, "in_progress", item)
        fork = await store.fork_thread(project, thread, new_thread())
        second = await store.fork_thread(project, fork.key, new_thread())
        await move_to(store, project, run, "completed", changed=[_with_text(item, "new")])
        assert await texts(store, project, thread) == ["new"]
        assert await texts(store, project, fork.key) == ["old"]
        assert await texts(store, project, second.key) == ["old"]

    @proof
    async def test_a_turn_begins_where_the_log_stood(self, store: Store, project: str) -> None:
        """The turn after submitted outputs is known by the seq at which it began."""
        thread = await stored_thread(store, project, "a")
        run = await store.create_run(project, new_run(thread.key), users("b"))
        run = await move_to(store, project, run, "in_progress", tool_call("f", run=run.key))
        run = await move_to(store, project, run, "requires_action")
        assert run.turn == 0
        run = await move_to(store, project, run, "queued", reply("output", run.key))
        assert (run.turn, run.last_seq) == (4, 4)
        run = await move_to(store, project, run, "in_progress", reply("c", run.key))
        assert (run.turn, run.last_seq) == (4, 5)
        assert (await end_run(store, project, run)).turn == 4


async def _leased(store: Store, project: str) -> tuple[str, Run]:
    """A thread, and its active run, which is MINE."""
    thread = (await store.create_thread(project, new_thread())).key
    return thread, await store.create_run(project, new_run(thread), lease=MINE)


async def _due(store: Store, project: str, now_ms: int) -> list[Due]:
    """What is due of this project; others share the database."""
    found = await store.list_due(now_ms, _EVERYTHING)
    return [one for one in found if one.project == project]


async def _moved(act: Awaitable[object]) -> Moved:
    """What a move is told that comes too late."""
    (outcome,) = await asyncio.gather(act, return_exceptions=True)
    assert isinstance(outcome, Moved), outcome
    return outcome


def _with_text(item: Item, text: str) -> Item:
    body = reply(text, item.run or "").body
    return msgspec.structs.replace(item, body=body, kind="user", created_at=0, seq=0)


def _call(run: Run, number: int) -> Call:
    return Call(f"{run.key}{9 - number}", run.key, "m", "scripted", T0 + number, None, 1, 1)
