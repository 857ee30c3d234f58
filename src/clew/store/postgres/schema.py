"""Bringing the schema up to date: each migration once, in order, in one transaction.

Several processes may start at once: an advisory lock lets one of them do it. Tables are made in
the first schema of the connection's search_path.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from clew.core.errors import ClewError
from clew.store import queries

FOLDER = Path(__file__).parent / "migrations"
_LOCK = int.from_bytes(b"clew", "big")
_TABLE = b"""CREATE TABLE IF NOT EXISTS clew_migrations (
    number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())"""
_RECORD = b"INSERT INTO clew_migrations (number, name, sha256) VALUES (%s, %s, %s)"


@asynccontextmanager
async def alone(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """A transaction that changes the schema, one process after the other."""
    async with connection.transaction():
        await connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        yield


async def migrate(connection: AsyncConnection[Any], folder: Path = FOLDER) -> None:
    """Apply what is missing; refuse a database that does not fit, and change nothing then."""
    async with alone(connection):
        await connection.execute(_TABLE)
        cursor = await connection.execute(b"SELECT number, sha256 FROM clew_migrations")
        applied: dict[int, str] = dict(await cursor.fetchall())
        for step in queries.migrations(folder):
            known = applied.pop(step.number, None)
            if known is None:
                await connection.execute(step.sql.encode())
                await connection.execute(_RECORD, (step.number, step.name, step.sha256))
            elif known != step.sha256:
                raise ClewError("unavailable", f"Migration {step.name} is not the one applied.")
        if applied:
            raise ClewError("unavailable", "This database was written by a newer Clew.")
