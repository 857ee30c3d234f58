"""Proofs about the log: order, pages, single items, and what many writers at once leave."""

from __future__ import annotations

import asyncio

import msgspec

from clew.core.errors import ClewError
from clew.core.items import Item, message, new_item
from clew.core.paging import Page
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    as_it_stands,
    log,
    new_project,
    new_thread,
    not_found,
    proof,
    prove_paging,
    reply,
    stored_thread,
    texts,
    tool_call,
    user,
    users,
)


class Items(Proof):
    """Appending, reading, changing and erasing items."""

    @proof
    async def test_items_are_appended_in_the_order_given(self, store: Store, project: str) -> None:
        """Items get consecutive seqs in the order given, whatever their ids and times."""
        thread = await stored_thread(store, project)
        first = [user("z", T0 + 9), user("a", T0), user("m", T0 + 5)]
        assert (await store.append_items(project, thread.key, first, T0))[1] == 3
        assert (await store.append_items(project, thread.key, users("0", at=T0 - 9), T0))[1] == 4
        found = await log(store, project, thread.key)
        assert [(item.text(), item.seq) for item in found] == [
            ("z", 1),
            ("a", 2),
            ("m", 3),
            ("0", 4),
        ]

    @proof
    async def test_an_append_is_one_revision(self, store: Store, project: str) -> None:
        """An append is one revision however many items it brings, and sets the time of change."""
        was = await stored_thread(store, project)
        revision, last_seq = await store.append_items(project, was.key, users("a", "b"), T0 + 7)
        now = await store.get_thread(project, was.key)
        assert (revision, last_seq) == (was.revision + 1, 2)
        assert (now.revision, now.last_seq, now.updated_at) == (revision, last_seq, T0 + 7)

    @proof
    async def test_an_item_is_kept_as_given(self, store: Store, project: str) -> None:
        """An item keeps its id, kind, body, time and run; only its seq is the engine's."""
        thread = await stored_thread(store, project)
        run = await active_run(store, project, thread.key)
        given = [
            tool_call("f", T0 + 3, run.key),
            new_item("x_1", {"type": "novelty", "a": [1, {"b": None}], "ü": "é"}, T0 - 4),
            reply("done", run.key, T0 + 5),
        ]
        await store.move_run(project, run.status, run, given, now_ms=T0)
        expected = [
            msgspec.structs.replace(item, seq=seq) for seq, item in enumerate(given, start=1)
        ]
        assert await log(store, project, thread.key) == expected
        for item in expected:
            assert await store.get_item(project, thread.key, item.id) == item

    @proof
    async def test_text_is_kept_to_the_character(self, store: Store, project: str) -> None:
        """Text comes back as it was: a NUL, emoji, right-to-left, odd spaces, 256,000 letters."""
        given = [
            "",
            "a\x00b",
            "\x00",
            "👩‍👩‍👧 \U0001f9f6",
            "\u202eשלום עולם\u202c",
            "e\u0301 ≠ é",
            "\ufeff\u2028\u2029\r\n\t\x7f",
            "'; DROP TABLE items; --",
            "\\u0000 %s ? :a $1",
            "\uffff\ufffd",
            "ß" * 256_000,
        ]
        thread = await stored_thread(store, project, *given)
        assert await texts(store, project, thread.key) == given
        await store.append_items(project, thread.key, users(*given), T0)
        assert (await texts(store, project, thread.key))[len(given) :] == given

    @proof
    async def test_an_id_of_an_importer_is_kept(self, store: Store, project: str) -> None:
        """An item's id is stored as it is, and may be used in another thread too."""
        for text in ("one", "two"):
            thread = await stored_thread(store, project)
            given = message("msg_abc123", "user", text, 1)
            await store.append_items(project, thread.key, [given], T0)
            found = await store.get_item(project, thread.key, "msg_abc123")
            assert (found.text(), found.created_at, found.seq) == (text, 1, 1)

    @proof
    async def test_a_repeated_id_is_refused(self, store: Store, project: str) -> None:
        """An id that the thread has already is refused, and none of the items lands."""
        thread = await stored_thread(store, project)
        twin = user("a")
        await store.append_items(project, thread.key, [twin], T0)
        was = await as_it_stands(store, project, thread.key)
        for given in ([user("b"), twin], [again := user("c"), again]):
            try:
                await store.append_items(project, thread.key, given, T0)
            except ClewError as error:
                assert error.status in (400, 409)
            else:
                raise AssertionError("an id was stored twice")
        assert await as_it_stands(store, project, thread.key) == was

    @proof
    async def test_metadata_of_a_message_is_replaced(self, store: Store, project: str) -> None:
        """A message's metadata is replaced, its text and place are not, and it is one revision."""
        was = await stored_thread(store, project, "a", "b")
        item = (await log(store, project, was.key))[0]
        for metadata in ({"k": "a\x00🧶"}, {"other": "v"}, {}):
            now = await store.update_item(project, was.key, item.id, metadata, T0 + 3)
            assert now.data().get("metadata", {}) == metadata
            assert (now.text(), now.seq, now.id) == ("a", 1, item.id)
            assert await store.get_item(project, was.key, item.id) == now
        thread = await store.get_thread(project, was.key)
        assert (thread.revision, thread.updated_at) == (was.revision + 3, T0 + 3)
        assert await texts(store, project, was.key) == ["a", "b"]

    @proof
    async def test_metadata_of_a_message_changes_under_a_run(
        self, store: Store, project: str
    ) -> None:
        """A message's metadata can be replaced while a run is active."""
        thread = await stored_thread(store, project, "a")
        await active_run(store, project, thread.key)
        item = (await log(store, project, thread.key))[0]
        now = await store.update_item(project, thread.key, item.id, {"k": "v"}, T0)
        assert now.data()["metadata"] == {"k": "v"}

    @proof
    async def test_an_erased_item_leaves_its_seq_taken(self, store: Store, project: str) -> None:
        """An erased item is in no list, and its seq is never given again."""
        was = await stored_thread(store, project, "a", "b", "c")
        items = await log(store, project, was.key)
        for item in items[1:]:
            now = await store.erase_item(project, was.key, item.id, T0 + 4)
        assert (now.revision, now.last_seq, now.updated_at) == (was.revision + 2, 3, T0 + 4)
        await store.append_items(project, was.key, users("d"), T0 + 5)
        found = [(item.seq, item.text()) for item in await log(store, project, was.key)]
        assert found == [(1, "a"), (4, "d")]
        assert len(await store.read_items(project, was.key, below=99, limit=9)) == 2

    @proof
    async def test_an_erased_item_is_not_found(self, store: Store, project: str) -> None:
        """An erased item cannot be read, changed or erased again, and changes nothing."""
        thread = await stored_thread(store, project, "a")
        item = (await log(store, project, thread.key))[0].id
        await store.erase_item(project, thread.key, item, T0)
        was = await as_it_stands(store, project, thread.key)
        for act in (
            store.get_item(project, thread.key, item),
            store.update_item(project, thread.key, item, {"a": "b"}, T0 + 1),
            store.erase_item(project, thread.key, item, T0 + 1),
        ):
            assert await not_found(act) == ("item", item)
        assert await as_it_stands(store, project, thread.key) == was

    @proof
    async def test_an_item_belongs_to_its_thread(self, store: Store, project: str) -> None:
        """An item of another thread of the project is not found here."""
        thread = await stored_thread(store, project, "here")
        other = await stored_thread(store, project, "there")
        item = (await log(store, project, other.key))[0].id
        for act in (
            store.get_item(project, thread.key, item),
            store.update_item(project, thread.key, item, {"a": "b"}, T0),
            store.erase_item(project, thread.key, item, T0),
            store.list_items(project, thread.key, Page(after=item)),
            store.fork_thread(project, thread.key, new_thread(), at_item=item),
        ):
            assert await not_found(act) == ("item", item)
        assert await texts(store, project, other.key) == ["there"]


