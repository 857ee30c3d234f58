"""The PostgreSQL database: opening, reading and writing it. The verbs are in the nouns' files.

Invariant 1 (acknowledged means durable) rests on the server's `synchronous_commit`, which every
connection sets to `on`. Isolation is READ COMMITTED with the thread's row locked by every write to
it; threads are locked in the order of their keys, so that writers do not wait for each other in a
circle. Where they do all the same, the one the server stops is run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool

from clew.core.ids import ROLES
from clew.store import queries
from clew.store.postgres.failures import RETRIED, is_lost, told
from clew.store.postgres.schema import migrate

T = TypeVar("T")
Row = tuple[Any, ...]

LOCK_TIMEOUT_MS = 10_000
"""How long a write waits for another one on its thread before it is refused."""

OPEN_TIMEOUT_S = 10
ATTEMPTS = 5
"""How often a write is begun before a deadlock is everybody's problem."""

_CONNECTION: dict[str, Any] = {"autocommit": True, "application_name": "clew"}
_SETTINGS = {
    "synchronous_commit": "on",
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
    # Every statement is a few index look-ups. A plan made while the tables were small must stay
    # that at a million items, so the planner is not given the choice.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "jit": "off",
}


def _statements() -> dict[str, bytes]:
    named = queries.load(Path(__file__).parent / "queries")
    words = {"$lineage": named["lineage"], "$message_kinds": ", ".join(map(repr, sorted(ROLES)))}
    return {name: _filled(text, words).encode() for name, text in named.items()}


def _filled(text: str, words: dict[str, str]) -> str:
    for word, meant in words.items():
        text = text.replace(word, meant)
    return text


SQL = _statements()

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def text(value: Any) -> str:
    """JSON as PostgreSQL stores it."""
    return encode(value).decode()


async def rows(connection: AsyncConnection[Any], name: str, params: dict[str, Any]) -> list[Row]:
    """Run the statement of that name: one round trip."""
    cursor = await connection.execute(SQL[name], params, prepare=True)
    return [] if cursor.description is None else await cursor.fetchall()


class Transaction:
    """Named statements inside one transaction."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def run(self, name: str, **params: Any) -> list[Row]:
        return await rows(self._connection, name, params)

    async def row(self, name: str, **params: Any) -> Row | None:
        found = await self.run(name, **params)
        return found[0] if found else None


class Engine:
    """An open database, bound to the running event loop."""

    def __init__(self, dsn: str, pool: AsyncConnectionPool[AsyncConnection[Any]]) -> None:
        self._dsn, self._pool = dsn, pool
        self._renewal: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, dsn: str, *, pool_size: int = 8) -> Self:
        """Connect to the database `dsn` names and bring its schema up to date."""
        try:
            async with await AsyncConnection.connect(dsn, **_CONNECTION) as connection:
                await migrate(connection)
            pool = AsyncConnectionPool(
                dsn,
                kwargs=_CONNECTION,
                min_size=1,
                max_size=pool_size,
                configure=_configure,
                open=False,
            )
            await pool.open(wait=True, timeout=OPEN_TIMEOUT_S)
        except psycopg.Error as error:
            raise told(error) from error
        return cls(dsn, pool)

    async def close(self) -> None:
        if self._renewal is not None:
            await self._renewal
        await self._pool.close()

    async def connect(self) -> AsyncConnection[Any]:
        """A connection like the pool's and apart from them, the caller's to close."""
        connection = await AsyncConnection.connect(
            self._dsn, connect_timeout=OPEN_TIMEOUT_S, **_CONNECTION
        )
        await _configure(connection)
        return connection

    async def read(self, name: str, **params: Any) -> list[Row]:
        """The rows of one statement, in one round trip."""
        try:
            async with self._pool.connection() as connection:
                return await rows(connection, name, params)
        except psycopg.Error as error:
            raise self.failed(error) from error

    async def write(self, act: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `act` in a transaction, again if the server stopped it in favour of another."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._pool.connection() as connection, connection.transaction():
                    outcome = await act(Transaction(connection))
                break
            except psycopg.Error as error:
                if attempt == ATTEMPTS or not isinstance(error, RETRIED):
                    raise self.failed(error) from error
        return outcome

    def failed(self, error: psycopg.Error) -> Exception:
        """The error as callers may see it; after a lost connection the others are looked at."""
        if is_lost(error) and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._pool.check())
        return told(error)


async def _configure(connection: AsyncConnection[Any]) -> None:
    # one type for all integers, or each size of number would be another prepared statement
    connection.adapters.register_dumper(int, Int8Dumper)
    chosen = [f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items()]
    await connection.execute(f"SELECT {', '.join(chosen)}".encode())
