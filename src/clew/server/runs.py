"""Runs and their steps over HTTP: the Threads face of an assistant turn."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from clew.core.assistants import Assistant
from clew.core.errors import IllegalMove, NotFound, Replayed
from clew.core.ids import key_of, new_item_id, new_run_key
from clew.core.items import Item, new_item, unanswered
from clew.core.paging import Page
from clew.core.runs import Run, move
from clew.core.threads import Thread
from clew.executor.live import Live
from clew.executor.replay import read_items
from clew.server import routing
from clew.server.events import LAST_EVENT_ID, last_event_id, stream_of, tell
from clew.server.http import Answer, Request, Route, Server, Stream, encode
from clew.server.tool_resources import index_given
from clew.store.runs import Moved
from clew.wire import messages, runs, steps, threads
from clew.wire.errors import Face
from clew.wire.fields import encode_page, page_of
from clew.wire.run_events import RunStream, decode_event_id
from clew.wire.tool_resources import decode_attachments

_MADE_WITH_RUN = 2
"""The revision of a thread when it was made together with a run."""

_POLL_AFTER = (b"openai-poll-after-ms", b"200")
"""How soon the official client's polling helpers look again; without it, after a second."""


async def create_run(server: Server, request: Request) -> Answer | Stream:
    now, thread = server.now(), request.key("thread")
    include = request.query().get("include", ())
    body = request.body()
    assistant, routed = await _assistant(server, request, body, thread)
    run = _decode(server, body, assistant, thread, now, routed)
    added = body.get("additional_messages") or ()
    items, given = messages.items_of(added, now), decode_attachments(added, now)
    once = request.once(now, _encode)
    try:
        made = await server.store.create_run(
            request.project,
            run,
            items,
            on_busy=server.busy(request.project, body.get("on_busy")),
            given=given,
            lease=server.executor.lease,
            if_revision=request.if_revision(),
            once=once,
        )
    except Replayed as replayed:
        return await _again(server, request, replayed, body, include=include)
    index_given(server, given)
    live = server.executor.receive(request.project, made, run)
    if made.place is not None:
        await server.executor.heed(request.project, thread)
    if made.key != run.key and body.get("stream"):  # it steers another
        return await stream_of(server, request.project, made, made.turn, include=include)
    return _told(live, made, body, RunStream(include=include))


async def create_thread_and_run(server: Server, request: Request) -> Answer | Stream:
    now = server.now()
    body = request.body()
    assistant, routed = await _assistant(server, request, body)
    thread, items = threads.decode_thread(body.get("thread") or {}, now, ("thread",))
    if body.get("tool_resources"):
        thread.tool_resources = (thread.tool_resources or {}) | body["tool_resources"]
    given = threads.grant_to(thread, body.get("thread") or {})
    run = _decode(server, body, assistant, thread.key, now, routed)
    once = request.once(now, _encode)
    try:
        args, lease = (request.project, run, items), server.executor.lease
        made = await server.store.create_run(
            *args, thread=thread, given=given, lease=lease, once=once
        )
    except Replayed as replayed:
        return await _again(server, request, replayed, body, with_thread=True)
    index_given(server, given)
    stored = await server.store.get_thread(request.project, thread.key)
    live = server.executor.start(request.project, made)
    return _told(live, made, body, RunStream(stored))


def _decode(
    server: Server,
    body: dict[str, Any],
    assistant: Assistant,
    thread: str,
    now: int,
    routed: dict[str, object] | None = None,
) -> Run:
    """The run a request asks for. What its model cannot do is refused before anything is stored."""
    key, patience_ms = new_run_key(thread, now), server.executor.run_expires_ms
    run = runs.decode_run(body, assistant, thread, key, now, patience_ms)
    if routed is not None:
        run.settings["routed_by"] = routed
    server.executor.check(run)
    return run


async def get_run(server: Server, request: Request) -> Answer:
    run = await find_run(server, request)
    headers = [] if run.is_terminal else [_POLL_AFTER]
    return Answer(encode(await _shown(server, request, run)), headers=headers)


async def list_runs(server: Server, request: Request) -> Answer:
    page = page_of(request.query(), "run")
    found, more = await server.store.list_runs(request.project, request.key("thread"), page)
    current = [await _current(server, request.project, run) for run in found]
    shown = [await _shown(server, request, run) for run in current]
    headers = [] if all(run.is_terminal for run in current) else [_POLL_AFTER]
    return Answer(encode(encode_page(shown, more)), headers=headers)


