"""Clew's own tools beside a client's functions, under choices and limits, on every kind of road."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai import OpenAI

from clew.core.limits import Limits
from clew.options import Options
from clew.providers.catalog import Catalog
from clew.testing import upstream as chat
from clew.testing import upstream_messages as messages
from clew.testing import upstream_responses as responses
from clew.testing.upstream import Reply, Upstream

from .conftest import TOOLS
from .doubles import Doubles
from .live import Live
from .test_file_search_runs import RESULTS, newest, poll, steps_of
from .test_upstreams import listening
from .test_vector_stores import FABLE, polled, uploaded

SEARCH: Any = {"type": "file_search"}
TIME: Any = {"type": "function", "name": "get_time", "parameters": {}, "strict": False}
NESTED: Any = {"type": "function", "function": {"name": "get_time", "parameters": {}}}


def store_in(client: OpenAI) -> str:
    """A vector store with the fable in it."""
    made = client.vector_stores.create().id
    polled(client, made, uploaded(client))
    return made


@pytest.fixture
def store(tools: OpenAI) -> str:
    return store_in(tools)


@pytest.fixture
def search(store: str) -> Any:
    """The tool, as a response names it."""
    return {**SEARCH, "vector_store_ids": [store]}


def types(response: Any) -> list[str]:
    return [item.type for item in response.output]


def ask(client: OpenAI, input: Any, *tools: Any, **options: Any) -> Any:
    asked: Any = {"model": "scripted", "input": input, "tools": list(tools)}
    return client.responses.create(**asked | options)


def refused(client: OpenAI, *tools: Any) -> tuple[str | None, str]:
    """What a request with these tools is refused for, and in which words."""
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, "hm", *tools)
    return error.value.param, str(error.value.body["message"])


def test_a_run_does_its_own_calls_and_waits_for_the_clients(tools: OpenAI, store: str):
    """Two searches and a function in one answer: the searches are done when the run pauses, and
    it goes on with all three."""
    held: Any = {"file_search": {"vector_store_ids": [store]}}
    assistant = tools.beta.assistants.create(
        model="scripted", tools=[SEARCH, NESTED], tool_resources=held
    ).id
    thread = tools.beta.threads.create(messages=[{"role": "user", "content": "both"}]).id
    run = poll(tools, thread, assistant)
    assert run.status == "requires_action"
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    assert call.function.name == "get_time"
    steps = {step.step_details.tool_calls[0].type: step for step in steps_of(tools, run)[1:]}
    assert steps["file_search"].status == "completed"
    assert steps["function"].status == "in_progress"
    run = tools.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=thread,
        tool_outputs=[{"tool_call_id": call.id, "output": "noon"}],
        poll_interval_ms=20,
    )
    assert run.status == "completed"
    assert newest(tools, thread).value == "It is noon."
    assert [step.status for step in steps_of(tools, run)] == ["completed"] * 5


def test_a_response_ends_with_the_clients_call(tools: OpenAI, search: Any):
    """The searches are done; the output of the function comes with the next request."""
    first = ask(tools, "both", search, TIME)
    assert first.status == "completed"
    assert types(first) == ["message", "function_call", "file_search_call", "file_search_call"]
    assert [call.status for call in first.output[2:]] == ["completed", "completed"]
    answer = {
        "type": "function_call_output",
        "call_id": first.output[1].call_id,
        "output": "noon",
    }
    second = ask(tools, [answer], search, TIME, previous_response_id=first.id)
    assert second.output_text == "It is noon."


KINDS: dict[str, tuple[Callable[..., Reply], Callable[..., Reply]]] = {
    "openai-compatible": (
        lambda *names: chat.streams(
            *(chat.call(at, f"c{at}", name, ARGUMENTS[name]) for at, name in enumerate(names))
        ),
        chat.says,
    ),
    "anthropic": (
        lambda *names: messages.streams(
            *(messages.call(at, f"c{at}", name, ARGUMENTS[name]) for at, name in enumerate(names)),
            stop="tool_use",
        ),
        messages.says,
    ),
    "openai-responses": (
        lambda *names: responses.streams(
            *(
                event
                for at, name in enumerate(names)
                for event in responses.call(at, f"c{at}", name, ARGUMENTS[name])
            )
        ),
        responses.says,
    ),
}
"""Kind of upstream -> how it calls functions, and how it speaks."""

ARGUMENTS = {"file_search": '{"queries": ["cheese"]}', "get_time": "{}"}


@contextmanager
def in_front_of(kind: str, *replies: Reply, **more: Any) -> Iterator[tuple[OpenAI, Upstream]]:
    """A client of a server whose upstream of that kind gives these replies."""
    with listening(Upstream(*replies)) as double:
        entry = {"url": double.base_url, "kind": kind, "models": ["m"], **more}
        with Live("sqlite://:memory:", Catalog(upstreams=[entry])) as live, live.client() as client:
            yield client, double


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_upstream_can_call_our_tools(kind: str):
    """With a client's function in the same answer, called before and after: each output is shown
    where that upstream wants it."""
    call, say = KINDS[kind]
    replies = call("get_time", "file_search", "file_search"), say("It is noon.")
    with in_front_of(kind, *replies) as (client, double):
        tool = {**SEARCH, "vector_store_ids": [store_in(client)]}
        first = ask(client, "When?", tool, TIME, model="m", include=[RESULTS])
        assert types(first) == ["function_call", "file_search_call", "file_search_call"]
        assert first.output[1].results[0].text == FABLE
        call_id = first.output[0].call_id
        answer = {"type": "function_call_output", "call_id": call_id, "output": "noon"}
        second = ask(client, [answer], tool, TIME, model="m", previous_response_id=first.id)
        assert second.output_text == "It is noon."
        check_answered(kind, double.requests[-1].body)


def check_answered(kind: str, body: Any) -> None:
    """Each of the three calls has its output, where that kind of upstream looks for it."""
    if kind == "openai-responses":
        calls = [item["call_id"] for item in body["input"] if item["type"] == "function_call"]
        outputs = [i["call_id"] for i in body["input"] if i["type"] == "function_call_output"]
        assert sorted(calls) == sorted(outputs)
        assert len(calls) == 3
        return
    waiting: set[str] = set()
    done = 0
    for message in body["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else []
        for each in parts:
            if each["type"] == "tool_result":
                waiting.remove(each["tool_use_id"])
                done += 1
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            done += 1
        elif message["role"] == "assistant":
            assert not waiting
            waiting = {each["id"] for each in message.get("tool_calls") or ()}
            waiting |= {each["id"] for each in parts if each["type"] == "tool_use"}
    assert (waiting, done) == (set(), 3)


def test_a_model_without_tools_reads_what_ours_did(tools: OpenAI, upstream: Doubles, search: Any):
    """A later turn of the thread without tools: calls and outputs, in words that it knows."""
    first = ask(tools, "find cheese", search)
    upstream.reply(chat.says("Yes."))
    second = tools.responses.create(model="gpt", input="Really?", previous_response_id=first.id)
    assert second.output_text == "Yes."
    said = upstream.double.requests[0].body
    assert "tools" not in said
    roles = [message["role"] for message in said["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert FABLE in said["messages"][2]["content"]


def test_an_upstream_that_searches_reads_what_ours_did_elsewhere():
    """What Clew did is told it as functions', since it knows neither the call nor the files; what
    it did itself comes back as it was."""
    theirs = {"id": "fs_up", "type": "file_search_call", "queries": ["q"], "results": None}
    found = responses.streams(
        *responses.hosted(0, theirs, ["searching"]), *responses.message(1, "Found.")
    )
    replies = responses_call(), responses.says("Yes."), found, responses.says("Good.")
    with in_front_of("openai-responses", *replies) as (client, double):
        ours = {**SEARCH, "vector_store_ids": [store_in(client)]}
        first = ask(client, "Cheese?", ours, model="m")
        assert types(first) == ["file_search_call", "message"]
        assert [tool["type"] for tool in double.requests[0].body["tools"]] == ["function"]
        foreign = {**SEARCH, "vector_store_ids": ["vs_68f0a1b2c3d48191b0a1b2c3d4e5f607"]}
        second = ask(client, "And?", foreign, model="m", previous_response_id=first.id)
        assert types(second) == ["file_search_call", "message"]
        assert double.requests[2].body["tools"] == [foreign]
        assert kinds_told(double, 2) == ["function_call", "function_call_output"]
        ask(client, "So?", model="m", previous_response_id=second.id)
        assert kinds_told(double, 3) == [
            "function_call",
            "function_call_output",
            "file_search_call",
        ]


def responses_call() -> Reply:
    return KINDS["openai-responses"][0]("file_search")


def kinds_told(double: Upstream, at: int) -> list[str]:
    """The items of a request that are no messages."""
    return [i["type"] for i in double.requests[at].body["input"] if i["type"] != "message"]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "file_search"},
        "required",
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]},
    ],
)
def test_a_choice_of_our_tool(tools: OpenAI, upstream: Doubles, search: Any, choice: Any):
    """The model has to call it, and is free once it has."""
    upstream.reply(
        chat.streams(chat.call(0, "c", "file_search", '{"queries": ["cheese"]}')),
        chat.says("Done."),
    )
    made = ask(tools, "Cheese?", search, TIME, model="gpt", tool_choice=choice)
    assert types(made) == ["file_search_call", "message"]
    assert made.to_dict()["tool_choice"] == choice
    first, then = (request.body["tool_choice"] for request in upstream.double.requests)
    named = {"type": "function", "function": {"name": "file_search"}}
    if choice == "required":
        assert first == "required"
    elif choice["type"] == "file_search":
        assert first == named
    else:
        allowed = {"mode": "required", "tools": [named]}
        assert first == {"type": "allowed_tools", "allowed_tools": allowed}
        allowed["mode"] = "auto"
        assert then == {"type": "allowed_tools", "allowed_tools": allowed}
        return
    assert then == "auto"


def test_calls_are_limited(tools: OpenAI, search: Any):
    """`max_tool_calls`: those beyond are not made, and the model is offered no more."""
    made = ask(tools, "both", search, TIME, max_tool_calls=1)
    assert types(made) == ["message", "function_call", "file_search_call"]
    assert made.max_tool_calls == 1


def test_parallel_calls_are_the_models_to_make(tools: OpenAI, upstream: Doubles, search: Any):
    """It is told not to where it should not."""
    upstream.reply(chat.says("Done."))
    made = ask(tools, "Cheese?", search, model="gpt", parallel_tool_calls=False)
    assert made.parallel_tool_calls is False
    assert upstream.double.requests[0].body["parallel_tool_calls"] is False


LOOPS = chat.streams(
    chat.call(0, "c", "file_search", '{"queries": ["a"]}'),
    usage={"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"steps": 2}, "The run has reached its limit of 2 model calls."),
        ({"tokens": 150}, "The run has used 220 tokens; its limit is 150."),
        ({"cost": 0.0002}, "The run has cost 0.00024; its limit is 0.0002."),
    ],
)
def test_a_run_that_calls_for_ever_is_ended(limits: Any, said: str):
    """By the number of its steps, its tokens or what they cost; it says by which."""
    price = {"input": 1.0, "output": 2.0}
    kind = "openai-compatible"
    with in_front_of(kind, *[LOOPS] * 9, price=price) as (client, double):
        tool = {**SEARCH, "vector_store_ids": [store_in(client)]}
        made = ask(client, "Cheese?", tool, model="m", extra_body={"limits": limits})
        assert (made.status, made.error.code) == ("failed", "rate_limit_exceeded")
        assert made.error.message == said
        assert types(made) == ["file_search_call"] * 2
        assert len(double.requests) == 2


def test_limits_hold_on_the_threads_face(tools: OpenAI, store: str):
    """Of a run, and of one that is made with its thread."""
    held: Any = {"file_search": {"vector_store_ids": [store]}}
    assistant = tools.beta.assistants.create(
        model="scripted", tools=[SEARCH], tool_resources=held
    ).id
    messages: Any = [{"role": "user", "content": "find cheese"}]
    more: Any = {"assistant_id": assistant, "extra_body": {"limits": {"steps": 1}}}
    thread = tools.beta.threads.create(messages=messages).id
    for run in (
        poll(tools, thread, assistant, extra_body=more["extra_body"]),
        tools.beta.threads.create_and_run_poll(
            thread={"messages": messages}, poll_interval_ms=20, **more
        ),
    ):
        assert (run.status, run.last_error.code) == ("failed", "rate_limit_exceeded")
        assert run.last_error.message == "The run has reached its limit of 1 model calls."
        (step,) = steps_of(tools, run)
        assert step.status == "completed"


def test_a_run_has_its_time():
    """`seconds`: the model is left, and what it did stays."""
    hangs = chat.cut(chat.says("So", "on"), "So", "hang")
    with in_front_of("openai-compatible", LOOPS, hangs) as (client, _):
        tool = {**SEARCH, "vector_store_ids": [store_in(client)]}
        made = ask(client, "Cheese?", tool, model="m", extra_body={"limits": {"seconds": 2}})
        assert made.error.message == "The run has reached its limit of 2 seconds."
        assert types(made) == ["file_search_call", "message"]
        assert made.output_text == "So"


def test_names_that_collide_are_refused(tools: OpenAI, search: Any):
    """A function with the name of our tool, a tool twice, two servers of one label: by place."""
    clash = {**TIME, "name": "file_search"}
    assert refused(tools, search, clash)[0] == "tools[1].name"
    assert refused(tools, clash, search)[0] == "tools[0].name"
    server = {"type": "mcp", "server_label": "docs", "server_url": "http://127.0.0.1:9/mcp"}
    assert refused(tools, server, {**server, "server_url": "http://127.0.0.1:8/mcp"}) == (
        "tools[1]",
        "'docs' is named twice.",
    )
    assert refused(tools, search, search)[0] == "tools[1]"


def test_a_response_that_is_not_stored_uses_tools(tools: OpenAI, search: Any):
    """As one that is, and nothing is left of it."""
    made = ask(tools, "find cheese", search, store=False, include=[RESULTS])
    assert types(made) == ["file_search_call", "message"]
    assert made.output[0].results[0].text == FABLE
    (note,) = made.output[1].content[0].annotations
    assert made.output_text[note.index :].startswith("【")
    with pytest.raises(openai.NotFoundError):
        tools.responses.retrieve(made.id)
    shown = [item.to_dict() for item in made.output]
    again = ask(tools, [*shown, {"role": "user", "content": "find beak"}], search, store=False)
    assert types(again) == ["file_search_call", "message"]


def test_a_response_in_the_background_uses_tools(tools: OpenAI, search: Any):
    """It is polled to its end, and its events can be followed from the middle."""
    stream = ask(tools, "find cheese", search, background=True, stream=True)
    made = next(iter(stream)).response
    stream.close()
    while made.status in ("queued", "in_progress"):
        time.sleep(0.02)
        made = tools.responses.retrieve(made.id)
    assert types(made) == ["file_search_call", "message"]
    events = list(tools.responses.retrieve(made.id, stream=True, starting_after=3))
    assert events[0].sequence_number == 4
    assert events[-1].type == "response.completed"
    assert types(events[-1].response) == types(made)


def test_a_websocket_uses_tools(tools: OpenAI, search: Any):
    """The events are those of a stream, and the next response goes on from it."""
    with tools.responses.connect() as socket:
        socket.response.create(model="scripted", input="find cheese", tools=[search])
        told = []
        for event in socket:
            told.append(event)
            if event.type == "response.completed":
                break
    kinds = [event.type for event in told]
    assert kinds.index("response.file_search_call.searching") < kinds.index(
        "response.output_text.delta"
    )
    assert types(told[-1].response) == ["file_search_call", "message"]
    assert tools.responses.retrieve(told[-1].response.id).output_text.startswith("It says so")


def test_limits_of_a_server_hold_for_every_run(new_store_url: Callable[[], str]):
    """`run_limits` end a run that asks for more."""
    options = Options(run_limits=Limits(steps=1))
    with (
        Live(new_store_url(), Catalog(script=TOOLS), options) as live,
        live.client() as client,
    ):
        tool = {**SEARCH, "vector_store_ids": [store_in(client)]}
        made = ask(client, "find cheese", tool, extra_body={"limits": {"steps": 5}})
        assert made.error.message == "The run has reached its limit of 1 model calls."
