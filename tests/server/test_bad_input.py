"""Wrong requests: refused by name in OpenAI's words, and nothing is written."""

# ruff: noqa: E501  (a case is a line: what is sent, and every word of what comes back)

from __future__ import annotations

import json
from typing import Any

import httpx2
import msgspec
import pytest

from .live import Live

BAD_JSON = (
    "Invalid body: failed to parse JSON value. Please check the value to ensure it is valid JSON. "
    "(Common errors include trailing commas, missing closing brackets, missing quotation marks, "
    "etc.)"
)
MESSAGES = "/v1/threads/{thread}/messages"
ITEMS = "/v1/conversations/{conversation}/items"
RUNS = "/v1/threads/{thread}/runs"
SAYS = {"role": "user", "content": "x"}


class Wrong(msgspec.Struct):
    """A request and what it is refused with."""

    method: str
    path: str
    body: Any
    status: int
    param: str | None
    code: str | None
    message: str


def wrong(path: str, body: Any, param: str | None, code: str | None, message: str) -> Wrong:
    return Wrong("POST", path, body, 400, param, code, message)


def get(path: str, param: str, code: str, message: str) -> Wrong:
    return Wrong("GET", path, None, 400, param, code, message)


def missing(method: str, path: str, message: str, body: Any = None) -> Wrong:
    return Wrong(method, path, body, 404, None, None, message)


def supported(*values: str) -> str:
    *most, last = (f"'{value}'" for value in values)
    return f"{', '.join(most)}{',' if len(most) > 1 else ''} and {last}"


