"""Chat completions: a model asked once, with nothing kept. What a provider raises comes out told.

A provider whose upstream speaks chat completions itself relays a request whole (`chunks`); any
other is asked in the words of a run (`pieces`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol, runtime_checkable

import msgspec

from clew.core.completions import CallPiece, CitationPiece, End, Piece, TextPiece
from clew.core.errors import BadRequest, ClewError
from clew.core.items import Item
from clew.core.runs import Run
from clew.executor.executor import Executor
from clew.providers.nobody import Nobody, unknown
from clew.providers.provider import (
    Abilities,
    AnnotationDelta,
    Delta,
    Finish,
    ItemDone,
    ModelRequest,
    Provider,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)

_KINDS: dict[str, Any] = {"refusal": "refusal", "output_text": "text"}
_CALLS: dict[str, Any] = {"function_call": "function", "custom_tool_call": "custom"}
_PAYLOADS = {"function_call": "arguments", "custom_tool_call": "input"}


class Model(msgspec.Struct):
    """A model that can be asked for by its name; `created` is in seconds since 1970."""

    id: str
    owned_by: str
    created: int


@runtime_checkable
class Relays(Protocol):
    """A provider a chat completion goes through whole."""

    def relay(self, body: dict[str, Any]) -> AsyncGenerator[bytes, None]: ...


@runtime_checkable
class Lists(Protocol):
    """A catalog that knows which models there are."""

    async def models(self) -> Iterable[Any]: ...


def relays(executor: Executor, model: str) -> bool:
    """Whether requests for this model go through whole, with all the parameters they have."""
    return isinstance(_provider(executor, model), Relays)


async def models(executor: Executor) -> list[Model]:
    """The models there are; where nobody lists them, the one that is always there."""
    catalog = executor.provider_of
    if not isinstance(catalog, Lists):
        return [Model("scripted", "clew", 0)]
    try:
        found = await catalog.models()
    except ProviderError as error:
        raise told(error) from error
    return [Model(entry.id, entry.owned_by, entry.created) for entry in found]


async def chunks(executor: Executor, body: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    """The JSON of each chunk, or the one completion, as the upstream says it."""
    provider = _provider(executor, body["model"])
    assert isinstance(provider, Relays)
    silent = True
    try:
        async with aclosing(provider.relay(body)) as said:
            async for chunk in said:
                silent = False
                yield chunk
    except ProviderError as error:
        raise told(error) from error
    if silent:
        raise ClewError("upstream", "The model server answered nothing.", None, "server_error")


async def pieces(executor: Executor, asked: dict[str, Any]) -> AsyncGenerator[Piece, None]:
    """What the model says to a request, given as the fields of `ModelRequest`; End comes last.

    BadRequest for what the model's provider cannot do.
    """
    request, reader = ModelRequest(**asked), _Reader()
    provider = _provider(executor, request.model)
    _refuse(provider.abilities, request)
    try:
        async with aclosing(provider.stream(request)) as deltas:
            async for delta in deltas:
                for piece in reader.read(delta):
                    yield piece
                if isinstance(delta, Finish):
                    return
    except ProviderError as error:
        raise told(error) from error
    raise ClewError("upstream", "The model's answer broke off.", None, "server_error")


async def compaction(
    executor: Executor, run: Run, items: Sequence[Item]
) -> tuple[list[dict[str, Any]], Finish]:
    """Items that may stand for these from now on, and what it took to make them."""
    try:
        return await executor.compact(run, items)
    except ProviderError as error:
        refused = told(error)
        refused.param = refused.param and "input"
        raise refused from error


def _provider(executor: Executor, model: str) -> Provider:
    provider = executor.provider_of(model)
    if isinstance(provider, Nobody):
        raise ClewError("not_found", unknown(model).message, "model", "model_not_found")
    return provider


def _refuse(abilities: Abilities, request: ModelRequest) -> None:
    tools = [tool["type"] not in abilities.tools for tool in request.tools]
    format = (request.text_format or {"type": "text"})["type"]
    verbosity = request.settings.get("verbosity", "medium")
    for unable, param in (
        *((unable, f"tools[{place}].type") for place, unable in enumerate(tools)),
        (format not in abilities.formats, "response_format.type"),
        ((request.temperature or 0) > abilities.temperature_max, "temperature"),
        (verbosity != "medium" and "verbosity" not in abilities.settings, "verbosity"),
    ):
        if unable:
            message = f"Unsupported parameter: '{param}' is not supported with this model."
            raise BadRequest(message, param, "unsupported_parameter")


def told(error: ProviderError) -> ClewError:
    """What went wrong at a model, as whoever asked it is told."""
    match error.code:
        case "rate_limit_exceeded":
            return ClewError("rate_limited", error.message, None, error.code)
        case "invalid_prompt":
            return BadRequest(error.message, None, error.code)
        case "context_length_exceeded":
            return BadRequest(error.message, "messages", error.code)
    return ClewError("upstream", error.message, None, error.code)


class _Reader:
    """Turns deltas into pieces; an item that only its end tells of is said then."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._places: dict[int | str, int] = {}  # of each call among the calls

    def read(self, delta: Delta) -> Iterator[Piece]:
        match delta:
            case TextDelta():
                kind = _KINDS.get(delta.kind, "reasoning")
                self._said.add("reasoning" if kind == "reasoning" else "message")
                yield TextPiece(delta.text, kind)
            case ToolCallDelta():
                yield self._call(delta)
            case AnnotationDelta() if delta.annotation["type"] == "url_citation":
                yield CitationPiece(delta.annotation)
            case ItemDone():
                yield from self._done(delta.item)
            case Finish():
                counts = (delta.tokens_in, delta.tokens_out)
                yield End(delta.reason, *counts, delta.tokens_cached, delta.tokens_reasoning)

    def _call(self, delta: ToolCallDelta) -> CallPiece:
        if delta.call_id is not None:
            self._said.add(delta.call_id)
        place = self._places.setdefault(delta.index, len(self._places))
        return CallPiece(place, delta.arguments, delta.call_id, delta.name, _CALLS[delta.kind])

    def _done(self, item: dict[str, Any]) -> Iterator[Piece]:
        kind = item["type"]
        known = item["call_id"] if kind in _CALLS else kind
        if known in self._said:
            self._said -= {"message", "reasoning"} & {known}
        elif kind in _CALLS:
            place = self._places.setdefault(known, len(self._places))
            yield CallPiece(place, item[_PAYLOADS[kind]], known, item["name"], _CALLS[kind])
        elif kind in ("message", "reasoning"):
            yield from _whole(item)


def _whole(item: dict[str, Any]) -> Iterator[Piece]:
    for part in item.get("content") or item.get("summary") or ():
        if part["type"] == "refusal":
            yield TextPiece(part["refusal"], "refusal")
        else:
            yield TextPiece(part["text"], "text" if item["type"] == "message" else "reasoning")
