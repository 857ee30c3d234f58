"""Proofs about forks: they share what was there and nothing that comes after."""

from __future__ import annotations

from clew.core.ids import new_key
from clew.core.paging import Page
from clew.core.threads import Thread
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    as_it_stands,
    log,
    new_receipt,
    new_thread,
    not_found,
    proof,
    prove_paging,
    refusal,
    reply,
    stored_thread,
    texts,
    users,
)


class Forks(Proof):
    """Forking, and the life of forks and parents after it."""

    @proof
    async def test_a_fork_shares_up_to_an_item(self, store: Store, project: str) -> None:
        """A fork at an item shares the log up to and including it."""
        parent = await stored_thread(store, project, "a", "b", "c")
        item = (await log(store, project, parent.key))[1].id
        given = new_thread(T0 + 4, metadata={"why": "retry"})
        fork = await store.fork_thread(project, parent.key, given, at_item=item)
        assert (fork.key, fork.created_at, fork.metadata) == (given.key, T0 + 4, {"why": "retry"})
        assert (fork.parent, fork.parent_seq, fork.last_seq) == (parent.key, 2, 2)
        assert await store.get_thread(project, fork.key) == fork
        shared = (await log(store, project, parent.key))[:2]
        assert await log(store, project, fork.key) == shared

    @proof
    async def test_a_fork_shares_up_to_a_seq(self, store: Store, project: str) -> None:
        """A fork at a seq shares the log up to and including it."""
        parent = await stored_thread(store, project, "a", "b", "c")
        for seq in (1, 2, 3):
            fork = await store.fork_thread(project, parent.key, new_thread(), at_seq=seq)
            assert (fork.parent_seq, fork.last_seq) == (seq, seq)
            assert await texts(store, project, fork.key) == ["a", "b", "c"][:seq]

    @proof
    async def test_a_fork_shares_the_whole_log(self, store: Store, project: str) -> None:
        """Without an item or a seq a fork shares all there is, and an empty parent's is empty."""
        for said in ([], ["a", "b"]):
            parent = await stored_thread(store, project, *said)
            fork = await _fork(store, project, parent.key)
            assert (fork.parent, fork.parent_seq) == (parent.key, len(said))
            assert await texts(store, project, fork.key) == said
            await store.append_items(project, fork.key, users("c"), T0)
            assert await texts(store, project, fork.key) == [*said, "c"]

    @proof
    async def test_a_fork_does_not_change_its_parent(self, store: Store, project: str) -> None:
        """Forking is no change of the parent: its revision and times are as they were."""
        parent = await stored_thread(store, project, "a", "b")
        was = await as_it_stands(store, project, parent.key)
        await _fork(store, project, parent.key)
        assert await as_it_stands(store, project, parent.key) == was

    @proof
    async def test_a_fork_needs_a_point_that_is_there(self, store: Store, project: str) -> None:
        """An item that the parent does not have is not found, a seq is refused; no fork is made."""
        parent, given = await stored_thread(store, project, "a", "b"), new_thread()
        fork = store.fork_thread(project, parent.key, given, at_item="msg_nobody")
        assert await not_found(fork) == ("item", "msg_nobody")
        for seq in (-1, 3):
            error = await refusal(store.fork_thread(project, parent.key, given, at_seq=seq))
            assert error.status in (400, 404)
        assert await not_found(store.get_thread(project, given.key)) == ("thread", given.key)

    @proof
    async def test_an_erased_item_is_no_point_to_fork_at(self, store: Store, project: str) -> None:
        """An erased item is not found, so nothing can be forked at it."""
        parent = await stored_thread(store, project, "a", "b")
        item = (await log(store, project, parent.key))[0].id
        await store.erase_item(project, parent.key, item, T0)
        fork = store.fork_thread(project, parent.key, new_thread(), at_item=item)
        assert await not_found(fork) == ("item", item)

    @proof
    async def test_parent_and_fork_grow_apart(self, store: Store, project: str) -> None:
        """What is appended to one is not in the other, and seqs go on from the fork point."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork = await _fork(store, project, parent.key, 2)
        await store.append_items(project, parent.key, users("d"), T0)
        assert (await store.append_items(project, fork.key, users("x", "y"), T0))[1] == 4
        await store.append_items(project, parent.key, users("e"), T0)
        assert await texts(store, project, parent.key) == ["a", "b", "c", "d", "e"]
        assert await texts(store, project, fork.key) == ["a", "b", "x", "y"]
        assert [item.seq for item in await log(store, project, fork.key)] == [1, 2, 3, 4]

    @proof
    async def test_a_fork_does_not_have_later_items(self, store: Store, project: str) -> None:
        """An item after the fork point cannot be read, changed, erased or paged from in a fork."""
        parent = await stored_thread(store, project, "a", "b")
        fork = await _fork(store, project, parent.key, 1)
        later = (await log(store, project, parent.key))[1].id
        await store.append_items(project, fork.key, users("x"), T0)
        own = (await log(store, project, fork.key))[1].id
        for thread, item in ((fork.key, later), (parent.key, own)):
            for act in (
                store.get_item(project, thread, item),
                store.update_item(project, thread, item, {"a": "b"}, T0),
                store.erase_item(project, thread, item, T0),
                store.list_items(project, thread, Page(after=item)),
            ):
                assert await not_found(act) == ("item", item)

    @proof
    async def test_shared_items_are_read_by_id(self, store: Store, project: str) -> None:
        """A shared item has the same id and content in the parent and in each fork."""
        parent = await stored_thread(store, project, "a", "b")
        fork = await _fork(store, project, (await _fork(store, project, parent.key)).key)
        for item in await log(store, project, parent.key):
            assert await store.get_item(project, fork.key, item.id) == item

    @proof
    async def test_pages_cross_the_fork_points(self, store: Store, project: str) -> None:
        """Pages of a fork of a fork are slices of one log, whoever holds its parts."""
        key = (await stored_thread(store, project, "a", "b", "c")).key
        for seq, said in ((3, ["d", "e"]), (4, ["f"]), (5, ["g", "h"])):
            await store.append_items(project, key, users("not shared"), T0)
            fork = await _fork(store, project, key, seq)
            key = fork.key
            await store.append_items(project, key, users(*said), T0)
        found = await log(store, project, key)
        assert "".join(item.text()[:1] for item in found) == "abcdfgh"
        assert [item.seq for item in found] == list(range(1, 8))
        await prove_paging(
            lambda page: store.list_items(project, key, page),
            [item.id for item in found],
            lambda item: str(item.id),
        )
        for below in range(1, 9):
            read = await store.read_items(project, key, below=below, limit=4)
            assert read == found[: below - 1][::-1][:4]

    @proof
    async def test_a_fork_in_the_grandparents_part(self, store: Store, project: str) -> None:
        """A fork of a fork may end before the first fork point."""
        parent = await stored_thread(store, project, "a", "b", "c")
        middle = await _fork(store, project, parent.key, 3)
        fork = await _fork(store, project, middle.key, 1)
        assert (fork.parent, fork.parent_seq) == (middle.key, 1)
        await store.append_items(project, fork.key, users("x"), T0)
        assert await texts(store, project, fork.key) == ["a", "x"]

    @proof
    async def test_a_filter_reaches_shared_items(self, store: Store, project: str) -> None:
        """Filters by kind and by run hold for shared items as for the fork's own."""
        parent = await stored_thread(store, project, "a")
        run = await active_run(store, project, parent.key)
        await store.move_run(project, run.status, run, [reply("b", run.key)], now_ms=T0)
        fork = await _fork(store, project, parent.key)
        await store.append_items(project, fork.key, users("c"), T0)
        for kinds, of_run, expected in (
            (["user"], None, ["a", "c"]),
            (["assistant"], None, ["b"]),
            (None, run.key, ["b"]),
        ):
            page = Page(9, "asc")
            found, _ = await store.list_items(project, fork.key, page, kinds=kinds, run=of_run)
            assert [item.text() for item in found] == expected

    @proof
    async def test_a_thread_is_forked_under_its_run(self, store: Store, project: str) -> None:
        """A thread can be forked while a run is active; the fork is free and has no runs."""
        parent = await stored_thread(store, project, "a")
        await active_run(store, project, parent.key)
        fork = await _fork(store, project, parent.key)
        assert fork.active_run is None
        assert await store.list_runs(project, fork.key, Page()) == ([], False)
        await store.append_items(project, fork.key, users("b"), T0)
        assert await texts(store, project, fork.key) == ["a", "b"]

    @proof
    async def test_a_change_in_the_parent_stays_there(self, store: Store, project: str) -> None:
        """What is changed or erased in the parent after the fork is as it was in the fork."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork = await _fork(store, project, parent.key)
        was = await as_it_stands(store, project, fork.key)
        await _spoil(store, project, parent.key)
        assert await as_it_stands(store, project, fork.key) == was

    @proof
    async def test_a_change_in_a_fork_stays_there(self, store: Store, project: str) -> None:
        """What is changed or erased in a fork is as it was in the parent and in other forks."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork, twin = [await _fork(store, project, parent.key) for _ in range(2)]
        was = [await as_it_stands(store, project, key) for key in (parent.key, twin.key)]
        await _spoil(store, project, fork.key)
        now = [await as_it_stands(store, project, key) for key in (parent.key, twin.key)]
        assert now == was
        assert await texts(store, project, fork.key) == ["a", "c", "new"]

    @proof
    async def test_a_fork_of_a_changed_log(self, store: Store, project: str) -> None:
        """A fork, and a fork of it, begin with what was changed and without what was erased."""
        parent = await stored_thread(store, project, "a", "b", "c")
        for key in (parent.key, (await _fork(store, project, parent.key)).key):
            await _spoil(store, project, key)
            fork = await _fork(store, project, (await _fork(store, project, key)).key)
            assert await log(store, project, fork.key) == await log(store, project, key)

    @proof
    async def test_an_erased_seq_can_be_forked_at(self, store: Store, project: str) -> None:
        """A seq stays a point to fork at when its item was erased."""
        parent = await stored_thread(store, project, "a", "b", "c")
        item = (await log(store, project, parent.key))[1].id
        await store.erase_item(project, parent.key, item, T0)
        fork = await _fork(store, project, parent.key, 2)
        assert (fork.last_seq, await texts(store, project, fork.key)) == (2, ["a"])

    @proof
    async def test_a_shared_item_is_erased_on_one_side_then_the_other(
        self, store: Store, project: str
    ) -> None:
        """An item erased in the fork and then in the parent is in neither."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork = await _fork(store, project, parent.key)
        item = (await log(store, project, parent.key))[1].id
        for key in (fork.key, parent.key):
            await store.erase_item(project, key, item, T0)
            assert await texts(store, project, key) == ["a", "c"]
            assert await not_found(store.get_item(project, key, item)) == ("item", item)

    @proof
    async def test_forks_outlive_their_parent(self, store: Store, project: str) -> None:
        """When the parent is erased its forks keep what they share, and go on."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork = await _fork(store, project, parent.key, 2)
        grandchild = await _fork(store, project, fork.key, 1)
        await _erase(store, project, parent.key)
        assert await texts(store, project, fork.key) == ["a", "b"]
        assert await texts(store, project, grandchild.key) == ["a"]
        await _erase(store, project, fork.key)
        await store.append_items(project, grandchild.key, users("x"), T0)
        assert await texts(store, project, grandchild.key) == ["a", "x"]
        late = await _fork(store, project, grandchild.key)
        assert await texts(store, project, late.key) == ["a", "x"]

    @proof
    async def test_an_orphan_is_changed_like_any_thread(self, store: Store, project: str) -> None:
        """Items shared with an erased parent can be changed and erased in the fork."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork = await _fork(store, project, parent.key)
        await _erase(store, project, parent.key)
        await _spoil(store, project, fork.key)
        assert await texts(store, project, fork.key) == ["a", "c", "new"]

    @proof
    async def test_a_parent_outlives_its_forks(self, store: Store, project: str) -> None:
        """When a fork is erased the parent and the other forks are as they were."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork, twin = [await _fork(store, project, parent.key) for _ in range(2)]
        await store.append_items(project, fork.key, users("x"), T0)
        was = [await as_it_stands(store, project, key) for key in (parent.key, twin.key)]
        await _erase(store, project, fork.key)
        now = [await as_it_stands(store, project, key) for key in (parent.key, twin.key)]
        assert now == was
        assert (await not_found(store.get_thread(project, fork.key)))[0] == "thread"

    @proof
    async def test_the_receipt_names_the_forks_that_keep_items(
        self, store: Store, project: str
    ) -> None:
        """The receipt names the forks that go on showing items, and no others."""
        parent = await stored_thread(store, project, "a", "b", "c")
        keeping = await _fork(store, project, parent.key, 2)
        gone = await _fork(store, project, parent.key, 3)
        assert (await _erase(store, project, gone.key)) == []
        await stored_thread(store, project, "unrelated")
        assert (await _erase(store, project, parent.key)) == [keeping.key]
        assert (await _erase(store, project, keeping.key)) == []

    @proof
    async def test_the_receipt_names_forks_of_forks(self, store: Store, project: str) -> None:
        """A fork of a fork keeps items too; a fork that was erased keeps none."""
        parent = await stored_thread(store, project, "a", "b", "c")
        fork = await _fork(store, project, parent.key)
        grandchild = await _fork(store, project, fork.key)
        lone = await stored_thread(store, project, "a")
        middle = await _fork(store, project, lone.key)
        last = await _fork(store, project, middle.key)
        assert sorted(await _erase(store, project, parent.key)) == sorted(
            [fork.key, grandchild.key]
        )
        assert await _erase(store, project, middle.key) == [last.key]
        assert await _erase(store, project, lone.key) == [last.key]

    @proof
    async def test_a_fork_that_shares_nothing_keeps_nothing(
        self, store: Store, project: str
    ) -> None:
        """A fork of an empty thread is not named in the receipt of its parent."""
        parent = await stored_thread(store, project)
        fork = await _fork(store, project, parent.key)
        await store.append_items(project, parent.key, users("a"), T0)
        await store.append_items(project, fork.key, users("b"), T0)
        assert (await _erase(store, project, parent.key)) == []
        assert await texts(store, project, fork.key) == ["b"]

    @proof
    async def test_an_orphan_is_not_adopted(self, store: Store, project: str) -> None:
        """A fork whose parent was erased never gets another thread for a parent."""
        parent = await stored_thread(store, project)
        fork = await _fork(store, project, parent.key)
        await _erase(store, project, parent.key)
        for _ in range(3):
            await stored_thread(store, project, "unrelated")
            orphan = await store.get_thread(project, fork.key)
            assert orphan.parent in (None, parent.key)
        assert await texts(store, project, fork.key) == []

    @proof
    async def test_a_long_line_of_forks(self, store: Store, project: str) -> None:
        """A line of thirty forks, each with one item more, reads as one log."""
        key = (await stored_thread(store, project, "0")).key
        for number in range(1, 31):
            key = (await _fork(store, project, key)).key
            await store.append_items(project, key, users(str(number)), T0)
        assert await texts(store, project, key) == [str(number) for number in range(31)]


async def _fork(store: Store, project: str, parent: str, at_seq: int | None = None) -> Thread:
    return await store.fork_thread(project, parent, new_thread(key=new_key(T0)), at_seq=at_seq)


async def _erase(store: Store, project: str, thread: str) -> list[str]:
    """Erase the thread; the keys of the forks that its receipt names."""
    receipt = await store.erase_thread(project, thread, new_receipt(thread))
    return receipt.kept_by


async def _spoil(store: Store, project: str, thread: str) -> None:
    """Change the first item, erase the second and append one."""
    first, second, *_ = await log(store, project, thread)
    await store.update_item(project, thread, first.id, {"changed": "yes"}, T0 + 1)
    await store.erase_item(project, thread, second.id, T0 + 2)
    await store.append_items(project, thread, users("new"), T0 + 3)
