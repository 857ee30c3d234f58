"""Proofs about compactions: no summary outlives what it sums up."""

from __future__ import annotations

import msgspec

from clew.core.busy import OnBusy
from clew.core.compactions import compaction
from clew.core.ids import new_item_id
from clew.core.items import Item, new_item
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    log,
    new_receipt,
    new_run,
    new_thread,
    proof,
    reply,
    stored_thread,
    users,
)


def summary(through: int | None, run: str | None = "RUN") -> Item:
    return new_item(new_item_id("compaction", T0), compaction("secret", through), T0, run)


class Compactions(Proof):
    """What is erased is in no summary."""

    @proof
    async def test_a_summary_of_an_erased_item_goes_with_it(
        self, store: Store, project: str
    ) -> None:
        """Every compaction that stands for it, and none that does not; other items stay."""
        thread = (await stored_thread(store, project)).key
        items = [*users("a", "b"), summary(1), *users("c"), summary(4), *users("d"), summary(None)]
        await store.append_items(project, thread, items, T0)
        now = await store.erase_item(project, thread, items[1].id, T0)
        assert [item.seq for item in await log(store, project, thread)] == [1, 3, 4, 6]
        assert now.last_seq == 7
        await store.erase_item(project, thread, items[0].id, T0)
        assert [item.seq for item in await log(store, project, thread)] == [4, 6]

    @proof
    async def test_a_summary_of_a_client_stands_for_everything_before(
        self, store: Store, project: str
    ) -> None:
        """Whatever seq it names: it is not one of this log."""
        thread = (await stored_thread(store, project)).key
        items = [*users("a", "b"), summary(1, None)]
        await store.append_items(project, thread, items, T0)
        await store.erase_item(project, thread, items[1].id, T0)
        assert [item.seq for item in await log(store, project, thread)] == [1]

    @proof
    async def test_forks_keep_the_summaries_of_what_they_show(
        self, store: Store, project: str
    ) -> None:
        """Erased in one thread, an item and its summaries stay in those that go on showing it."""
        parent = (await stored_thread(store, project)).key
        items = [*users("a", "b"), summary(2)]
        await store.append_items(project, parent, items, T0)
        fork = (await store.fork_thread(project, parent, new_thread())).key
        own = [summary(1), *users("c")]
        await store.append_items(project, fork, own, T0)
        await store.erase_item(project, parent, items[0].id, T0)
        assert [item.seq for item in await log(store, project, parent)] == [2]
        assert [item.seq for item in await log(store, project, fork)] == [1, 2, 3, 4, 5]
        await store.erase_item(project, fork, items[1].id, T0)
        assert [item.seq for item in await log(store, project, fork)] == [1, 4, 5]

    @proof
    async def test_a_summary_of_an_erased_run_goes_with_it(
        self, store: Store, project: str
    ) -> None:
        """In a chain, where the items of a run are erased with it."""
        chain = await store.create_thread(project, new_thread(chain=True), users("a"))
        run = await store.create_run(project, new_run(chain.key), users("b"))
        ended = msgspec.structs.replace(run, status="completed")
        done = [reply("c", run.key)]
        await store.move_run(project, run.status, ended, done, now_ms=T0)
        await store.append_items(project, chain.key, [summary(3), summary(1)], T0)
        await store.erase_run(project, chain.key, run.key, new_receipt(chain.key))
        assert [item.seq for item in await log(store, project, chain.key)] == [1, 5]

    @proof
    async def test_a_summary_of_a_withdrawn_run_goes_with_it(
        self, store: Store, project: str
    ) -> None:
        """Whoever wrote it, and only what stands for that run; other items stay."""
        thread = (await stored_thread(store, project, "a")).key
        run = await store.create_run(project, new_run(thread), users("b"))
        cut = msgspec.structs.replace(run, status="in_progress")
        output = [summary(1), summary(2), summary(2, run.key)]
        cut = await store.move_run(project, "queued", cut, output, now_ms=T0)
        waits = msgspec.structs.replace(cut, status="requires_action")
        await store.move_run(project, "in_progress", waits, now_ms=T0)
        await store.append_items(project, thread, users("c"), T0, on_busy=OnBusy("rollback"))
        assert [item.seq for item in await log(store, project, thread)] == [1, 3, 6]