async def update_run(server: Server, request: Request) -> Answer:
    metadata = request.body().get("metadata") or {}
    run = await find_run(server, request)
    calls = await _awaited(server, request.project, run)

    def answer(run: Run) -> bytes:
        return encode(runs.encode_run(run, calls))

    once = request.once(server.now(), answer)
    args = request.project, run.thread, run.key, metadata
    return Answer(answer(await server.store.update_run(*args, once=once)))


async def cancel_run(server: Server, request: Request) -> Answer:
    run = await find_run(server, request)
    once = request.once(server.now(), _encode)
    if once is not None and (run.is_terminal or run.status == "cancelling"):
        # Only the store knows whether this is the retry of what ended it.
        run = msgspec.structs.replace(run, status="in_progress")
    return Answer(_encode(await server.executor.cancel(request.project, run, once)))


async def submit_tool_outputs(server: Server, request: Request) -> Answer | Stream:
    now = server.now()
    body = request.body()
    run = await find_run(server, request)
    once = request.once(now, _encode)
    if run.status != "requires_action" and once is None:
        raise IllegalMove(run.status, "queued")
    calls = list(unanswered(await read_items(server.store, request.project, run)).values())
    if not calls:
        run = await find_run(server, request)  # the same request went through meanwhile
    try:
        outputs = runs.decode_outputs(body, calls) if run.status == "requires_action" else []
        items = [_output(run, data, now) for data in outputs]
        moved = await server.store.move_run(
            request.project,
            "requires_action",
            move(msgspec.structs.replace(run, status="requires_action"), "queued", now),
            items,
            now_ms=now,
            lease=server.executor.lease,
            once=once,
        )
    except Replayed as replayed:
        return await _again_after(server, request, replayed, body)
    except Moved as lost:
        raise IllegalMove(lost.run.status, "queued") from None
    answered = {data["call_id"]: data["output"] for data in outputs}
    live = server.executor.start(request.project, moved)
    return _told(live, moved, body, RunStream(answered=(calls, answered), turn=moved.turn))


async def stream_run(server: Server, request: Request) -> Stream:
    """The events of a run's newest turn, or those that come after one that a client got."""
    query = request.query()
    run = await find_run(server, request)
    turn, after = run.turn, 0
    last, param = last_event_id(request), LAST_EVENT_ID
    if last is None:
        last, param = query.get("starting_after"), "starting_after"
    if last is not None:
        turn, after = decode_event_id(last, param)
    include = query.get("include", ())
    return await stream_of(server, request.project, run, turn, include=include, after=after)


async def list_steps(server: Server, request: Request) -> Answer:
    query = request.query()
    page, include = page_of(query), query.get("include", ())
    run = await find_run(server, request)
    all_steps = steps.encode_steps(
        run, await read_items(server.store, request.project, run), include
    )
    found, more = _page(all_steps, page)
    return Answer(encode(encode_page(found, more)))


async def get_step(server: Server, request: Request) -> Answer:
    include = request.query().get("include", ())
    id = request.id("step", 2)
    run = await find_run(server, request)
    items = await read_items(server.store, request.project, run)
    for step in steps.encode_steps(run, items, include):
        if step["id"] == id:
            return Answer(encode(step))
    raise NotFound("step", id)


# what responses need too


async def find_run(server: Server, request: Request) -> Run:
    """The run a path names; one whose time is over has expired when somebody looks."""
    thread, key = request.key("thread"), request.key("run", 1)
    run = await server.store.get_run(request.project, thread, key)
    return await _current(server, request.project, run)


async def recall(server: Server, project: str, key: str, run: Run) -> Live:
    """What happened in a run: as it happens, or told again."""
    return server.executor.recall(project, run)


def _told(live: Live, run: Run, body: dict[str, Any], stream: RunStream) -> Answer | Stream:
    """The answer to a request that began a run, as it asks to be told."""
    if body.get("stream"):
        return Stream(tell(live, stream))
    return Answer(_encode(run))


async def _current(server: Server, project: str, run: Run) -> Run:
    """The run, expired if it has waited for its client for too long."""
    return await server.executor.expire(project, run) if run.is_abandoned(server.now()) else run


async def _again(
    server: Server,
    request: Request,
    replayed: Replayed,
    body: dict[str, Any],
    *,
    with_thread: bool = False,
    include: Collection[str] = (),
) -> Answer | Stream:
    """A retry: the first answer, or the stream of the run it began."""
    if not body.get("stream"):
        raise replayed
    run, made = await _first_run(server, request, replayed), None
    if with_thread:
        stands = await server.store.get_thread(request.project, run.thread)
        made = _as_made(stands, run)
    live = server.executor.recall(request.project, run)
    return Stream(tell(live, RunStream(made, include=include)))


