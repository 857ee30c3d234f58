"""`Idempotency-Key`: a retry is not a second act, and is told what the first was told."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from .live import Live

_keys = itertools.count(1)


@pytest.fixture
def key() -> dict[str, str]:
    """The header with a key that nobody used."""
    return {"idempotency-key": f"key-{next(_keys)}"}


@pytest.fixture
def assistant(http: httpx2.Client) -> str:
    id: str = http.post("/v1/assistants", json={"model": "scripted"}).json()["id"]
    return id


@pytest.fixture
def thread(http: httpx2.Client) -> str:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    id: str = http.post("/v1/threads", json=body).json()["id"]
    return id


def conversation(thread: str) -> str:
    return thread.replace("thread_", "conv_")


def newest(http: httpx2.Client, thread: str) -> str:
    [message] = http.get(f"/v1/threads/{thread}/messages?limit=1").json()["data"]
    id: str = message["id"]
    return id


def everything(http: httpx2.Client) -> Any:
    """All threads of the project with what is in them, and its assistants."""
    threads = http.get("/v1/threads?limit=100").json()["data"]
    log = [
        http.get(f"/v1/conversations/{conversation(one['id'])}/items?limit=100").json()
        for one in threads
    ]
    runs = [http.get(f"/v1/threads/{one['id']}/runs").json() for one in threads]
    return threads, log, runs, http.get("/v1/assistants").json()


def waiting_run(http: httpx2.Client, assistant: str) -> str:
    """The path of a run that waits for the output of a function."""
    messages = [{"role": "user", "content": "weather in Rome"}]
    body = {"assistant_id": assistant, "thread": {"messages": messages}}
    run = http.post("/v1/threads/runs", json=body).json()
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    while http.get(path).json()["status"] != "requires_action":
        pass
    return path


POSTS = {
    "create a thread": lambda http, thread, asst: (
        "/v1/threads",
        {"messages": [{"role": "user", "content": "x"}]},
    ),
    "modify a thread": lambda http, thread, asst: (
        f"/v1/threads/{thread}",
        {"metadata": {"k": "v"}},
    ),
    "create a message": lambda http, thread, asst: (
        f"/v1/threads/{thread}/messages",
        {"role": "user", "content": "x"},
    ),
    "modify a message": lambda http, thread, asst: (
        f"/v1/threads/{thread}/messages/{newest(http, thread)}",
        {"metadata": {"k": "v"}},
    ),
    "fork": lambda http, thread, asst: (f"/v1/threads/{thread}/fork", {}),
    "create a conversation": lambda http, thread, asst: (
        "/v1/conversations",
        {"items": [{"role": "user", "content": "x"}]},
    ),
    "update a conversation": lambda http, thread, asst: (
        f"/v1/conversations/{conversation(thread)}",
        {"metadata": {"k": "v"}},
    ),
    "create items": lambda http, thread, asst: (
        f"/v1/conversations/{conversation(thread)}/items",
        {"items": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]},
    ),
    "create an assistant": lambda http, thread, asst: ("/v1/assistants", {"model": "scripted"}),
    "modify an assistant": lambda http, thread, asst: (f"/v1/assistants/{asst}", {"name": "Ada"}),
    "create a run": lambda http, thread, asst: (
        f"/v1/threads/{thread}/runs",
        {"assistant_id": asst},
    ),
    "create a thread and run it": lambda http, thread, asst: (
        "/v1/threads/runs",
        {"assistant_id": asst, "thread": {"messages": [{"role": "user", "content": "hello"}]}},
    ),
    "modify a run": lambda http, thread, asst: (
        waiting_run(http, asst),
        {"metadata": {"k": "v"}},
    ),
    "cancel a run": lambda http, thread, asst: (f"{waiting_run(http, asst)}/cancel", {}),
    "create a response": lambda http, thread, asst: (
        "/v1/responses",
        {"model": "scripted", "input": "hello"},
    ),
    "create a response in a conversation": lambda http, thread, asst: (
        "/v1/responses",
        {"model": "scripted", "input": "hello", "conversation": conversation(thread)},
    ),
}


@pytest.fixture(params=POSTS)
def post(
    request: pytest.FixtureRequest, http: httpx2.Client, thread: str, assistant: str
) -> tuple[str, Any]:
    """Path and body of each POST that makes or changes something."""
    made: tuple[str, Any] = POSTS[request.param](http, thread, assistant)
    return made


def settle(http: httpx2.Client) -> None:
    """Follow every run of the project to its end, or until it waits."""
    for thread in http.get("/v1/threads?limit=100").json()["data"]:
        runs = f"/v1/threads/{thread['id']}/runs"
        while any(run["status"] in BUSY for run in http.get(runs).json()["data"]):
            pass


BUSY = ("queued", "in_progress", "cancelling")


def test_the_same_key_twice_is_one_act(
    http: httpx2.Client, post: tuple[str, Any], key: dict[str, str]
):
    """The second answer is the first, byte for byte, and nothing is done again."""
    path, body = post
    first = http.post(path, json=body, headers=key)
    assert first.status_code == 200
    settle(http)
    after_one = everything(http)
    second = http.post(path, json=body, headers=key)
    assert (second.status_code, second.content) == (200, first.content)
    assert everything(http) == after_one


def test_the_same_key_with_another_body_is_refused(
    http: httpx2.Client, post: tuple[str, Any], key: dict[str, str]
):
    """It is 422 by name, and nothing is done."""
    path, body = post
    http.post(path, json=body, headers=key)
    settle(http)
    after_one = everything(http)
    refused = http.post(path, json={**body, "metadata": {"another": "one"}}, headers=key)
    if refused.status_code == 400:  # create items and fork know other fields
        refused = http.post(path, json={"items": [{"role": "user", "content": "z"}]}, headers=key)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"]) == (422, "invalid_request_error"), error
    assert everything(http) == after_one


def test_eight_at_once_with_one_key_are_one_act(
    live: Live, http: httpx2.Client, post: tuple[str, Any], key: dict[str, str], project: str
):
    """Parallel requests with the same key: one acts, all get the same bytes."""
    path, body = post
    threads = len(http.get("/v1/threads?limit=100").json()["data"])

    def send(_: int) -> httpx2.Response:
        with live.http(project) as one:
            return one.post(path, json=body, headers=key)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) in (0, 7)
    settle(http)
    more = len(http.get("/v1/threads?limit=100").json()["data"]) - threads
    assert more <= 1
    for log in everything(http)[1]:
        ids = [item["id"] for item in log["data"]]
        assert len(ids) == len(set(ids)) <= 4


@pytest.mark.parametrize("face", ["run", "thread and run", "response", "conversation"])
def test_a_retried_stream_tells_the_same_turn(
    http: httpx2.Client, thread: str, assistant: str, key: dict[str, str], face: str
):
    """A streamed request sent again tells what the first turn said, and asks no model."""
    path, body = {
        "run": (f"/v1/threads/{thread}/runs", {"assistant_id": assistant}),
        "thread and run": (
            "/v1/threads/runs",
            {
                "assistant_id": assistant,
                "thread": {"messages": [{"role": "user", "content": "hello"}]},
            },
        ),
        "response": ("/v1/responses", {"model": "scripted", "input": "hello"}),
        "conversation": (
            "/v1/responses",
            {"model": "scripted", "input": "hello", "conversation": conversation(thread)},
        ),
    }[face]
    first = http.post(path, json={**body, "stream": True}, headers=key)
    after_one = everything(http)
    again = http.post(path, json={**body, "stream": True}, headers=key)
    for answer in (first, again):
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert kinds(again) == kinds(first)
    assert last_data(again) == last_data(first)
    assert everything(http) == after_one


def kinds(answer: httpx2.Response) -> list[str]:
    """The kinds of events, a row of deltas taken as one: a retry may tell them in one piece."""
    lines = answer.text.splitlines()
    named = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    return [kind for kind, _ in itertools.groupby(named)]


def last_data(answer: httpx2.Response) -> Any:
    """The object at the end: the run, or the response without its place in the stream."""
    lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    data = httpx2.Response(200, text=lines[-1].removeprefix("data: ")).json()
    data.pop("sequence_number", None)
    return data


def test_submitted_outputs_are_taken_once(http: httpx2.Client, assistant: str, key: dict[str, str]):
    """A retry of submit_tool_outputs is answered as the first was, even when the run is over."""
    path = waiting_run(http, assistant)
    [call] = http.get(path).json()["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "sunny"}]}
    first = http.post(f"{path}/submit_tool_outputs", json=outputs, headers=key)
    assert first.status_code == 200
    settle(http)
    again = http.post(f"{path}/submit_tool_outputs", json=outputs, headers=key)
    assert (again.status_code, again.content) == (200, first.content)
    items = http.get(f"/v1/conversations/{conversation(path.split('/')[3])}/items").json()["data"]
    assert [item["type"] for item in items] == [
        "message",
        "function_call_output",
        "function_call",
        "message",
    ]


def test_a_refused_request_spends_no_key(http: httpx2.Client, thread: str, key: dict[str, str]):
    """What was refused may be sent again, put right, with the same key."""
    path = f"/v1/threads/{thread}/messages"
    assert http.post(path, json={"role": "cook", "content": "x"}, headers=key).status_code == 400
    assert http.post(path, json={"role": "user", "content": "x"}, headers=key).status_code == 200


def test_two_projects_may_use_one_key(live: Live, key: dict[str, str]):
    """A key is known in its project only."""
    answers = []
    for project in ("proj_key_one", "proj_key_two"):
        with live.http(project) as one:
            answers.append(one.post("/v1/threads", json={}, headers=key).json()["id"])
    assert answers[0] != answers[1]


@pytest.mark.parametrize("text", ["", "x" * 256])
def test_a_key_has_one_to_255_characters(http: httpx2.Client, text: str):
    """An empty or endless key is refused by name, and nothing is done."""
    refused = http.post("/v1/threads", json={}, headers={"idempotency-key": text})
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "Idempotency-Key")
    assert http.get("/v1/threads").json()["data"] == []


def test_a_retried_stream_of_outputs_tells_what_came_after_them(
    http: httpx2.Client, assistant: str, key: dict[str, str]
):
    """Submitted outputs, streamed, sent again: the same events as the first time."""
    path = waiting_run(http, assistant)
    [call] = http.get(path).json()["required_action"]["submit_tool_outputs"]["tool_calls"]
    body = {"tool_outputs": [{"tool_call_id": call["id"], "output": "sunny"}], "stream": True}
    first = http.post(f"{path}/submit_tool_outputs", json=body, headers=key)
    again = http.post(f"{path}/submit_tool_outputs", json=body, headers=key)
    assert kinds(first)[0] == "thread.run.step.completed"
    assert kinds(again) == kinds(first)
    assert last_data(again) == last_data(first)
