"""Lists of completions read no more than they must, whatever is asked for."""

from __future__ import annotations

import asyncio

import pytest

from clew.core.completions import Completion
from clew.core.ids import new_key
from clew.store.postgres import PostgresStore
from clew.store.postgres import engine as postgres
from clew.store.sqlite import SQLiteStore
from clew.store.sqlite import engine as sqlite

T0 = 1_700_000_000_000
PLACES = {"low_at": 0, "low_key": "", "high_at": T0, "high_key": "", "low": 0, "high": 9}
ASKED = PLACES | {"project": "p", "completion": "X", "model": "m", "limit": 20}

LED_BY = {
    "completions": "completions_created",
    "model_completions": "completions_model",
    "find_completions": "completions_metadata",
    "completion_messages": "completion_messages",
}
"""Query -> the index that it must go by."""


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize(("query", "index"), LED_BY.items())
def test_a_list_goes_by_its_index_in_sqlite(query: str, index: str, way: str):
    """Every condition of a list that is not a place in its order leads into an index."""

    async def play() -> list[str]:
        store = await SQLiteStore.open(":memory:")
        asked = ASKED | {"name": "k", "value": "v", "metadata": '{"k":"v"}'}
        explained = f"EXPLAIN QUERY PLAN {sqlite.SQL[f'{query}_{way}']}"
        rows: list[tuple[int, int, int, str]] = store.db.execute(explained, asked).fetchall()
        await store.close()
        return [row[3] for row in rows]

    plan = asyncio.run(play())
    led_by = {
        "find_completions": "SEARCH lead USING PRIMARY KEY (project=? AND name=? AND value=?)"
    }
    assert led_by.get(query, index) in plan[0], plan
    assert not any(step.startswith("SCAN c") for step in plan), plan


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize(("query", "index"), LED_BY.items())
def test_a_list_goes_by_its_index_in_postgres(
    postgres_database: str, query: str, index: str, way: str
):
    """The same, with some completions in tables that nobody analyzed."""

    async def play() -> str:
        store = await PostgresStore.open(postgres_database)
        for number in range(50):
            made = Completion(new_key(T0), T0, f"m{number % 5}", b"{}", {"k": str(number)})
            await store.create_completion("p", made, [b"{}"])
        statement = b"EXPLAIN " + postgres.SQL[f"{query}_{way}"]
        async with store._pool.connection() as connection:
            asked = ASKED | {"metadata": '{"k":"v"}'}
            rows = await (await connection.execute(statement, asked)).fetchall()
        await store.close()
        return "\n".join(row[0] for row in rows)

    plan = asyncio.run(play())
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
