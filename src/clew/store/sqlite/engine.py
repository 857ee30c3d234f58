"""The SQLite file: opening, migrating, reading and writing it. The verbs are in the nouns' files.

Two connections on the event loop's thread: `db` writes, in groups (commits.py), `reader` reads
what is committed, a page at a time, in microseconds. `:memory:` has one connection for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw
import msgspec

from clew.core.errors import ClewError
from clew.store import queries
from clew.store.sqlite.commits import Checkpointer, Committer

T = TypeVar("T")
HERE = Path(__file__).parent
SQL = queries.load(HERE / "queries")
CACHE_KIB = 16_384
"""Page cache of each connection."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Engine:
    """An open SQLite database, bound to the running event loop."""

    def __init__(self, path: str, db: apsw.Connection, reader: apsw.Connection) -> None:
        self.path, self.db, self.reader = path, db, reader
        self._loop = asyncio.get_running_loop()
        self._in_snapshot = False
        self._commits = Committer(db, path, self._end_snapshot)

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open or create the database at `path` and bring its schema up to date."""
        try:
            db = await asyncio.to_thread(connect, path)
            await asyncio.to_thread(_prepare, db, path)
            reader = db if path == ":memory:" else connect(path)
        except apsw.Error as error:
            raise ClewError("unavailable", f"Cannot open {path}: {error}.") from error
        return cls(path, db, reader)

    async def close(self) -> None:
        await self._commits.close()
        self._end_snapshot()
        if self.reader is not self.db:
            self.reader.close()
        self.db.close()

    def snapshot(self) -> apsw.Connection:
        """The connection to read from.

        What is read in one turn of the event loop is read in one transaction: taking and leaving
        the locks of one costs as much as reading a row. It ends before a write is acknowledged,
        so whoever wrote reads what was written.
        """
        if not self._in_snapshot and self.reader is not self.db:
            self._in_snapshot = True
            self.reader.execute("BEGIN")
            self._loop.call_soon(self._end_snapshot)
        return self.reader

    def _end_snapshot(self) -> None:
        if self._in_snapshot:
            self._in_snapshot = False
            if self.reader.in_transaction:  # a failed read may have ended it
                self.reader.execute("COMMIT")

    def write(self, act: Callable[[], T], *, scrub: bool = False) -> asyncio.Future[T]:
        """Run `act`, which must decide before it changes anything, in a durable transaction."""
        return self._commits.submit(act, scrub=scrub)


def text(value: Any) -> str:
    """JSON as SQLite stores it."""
    return encode(value).decode()


def connect(path: str) -> apsw.Connection:
    """A connection as all of ours are."""
    db = apsw.Connection(path, statementcachesize=200)
    db.execute("PRAGMA busy_timeout = 10000")
    if path != ":memory:":
        _log_ahead(db)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    db.execute("PRAGMA secure_delete = ON").fetchall()
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute("PRAGMA temp_store = MEMORY")
    # Plans by the statement alone. Else a bound LIMIT makes SQLite plan each execution anew.
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    return db


def _log_ahead(db: apsw.Connection) -> None:
    """Switch to a write-ahead log; processes that do so at the same time get in each other's way.

    SQLite then refuses one at once, whatever its time-out, so that the other can go on.
    """
    for pause_s in (0.01, 0.05, 0.2, 1.0):
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except apsw.BusyError:
            time.sleep(pause_s)
    db.execute("PRAGMA journal_mode = WAL").fetchall()


def _prepare(db: apsw.Connection, path: str) -> None:
    """Bring the schema up to date; empty a log in which a crash may have left erased content."""
    _migrate(db)
    if path != ":memory:":
        Checkpointer(path).close()
    db.set_busy_timeout(0)


def _migrate(db: apsw.Connection) -> None:
    """Apply what is missing, in one transaction; refuse a database that does not fit."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(
            "CREATE TABLE IF NOT EXISTS clew_migrations "
            "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT"
        )
        applied = {n: (name, sha) for n, name, sha in db.execute("SELECT * FROM clew_migrations")}
        for step in queries.migrations(HERE / "migrations"):
            known = applied.pop(step.number, None)
            if known is None:
                db.execute(step.sql)
                row = (step.number, step.name, step.sha256)
                db.execute("INSERT INTO clew_migrations VALUES (?, ?, ?)", row)
            elif known[1] != step.sha256:
                raise ClewError("unavailable", f"Migration {step.name} is not the one applied.")
        if applied:
            raise ClewError("unavailable", "This database was written by a newer Clew.")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
