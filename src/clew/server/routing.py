"""Routing over HTTP: the rules, what they would choose, and what they choose for a run."""

from __future__ import annotations

from collections.abc import Mapping

from clew.core.assistants import Assistant
from clew.core.errors import BadRequest, NotFound
from clew.core.ids import key_of
from clew.core.routing import Routing, trials
from clew.server.http import Answer, Request, Route, Server, encode
from clew.wire import routing
from clew.wire.refusals import shown, wrong_value

AUTO = "auto"
"""What a run says instead of an assistant's id."""


async def get_rules(server: Server, request: Request) -> Answer:
    found = await server.store.get_routing(request.project)
    return Answer(_encode(found), found.revision)


async def put_rules(server: Server, request: Request) -> Answer:
    now, rules = server.now(), routing.decode_rules(request.body())
    once, revision = request.once(now, _encode), request.if_revision()
    args = request.project, rules, now
    try:
        made = await server.store.put_routing(*args, if_revision=revision, once=once)
    except NotFound as missing:
        place = [rule.assistant for rule in rules].index(missing.id)
        problem = f"there is no assistant 'asst_{missing.id}'."
        raise wrong_value(("rules", place, "assistant_id"), problem) from None
    return Answer(_encode(made), made.revision)


async def dry_run(server: Server, request: Request) -> Answer:
    body = request.body()
    metadata = body.get("metadata") or {}
    if body.get("thread_id") is not None:
        if body.get("metadata") is not None:
            problem = "a thread has its own metadata; give one or the other."
            raise wrong_value(("metadata",), problem)
        metadata = (await server.store.get_thread(request.project, _key(body))).metadata
    rules = await server.store.get_routing(request.project)
    tried, missing = trials(rules.rules, metadata), None
    if tried and tried[-1].why_not is None:
        try:
            await server.store.get_assistant(request.project, tried[-1].rule.assistant)
        except NotFound:
            missing = _gone(len(tried) - 1, tried[-1].rule.assistant)
    return Answer(encode(routing.encode_dry_run(rules, tried, missing)))


async def choose(
    server: Server, project: str, metadata: Mapping[str, str]
) -> tuple[Assistant, dict[str, object]]:
    """The assistant for a thread with these metadata, and what is recorded of the choice."""
    rules = await server.store.get_routing(project)
    tried = trials(rules.rules, metadata)
    if not tried or tried[-1].why_not is not None:
        raise BadRequest(_none(rules), "assistant_id", "no_route")
    rule, place = tried[-1].rule, len(tried) - 1
    try:
        assistant = await server.store.get_assistant(project, rule.assistant)
    except NotFound:
        raise BadRequest(_gone(place, rule.assistant), "assistant_id", "no_route") from None
    return assistant, {"revision": rules.revision, "rule": place, "name": rule.name}


def _none(rules: Routing) -> str:
    count = len(rules.rules)
    said = f"none of the {count} routing rules matches" if count else "there are no routing rules"
    return f"No assistant for 'auto': {said}."


def _gone(place: int, assistant: str) -> str:
    return f"Rule {place} names 'asst_{assistant}', which has been deleted."


def _key(body: dict[str, str]) -> str:
    id = body["thread_id"]
    key = key_of("thread", id)
    if key is None:
        problem = f"'{shown(id)}'. Expected an ID that begins with 'thread'."
        raise wrong_value(("thread_id",), problem)
    return key


def _encode(found: Routing) -> bytes:
    return encode(routing.encode_routing(found))


_ALL = "/v1/routing_rules"
ROUTES = [
    Route("GET", _ALL, get_rules, "clew", "Retrieve the routing rules"),
    Route("POST", _ALL, put_rules, "clew", "Replace the routing rules", routing.PUT),
    Route("POST", f"{_ALL}/dry_run", dry_run, "clew", "Which assistant?", routing.DRY_RUN),
]
