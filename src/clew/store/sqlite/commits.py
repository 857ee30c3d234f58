"""Group commit: one durable COMMIT for all the writes that wait for it.

Invariant 1 (acknowledged means durable) lives here: a write's future is resolved only after the
COMMIT of its group came back from the disk (`synchronous=FULL`).

The statements of a write are a few microseconds of CPU, so they run on the event loop; only the
COMMIT, which waits for the disk, runs on the committer thread. While it does, the next group
gathers. (Running the statements on that thread as well was measured: each would wait for the
interpreter lock, at 0.9 of the throughput.)

A write decides before it changes anything, so one that is refused leaves the others of its group
alone. Should one fail otherwise, the group is rolled back and each of its writes is tried alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw
import msgspec

from clew.core.errors import ClewError, Replayed
from clew.store.runs import Moved, Steered
from clew.store.sqlite import gaps
from clew.store.sqlite.failures import told

T = TypeVar("T")
LOCK_TIMEOUT_MS = 10_000
"""How long another process may hold the database before a write is refused."""

CHECKPOINT_PAGES = 4_000
"""The log is copied into the database when it has grown by this much (16 MB)."""

COMMITS_PER_LOOK = 64
"""How often the growth is looked at. (A hook at each commit would wait for the interpreter.)"""

log = logging.getLogger("clew.store")

_REFUSALS = (ClewError, Replayed, Moved, Steered)


class _Write(msgspec.Struct, eq=False):
    act: Callable[[], Any]
    future: asyncio.Future[Any]
    scrub: bool
    outcome: Any = None
    refusal: Exception | None = None


class Committer:
    """Runs writes on `db` in groups, in the order submitted.

    `on_commit` is called when a group is on disk, before any of its writes is acknowledged.
    """

    def __init__(self, db: apsw.Connection, path: str, on_commit: Callable[[], None]) -> None:
        self._db, self._on_commit = db, on_commit
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Write] = []
        self._alone: deque[_Write] = deque()
        self._group: list[_Write] = []
        self._busy = False
        self._commits = 0
        self._scrub_due = False
        self._scheduled = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._in_memory = path == ":memory:"
        self._checkpointer = None if self._in_memory else Checkpointer(path)
        self._thread = threading.Thread(target=self._work, name="clew-committer", daemon=True)
        if not self._in_memory:
            self._thread.start()

    def submit(self, act: Callable[[], T], *, scrub: bool = False) -> asyncio.Future[T]:
        """Run `act` in a transaction; its result comes when that is on disk.

        `scrub` also empties the write-ahead log, so that erased content is not in it either;
        where that fails it is tried again later, and when the database is closed or opened.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(_Write(act, future, scrub))
        if not self._busy and not self._scheduled:
            self._scheduled = True
            self._idle.clear()
            self._loop.call_soon(self._begin)
        return future

    async def close(self) -> None:
        """Wait until everything submitted is on disk, then stop the thread."""
        await self._idle.wait()
        if self._checkpointer is not None:
            self._orders.put(None)
            await asyncio.to_thread(self._thread.join)
            await asyncio.to_thread(self._checkpointer.close)

    # on the event loop

    def _begin(self) -> None:
        self._scheduled = False
        if self._alone:
            self._group = [self._alone.popleft()]
        else:
            self._group, self._waiting = self._waiting, []
        if not self._group:
            self._idle.set()
            return
        self._busy = True
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            self._orders.put(self._wait_for_lock)
        except apsw.Error as error:
            self._finish(error)
        else:
            self._run()

    def _run(self) -> None:
        for write in self._group:
            changes = self._db.total_changes()
            try:
                write.outcome = write.act()
            except Exception as error:
                write.refusal = error
                if not isinstance(error, _REFUSALS) or self._db.total_changes() != changes:
                    self._retreat()
                    return
        if self._in_memory:
            self._commit()
        else:
            self._orders.put(self._commit)

    def _retreat(self) -> None:
        """Undo the group; then try each write alone, or fail the one that was alone already."""
        _roll_back(self._db)
        group, self._group = self._group, []
        if len(group) == 1:
            _resolve(group[0])
        else:
            for write in group:
                write.outcome = write.refusal = None
            self._alone.extend(group)
        self._loop.call_soon(self._next)

    def _finish(self, error: Exception | None) -> None:
        self._on_commit()
        group, self._group = self._group, []
        for write in group:
            if error is not None:
                write.refusal = error
        self._next()
        for write in group:
            _resolve(write)

    def _next(self) -> None:
        self._busy = False
        self._scheduled = True
        if self._in_memory:
            self._loop.call_soon(self._begin)
        else:
            self._begin()

    # on the committer thread

    def _work(self) -> None:
        while (work := self._orders.get()) is not None:
            work()

    def _wait_for_lock(self) -> None:
        """Another process is writing: wait for it here, not on the event loop."""
        db = self._db
        go_on: Callable[[], None]
        try:
            db.set_busy_timeout(LOCK_TIMEOUT_MS)
            db.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            go_on = partial(self._finish, error)
        else:
            go_on = self._run
        db.set_busy_timeout(0)
        self._loop.call_soon_threadsafe(go_on)

    def _commit(self) -> None:
        db, failure = self._db, None
        try:
            db.execute("COMMIT")
        except apsw.Error as error:
            failure = error
            _roll_back(db)
        else:
            self._tidy()
        if self._in_memory:
            self._finish(failure)
        else:
            self._loop.call_soon_threadsafe(self._finish, failure)

    def _tidy(self) -> None:
        """What the log needs between two commits. Should it fail, what is committed stands."""
        try:
            self._tend(self._checkpointer)
        except apsw.Error:
            log.exception("the write-ahead log could not be copied; it will be tried again")

    def _tend(self, checkpointer: Checkpointer | None) -> None:
        if checkpointer is None:
            return
        self._commits += 1
        looks = self._commits % COMMITS_PER_LOOK == 0
        scrubs = any(write.scrub for write in self._group)
        self._scrub_due |= scrubs
        if scrubs or (looks and self._scrub_due):
            self._scrub_due = not checkpointer.scrub()
        elif checkpointer.caught_up:
            checkpointer.catch_up()
        elif looks:
            self._look(checkpointer)

    def _look(self, checkpointer: Checkpointer) -> None:
        """Has the log grown enough to be copied into the database?"""
        rows: list[Any] = self._db.execute("PRAGMA wal_checkpoint(NOOP)").fetchall()
        _, pages, copied = rows[0]
        if pages - copied >= CHECKPOINT_PAGES:
            checkpointer.start()


