"""Responses over HTTP: an assistant turn in a conversation, in a chain, or alone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from clew.core.errors import BadRequest, ClewError, IllegalMove, NotFound, Replayed
from clew.core.ids import key_of, new_item_id, new_key, random_part, thread_of_run
from clew.core.items import Item, new_item
from clew.core.runs import Run
from clew.core.threads import Receipt
from clew.executor.live import Live
from clew.executor.relay import compaction
from clew.executor.replay import read_items
from clew.executor.unstored import Unstored
from clew.executor.windows import read_window
from clew.server.events import LAST_EVENT_ID, last_event_id, tell
from clew.server.http import Answer, Request, Route, Server, Stream, encode
from clew.server.places import begin, check_references, find_run, place_of, reference
from clew.server.runs import recall
from clew.wire import response_requests as requests
from clew.wire import responses, threads
from clew.wire.errors import Face
from clew.wire.fields import page_of
from clew.wire.response_events import ResponseStream

TOO_LONG = "context_length_exceeded"
DIGITS_MAX = 15
"""Of the number of an event."""


async def create_response(server: Server, request: Request) -> Answer | Stream:
    request.query()
    body = request.body()
    try:
        begun = await begin(server, request, body)
    except Replayed as replayed:
        return await _again(server, request, replayed, body)
    return await _told(server, request, begun.live, body)


async def get_response(server: Server, request: Request) -> Answer | Stream:
    query = request.query()
    requests.check_read(query)
    run = await _find(server, request)
    if query.get("stream"):
        return await _replay(server, request, run, query)
    output = await read_items(server.store, request.project, run)
    return _answer(run, output, query.get("include"))


async def delete_response(server: Server, request: Request) -> Answer:
    """Erase a run and, where it made its own chain, what was said in it."""
    request.query()
    now, id = server.now(), request.id("run", 0)
    key = key_of("run", id) or id
    thread = thread_of_run(key)
    if thread is None:
        raise NotFound("run", id)

    def answer(receipt: Receipt) -> bytes:
        done = responses.encode_deleted(id)
        return encode(done | {"clew": {"receipt": threads.encode_receipt(receipt)}})

    receipt = Receipt(f"rcpt_{new_key(now)}", thread, now, 0, 0)
    once = request.once(now, answer)
    try:
        receipt = await server.store.erase_run(request.project, thread, key, receipt, once=once)
    except NotFound:
        raise NotFound("run", id) from None
    server.executor.let_go(key)
    with suppress(NotFound):
        await server.executor.go_on(request.project, thread)
    return Answer(answer(receipt))


async def cancel_response(server: Server, request: Request) -> Answer:
    """Cancel a background response; once it is cancelled, again and again to no further effect."""
    request.query()
    project, run = request.project, await _find(server, request)
    if not run.settings.get("background"):
        raise BadRequest("Cannot cancel a synchronous response.")
    once = request.once(server.now(), reference)
    if once is not None and run.is_terminal:
        # Only the store knows whether this is the retry of what ended it.
        run = replace(run, status="in_progress")
    try:
        await server.executor.cancel(project, run, once)
    except Replayed:
        pass
    except IllegalMove as refused:
        if refused.run_status not in ("cancelling", "cancelled"):
            raise
    live = server.executor.following(run.key)
    if live is not None:
        await _end(live)
    ended = await _find(server, request)
    return _answer(ended, await read_items(server.store, project, ended))


async def list_input_items(server: Server, request: Request) -> Answer:
    """What a response was made from: the history before it, then its own input."""
    query = request.query()
    run = await _find(server, request)
    found, more = await server.store.list_items(
        request.project, run.thread, page_of(query), upto=run.input_seq
    )
    return Answer(responses.encode_input_items(found, more, query.get("include", ())))


async def count_input_tokens(server: Server, request: Request) -> Answer:
    """How many tokens a response would be made from."""
    request.query()
    body = request.body()
    requests.check_count(body)
    run, seen = await _seen(server, request, body | {"model": body.get("model") or ""})
    return Answer(encode(responses.encode_count(await server.executor.count_input(run, seen))))


async def compact(server: Server, request: Request) -> Answer:
    """Items to go on with in place of a history. Nothing is stored, and nothing goes away."""
    request.query()
    body, now = request.body(), server.now()
    requests.check_compact(body)
    run, seen = await _seen(server, request, body)
    server.executor.check(run)
    made, finish = await compaction(server.executor, run, seen)
    output = [
        new_item(new_item_id(data.get("role", data["type"]), now), data, now) for data in made
    ]
    usage = {
        "input_tokens": finish.tokens_in or 0,
        "cached_tokens": finish.tokens_cached,
        "output_tokens": finish.tokens_out or 0,
        "reasoning_tokens": finish.tokens_reasoning,
    }
    return Answer(encode(responses.encode_compaction(new_key(now), now, output, usage)))


async def _seen(server: Server, request: Request, body: dict[str, Any]) -> tuple[Run, list[Item]]:
    """What a model would see that was asked this, and the run that would ask it."""
    now = server.now()
    place = await place_of(server, request.project, body, now)
    await check_references(server, request.project, place, body)
    run = responses.decode_response(body, place.thread.key, "", now, chain=True)
    input = requests.decode_input(body, now)
    log = Unstored(run, input, None if place.is_new else server.store, place.end)
    foreign = server.executor.provider_of(run.model).abilities.compacts
    window = await read_window(log, request.project, run.thread, foreign=foreign)
    return run, window.items


async def _find(server: Server, request: Request) -> Run:
    return await find_run(server, request.project, request.id("run", 0))


async def _replay(server: Server, request: Request, run: Run, query: dict[str, Any]) -> Stream:
    if not (run.settings.get("background") and run.settings.get("stream")):
        raise BadRequest(
            "This response cannot be streamed because it was not created with background=true.",
            "stream",
        )
    live = await recall(server, request.project, run.key, run)
    padding = random_part if query.get("include_obfuscation") else None
    last = last_event_id(request)
    after = query.get("starting_after", -1) if last is None else _number(last)
    return Stream(tell(live, ResponseStream(after, query.get("include"), padding)))


def _number(id: str) -> int:
    """The number of the last event that a client got which comes back."""
    if not (id.isascii() and id.isdigit() and len(id) <= DIGITS_MAX):
        message = f"Invalid '{LAST_EVENT_ID}': expected the sequence_number of an event."
        raise BadRequest(message, LAST_EVENT_ID, "invalid_value")
    return int(id)


async def _told(
    server: Server, request: Request, live: Live, body: dict[str, Any]
) -> Answer | Stream:
    """The answer to a request that began a response, as it asks to be told."""
    if body.get("stream"):
        options = body.get("stream_options") or {}
        padding = random_part if options.get("include_obfuscation") else None
        return Stream(tell(live, ResponseStream(padding=padding)))
    if body.get("background"):
        return _answer(live.run, live.items)
    live = await _ended(server, request, live)
    error = live.run.error or {}
    if error.get("code") == TOO_LONG:
        # A response has no such code, and it is what clients look for in a refusal.
        raise BadRequest(error["message"], "input", TOO_LONG)
    return _answer(live.run, live.items)


async def _again(
    server: Server, request: Request, replayed: Replayed, body: dict[str, Any]
) -> Answer | Stream:
    """A retry: the answer of the run that the first request began."""
    id = msgspec.json.decode(replayed.answer)["id"]
    run = await find_run(server, request.project, id)
    live = await recall(server, request.project, run.key, run)
    return await _told(server, request, live, body)


async def _ended(server: Server, request: Request, live: Live) -> Live:
    """What happened in a run, once it is over; here, or where somebody else has taken it over."""
    await _end(live)
    if live.run.is_terminal:
        return live
    id = f"resp_{live.run.key}"
    run = await find_run(server, request.project, id)  # it may be erased
    if server.executor.is_draining:
        raise ClewError("unavailable", f"The server is stopping; '{id}' goes on at the next one.")
    live = await recall(server, request.project, run.key, run)
    await _end(live)
    if not live.run.is_terminal:
        raise NotFound("run", id)
    return live


async def _end(live: Live) -> None:
    async for _ in live.follow():
        pass


def _answer(run: Run, output: list[Item], include: list[str] | None = None) -> Answer:
    return Answer(encode(responses.encode_response(run, output, include)))


_ALL = "/v1/responses"
_ONE = f"{_ALL}/{{response_id}}"
_F: Face = "conversations"
_Q = requests.QUERY
CREATE = Route(
    "POST", _ALL, create_response, _F, "Create a response", requests.CREATE, _Q, act="run"
)
ROUTES = [
    CREATE,
    Route("GET", _ONE, get_response, _F, "Retrieve a response", query=requests.GET),
    Route("DELETE", _ONE, delete_response, _F, "Erase a response", query=_Q),
    Route("POST", f"{_ONE}/cancel", cancel_response, _F, "Cancel a background response", query=_Q),
    Route(
        "GET",
        f"{_ONE}/input_items",
        list_input_items,
        _F,
        "List what a response was made from",
        query=requests.INPUT_ITEMS,
    ),
    Route(
        "POST",
        f"{_ALL}/input_tokens",
        count_input_tokens,
        _F,
        "Count the tokens of an input",
        requests.COUNT,
        _Q,
    ),
    Route("POST", f"{_ALL}/compact", compact, _F, "Compact a history", requests.COMPACT, _Q),
]
