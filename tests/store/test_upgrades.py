"""A database of the release before: what was under way then is taken over now, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
import pytest

from clew.core.runs import Lease
from clew.store import queries
from clew.store.postgres import PostgresStore
from clew.store.runs import Due
from clew.store.sqlite import SQLiteStore
from clew.store.store import Store

OLD = {
    "sqlite": """
        INSERT INTO threads (key, project, revision, last_seq, updated_at, created_at, parent_seq,
                             chain, metadata) VALUES ('{thread}', 'p', 1, 0, 9, 9, 0, 0, '{{}}');
        UPDATE threads SET active_run = '{run}'
        WHERE key = '{thread}' AND '{status}' <> 'completed';
        INSERT INTO runs (thread, key, status, created_at, metadata, body)
        SELECT no, '{run}', '{status}', 9, '{{}}', '{body}' FROM threads WHERE key = '{thread}';
        INSERT INTO calls (thread, key, run, body)
        SELECT no, '{run}_2', '{run}', '{calls[0]}' FROM threads WHERE key = '{thread}';
        INSERT INTO calls (thread, key, run, body)
        SELECT no, '{run}_1', '{run}', '{calls[1]}' FROM threads WHERE key = '{thread}';
        """,
    "postgres": """
        INSERT INTO threads (thread_id, project, revision, last_seq, updated_at, created_at,
                             parent_seq, chain, metadata)
        VALUES ('{thread}', 'p', 1, 0, 9, 9, 0, false, '{{}}');
        UPDATE threads SET active_run = '{run}'
        WHERE thread_id = '{thread}' AND '{status}' <> 'completed';
        INSERT INTO runs (thread_id, id, status, created_at, metadata, body)
        VALUES ('{thread}', '{run}', '{status}', 9, '{{}}', '{body}');
        INSERT INTO calls (thread_id, id, run, body)
        VALUES ('{thread}', '{run}_2', '{run}', '{calls[0]}'),
               ('{thread}', '{run}_1', '{run}', '{calls[1]}');
        """,
}
"""A thread with a run and its two calls, as the release before wrote them."""

UNDER_WAY = {
    "a": ("in_progress", 600),
    "b": ("requires_action", 700),
    "c": ("requires_action", 0),
    "d": ("queued", 600),
    "e": ("completed", 600),
}
"""Thread -> the status of its run, and when that expires."""


def statements(engine: str, thread: str) -> str:
    status, expires_at = UNDER_WAY[thread]
    run: dict[str, Any] = {"key": f"run_{thread}", "thread": f"t_{thread}", "created_at": 9}
    run |= {"model": "m", "status": status, "instructions": "be \x00 brief"}
    run |= {"settings": {"expires_at": 5}, "first_seq": 1, "input_seq": 0, "last_seq": 0}
    run |= {"expires_at": expires_at, "started_at": None}
    call: dict[str, Any] = {"run": f"run_{thread}", "model": "m", "provider": "p"}
    call |= {"started_at": 1, "ended_at": 2, "first_seq": 1, "last_seq": 1}
    calls = [_json(call | {"key": f"run_{thread}_{number}"}) for number in (2, 1)]
    names = {"thread": f"t_{thread}", "run": f"run_{thread}", "status": status}
    return OLD[engine].format(**names, body=_json(run), calls=calls)


def _json(fields: dict[str, Any]) -> str:
    return msgspec.json.encode(fields).decode()


@pytest.fixture(params=["sqlite", "postgres"])
def open_old(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    new_postgres_database: Callable[[], str],
) -> Callable[[], Any]:
    """Opens a database that stood at migration 0006, with runs under way."""
    engine: str = request.param
    path = str(tmp_path / "clew.db") if engine == "sqlite" else new_postgres_database()

    def open_store() -> Any:
        return SQLiteStore.open(path) if engine == "sqlite" else PostgresStore.open(path)

    async def open_and_close() -> None:
        await (await open_store()).close()

    whole = queries.migrations
    with monkeypatch.context() as patch:
        patch.setattr(queries, "migrations", lambda at: [m for m in whole(at) if m.number <= 6])
        asyncio.run(open_and_close())
    if engine == "sqlite":
        with apsw.Connection(path) as db:
            for thread in UNDER_WAY:
                db.execute(statements(engine, thread))
    else:
        with psycopg.connect(path) as connection:
            for thread in UNDER_WAY:
                connection.execute(statements(engine, thread).encode())
    return open_store


def test_what_was_under_way_is_due(open_old: Callable[[], Any]) -> None:
    """Runs that a process left behind are anybody's at once, those that wait when their time is
    over, and none else."""

    async def main() -> None:
        store: Store = await open_old()
        now = [Due("p", f"t_{thread}", f"run_{thread}") for thread in "ad"]
        assert sorted(await store.list_due(699, 9), key=lambda one: one.run) == now
        assert (await store.list_due(700, 9))[-1] == Due("p", "t_b", "run_b")
        assert len(await store.list_due(1 << 60, 9)) == 3
        for thread, attempts in (("t_a", 2), ("t_d", 2), ("t_b", 2), ("t_c", None), ("t_e", None)):
            run = await store.claim_run("p", thread, Lease("me", 800), 700)
            assert (run and run.attempts) == attempts
        run = await store.get_run("p", "t_a", "run_a")
        assert (run.status, run.instructions, run.place) == ("in_progress", "be \x00 brief", None)
        ended = msgspec.structs.replace(run, status="failed")
        ended = await store.move_run("p", run.status, ended, now_ms=9, lease=Lease("me", 800))
        assert ended.status == "failed"
        calls = await store.list_calls("p", "t_a", "run_a")
        assert [call.key for call in calls] == ["run_a_2", "run_a_1"]
        await store.close()

    asyncio.run(main())
