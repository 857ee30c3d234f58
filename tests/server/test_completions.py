"""Chat completions by the official client: by the scripted model, and through a real upstream."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

import clew
from clew.providers.catalog import Catalog
from clew.testing.upstream import Reply, call, refuses, says, streams

from .conftest import RULES
from .doubles import Doubles
from .live import Live, run

HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
    }
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Doubles]:
    doubles = Doubles()
    yield doubles
    doubles.close()


@pytest.fixture(scope="module")
def relaying(new_store_url: Callable[[], str], upstream: Doubles) -> Iterator[Live]:
    """A server whose models are those of the upstream, but for the scripted one."""
    catalog = Catalog(upstream.double.base_url, "sk-secret", RULES)
    with Live(new_store_url(), catalog) as server:
        yield server


@pytest.fixture
def relayed(relaying: Live, project: str) -> Iterator[OpenAI]:
    with relaying.client(project=project) as client:
        yield client


def said(stream: Any) -> str:
    """The text of a stream's chunks."""
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


def whole(**fields: Any) -> Reply:
    """A completion that is not streamed."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi.", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    body = {
        "id": "chatcmpl-theirs",
        "object": "chat.completion",
        "created": 7,
        "model": "big-2",
        "choices": [choice],
        "surprise": {"n": 1.50},
    } | fields
    return Reply([json.dumps(body).encode()], 200, {"content-type": "application/json"})


def typed(reply: Reply) -> Reply:
    """The same stream with all that the client's types ask of a chunk."""
    head = {"id": "x", "object": "chat.completion.chunk", "created": 7, "model": "big-2"}
    chunks = [json.loads(piece[6:]) for piece in reply.pieces if b"[DONE]" not in piece]
    done = [piece for piece in reply.pieces if b"[DONE]" in piece]
    encoded = [b"data: %b\n\n" % json.dumps(head | chunk).encode() for chunk in chunks]
    reply.pieces = [*encoded, *done]
    return reply


# the scripted model, in words of ours


def test_the_scripted_model_answers_whole(client: OpenAI):
    """A completion has the answer, why it ended, and what it cost."""
    made = client.chat.completions.create(model="scripted", messages=HELLO)
    assert made.id.startswith("chatcmpl-")
    assert made.choices[0].message.content == "Hello there, dear friend."
    assert (made.choices[0].finish_reason, made.model) == ("stop", "scripted")
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (1, 4)
    assert made.usage.total_tokens == 5


