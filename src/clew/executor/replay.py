"""A run told again from what was kept of it, whoever works on it, or else from its log.

Events are kept a moment after they happen, so of a process that died the last ones may be missing.
What is missing then is told from the log: whatever was kept, the run's end comes last, once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from msgspec.structs import replace

from clew.core.errors import NotFound
from clew.core.events import (
    AnnotationAdded,
    ArgumentsAdded,
    Event,
    ItemBegan,
    ItemEnded,
    ItemProgressed,
    RunChanged,
    TextAdded,
)
from clew.core.items import OUTPUTS, Item
from clew.core.kept import unpack
from clew.core.paging import LIMIT_MAX, Page
from clew.core.runs import Run
from clew.executor.live import Live
from clew.store.store import Store

POLL_S = 0.1
"""How often the news of a run are read that another process works on."""

GRACE_MS = 1_000
"""How long after a run ended its last events may still be on their way to the disk."""


class Replay(Live):
    """One follower's own view of a turn. `look` gives the run as it stands now."""

    def __init__(
        self,
        store: Store,
        project: str,
        run: Run,
        turn: int,
        look: Callable[[], Awaitable[Run]],
        now: Callable[[], int],
    ) -> None:
        super().__init__(run)
        self.turn, self.events = turn, []
        self._store, self._project, self._stands = store, project, run
        self._look, self._now = look, now
        self._patient_until = now() + GRACE_MS
        self._own = 0  # events that were told here before anything was kept: that the run waits

    @property
    def run(self) -> Run:
        return super().run if self.events else self._stands

    async def follow(self) -> AsyncIterator[list[Event]]:
        told = 0
        try:
            while not self.over:
                await self._read_on()
                if told < len(self.events):
                    yield self.events[told:]
                    told = len(self.events)
        except NotFound:
            self.end()  # erased meanwhile

    async def _read_on(self) -> None:
        """Some more events, or the end."""
        run = self._stands
        if run.waits_in_line and not self.events:
            self.events, self._own = [RunChanged(run)], 1
            return
        known = len(self.events) - self._own
        news = await read_kept(self._store, self._project, run, self.turn, known)
        if news:
            news, self._own = news[self._own :], 0
        self.events += news
        if self.events and is_end(self.events[-1]):
            self.end()
        elif news:
            return
        elif await self._is_settled(run):
            items = await read_items(self._store, self._project, run)
            self.events += rest(self.events, run, self.turn, items)
            self.end()
        else:
            await asyncio.sleep(POLL_S)
            self._stands = await self._look()
            if self._stands.is_terminal and not run.is_terminal:
                self._patient_until = self._now() + GRACE_MS

    async def _is_settled(self, run: Run) -> bool:
        """Whether nobody is about to keep more events of this turn."""
        now = self._now()
        if run.is_terminal:
            ended_at = run.completed_at or run.failed_at or run.cancelled_at or 0
            return now > min(ended_at + GRACE_MS, self._patient_until)
        if now <= self._patient_until or not run.pauses:
            return False
        if run.status == "requires_action":
            return True
        return _of_turn(await read_items(self._store, self._project, run), self.turn)[1]


def is_end(event: Event) -> bool:
    """Whether this ends a turn."""
    if not isinstance(event, RunChanged):
        return False
    return event.run.is_terminal or event.run.status == "requires_action"


async def read_kept(store: Store, project: str, run: Run, turn: int, first: int) -> list[Event]:
    """What was kept of a turn from number `first` on, up to the first gap."""
    rows = await store.list_events(project, run.thread, run.key, turn, first=first)
    if first and rows and rows[0][0] != first:  # an older row grew when it was written again
        return (await read_kept(store, project, run, turn, 0))[first:]
    events: list[Event] = []
    for number, packed in rows:
        told = first + len(events) - number
        if told < 0:
            break
        events += unpack(packed, run)[told:]
    return events


async def read_items(store: Store, project: str, run: Run) -> list[Item]:
    """The items a run wrote, oldest first."""
    items: list[Item] = []
    more, after = True, None
    while more:
        page = Page(LIMIT_MAX, "asc", after)
        found, more = await store.list_items(project, run.thread, page, run=run.key)
        items += found
        after = items[-1].id if items else None
    return items


def rest(events: Sequence[Event], run: Run, turn: int, items: Sequence[Item]) -> Iterator[Event]:
    """What is still to be told of a turn of which these events were kept, from the run's items."""
    items, paused = _of_turn(items, turn)
    whole = Live.told(replace(run, status="requires_action") if paused else run, items).events
    known = Counter(_place(event) for event in events)
    told = _told_texts(events)
    for event in whole:
        match event:
            case TextAdded() | ArgumentsAdded():
                yield from _remainder(event, told[_place(event)])
            case _ if known[_place(event)]:
                known[_place(event)] -= 1
            case _:
                yield event


def _of_turn(items: Sequence[Item], turn: int) -> tuple[list[Item], bool]:
    """The items of one turn, and whether tool outputs, and so another turn, come after them."""
    later = [item for item in items if item.seq > turn]
    outputs = [place for place, item in enumerate(later) if item.kind in OUTPUTS]
    return (later[: outputs[0]], True) if outputs else (later, False)


Place = tuple[object, ...]


def _place(event: Event) -> Place:
    """What an event tells of, so that what was told is not told again."""
    match event:
        case RunChanged(run):
            return "run", run.status
        case ItemEnded(item=item):
            return "ended", item.id
        case TextAdded() | AnnotationAdded():
            return type(event).__name__, event.id, getattr(event, "kind", ""), event.part
        case ItemProgressed():
            return event.stage, event.id
        case ItemBegan() | ArgumentsAdded():
            return type(event).__name__, event.id


def _told_texts(events: Sequence[Event]) -> Counter[Place]:
    """How many characters were told in each place."""
    told: Counter[Place] = Counter()
    for event in events:
        if isinstance(event, TextAdded):
            told[_place(event)] += len(event.text)
        elif isinstance(event, ArgumentsAdded):
            told[_place(event)] += len(event.arguments)
    return told


def _remainder(event: TextAdded | ArgumentsAdded, told: int) -> Iterator[Event]:
    """The part of a text that goes beyond what was told of it."""
    if isinstance(event, TextAdded):
        if told < len(event.text):
            yield replace(event, text=event.text[told:])
    elif told < len(event.arguments):
        yield replace(event, arguments=event.arguments[told:])
