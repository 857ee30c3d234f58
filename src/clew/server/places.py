"""Where a response goes, and how it begins there: in a conversation, in a chain, or nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from clew.core.busy import OnBusy
from clew.core.errors import BadRequest, Busy, ClewError, NotFound
from clew.core.ids import key_of, new_key, new_run_key, thread_of_run
from clew.core.items import CALLS, OUTPUTS, Item, call_id, unanswered
from clew.core.runs import Run, move
from clew.core.threads import Thread
from clew.executor.live import Live
from clew.executor.unstored import Unstored
from clew.server.http import Request, Server, encode
from clew.wire import response_requests as requests
from clew.wire.refusals import shown
from clew.wire.responses import decode_response

TAIL = 256
"""How far back a function call may stand that a request answers."""


class Place(msgspec.Struct):
    """Where a response goes: a thread as it stands, or (`is_new`) as it will be made.

    `at_seq` is where the response's history ends; None in a conversation, whatever it ends with.
    `unstored` are items that come after that and are in no thread: what was said before with
    `store: false`, on a connection that remembers it.
    """

    thread: Thread
    is_new: bool = False
    at_seq: int | None = None
    unstored: list[Item] = []

    @property
    def end(self) -> int:
        """The seq at which the stored history ends."""
        return self.thread.last_seq if self.at_seq is None else self.at_seq


class Begun(msgspec.Struct):
    """A response under way: where it went, and what it was given."""

    live: Live
    place: Place
    input: list[Item]


Memory = Mapping[str, Place]
"""Response id -> the place right after it, for responses that are not stored."""


async def begin(
    server: Server, request: Request, body: dict[str, Any], memory: Memory | None = None
) -> Begun:
    """Begin a response. Whatever speaks against it is said before anything is stored."""
    now, project = server.now(), request.project
    requests.check_create(body)
    _check_prompt(server, body)
    place = await place_of(server, project, body, now, memory)
    await check_references(server, project, place, body)
    said = requests.decode_input(body, now)
    busy = server.busy(project, body.get("on_busy"))
    await _check_calls(server, project, place, said, waits=_waits(body, place, busy))
    chain = body.get("conversation") is None
    thread = place.thread.key
    run = decode_response(body, thread, new_run_key(thread, now), now, chain=chain)
    server.executor.check(run)
    input = [*(replace(item, run=None) for item in place.unstored), *said]
    if body.get("store") is False:
        log = Unstored(run, input, None if place.is_new else server.store, place.end)
    else:
        log, made = None, await _create_run(server, request, run, input, place, now, busy)
        if made.place is not None or made.key != run.key:
            live = server.executor.receive(project, made, run)
            await server.executor.heed(project, made.thread)
            return Begun(live, place, input)
        run = made
    if body.get("generate") is False or _prewarms(body):
        live = await _prepared(server, project, run, log)
    else:
        live = server.executor.start(project, run, log)
    return Begun(live, place, input)


async def place_of(
    server: Server, project: str, body: Mapping[str, Any], now: int, memory: Memory | None = None
) -> Place:
    """The place a request names: its conversation, the response before it, or a new one."""
    conversation, previous = requests.conversation_id(body), body.get("previous_response_id")
    new = Thread(new_key(now), now, now, chain=True)
    if conversation is not None:
        key = key_of("thread", conversation) or conversation
        return Place(await server.store.get_thread(project, key))
    if previous is not None:
        known = memory.get(previous) if memory else None
        if known is None:
            return await _after(server, project, previous)
        return replace(known, thread=new) if known.is_new else known
    return Place(new, is_new=True)


async def find_run(server: Server, project: str, id: str) -> Run:
    """The run of a response id."""
    key = key_of("run", id) or id
    thread = thread_of_run(key)
    if thread is None:
        raise NotFound("run", id)
    try:
        return await server.store.get_run(project, thread, key)
    except NotFound:
        raise NotFound("run", id) from None


async def end_expired(server: Server, project: str, busy: Busy) -> bool:
    """End the run that holds a thread if it has waited for its client for too long.

    Returns whether the thread is free.
    """
    run = await server.store.get_run(project, busy.thread, busy.run)
    if not run.is_abandoned(server.now()):
        return run.is_terminal
    await server.executor.expire(project, run)
    return True


def reference(run: Run) -> bytes:
    """What is recorded for a retry: the answer itself is in the log."""
    return encode({"id": f"resp_{run.key}"})


async def _after(server: Server, project: str, previous: str) -> Place:
    """The place right after a response: its own chain, which may have gone on since."""
    try:
        run = await find_run(server, project, previous)
    except NotFound:
        raise BadRequest(
            f"Previous response with id '{shown(previous)}' not found.",
            "previous_response_id",
            "previous_response_not_found",
        ) from None
    if not run.is_terminal:
        message = f"Previous response with id '{previous}' is still in progress."
        raise BadRequest(message, "previous_response_id", "previous_response_in_progress")
    thread = await server.store.get_thread(project, run.thread)
    return Place(thread, at_seq=run.last_seq)


async def _create_run(
    server: Server,
    request: Request,
    run: Run,
    input: list[Item],
    place: Place,
    now: int,
    busy: OnBusy,
) -> Run:
    """Store the run where it goes. A chain that has gone on, or a conversation, is forked."""
    how: dict[str, Any] = {
        "once": request.once(now, reference, project_wide=True),
        "lease": server.executor.lease,
    }
    project, thread = request.project, place.thread
    if place.is_new:
        return await server.store.create_run(project, run, input, thread=thread, **how)
    if place.at_seq is None:
        how |= {"if_revision": request.if_revision(), "on_busy": busy}
        return await server.store.create_run(project, run, input, **how)
    if thread.chain and thread.last_seq == place.at_seq and thread.active_run is None:
        try:
            how["if_last_seq"] = place.at_seq
            return await server.store.create_run(project, run, input, **how)
        except ClewError as error:
            if error.code not in ("conflict", "busy"):
                raise
    key = new_key(now)
    fork = Thread(key, now, now, chain=True, parent=thread.key, parent_seq=place.at_seq)
    moved = replace(run, key=new_run_key(key, now), thread=key)
    how.pop("if_last_seq", None)
    return await server.store.create_run(project, moved, input, thread=fork, **how)


async def _prepared(server: Server, project: str, run: Run, log: Unstored | None) -> Live:
    """A response that was not to be generated: its input is in place, it says nothing."""
    keep = log or server.store
    for status in ("in_progress", "completed"):
        now, was = server.now(), run.status
        run = await keep.move_run(project, was, move(run, status, now), now_ms=now)
    return Live.told(run, [])


def _prewarms(body: Mapping[str, Any]) -> bool:
    return bool((body.get("prompt_cache_options") or {}).get("prewarm"))


def _check_prompt(server: Server, body: Mapping[str, Any]) -> None:
    """A prompt is the upstream's: Clew has none of its own."""
    prompt = body.get("prompt")
    if prompt is None:
        return
    provider = server.executor.provider_of(body["model"])
    if "prompt" not in provider.abilities.settings:
        raise ClewError("not_found", f"Prompt with id '{prompt['id']}' not found.")


