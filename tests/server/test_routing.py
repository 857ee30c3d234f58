"""Routing rules over HTTP, and the runs that ask for them, with the real client."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI


def assistant(client: OpenAI, name: str) -> str:
    return client.beta.assistants.create(model="scripted", name=name).id


def put(http: httpx2.Client, *rules: Any, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post("/v1/routing_rules", json={"rules": rules}, headers=named)


def dry_run(http: httpx2.Client, **asked: Any) -> Any:
    answer = http.post("/v1/routing_rules/dry_run", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def error(answer: httpx2.Response, status: int = 400) -> tuple[str | None, str]:
    """Param and message of a refusal."""
    assert answer.status_code == status, answer.text
    said = answer.json()["error"]
    return said["param"], said["message"]


def test_a_run_that_says_auto_is_routed(client: OpenAI, http: httpx2.Client):
    """By the metadata of its thread as they are then; the run says which rule chose."""
    gold, rest = assistant(client, "gold"), assistant(client, "rest")
    put(
        http,
        {"when": {"tier": ["gold", "platinum"]}, "assistant_id": gold, "name": "vip"},
        {"assistant_id": rest},
    )
    thread = client.beta.threads.create(metadata={"tier": "gold"}).id
    run = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id="auto")
    assert (run.status, run.assistant_id) == ("completed", gold)
    routed = {"routed_by": {"revision": 1, "rule": 0, "name": "vip"}}
    assert run.model_extra is not None
    assert run.model_extra["clew"] == {"attempts": 1, **routed}
    client.beta.threads.update(thread, metadata={"tier": "bronze"})
    run = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id="auto")
    assert run.assistant_id == rest
    stored = client.beta.threads.runs.retrieve(run.id, thread_id=thread)
    assert stored.model_extra is not None
    assert stored.model_extra["clew"]["routed_by"] == {"revision": 1, "rule": 1, "name": None}


def test_a_new_thread_is_routed_by_its_metadata(client: OpenAI, http: httpx2.Client):
    """Those it is made with, in the same request."""
    gold, rest = assistant(client, "gold"), assistant(client, "rest")
    put(http, {"when": {"tier": "gold"}, "assistant_id": gold}, {"assistant_id": rest})
    for metadata, chosen in (({"tier": "gold"}, gold), ({}, rest), (None, rest)):
        thread: Any = {"messages": [{"role": "user", "content": "hi"}], "metadata": metadata}
        run = client.beta.threads.create_and_run(assistant_id="auto", thread=thread)
        assert run.assistant_id == chosen
    assert client.beta.threads.create_and_run(assistant_id="auto").assistant_id == rest


def test_a_streamed_run_is_routed(client: OpenAI, http: httpx2.Client):
    """The stream's first event names the assistant."""
    gold = assistant(client, "gold")
    put(http, {"assistant_id": gold})
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hi"}]).id
    with client.beta.threads.runs.stream(thread_id=thread, assistant_id="auto") as stream:
        first = next(iter(stream))
        stream.until_done()
    assert first.event == "thread.run.created"
    assert first.data.assistant_id == gold


def test_a_named_assistant_is_not_routed(client: OpenAI, http: httpx2.Client):
    """Rules are for those who name none; such a run says nothing of them."""
    gold, rest = assistant(client, "gold"), assistant(client, "rest")
    put(http, {"assistant_id": gold})
    thread = client.beta.threads.create().id
    run = client.beta.threads.runs.create(thread_id=thread, assistant_id=rest)
    assert run.assistant_id == rest
    assert run.model_extra["clew"] == {"attempts": 1}


def test_no_match_is_refused_by_name(client: OpenAI, http: httpx2.Client):
    """Nothing is stored then, be there rules or not."""
    thread = client.beta.threads.create(metadata={"tier": "bronze"}).id
    with pytest.raises(openai.BadRequestError, match="there are no routing rules") as none:
        client.beta.threads.runs.create(thread_id=thread, assistant_id="auto")
    assert (none.value.param, none.value.code) == ("assistant_id", "no_route")
    put(http, {"when": {"tier": "gold"}, "assistant_id": assistant(client, "gold")})
    with pytest.raises(openai.BadRequestError, match="none of the 1 routing rules"):
        client.beta.threads.runs.create(thread_id=thread, assistant_id="auto")
    with pytest.raises(openai.BadRequestError, match="none of the 1 routing rules"):
        client.beta.threads.create_and_run(assistant_id="auto")
    assert client.beta.threads.runs.list(thread).data == []
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.runs.create(thread_id="thread_none", assistant_id="auto")


def test_an_assistant_that_was_deleted_is_named(client: OpenAI, http: httpx2.Client):
    """By the run that would need it, and by the dry run; the rule before it still works."""
    gold, rest = assistant(client, "gold"), assistant(client, "rest")
    put(http, {"when": {"tier": "gold"}, "assistant_id": gold}, {"assistant_id": rest})
    client.beta.assistants.delete(rest)
    said = f"Rule 1 names '{rest}', which has been deleted."
    with pytest.raises(openai.BadRequestError, match=said) as refused:
        client.beta.threads.create_and_run(assistant_id="auto")
    assert refused.value.param == "assistant_id"
    assert dry_run(http, metadata={})["error"] == said
    assert dry_run(http, metadata={"tier": "gold"})["error"] is None


