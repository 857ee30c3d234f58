"""Proofs about threads: creation, change, lists and erasure."""

from __future__ import annotations

from clew.core.errors import Stale
from clew.core.paging import Page, ThreadQuery
from clew.core.threads import Thread
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    as_it_stands,
    end_run,
    log,
    new_project,
    new_receipt,
    new_run,
    new_thread,
    not_found,
    proof,
    prove_paging,
    refusal,
    stored_thread,
    texts,
    user,
    users,
)

ODD_METADATA = {
    "emoji 🧶": "clew 🧶",
    "rtl": "\u202eשלום",
    'it\'s "quoted"': "\\ % _ $.a[0] ' \"",
    "a.b": "",
    "nul": "a\x00b",
}


class Threads(Proof):
    """Creating, reading and changing threads."""

    @proof
    async def test_a_new_thread_is_kept_as_given(self, store: Store, project: str) -> None:
        """A new thread is kept with the times, metadata, tool resources and mark it came with."""
        resources = {"file_search": {"vector_store_ids": ["vs_1"]}}
        given = Thread(new_thread().key, T0 - 5, T0 + 7, {"a": "b"}, resources, chain=True)
        made = await store.create_thread(project, given)
        assert (made.created_at, made.updated_at, made.last_seq) == (T0 - 5, T0 + 7, 0)
        assert (made.metadata, made.tool_resources, made.chain) == ({"a": "b"}, resources, True)
        assert await store.get_thread(project, given.key) == made

    @proof
    async def test_a_thread_is_created_with_its_items(self, store: Store, project: str) -> None:
        """A new thread has its first items at once, in the order given, from seq 1 on."""
        items = users("one", "two", "three")
        made = await store.create_thread(project, new_thread(), items)
        found = await log(store, project, made.key)
        assert [(item.id, item.seq) for item in found] == [
            (item.id, seq) for seq, item in enumerate(items, start=1)
        ]
        assert made.last_seq == 3

    @proof
    async def test_a_new_thread_is_at_its_first_revision(self, store: Store, project: str) -> None:
        """A new thread is at revision 1, with items or without, and so is a fork."""
        for said in ([], ["a"], ["a", "b", "c"]):
            made = await stored_thread(store, project, *said)
            fork = await store.fork_thread(project, made.key, new_thread())
            assert (made.revision, fork.revision) == (1, 1)

    @proof
    async def test_a_taken_key_is_refused(self, store: Store, project: str) -> None:
        """A key that a thread has already is refused, and that thread is as it was."""
        made = await stored_thread(store, project, "a")
        was = await as_it_stands(store, project, made.key)
        error = await refusal(store.create_thread(project, new_thread(key=made.key), users("b")))
        assert error.status in (400, 409)
        assert await as_it_stands(store, project, made.key) == was

    @proof
    async def test_a_key_of_an_importer_is_kept(self, store: Store, project: str) -> None:
        """A key that an importer brings is stored as it is, up to 200 characters."""
        tail = new_project()
        for key in ("abc123" + tail, "With-Dash_" + tail, (tail * 10)[:190]):
            await store.create_thread(project, new_thread(key=key), users("kept"))
            assert (await store.get_thread(project, key)).key == key
            assert await texts(store, project, key) == ["kept"]

    @proof
    async def test_metadata_is_kept_to_the_character(self, store: Store, project: str) -> None:
        """Metadata keeps every character: emoji, right-to-left, quotes, a dot, a NUL."""
        made = await store.create_thread(project, new_thread(metadata=ODD_METADATA))
        assert (await store.get_thread(project, made.key)).metadata == ODD_METADATA

    @proof
    async def test_an_update_replaces_what_is_given(self, store: Store, project: str) -> None:
        """An update replaces what is given, leaves the rest, and is one revision."""
        given = new_thread(metadata={"a": "1"}, tool_resources={"x": {}})
        was = await store.create_thread(project, given)
        now = await store.update_thread(project, was.key, T0 + 9, metadata={"b": "2"})
        assert (now.metadata, now.tool_resources, now.updated_at) == ({"b": "2"}, {"x": {}}, T0 + 9)
        assert now.revision == was.revision + 1
        then = await store.update_thread(project, was.key, T0 + 10, tool_resources={"y": {}})
        assert (then.metadata, then.tool_resources) == ({"b": "2"}, {"y": {}})
        assert await store.get_thread(project, was.key) == then

    @proof
    async def test_empty_metadata_clears_it(self, store: Store, project: str) -> None:
        """Empty metadata is a value like any other: it replaces what was there."""
        was = await store.create_thread(project, new_thread(metadata={"a": "1"}))
        now = await store.update_thread(project, was.key, T0 + 1, metadata={})
        assert now.metadata == {}

    @proof
    async def test_the_current_revision_is_accepted(self, store: Store, project: str) -> None:
        """A change that names the current revision is made."""
        was = await stored_thread(store, project, "a")
        now = await store.update_thread(
            project, was.key, T0 + 1, metadata={"x": "y"}, if_revision=was.revision
        )
        assert now.revision == was.revision + 1

    @proof
    async def test_a_stale_revision_changes_nothing(self, store: Store, project: str) -> None:
        """Each verb that is given another revision is Stale and changes nothing."""
        thread = await stored_thread(store, project, "a", "b")
        key, item = thread.key, (await log(store, project, thread.key))[0].id
        was = await as_it_stands(store, project, key)
        for old in (thread.revision - 1, thread.revision + 1):
            for act in (
                store.update_thread(project, key, T0, metadata={"x": "y"}, if_revision=old),
                store.append_items(project, key, users("c"), T0, if_revision=old),
                store.update_item(project, key, item, {"x": "y"}, T0, if_revision=old),
                store.erase_item(project, key, item, T0, if_revision=old),
                store.create_run(project, new_run(key), users("c"), if_revision=old),
                store.fork_thread(project, key, new_thread(), if_revision=old),
                store.erase_thread(project, key, new_receipt(key), if_revision=old),
            ):
                error = await refusal(act)
                assert isinstance(error, Stale) and error.actual == thread.revision
        assert await as_it_stands(store, project, key) == was
        assert await store.list_threads(project, ThreadQuery()) == ([thread], False)

    @proof
    async def test_a_thread_changes_while_a_run_is_active(self, store: Store, project: str) -> None:
        """Metadata can be replaced while a run is active; the run stays the active one."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        now = await store.update_thread(project, thread.key, T0 + 1, metadata={"x": "y"})
        assert (now.metadata, now.active_run) == ({"x": "y"}, run.key)

    @proof
    async def test_what_is_stored_is_a_value(self, store: Store, project: str) -> None:
        """What the caller does to a thing given or returned later does not reach the store."""
        given, items = new_thread(metadata={"a": "1"}), users("one")
        made = await store.create_thread(project, given, items)
        given.metadata["a"] = made.metadata["a"] = "changed"
        items[0].body = b'"changed"'
        (await store.get_thread(project, given.key)).metadata.clear()
        assert (await store.get_thread(project, given.key)).metadata == {"a": "1"}
        assert await texts(store, project, given.key) == ["one"]


class ThreadLists(Proof):
    """Finding threads by time and metadata, page by page."""

    @proof
    async def test_threads_are_listed_by_creation(self, store: Store, project: str) -> None:
        """Threads are listed by creation, however late they were stored or changed."""
        late, early = new_thread(T0 + 2), new_thread(T0 + 1)
        for thread in (late, early):
            await store.create_thread(project, thread)
        await store.append_items(project, early.key, users("a"), T0 + 9)
        assert await _keys(store, project, page=Page(order="desc")) == [late.key, early.key]
        assert await _keys(store, project, page=Page(order="asc")) == [early.key, late.key]

    @proof
    async def test_ties_are_broken_by_key(self, store: Store, project: str) -> None:
        """Threads of one millisecond are listed by key, character code by character code."""
        tail = new_project()
        keys = [head + tail for head in ("b", "A", "a_", "aB", "Z", "0", "a-")]
        for key in keys:
            await store.create_thread(project, new_thread(key=key))
        assert await _keys(store, project, page=Page(order="asc")) == sorted(keys)
        assert await _keys(store, project, page=Page(order="desc")) == sorted(keys, reverse=True)

    @proof
    async def test_pages_of_threads_are_true(self, store: Store, project: str) -> None:
        """Each page of threads is the slice it should be, and says truly if there are more."""
        made = [
            await store.create_thread(project, new_thread(T0 + time, key=f"{name}{project}"))
            for time, name in ((1, "a"), (2, "b"), (2, "B"), (2, "c"), (3, "A"))
        ]
        made.sort(key=lambda thread: (thread.created_at, thread.key))
        await prove_paging(
            lambda page: store.list_threads(project, ThreadQuery(page)),
            [thread.key for thread in made],
            lambda thread: str(thread.key),
        )

    @proof
    async def test_metadata_conditions_must_all_hold(self, store: Store, project: str) -> None:
        """A thread is found by metadata when every pair asked for is in it."""
        both = await _stored(store, project, {"account": "7", "ticket": "9", "more": "x"})
        one = await _stored(store, project, {"account": "7", "ticket": "8"})
        await _stored(store, project, {})
        assert await _keys(store, project, metadata={"account": "7", "ticket": "9"}) == [both]
        assert set(await _keys(store, project, metadata={"account": "7"})) == {both, one}
        assert await _keys(store, project, metadata={"account": "9"}) == []
        assert await _keys(store, project, metadata={"7": "account"}) == []

    @proof
    async def test_any_metadata_can_be_asked_for(self, store: Store, project: str) -> None:
        """A pair is found whatever characters it has, and never by a part or a pattern of it."""
        key = await _stored(store, project, ODD_METADATA)
        await _stored(store, project, {"a": '{"b": ""}', "rtl": "שלום"})
        for name, value in ODD_METADATA.items():
            assert await _keys(store, project, metadata={name: value}) == [key]
            assert await _keys(store, project, metadata={name: value + "%"}) == []

    @proof
    async def test_updated_metadata_is_what_is_found(self, store: Store, project: str) -> None:
        """After an update a thread is found by its new metadata only."""
        key = await _stored(store, project, {"a": "1"})
        await store.update_thread(project, key, T0 + 1, metadata={"a": "2"})
        assert await _keys(store, project, metadata={"a": "1"}) == []
        assert await _keys(store, project, metadata={"a": "2"}) == [key]

    @proof
    async def test_time_ranges_are_inclusive(self, store: Store, project: str) -> None:
        """Ranges of creation and of last change include both their ends."""
        keys = []
        for day in range(4):
            keys.append((await store.create_thread(project, new_thread(T0 + day))).key)
            await store.append_items(project, keys[-1], users("a"), T0 + 100 - day)
        created = await _keys(store, project, created_from=T0 + 1, created_to=T0 + 2)
        assert created == [keys[2], keys[1]]
        updated = await _keys(store, project, updated_from=T0 + 98, updated_to=T0 + 99)
        assert updated == [keys[2], keys[1]]
        assert await _keys(store, project, created_from=T0 + 3) == [keys[3]]
        assert await _keys(store, project, updated_to=T0 + 97) == [keys[3]]

    @proof
    async def test_pages_and_conditions_go_together(self, store: Store, project: str) -> None:
        """A cursor is a place in the whole list: its thread need not meet the conditions."""
        keys = [
            (
                await store.create_thread(
                    project, new_thread(T0 + number, metadata={"odd": str(number % 2)})
                )
            ).key
            for number in range(8)
        ]
        query = ThreadQuery(Page(2, "asc", after=keys[2]), {"odd": "1"}, created_to=T0 + 6)
        found, more = await store.list_threads(project, query)
        assert ([thread.key for thread in found], more) == ([keys[3], keys[5]], False)
        query = ThreadQuery(Page(2, "asc", before=keys[6]), {"odd": "1"})
        found, more = await store.list_threads(project, query)
        assert ([thread.key for thread in found], more) == ([keys[3], keys[5]], True)

    @proof
    async def test_an_unknown_thread_is_no_cursor(self, store: Store, project: str) -> None:
        """A cursor that names no thread of the project is not found: unknown, erased, another's."""
        gone = (await stored_thread(store, project, "a")).key
        kept = (await stored_thread(store, project, "a")).key
        await store.fork_thread(project, kept, new_thread())
        for key in (gone, kept):
            await store.erase_thread(project, key, new_receipt(key))
        foreign = await _stored(store, new_project(), {})
        for key in ("nobody", gone, kept, foreign):
            for page in (Page(after=key), Page(before=key)):
                missing = await not_found(store.list_threads(project, ThreadQuery(page)))
                assert missing == ("thread", key)