CASES = [
    # bodies that are no JSON
    wrong(MESSAGES, b"{", None, "invalid_json", BAD_JSON),
    wrong(MESSAGES, b'{"role": "user",}', None, "invalid_json", BAD_JSON),
    wrong("/v1/threads", b"\xff\xfe", None, "invalid_json", BAD_JSON),
    wrong(MESSAGES, b'{"role":"user","content":"\xc3\x28"}', None, "invalid_json", BAD_JSON),
    wrong("/v1/conversations", b"[" * 5000, None, "invalid_json", BAD_JSON),
    wrong("/v1/threads", b"NaN", None, "invalid_json", BAD_JSON),
    wrong("/v1/threads", [], None, "invalid_type", "Invalid body: expected an object, but got an array instead."),
    wrong("/v1/threads", b"null", None, "invalid_type", "Invalid body: expected an object, but got null instead."),
    # text that is no Unicode
    wrong(MESSAGES, rb'{"role":"user","content":"\ud800"}', None, "invalid_json", BAD_JSON),
    wrong("/v1/threads", rb'{"metadata":{"k":"\udfff"}}', None, "invalid_json", BAD_JSON),
    # required and known fields
    wrong(MESSAGES, {"content": "x"}, "role", "missing_required_parameter", "Missing required parameter: 'role'."),
    wrong(MESSAGES, {"role": "user"}, "content", "missing_required_parameter", "Missing required parameter: 'content'."),
    wrong(ITEMS, {}, "items", "missing_required_parameter", "Missing required parameter: 'items'."),
    wrong(ITEMS, {"items": [{"role": "user"}]}, "items[0].content", "missing_required_parameter", "Missing required parameter: 'items[0].content'."),
    wrong("/v1/threads", {"metadatas": {}}, "metadatas", "unknown_parameter", "Unknown parameter: 'metadatas'. Did you mean 'metadata'?"),
    wrong("/v1/responses", {"model": "scripted", "sto": True}, "sto", "unknown_parameter", "Unknown parameter: 'sto'. Did you mean 'store'?"),
    wrong("/v1/assistants", {}, "model", "missing_required_parameter", "Missing required parameter: 'model'."),
    wrong(RUNS, {}, "assistant_id", "missing_required_parameter", "Missing required parameter: 'assistant_id'."),
    # roles, types, values that do not exist
    wrong(MESSAGES, {"role": "system", "content": "x"}, "role", "invalid_value", f"Invalid value: 'system'. Supported values are: {supported('user', 'assistant')}."),
    wrong(ITEMS, {"items": [{"type": "poem"}]}, "items[0].type", "invalid_value", "Invalid value: 'poem'. Supported values are: "),
    wrong(ITEMS, {"items": [{"role": "cook", "content": "x"}]}, "items[0].role", "invalid_value", "Invalid value: 'cook'. Supported values are: "),
    wrong("/v1/responses", {"model": "scripted", "input": "x", "truncation": "bogus"}, "truncation", "invalid_value", "Invalid value: 'bogus'. Supported values are: 'auto' and 'disabled'."),
    # wrong types, null where it is not allowed
    wrong("/v1/responses", {"model": "scripted", "input": "x", "stream": "yes"}, "stream", "invalid_type", "Invalid type for 'stream': expected a boolean, but got a string instead."),
    wrong(MESSAGES, {"role": None, "content": "x"}, "role", "invalid_type", "Invalid type for 'role': expected a string, but got null instead."),
    wrong(MESSAGES, {"role": "user", "content": None}, "content", "invalid_type", "Invalid type for 'content': expected one of a string or array of objects, but got null instead."),
    wrong("/v1/threads", {"messages": None}, "messages", "invalid_type", "Invalid type for 'messages': expected an array of objects, but got null instead."),
    wrong(ITEMS, {"items": None}, "items", "invalid_type", "Invalid type for 'items': expected an array of objects, but got null instead."),
    wrong("/v1/threads", {"metadata": {"k": 1}}, "metadata.k", "invalid_type", "Invalid type for 'metadata.k': expected a string, but got an integer instead."),
    # limits
    wrong(MESSAGES, {"role": "user", "content": ""}, "content", "empty_string", "Invalid 'content': empty string. Expected a string with minimum length 1, but got an empty string instead."),
    wrong(MESSAGES, {"role": "user", "content": "x" * 256_001}, "content", "string_above_max_length", "Invalid 'content': string too long. Expected a string with maximum length 256000, but got a string with length 256001 instead."),
    wrong(ITEMS, {"items": [SAYS] * 21}, "items", "array_above_max_length", "Invalid 'items': array too long. Expected an array with maximum length 20, but got an array with length 21 instead."),
    wrong("/v1/conversations", {"items": [SAYS] * 21}, "items", "array_above_max_length", "Invalid 'items': array too long. Expected an array with maximum length 20, but got an array with length 21 instead."),
    wrong("/v1/threads", {"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties", "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead."),
    wrong("/v1/threads", {"metadata": {"k": "v" * 600}}, "metadata.k", "string_above_max_length", "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, but got a string with length 600 instead."),
    wrong("/v1/threads", {"metadata": {"k" * 65: "v"}}, "metadata", "string_above_max_length", f"Invalid property name in 'metadata': '{'k' * 65}' is too long. Expected a string with maximum length 64, but got a string with length 65 instead."),
    wrong("/v1/assistants", {"model": "scripted", "temperature": 3}, "temperature", "decimal_above_max_value", "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead."),
    wrong(RUNS, {"assistant_id": "asst_x", "max_prompt_tokens": 0}, "max_prompt_tokens", "integer_below_min_value", "Invalid 'max_prompt_tokens': integer below minimum value. Expected a value >= 256, but got 0 instead."),
    # what Clew cannot do (yet) is not ignored
    wrong("/v1/responses", {"model": "scripted", "input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_parameter", "Tool type 'web_search' is not supported with model 'scripted'."),
    wrong(ITEMS, {"items": [{"type": "item_reference", "id": "msg_1"}]}, "items[0]", "unsupported_parameter", "Unsupported parameter: 'items[0]'. "),
    # queries
    get(f"{MESSAGES}?limit=0", "limit", "integer_below_min_value", "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead."),
    get(f"{MESSAGES}?limit=-5", "limit", "integer_below_min_value", "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got -5 instead."),
    get(f"{ITEMS}?limit=1000", "limit", "integer_above_max_value", "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 1000 instead."),
    get(f"{ITEMS}?limit=ten", "limit", "invalid_type", "Invalid type for 'limit': expected an integer, but got a string instead."),
    get("/v1/threads?order=up", "order", "invalid_value", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'."),
    get("/v1/threads?limit=1&limit=2", "limit", "duplicate_parameter", "Duplicate parameter: 'limit'."),
    get("/v1/threads?after=run_1", "after", "invalid_value", "Invalid 'after': 'run_1'. Expected an ID that begins with 'thread'."),
    get("/v1/assistants?after=a%20b", "after", "invalid_value", "Invalid 'after': 'a b'. Expected an ID that contains letters, numbers, underscores, or dashes, but this value contained additional characters."),
    get("/v1/threads?created_after=yesterday", "created_after", "invalid_type", "Invalid type for 'created_after': expected an integer, but got a string instead."),
    get("/v1/threads?page=2", "page", "unknown_parameter", "Unknown parameter: 'page'."),
    get("/v1/threads/{thread}/window?last_messages=0", "last_messages", "integer_below_min_value", "Invalid 'last_messages': integer below minimum value. Expected a value >= 1, but got 0 instead."),
    # ids that lead nowhere
    missing("GET", "/v1/threads/thread_none", "No thread found with id 'thread_none'."),
    missing("POST", "/v1/threads/thread_none/messages", "No thread found with id 'thread_none'.", SAYS),
    missing("POST", "/v1/threads/thread_none", "No thread found with id 'thread_none'.", {"metadata": {}}),
    missing("DELETE", "/v1/threads/thread_none", "No thread found with id 'thread_none'."),
    missing("GET", "/v1/threads/none/messages", "No thread found with id 'none'."),
    missing("GET", "/v1/threads/thread_none/messages", "No thread found with id 'thread_none'."),
    missing("GET", "/v1/threads/thread_none/runs", "No thread found with id 'thread_none'."),
    missing("GET", "/v1/threads/thread_none/window", "No thread found with id 'thread_none'."),
    missing("POST", "/v1/threads/thread_none/fork", "No thread found with id 'thread_none'.", {}),
    missing("POST", "/v1/threads/{thread}/fork", "No message found with id 'msg_none'.", {"at": "msg_none"}),
    missing("GET", f"{MESSAGES}/msg_none", "No message found with id 'msg_none'."),
    missing("GET", f"{MESSAGES}?after=msg_none", "No message found with id 'msg_none'."),
    missing("GET", "/v1/threads?after=thread_none", "No thread found with id 'thread_none'."),
    missing("GET", "/v1/assistants?after=asst_none", "No assistant found with id 'asst_none'."),
    missing("GET", f"{RUNS}?after=run_none", "No run found with id 'run_none'."),
    missing("GET", "/v1/conversations/conv_none", "Conversation with id 'conv_none' not found."),
    missing("POST", "/v1/conversations/conv_none/items", "Conversation with id 'conv_none' not found.", {"items": [SAYS]}),
    missing("GET", f"{ITEMS}/msg_none", "Item with id 'msg_none' not found in conversation."),
    missing("DELETE", f"{ITEMS}/msg_none", "Item with id 'msg_none' not found in conversation."),
    missing("GET", f"{ITEMS}?after=msg_none", "Item with id 'msg_none' not found in conversation."),
    missing("DELETE", "/v1/assistants/asst_none", "No assistant found with id 'asst_none'."),
    # wrong methods and URLs
    Wrong("PUT", "/v1/threads", {}, 405, None, "method_not_supported", "Not allowed to PUT on /v1/threads."),
    Wrong("DELETE", "/v1/responses", None, 405, None, "method_not_supported", "Not allowed to DELETE on /v1/responses."),
    missing("GET", "/v1/thread", "Invalid URL (GET /v1/thread)"),
    missing("POST", "/v1/conversations/{conversation}/messages", "Invalid URL (POST /v1/conversations/{conversation}/messages)", SAYS),
    missing("GET", "/v1/threads//messages", "Invalid URL (GET /v1/threads//messages)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def standing(live: Live) -> dict[str, str]:
    """A thread with one message, in a project of its own; no case may change it."""
    with live.http("proj_bad_input") as http:
        id = http.post("/v1/threads", json={"messages": [SAYS]}).json()["id"]
    return {"thread": id, "conversation": id.replace("thread_", "conv_")}


def everything(http: httpx2.Client, standing: dict[str, str]) -> Any:
    """All that a wrong request could have written."""
    paths = ["/v1/threads", "/v1/assistants", ITEMS, RUNS]
    return [http.get(path.format(**standing)).json() for path in paths]


def name_of(case: Wrong) -> str:
    body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    return f"{case.method} {case.path} {body[:40]!r}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_wrong_request_is_refused_by_name(live: Live, standing: dict[str, str], case: Wrong):
    """Status, param, code and text are OpenAI's; nothing is written."""
    with live.http("proj_bad_input") as http:
        before = everything(http, standing)
        path = case.path.format(**standing)
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
        refused = http.request(case.method, path, content=b"" if case.body is None else body)
        error = refused.json()["error"]
        assert (refused.status_code, error["param"], error["code"]) == (
            case.status,
            case.param,
            case.code,
        ), error
        expected = case.message.replace("{conversation}", standing["conversation"])
        assert error["message"].startswith(expected)
        assert error["message"] == expected or expected.endswith((": ", ". "))
        assert error["type"] == "invalid_request_error"
        assert refused.headers["x-request-id"].startswith("req_")
        assert everything(http, standing) == before


def test_a_body_that_is_too_large_is_refused(live: Live, standing: dict[str, str]):
    """More than 32 MiB is 413, announced or not, and the server goes on."""
    with live.http("proj_bad_input") as http:
        before = everything(http, standing)
        path = MESSAGES.format(**standing)
        for content in (b"x" * (32 * 1024 * 1024 + 1), chunks(33)):
            refused = http.post(path, content=content)
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (413, "request_too_large")
        assert everything(http, standing) == before


def chunks(mebibytes: int) -> Any:
    """A body that does not say beforehand how long it is."""
    for _ in range(mebibytes):
        yield b"x" * 1024 * 1024


def test_ids_of_another_project_are_unknown(live: Live, standing: dict[str, str]):
    """Whatever is asked of them, as if they did not exist; nothing is written."""
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/v1/threads/{thread}", None),
        ("POST", "/v1/threads/{thread}", {"metadata": {"k": "v"}}),
        ("DELETE", "/v1/threads/{thread}", None),
        ("POST", MESSAGES, SAYS),
        ("GET", MESSAGES, None),
        ("GET", ITEMS, None),
        ("POST", ITEMS, {"items": [SAYS]}),
        ("DELETE", "/v1/conversations/{conversation}", None),
        ("GET", RUNS, None),
        ("POST", "/v1/threads/{thread}/fork", {}),
        ("GET", "/v1/threads/{thread}/window", None),
        ("GET", "/v1/threads?after={thread}", None),
        (
            "POST",
            "/v1/responses",
            {"model": "scripted", "input": "x", "conversation": standing["conversation"]},
        ),
    ]
    with live.http("proj_bad_input") as http, live.http("proj_thief") as thief:
        before = everything(http, standing)
        for method, path, body in requests:
            refused = thief.request(method, path.format(**standing), json=body)
            assert refused.status_code == 404, (method, path, refused.text)
        assert everything(http, standing) == before
        assert thief.get("/v1/threads").json()["data"] == []


@pytest.mark.parametrize("project", ["a b", "../x", "p" * 201])
def test_what_is_no_id_of_a_project_is_refused(live: Live, project: str):
    """A header that names no project is not taken for the default one."""
    with live.http(project) as http:
        answer = http.get("/v1/threads")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "OpenAI-Project")


def test_a_base_url_without_v1_works(live: Live, standing: dict[str, str]):
    """Clients that leave it out are understood."""
    with live.http("proj_bad_input") as http:
        assert http.get(f"/threads/{standing['thread']}").json()["id"] == standing["thread"]


def test_the_server_describes_what_it_serves(http: httpx2.Client):
    """/openapi.json has a path for every route, /healthz says it is well."""
    from clew.server.routes import ROUTES

    described = http.get("/openapi.json").json()["paths"]
    served = {(route.path, route.method.lower()) for route in ROUTES}
    assert {(path, method) for path in described for method in described[path]} == served
    assert http.get("/healthz").json() == {"status": "ok"}
