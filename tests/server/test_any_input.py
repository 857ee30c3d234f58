"""Whatever comes in at any route: a valid answer or OpenAI's error, never a fault of the server."""

from __future__ import annotations

import asyncio
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
        file = client.files.create(file=b"hello", purpose="user_data").id
        upload = client.uploads.create(
            bytes=5, filename="f", mime_type="text/plain", purpose="user_data"
        ).id
        text = client.files.create(file=b"hello", purpose="assistants").id
        store = client.vector_stores.create(file_ids=[text]).id
        added = client.files.create(file=b"hello", purpose="assistants").id
        batch = client.vector_stores.file_batches.create(store, file_ids=[added]).id
        completion = client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "hello"}], store=True
        ).id
    conversation = thread.replace("thread_", "conv_")
    made = [thread, conversation, run, message, assistant, response, file, upload]
    return [*made, text, store, batch, completion]


header_values = st.binary(max_size=12).map(lambda text: bytes(c | 0x20 for c in text))
"""Without control characters, which no HTTP server lets through."""

segments = any_text.map(lambda text: text.encode(errors="ignore").decode().replace("/", ""))
"""Parts of a path, as an HTTP server gives them: decoded, so without lone surrogates."""


def _form(parts: list[tuple[str, str, str | None]]) -> bytes:
    """A form of these fields; those with a file name are files."""
    lines = []
    for name, value, filename in parts:
        named = f'; filename="{filename}"' if filename is not None else ""
        lines += ["--edge", f'Content-Disposition: form-data; name="{name}"{named}', "", value]
    return "\r\n".join([*lines, "--edge--", ""]).encode(errors="replace")


def forms(names: list[str]) -> st.SearchStrategy[bytes]:
    """Forms with these fields; often nearly right, and cut off at times."""
    name = st.sampled_from(names) | any_text
    value = st.sampled_from(["assistants", "created_at", "3600", ""]) | any_text
    part = st.tuples(name, value, st.none() | st.sampled_from(["a.txt", "..", "%22"]) | any_text)
    right = st.just([("purpose", "assistants", None), ("file", "hello", "a.txt")])
    whole = st.builds(list.__add__, right | st.just([]), st.lists(part, max_size=3)).map(_form)
    return whole | whole.map(lambda form: form[:-9])


def requests(route: Route) -> st.SearchStrategy[tuple[list[Any], bytes, bytes, Any]]:
    """Path ids, query string, body and headers; often nearly right."""
    names = list(route.body.fields) if route.body else ["metadata"]
    right = [allowed(route.body)] if route.body else []
    bodies = st.one_of(*right, bodies_like(names)).map(_json)
    body = st.one_of(bodies, st.binary(max_size=40), bodies.map(lambda text: text[:-1]))
    known = [*(route.query.fields if route.query else []), "limit", "metadata[k]", "include[]"]
    pair = st.tuples(st.sampled_from(known) | any_text, any_text | st.integers().map(str))
    query = st.lists(pair, max_size=3).map(_query) | st.binary(max_size=12)
    if route.takes == "stream":
        body = st.one_of(forms(names), body)
    header = st.tuples(
        st.sampled_from([b"if-match", b"idempotency-key", b"openai-project"]),
        header_values | st.sampled_from([b'"1"', b"k", PROJECT.encode()]),
    )
    place = st.integers(0, 11) | segments
    ids = st.lists(place, min_size=3, max_size=3)
    kinds = st.sampled_from([b"multipart/form-data; boundary=edge"] * 9 + [b"application/json"])
    kind = kinds.map(lambda value: [(b"content-type", value)] if route.takes == "stream" else [])
    headers = st.builds(list.__add__, kind, st.lists(header, max_size=2))
    return st.tuples(ids, query, body, headers)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _query(pairs: list[tuple[str, str]]) -> bytes:
    return urlencode(pairs, errors="surrogatepass").encode()


async def answer(live: Live, method: str, path: str, query: bytes, body: bytes, headers: Any):
    """Status, headers and body of what the application sends."""
    sent: list[Any] = []
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        """The request; the client then stays and says no more, as over HTTP."""
        return next(asked, None) or await asyncio.Event().wait()

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


SAYS: dict[bytes, re.Pattern[bytes]] = {
    b"text/event-stream": re.compile(rb"event: |data: "),
    b"application/octet-stream": re.compile(rb"hello\Z"),
    b"text/plain": re.compile(rb"# HELP "),
}
"""Content types that are not JSON -> how a body of that type begins."""


def check(status: int, headers: dict[bytes, bytes], content: bytes) -> None:
    """It is a success in what it says it is, or a refusal in OpenAI's JSON."""
    kind = headers[b"content-type"].partition(b";")[0]
    if kind in SAYS:
        assert status == 200
        assert SAYS[kind].match(content), content
        return
    assert kind == b"application/json"
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
    first = {"threads": ids[0], "vector_stores": ids[9]}.get(route.path.split("/")[2], ids[1])
    places = [first, ids[2]]
    count = len(ID.findall(route.path))
    with live.http(PROJECT) as http:
        for text in ("%41", "%2e%2e", quote("é"), "a%00b", "%ff", "x" * 5000):
            filled = iter([*places[: count - 1], text])
            path = ID.sub(lambda _, filled=filled: next(filled), route.path)
            answer = http.request(route.method, path, json=LEAST.get(route.path, {}))
            assert answer.status_code == 404, answer.text
            assert "not found" in answer.text or "No " in answer.text or UNKNOWN in answer.text


UNKNOWN = "does not exist or you do not have access to it"
"""How OpenAI says that it has no such model."""

LEAST = {
    "/v1/vector_stores/{vector_store_id}/search": {"query": "x"},
    "/v1/vector_stores/{vector_store_id}/files/{file_id}": {"attributes": {}},
    "/v1/chat/completions/{completion_id}": {"metadata": {}},
    "/v1/threads/{thread_id}/messages": {"role": "user", "content": "x"},
    "/v1/conversations/{conversation_id}": {"metadata": {}},
    "/v1/conversations/{conversation_id}/items": {"items": [{"role": "user", "content": "x"}]},
    "/v1/threads/{thread_id}/runs": {"assistant_id": "asst_x"},
    "/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs": {
        "tool_outputs": [{"tool_call_id": "x"}]
    },
}
"""The least that each route lets through to look for the id."""