class Erasure(Proof):
    """A thread that is erased is gone."""

    @proof
    async def test_an_erased_thread_is_gone(self, store: Store, project: str) -> None:
        """After an erasure the thread is not found by any verb and in no list."""
        thread = await stored_thread(store, project, "a", "b")
        kept = await stored_thread(store, project, "kept")
        item = (await log(store, project, thread.key))[0].id
        run = await end_run(store, project, await active_run(store, project, thread.key))
        await store.erase_thread(project, thread.key, new_receipt(thread.key))
        key = thread.key
        for act in (
            store.get_thread(project, key),
            store.append_items(project, key, users("c"), T0),
            store.list_items(project, key, Page()),
            store.read_items(project, key, below=9, limit=9),
            store.get_item(project, key, item),
            store.get_run(project, key, run.key),
            store.erase_thread(project, key, new_receipt(key)),
        ):
            await not_found(act)
        assert await _keys(store, project) == [kept.key]
        assert await texts(store, project, kept.key) == ["kept"]

    @proof
    async def test_the_receipt_says_what_was_erased(self, store: Store, project: str) -> None:
        """The receipt keeps what it was given and counts the items and runs that went."""
        thread = await stored_thread(store, project, "a", "b", "c")
        for _ in range(2):
            await end_run(store, project, await active_run(store, project, thread.key))
        given = new_receipt(thread.key, T0 + 5)
        receipt = await store.erase_thread(project, thread.key, given)
        assert (receipt.id, receipt.thread, receipt.erased_at) == (given.id, thread.key, T0 + 5)
        assert (receipt.items, receipt.runs, receipt.kept_by) == (3, 2, [])

    @proof
    async def test_a_thread_is_erased_under_its_run(self, store: Store, project: str) -> None:
        """A thread can be erased while a run is active, and the run's next move is not found."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        await store.erase_thread(project, thread.key, new_receipt(thread.key))
        await not_found(end_run(store, project, run))

    @proof
    async def test_an_erasure_is_one_threads(self, store: Store, project: str) -> None:
        """Another thread, its items and runs are as they were."""
        other = await stored_thread(store, project, "a")
        await active_run(store, project, other.key)
        was = await as_it_stands(store, project, other.key)
        thread = await stored_thread(store, project, "b")
        await store.append_items(project, thread.key, [user("c")], T0)
        await store.erase_thread(project, thread.key, new_receipt(thread.key))
        assert await as_it_stands(store, project, other.key) == was


async def _stored(store: Store, project: str, metadata: dict[str, str]) -> str:
    return (await store.create_thread(project, new_thread(metadata=metadata))).key


async def _keys(store: Store, project: str, **conditions: object) -> list[str]:
    query = ThreadQuery(**conditions)  # type: ignore[arg-type]
    return [thread.key for thread in (await store.list_threads(project, query))[0]]
