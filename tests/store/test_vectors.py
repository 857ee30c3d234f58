"""Vectors in both engines: what is missing is named, and what is deleted is on no page."""

from __future__ import annotations

import asyncio
import logging
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clew.core.embeddings import Embedded, unit
from clew.core.errors import ClewError
from clew.store.postgres import PostgresStore
from clew.store.sqlite import SQLiteStore
from clew.testing.conformance.proof import new_project
from clew.testing.conformance.vector_stores import (
    chunks_of,
    claimed,
    indexed,
    stored_store,
    swept,
)
from clew.testing.conformance.vectors import EAST, embedded


def test_our_engines_keep_vectors(tmp_path: Path, new_postgres_database: Callable[[], str]):
    """With what the tests have installed both engines are ready for vectors, and say so."""

    async def run() -> None:
        for store in (
            await SQLiteStore.open(str(tmp_path / "clew.db")),
            await SQLiteStore.open(":memory:"),
            await PostgresStore.open(new_postgres_database()),
        ):
            assert await store.prepare_vectors()
            assert await store.prepare_vectors()
            await store.close()

    asyncio.run(run())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    """Without sqlite-vec all but vectors works, and asking for these names what to install."""
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)

    async def run() -> None:
        store, project = await SQLiteStore.open(":memory:"), new_project()
        made = await stored_store(store, project, files=1)
        await indexed(store, project, "alpha")
        assert len(await store.search_chunks(project, made.key, ["alpha"], 9)) == 1
        assert await store.nearest_chunks(project, made.key, "m", EAST, 9) == []
        with pytest.raises(ClewError, match=r"clew\[vectors\]"):
            await store.prepare_vectors()
        await store.close()

    asyncio.run(run())


def test_a_server_without_pgvector_searches_by_words(
    new_postgres_database: Callable[[], str], caplog: pytest.LogCaptureFixture
):
    """Where the extension may not be made the store says so once, and finds words all the same."""
    dsn = new_postgres_database()
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS plain")
        admin.execute("CREATE ROLE plain LOGIN")
        admin.execute("CREATE SCHEMA AUTHORIZATION plain")
    if "?" in dsn:
        head, _, query = dsn.partition("?")
        dsn_plain = f"{head.replace('postgres:', 'plain:', 1)}?{query}"
    else:
        dsn_plain = dsn
    plain = psycopg.conninfo.make_conninfo(dsn_plain, user="plain", password="")

    async def run() -> None:
        store, project = await PostgresStore.open(plain), new_project()
        with caplog.at_level(logging.WARNING, "clew.store"):
            assert not await store.prepare_vectors()
        made = await stored_store(store, project, files=1)
        await indexed(store, project, "alpha")
        assert len(await store.search_chunks(project, made.key, ["alpha"], 9)) == 1
        assert await store.nearest_chunks(project, made.key, "m", EAST, 9) == []
        await store.close()

    asyncio.run(run())
    assert "cannot keep vectors" in caplog.text


def test_deleted_vectors_are_on_no_page(tmp_path: Path):
    """Of a file that was removed no vector and no bits are in the database or its log."""
    path = tmp_path / "clew.db"
    secret = unit([0.123 * (number % 7 + 1) * (-1) ** (number // 9) for number in range(320)])
    stored = array("f", secret).tobytes()
    traces = stored[64:128], bits_of(secret)

    def on_disk() -> list[bool]:
        data = b"".join(file.read_bytes() for file in tmp_path.glob("clew.db*"))
        return [trace in data for trace in traces]

    async def run() -> None:
        store, project = await SQLiteStore.open(str(path)), new_project()
        await store.prepare_vectors()
        made = await stored_store(store, project, files=2)
        claim = await embedded(store, project, *[secret] * 30)
        await embedded(store, project, *[unit([1.0] * 320)] * 30)
        assert on_disk() == [True, True]
        await store.remove_store_file(project, made.key, claim.file)
        await swept(store)
        assert on_disk() == [False, False]
        assert len(await store.nearest_chunks(project, made.key, "m", secret, 99)) == 30
        await store.close()

    asyncio.run(run())


def bits_of(vector: list[float]) -> bytes:
    """As sqlite-vec packs them: the first number is the lowest bit."""
    packed = bytearray(len(vector) // 8)
    for place, number in enumerate(vector):
        packed[place // 8] |= (number > 0) << (place % 8)
    return bytes(packed)


def test_whoever_sweeps_sweeps_vectors(tmp_path: Path, new_postgres_database: Callable[[], str]):
    """A process that was never told of embeddings leaves no vector behind either."""

    async def play(open_store: Callable[[], Any], count: Callable[[Any], Any]) -> None:
        store, project = await open_store(), new_project()
        await store.prepare_vectors()
        made = await stored_store(store, project, files=1)
        await embedded(store, project, EAST, EAST)
        other = await open_store()
        await other.delete_vector_store(project, made.key)
        assert await count(other) > 0
        await swept(other)
        assert await count(other) == 0
        await other.close()
        await store.close()

    async def lite(store: SQLiteStore) -> int:
        asked = "SELECT (SELECT count(*) FROM chunk_bits) + (SELECT count(*) FROM chunk_vectors)"
        return int(store.db.execute(asked).fetchone()[0])

    async def post(store: PostgresStore) -> int:
        async with store._pool.connection() as connection:
            cursor = await connection.execute("SELECT count(*) FROM chunk_vectors")
            return int((await cursor.fetchone())[0])

    dsn = new_postgres_database()
    asyncio.run(play(lambda: SQLiteStore.open(str(tmp_path / "clew.db")), lite))
    asyncio.run(play(lambda: PostgresStore.open(dsn), post))


def test_a_cancelled_search_harms_no_other(tmp_path: Path):
    """Of searches at the same time some are cancelled, and the others find what there is."""

    async def run() -> None:
        store, project = await SQLiteStore.open(str(tmp_path / "clew.db")), new_project()
        await store.prepare_vectors()
        made = await stored_store(store, project, files=1)
        claim = await claimed(store, project)
        vectors = [unit([n % 7 - 3.0, 1.0] * 32) for n in range(2_000)]
        await store.add_chunks(
            claim, chunks_of(*(f"c{n}" for n in range(2_000))), Embedded("m", vectors)
        )
        await store.end_indexing(claim, "completed", 1)
        asked = project, made.key, "m", vectors[0], 5
        searches = [asyncio.create_task(store.nearest_chunks(*asked)) for _ in range(8)]
        await asyncio.sleep(0)
        for search in searches[:4]:
            search.cancel()
        done = await asyncio.gather(*searches, return_exceptions=True)
        assert [len(found) for found in done[4:]] == [5] * 4
        await store.close()

    asyncio.run(run())
