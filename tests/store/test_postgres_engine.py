"""The PostgreSQL engine itself: its schema, its connections, and what is left after erasure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from clew.core.errors import ClewError
from clew.core.ids import new_item_id, new_key, new_run_key
from clew.core.items import message
from clew.core.paging import ThreadQuery
from clew.core.runs import Call, Lease, Run
from clew.core.threads import Receipt, Thread
from clew.store.postgres import PostgresStore
from clew.store.postgres.engine import SQL, Row, Transaction
from clew.store.postgres.metadata import from_jsonb, to_jsonb
from clew.store.postgres.schema import migrate

NOW = 1_700_000_000_000
PLAIN_MOVE = ["lock_thread", "get_run", "touch_thread", "move_run"]


_END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE application_name = 'clew' AND datname = current_database()"
)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def new_thread(**fields: Any) -> Thread:
    return Thread(new_key(NOW), NOW, NOW, **fields)


def receipt(thread: str) -> Receipt:
    return Receipt("rcpt_" + new_key(NOW), thread, NOW, 0, 0)


async def apply(dsn: str, folder: Path) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await migrate(connection, folder)


def written(folder: Path, **steps: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, sql in steps.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(sql)
    return folder


def in_schema(dsn: str, schema: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return psycopg.conninfo.make_conninfo(dsn, options=f"-csearch_path={schema}")


def test_migrations_are_applied_once_in_order(postgres_database: str, tmp_path: Path):
    """A later step finds what an earlier one made, and none is applied again."""
    dsn = in_schema(postgres_database, "in_order")
    folder = written(tmp_path / "steps", _0001_a="CREATE TABLE a (x int)")
    run(apply(dsn, folder))
    written(folder, _0002_b="ALTER TABLE a ADD y int")
    run(apply(dsn, folder))
    run(apply(dsn, folder))
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT number, name FROM clew_migrations ORDER BY number")
        assert found.fetchall() == [(1, "0001_a"), (2, "0002_b")]


def test_an_edited_migration_is_refused(postgres_database: str, tmp_path: Path):
    """A released step that reads otherwise now is named, and nothing is changed."""
    dsn = in_schema(postgres_database, "edited")
    folder = written(tmp_path / "steps", _0001_a="CREATE TABLE a (x int)")
    run(apply(dsn, folder))
    written(folder, _0001_a="CREATE TABLE a (x bigint)", _0002_b="CREATE TABLE b (x int)")
    with pytest.raises(ClewError, match="0001_a"):
        run(apply(dsn, folder))
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT to_regclass('b')").fetchall() == [(None,)]


def test_a_newer_database_is_refused(postgres_database: str, tmp_path: Path):
    """A database with steps this release does not know is left alone."""
    dsn = in_schema(postgres_database, "newer")
    run(apply(dsn, written(tmp_path / "new", _0001_a="SELECT 1", _0002_b="SELECT 2")))
    with pytest.raises(ClewError, match="newer"):
        run(apply(dsn, written(tmp_path / "old", _0001_a="SELECT 1")))


def test_many_processes_may_open_a_new_database_at_once(postgres_database: str):
    """Whoever comes first makes the schema, the others find it."""
    dsn = in_schema(postgres_database, "at_once")

    async def main() -> None:
        stores = await asyncio.gather(*(PostgresStore.open(dsn, pool_size=1) for _ in range(4)))
        thread = await stores[0].create_thread("p", new_thread())
        assert await stores[3].get_thread("p", thread.key) == thread
        await asyncio.gather(*(store.close() for store in stores))

    run(main())


def test_a_database_that_is_not_there_is_unavailable():
    """Opening says so in our words, with the driver's as the cause."""
    with pytest.raises(ClewError) as failure:
        run(_open("host=127.0.0.1 port=1 dbname=none connect_timeout=2"))
    assert failure.value.code == "unavailable"
    assert isinstance(failure.value.__cause__, psycopg.OperationalError)


async def _open(dsn: str) -> None:
    await PostgresStore.open(dsn)


