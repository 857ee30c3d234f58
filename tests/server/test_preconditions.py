"""`ETag` and `If-Match`: whoever read an older revision changes nothing."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from .live import Live


@pytest.fixture
def thread(http: httpx2.Client) -> str:
    """A thread with one message and some metadata."""
    body = {"messages": [{"role": "user", "content": "one"}], "metadata": {"k": "v"}}
    id: str = http.post("/v1/threads", json=body).json()["id"]
    return id


def conversation(thread: str) -> str:
    return thread.replace("thread_", "conv_")


def etag(http: httpx2.Client, thread: str) -> str:
    tag: str = http.get(f"/v1/threads/{thread}").headers["etag"]
    return tag


def assistant(http: httpx2.Client) -> str:
    id: str = http.post("/v1/assistants", json={"model": "scripted"}).json()["id"]
    return id


def state(http: httpx2.Client, thread: str) -> tuple[Any, Any, Any]:
    """Everything of a thread that a change could change."""
    paths = ["", "/messages", "/runs"]
    one, messages, runs = (http.get(f"/v1/threads/{thread}{path}").json() for path in paths)
    return one, messages, runs


def test_every_change_gives_a_new_etag(http: httpx2.Client, thread: str):
    """The ETag is the revision, on both faces, and each change adds one."""
    before = etag(http, thread)
    assert http.get(f"/v1/conversations/{conversation(thread)}").headers["etag"] == before
    path = f"/v1/threads/{thread}/messages"
    added = http.post(path, json={"role": "user", "content": "two"})
    assert int(added.headers["etag"].strip('"')) == int(before.strip('"')) + 1
    assert etag(http, thread) == added.headers["etag"]
    renamed = http.post(f"/v1/threads/{thread}", json={"metadata": {}})
    assert int(renamed.headers["etag"].strip('"')) == int(before.strip('"')) + 2


def changes(http: httpx2.Client, thread: str) -> list[tuple[str, str, Any]]:
    """Every request that changes a thread: method, path, body."""
    [message] = http.get(f"/v1/threads/{thread}/messages").json()["data"]
    on_thread = f"/v1/threads/{thread}"
    on_conversation = f"/v1/conversations/{conversation(thread)}"
    item = {"role": "user", "content": "late"}
    return [
        ("POST", on_thread, {"metadata": {"k": "late"}}),
        ("POST", f"{on_thread}/messages", item),
        ("POST", f"{on_thread}/messages/{message['id']}", {"metadata": {"k": "late"}}),
        ("DELETE", f"{on_thread}/messages/{message['id']}", None),
        ("POST", f"{on_thread}/runs", {"assistant_id": assistant(http)}),
        ("POST", f"{on_thread}/fork", {}),
        ("DELETE", on_thread, None),
        ("POST", on_conversation, {"metadata": {"k": "late"}}),
        ("POST", f"{on_conversation}/items", {"items": [item]}),
        ("DELETE", f"{on_conversation}/items/{message['id']}", None),
        ("DELETE", on_conversation, None),
        (
            "POST",
            "/v1/responses",
            {"model": "scripted", "input": "x", "conversation": conversation(thread)},
        ),
    ]


def test_a_stale_revision_changes_nothing(http: httpx2.Client, thread: str):
    """Each change with an old `If-Match` is refused with 412 and leaves everything as it was."""
    old = etag(http, thread)
    http.post(f"/v1/threads/{thread}", json={"metadata": {"k": "newer"}})
    before = state(http, thread)
    threads = http.get("/v1/threads").json()
    for method, path, body in changes(http, thread):
        refused = http.request(method, path, json=body, headers={"if-match": old})
        error = refused.json()["error"]
        assert (refused.status_code, error["param"]) == (412, "If-Match"), (method, path, error)
        now = int(etag(http, thread).strip('"'))
        assert error["message"] == f"The thread is at revision {now}, not {now - 1}."
        assert state(http, thread) == before, (method, path)
    assert http.get("/v1/threads").json() == threads


@pytest.mark.parametrize("spelled", ['"{}"', "{}", 'W/"{}"', "*"])
def test_the_right_revision_is_let_through(http: httpx2.Client, thread: str, spelled: str):
    """However the ETag is spelled."""
    tag = spelled.format(etag(http, thread).strip('"'))
    body = {"role": "user", "content": "two"}
    added = http.post(f"/v1/threads/{thread}/messages", json=body, headers={"if-match": tag})
    assert added.status_code == 200


@pytest.mark.parametrize("tag", ["", "abc", '"-1"', '"1', "1.5", '"1", "2"', "9" * 30, "²"])
def test_what_is_no_etag_is_refused(http: httpx2.Client, thread: str, tag: str):
    """A header nobody can mean is 400 by name, not taken for no header."""
    headers = {"if-match": tag.encode()}
    before = state(http, thread)
    refused = http.post(f"/v1/threads/{thread}", json={"metadata": {}}, headers=headers)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "If-Match")
    assert state(http, thread) == before


def test_of_two_writers_one_wins(http: httpx2.Client, live: Live, thread: str):
    """Two appends with the same revision: one is stored, one is told to look again."""
    tag, path = etag(http, thread), f"/v1/threads/{thread}/messages"
    answers = [
        http.post(path, json={"role": "user", "content": text}, headers={"if-match": tag})
        for text in ("a", "b")
    ]
    assert [answer.status_code for answer in answers] == [200, 412]
    said = [m["content"][0]["text"]["value"] for m in http.get(path).json()["data"]]
    assert said == ["a", "one"]