def test_the_scripted_model_streams(client: OpenAI):
    """The first chunk says who speaks, the last why it ended; usage comes where asked for."""
    create = client.chat.completions.create
    chunks = list(create(model="scripted", messages=HELLO, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert said(chunks) == "Hello there, dear friend."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    options = {"include_usage": True}
    chunks = list(create(model="scripted", messages=HELLO, stream=True, stream_options=options))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 5


def test_a_stream_has_no_event_names_and_says_when_it_is_done(http: httpx2.Client):
    """The bytes of a stream are data lines, [DONE] at the end."""
    body = {"model": "scripted", "messages": HELLO, "stream": True}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


def test_tools_are_called_and_answered(client: OpenAI):
    """Calls come as tool calls, streamed or not; their outputs go on from there."""
    create, messages = client.chat.completions.create, [{"role": "user", "content": ""}]
    messages[0]["content"] = "weather in Rome and Oslo"
    made = create(model="scripted", messages=messages, tools=TOOLS, parallel_tool_calls=True)
    message = made.choices[0].message
    assert (made.choices[0].finish_reason, message.content) == ("tool_calls", "Let me look.")
    places = [json.loads(each.function.arguments)["city"] for each in message.tool_calls]
    assert places == ["Rome", "Oslo"]
    with client.chat.completions.stream(model="scripted", messages=messages, tools=TOOLS) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert [each.function.arguments for each in streamed.tool_calls] == [
        each.function.arguments for each in message.tool_calls
    ]
    outputs = [
        {"role": "tool", "tool_call_id": each.id, "content": place}
        for each, place in zip(message.tool_calls, ("sunny", "rainy"), strict=True)
    ]
    answered = create(
        model="scripted", messages=[*messages, message.model_dump(), *outputs], tools=TOOLS
    )
    assert answered.choices[0].message.content == "It is rainy."
    forced = create(
        model="scripted",
        messages=[{"role": "user", "content": "anything"}],
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    assert forced.choices[0].message.tool_calls[0].function.name == "get_weather"


class City(BaseModel):
    """What a model is to answer in."""

    city: str


def test_a_limit_and_a_format_are_kept_to(client: OpenAI):
    """`max_completion_tokens` and `max_tokens` end the answer; a format is accepted."""
    for limit in ("max_completion_tokens", "max_tokens"):
        made = client.chat.completions.create(model="scripted", messages=HELLO, **{limit: 2})
        assert made.choices[0].finish_reason == "length"
        assert made.choices[0].message.content == "Hello there,"
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="scripted", messages=HELLO, max_tokens=1, response_format=City
        )


def test_asynchronous_clients_are_answered_too(live: Live, project: str):
    """Create, stream and the stored ones, by a client that awaits."""

    async def play() -> None:
        async with live.async_client(project=project) as client:
            completions = client.chat.completions
            made = await completions.create(model="scripted", messages=HELLO, store=True)
            assert made.choices[0].message.content == "Hello there, dear friend."
            async with completions.stream(model="scripted", messages=HELLO) as stream:
                final = await stream.get_final_completion()
            assert final.choices[0].message.content == made.choices[0].message.content
            assert [each.id async for each in completions.list()] == [made.id]
            assert (await completions.retrieve(made.id)).id == made.id
            changed = await completions.update(made.id, metadata={"a": "b"})
            assert changed.metadata == {"a": "b"}
            assert (await completions.delete(made.id)).deleted

    run(play())


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"n": 2}, "n", "Unsupported parameter: 'n'."),
    ({"seed": 1}, "seed", "Unsupported parameter: 'seed'."),
    ({"logprobs": True}, "logprobs", "Unsupported parameter: 'logprobs'."),
    ({"logit_bias": {"1": 2}}, "logit_bias", "Unsupported parameter: 'logit_bias'."),
    ({"stop": ["x"]}, "stop", "Unsupported parameter: 'stop'."),
    ({"audio": {"voice": "a", "format": "wav"}}, "audio", "Unsupported parameter: 'audio'."),
    ({"functions": [{"name": "f"}]}, "functions", "Unsupported parameter: 'functions'."),
    ({"presence_penalty": 0.5}, "presence_penalty", "Unsupported parameter: 'presence_penalty'."),
    ({"tempature": 1}, "tempature", "Unknown parameter: 'tempature'. Did you mean 'temperature'?"),
    ({"temperature": 3}, "temperature", "Invalid 'temperature': decimal above maximum value."),
    ({"messages": []}, "messages", "Invalid 'messages': empty array."),
    ({"messages": "x"}, "messages", "Invalid type for 'messages'"),
    ({"messages": [{}]}, "messages[0].role", "Missing required parameter: 'messages[0].role'."),
    (
        {"messages": [{"role": "user", "content": "x", "name": "Ada"}]},
        "messages[0].name",
        "Unsupported parameter: 'messages[0].name'.",
    ),
    (
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]},
        "messages[0].role",
        "Invalid parameter: messages with role 'tool' must be a response to a preceding message",
    ),
    ({"stream": "yes"}, "stream", "Invalid type for 'stream': expected a boolean"),
    ({"model": ""}, "model", "Invalid 'model': empty string."),
    ({"store": 1}, "store", "Invalid type for 'store': expected a boolean"),
    ({"metadata": {"k": "v"}}, "metadata", "The 'metadata' parameter is only allowed when"),
    (
        {"stream_options": {"include_usage": True}},
        "stream_options",
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    ),
    (
        {"max_tokens": 1, "max_completion_tokens": 1},
        "max_tokens",
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
    ),
    ({"tools": [{"type": "retrieval"}]}, "tools[0].type", "Invalid value: 'retrieval'."),
    (
        {"messages": [{"role": "function", "name": "f", "content": "x"}]},
        "messages[0]",
        "Unsupported parameter: 'messages[0]'.",
    ),
    (
        {"tool_choice": "auto"},
        "tool_choice",
        "The 'tool_choice' parameter is only allowed when 'tools' are specified.",
    ),
]


