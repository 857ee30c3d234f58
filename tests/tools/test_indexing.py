"""The indexer: jobs done once, taken over, given up; and that nothing deleted stays on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from clew.context.tokens import Estimate
from clew.core.errors import ClewError
from clew.core.vector_stores import StoreFile
from clew.store.store import Store
from clew.store.urls import open_store
from clew.testing.conformance.proof import T0, new_project
from clew.testing.conformance.vector_stores import (
    claimed,
    files_of,
    new_store_file,
    new_vector_store,
    stored_file,
    swept,
)
from clew.tools import indexing
from clew.tools.indexing import ATTEMPTS_MAX, LEASE_MS, Indexer

SECRET = "abracadabrasecret"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def running(store: Store, now: Callable[[], int] = lambda: T0) -> AsyncIterator[Indexer]:
    indexer = Indexer(store, now, Estimate)
    indexer.start()
    try:
        yield indexer
    finally:
        await indexer.close()


async def filled(store: Store, project: str, *contents: bytes) -> str:
    """The key of a new store to which these files were added, in this order."""
    made = await store.create_vector_store(project, new_vector_store())
    for number, data in enumerate(contents):
        file = await stored_file(store, project, data)
        await store.add_store_file(project, new_store_file(made.key, file, T0 + number))
    return made.key


async def settled(store: Store, project: str, key: str) -> list[StoreFile]:
    """The files of a store when none is in progress."""
    while True:
        files = await files_of(store, project, key)
        if all(each.status != "in_progress" for each in files):
            return files
        await asyncio.sleep(0.005)


def play(url: str, test: Callable[[Store, str], Any]) -> None:
    async def run() -> None:
        async with opened(url) as store, asyncio.timeout(30):
            await test(store, new_project())

    asyncio.run(run())


def test_files_are_indexed_as_they_come(url: str):
    """What waits at the start, and what is added later, is indexed; bad files harm no others."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, b"alpha", b"%PDF-", b" \n ", "βήτα".encode("utf-16"))
        async with running(store) as indexer:
            first = await settled(store, project, key)
            later = await filled(store, project, b"alpha later")
            indexer.wake()
            second = await settled(store, project, later)
        assert [each.status for each in first] == ["completed", "failed", "failed", "completed"]
        codes = [each.error and each.error["code"] for each in first]
        assert codes == [None, "invalid_file", "invalid_file", None]
        assert [each.status for each in second] == ["completed"]
        assert len(await store.search_chunks(project, key, ["ΒΉΤΑ"], 9)) == 1

    play(url, test)


def test_two_indexers_do_each_job_once(url: str):
    """Two processes that index the same database share the work; no file is done twice."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, *[b"alpha " * 500] * 12)
        async with opened(url) as other, running(store), running(other):
            files = await settled(store, project, key)
        assert {each.status for each in files} == {"completed"}
        assert {each.usage_bytes for each in files} == {6 * 500}
        assert len(await store.search_chunks(project, key, ["alpha"], 50)) == 12

    play(url, test)


def test_a_job_left_behind_is_taken_over(url: str):
    """After the lease of an indexer that is gone another one begins anew, and leaves no scraps."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, b"alpha")
        gone = await claimed(store, project)
        await store.hold_indexing(gone, T0 + LEASE_MS)
        times = iter([T0])
        async with running(store, lambda: next(times, T0 + LEASE_MS)) as indexer:
            while (await store.get_store_file(project, key, gone.file)).status == "in_progress":
                indexer.wake()
                await asyncio.sleep(0.005)
        (done,) = await files_of(store, project, key)
        assert (done.status, done.usage_bytes) == ("completed", 5)

    play(url, test)


def test_who_is_stopped_lets_go(url: str, monkeypatch: pytest.MonkeyPatch):
    """An indexer that is closed in the middle of a file leaves it to the next one at once."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, b"alpha")
        begun = asyncio.Event()

        async def never(*_: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(Indexer, "_index", never)
            async with running(store):
                await begun.wait()
        async with running(store):
            (done,) = await settled(store, project, key)
        assert done.status == "completed"

    play(url, test)


def test_a_file_that_fails_for_ever_is_given_up(url: str, caplog: pytest.LogCaptureFixture):
    """A file that took its indexer down again and again fails, as our fault."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, b"alpha")
        for _ in range(ATTEMPTS_MAX):
            await store.hold_indexing(await claimed(store, project), 0)
        async with running(store):
            (done,) = await settled(store, project, key)
        assert done.status == "failed"
        assert done.error == {"code": "server_error", "message": "An internal error occurred."}

    play(url, test)


def test_a_database_that_fails_is_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A file is not failed because the database was away for a while."""
    monkeypatch.setattr(indexing, "POLL_S", 0.01)

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, b"alpha")
        real, failures = store.add_chunks, 0

        async def away(*args: Any) -> bool:
            nonlocal failures
            if failures == 3:
                return await real(*args)
            failures += 1
            raise ClewError("unavailable", "The database is away.")

        monkeypatch.setattr(store, "add_chunks", away)
        # With each failure a lease is over, and with nothing else, however often it is looked.
        async with running(store, lambda: T0 + failures * (LEASE_MS + 1)):
            (done,) = await settled(store, project, key)
        assert done.status == "completed"

    play(url, test)


def test_the_loop_is_free_meanwhile(url: str):
    """While a megabyte is indexed, the event loop goes on turning."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project)
        file = await stored_file(store, project, b"")
        text = (b"some words of prose, one after another. " * 200)[:8_000]
        await store.delete_file(project, file, T0)
        file = await large_file(store, project, text, 128)
        await store.add_store_file(project, new_store_file(key, file))
        longest, loop = 0.0, asyncio.get_running_loop()
        async with running(store):
            done = asyncio.create_task(settled(store, project, key))
            while not done.done():
                begun = loop.time()
                await asyncio.sleep(0)
                longest = max(longest, loop.time() - begun)
        assert done.result()[0].status == "completed"
        assert longest < 0.5

    play(url, test)


async def large_file(store: Store, project: str, piece: bytes, count: int) -> str:
    from clew.core.files import File
    from clew.core.ids import new_key

    key, blob = new_key(T0), new_key(T0)
    for _ in range(count):
        await store.write_blob(project, blob, piece, T0)
    await store.create_file(project, File(key, T0, "large.txt", "assistants"), blob)
    return key


def test_what_is_deleted_is_on_no_page_of_the_disk(tmp_path: Path):
    """Of files taken out, deleted or in a deleted store no word is in the database or its log."""
    path = tmp_path / "clew.db"

    def words_on_disk() -> bool:
        # FTS5 keeps the beginning that a word shares with its neighbour only once
        parts = [SECRET.encode(), SECRET[4:].encode()]
        data = b"".join(file.read_bytes() for file in tmp_path.glob("clew.db*"))
        return any(part in data.lower() for part in parts)

    async def test(store: Store, project: str) -> None:
        text = f"beside {SECRET} besides " + " ".join(f"filler{n}" for n in range(3_000))
        for erase in ("remove", "delete", "store"):
            key = await filled(store, project, b"harmless", text.encode(), b"beside more")
            async with running(store):
                _, secret, _ = await settled(store, project, key)
                assert await store.search_chunks(project, key, [SECRET], 9)
                assert words_on_disk()
                if erase == "remove":
                    await store.remove_store_file(project, key, secret.file)
                elif erase == "store":
                    await store.delete_vector_store(project, key)
            await store.delete_file(project, secret.file, T0)
            await swept(store)
            assert not words_on_disk(), erase

    play(f"sqlite:///{path}", test)
