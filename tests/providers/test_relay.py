"""Chat completions that go through whole."""

import asyncio
from typing import Any

import msgspec
import pytest

from clew.providers.openai_compatible import OpenAICompatible
from clew.providers.provider import ProviderError
from clew.testing.upstream import Reply, Upstream, cut, refuses, says, streams

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 7}
JSON = {"content-type": "application/json"}


class Relayed(msgspec.Struct):
    """The chunks that came, what went wrong, and what the server was asked."""

    chunks: list[bytes]
    error: ProviderError | None
    upstream: Upstream


def relay(*replies: Reply, **more: Any) -> Relayed:
    async def run() -> Relayed:
        async with Upstream(*replies) as upstream:
            provider = OpenAICompatible(upstream.base_url, "k", random=lambda: 1.0)
            chunks: list[bytes] = []
            error = None
            try:
                async for chunk in provider.relay(BODY | more):
                    chunks.append(chunk)
            except ProviderError as failure:
                error = failure
            await provider.close()
            return Relayed(chunks, error, upstream)

    return asyncio.run(run())


def test_chunks_come_out_as_they_were_said_without_their_end_mark() -> None:
    reply = says("Hel", "lo", usage={"prompt_tokens": 1})
    said = [piece.removeprefix(b"data: ").removesuffix(b"\n\n") for piece in reply.pieces]
    relayed = relay(reply, stream=True)
    assert relayed.chunks == said[:-1]
    (request,) = relayed.upstream.requests
    assert (request.path, request.body) == ("/v1/chat/completions", BODY | {"stream": True})


def test_without_a_stream_the_one_completion_comes_out() -> None:
    body = b'{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop"}]}'
    relayed = relay(Reply([body[:20], body[20:]], headers=JSON))
    assert (relayed.chunks, relayed.error) == ([body], None)


@pytest.mark.parametrize("ending", ["end", "reset", "half"])
def test_a_stream_that_breaks_off_says_so_after_what_came(ending: Any) -> None:
    relayed = relay(cut(says("Hel", "lo"), "Hel", ending), stream=True)
    assert len(relayed.chunks) == 1
    assert relayed.error is not None
    assert relayed.error.code == "server_error"


def test_every_choice_has_to_come_to_its_end() -> None:
    def choice(index: int, finish: str | None) -> bytes:
        data = {"choices": [{"index": index, "delta": {}, "finish_reason": finish}]}
        return b"data: %b\n\n" % msgspec.json.encode(data)

    begun = [choice(0, None), choice(1, None), choice(0, "stop")]
    cut_off = relay(Reply(begun), stream=True)
    assert cut_off.error is not None
    whole = relay(Reply([*begun, choice(1, "length")]), stream=True)
    assert (len(whole.chunks), whole.error) == (4, None)


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        (b"data: {\n\n", "server_error"),
        (b'data: {"error": {"code": "rate_limit_exceeded", "message": "x"}}\n\n', None),
    ],
)
def test_junk_and_errors_in_the_stream_are_told_as_such(junk: bytes, code: str | None) -> None:
    relayed = relay(Reply([streams({"content": "a"}).pieces[0], junk]), stream=True)
    assert len(relayed.chunks) == 1
    assert relayed.error is not None
    assert relayed.error.code == (code or "rate_limit_exceeded")


def test_a_refusal_is_told_and_a_busy_server_asked_again() -> None:
    relayed = relay(refuses(503, "busy", retry_after_ms="1"), refuses(400, "bad seed"))
    assert relayed.chunks == []
    assert relayed.error is not None
    assert (relayed.error.code, relayed.error.attempts) == ("invalid_prompt", 2)
    assert "bad seed" in relayed.error.message