class Checkpointer:
    """Copies the write-ahead log into the database, off the commit path.

    It copies what there is while commits go on; then the committer copies the few pages that came
    meanwhile between two commits (`caught_up`), and the log starts again from its beginning.
    """

    def __init__(self, path: str) -> None:
        self.caught_up = False
        self._db = gaps.connect(path)
        self._db.set_busy_timeout(LOCK_TIMEOUT_MS)
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._copy, name="clew-checkpoint", daemon=True)
            self._thread.start()

    def catch_up(self) -> None:
        """Copy what came while `start` was copying."""
        self.caught_up = False
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def scrub(self) -> bool:
        """Empty the log, waiting for readers of other processes; False when they took too long."""
        with self._lock:
            rows: list[Any] = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        busy, _, _ = rows[0]
        return not busy

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()
        try:
            self.scrub()
        except apsw.Error:
            log.exception("the write-ahead log could not be emptied; the next opening will")
        self._db.close()

    def _copy(self) -> None:
        try:
            with self._lock:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except apsw.Error:
            log.exception("the write-ahead log could not be copied; it will be tried again")
        else:
            self.caught_up = True


def _roll_back(db: apsw.Connection) -> None:
    if db.in_transaction:  # some errors, a full disk for one, have rolled back already
        db.execute("ROLLBACK")


def _resolve(write: _Write) -> None:
    if write.future.cancelled():
        return
    if write.refusal is None:
        write.future.set_result(write.outcome)
    else:
        write.future.set_exception(told(write.refusal))
