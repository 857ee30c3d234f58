"""The limit of one durable append: a one-row commit in a bare SQLite file, in process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import apsw


class BareFile:
    """A WAL file with `synchronous=FULL` and one table."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def commit_ms(self, text: str, commits: int) -> float:
        """The p50 of committing one row."""
        taken = []
        for _ in range(commits):
            began = time.perf_counter()
            self._db.execute("INSERT INTO items (body) VALUES (?)", (text,))
            taken.append((time.perf_counter() - began) * 1000)
        return median(taken)


@contextmanager
def bare_file(path: Path) -> Iterator[BareFile]:
    db = apsw.Connection(str(path))
    try:
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE items (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        yield BareFile(db)
    finally:
        db.close()
