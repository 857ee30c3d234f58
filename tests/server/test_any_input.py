"""Whatever comes in at any route: a valid answer or OpenAI's error, never a fault of the server."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.server.http import Route
from clew.server.routes import ROUTES

from ..wire.strategies import allowed, any_text, bodies_like
from .live import Live

PROJECT = "proj_any_input"
ID = re.compile(r"\{\w+\}")
NAMING = [route for route in ROUTES if ID.search(route.path)]
"""The routes with ids in them."""


@pytest.fixture
def ids(live: Live) -> list[str]:
    """Ids of things that are there, so that generated requests get past the first check."""
    with live.client(project=PROJECT) as client:
        assistant = client.beta.assistants.create(model="scripted").id
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}]).id
        run = client.beta.threads.runs.create_and_poll(
            thread_id=thread, assistant_id=assistant, poll_interval_ms=5
        ).id
        message = client.beta.threads.messages.list(thread).data[0].id
        response = client.responses.create(model="scripted", input="hello").id
    return [thread, thread.replace("thread_", "conv_"), run, message, assistant, response]


header_values = st.binary(max_size=12).map(lambda text: bytes(c | 0x20 for c in text))
"""Without control characters, which no HTTP server lets through."""

segments = any_text.map(lambda text: text.encode(errors="ignore").decode().replace("/", ""))
"""Parts of a path, as an HTTP server gives them: decoded, so without lone surrogates."""


def requests(route: Route) -> st.SearchStrategy[tuple[list[Any], bytes, bytes, Any]]:
    """Path ids, query string, body and headers; often nearly right."""
    names = list(route.body.fields) if route.body else ["metadata"]
    right = [allowed(route.body)] if route.body else []
    bodies = st.one_of(*right, bodies_like(names)).map(_json)
    body = st.one_of(bodies, st.binary(max_size=40), bodies.map(lambda text: text[:-1]))
    known = [*(route.query.fields if route.query else []), "limit", "metadata[k]", "include[]"]
    pair = st.tuples(st.sampled_from(known) | any_text, any_text | st.integers().map(str))
    query = st.lists(pair, max_size=3).map(_query) | st.binary(max_size=12)
    header = st.tuples(
        st.sampled_from([b"if-match", b"idempotency-key", b"openai-project"]),
        header_values | st.sampled_from([b'"1"', b"k", PROJECT.encode()]),
    )
    place = st.integers(0, 5) | segments
    ids = st.lists(place, min_size=3, max_size=3)
    return st.tuples(ids, query, body, st.lists(header, max_size=2))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _query(pairs: list[tuple[str, str]]) -> bytes:
    return urlencode(pairs, errors="surrogatepass").encode()


async def answer(live: Live, method: str, path: str, query: bytes, body: bytes, headers: Any):
    """Status, headers and body of what the application sends."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(b"openai-project", PROJECT.encode()), *headers],
    }
    await live.here.app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), content


def check(status: int, headers: dict[bytes, bytes], content: bytes) -> None:
    """It is a success in JSON or events, or a refusal in OpenAI's JSON."""
    if headers[b"content-type"].startswith(b"text/event-stream"):
        assert (status, content[:7]) == (200, b"event: ")
        return
    said = msgspec.json.decode(content)
    if status == 200:
        assert isinstance(said, dict)
        return
    assert 400 <= status < 500, (status, content)
    error = said["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_request_is_a_fault_of_the_server(live: Live, ids: list[str], route: Route):
    """Generated ids, queries, bodies and headers, at every line of the route table."""

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(requests(route))
    def play(request: tuple[list[Any], bytes, bytes, Any]) -> None:
        places, query, body, headers = request
        places = [ids[place] if isinstance(place, int) else place for place in places]
        path = ID.sub(lambda _: places.pop(0), route.path)
        check(*live.here.run(answer(live, route.method, path, query, body, headers)))

    play()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "HEAD", "BREW"])
def test_no_path_is_a_fault_of_the_server(live: Live, method: str):
    """Generated paths, also those no route has."""

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.sampled_from(["v1", "threads", "", "runs"]) | segments, max_size=5))
    def play(parts: list[str]) -> None:
        check(*live.here.run(answer(live, method, "/" + "/".join(parts), b"", b"{}", [])))

    play()


@pytest.mark.parametrize("route", NAMING, ids=lambda route: f"{route.method} {route.path}")
def test_a_strange_id_is_not_found(live: Live, ids: list[str], route: Route):
    """Over real HTTP, where the last id of a path should be, it is an unknown one."""
    places = [ids[0] if "thread" in route.path else ids[1], ids[2]]
    count = len(ID.findall(route.path))
    with live.http(PROJECT) as http:
        for text in ("%41", "%2e%2e", quote("é"), "a%00b", "%ff", "x" * 5000):
            filled = iter([*places[: count - 1], text])
            path = ID.sub(lambda _, filled=filled: next(filled), route.path)
            answer = http.request(route.method, path, json=LEAST.get(route.path, {}))
            assert answer.status_code == 404, answer.text
            assert "not found" in answer.text or "No " in answer.text


LEAST = {
    "/v1/threads/{thread_id}/messages": {"role": "user", "content": "x"},
    "/v1/conversations/{conversation_id}": {"metadata": {}},
    "/v1/conversations/{conversation_id}/items": {"items": [{"role": "user", "content": "x"}]},
    "/v1/threads/{thread_id}/runs": {"assistant_id": "asst_x"},
    "/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs": {
        "tool_outputs": [{"tool_call_id": "x"}]
    },
}
"""The least that each route lets through to look for the id."""
