"""Proofs about what a request gives to tools: with the rest of it, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from clew.core.errors import BadRequest, Busy, ClewError
from clew.core.paging import Page
from clew.core.tool_resources import FILES_MAX, Grant, file_keys, store_key
from clew.core.vector_stores import DAY_MS, VectorStore
from clew.store.once import Once
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    as_it_stands,
    new_assistant,
    new_run,
    new_thread,
    not_found,
    proof,
    refusal,
    replay,
    stored_thread,
    users,
)
from clew.testing.conformance.vector_stores import (
    files_of,
    new_store_file,
    new_vector_store,
    stored_file,
    stored_store,
)


def searching(*files: str, days: int | None = 7) -> Grant:
    """Files to be searched, and the store that is made for them where there is none."""
    store = new_vector_store(expires_days=days)
    return Grant(searched=[new_store_file(store.key, file) for file in files], store=store)


async def stores(store: Store, project: str) -> list[VectorStore]:
    return (await store.list_vector_stores(project, Page(100, "asc")))[0]


async def searched(store: Store, project: str, key: str) -> list[str]:
    return sorted(each.file for each in await files_of(store, project, key))


async def resources(store: Store, project: str, thread: str) -> dict[str, Any] | None:
    return (await store.get_thread(project, thread)).tool_resources


Give = Callable[[Store, str, str, Grant, Once | None], Awaitable[object]]

GIVES: dict[str, Give] = {
    "append_items": lambda s, p, t, g, o: s.append_items(p, t, users("x"), T0, given=g, once=o),
    "create_run": lambda s, p, t, g, o: s.create_run(p, new_run(t), users("x"), given=g, once=o),
    "update_thread": lambda s, p, t, g, o: s.update_thread(
        p, t, T0, metadata={"a": "b"}, given=g, once=o
    ),
}
"""The verbs that give to the tools of a thread that is there."""


class Grants(Proof):
    @proof
    async def test_files_join_a_thread(self, store: Store, project: str) -> None:
        """Attached files come after those that are there, each once; the revision counts one."""
        first, second = [await stored_file(store, project) for _ in range(2)]
        thread = (await stored_thread(store, project)).key
        for files in ([first], [second, first]):
            before = (await store.get_thread(project, thread)).revision
            revision, _ = await store.append_items(
                project, thread, users("x"), T0, given=Grant(attached=files)
            )
            assert revision == before + 1
        assert file_keys(await resources(store, project, thread)) == [first, second]

    @proof
    async def test_a_store_is_made_once(self, store: Store, project: str) -> None:
        """The first file to be searched makes the thread's store, later ones go into it."""
        first, second = [await stored_file(store, project) for _ in range(2)]
        thread = (await stored_thread(store, project)).key
        for files in ([first], [first, second], [second]):
            given = searching(*files)
            await store.append_items(project, thread, users("x"), T0, given=given)
        (made,) = await stores(store, project)
        assert store_key(await resources(store, project, thread)) == made.key
        assert await searched(store, project, made.key) == sorted([first, second])
        assert (made.expires_days, made.counts.in_progress) == (7, 2)

    @proof
    async def test_crowds_make_one_store(self, store: Store, project: str) -> None:
        """Messages that come at once with files for a thread without a store share one."""
        files = [await stored_file(store, project) for _ in range(8)]
        thread = (await stored_thread(store, project)).key
        await asyncio.gather(
            *(
                store.append_items(project, thread, users("x"), T0, given=searching(file))
                for file in files
            )
        )
        (made,) = await stores(store, project)
        assert await searched(store, project, made.key) == sorted(files)

    @proof
    async def test_what_is_made_with_its_grant(self, store: Store, project: str) -> None:
        """A thread, a thread with its run and an assistant each come with their store."""
        file = await stored_file(store, project)
        thread, other = new_thread(), new_thread()
        await store.create_thread(project, thread, given=searching(file))
        run = new_run(other.key)
        await store.create_run(project, run, thread=other, given=searching(file))
        assistant = new_assistant(tool_resources={})
        made = await store.create_assistant(project, assistant, given=searching(file, days=None))
        held = [await resources(store, project, each.key) for each in (thread, other)]
        held.append(made.settings["tool_resources"])
        keys = [each.key for each in await stores(store, project)]
        assert sorted(store_key(each) or "" for each in held) == sorted(keys)
        for key in keys:
            assert await searched(store, project, key) == [file]
        assert await store.get_assistant(project, assistant.key) == made

    @proof
    async def test_what_is_missing_is_named(self, store: Store, project: str) -> None:
        """A file or store that is not there is NotFound, and nothing is changed or made."""
        file = await stored_file(store, project)
        thread = (await stored_thread(store, project, "one")).key
        before = await as_it_stands(store, project, thread)
        for act in GIVES.values():
            for given in (
                Grant(files=[file, "nobody"]),
                Grant(attached=[file, "nobody"]),
                searching(file, "nobody"),
            ):
                lost = await not_found(act(store, project, thread, given, None))
                assert lost == ("file", "nobody")
            lost = await not_found(act(store, project, thread, Grant(stores=["nobody"]), None))
            assert lost == ("vector_store", "nobody")
        bad = searching("nobody")
        assistant = new_assistant(tool_resources={})
        await not_found(store.create_thread(project, new_thread(), given=bad))
        await not_found(store.create_assistant(project, assistant, given=bad))
        await not_found(store.create_run(project, run := new_run(thread), given=bad))
        await not_found(store.get_run(project, thread, run.key))
        assert await as_it_stands(store, project, thread) == before
        assert await stores(store, project) == []

    @proof
    async def test_another_projects_things_are_missing(self, store: Store, project: str) -> None:
        """Files and stores of another project are not there."""
        file = await stored_file(store, "proj_other")
        theirs = await stored_store(store, "proj_other")
        thread = (await stored_thread(store, project)).key
        for given in (Grant(files=[file]), Grant(attached=[file]), Grant(stores=[theirs.key])):
            await not_found(store.append_items(project, thread, users("x"), T0, given=given))

    @proof
    async def test_a_refused_request_gives_nothing(self, store: Store, project: str) -> None:
        """A thread that is busy, or at another revision, gets no file and no store."""
        file = await stored_file(store, project)
        thread = (await stored_thread(store, project)).key
        stale = store.append_items(
            project, thread, users("x"), T0, given=searching(file), if_revision=99
        )
        assert (await refusal(stale)).code == "stale"
        await active_run(store, project, thread)
        busy = store.append_items(project, thread, users("x"), T0, given=searching(file))
        assert isinstance(await refusal(busy), Busy)
        busy_run = store.create_run(project, new_run(thread), given=searching(file))
        assert isinstance(await refusal(busy_run), Busy)
        assert await resources(store, project, thread) is None
        assert await stores(store, project) == []

    @proof
    async def test_a_retry_gives_once(self, store: Store, project: str) -> None:
        """A repeated request makes no second store, even when its file has gone since."""
        for number, act in enumerate(GIVES.values()):
            file = await stored_file(store, project)
            thread = (await stored_thread(store, project)).key
            once = Once(f"key{number}", "f", T0, lambda _: b"done")
            await act(store, project, thread, searching(file), once)
            await store.delete_file(project, file, T0)
            assert await replay(act(store, project, thread, searching(file), once)) == b"done"
            assert len(await stores(store, project)) == number + 1

    @proof
    async def test_files_have_a_limit(self, store: Store, project: str) -> None:
        """A thread takes so many files; those deleted since do not count."""
        files = [await stored_file(store, project) for _ in range(FILES_MAX + 1)]
        thread = (await stored_thread(store, project)).key
        await store.append_items(
            project, thread, users("x"), T0, given=Grant(attached=files[:FILES_MAX])
        )
        last = Grant(attached=files[FILES_MAX:])
        before = await as_it_stands(store, project, thread)
        error = await refusal(store.append_items(project, thread, users("x"), T0, given=last))
        assert isinstance(error, BadRequest)
        assert error.param == "tool_resources.code_interpreter.file_ids"
        assert await as_it_stands(store, project, thread) == before
        await store.delete_file(project, files[0], T0)
        assert await store.missing_files(project, files, T0) == {files[0]}
        await store.append_items(project, thread, users("x"), T0, given=last)
        assert file_keys(await resources(store, project, thread)) == files[1:]

    @proof
    async def test_a_store_that_is_gone(self, store: Store, project: str) -> None:
        """A deleted store is made anew for the next file, an expired one refuses it."""
        file = await stored_file(store, project)
        thread = (await stored_thread(store, project)).key
        await store.append_items(project, thread, users("x"), T0, given=searching(file))
        (first,) = await stores(store, project)
        later = T0 + 7 * DAY_MS
        error = await refusal(
            store.append_items(project, thread, users("x"), later, given=searching(file))
        )
        assert isinstance(error, ClewError)
        assert error.wire_code == "vector_store_expired"
        await store.delete_vector_store(project, first.key)
        await store.append_items(project, thread, users("x"), T0, given=searching(file))
        (second,) = await stores(store, project)
        assert store_key(await resources(store, project, thread)) == second.key != first.key
