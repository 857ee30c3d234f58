"""Group commit on PostgreSQL: who goes together, who goes alone, and that nobody is held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

from clew.core.errors import Busy, ClewError, NotFound, Stale
from clew.core.ids import new_item_id, new_key, new_run_key
from clew.core.items import Item, message
from clew.core.paging import Page
from clew.core.runs import Run
from clew.core.threads import Thread
from clew.store.postgres import PostgresStore
from clew.store.postgres.appends import GROUP_MAX, STATEMENT, Append, gather

NOW = 1_700_000_000_000
STUCK = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'items'::regclass"


def say(text: str) -> Item:
    return message(new_item_id("user", NOW), "user", text, NOW)


def waiting(*requests: tuple[str, str, int | None]) -> list[Append]:
    future: Any = None
    return [
        Append(project, thread, [], NOW, revision, future) for project, thread, revision in requests
    ]


async def new_thread(store: PostgresStore, *items: Item) -> str:
    return (await store.create_thread("p", Thread(new_key(NOW), NOW, NOW), items)).key


async def texts(store: PostgresStore, thread: str) -> list[str]:
    items, _ = await store.list_items("p", thread, Page(100, "asc"))
    return [item.text() for item in items]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def test_a_group_takes_all_threads_and_keeps_each_ones_order():
    """Requests for one thread go together, in the order they came."""
    a, b, c = waiting(("p", "t1", None), ("p", "t2", None), ("p", "t1", None))
    assert gather([a, b, c]) == ({"t1": [a, c], "t2": [b]}, [])


@pytest.mark.parametrize(
    "second", [("p", "t", 3), ("other", "t", None)], ids=["by revision", "another project"]
)
def test_what_cannot_share_a_thread_waits_and_so_does_all_behind_it(
    second: tuple[str, str, int | None],
):
    """A request that hangs on a revision or names another project has the thread to itself."""
    a, b, c = waiting(("p", "t", None), second, ("p", "t", None))
    assert gather([a, b, c]) == ({"t": [a]}, [b, c])
    assert gather([b, c]) == ({"t": [b]}, [c])


def test_a_group_has_a_limit():
    """What is over the limit goes with the next group."""
    requests = waiting(*[("p", f"t{number}", None) for number in range(GROUP_MAX + 2)])
    group, left = gather(requests)
    assert len(group) == GROUP_MAX
    assert left == requests[GROUP_MAX:]


def test_each_request_of_a_group_is_told_where_it_ended(postgres_database: str):
    """Appends that wait together get the revision and seq they would have got one by one."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        thread = await new_thread(store)
        items = [[say("a")], [say("b"), say("c")], [say("d")]]
        ends = await asyncio.gather(*(store.append_items("p", thread, some, NOW) for some in items))
        assert ends == [(2, 1), (3, 3), (4, 4)]
        assert [[item.seq for item in some] for some in items] == [[1], [2, 3], [4]]
        assert await texts(store, thread) == ["a", "b", "c", "d"]
        await store.close()

    run(main())


def test_a_refused_request_leaves_the_others_of_its_group_alone(postgres_database: str):
    """One group: each bad request hears its own reason, the good ones land."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        good, busy, stale, twice = [await new_thread(store) for _ in range(4)]
        turn = Run(new_run_key(busy, NOW), busy, NOW, "m")
        await store.create_run("p", turn)
        twin = say("twin")
        asked = [
            store.append_items("p", good, [say("a")], NOW),
            store.append_items("p", busy, [say("b")], NOW),
            store.append_items("p", stale, [say("c")], NOW, if_revision=9),
            store.append_items("p", "nowhere", [say("d")], NOW),
            store.append_items("q", good, [say("e")], NOW),
            store.append_items("p", twice, [twin, twin], NOW),
            store.append_items("p", good, [say("f")], NOW),
        ]
        ends = await asyncio.gather(*asked, return_exceptions=True)
        reasons = [type(end) for end in ends]
        assert reasons == [tuple, Busy, Stale, NotFound, NotFound, ClewError, tuple]
        assert sorted(await texts(store, good)) == ["a", "f"]  # asked at once: in any order
        for thread in (busy, stale, twice):
            assert await texts(store, thread) == []
        await store.close()

    run(main())


def test_nobody_waits_for_another_ones_thread(postgres_database: str):
    """While one thread is locked the others are appended to, and then that one is."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        locked, free = await new_thread(store), await new_thread(store)
        async with await psycopg.AsyncConnection.connect(postgres_database) as other:
            await other.execute("SELECT * FROM threads WHERE thread_id = %s FOR UPDATE", (locked,))
            stuck = asyncio.create_task(store.append_items("p", locked, [say("a")], NOW))
            for _ in range(3):
                await store.append_items("p", free, [say("b")], NOW)
            assert not stuck.done()
            await other.rollback()
            assert await stuck == (2, 1)
        assert await texts(store, free) == ["b", "b", "b"]
        await store.close()

    run(main())


