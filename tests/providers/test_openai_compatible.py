"""The OpenAI-compatible provider against a real HTTP server that misbehaves on demand."""

import asyncio
import socket
from typing import Any

import httpx2
import msgspec
import pytest

from clew.core.errors import BadRequest
from clew.core.items import message
from clew.providers.openai_compatible import OpenAICompatible
from clew.providers.provider import (
    Delta,
    Finish,
    ModelRequest,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.testing.upstream import Reply, Upstream, call, refuses, says, streams

KEY = "sk-very-secret"
WINDOW = [message("msg_1", "user", "Hi", 0)]


class Heard(msgspec.Struct):
    """What came of one call: the deltas, how it failed, and what the server was asked."""

    deltas: list[Delta]
    error: ProviderError | None
    waits: list[float]
    upstream: Upstream

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, TextDelta))


async def ask(provider: OpenAICompatible, **said: Any) -> tuple[list[Delta], ProviderError | None]:
    deltas: list[Delta] = []
    try:
        async for delta in provider.stream(ModelRequest("m", WINDOW, **said)):
            deltas.append(delta)
    except ProviderError as error:
        return deltas, error
    return deltas, None


def hear(*replies: Reply, said: dict[str, Any] | None = None, **settings: Any) -> Heard:
    """One call to a server with these replies; pauses are noted, not slept."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> Heard:
        async with Upstream(*replies) as upstream:
            provider = OpenAICompatible(
                upstream.base_url, KEY, sleep=note, random=lambda: 0.0, **settings
            )
            deltas, error = await ask(provider, **(said or {}))
            await provider.close()
            return Heard(deltas, error, waits, upstream)

    return asyncio.run(run())


def cut(reply: Reply, pieces: int, ending: str = "end") -> Reply:
    return Reply(reply.pieces[:pieces], ending=ending)


def test_an_answer_streams_through_with_its_usage() -> None:
    heard = hear(says("Hel", "lo", usage={"prompt_tokens": 3, "completion_tokens": 2}))
    assert heard.deltas == [TextDelta("Hel"), TextDelta("lo"), Finish("stop", 3, 2)]


def test_the_request_goes_to_chat_completions_with_the_key() -> None:
    (request,) = hear(says("a")).upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("tail", ["", "/", "//"])
def test_without_a_key_none_is_sent_and_a_trailing_slash_changes_nothing(tail: str) -> None:
    async def run() -> Upstream:
        async with Upstream(says("a")) as upstream:
            provider = OpenAICompatible(upstream.base_url + tail)
            await ask(provider)
            await provider.close()
            return upstream

    (request,) = asyncio.run(run()).requests
    assert request.path == "/v1/chat/completions"
    assert "authorization" not in request.headers


def test_a_server_that_counts_nothing_leaves_the_usage_unknown() -> None:
    assert hear(says("a")).deltas[-1] == Finish("stop", None, None)


def test_several_calls_split_over_chunks_arrive_in_order() -> None:
    reply = streams(
        call(0, "c1", "f", '{"a'),
        call(0, None, None, '":1}'),
        call(1, "c2", "g", "{}"),
        finish="tool_calls",
    )
    assert hear(reply).deltas == [
        ToolCallDelta(0, '{"a', "c1", "f"),
        ToolCallDelta(0, '":1}'),
        ToolCallDelta(1, "{}", "c2", "g"),
        Finish("tool_calls"),
    ]


def test_pieces_cut_inside_an_event_and_a_letter_are_put_together() -> None:
    stream = b"".join(says("Grüße, ", "\N{GRINNING FACE}").pieces)
    heard = hear(Reply([stream[at : at + 1] for at in range(len(stream))]))
    assert heard.text == "Grüße, \N{GRINNING FACE}"


def test_a_whole_json_answer_from_a_server_that_does_not_stream_is_read() -> None:
    body = b'{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}'
    heard = hear(Reply([body[:9], body[9:]], headers={"content-type": "application/json"}))
    assert heard.deltas == [TextDelta("Hello"), Finish("stop")]


def test_what_comes_after_done_is_not_waited_for() -> None:
    heard = hear(Reply(says("a").pieces, ending="hang"))
    assert heard.deltas == [TextDelta("a"), Finish("stop")]


@pytest.mark.parametrize(
    "broken",
    [
        cut(says("Hel", "lo"), 1),
        cut(says("Hel", "lo"), 1, "reset"),
        Reply([*says("Hel").pieces[:1], b'data: {"choices":[{"del']),
        Reply([*says("Hel").pieces[:1], b'data: {"choices":[{"del\n\n']),
    ],
    ids=["no end", "reset", "half an event", "broken JSON"],
)
def test_a_stream_that_breaks_is_an_error_and_what_was_said_stays_said(broken: Reply) -> None:
    heard = hear(broken, says("never asked for"))
    assert heard.deltas == [TextDelta("Hel")]
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == ("server_error", 1)
    assert len(heard.upstream.requests) == 1


@pytest.mark.parametrize("silent", [cut(says(), 0), cut(says(), 0, "reset")], ids=["end", "reset"])
def test_a_stream_that_breaks_before_its_first_word_is_asked_for_again(silent: Reply) -> None:
    heard = hear(silent, says("Hello"))
    assert heard.deltas == [TextDelta("Hello"), Finish("stop", attempts=2)]
    assert heard.waits == [0.5]


def test_a_connection_lost_after_the_finish_reason_loses_nothing() -> None:
    heard = hear(cut(says("Hello"), 2, "reset"))
    assert heard.deltas == [TextDelta("Hello"), Finish("stop")]


def test_a_busy_server_is_asked_again_when_it_says_and_no_more_often_than_allowed() -> None:
    replies = [
        refuses(429, "slow down", retry_after="2"),
        refuses(503, "starting", retry_after_ms="20"),
        refuses(429, "slow down", retry_after="2"),
        says("never asked for"),
    ]
    heard = hear(*replies)
    assert heard.waits == [2.0, 0.02]
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == ("rate_limit_exceeded", 3)
    assert heard.error.message.endswith("slow down")


def test_without_a_hint_the_pauses_grow() -> None:
    heard = hear(refuses(500, "a"), refuses(502, "b"), refuses(409, "c"), says("d"), attempts_max=4)
    assert heard.waits == [0.5, 1.0, 2.0]
    assert heard.deltas[-1] == Finish("stop", attempts=4)


def test_a_prompt_the_server_refuses_is_not_sent_again() -> None:
    heard = hear(refuses(400, "context too long"), says("never asked for"))
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == ("invalid_prompt", 1)
    assert "context too long" in str(heard.error)


def test_the_server_may_forbid_another_attempt() -> None:
    heard = hear(refuses(503, "closed", x_should_retry="false"), says("never asked for"))
    assert heard.error is not None
    assert heard.waits == []


def test_a_server_that_is_not_there_is_tried_and_then_named_as_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        waits: list[float] = []

        async def note(seconds: float) -> None:
            waits.append(seconds)

        async def run() -> ProviderError | None:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            provider = OpenAICompatible(url, sleep=note, random=lambda: 0.0)
            _, error = await ask(provider)
            await provider.close()
            return error

        error = asyncio.run(run())
    assert waits == [0.5, 1.0]
    assert error is not None
    assert (error.code, error.attempts) == ("server_error", 3)
    assert "could not be reached" in str(error)


def test_a_server_that_stays_silent_is_given_up_once() -> None:
    heard = hear(Reply(ending="hang"), says("never asked for"), timeout_s=0.05)
    assert heard.error is not None
    assert "silent for too long" in str(heard.error)
    assert len(heard.upstream.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_the_key_is_cut_out_of_what_the_server_says(status: int) -> None:
    heard = hear(refuses(status, f"the key {KEY} and {'x' * 970} {KEY}"), attempts_max=1)
    assert heard.error is not None
    assert "the key [API key] and" in str(heard.error)
    for said in (str(heard.error), heard.error.message, repr(heard.error)):
        assert "sk-" not in said


def test_the_key_is_cut_out_of_an_error_in_the_stream_too() -> None:
    heard = hear(Reply([b'data: {"error": {"message": "key %b is bad"}}\n\n' % KEY.encode()]))
    assert str(heard.error) == "The model failed while it answered: key [API key] is bad"


def test_a_model_that_wants_the_limit_by_its_new_name_is_told_so_from_then_on() -> None:
    refusal = refuses(400, "Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead.")

    async def run() -> Upstream:
        async with Upstream(refusal, says("a"), says("b")) as upstream:
            provider = OpenAICompatible(upstream.base_url, sleep=asyncio.sleep)
            for _ in range(2):
                _, error = await ask(provider, tokens_max=5)
                assert error is None
            await provider.close()
            return upstream

    limits = ("max_tokens", "max_completion_tokens")
    asked = [request.body for request in asyncio.run(run()).requests]
    assert [[name for name in limits if name in body] for body in asked] == [
        ["max_tokens"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
    ]


def test_closing_the_iterator_hangs_up_on_the_server() -> None:
    async def run() -> None:
        async with Upstream(Reply(says("Hel", "lo").pieces[:1], ending="hang")) as upstream:
            provider = OpenAICompatible(upstream.base_url)
            deltas = provider.stream(ModelRequest("m", WINDOW))
            assert await anext(deltas) == TextDelta("Hel")
            await deltas.aclose()
            await asyncio.wait_for(upstream.let_go.wait(), 5)
            await provider.close()

    asyncio.run(run())


def test_closing_the_iterator_has_let_go_of_the_response_when_it_returns() -> None:
    responses: list[httpx2.Response] = []

    async def note(response: httpx2.Response) -> None:
        responses.append(response)

    async def run() -> list[bool]:
        client = httpx2.AsyncClient(event_hooks={"response": [note]})
        hanging = Reply(says("Hel").pieces[:1], ending="hang")
        async with client, Upstream(hanging) as upstream:
            provider = OpenAICompatible(upstream.base_url, client=client)
            deltas = provider.stream(ModelRequest("m", WINDOW))
            await anext(deltas)
            await deltas.aclose()
            return [response.is_closed for response in responses]

    assert asyncio.run(run()) == [True]


def test_a_given_client_is_left_open_for_its_owner() -> None:
    async def run() -> bool:
        async with Upstream(says("a")) as upstream, httpx2.AsyncClient() as client:
            provider = OpenAICompatible(upstream.base_url, client=client)
            await ask(provider)
            await provider.close()
            return client.is_closed

    assert asyncio.run(run()) is False


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://x.test", "", "http://x:y:z"])
def test_a_base_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        OpenAICompatible(url)
    assert refusal.value.param == "base_url"


def test_a_key_that_no_header_can_hold_is_refused_without_quoting_it() -> None:
    with pytest.raises(BadRequest) as refusal:
        OpenAICompatible("http://x.test/v1", "sk-secret\n")
    assert refusal.value.param == "api_key"
    assert "sk-" not in str(refusal.value)
