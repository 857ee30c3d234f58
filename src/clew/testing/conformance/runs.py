"""Proofs about runs: one at a time holds its thread, and moves by compare-and-set."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from clew.core.errors import Busy
from clew.core.paging import Page
from clew.core.runs import MOVES, TERMINAL, Call, Run, move
from clew.store.once import Once
from clew.store.runs import Moved
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    as_it_stands,
    end_run,
    log,
    lost_race,
    new_project,
    new_receipt,
    new_run,
    new_thread,
    not_found,
    proof,
    prove_paging,
    refusal,
    replay,
    reply,
    stored_thread,
    texts,
    tool_call,
    users,
)

_ALL = Page(100, "asc")


class Runs(Proof):
    """Creating and reading runs."""

    @proof
    async def test_a_run_is_kept_as_given(self, store: Store, project: str) -> None:
        """A run keeps what it was given; only its seqs are the engine's."""
        thread = await stored_thread(store, project)
        given = new_run(
            thread.key,
            T0 - 3,
            assistant="a1",
            instructions="be \x00 brief 🧶",
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
            settings={"temperature": 0.5, "tool_choice": None, "n": {"deep": [1]}},
            metadata={"k": "a\x00b"},
            pauses=False,
            expires_at=T0 + 600_000,
        )
        made = await store.create_run(project, given)
        seqs = {"first_seq": 0, "input_seq": 0, "last_seq": 0}
        assert msgspec.structs.replace(made, **seqs) == msgspec.structs.replace(given, **seqs)
        assert await store.get_run(project, thread.key, given.key) == made

    @proof
    async def test_a_run_lands_with_its_input(self, store: Store, project: str) -> None:
        """A run and its input land together as one revision, and the run says where they are."""
        was = await stored_thread(store, project, "a", "b")
        run = await store.create_run(project, new_run(was.key, T0 + 2), users("c", "d"))
        assert (run.first_seq, run.input_seq, run.last_seq) == (3, 4, 4)
        now = await store.get_thread(project, was.key)
        assert (now.revision, now.last_seq, now.active_run) == (was.revision + 1, 4, run.key)
        assert await texts(store, project, was.key) == ["a", "b", "c", "d"]

    @proof
    async def test_a_run_without_input(self, store: Store, project: str) -> None:
        """A run without input of its own has none between its seqs, and ends where the log does."""
        for said in ([], ["a", "b"]):
            thread = await stored_thread(store, project, *said)
            run = await active_run(store, project, thread.key)
            assert (run.first_seq, run.input_seq) == (len(said) + 1, len(said))
            assert run.last_seq == len(said)

    @proof
    async def test_a_thread_is_created_with_its_run(self, store: Store, project: str) -> None:
        """A thread, its items and its run can be created by one act."""
        given = new_thread(metadata={"a": "b"})
        run = await store.create_run(project, new_run(given.key), users("a", "b"), thread=given)
        thread = await store.get_thread(project, given.key)
        assert (thread.metadata, thread.active_run) == ({"a": "b"}, run.key)
        assert (run.first_seq, run.input_seq, thread.last_seq) == (1, 2, 2)
        assert await texts(store, project, given.key) == ["a", "b"]

    @proof
    async def test_a_fork_is_created_with_its_run(self, store: Store, project: str) -> None:
        """A thread that names a parent is created as a fork of it: its run sees what it shares."""
        parent = await stored_thread(store, project, "a", "b", "c")
        given = new_thread(parent=parent.key, parent_seq=2, chain=True)
        run = await store.create_run(project, new_run(given.key), users("d"), thread=given)
        assert (run.first_seq, run.input_seq) == (3, 3)
        assert await texts(store, project, given.key) == ["a", "b", "d"]
        assert await texts(store, project, parent.key) == ["a", "b", "c"]
        made = await store.get_thread(project, given.key)
        assert (made.parent, made.parent_seq, made.chain) == (parent.key, 2, True)
        beyond = new_thread(parent=parent.key, parent_seq=4)
        refused = await refusal(store.create_run(project, new_run(beyond.key), thread=beyond))
        assert refused.code == "bad_request"
        stranger = new_thread(parent=parent.key, parent_seq=1)
        act = store.create_run(new_project(), new_run(stranger.key), thread=stranger)
        assert await not_found(act) == ("thread", parent.key)

    @proof
    async def test_a_run_can_insist_on_the_end_of_the_log(self, store: Store, project: str) -> None:
        """With `if_last_seq` a run is created only on a log that ends there; else a conflict."""
        thread = await stored_thread(store, project, "a", "b")
        was = await as_it_stands(store, project, thread.key)
        for seq in (0, 1, 3):
            error = await refusal(
                store.create_run(project, new_run(thread.key), users("c"), if_last_seq=seq)
            )
            assert error.code == "conflict"
        assert await as_it_stands(store, project, thread.key) == was
        run = await store.create_run(project, new_run(thread.key), users("c"), if_last_seq=2)
        assert run.input_seq == 3

    @proof
    async def test_one_of_two_branches_wins(self, store: Store, project: str) -> None:
        """Of many runs created at once on one thread, one is made and the others are Busy."""
        thread = await stored_thread(store, project)
        given = [new_run(thread.key) for _ in range(8)]
        acts = (store.create_run(project, run, users(run.key)) for run in given)
        answers = await asyncio.gather(*acts, return_exceptions=True)
        made = [answer for answer in answers if isinstance(answer, Run)]
        assert len(made) == 1
        assert {(type(a), a.run) for a in answers if isinstance(a, Busy)} == {(Busy, made[0].key)}
        assert await texts(store, project, thread.key) == [made[0].key]
        assert (await store.list_runs(project, thread.key, _ALL))[0] == made

    @proof
    async def test_an_active_run_holds_its_thread(self, store: Store, project: str) -> None:
        """While a run is active nobody else appends or runs: Busy names it, nothing changes."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        was = await as_it_stands(store, project, thread.key)
        for act in (
            store.append_items(project, thread.key, users("b"), T0),
            store.create_run(project, new_run(thread.key), users("b")),
        ):
            error = await refusal(act)
            assert isinstance(error, Busy)
            assert (error.thread, error.run) == (thread.key, run.key)
        assert await as_it_stands(store, project, thread.key) == was

    @proof
    async def test_a_run_holds_until_it_ends(self, store: Store, project: str) -> None:
        """A thread is held in every status that is not terminal, and free in each that is."""
        for status in MOVES:
            thread = await stored_thread(store, project)
            run = await active_run(store, project, thread.key)
            await end_run(store, project, run, status)
            append = store.append_items(project, thread.key, users("b"), T0)
            if status in TERMINAL:
                await append
                assert (await store.get_thread(project, thread.key)).active_run is None
            else:
                assert (await refusal(append)).code == "busy"

    @proof
    async def test_pages_of_runs_are_true(self, store: Store, project: str) -> None:
        """Runs are listed by creation, then key, and each page is the slice it should be."""
        thread = await stored_thread(store, project)
        other = await stored_thread(store, project)
        runs = []
        for time in (T0 + 2, T0 + 1, T0 + 2, T0 + 3, T0):
            runs.append(await store.create_run(project, new_run(thread.key, time)))
            await end_run(store, project, runs[-1])
        foreign = await active_run(store, project, other.key)
        runs.sort(key=lambda run: (run.created_at, run.key))
        await prove_paging(
            lambda page: store.list_runs(project, thread.key, page),
            [run.key for run in runs],
            lambda run: str(run.key),
        )
        for cursor in ("nobody", foreign.key):
            page = msgspec.structs.replace(_ALL, after=cursor)
            missing = await not_found(store.list_runs(project, thread.key, page))
            assert missing == ("run", cursor)

    @proof
    async def test_a_run_belongs_to_its_thread(self, store: Store, project: str) -> None:
        """A run of another thread of the project is not found here."""
        thread, other = [await stored_thread(store, project) for _ in range(2)]
        run = await active_run(store, project, other.key)
        for act in (
            store.get_run(project, thread.key, run.key),
            store.update_run(project, thread.key, run.key, {"a": "b"}),
            end_run(store, project, msgspec.structs.replace(run, thread=thread.key)),
        ):
            assert await not_found(act) == ("run", run.key)
        assert await store.get_run(project, other.key, run.key) == run


class Moves(Proof):
    """How runs go on."""

    @proof
    async def test_a_move_stores_the_next_state(self, store: Store, project: str) -> None:
        """A move stores the run as given, whole, as one revision of its thread."""
        thread = await stored_thread(store, project, "a")
        was = await active_run(store, project, thread.key)
        before = await store.get_thread(project, thread.key)
        next = move(was, "in_progress", T0 + 5, usage={"total_tokens": 3}, error={"code": "x\x00"})
        moved = await store.move_run(project, "queued", next, now_ms=T0 + 6)
        assert moved == next
        assert await store.get_run(project, thread.key, was.key) == next
        after = await store.get_thread(project, thread.key)
        assert (after.revision, after.updated_at) == (before.revision + 1, T0 + 6)

    @proof
    async def test_output_lands_with_the_move(self, store: Store, project: str) -> None:
        """A move's items land with it, after what is there, and the run knows the last."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        run = await _move(store, project, run, "in_progress", tool_call("f", run=run.key))
        assert run.last_seq == 2
        run = await _move(store, project, run, "in_progress", tool_call("g", run=run.key))
        done = await _move(
            store, project, run, "completed", reply("b", run.key), reply("c", run.key)
        )
        assert (done.first_seq, done.input_seq, done.last_seq) == (2, 1, 5)
        assert await store.get_run(project, thread.key, run.key) == done
        found = await log(store, project, thread.key)
        assert [(item.seq, item.run) for item in found] == [
            (1, None),
            *((seq, run.key) for seq in (2, 3, 4, 5)),
        ]
        assert (await store.get_thread(project, thread.key)).last_seq == 5

    @proof
    async def test_a_call_is_recorded_with_the_move(self, store: Store, project: str) -> None:
        """A move brings the record of the model call that led to it."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        for number in range(2):
            call = Call(
                f"{run.key}{number}",
                run.key,
                "m",
                "scripted",
                T0,
                T0 + 1,
                1,
                1,
                usage={"total_tokens": number},
                error={"code": "a\x00"},
            )
            run = await store.move_run(
                project,
                run.status,
                msgspec.structs.replace(run, status="in_progress"),
                now_ms=T0,
                calls=[call],
            )
        assert (await store.get_run(project, thread.key, run.key)).status == "in_progress"

    @proof
    async def test_a_late_move_changes_nothing(self, store: Store, project: str) -> None:
        """A move from a status that the run has left is told how it stands, and changes nothing."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        now = await _move(store, project, run, "in_progress")
        was = await as_it_stands(store, project, thread.key)
        late = msgspec.structs.replace(run, status="cancelled")
        act = store.move_run(project, "queued", late, [reply("late", run.key)], now_ms=T0 + 9)
        assert await lost_race(act) == now
        assert await as_it_stands(store, project, thread.key) == was

    @proof
    async def test_an_ended_run_stays_ended(self, store: Store, project: str) -> None:
        """A move that comes after the end neither moves the run nor takes the thread again."""
        thread = await stored_thread(store, project)
        run = await _move(
            store, project, await active_run(store, project, thread.key), "in_progress"
        )
        ended = await _move(store, project, run, "completed")
        successor = await active_run(store, project, thread.key)
        assert await lost_race(_move(store, project, run, "failed")) == ended
        assert (await store.get_thread(project, thread.key)).active_run == successor.key

    @proof
    async def test_one_of_many_moves_wins(self, store: Store, project: str) -> None:
        """Of many moves from the same status one is made; the others are told its outcome."""
        thread = await stored_thread(store, project)
        run = await active_run(store, project, thread.key)
        acts = (
            _move(store, project, run, "in_progress", reply(str(number), run.key))
            for number in range(8)
        )
        answers = await asyncio.gather(*acts, return_exceptions=True)
        made = [answer for answer in answers if isinstance(answer, Run)]
        told = [answer.run for answer in answers if isinstance(answer, Moved)]
        assert (len(made), told) == (1, made * 7)
        assert len(await log(store, project, thread.key)) == 1

    @proof
    async def test_metadata_of_a_run_outlives_its_moves(self, store: Store, project: str) -> None:
        """A run's metadata is replaced in any status, and no move takes it back."""
        thread = await stored_thread(store, project)
        given = new_run(thread.key, metadata={"old": "1"})
        run = await store.create_run(project, given)
        updated = await store.update_run(project, thread.key, run.key, {"new": "2"})
        assert updated == msgspec.structs.replace(run, metadata={"new": "2"})
        moved = await _move(store, project, run, "in_progress")
        assert moved.metadata == {"new": "2"}
        ended = await _move(store, project, run, "completed", was="in_progress")
        assert ended.metadata == {"new": "2"}
        await store.update_run(project, thread.key, run.key, {})
        found = await store.get_run(project, thread.key, run.key)
        assert (found.status, found.metadata) == ("completed", {})

    @proof
    async def test_a_fork_is_no_hindrance_to_a_run(self, store: Store, project: str) -> None:
        """A run goes on while its thread is forked and the fork erased."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        fork = await store.fork_thread(project, thread.key, new_thread())
        await store.erase_thread(project, fork.key, new_receipt(fork.key))
        await _move(store, project, run, "in_progress", reply("b", run.key))
        assert await texts(store, project, thread.key) == ["a", "b"]


class RunErasure(Proof):
    """A run is erased: with what it said in a chain, without it in a thread that people named."""

    @proof
    async def test_a_conversation_keeps_what_an_erased_run_said(
        self, store: Store, project: str
    ) -> None:
        """The run and its calls are gone, the items are the thread's and stay."""
        thread = await stored_thread(store, project, "a")
        run = await _answered(store, project, thread.key, "b", "c")
        receipt = new_receipt(thread.key, T0 + 5)
        done = await store.erase_run(project, thread.key, run.key, receipt)
        assert done == msgspec.structs.replace(receipt, runs=1, items=0)
        assert await texts(store, project, thread.key) == ["a", "b", "c"]
        gone = store.get_run(project, thread.key, run.key)
        assert await not_found(gone) == ("run", run.key)
        assert await store.list_runs(project, thread.key, Page()) == ([], False)
        assert (await store.get_thread(project, thread.key)).updated_at == T0 + 5

    @proof
    async def test_a_chain_loses_what_an_erased_run_said(self, store: Store, project: str) -> None:
        """Its input and output lose their content; what came before and after stays."""
        chain = await store.create_thread(project, new_thread(chain=True))
        first, middle, last = [
            await _answered(store, project, chain.key, text, text.upper()) for text in "abc"
        ]
        receipt = new_receipt(chain.key)
        done = await store.erase_run(project, chain.key, middle.key, receipt)
        assert (done.runs, done.items) == (1, 2)
        assert await texts(store, project, chain.key) == ["a", "A", "c", "C"]
        assert await store.get_run(project, chain.key, last.key) == last
        assert await store.get_run(project, chain.key, first.key) == first

    @proof
    async def test_the_last_run_of_a_chain_takes_the_chain_with_it(
        self, store: Store, project: str
    ) -> None:
        """A chain that holds nothing else is erased as a thread; its forks go on showing it."""
        chain = await store.create_thread(project, new_thread(chain=True))
        first = await _answered(store, project, chain.key, "a", "A")
        fork = new_thread(parent=chain.key, parent_seq=first.last_seq, chain=True)
        on = new_run(fork.key)
        await store.create_run(project, on, users("b"), thread=fork)
        receipt = new_receipt(chain.key)
        done = await store.erase_run(project, chain.key, first.key, receipt)
        assert (done.runs, done.kept_by) == (1, [fork.key])
        gone = store.get_thread(project, chain.key)
        assert await not_found(gone) == ("thread", chain.key)
        assert await texts(store, project, fork.key) == ["a", "A", "b"]

    @proof
    async def test_a_chain_that_people_wrote_to_stays(self, store: Store, project: str) -> None:
        """Items that are no run's are nobody's to take along."""
        chain = await store.create_thread(project, new_thread(chain=True))
        run = await _answered(store, project, chain.key, "a", "A")
        await store.append_items(project, chain.key, users("mine"), T0 + 1)
        await store.erase_run(project, chain.key, run.key, new_receipt(chain.key))
        assert await texts(store, project, chain.key) == ["mine"]

    @proof
    async def test_an_active_run_can_be_erased(self, store: Store, project: str) -> None:
        """Its thread is free at once, and its next move is refused."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        await store.erase_run(project, thread.key, run.key, new_receipt(thread.key))
        await store.append_items(project, thread.key, users("b"), T0 + 1)
        move = store.move_run(project, "queued", run, now_ms=T0 + 2)
        assert await not_found(move) == ("run", run.key)

    @proof
    async def test_recorded_answers_forget_an_erased_run(self, store: Store, project: str) -> None:
        """An answer that showed the run is not said again; its key stays used."""
        thread = await stored_thread(store, project)
        run = new_run(thread.key, instructions="Secret.")
        once = Once("k", "f", T0, msgspec.json.encode)
        made = await store.create_run(project, run, once=once)
        await end_run(store, project, made)
        await store.erase_run(project, thread.key, run.key, new_receipt(thread.key))
        refused = await refusal(store.create_run(project, run, once=once))
        assert refused.code == "not_found"

    @proof
    async def test_erasing_a_run_is_done_once(self, store: Store, project: str) -> None:
        """A retry with the same key gets the first answer; without it the run is not found."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        once = Once("k", "f", T0, lambda receipt: receipt.id.encode())
        receipt = new_receipt(thread.key)
        await store.erase_run(project, thread.key, run.key, receipt, once=once)
        again = store.erase_run(project, thread.key, run.key, receipt, once=once)
        assert await replay(again) == receipt.id.encode()
        third = store.erase_run(project, thread.key, run.key, new_receipt(thread.key))
        assert await not_found(third) == ("run", run.key)

    @proof
    async def test_a_run_is_erased_by_its_project(self, store: Store, project: str) -> None:
        """For another project it is not there."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        act = store.erase_run(new_project(), thread.key, run.key, new_receipt(thread.key))
        assert await not_found(act) == ("thread", thread.key)
        assert await store.get_run(project, thread.key, run.key) == run


async def _answered(store: Store, project: str, thread: str, said: str, answer: str) -> Run:
    """A run that was asked something and has answered."""
    run = await store.create_run(project, new_run(thread), users(said))
    ended = msgspec.structs.replace(run, status="completed", completed_at=T0 + 1)
    output = [reply(answer, run.key)]
    return await store.move_run(project, "queued", ended, output, now_ms=T0 + 1)


async def _move(
    store: Store, project: str, run: Run, status: str, *items: Any, was: str | None = None
) -> Run:
    next = msgspec.structs.replace(run, status=status)
    return await store.move_run(project, was or run.status, next, items, now_ms=T0 + 1)
