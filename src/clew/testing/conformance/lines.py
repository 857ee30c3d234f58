"""Proofs about the line of a busy thread: who waits, for whom, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from clew.core.busy import ON_BUSY, OnBusy
from clew.core.errors import Busy
from clew.core.items import Item
from clew.core.paging import Page
from clew.core.runs import Run
from clew.store.once import Once
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
    queued_run,
    refusal,
    replay,
    reply,
    stored_thread,
    texts,
    user,
    users,
)

QUEUE, REJECT = OnBusy("queue"), OnBusy("reject")
INTERRUPT, ROLLBACK, STEER = OnBusy("interrupt"), OnBusy("rollback"), OnBusy("steer")
_ALL = Page(100, "asc")


class Lines(Proof):
    """The line of a busy thread: first in, first out."""

    @proof
    async def test_who_is_rejected_changes_nothing(self, store: Store, project: str) -> None:
        """With "reject", which holds when nobody says another, it is Busy: run and items."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        was = await as_it_stands(store, project, thread.key)
        for act in (
            store.create_run(project, new_run(thread.key), users("b")),
            store.create_run(project, new_run(thread.key), users("b"), on_busy=REJECT),
            store.append_items(project, thread.key, users("b"), T0 + 1),
            store.append_items(project, thread.key, users("b"), T0 + 1, on_busy=REJECT),
        ):
            refused = await refusal(act)
            assert isinstance(refused, Busy)
            assert (refused.thread, refused.run) == (thread.key, run.key)
        assert await as_it_stands(store, project, thread.key) == was

    @proof
    async def test_the_request_says_it_before_the_thread(self, store: Store, project: str) -> None:
        """The policy of the request holds, else the thread's, else the project's."""
        for asked, set, default, waits in (
            ("queue", "reject", "reject", True),
            ("reject", "queue", "queue", False),
            (None, "queue", "reject", True),
            (None, "reject", "queue", False),
            (None, None, "queue", True),
            (None, None, "reject", False),
        ):
            thread = await store.create_thread(project, new_thread(on_busy=set))
            await active_run(store, project, thread.key)
            on_busy = OnBusy(asked, default)
            for act in (
                store.create_run(project, new_run(thread.key), on_busy=on_busy),
                store.append_items(project, thread.key, users("b"), T0, on_busy=on_busy),
            ):
                (outcome,) = await asyncio.gather(act, return_exceptions=True)
                assert isinstance(outcome, Busy) is not waits, (asked, set, default)

    @proof
    async def test_a_thread_keeps_its_policy(self, store: Store, project: str) -> None:
        """A thread has the policy it was created with, or given later; None leaves it."""
        thread = await store.create_thread(project, new_thread(on_busy="steer"))
        assert thread.on_busy == "steer"
        for policy in ON_BUSY:
            updated = await store.update_thread(project, thread.key, T0 + 1, on_busy=policy)
            assert updated.on_busy == policy
        await store.update_thread(project, thread.key, T0 + 2, metadata={"a": "b"})
        found = await store.get_thread(project, thread.key)
        assert (found.on_busy, found.metadata) == (ON_BUSY[-1], {"a": "b"})
        fork = await store.fork_thread(project, thread.key, new_thread())
        assert fork.on_busy is None

    @proof
    async def test_a_run_in_line_is_visible(self, store: Store, project: str) -> None:
        """It is queued and has its place; neither it nor its input is in the log yet."""
        thread = await stored_thread(store, project, "a")
        first = await active_run(store, project, thread.key)
        given = new_run(thread.key, T0 + 1, metadata={"k": "v"}, instructions="be brief")
        second = await store.create_run(project, given, users("b"), on_busy=QUEUE)
        assert second == msgspec.structs.replace(given, place=1)
        third = await queued_run(store, project, thread.key, "c", at=T0 + 2)
        assert (third.place, third.status) == (2, "queued")
        runs, _ = await store.list_runs(project, thread.key, _ALL)
        assert [(run.key, run.place) for run in runs] == [
            (first.key, None),
            (second.key, 1),
            (third.key, 2),
        ]
        assert await store.get_run(project, thread.key, third.key) == third
        found = await store.get_thread(project, thread.key)
        assert (found.active_run, found.last_seq) == (first.key, 1)
        assert await texts(store, project, thread.key) == ["a"]

    @proof
    async def test_a_run_in_line_comes_to_its_turn(self, store: Store, project: str) -> None:
        """Who ends goes on with the line: the next run holds the thread, after all before it."""
        thread = await stored_thread(store, project, "a")
        first = await active_run(store, project, thread.key)
        given = new_run(thread.key, T0 + 1, expires_at=T0 + 1 + 600)
        waiting = await store.create_run(project, given, users("b", "c"), on_busy=QUEUE)
        output = [reply("A", first.key)]
        done = msgspec.structs.replace(first, status="completed")
        done = await store.move_run(project, "queued", done, output, now_ms=T0 + 5_000)
        assert (done.next_run, done.last_seq) == (waiting.key, 2)
        assert await store.get_run(project, thread.key, first.key) == done
        found = await store.get_run(project, thread.key, waiting.key)
        assert (found.place, found.status, found.attempts) == (None, "queued", 0)
        assert (found.first_seq, found.input_seq, found.last_seq) == (3, 4, 4)
        assert found.expires_at == T0 + 5_000 + 600
        assert (await store.get_thread(project, thread.key)).active_run == waiting.key
        assert await texts(store, project, thread.key) == ["a", "A", "b", "c"]

    @proof
    async def test_64_runs_come_at_once(self, store: Store, project: str) -> None:
        """One holds the thread, 63 have places behind it, and each sees all that came before."""
        thread = await stored_thread(store, project)
        acts = (queued_run(store, project, thread.key, str(number)) for number in range(64))
        made = await asyncio.gather(*acts)
        ordered = sorted(made, key=lambda run: run.place or 0)
        assert [run.place or 0 for run in ordered] == [*range(64)]
        said = [await _input(store, project, thread.key, ordered[0])]
        for before, after in pairwise(ordered):
            ended = await _answer(store, project, before)
            assert ended.next_run == after.key
            found = await store.get_run(project, thread.key, after.key)
            assert (found.place, found.first_seq) == (None, ended.last_seq + 1)
            said += [f"re {said[-1]}", await _input(store, project, thread.key, found)]
            assert await texts(store, project, thread.key) == said
        last = await _answer(store, project, ordered[-1])
        assert last.next_run is None
        assert (await store.get_thread(project, thread.key)).active_run is None
        assert len(await log(store, project, thread.key)) == 128

    @proof
    async def test_a_message_in_line_lands_before_a_later_run(
        self, store: Store, project: str
    ) -> None:
        """Items that come alone are in line like runs are; they end in the log, and free nobody."""
        thread = await stored_thread(store, project, "a")
        first = await active_run(store, project, thread.key)
        was = await store.get_thread(project, thread.key)
        given = users("b", "c")
        end = await store.append_items(project, thread.key, given, T0 + 1, on_busy=QUEUE)
        assert end == (was.revision + 1, 1)
        assert [item.seq for item in given] == [0, 0]
        second = await queued_run(store, project, thread.key, "d")
        await store.append_items(project, thread.key, users("e"), T0 + 1, on_busy=QUEUE)
        assert second.place == 1
        assert (await end_run(store, project, first)).next_run == second.key
        assert await texts(store, project, thread.key) == ["a", "b", "c", "d"]
        found = await store.get_run(project, thread.key, second.key)
        assert (found.first_seq, found.input_seq) == (4, 4)
        assert (await end_run(store, project, found)).next_run is None
        assert await texts(store, project, thread.key) == ["a", "b", "c", "d", "e"]
        await store.append_items(project, thread.key, users("f"), T0 + 2)
        assert (await store.get_thread(project, thread.key)).last_seq == 6

    @proof
    async def test_ids_in_line_are_taken(self, store: Store, project: str) -> None:
        """An id that is in the log or in line is refused to newcomers and to the run's output."""
        thread = await stored_thread(store, project, "a")
        (logged,) = await log(store, project, thread.key)
        run = await active_run(store, project, thread.key)
        waiting = user("b")
        await store.append_items(project, thread.key, [waiting], T0, on_busy=QUEUE)
        was = await as_it_stands(store, project, thread.key)
        for taken in (logged, waiting):
            new = msgspec.structs.replace(taken, seq=0)
            moved = msgspec.structs.replace(run, status="in_progress")
            for on_busy in (QUEUE, STEER, INTERRUPT, ROLLBACK):
                for act in (
                    store.append_items(project, thread.key, [user("c"), new], T0, on_busy=on_busy),
                    store.create_run(project, new_run(thread.key), [new], on_busy=on_busy),
                ):
                    assert (await refusal(act)).code == "conflict"
            output = store.move_run(project, "queued", moved, [new], now_ms=T0)
            assert (await refusal(output)).code == "conflict"
        twin = user("d")
        twice = store.append_items(project, thread.key, [twin, twin], T0, on_busy=QUEUE)
        assert (await refusal(twice)).code == "conflict"
        assert await as_it_stands(store, project, thread.key) == was

    @proof
    async def test_what_waits_is_found_by_its_id(self, store: Store, project: str) -> None:
        """An item in line can be read, changed and erased by its id, and by nothing else."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        kept, gone = users("b", "c")
        await store.append_items(project, thread.key, [kept, gone], T0, on_busy=QUEUE)
        assert await store.get_item(project, thread.key, kept.id) == kept
        changed = await store.update_item(project, thread.key, kept.id, {"k": "v"}, T0 + 1)
        assert changed.seq == 0
        assert await store.get_item(project, thread.key, kept.id) == changed
        was = await store.get_thread(project, thread.key)
        now = await store.erase_item(project, thread.key, gone.id, T0 + 2)
        assert (now.revision, now.last_seq) == (was.revision + 1, 1)
        gone_is = ("item", gone.id)
        assert await not_found(store.get_item(project, thread.key, gone.id)) == gone_is
        cursor = store.list_items(project, thread.key, Page(after=kept.id))
        assert await not_found(cursor) == ("item", kept.id)
        point = store.fork_thread(project, thread.key, new_thread(), at_item=kept.id)
        assert await not_found(point) == ("item", kept.id)
        assert len(await store.read_items(project, thread.key, below=99, limit=9)) == 1
        await end_run(store, project, run)
        found = await log(store, project, thread.key)
        assert [item.text() for item in found] == ["a", "b"]
        assert found[1] == msgspec.structs.replace(changed, seq=2)

    @proof
    async def test_recorded_answers_forget_what_waited(self, store: Store, project: str) -> None:
        """An answer that showed an item in line is not said again once that is erased."""
        thread = await stored_thread(store, project)
        await active_run(store, project, thread.key)
        item = user("secret")
        once = Once("k", "f", T0, lambda _: item.id.encode())
        act = store.append_items(project, thread.key, [item], T0, on_busy=QUEUE, once=once)
        await act
        await store.erase_item(project, thread.key, item.id, T0 + 1)
        again = store.append_items(project, thread.key, [item], T0, on_busy=QUEUE, once=once)
        assert (await refusal(again)).code == "not_found"

    @proof
    async def test_a_run_in_line_is_queued_once(self, store: Store, project: str) -> None:
        """A retry with its key gets the first answer, in line and later; nothing waits twice."""
        thread = await stored_thread(store, project)
        first = await active_run(store, project, thread.key)
        once = Once("k", "f", T0, lambda run: f"{run.key} {run.place}".encode())
        given, said = new_run(thread.key), users("b")
        await store.create_run(project, given, said, on_busy=QUEUE, once=once)
        for _ in range(2):
            again = store.create_run(project, given, said, on_busy=QUEUE, once=once)
            assert await replay(again) == f"{given.key} 1".encode()
            if first.status == "queued":
                first = await end_run(store, project, first)
        assert await texts(store, project, thread.key) == ["b"]
        assert (await store.list_runs(project, thread.key, _ALL))[0][-1].place is None

    @proof
    async def test_a_run_cancelled_in_line_leaves_its_input(
        self, store: Store, project: str
    ) -> None:
        """It never held the thread; what was said stays said, and who is behind it moves up."""
        thread = await stored_thread(store, project)
        first = await active_run(store, project, thread.key)
        second, third = [await queued_run(store, project, thread.key, text) for text in "bc"]
        cancelled = await end_run(store, project, second, "cancelled")
        assert (cancelled.place, cancelled.next_run) == (None, None)
        found = await store.get_thread(project, thread.key)
        assert (found.active_run, found.last_seq) == (first.key, 0)
        assert (await store.get_run(project, thread.key, third.key)).place == 1
        assert (await end_run(store, project, first)).next_run == third.key
        assert await texts(store, project, thread.key) == ["b", "c"]
        found_second = await store.get_run(project, thread.key, second.key)
        assert found_second == cancelled

    @proof
    async def test_who_moves_a_run_may_be_late(self, store: Store, project: str) -> None:
        """A run whose turn has come meanwhile keeps the seqs it got, whoever moves it."""
        thread = await stored_thread(store, project, "a")
        first = await active_run(store, project, thread.key)
        waiting = await queued_run(store, project, thread.key, "b")
        await end_run(store, project, first)
        late = await end_run(store, project, waiting, "cancelled")
        assert (late.first_seq, late.input_seq, late.last_seq) == (2, 2, 2)
        assert (await store.get_thread(project, thread.key)).active_run is None

    @proof
    async def test_a_fork_does_not_take_the_line_along(self, store: Store, project: str) -> None:
        """It shares the log alone: nothing waits in it, and its run ends without a next."""
        thread = await stored_thread(store, project, "a")
        first = await active_run(store, project, thread.key)
        waiting = user("b")
        await store.append_items(project, thread.key, [waiting], T0, on_busy=QUEUE)
        fork = await store.fork_thread(project, thread.key, new_thread())
        missing = store.get_item(project, fork.key, waiting.id)
        assert await not_found(missing) == ("item", waiting.id)
        run = await active_run(store, project, fork.key)
        assert (await end_run(store, project, run)).next_run is None
        await end_run(store, project, first)
        assert await texts(store, project, fork.key) == ["a"]
        assert await texts(store, project, thread.key) == ["a", "b"]

    @proof
    async def test_the_line_is_its_projects(self, store: Store, project: str) -> None:
        """Nobody else can stand in it, or see or touch what waits."""
        thread = await stored_thread(store, project)
        await active_run(store, project, thread.key)
        waiting, stranger = user("b"), new_project()
        await store.append_items(project, thread.key, [waiting], T0, on_busy=QUEUE)
        for act in (
            store.create_run(stranger, new_run(thread.key), on_busy=QUEUE),
            store.append_items(stranger, thread.key, users("c"), T0, on_busy=QUEUE),
            store.get_item(stranger, thread.key, waiting.id),
            store.update_item(stranger, thread.key, waiting.id, {}, T0),
            store.erase_item(stranger, thread.key, waiting.id, T0),
            store.update_thread(stranger, thread.key, T0, on_busy="queue"),
        ):
            assert await not_found(act) == ("thread", thread.key)
        assert await store.get_item(project, thread.key, waiting.id) == waiting


class LineErasure(Proof):
    """What becomes of the line when something is erased."""

    @proof
    async def test_a_thread_takes_its_line_along(self, store: Store, project: str) -> None:
        """Its runs in line count, and nothing of them is there when the key is used again."""
        thread = await stored_thread(store, project)
        await active_run(store, project, thread.key)
        waiting = user("b")
        await store.append_items(project, thread.key, [waiting], T0, on_busy=QUEUE)
        await queued_run(store, project, thread.key, "c")
        done = await store.erase_thread(project, thread.key, new_receipt(thread.key))
        assert (done.runs, done.items) == (2, 0)
        await store.create_thread(project, new_thread(key=thread.key))
        run = await active_run(store, project, thread.key)
        missing = store.get_item(project, thread.key, waiting.id)
        assert await not_found(missing) == ("item", waiting.id)
        assert (await end_run(store, project, run)).next_run is None
        assert await texts(store, project, thread.key) == []

    @proof
    async def test_erasing_the_active_run_goes_on_with_the_line(
        self, store: Store, project: str
    ) -> None:
        """Its thread is free, and so the next one's turn comes."""
        for chain in (False, True):
            thread = await store.create_thread(project, new_thread(chain=chain))
            first = await store.create_run(project, new_run(thread.key), users("a"))
            second = await queued_run(store, project, thread.key, "b")
            receipt = new_receipt(thread.key, T0 + 9)
            await store.erase_run(project, thread.key, first.key, receipt)
            found = await store.get_run(project, thread.key, second.key)
            assert (found.place, found.attempts) == (None, 0)
            assert (await store.get_thread(project, thread.key)).active_run == second.key
            assert await texts(store, project, thread.key) == (["b"] if chain else ["a", "b"])

    @proof
    async def test_a_run_in_line_is_erased(self, store: Store, project: str) -> None:
        """In a thread its input waits on; in a chain it goes, and nothing else does."""
        for chain in (False, True):
            thread = await store.create_thread(project, new_thread(chain=chain), users("a"))
            first = await active_run(store, project, thread.key)
            said = user("b")
            given = new_run(thread.key)
            await store.create_run(project, given, [said], on_busy=QUEUE)
            last = await queued_run(store, project, thread.key, "c")
            done = await store.erase_run(project, thread.key, given.key, new_receipt(thread.key))
            assert (done.runs, done.items) == (1, int(chain))
            missing = store.get_run(project, thread.key, given.key)
            assert await not_found(missing) == ("run", given.key)
            assert (await store.get_run(project, thread.key, last.key)).place == 1
            assert (await end_run(store, project, first)).next_run == last.key
            expected = ["a", "c"] if chain else ["a", "b", "c"]
            assert await texts(store, project, thread.key) == expected

    @proof
    async def test_a_chain_with_a_line_stays(self, store: Store, project: str) -> None:
        """What waits is something else that it holds when its only run is erased."""
        chain = await store.create_thread(project, new_thread(chain=True))
        run = await store.create_run(project, new_run(chain.key), users("a"))
        await store.append_items(project, chain.key, users("b"), T0, on_busy=QUEUE)
        await store.erase_run(project, chain.key, run.key, new_receipt(chain.key))
        assert await texts(store, project, chain.key) == ["b"]


async def _answer(store: Store, project: str, run: Run) -> Run:
    """The run completes, and answers to its input."""
    said = await _input(store, project, run.thread, run)
    return await move_to(store, project, run, "completed", reply(f"re {said}", run.key))


async def _input(store: Store, project: str, thread: str, run: Run) -> str:
    """What was said to a run whose turn has come."""
    stands = await store.get_run(project, thread, run.key)
    items: Sequence[Item] = await store.read_items(
        project, thread, below=stands.input_seq + 1, limit=1
    )
    return items[0].text()
