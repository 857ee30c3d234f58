"""What is measured: each piece a module with `measure(plan, load)`, which yields rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.load import Load
from bench.measure import Row
from bench.pieces import (
    disk,
    file_search,
    http_append,
    http_read,
    in_process,
    postgres_append,
    relay,
    runs,
    start,
    thread_length,
)
from bench.plan import Plan

Piece = Callable[[Plan, Load], Iterator[Row]]

PIECES: dict[str, Piece] = {
    "http-append": http_append.measure,
    "http-read": http_read.measure,
    "postgres-append": postgres_append.measure,
    "thread-length": thread_length.measure,
    "in-process": in_process.measure,
    "relay": relay.measure,
    "runs": runs.measure,
    "file-search": file_search.measure,
    "disk": disk.measure,
    "start": start.measure,
}
"""By the name that `--only` takes, in the order of the table."""