def _as_made(thread: Thread, run: Run) -> Thread:
    """The thread at the moment it was made with its first run."""
    return msgspec.structs.replace(
        thread,
        revision=_MADE_WITH_RUN,
        last_seq=run.input_seq,
        active_run=run.key,
        updated_at=run.created_at,
    )


async def _again_after(
    server: Server, request: Request, replayed: Replayed, body: dict[str, Any]
) -> Answer | Stream:
    """A retry of tool outputs: the first answer, or the stream of what came after them."""
    if not body.get("stream"):
        raise replayed
    run = await _first_run(server, request, replayed)
    items = await read_items(server.store, request.project, run)
    answered = {given["tool_call_id"] for given in body["tool_outputs"]}
    turns = [item.seq for item in items if item.data().get("call_id") in answered]
    return await stream_of(server, request.project, run, turns[-1] if turns else run.turn)


async def _first_run(server: Server, request: Request, replayed: Replayed) -> Run:
    first = msgspec.json.decode(replayed.answer)
    thread, key = key_of("thread", first["thread_id"]) or "", key_of("run", first["id"]) or ""
    return await server.store.get_run(request.project, thread, key)


async def _assistant(
    server: Server, request: Request, body: dict[str, Any], thread: str | None = None
) -> tuple[Assistant, dict[str, object] | None]:
    """The assistant, and which rule chose it, if any; without `thread` the body has a new one."""
    if body["assistant_id"] == routing.AUTO:
        if thread is None:
            metadata = (body.get("thread") or {}).get("metadata") or {}
        else:
            metadata = (await server.store.get_thread(request.project, thread)).metadata
        return await routing.choose(server, request.project, metadata)
    key = runs.assistant_key(body)
    if key is None:
        raise NotFound("assistant", body["assistant_id"])
    return await server.store.get_assistant(request.project, key), None


async def _shown(server: Server, request: Request, run: Run) -> dict[str, Any]:
    return runs.encode_run(run, await _awaited(server, request.project, run))


async def _awaited(server: Server, project: str, run: Run) -> list[Item]:
    """The function calls whose outputs a paused run waits for."""
    if run.status != "requires_action":
        return []
    return list(unanswered(await read_items(server.store, project, run)).values())


def _output(run: Run, data: dict[str, Any], now_ms: int) -> Item:
    return new_item(new_item_id(data["type"], now_ms), data, now_ms, run.key)


def _page(entries: list[dict[str, Any]], page: Page) -> tuple[list[dict[str, Any]], bool]:
    """A page of a short list given oldest first; its cursors are ids of entries."""
    ordered = entries if page.order == "asc" else entries[::-1]
    ids = [entry["id"] for entry in ordered]
    start = 0 if page.after is None else _index(ids, page.after) + 1
    stop = len(ordered) if page.before is None else _index(ids, page.before)
    between = ordered[start:stop]
    if page.before is not None and page.after is None:
        return between[-page.limit :], len(between) > page.limit
    return between[: page.limit], len(between) > page.limit


def _index(ids: list[str], cursor: str) -> int:
    if cursor not in ids:
        raise NotFound("step", cursor)
    return ids.index(cursor)


def _encode(run: Run) -> bytes:
    return encode(runs.encode_run(run))


_ALL = "/v1/threads/{thread_id}/runs"
_ONE = f"{_ALL}/{{run_id}}"
_STEPS = f"{_ONE}/steps"
_F: Face = "threads"
ROUTES = [
    Route(
        "POST",
        "/v1/threads/runs",
        create_thread_and_run,
        _F,
        "Create a thread and run it",
        runs.CREATE_WITH_THREAD,
        act="run",
    ),
    Route("POST", _ALL, create_run, _F, "Create a run", runs.CREATE, runs.INCLUDE, act="run"),
    Route("GET", _ALL, list_runs, _F, "List runs", query=runs.LIST),
    Route("GET", _ONE, get_run, _F, "Retrieve a run"),
    Route("POST", _ONE, update_run, _F, "Modify a run", runs.UPDATE),
    Route("POST", f"{_ONE}/cancel", cancel_run, _F, "Cancel a run"),
    Route(
        "POST",
        f"{_ONE}/submit_tool_outputs",
        submit_tool_outputs,
        _F,
        "Submit tool outputs",
        runs.SUBMIT,
    ),
    Route("GET", f"{_ONE}/events", stream_run, _F, "Stream a run", query=runs.EVENTS),
    Route("GET", _STEPS, list_steps, _F, "List run steps", query=runs.LIST_STEPS),
    Route("GET", f"{_STEPS}/{{step_id}}", get_step, _F, "Retrieve a run step", query=runs.INCLUDE),
]