def test_closing_finishes_what_was_accepted(postgres_database: str):
    """An append under way when the store is closed is on disk afterwards."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        thread = await new_thread(store)
        asked = asyncio.create_task(store.append_items("p", thread, [say("a")], NOW))
        await asyncio.sleep(0)
        await store.close()
        assert await asked == (2, 1)

    run(main())


def test_an_append_cut_off_is_unavailable_and_the_next_one_goes_through(postgres_database: str):
    """Nobody knows what became of a group whose connection broke; a new one serves the rest."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        thread = await new_thread(store)
        assert await store.append_items("p", thread, [say("first")], NOW) == (2, 1)
        async with await psycopg.AsyncConnection.connect(postgres_database) as other:
            await other.execute("LOCK TABLE items")
            stuck = asyncio.create_task(store.append_items("p", thread, [say("a")], NOW))
            while not (await (await other.execute(STUCK)).fetchone()):
                pass
            later = asyncio.create_task(store.append_items("p", thread, [say("b")], NOW))
            await other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
            with pytest.raises(ClewError) as failure:
                await stuck
            assert failure.value.code == "unavailable"
            assert isinstance(failure.value.__cause__, psycopg.OperationalError)
            await other.rollback()
            assert await later == (3, 2)
        assert await texts(store, thread) == ["first", "b"]
        await store.close()

    run(main())


def test_a_connection_that_breaks_while_nothing_is_under_way_is_not_noticed(postgres_database: str):
    """The appends before it and after it succeed."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        thread = await new_thread(store)
        assert await store.append_items("p", thread, [say("a")], NOW) == (2, 1)
        async with await psycopg.AsyncConnection.connect(postgres_database) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE query LIKE 'PREPARE%' AND datname = current_database()"
            )
        assert await store.append_items("p", thread, [say("b")], NOW) == (3, 2)
        await store.close()

    run(main())


def test_a_database_that_went_away_makes_appends_unavailable(postgres_database: str):
    """Nobody can connect any more: those that wait are told so, and closing still works."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        thread = await new_thread(store)
        gone = psycopg.conninfo.make_conninfo(postgres_database, dbname="gone")
        store._dsn = gone
        asked = [store.append_items("p", thread, [say(text)], NOW) for text in "ab"]
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [getattr(end, "code", end) for end in ends] == ["unavailable"] * 2
        await store.close()

    run(main())


def test_an_append_larger_than_the_socket_takes_is_sent_in_pieces(postgres_database: str):
    """An item of ten megabytes lands as it was, and so does the next one."""

    async def main() -> None:
        store = await PostgresStore.open(postgres_database)
        thread, large = await new_thread(store), "ab" * 5_000_000
        assert await store.append_items("p", thread, [say(large)], NOW) == (2, 1)
        assert await store.append_items("p", thread, [say("c")], NOW) == (3, 2)
        assert await texts(store, thread) == [large, "c"]
        await store.close()

    run(main())


@pytest.mark.parametrize("known", [False, True], ids=["never analyzed", "analyzed"])
def test_each_thread_is_looked_up_by_its_key(new_postgres_database: Callable[[], str], known: bool):
    """Whatever the planner knows of the tables: nothing while empty, or a hundred threads."""

    async def main() -> None:
        store = await PostgresStore.open(new_postgres_database())
        if known:
            for _ in range(100):
                await new_thread(store)
        connection = await store.connect()
        async with connection:
            if known:
                await connection.execute("ANALYZE")
            await connection.execute(b"PREPARE direct AS " + STATEMENT)
            cursor = await connection.execute("EXPLAIN EXECUTE direct ('[]')")
            plan = "\n".join([line for (line,) in await cursor.fetchall()])
        assert plan.count("Index Scan using threads_pkey") == 2
        assert plan.count("Index Cond: (thread_id = ") == 2
        assert not any(word in plan for word in ("Seq Scan", "Materialize", "threads_created"))
        await store.close()

    run(main())
