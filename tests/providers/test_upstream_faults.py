"""Servers that break, lie and dawdle, in every dialect: what was said stays, the end is visible."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from clew.providers import upstream
from clew.providers.catalog import KINDS
from clew.providers.provider import Finish, ModelRequest, TextDelta
from clew.testing import upstream_messages, upstream_responses
from clew.testing.upstream import Reply, call, cut, refuses, says, streams

from .hearing import KEY, WINDOW, Heard, ask, hear

SAYS: dict[str, Callable[..., Reply]] = {
    "openai-compatible": says,
    "openai-responses": upstream_responses.says,
    "anthropic": upstream_messages.says,
}
JSON = {"content-type": "application/json"}

ENDS = {"openai-compatible": 2, "openai-responses": 1, "anthropic": 1}
"""How many pieces at the end of a stream say that it is whole; without them it broke off."""

BROKEN = {
    "openai-compatible": b'data: {"choices":[{"delta":{"content":7}}]}\n\n',
    "openai-responses": b'data: {"type":"response.output_text.delta","delta":7}\n\n',
    "anthropic": b'data: {"type":"content_block_delta","delta":7}\n\n',
}

every_kind = pytest.mark.parametrize("kind", SAYS)


def begun(kind: str, *more: bytes, ending: Any = "end") -> Reply:
    """A stream that says "Hel", then these bytes, and stops."""
    reply = cut(SAYS[kind]("Hel", "lo"), "Hel", ending)
    return Reply([*reply.pieces, *more], ending=ending)


def kept_and_told(heard: Heard, code: str = "server_error") -> None:
    """What was said is there, the failure too, and the server was asked once."""
    assert heard.text == "Hel"
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == (code, 1)
    assert len(heard.upstream.requests) == 1


@every_kind
def test_an_answer_streams_through(kind: str) -> None:
    heard = hear(kind, SAYS[kind]("Hel", "lo"))
    assert [delta for delta in heard.deltas if isinstance(delta, TextDelta)] == [
        TextDelta("Hel"),
        TextDelta("lo"),
    ]
    assert isinstance(heard.deltas[-1], Finish)
    assert heard.deltas[-1].reason == "stop"


@every_kind
@pytest.mark.parametrize("ending", ["end", "reset", "half"])
def test_a_stream_without_its_end_keeps_what_was_said(kind: str, ending: str) -> None:
    kept_and_told(hear(kind, begun(kind, ending=ending), SAYS[kind]("never asked for")))


@every_kind
@pytest.mark.parametrize(
    "junk",
    [b"data: {\n\n", b"data: nonsense\n\n", b"data: [1]\n\n", b"data: \xff\n\n"],
    ids=["cut JSON", "no JSON", "no object", "no UTF-8"],
)
def test_what_cannot_be_read_ends_the_answer(kind: str, junk: bytes) -> None:
    kept_and_told(hear(kind, begun(kind, junk)))


@every_kind
def test_an_event_of_the_wrong_shape_ends_the_answer(kind: str) -> None:
    kept_and_told(hear(kind, begun(kind, BROKEN[kind])))


@every_kind
def test_junk_in_the_same_piece_as_words_loses_no_word(kind: str) -> None:
    pieces = begun(kind, b"data: {\n\n").pieces
    kept_and_told(hear(kind, Reply([b"".join(pieces)])))


@every_kind
def test_half_an_event_is_none(kind: str) -> None:
    kept_and_told(hear(kind, begun(kind, b'data: {"type":')))


@every_kind
def test_a_server_that_falls_silent_midway_is_given_up(kind: str) -> None:
    heard = hear(kind, begun(kind, ending="hang"), timeout_s=0.05)
    kept_and_told(heard)
    assert "silent for too long" in str(heard.error)


@every_kind
def test_a_slow_server_is_heard_out(kind: str) -> None:
    reply = SAYS[kind]("Hel", "lo")
    slow = Reply(reply.pieces, pause_s=0.01)
    assert hear(kind, slow, timeout_s=1).text == "Hello"


@every_kind
@pytest.mark.parametrize("named", ["application/json", "text/html", "text/plain"])
def test_a_stream_by_another_name_is_still_read(kind: str, named: str) -> None:
    reply = Reply(SAYS[kind]("Hel", "lo").pieces, headers={"content-type": named})
    assert hear(kind, reply).text == "Hello"


@every_kind
def test_a_web_page_in_place_of_an_answer_is_none(kind: str) -> None:
    page = Reply([b"<html><body>Welcome to nginx!</body></html>"])
    heard = hear(kind, page, page, page)
    assert heard.deltas == []
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == ("server_error", 3)


WHOLE = {
    "openai-compatible": b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}',
    "openai-responses": b'{"object":"response","status":"completed","output":[{"type":"message",'
    b'"role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[]}]}]}',
    "anthropic": b'{"type":"message","content":[{"type":"text","text":"Hello"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}',
}


@every_kind
@pytest.mark.parametrize("named", ["application/json", "text/event-stream"])
def test_a_whole_answer_by_either_name_is_read(kind: str, named: str) -> None:
    body = WHOLE[kind]
    heard = hear(kind, Reply([body[:9], body[9:]], headers={"content-type": named}))
    assert heard.error is None
    assert "Hello" in repr(heard.deltas)
    assert isinstance(heard.deltas[-1], Finish)


@every_kind
def test_a_whole_answer_that_is_cut_is_no_answer(kind: str) -> None:
    heard = hear(kind, Reply([WHOLE[kind][:-9]], headers=JSON))
    assert heard.error is not None
    assert heard.error.code == "server_error"


@every_kind
def test_a_busy_server_is_asked_again_when_it_says(kind: str) -> None:
    heard = hear(kind, refuses(429, "slow down", retry_after="2"), SAYS[kind]("Hello"))
    assert (heard.text, heard.waits) == ("Hello", [2.0])
    assert isinstance(heard.deltas[-1], Finish)
    assert heard.deltas[-1].attempts == 2


@every_kind
def test_a_server_that_stays_busy_is_a_rate_limit(kind: str) -> None:
    heard = hear(kind, *[refuses(429, "slow down", retry_after="0")] * 3)
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == ("rate_limit_exceeded", 3)


@every_kind
def test_a_server_that_fails_is_asked_again_and_then_told_of(kind: str) -> None:
    heard = hear(kind, *[refuses(500, "out of memory")] * 3)
    assert heard.waits == [0.5, 1.0]
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == ("server_error", 3)
    assert str(heard.error).endswith("out of memory")


@every_kind
def test_a_window_that_is_too_long_is_told_by_its_own_code(kind: str) -> None:
    heard = hear(kind, refuses(400, "prompt is too long: 207791 tokens > 200000 maximum"))
    assert heard.error is not None
    assert (heard.error.code, heard.error.attempts) == ("context_length_exceeded", 1)


@every_kind
def test_an_error_in_the_stream_keeps_what_was_said(kind: str) -> None:
    error = b'data: {"type":"error","error":{"type":"api_error","message":"key %b"}}\n\n'
    heard = hear(kind, begun(kind, error % KEY.encode()))
    kept_and_told(heard)
    assert str(heard.error) == "The model failed while it answered: key [API key]"


@every_kind
def test_an_overloaded_server_that_has_said_nothing_is_asked_again(kind: str) -> None:
    error = b'data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
    heard = hear(kind, Reply([error]), SAYS[kind]("Hello"))
    assert heard.text == "Hello"
    assert len(heard.upstream.requests) == 2


@every_kind
def test_a_connection_lost_after_the_end_loses_nothing(kind: str) -> None:
    pieces = SAYS[kind]("Hello").pieces
    whole = pieces if kind != "openai-compatible" else pieces[:-1]
    heard = hear(kind, Reply(whole, ending="reset"))
    assert (heard.text, heard.error) == ("Hello", None)


@every_kind
def test_what_comes_after_the_end_is_not_waited_for(kind: str) -> None:
    heard = hear(kind, Reply(SAYS[kind]("Hello").pieces, ending="hang"))
    assert (heard.text, heard.error) == ("Hello", None)


@every_kind
def test_a_connection_whose_answer_was_read_to_its_end_is_used_again(kind: str) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in SAYS[kind]("a").pieces)
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    connections = []
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                assert length is not None
                await reader.readexactly(int(length[1]))
                writer.write(reply)
        writer.close()
        left.set()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            provider = KINDS[kind](f"http://127.0.0.1:{port}/v1")
            for _ in range(3):
                deltas, error = await ask(provider, ModelRequest("m", WINDOW))
                assert error is None
                assert TextDelta("a") in deltas
            await provider.close()
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(run())
    assert len(connections) == 1


NAMELESS = {
    "openai-compatible": streams(call(0, "c1", "", "{}")),
    "openai-responses": upstream_responses.streams(*upstream_responses.call(0, "", "f", "{}")),
    "anthropic": upstream_messages.streams(upstream_messages.call(0, "", "f", "{}")),
}
"""Calls that cannot be made, or not be answered."""


@every_kind
def test_a_call_without_a_name_or_an_id_ends_the_answer(kind: str) -> None:
    heard = hear(kind, NAMELESS[kind])
    assert heard.error is not None
    assert heard.error.code == "server_error"
    assert "without" in heard.error.message


@every_kind
def test_an_answer_that_never_ends_is_broken_off(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small its events are, they are not taken for ever."""
    monkeypatch.setattr(upstream, "ANSWER_BYTES_MAX", 50_000)
    word = cut(SAYS[kind]("Hel", "lo"), "Hel").pieces[-1]
    heard = hear(kind, begun(kind, *[word] * 2_000))
    assert 0 < len(heard.text) < 50_000
    assert heard.error is not None
    assert heard.error.code == "server_error"
    assert "longer than" in heard.error.message
