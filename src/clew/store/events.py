"""What happened in runs, kept so that a stream can be told again.

A run's events are numbered from 0 in each of its turns; a turn is known by the seq at which the log
stood when it began (a run that waits for tool outputs has another turn after them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

EVENTS_KEPT_MS = 86_400_000
"""How long the events of a run are kept after it must be over: a day."""


class News(msgspec.Struct, frozen=True):
    """Events of a turn from number `first` on, encoded; they may go once it is `until`.

    `attempt` is the run's `attempts` as whoever tells this took the run up.
    """

    project: str
    thread: str
    run: str
    turn: int
    first: int
    until: int
    events: bytes
    attempt: int = 1


class EventVerbs(Protocol):
    """What happened in runs, kept so that a stream can be told again."""

    async def append_events(self, news: Sequence[News], now_ms: int) -> None:
        """Keep what is new of any number of runs, in one transaction.

        News of a run that is not there (any more), or whose events were erased, are dropped; so
        are those of an attempt after which there was another: who was stopped for longer than its
        lease, and goes on, is heard no more. News that came before with the same `first` are
        replaced. Some events whose time is over go.
        """
        ...

    async def list_events(
        self, project: str, thread: str, run: str, turn: int, *, first: int = 0
    ) -> list[tuple[int, bytes]]:
        """The news of a turn whose own `first` is at least this, in order; none for no such run."""
        ...
