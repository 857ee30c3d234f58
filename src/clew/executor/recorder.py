"""Keeps the events of every stored run, so that its stream can be told again, by any process.

Whatever the number of streams, there is one write at a time, at most one in 100 ms, with all that
is new. A write that fails is tried again and holds up no stream. Until they are on disk, events
stay where they are in any case: with the run that this process works on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from functools import partial

import msgspec

from clew.core.kept import pack
from clew.core.runs import Run
from clew.executor.live import Live
from clew.store.events import EVENTS_KEPT_MS, EventVerbs, News

FLUSH_S = 0.1
"""From the beginning of one write to that of the next; a crash loses no more than that."""

WRITE_BYTES_MAX = 16 * 1024 * 1024
"""About how much one write holds; the rest goes with the next. PostgreSQL refuses a message of more
than 1 GB, and what it refuses would be in every further try."""

RETRY_S_MAX = 5.0
ENDED_MAX = 1_000
"""Runs that are over but not all kept, before the oldest are given up: their log tells of them."""

LAST_TRIES = 3
"""How often the last write is tried when the process ends."""

log = logging.getLogger("clew.executor")


class _Record(msgspec.Struct, eq=False):
    """A turn, and how many of its events are kept."""

    project: str
    live: Live
    run: Run
    kept: int = 0
    is_given_up: bool = False

    @property
    def name(self) -> tuple[str, int]:
        return self.run.key, self.live.turn

    @property
    def is_done(self) -> bool:
        return self.live.over and self.kept == len(self.live.events)


class Recorder:
    """`now` is the clock, in milliseconds."""

    def __init__(self, store: EventVerbs, now: Callable[[], int]) -> None:
        self._store, self._now = store, now
        self._records: dict[tuple[str, int], _Record] = {}
        self._waiting: list[_Record] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._failures = 0

    def record(self, project: str, run: Run, live: Live | None = None, kept: int = 0) -> Live:
        """The events of a turn that begins now, or goes on with `live`, of which so many were
        `kept` by others; they are kept as they come."""
        live = live or Live(run)
        record = _Record(project, live, run, kept)
        self._records[record.name] = record
        self._has_news(record)
        return live

    def give_up(self, live: Live) -> None:
        """Keep nothing more of a turn that somebody else goes on with."""
        for record in [one for one in self._records.values() if one.live is live]:
            del self._records[record.name]
            record.is_given_up = True
            self._waiting = [other for other in self._waiting if other is not record]

    def live(self, run: str, turn: int) -> Live | None:
        """A turn of this process that is not over, or not all kept."""
        record = self._records.get((run, turn))
        return None if record is None else record.live

    async def close(self) -> None:
        """Keep what there is."""
        failed = 0
        while failed < LAST_TRIES:
            if self._writing is not None:
                await self._writing
            self._cancel_timer()
            if not self._waiting:
                return
            await self._begin()
            failed += bool(self._failures)
        self._cancel_timer()

    def _has_news(self, record: _Record) -> None:
        if record.is_given_up:
            return
        self._waiting.append(record)
        if self._timer is None and self._writing is None:
            self._schedule(FLUSH_S)

    def _schedule(self, delay_s: float) -> None:
        # In a context of its own: what goes wrong here is not the fault of one request.
        loop, context = asyncio.get_running_loop(), Context()
        self._timer = loop.call_later(delay_s, self._begin, context=context)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> asyncio.Task[None]:
        self._timer = None
        self._writing = asyncio.create_task(self._write(), name="kept events")
        return self._writing

    async def _write(self) -> None:
        """One write of what is new, then the time until the next, if there is to be one."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        taken, news = self._take()
        try:
            if news:
                await self._store.append_events(news, self._now())
        except Exception:
            if not self._failures:
                log.exception("events could not be kept; it is tried again")
            self._failures += 1
            self._waiting = [record for record, _ in taken] + self._waiting
            self._give_up()
        else:
            self._failures = 0
            for record, size in taken:
                self._was_kept(record, size)
        self._writing = None
        if self._waiting:
            pause_s = min(FLUSH_S * 2.0 ** min(self._failures, 10), RETRY_S_MAX)
            self._schedule(max(0.0, began + pause_s - loop.time()))

    def _take(self) -> tuple[list[tuple[_Record, int]], list[News]]:
        """What goes into the next write: of which turns, up to which number, and the news."""
        taken: list[tuple[_Record, int]] = []
        news: list[News] = []
        size = 0
        while self._waiting and size < WRITE_BYTES_MAX:
            record = self._waiting.pop(0)
            count, packed = _packed(record)
            taken.append((record, record.kept + count))
            if packed:
                news.append(self._news(record, packed))
                size += len(packed)
        return taken, news

    def _news(self, record: _Record, packed: bytes) -> News:
        run, turn = record.run, record.live.turn
        until = max(self._now(), run.expires_at) + EVENTS_KEPT_MS
        first, attempt = record.kept, run.attempts
        return News(record.project, run.thread, run.key, turn, first, until, packed, attempt)

    def _was_kept(self, record: _Record, size: int) -> None:
        record.kept = size
        if record.is_given_up:
            return
        if record.is_done:
            self._records.pop(record.name, None)
        else:
            record.live.when_news(record.kept, partial(self._has_news, record))

    def _give_up(self) -> None:
        """Runs that are over must not pile up while nothing can be written."""
        ended = [record for record in self._waiting if record.live.over]
        for record in ended[: max(0, len(ended) - ENDED_MAX)]:
            log.warning("the events of run %s are given up", record.run.key)
            self._waiting.remove(record)
            self._records.pop(record.name, None)


def _packed(record: _Record) -> tuple[int, bytes]:
    """How many of a turn's new events go into one write, and these; nothing for those that cannot
    be kept, or when it is over, and that is all that is new."""
    events = record.live.events[record.kept :]
    count = len(events)
    try:
        packed = pack(events) if events else b""
        while len(packed) > WRITE_BYTES_MAX and count > 1:
            count //= 2
            packed = pack(events[:count])
    except (ValueError, OverflowError):
        log.exception("run %s has events that cannot be kept", record.run.key)
        return count, b""
    return count, packed