class Pages(Proof):
    """Reading the log page by page."""

    @proof
    async def test_the_worked_example_of_before(self, store: Store, project: str) -> None:
        """Newest first, one before the second is the first, and none is before the first."""
        thread = await stored_thread(store, project, "m1", "m2", "m3")
        m1, m2, m3 = await log(store, project, thread.key)
        assert await _page(store, project, thread.key) == ([m3, m2, m1], False)
        assert await _page(store, project, thread.key, limit=1, before=m2.id) == ([m3], False)
        assert await _page(store, project, thread.key, limit=1, before=m1.id) == ([m2], True)
        assert await _page(store, project, thread.key, before=m3.id) == ([], False)

    @proof
    async def test_pages_of_items_are_true(self, store: Store, project: str) -> None:
        """Each page of the log is the slice it should be, and says truly if there are more."""
        thread = await stored_thread(store, project, *"abcdefg")
        await prove_paging(
            lambda page: store.list_items(project, thread.key, page),
            [item.id for item in await log(store, project, thread.key)],
            _id,
        )

    @proof
    async def test_pages_up_to_a_seq_are_true(self, store: Store, project: str) -> None:
        """The log as it was when it ended there: what came later is on no page."""
        thread = await stored_thread(store, project, *"abcdef")
        keys = [item.id for item in await log(store, project, thread.key)]
        for upto in (0, 3, 6, 9):
            await prove_paging(
                lambda page, upto=upto: store.list_items(  # type: ignore[misc]
                    project, thread.key, page, upto=upto
                ),
                keys[:upto],
                lambda item: item.id,
            )
        found = await store.list_items(project, thread.key, Page(after=keys[5]), upto=3)
        assert [item.id for item in found[0]] == [keys[2], keys[1], keys[0]]

    @proof
    async def test_filtered_pages_are_true(self, store: Store, project: str) -> None:
        """Pages by kind and by run are slices of what matches, with any matching cursor."""
        thread = await stored_thread(store, project, "a")
        run = await active_run(store, project, thread.key)
        for turn in range(4):
            pair = [tool_call(f"f{turn}", run=run.key), reply(f"r{turn}", run.key)]
            items = [*pair, user(f"u{turn}")]
            await store.move_run(project, run.status, run, items, now_ms=T0)
        items = await log(store, project, thread.key)
        for kinds, of_run in (
            (["user"], None),
            (["user", "assistant"], None),
            (["function_call"], run.key),
            (None, run.key),
        ):
            matching = [item for item in items if _matches(item, kinds, of_run)]
            await prove_paging(
                lambda page, kinds=kinds, of_run=of_run: store.list_items(  # type: ignore[misc]
                    project, thread.key, page, kinds=kinds, run=of_run
                ),
                [item.id for item in matching],
                _id,
            )

    @proof
    async def test_nothing_matches_an_unknown_filter(self, store: Store, project: str) -> None:
        """A kind or run that no item has gives an empty page, and so do no kinds at all."""
        thread = await stored_thread(store, project, "a")
        for kinds, run in ((["mcp_call"], None), (None, "nobody"), ([], None)):
            found = await store.list_items(project, thread.key, Page(), kinds=kinds, run=run)
            assert found == ([], False)

    @proof
    async def test_a_cursor_need_not_match(self, store: Store, project: str) -> None:
        """A cursor is a place in the log: it may be an item that the filter leaves out."""
        thread = await store.create_thread(
            project, new_thread(), [user("a"), tool_call("f"), user("b"), user("c")]
        )
        cursor = (await log(store, project, thread.key))[1].id
        for page, expected in (
            (Page(1, "asc", after=cursor), (["b"], True)),
            (Page(9, "asc", before=cursor), (["a"], False)),
            (Page(9, "desc", after=cursor), (["a"], False)),
            (Page(1, "desc", before=cursor), (["b"], True)),
        ):
            found, more = await store.list_items(project, thread.key, page, kinds=["user"])
            assert ([item.text() for item in found], more) == expected

    @proof
    async def test_an_erased_item_is_still_a_cursor(self, store: Store, project: str) -> None:
        """A reader whose cursor was erased goes on from its place."""
        thread = await stored_thread(store, project, "a", "b", "c", "d")
        cursor = (await log(store, project, thread.key))[1].id
        await store.erase_item(project, thread.key, cursor, T0)
        for page, expected in (
            (Page(1, "asc", after=cursor), (["c"], True)),
            (Page(9, "asc", before=cursor), (["a"], False)),
            (Page(9, "desc", after=cursor), (["a"], False)),
            (Page(1, "desc", before=cursor), (["c"], True)),
        ):
            found, more = await store.list_items(project, thread.key, page)
            assert ([item.text() for item in found], more) == expected

    @proof
    async def test_erased_items_are_no_reason_for_more(self, store: Store, project: str) -> None:
        """There are no more when all that follows was erased."""
        thread = await stored_thread(store, project, "a", "b", "c")
        for item in (await log(store, project, thread.key))[1:]:
            await store.erase_item(project, thread.key, item.id, T0)
        found, more = await store.list_items(project, thread.key, Page(1, "asc"))
        assert ([item.text() for item in found], more) == (["a"], False)

    @proof
    async def test_an_unknown_item_is_no_cursor(self, store: Store, project: str) -> None:
        """A cursor that names no item of the thread is not found, in either direction."""
        thread = await stored_thread(store, project, "a")
        for page in (Page(after="msg_nobody"), Page(before="msg_nobody")):
            missing = await not_found(store.list_items(project, thread.key, page))
            assert missing == ("item", "msg_nobody")

    @proof
    async def test_paging_neither_skips_nor_repeats(self, store: Store, project: str) -> None:
        """A reader who pages while others append sees each item once, in order."""
        thread = await stored_thread(store, project, *"abcde")
        seen: list[Item] = []
        more = True
        while more:
            page = Page(2, "asc", after=seen[-1].id if seen else None)
            found, more = await store.list_items(project, thread.key, page)
            seen += found
            if len(seen) < 12:
                await store.append_items(project, thread.key, users("x", "y"), T0)
        assert [item.seq for item in seen] == list(range(1, len(seen) + 1))
        assert seen == await log(store, project, thread.key)

    @proof
    async def test_paging_backwards_is_not_moved_by_appends(
        self, store: Store, project: str
    ) -> None:
        """A reader who pages from the newest sees the same items while others append."""
        thread = await stored_thread(store, project, *"abcdefg")
        seen, more = await store.list_items(project, thread.key, Page(2))
        while more:
            await store.append_items(project, thread.key, users("later"), T0)
            page = Page(2, after=seen[-1].id)
            found, more = await store.list_items(project, thread.key, page)
            seen += found
        assert [item.text() for item in seen] == list("gfedcba")

    @proof
    async def test_a_window_reads_backwards(self, store: Store, project: str) -> None:
        """`read_items` gives what is below a seq, newest first, erased items left out."""
        thread = await stored_thread(store, project, *"abcdef")
        erased = (await log(store, project, thread.key))[3]
        await store.erase_item(project, thread.key, erased.id, T0)
        for below, limit, expected in (
            (7, 2, "fe"),
            (5, 2, "cb"),
            (4, 9, "cba"),
            (99, 99, "fecba"),
            (2, 1, "a"),
            (1, 5, ""),
        ):
            found = await store.read_items(project, thread.key, below=below, limit=limit)
            assert "".join(item.text() for item in found) == expected