async def check_references(
    server: Server, project: str, place: Place, body: Mapping[str, Any]
) -> None:
    """Items that the input refers to are in the history, where the model sees them anyway."""
    unstored = {item.id for item in place.unstored}
    for id in requests.references(body):
        if id in unstored or await _is_in_history(server, project, place, id):
            continue
        raise ClewError(
            "not_found",
            f"Item with id '{id}' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input.",
            "input",
        )


async def _is_in_history(server: Server, project: str, place: Place, id: str) -> bool:
    if place.is_new:
        return False
    try:
        item = await server.store.get_item(project, place.thread.key, id)
    except NotFound:
        return False
    return item.seq <= place.end


def _waits(body: Mapping[str, Any], place: Place, busy: OnBusy) -> bool:
    """Whether this comes while a run is active, and is to come in spite of it."""
    in_conversation = place.at_seq is None and not place.is_new and body.get("store") is not False
    is_busy = in_conversation and place.thread.active_run is not None
    return is_busy and busy.policy(place.thread.on_busy) != "reject"


async def _check_calls(
    server: Server, project: str, place: Place, input: list[Item], *, waits: bool
) -> None:
    """Refuse, before any token is spent, calls without outputs and outputs without calls.

    For whoever `waits`, the calls of the active run are its own to be answered."""
    tail: list[Item] = []
    if not place.is_new:
        below = place.end + 1
        tail = await server.store.read_items(project, place.thread.key, below=below, limit=TAIL)
    before = [*reversed(tail), *place.unstored]
    calls = {call_id(item) for item in _of_kinds([*before, *input], CALLS)}
    for item in _of_kinds(input, OUTPUTS):
        if call_id(item) not in calls:
            message = f"No tool call found for function call output with call_id {call_id(item)}."
            raise BadRequest(message, "input")
    for open_call in unanswered(input if waits else [*before, *input]):
        raise BadRequest(f"No tool output found for function call {open_call}.", "input")


def _of_kinds(items: Iterable[Item], kinds: frozenset[str]) -> Iterable[Item]:
    return (item for item in items if item.kind in kinds)