@pytest.mark.parametrize(("more", "param", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_bad_input_is_refused_by_name(
    http: httpx2.Client, more: dict[str, Any], param: str, message: str
):
    """What is wrong, or cannot be carried, is named; nothing is kept."""
    body = {"model": "scripted", "messages": HELLO} | more
    answer = http.post("/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param), error
    assert error["message"].startswith(message)
    assert error["type"] == "invalid_request_error"
    assert http.get("/v1/chat/completions").json()["data"] == []


def test_what_says_nothing_is_not_refused(client: OpenAI):
    """Parameters at their neutral values, as clients like to send them, are accepted."""
    made = client.chat.completions.create(
        model="scripted",
        messages=HELLO,
        n=1,
        presence_penalty=0,
        frequency_penalty=0.0,
        logprobs=False,
        stop=None,
        seed=None,
        user="u-1",
        temperature=0.5,
        top_p=0.5,
        reasoning_effort="low",
        store=False,
    )
    assert made.choices[0].message.content == "Hello there, dear friend."


def test_a_model_that_fails_is_an_error_of_its_kind(client: OpenAI):
    """Before the first word an HTTP error; after it an error in the stream, and no [DONE]."""
    create = client.chat.completions.create
    with pytest.raises(openai.RateLimitError) as refusal:
        create(model="scripted", messages=[{"role": "user", "content": "limit"}])
    assert refusal.value.code == "rate_limit_exceeded"
    broken = [{"role": "user", "content": "break"}]
    with pytest.raises(openai.InternalServerError) as failure:
        create(model="scripted", messages=broken, store=True)
    assert failure.value.status_code == 502
    heard: list[Any] = []
    with pytest.raises(openai.APIError, match="It broke"):
        heard.extend(create(model="scripted", messages=broken, stream=True, store=True))
    assert list(client.chat.completions.list()) == []


# through an upstream


def test_a_request_goes_through_whole(relayed: OpenAI, upstream: Doubles):
    """Every parameter goes on, and the answer comes back as it is."""
    upstream.reply(whole())
    more = {"n": 1, "seed": 7, "logit_bias": {"50256": -100}, "stop": ["x"], "top_logprobs": 2}
    raw = relayed.chat.completions.with_raw_response.create(
        model="big", messages=HELLO, logprobs=True, extra_body={"odd": {"x": 1.5}}, **more
    )
    assert raw.http_response.content == whole().pieces[0]
    body = upstream.double.requests[0].body
    expected = {"model": "big", "messages": HELLO, "logprobs": True, "odd": {"x": 1.5}, **more}
    assert {name: body.get(name) for name in expected} == expected
    assert not body.get("stream")


def test_chunks_come_back_byte_for_byte(relaying: Live, project: str, upstream: Doubles):
    """Each chunk of a stream is as the upstream said it, whatever is in it."""
    chunks = [
        b'{"id":"x",  "choices":[{"index":1,"delta":{"content":"a","odd":1.50}}]}',
        b'{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}',
    ]
    pieces = [b"data: %b\n\n" % chunk for chunk in [*chunks, b"[DONE]"]]
    upstream.reply(Reply(pieces))
    with relaying.http(project) as http:
        body = {"model": "big", "messages": HELLO, "stream": True}
        answer = http.post("/v1/chat/completions", json=body)
    assert answer.content == b"".join(pieces)


def choice(delta: str) -> bytes:
    return b'{"choices":[{"index":0,"delta":%b,"finish_reason":"stop"}]}' % delta.encode()


LIES = [b"<html>", b"[]", b'{"choices":7}', b'{"choices":[7]}']
DELTAS = map(choice, ("7", '{"tool_calls":7}', '{"tool_calls":[7]}'))


@pytest.mark.parametrize(
    ("lie", "streamed"),
    [(LIES[0], False), (LIES[3], False), *((lie, True) for lie in (*LIES, *DELTAS))],
)
def test_an_upstream_that_lies_is_a_bad_gateway(
    relaying: Live, project: str, upstream: Doubles, lie: bytes, streamed: bool
):
    """What is no completion is never kept, and named as the upstream's fault."""
    kind = "text/event-stream" if streamed else "application/json"
    reply = Reply([b"data: %b\n\n" % lie if streamed else lie], 200, {"content-type": kind})
    upstream.reply(*[reply] * 4)
    body = {"model": "big", "messages": HELLO, "store": True, "stream": streamed}
    with relaying.http(project) as http:
        answer = http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 502, answer.text
        assert answer.json()["error"]["type"] == "server_error"
        assert http.get("/v1/chat/completions").json()["data"] == []


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (refuses(429, "slow down", x_should_retry="false"), 429, "rate_limit_exceeded"),
        (refuses(400, "no such thing"), 400, "invalid_prompt"),
        (refuses(500, "oops", x_should_retry="false"), 502, "server_error"),
        (refuses(401, "key sk-secret is bad"), 502, "server_error"),
        (Reply([], ending="reset"), 502, "server_error"),
        (Reply([]), 502, "server_error"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_upstream_that_refuses_is_an_http_error(
    relayed: OpenAI, upstream: Doubles, reply: Reply, status: int, code: str, streamed: bool
):
    """Before the first byte, what went wrong upstream has a status and OpenAI's shape."""
    upstream.reply(*[reply] * 4)
    with pytest.raises(openai.APIStatusError) as refusal:
        relayed.chat.completions.create(model="big", messages=HELLO, stream=streamed, store=True)
    assert (refusal.value.status_code, refusal.value.code) == (status, code)
    assert "sk-secret" not in refusal.value.message
    assert list(relayed.chat.completions.list()) == []


def test_an_upstream_that_breaks_off_is_an_error_in_the_stream(relayed: OpenAI, upstream: Doubles):
    """After the first byte the error is the last event; what was said reached the client."""
    reply = typed(says("Hel", finish=None, done=False))
    reply.ending = "reset"
    upstream.reply(reply)
    heard: list[Any] = []
    stream = relayed.chat.completions.create(model="big", messages=HELLO, stream=True, store=True)
    with pytest.raises(openai.APIError, match="broke off"):
        heard.extend(chunk.choices[0].delta.content for chunk in stream)
    assert heard == ["Hel"]
    assert list(relayed.chat.completions.list()) == []


def test_a_careless_upstream_is_kept_with_what_it_left_out(
    relaying: Live, project: str, upstream: Doubles
):
    """A kept completion has its time and model, though no chunk named them."""
    upstream.reply(says("Hi."))
    with relaying.client(project=project) as client, relaying.http(project) as http:
        body = {"model": "big", "messages": HELLO, "stream": True, "store": True}
        assert "[DONE]" in http.post("/v1/chat/completions", json=body).text
        [kept] = client.chat.completions.list()
        assert (kept.model, kept.choices[0].message.content) == ("big", "Hi.")
        assert abs(kept.created - time.time()) < 60


@pytest.mark.parametrize("stored", [True, False])
def test_a_client_that_leaves_ends_the_upstream_call(
    relaying: Live, project: str, upstream: Doubles, stored: bool
):
    """Hanging up in mid-stream hangs up on the model; nothing is kept."""
    reply = typed(says("Hel", finish=None, done=False))
    reply.ending = "hang"
    upstream.reply(reply)
    upstream.double.let_go.clear()
    with relaying.client(project=project) as client:
        stream = client.chat.completions.create(
            model="big",
            messages=HELLO,
            stream=True,
            store=stored,
            extra_headers={"connection": "close"},
        )
        next(iter(stream))
        stream.close()
        upstream.do(asyncio.wait_for(upstream.double.let_go.wait(), 10))
        assert list(client.chat.completions.list()) == []


def test_a_client_that_leaves_before_the_answer_ends_the_upstream_call(
    relaying: Live, project: str, upstream: Doubles
):
    """Giving up on an answer that is not streamed hangs up on the model too."""
    reply = Reply([], 200, {"content-type": "application/json"}, "hang")
    upstream.reply(reply)
    upstream.double.let_go.clear()
    with relaying.client(project=project) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="big", messages=HELLO, timeout=0.3)
    upstream.do(asyncio.wait_for(upstream.double.let_go.wait(), 10))


def test_an_embedded_client_that_leaves_ends_the_upstream_call(relaying: Live, upstream: Doubles):
    """The same where there is no connection to close."""
    reply = typed(says("Hel", finish=None, done=False))
    reply.ending = "hang"
    upstream.reply(reply)
    upstream.double.let_go.clear()
    with relaying.here.openai() as client:
        stream = client.chat.completions.create(model="big", messages=HELLO, stream=True)
        next(iter(stream))
        stream.close()
        upstream.do(asyncio.wait_for(upstream.double.let_go.wait(), 10))


def test_an_embedded_client_may_leave_late(tmp_path: Path):
    """Closing a stream after its Clew is closed is no error."""
    here = clew.open(f"sqlite:///{tmp_path}/clew.db", script=str(RULES))
    asked = [{"role": "user", "content": "dictate"}]
    stream = here.openai().chat.completions.create(model="scripted", messages=asked, stream=True)
    next(iter(stream))
    here.close()
    stream.close()


# kept


@pytest.mark.parametrize("streamed", [True, False])
def test_a_completion_is_kept_under_an_id_of_ours(
    relayed: OpenAI, upstream: Doubles, streamed: bool
):
    """`store` keeps messages and answer; it is Clew's to do, so the upstream is not asked to."""
    calls = [call(0, "call_a", "f", '{"a"'), call(0, None, None, ":1}")]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    in_pieces = typed(streams(*calls, finish="tool_calls", usage=usage))
    upstream.reply(in_pieces if streamed else whole())
    completions = relayed.chat.completions
    made = completions.create(
        model="big",
        messages=HELLO,
        store=True,
        stream=streamed,
        metadata={"k": "v"},
        temperature=0.5,
    )
    id = {chunk.id for chunk in made}.pop() if streamed else made.id
    assert id.startswith("chatcmpl-")
    assert id != "chatcmpl-theirs"
    assert not upstream.double.requests[0].body.keys() & {"store", "metadata"}
    kept = completions.retrieve(id)
    assert kept.metadata == {"k": "v"}
    assert kept.model_extra["temperature"] == 0.5
    choice = kept.choices[0]
    if streamed:
        [kept_call] = choice.message.tool_calls
        assert (kept_call.id, kept_call.function.arguments) == ("call_a", '{"a":1}')
        assert (choice.finish_reason, kept.usage.total_tokens) == ("tool_calls", 5)
    else:
        assert choice.message.content == "Hi."
        assert kept.model_extra["surprise"] == {"n": 1.5}


def test_kept_completions_are_listed_changed_and_deleted(client: OpenAI):
    """Oldest first; by model, by metadata, page by page; a deleted one is gone."""
    completions = client.chat.completions
    ids = [
        completions.create(
            model=f"m{number % 2}", messages=HELLO, store=True, metadata={"n": str(number // 2)}
        ).id
        for number in range(5)
    ]
    completions.create(model="m0", messages=HELLO)  # not kept
    assert [one.id for one in completions.list(limit=2)] == ids
    assert [one.id for one in completions.list(order="desc", limit=2)] == ids[::-1]
    assert [one.id for one in completions.list(model="m1")] == [ids[1], ids[3]]
    assert [one.id for one in completions.list(metadata={"n": "1"})] == ids[2:4]
    assert [one.id for one in completions.list(metadata={"n": "1"}, model="m1")] == [ids[3]]
    assert [one.id for one in completions.list(after=ids[2])] == ids[3:]
    changed = completions.update(ids[0], metadata={"n": "9"})
    assert changed == completions.retrieve(ids[0])
    assert [one.id for one in completions.list(metadata={"n": "9"})] == [ids[0]]
    assert completions.delete(ids[0]).id == ids[0]
    for act in (
        lambda: completions.retrieve(ids[0]),
        lambda: completions.delete(ids[0]),
        lambda: completions.update(ids[0], metadata={}),
        lambda: completions.messages.list(ids[0]),
        lambda: completions.list(after=ids[0]),
    ):
        with pytest.raises(openai.NotFoundError) as refusal:
            act()
        assert refusal.value.body["message"] == f"No completion found with id '{ids[0]}'."
    assert [one.id for one in completions.list()] == ids[1:]


def test_the_messages_of_a_completion_are_listed(live: Live, project: str):
    """Each has an id of the completion's, and its content or its parts.

    The client is not a strict one here: its type says that every message is an assistant's.
    """
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]
    asked = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "Nice."},
        {"role": "user", "content": "hello"},
    ]
    with live.client(project=project, _strict_response_validation=False) as client:
        completions = client.chat.completions
        id = completions.create(model="scripted", messages=asked, store=True).id
        listed = list(completions.messages.list(id, limit=3))
        assert [message.id for message in listed] == [f"{id}-{n}" for n in range(4)]
        assert [message.role for message in listed] == ["system", "user", "assistant", "user"]
        assert [message.content for message in listed] == ["Be kind.", None, "Nice.", "hello"]
        assert listed[1].content_parts[1].image_url.url == "https://x/y.png"
        page = completions.messages.list(id, order="desc", limit=2, after=f"{id}-2")
        assert [message.id for message in page.data] == [f"{id}-1", f"{id}-0"]
        for cursor in (f"{id}-4", "chatcmpl-x-1", "msg_1", f"{id}-"):
            with pytest.raises(openai.NotFoundError):
                completions.messages.list(id, after=cursor)


def test_messages_of_an_assistant_pass_the_strict_client(client: OpenAI):
    """Where every message is an assistant's, as its type demands, a strict client agrees."""
    completions = client.chat.completions
    messages = [{"role": "assistant", "content": "Well?"}]
    id = completions.create(model="scripted", messages=messages, store=True).id
    [listed] = completions.messages.list(id)
    assert (listed.id, listed.content, listed.content_parts) == (f"{id}-0", "Well?", None)


def test_a_retry_of_a_kept_completion_asks_no_model(
    relaying: Live, project: str, upstream: Doubles
):
    """The same Idempotency-Key gives the first answer; another request with it is refused."""
    upstream.reply(whole(), whole())
    body = {"model": "big", "messages": HELLO, "store": True}
    headers = {"idempotency-key": "once"}
    with relaying.http(project) as http:
        first, again = (
            http.post("/v1/chat/completions", json=body, headers=headers) for _ in range(2)
        )
        assert (first.status_code, again.content) == (200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert len(upstream.double.requests) == 1
        other = http.post("/v1/chat/completions", json=body | {"n": 2}, headers=headers)
        assert (other.status_code, len(upstream.double.requests)) == (422, 1)
        assert len(http.get("/v1/chat/completions").json()["data"]) == 1
        http.delete(f"/v1/chat/completions/{first.json()['id']}")
        fresh = http.post("/v1/chat/completions", json=body, headers=headers)
        assert fresh.json()["id"] != first.json()["id"]


def test_a_kept_stream_knows_its_usage(client: OpenAI):
    """Though the client did not ask for it, and did not hear it."""
    chunks = list(
        client.chat.completions.create(
            model="scripted", messages=HELLO, stream=True, store=True, metadata={"a": "b"}
        )
    )
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    kept = client.chat.completions.retrieve(chunks[0].id)
    assert kept.usage.total_tokens == 5
    assert kept.choices[0].message.content == said(chunks) == "Hello there, dear friend."


def test_another_project_sees_nothing(live: Live, client: OpenAI):
    """A completion of one project is in no other."""
    id = client.chat.completions.create(model="scripted", messages=HELLO, store=True).id
    with live.client(project="proj_stranger") as stranger:
        assert list(stranger.chat.completions.list()) == []
        with pytest.raises(openai.NotFoundError):
            stranger.chat.completions.retrieve(id)


def test_a_deleted_completion_leaves_no_bytes(tmp_path: Path):
    """Neither the database nor its log holds a word of it, nor of the recorded answer."""
    path = tmp_path / "clew.db"
    secret = "Xylophon-4711"
    with Live(f"sqlite:///{path}") as server, server.client() as client:
        asked = [{"role": "user", "content": f"{secret} " * 2000}]
        id = client.chat.completions.create(
            model="scripted",
            messages=asked,
            store=True,
            metadata={"k": secret},
            extra_headers={"idempotency-key": "k"},
        ).id
        assert any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())
        client.chat.completions.delete(id)
        left = [file.name for file in tmp_path.iterdir() if secret.encode() in file.read_bytes()]
        assert left == []
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM completion_messages").fetchone() == (0,)
