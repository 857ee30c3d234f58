"""Responses over HTTP: an assistant turn in a conversation, in a chain, or alone."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.core.errors import BadRequest, ClewError, NotFound, Replayed
from clew.core.events import ItemEnded
from clew.core.ids import key_of, new_key, new_run_key, thread_of_run
from clew.core.items import CALLS, OUTPUTS, Item, call_id, unanswered
from clew.core.runs import Run
from clew.core.threads import Thread
from clew.executor.live import Live
from clew.executor.unstored import Unstored
from clew.server.http import Answer, Request, Route, Server, Stream, encode
from clew.server.runs import recall, run_items, tell
from clew.wire import items, responses
from clew.wire.checks import Flag, Record
from clew.wire.response_events import ResponseStream

TAIL = 256
"""How far back a function call may stand that a request answers."""


class Place(msgspec.Struct):
    """Where a response goes: a thread as it stands, or (`is_new`) as it will be made.

    `at_seq` is where the response's history ends; None in a conversation, whatever it ends with.
    """

    thread: Thread
    is_new: bool = False
    at_seq: int | None = None


async def create_response(server: Server, request: Request) -> Answer | Stream:
    now, body = server.now(), request.body()
    input = responses.decode_input(body, now)
    place = await _place(server, request, body, now)
    await _check_calls(server, request, place, input)
    key = new_run_key(place.thread.key, now)
    chain = body.get("conversation") is None
    run = responses.decode_response(body, place.thread.key, key, now, chain=chain)
    if body.get("store") is False:
        history = None if place.is_new else server.store
        last_seq = place.thread.last_seq if place.at_seq is None else place.at_seq
        log = Unstored(run, input, history, last_seq)
        return await _started(server.executor.start(request.project, run, log), body)
    try:
        made = await _create_run(server, request, run, input, place, now)
    except Replayed as replayed:
        return await _again(server, request, replayed, body)
    return await _started(server.executor.start(request.project, made), body)


async def get_response(server: Server, request: Request) -> Answer:
    run = await _find(server, request.project, request.id("run", 0))
    if request.query().get("stream"):
        raise BadRequest(
            "This response cannot be streamed because it was not created with background=true.",
            "stream",
        )
    return _answer(run, await run_items(server, request.project, run))


async def _place(server: Server, request: Request, body: dict[str, Any], now: int) -> Place:
    conversation, previous = responses.conversation_id(body), body.get("previous_response_id")
    if conversation and previous:
        raise BadRequest(
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
            "'previous_response_id' or 'conversation'.",
            None,
            "mutually_exclusive_parameters",
        )
    if conversation:
        key = key_of("thread", conversation) or conversation
        return Place(await server.store.get_thread(request.project, key))
    if previous:
        return await _after(server, request, previous)
    if body.get("input") is None:
        raise BadRequest(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be "
            "provided.",
            None,
            "missing_required_parameter",
        )
    return Place(Thread(new_key(now), now, now, chain=True), is_new=True)


async def _after(server: Server, request: Request, previous: str) -> Place:
    """The place right after a response: its own chain, which may have gone on since."""
    try:
        run = await _find(server, request.project, previous)
    except NotFound:
        raise BadRequest(
            f"Previous response with id '{previous}' not found.",
            "previous_response_id",
            "previous_response_not_found",
        ) from None
    if not run.is_terminal:
        message = f"Previous response with id '{previous}' is still in progress."
        raise BadRequest(message, "previous_response_id", "previous_response_in_progress")
    thread = await server.store.get_thread(request.project, run.thread)
    return Place(thread, at_seq=run.last_seq)


async def _create_run(
    server: Server, request: Request, run: Run, input: list[Item], place: Place, now: int
) -> Run:
    """Store the run where it goes. A chain that has gone on, or a conversation, is forked."""
    once = request.once(now, _reference, project_wide=True)
    project, thread = request.project, place.thread
    if place.is_new:
        return await server.store.create_run(project, run, input, thread=thread, once=once)
    if place.at_seq is None:
        revision = request.if_revision()
        return await server.store.create_run(project, run, input, if_revision=revision, once=once)
    if thread.chain and thread.last_seq == place.at_seq and thread.active_run is None:
        try:
            return await server.store.create_run(
                project, run, input, if_last_seq=place.at_seq, once=once
            )
        except ClewError as error:
            if error.code not in ("conflict", "busy"):
                raise
    key = new_key(now)
    fork = Thread(key, now, now, chain=True, parent=thread.key, parent_seq=place.at_seq)
    moved = msgspec.structs.replace(run, key=new_run_key(key, now), thread=key)
    return await server.store.create_run(project, moved, input, thread=fork, once=once)


async def _check_calls(server: Server, request: Request, place: Place, input: list[Item]) -> None:
    """Refuse, before any token is spent, calls without outputs and outputs without calls."""
    tail: list[Item] = []
    if not place.is_new:
        below = (place.thread.last_seq if place.at_seq is None else place.at_seq) + 1
        tail = await server.store.read_items(
            request.project, place.thread.key, below=below, limit=TAIL
        )
    calls = {call_id(item) for item in [*tail, *input] if item.kind in CALLS}
    for item in input:
        if item.kind in OUTPUTS and call_id(item) not in calls:
            message = f"No tool call found for function call output with call_id {call_id(item)}."
            raise BadRequest(message, "input")
    for open_call in unanswered([*reversed(tail), *input]):
        raise BadRequest(f"No tool output found for function call {open_call}.", "input")


async def _find(server: Server, project: str, id: str) -> Run:
    key = key_of("run", id) or id
    thread = thread_of_run(key)
    if thread is None:
        raise NotFound("run", id)
    try:
        return await server.store.get_run(project, thread, key)
    except NotFound:
        raise NotFound("run", id) from None


async def _started(live: Live, body: dict[str, Any]) -> Answer | Stream:
    if body.get("stream"):
        return Stream(tell(live, ResponseStream()))
    async for _ in live.follow():
        pass
    if not live.run.is_terminal:
        raise NotFound("run", f"resp_{live.run.key}")  # erased meanwhile
    items = [event.item for event in live.events if isinstance(event, ItemEnded)]
    return _answer(live.run, items)


async def _again(
    server: Server, request: Request, replayed: Replayed, body: dict[str, Any]
) -> Answer | Stream:
    """A retry: the answer of the run that the first request began."""
    run = await _find(server, request.project, msgspec.json.decode(replayed.answer)["id"])
    return await _started(await recall(server, request.project, run.key, run), body)


def _reference(run: Run) -> bytes:
    """What is recorded for a retry: the answer itself is in the log."""
    return encode({"id": f"resp_{run.key}"})


def _answer(run: Run, output: list[Item]) -> Answer:
    return Answer(encode(responses.encode_response(run, output)))


_ALL = "/v1/responses"
_GET = Record({"include": items.READ.fields["include"], "stream": Flag()})
ROUTES = [
    Route(
        "POST",
        _ALL,
        create_response,
        "conversations",
        "Create a response",
        responses.CREATE,
        act="run",
    ),
    Route(
        "GET",
        f"{_ALL}/{{response_id}}",
        get_response,
        "conversations",
        "Retrieve a response",
        query=_GET,
    ),
]