class Crowds(Proof):
    """Many callers at once leave one order."""

    @proof
    async def test_eight_writers_leave_one_order(self, store: Store, project: str) -> None:
        """Of 8 writers with 25 appends each, all items are there and have the seqs 1 to 200."""
        thread = await stored_thread(store, project)

        async def write(writer: int) -> list[int]:
            seqs = []
            for number in range(25):
                item = user(f"{writer}.{number}")
                seqs.append((await store.append_items(project, thread.key, [item], T0))[1])
            return seqs

        told = await asyncio.gather(*(write(writer) for writer in range(8)))
        found = await log(store, project, thread.key)
        assert [item.seq for item in found] == list(range(1, 201))
        places = {item.text(): item.seq for item in found}
        expected = [[places[f"{writer}.{number}"] for number in range(25)] for writer in range(8)]
        assert told == expected
        assert all(seqs == sorted(seqs) for seqs in told)

    @proof
    async def test_what_is_asked_together_lands_together(self, store: Store, project: str) -> None:
        """The items of one request are neighbours, whoever else writes."""
        thread = await stored_thread(store, project)
        requests = [users(*(f"{n}.{part}" for part in range(1 + n % 4))) for n in range(60)]
        answers = await asyncio.gather(
            *(store.append_items(project, thread.key, items, T0) for items in requests)
        )
        found = await log(store, project, thread.key)
        ids = [item.id for item in found]
        assert [item.seq for item in found] == list(range(1, len(ids) + 1))
        for items, (_, last) in zip(requests, answers, strict=True):
            assert ids[last - len(items) : last] == [item.id for item in items]
        assert len(ids) == sum(map(len, requests))

    @proof
    async def test_each_change_is_one_revision(self, store: Store, project: str) -> None:
        """Revisions told to concurrent writers are each told once, and none is left out."""
        was = await stored_thread(store, project)
        answers = await asyncio.gather(
            *(store.append_items(project, was.key, users("a"), T0) for _ in range(40))
        )
        told = sorted(revision for revision, _ in answers)
        assert told == list(range(was.revision + 1, was.revision + 41))

    @proof
    async def test_one_of_many_has_the_revision(self, store: Store, project: str) -> None:
        """Of many writers who name the same revision, one writes and the others are Stale."""
        was = await stored_thread(store, project)
        acts = (
            store.append_items(project, was.key, users(str(n)), T0, if_revision=was.revision)
            for n in range(8)
        )
        answers = await asyncio.gather(*acts, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, ClewError)]
        assert [error.code for error in refused] == ["stale"] * 7
        assert len(await log(store, project, was.key)) == 1

    @proof
    async def test_one_refusal_is_one_callers(self, store: Store, project: str) -> None:
        """Of requests that wait together, one that is refused leaves the others as they are."""
        thread = await stored_thread(store, project)
        acts = [
            store.append_items(project, thread.key if n % 3 else "nobody", users(str(n)), T0)
            for n in range(30)
        ]
        answers = await asyncio.gather(*acts, return_exceptions=True)
        refused = [n for n, answer in enumerate(answers) if isinstance(answer, ClewError)]
        assert refused == list(range(0, 30, 3))
        found = {int(text) for text in await texts(store, project, thread.key)}
        assert found == {n for n in range(30) if n % 3}

    @proof
    async def test_a_caller_that_gives_up_harms_nobody(self, store: Store, project: str) -> None:
        """Requests of callers that went away land whole or not at all; all others land."""
        thread = await stored_thread(store, project)
        tasks = [
            asyncio.ensure_future(
                store.append_items(project, thread.key, users(f"{n}a", f"{n}b"), T0)
            )
            for n in range(20)
        ]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.append_items(project, thread.key, users("last"), T0)
        found = await log(store, project, thread.key)
        assert [item.seq for item in found] == list(range(1, len(found) + 1))
        said = [item.text() for item in found]
        pairs = list(zip(said[:-1:2], said[1::2], strict=True))
        assert all(second == first[:-1] + "b" for first, second in pairs)
        assert {f"{n}a" for n in range(1, 20, 2)} <= {first for first, _ in pairs}
        assert said[-1] == "last"

    @proof
    async def test_many_threads_at_once(self, store: Store, project: str) -> None:
        """Writers on many threads each get the order of their own thread."""
        threads = [await stored_thread(store, project) for _ in range(10)]
        await asyncio.gather(
            *(
                store.append_items(project, threads[n % 10].key, users(str(n)), T0)
                for n in range(100)
            )
        )
        for place, thread in enumerate(threads):
            found = await log(store, project, thread.key)
            assert [item.seq for item in found] == list(range(1, 11))
            assert {int(item.text()) % 10 for item in found} == {place}

    @proof
    async def test_what_was_accepted_is_finished(self, store: Store, project: str) -> None:
        """Closing waits for what was accepted, and another opening of the database shows it."""
        other = await self.open_store()
        key = new_project()
        await other.create_thread(project, new_thread(key=key))
        writes = asyncio.gather(
            *(other.append_items(project, key, users(str(n)), T0) for n in range(20))
        )
        await asyncio.sleep(0)
        await other.close()
        told = sorted(last for _, last in await writes)
        assert told == list(range(1, 21))
        assert len(await log(store, project, key)) == 20


async def _page(
    store: Store,
    project: str,
    thread: str,
    limit: int = 20,
    before: str | None = None,
) -> tuple[list[Item], bool]:
    return await store.list_items(project, thread, Page(limit, "desc", before=before))


def _matches(item: Item, kinds: list[str] | None, run: str | None) -> bool:
    return (kinds is None or item.kind in kinds) and (run is None or item.run == run)


def _id(item: Item) -> str:
    return item.id
