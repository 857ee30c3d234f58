"""A model asked once: relayed whole, or told in pieces, and what it fails with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from clew.core.completions import CallPiece, CitationPiece, End, Piece, TextPiece
from clew.core.errors import ClewError
from clew.executor import relay
from clew.executor.executor import Executor
from clew.providers.nobody import Nobody
from clew.providers.provider import (
    Abilities,
    AnnotationDelta,
    Delta,
    Finish,
    HostedDelta,
    ItemDone,
    ModelEntry,
    ModelRequest,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)

ASKED = {"model": "m", "items": []}
CITED = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}


class Says:
    """A provider that says these deltas, or raises what is an error among them."""

    name, abilities = "says", Abilities()

    def __init__(self, *deltas: Delta | Exception) -> None:
        self._deltas = deltas
        self.closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        try:
            for delta in self._deltas:
                if isinstance(delta, Exception):
                    raise delta
                yield delta
        finally:
            self.closed = True

    async def close(self) -> None: ...


class Passes(Says):
    """A provider that relays these chunks."""

    async def relay(self, body: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in self._deltas:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk  # type: ignore[misc]
        finally:
            self.closed = True


def executor(provider: Says) -> Executor:
    return Executor(None, lambda model: provider, lambda: 0)  # type: ignore[arg-type]


def told(*deltas: Delta | Exception) -> list[Piece]:
    async def play() -> list[Piece]:
        return [piece async for piece in relay.pieces(executor(Says(*deltas)), ASKED)]

    return asyncio.run(play())


def passed(provider: Passes) -> list[bytes]:
    async def play() -> list[bytes]:
        return [chunk async for chunk in relay.chunks(executor(provider), {"model": "m"})]

    return asyncio.run(play())


def test_deltas_become_pieces():
    """Text, refusal, reasoning, citations and calls come out as what they are; End is the last."""
    assert told(
        TextDelta("a", "summary_text"),
        TextDelta("b"),
        AnnotationDelta(CITED),
        AnnotationDelta({"type": "file_citation"}),
        TextDelta("c", "refusal"),
        ToolCallDelta(3, "", "c1", "f"),
        HostedDelta(4, {"type": "web_search_call"}),
        ToolCallDelta(5, "x", "c2", "g", "custom_tool_call"),
        ToolCallDelta(3, "{}"),
        Finish("tool_calls", 1, 2, 3, 4),
    ) == [
        TextPiece("a", "reasoning"),
        TextPiece("b"),
        CitationPiece(CITED),
        TextPiece("c", "refusal"),
        CallPiece(0, "", "c1", "f"),
        CallPiece(1, "x", "c2", "g", "custom"),
        CallPiece(0, "{}"),
        End("tool_calls", 1, 2, 3, 4),
    ]


def test_an_item_is_said_once():
    """What its deltas told is not told again at its end; what only the end tells, is told then."""
    message = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    second = {"type": "message", "content": [{"type": "refusal", "refusal": "b"}]}
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}
    assert told(
        ItemDone(thought),
        TextDelta("a"),
        ItemDone(message),
        ItemDone(second),
        ToolCallDelta(0, "{}", "c1", "f"),
        ItemDone(call),
        ItemDone(custom),
        ItemDone({"type": "web_search_call"}),
        Finish("stop"),
    ) == [
        TextPiece("t", "reasoning"),
        TextPiece("a"),
        TextPiece("b", "refusal"),
        CallPiece(0, "{}", "c1", "f"),
        CallPiece(1, "x", "c2", "g", "custom"),
        End("stop"),
    ]


@pytest.mark.parametrize(
    ("code", "status", "wire_code", "param"),
    [
        ("rate_limit_exceeded", 429, "rate_limit_exceeded", None),
        ("invalid_prompt", 400, "invalid_prompt", None),
        ("context_length_exceeded", 400, "context_length_exceeded", "messages"),
        ("server_error", 502, "server_error", None),
    ],
)
def test_what_a_provider_raises_is_told(code: str, status: int, wire_code: str, param: str | None):
    """Each code of a run has its status; the provider's words stay."""
    for play in (lambda *said: told(*said), lambda *said: passed(Passes(*said))):
        with pytest.raises(ClewError, match="Because") as failure:
            play(ProviderError(code, "Because."))
        error = failure.value
        assert (error.status, error.wire_code, error.param) == (status, wire_code, param)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function"}, {"type": "custom"}]}, "tools[1].type"),
        ({"text_format": {"type": "grammar"}}, "response_format.type"),
        ({"temperature": 2.5}, "temperature"),
        ({"settings": {"verbosity": "low"}}, "verbosity"),
    ],
)
def test_what_a_provider_cannot_do_is_refused(more: dict[str, Any], param: str):
    """What the model's provider is not able to do is named before it is asked."""

    async def play() -> None:
        async for _ in relay.pieces(executor(Says()), ASKED | more):
            pass

    with pytest.raises(ClewError, match="Unsupported parameter") as refusal:
        asyncio.run(play())
    assert (refusal.value.status, refusal.value.param) == (400, param)


def test_a_model_that_nobody_answers_for_is_not_found():
    """Such a model is told as one that does not exist, relayed or not."""
    nobodys = Executor(None, lambda model: Nobody(), lambda: 0)  # type: ignore[arg-type]
    with pytest.raises(ClewError, match="'m' does not exist") as refusal:
        relay.relays(nobodys, "m")
    assert (refusal.value.status, refusal.value.wire_code) == (404, "model_not_found")


@pytest.mark.parametrize("said", [(), (TextDelta("a"),)])
def test_an_answer_without_an_end_broke_off(said: Sequence[Delta]):
    """A provider that ends without a Finish is an upstream that failed."""
    with pytest.raises(ClewError, match="broke off") as failure:
        told(*said)
    assert failure.value.status == 502


def test_chunks_pass_as_they_are():
    """What is relayed is not looked at; nothing at all is an error."""
    assert passed(Passes(b"a", b" b")) == [b"a", b" b"]  # type: ignore[arg-type]
    with pytest.raises(ClewError, match="answered nothing"):
        passed(Passes())
    assert relay.relays(executor(Passes()), "m")
    assert not relay.relays(executor(Says()), "m")


def test_who_stops_listening_ends_the_models_work():
    """Closing what was asked closes the provider's own stream, at once."""

    async def play(provider: Says, said: AsyncGenerator[Any, None]) -> None:
        await anext(said)
        assert not provider.closed
        await said.aclose()
        assert provider.closed

    says, passes = Says(TextDelta("a"), TextDelta("b")), Passes(b"a", b"b")  # type: ignore[arg-type]
    asyncio.run(play(says, relay.pieces(executor(says), ASKED)))
    asyncio.run(play(passes, relay.chunks(executor(passes), {"model": "m"})))


def test_models_are_those_of_the_catalog():
    """A catalog that lists models is asked; without one there is the scripted model."""

    class Lists:
        async def models(self) -> list[ModelEntry]:
            return [ModelEntry("a/b", "c", 7)]

    async def play() -> None:
        listing = Executor(None, Lists(), lambda: 0)  # type: ignore[arg-type]
        assert await relay.models(listing) == [relay.Model("a/b", "c", 7)]
        [only] = await relay.models(executor(Says()))
        assert only.id == "scripted"

    asyncio.run(play())