def test_a_lost_connection_is_replaced(postgres_database: str):
    """What was under way is "unavailable"; the next request has a new connection."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database, pool_size=1)
        thread = (await store.create_thread("p", new_thread())).key
        async with await psycopg.AsyncConnection.connect(postgres_database) as other:
            await other.execute(_END_CONNECTIONS)
        with pytest.raises(ClewError) as failure:
            await store.get_thread("p", thread)
        assert failure.value.code == "unavailable"
        assert (await store.get_thread("p", thread)).key == thread
        await store.close()

    run(main())


@pytest.mark.parametrize("value", ["plain", "\x00", "\x01", "\x010", "\x00\x01\x00", "\\u0000"])
def test_metadata_may_hold_any_character(value: str):
    """jsonb has no U+0000; what we write instead reads back as it was."""
    assert from_jsonb(to_jsonb({"k" + value: value})) == {"k" + value: value}


def test_metadata_with_any_character_is_found(postgres_database: str):
    """A value with U+0000 finds its thread and no other."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        made = [
            await store.create_thread("found", new_thread(metadata={"k": value}))
            for value in ("\x00", "\x010", "0")
        ]
        for thread in made:
            query = ThreadQuery(metadata=thread.metadata)
            assert await store.list_threads("found", query) == ([thread], False)
        await store.close()

    run(main())


def test_nothing_is_left_that_no_thread_shows(postgres_database: str):
    """An item shared by forks of erased threads is in no row once the last of them lets go."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        item = message(new_item_id("user", NOW), "user", "the secret of the maze", NOW)
        root = (await store.create_thread("p", new_thread(), [item])).key
        middle = (await store.fork_thread("p", root, new_thread())).key
        left = (await store.fork_thread("p", middle, new_thread())).key
        right = (await store.fork_thread("p", middle, new_thread())).key
        kept = await store.erase_thread("p", root, receipt(root))
        assert kept.kept_by == sorted((middle, left, right))
        await store.erase_thread("p", middle, receipt(middle))
        await store.erase_item("p", left, item.id, NOW)
        assert (await store.get_item("p", right, item.id)).text() == item.text()
        assert _rows(postgres_database, "items", "body LIKE '%maze%'") == 1
        await store.erase_thread("p", right, receipt(right))
        assert _rows(postgres_database, "items", "body LIKE '%maze%'") == 0
        await store.erase_thread("p", left, receipt(left))
        gone = f"thread_id IN ('{root}', '{middle}', '{left}', '{right}')"
        assert _rows(postgres_database, "items", gone) == 0
        assert _rows(postgres_database, "threads", gone) == 0
        await store.close()

    run(main())


def test_a_move_asks_no_more_than_it_must(postgres_database: str, monkeypatch: pytest.MonkeyPatch):
    """A round trip for what a move brings; the line is asked for only where something waits."""
    asked: list[str] = []
    whole = Transaction.run

    async def noting(self: Transaction, name: str, **params: Any) -> list[Row]:
        asked.append(name)
        return await whole(self, name, **params)

    monkeypatch.setattr(Transaction, "run", noting)

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        thread = (await store.create_thread("p", new_thread())).key
        turn = Run(new_run_key(thread, NOW), thread, NOW, "m")
        turn = await store.create_run("p", turn, lease=Lease("me", NOW))

        async def moved(status: str, **given: Any) -> list[str]:
            nonlocal turn
            asked.clear()
            next = msgspec.structs.replace(turn, status=status)
            given = {"now_ms": NOW, "lease": Lease("me", NOW), "steps": True} | given
            turn = await store.move_run("p", turn.status, next, **given)
            return list(asked)

        assert await moved("in_progress") == PLAIN_MOVE
        said = [message(new_item_id("assistant", NOW), "assistant", t, NOW, turn.key) for t in "ab"]
        calls = [Call(f"{turn.key}{n}", turn.key, "m", "p", NOW, None, 1, 1) for n in (1, 2)]
        with_more = await moved("in_progress", items=said, calls=calls)
        assert sorted(with_more) == sorted([*PLAIN_MOVE, "insert_item", "insert_call"])
        changed = await moved("in_progress", changed=said)
        assert sorted(changed) == sorted([*PLAIN_MOVE, "change_items"])
        assert await moved("completed") == PLAIN_MOVE
        await store.close()

    run(main())


def test_what_is_due_is_found_by_its_index(postgres_database: str):
    """So is what is held on, run by run, although the table was never analyzed."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        connection = await store.connect()
        held = {"threads": ["t"], "runs": ["r"], "holder": "me", "until": NOW}
        for name, given, by in (
            ("list_due", {"now": NOW, "limit": 9}, "Index Scan using runs_due on runs"),
            ("hold_run", held, "(thread_id = asked.thread_id) AND (id = asked.run)"),
        ):
            cursor = await connection.execute(b"EXPLAIN " + SQL[name], given)
            plan = "\n".join(line for (line,) in await cursor.fetchall())
            assert "Seq Scan" not in plan
            assert by in plan
        await connection.close()
        await store.close()

    run(main())


def _rows(dsn: str, table: str, condition: str) -> int:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}".encode())
        return int(found.fetchall()[0][0])
