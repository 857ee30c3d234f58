"""Going on with a turn that somebody else began and did not end.

What that one said of an answer it never finished is kept, as an incomplete message that no model is
shown; its model call is recorded as lost, and made again as another. Tool calls that ended are not
made again; nor are those that were begun, where they may have had effects outside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from clew.core.events import Event, ItemBegan, ItemEnded, TextAdded
from clew.core.items import OUTPUTS, Item, lost_message, unanswered
from clew.core.runs import Run
from clew.executor.hosting import Hosting
from clew.executor.ledger import Ledger
from clew.executor.replay import read_items
from clew.store.store import Store

LOST = {"code": "lost", "message": "The process that made this call is gone."}


async def take_over(ledger: Ledger, hosting: Hosting) -> None:
    """Bring the record and the turn to where the next step begins."""
    log, run = ledger.log, ledger.run
    stored = await items_of_turn(log, ledger.project, run)  # type: ignore[arg-type]
    for call in await log.list_calls(ledger.project, run.thread, run.key):
        is_step = call.ended_at is not None and call.error is None
        hosting.steps += is_step and call.started_at >= (run.started_at or 0)
        if call.ended_at is None:
            ledger.note(replace(call, ended_at=ledger.now(), error=LOST))
    begun = {e.id: e.index for e in ledger.live.events if isinstance(e, ItemBegan)}
    ended = {e.item.id for e in ledger.live.events if isinstance(e, ItemEnded)}
    changed = []
    for item in stored:
        index = begun.get(item.id)
        hosting.calls += hosting.toolbox.is_call(item)
        if hosting.toolbox.does(item):
            index = ledger.begin(item, data=item.data()) if index is None else index
            gone = hosting.toolbox.lost(item)
            if gone is None:
                hosting.pending[item.id] = index, item
            else:
                changed.append((index, gone))
        elif index is None:
            ledger.retell(item)
        elif item.id not in ended:
            ledger.end(index, item)
    hosting.client_calls = bool(unanswered(stored))
    hosting.approvals = any(item.kind == "mcp_approval_request" for item in stored)
    known = {item.id for item in stored}
    partial = list(_partial(ledger.live.events, known, run))
    ledger.add(*(item for _, item in partial))
    ledger.change(*(item for _, item in changed))
    await ledger.keep()
    for index, item in (*partial, *changed):
        if item.id not in ended:
            ledger.end(index, item)


async def items_of_turn(store: Store, project: str, run: Run) -> list[Item]:
    """What the run wrote in its present turn, oldest first."""
    written = await read_items(store, project, run)
    return [item for item in written if item.seq > run.turn and item.kind not in OUTPUTS]


def _partial(events: Sequence[Event], known: Iterable[str], run: Run) -> Iterable[tuple[int, Item]]:
    """Messages that were begun and are not in the log, as far as they were told."""
    said: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if isinstance(event, TextAdded) and event.kind == "output_text":
            said[event.id].append(event.text)
    for event in events:
        if isinstance(event, ItemBegan) and event.kind == "assistant" and event.id not in known:
            text = "".join(said[event.id])
            yield (
                event.index,
                lost_message(event.id, text, event.created_at, run.key, run.assistant),
            )