def test_a_dry_run_says_why(client: OpenAI, http: httpx2.Client):
    """Which assistant, which rule, and why those before it did not match."""
    gold, rest = assistant(client, "gold"), assistant(client, "rest")
    put(
        http,
        {"when": {"tier": "gold", "region": {"exists": True}}, "assistant_id": gold},
        {"when": {"customer": {"glob": "acme-*"}}, "assistant_id": rest, "name": "acme"},
    )
    thread = client.beta.threads.create(metadata={"tier": "gold", "customer": "acme-7"}).id
    expected = {
        "object": "routing_rules.dry_run",
        "revision": 1,
        "assistant_id": rest,
        "rule": 1,
        "name": "acme",
        "error": None,
        "tried": [
            {
                "rule": 0,
                "name": None,
                "matches": False,
                "why_not": "'region' is not set; the rule asks for any value",
            },
            {"rule": 1, "name": "acme", "matches": True, "why_not": None},
        ],
    }
    assert dry_run(http, thread_id=thread) == expected
    assert dry_run(http, metadata={"tier": "gold", "customer": "acme-7"}) == expected
    none = dry_run(http, metadata={})
    assert (none["assistant_id"], none["rule"], len(none["tried"])) == (None, None, 2)
    assert client.beta.threads.runs.list(thread).data == []


def test_rules_are_read_as_they_were_put(client: OpenAI, http: httpx2.Client):
    """All at once, with a revision that a change can be bound to."""
    empty = http.get("/v1/routing_rules")
    assert empty.headers["etag"] == '"0"'
    assert empty.json() == {
        "object": "routing_rules",
        "revision": 0,
        "updated_at": None,
        "rules": [],
    }
    rule = {"when": {"a": "b"}, "assistant_id": assistant(client, "x"), "name": "näme"}
    made = put(http, rule, if_match='"0"')
    assert (made.json()["rules"], made.headers["etag"]) == ([rule], '"1"')
    assert http.get("/v1/routing_rules").json() == made.json()
    assert error(put(http, if_match='"0"'), 412)[0] == "If-Match"
    assert put(http, if_match='"1"').json()["rules"] == []


def test_rules_put_again_are_put_once(client: OpenAI, http: httpx2.Client):
    """A retry with its Idempotency-Key gets the first answer."""
    rule = {"assistant_id": assistant(client, "x")}
    first = put(http, rule, idempotency_key="k")
    again = put(http, rule, idempotency_key="k")
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert http.get("/v1/routing_rules").json()["revision"] == 1


def test_bad_rules_are_refused_by_name(client: OpenAI, http: httpx2.Client):
    """Missing assistants, rules that nothing can reach, conditions that mean nothing."""
    known = assistant(client, "x")
    for rule, param in (
        ({"assistant_id": "asst_none"}, "rules[0].assistant_id"),
        ({"assistant_id": "thread_x"}, "rules[0].assistant_id"),
        ({}, "rules[0].assistant_id"),
        ({"assistant_id": known, "if": {}}, "rules[0].if"),
        ({"assistant_id": known, "when": {"a": 1}}, "rules[0].when.a"),
        ({"assistant_id": known, "when": {"a": []}}, "rules[0].when.a"),
        ({"assistant_id": known, "when": {"a": {}}}, "rules[0].when.a.exists"),
        ({"assistant_id": known, "when": {"a": {"regex": "."}}}, "rules[0].when.a.regex"),
        ({"assistant_id": known, "when": {"a": {"exists": "yes"}}}, "rules[0].when.a.exists"),
        (
            {"assistant_id": known, "when": {"a": {"exists": True, "glob": "*"}}},
            "rules[0].when.a",
        ),
        ({"assistant_id": known, "name": ""}, "rules[0].name"),
    ):
        assert error(put(http, rule))[0] == param
    last = {"assistant_id": known}
    assert error(put(http, last, last))[0] == "rules[0]"
    assert error(http.post("/v1/routing_rules", json={}))[0] == "rules"
    assert http.get("/v1/routing_rules").json()["revision"] == 0


def test_bad_dry_runs_are_refused_by_name(client: OpenAI, http: httpx2.Client):
    """A thread or metadata, and not both; a thread that is not there is not found."""
    path, thread = "/v1/routing_rules/dry_run", client.beta.threads.create().id
    assert error(http.post(path, json={}))[0] == "thread_id"
    both = {"thread_id": thread, "metadata": {}}
    assert error(http.post(path, json=both))[0] == "metadata"
    assert error(http.post(path, json={"thread_id": "asst_x"}))[0] == "thread_id"
    said = error(http.post(path, json={"thread_id": "thread_none"}), 404)[1]
    assert said == "No thread found with id 'thread_none'."
