"""The streams of runs over HTTP: told as it happens, or gone on with by whoever comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from clew.core.errors import BadRequest
from clew.core.events import Event
from clew.core.items import CALLS, OUTPUTS, Item, call_id
from clew.core.runs import Run
from clew.executor.live import Live
from clew.executor.replay import read_items
from clew.server.http import Request, Server, Stream
from clew.wire.run_events import RunStream

LAST_EVENT_ID = "Last-Event-ID"
"""What a client that comes back to a stream sends by itself: newer than anything in the URL."""


class Encoder(Protocol):
    def encode(self, event: Event) -> bytes: ...


async def tell(live: Live, encoder: Encoder) -> AsyncIterator[bytes]:
    """The events of a run as bytes, those that came together in one piece."""
    async for events in live.follow():
        said = b"".join([encoder.encode(event) for event in events])
        if said:
            yield said


async def stream_of(
    server: Server,
    project: str,
    run: Run,
    turn: int,
    *,
    include: Collection[str] = (),
    after: int = 0,
) -> Stream:
    """The stream of one turn of a run, from behind event number `after` on."""
    answered = _answered(await read_items(server.store, project, run), turn) if turn else None
    if answered is not None and not answered[1] and turn != run.turn:
        message = f"Invalid event id: this run has no turn {turn}."
        raise BadRequest(message, "starting_after", "invalid_value")
    live = server.executor.recall(project, run, turn)
    return Stream(tell(live, RunStream(answered=answered, include=include, turn=turn, after=after)))


def last_event_id(request: Request) -> str | None:
    """The last event that a client got which comes back."""
    return request.header(LAST_EVENT_ID.lower().encode()) or None


def _answered(items: Sequence[Item], turn: int) -> tuple[list[Item], Mapping[str, str]]:
    """The calls, and their outputs, that let a run go on in this turn; none if it has no such."""
    before = [item for item in items if item.seq <= turn]
    outputs: dict[str, str] = {}
    if not before or before[-1].seq != turn or _goes_on(items[len(before) :]):
        return [], outputs
    while before and before[-1].kind in OUTPUTS:
        item = before.pop()
        outputs[call_id(item)] = item.data()["output"]
    return [item for item in before if item.kind in CALLS and call_id(item) in outputs], outputs


def _goes_on(items: Sequence[Item]) -> bool:
    """Whether more outputs come first."""
    return bool(items) and items[0].kind in OUTPUTS
