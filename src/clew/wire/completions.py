"""Chat completions: what one is asked, and those that are kept.

A request to an upstream that speaks chat completions goes on whole, so little of it is checked
here (`CREATE`). For any other model it becomes the fields of a model request; what those cannot
carry is refused by name (`decode_request`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from clew.core.completions import Completion, CompletionQuery
from clew.core.errors import BadRequest
from clew.core.ids import key_of
from clew.wire.checks import (
    Anything,
    Choice,
    Either,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Record,
    Spec,
    Tagged,
    Text,
)
from clew.wire.completion_messages import MESSAGE, UNSAID, Neutral, items_of
from clew.wire.fields import (
    METADATA,
    METADATA_MAP,
    PAGE,
    REASONING_EFFORT,
    TEMPERATURE,
    TOP_P,
    page_of,
    seconds,
)
from clew.wire.parts import fill
from clew.wire.queries import decode_query
from clew.wire.tools import FUNCTION_NAME, flatten_tool

TOOLS_MAX = 128

_OPTIONS: dict[str, Spec] = {
    "include_usage": Nullable(Flag()),
    "include_obfuscation": Nullable(Flag()),
}
_FIELDS: dict[str, Spec] = {
    "model": Text(256, 1, nul=False),
    "stream": Nullable(Flag()),
    "store": Nullable(Flag()),
    "metadata": METADATA,
}
_MESSAGES = ListOf(Record({"role": Text()}, ("role",), extra="keep"), min_items=1)
_OWN = {"store", "metadata"}
"""Parameters that are Clew's to act on where a completion is kept: they do not go on."""

CREATE = Record(
    {
        **_FIELDS,
        "messages": _MESSAGES,
        "stream_options": Nullable(Record(_OPTIONS, extra="keep")),
    },
    ("messages", "model"),
    extra="keep",
)
UPDATE = Record({"metadata": METADATA}, ("metadata",))
_PAGE = {name: PAGE[name] for name in ("limit", "order", "after")}
LIST = Record(_PAGE | {"model": Text(256), "metadata": METADATA_MAP})
LIST_MESSAGES = Record(_PAGE)

_KIND = Text()
_FUNCTION = Record(
    {
        "name": FUNCTION_NAME,
        "description": Nullable(Text()),
        "parameters": Nullable(MapOf(Anything())),
        "strict": Nullable(Flag()),
    },
    ("name",),
)
_GRAMMAR = Record(
    {"syntax": Choice("lark", "regex"), "definition": Text()}, ("syntax", "definition")
)
_CUSTOM = Record(
    {
        "name": FUNCTION_NAME,
        "description": Nullable(Text()),
        "format": Nullable(
            Tagged(
                "type",
                {
                    "text": Record({"type": _KIND}),
                    "grammar": Record({"type": _KIND, "grammar": _GRAMMAR}, ("grammar",)),
                },
            )
        ),
    },
    ("name",),
)
_TOOL = Tagged(
    "type",
    {
        "function": Record({"type": _KIND, "function": _FUNCTION}, ("function",)),
        "custom": Record({"type": _KIND, "custom": _CUSTOM}, ("custom",)),
    },
)
_NAMED = Record({"name": FUNCTION_NAME}, ("name",))
_TOOL_CHOICE = Either(
    Choice("none", "auto", "required"),
    Tagged(
        "type",
        {
            "function": Record({"type": _KIND, "function": _NAMED}, ("function",)),
            "custom": Record({"type": _KIND, "custom": _NAMED}, ("custom",)),
            "allowed_tools": UNSAID,
        },
    ),
)
_SCHEMA = Record(
    {
        "name": FUNCTION_NAME,
        "description": Nullable(Text()),
        "schema": MapOf(Anything()),
        "strict": Nullable(Flag()),
    },
    ("name",),
)
_FORMAT = Tagged(
    "type",
    {
        "text": Record({"type": _KIND}),
        "json_object": Record({"type": _KIND}),
        "json_schema": Record({"type": _KIND, "json_schema": _SCHEMA}, ("json_schema",)),
    },
)
_HINTS: dict[str, Spec] = {
    "user": Nullable(Text()),
    "safety_identifier": Nullable(Text()),
    "prompt_cache_key": Nullable(Text()),
    "prompt_cache_retention": Nullable(Choice("in_memory", "24h")),
    "service_tier": Nullable(Text()),
}
"""Hints to the machines that answer; those that have no use for one leave it."""

_SETTINGS = (*_HINTS, "verbosity")

_BRIDGED = Record(
    {
        **_FIELDS,
        **_HINTS,
        "messages": ListOf(MESSAGE, min_items=1),
        "stream_options": Nullable(Record(_OPTIONS)),
        "tools": Nullable(ListOf(_TOOL, max_items=TOOLS_MAX)),
        "tool_choice": Nullable(_TOOL_CHOICE),
        "parallel_tool_calls": Nullable(Flag()),
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "max_tokens": Nullable(Integer(1)),
        "max_completion_tokens": Nullable(Integer(1)),
        "response_format": Nullable(_FORMAT),
        "reasoning_effort": REASONING_EFFORT,
        "n": Neutral(1),
        "logprobs": Neutral(False),
        "top_logprobs": Neutral(0),
        "logit_bias": Neutral({}),
        "presence_penalty": Neutral(0, 0.0),
        "frequency_penalty": Neutral(0, 0.0),
        "stop": Neutral([]),
        "seed": Neutral(),
        "modalities": Neutral(["text"]),
        "audio": Neutral(),
        "prediction": Neutral(),
        "moderation": Neutral(),
        "prompt_cache_options": Neutral(),
        "verbosity": Nullable(Choice("low", "medium", "high")),
        "web_search_options": Neutral(),
        "functions": Neutral([], reason="Send 'tools' instead."),
        "function_call": Neutral(reason="Send 'tool_choice' instead."),
    },
    ("messages", "model"),
)


def decode_request(body: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """The fields of a model request, from a body that says nothing else."""
    _BRIDGED.check(body)
    given = {name: value for name, value in body.items() if value is not None}
    _refuse_contradictions(given)
    choice, format = given.get("tool_choice"), given.get("response_format")
    asked = {
        "model": given["model"],
        "items": items_of(given["messages"], now_ms),
        "tools": [_flat(tool) for tool in given.get("tools", ())],
        "tool_choice": flatten_tool(choice) if isinstance(choice, dict) else choice,
        "tokens_max": given.get("max_completion_tokens", given.get("max_tokens")),
        "text_format": None if format is None else flatten_tool(format),
        "settings": {name: given[name] for name in _SETTINGS if name in given},
    }
    for name in ("temperature", "top_p", "parallel_tool_calls", "reasoning_effort"):
        asked[name] = given.get(name)
    return asked


def _refuse_contradictions(given: Mapping[str, Any]) -> None:
    if "max_tokens" in given and "max_completion_tokens" in given:
        raise BadRequest(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    for name, needs, said in (
        ("stream_options", "stream", "'stream' is enabled"),
        ("metadata", "store", "'store' is enabled"),
        ("tool_choice", "tools", "'tools' are specified"),
        ("parallel_tool_calls", "tools", "'tools' are specified"),
    ):
        if given.get(name) and given[name] != "none" and not given.get(needs):
            raise BadRequest(f"The '{name}' parameter is only allowed when {said}.", name)


def _flat(tool: dict[str, Any]) -> dict[str, Any]:
    flat = flatten_tool(tool)
    format = flat.get("format")
    if isinstance(format, dict):
        flat["format"] = flatten_tool(format)
    return flat


def passed_on(body: dict[str, Any]) -> dict[str, Any]:
    """What goes on to an upstream: all of it, but for what Clew does itself.

    A stream that is kept is to say its usage, whether or not the client asked for it.
    """
    if not body.get("store"):
        return body
    rest = {name: value for name, value in body.items() if name not in _OWN}
    if body.get("stream"):
        rest["stream_options"] = (body.get("stream_options") or {}) | {"include_usage": True}
    return rest


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream is to say its usage."""
    return bool((body.get("stream_options") or {}).get("include_usage"))


def shown(chunk: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any] | None:
    """A chunk as the client asked for it: without usage, where it did not ask for that."""
    if wants_usage(body) or "usage" not in chunk:
        return chunk
    if chunk["usage"] is not None and not chunk.get("choices"):
        return None
    return {name: value for name, value in chunk.items() if name != "usage"}


_KEPT = """temperature top_p presence_penalty frequency_penalty seed tools tool_choice
    response_format""".split()
"""What the object of a kept completion says of its request."""


def keep(
    key: str, now_ms: int, body: Mapping[str, Any], answer: Mapping[str, Any]
) -> tuple[Completion, list[bytes]]:
    """A completion to store, and the messages it answers: `answer` is the object, whole."""
    named = {name: value for name, value in answer.items() if name not in ("id", "metadata")}
    said = fill(named, {"created": seconds(now_ms), "model": body["model"]})
    asked = {name: body.get(name) for name in _KEPT} | {"input_user": body.get("user")}
    encoded = msgspec.json.encode(said | asked)
    metadata = body.get("metadata") or {}
    completion = Completion(key, now_ms, str(said["model"]), encoded, metadata)
    return completion, [msgspec.json.encode(message) for message in body["messages"]]


def encode_completion(completion: Completion) -> dict[str, Any]:
    """The object of a completion that was kept, with what the request asked for."""
    body = msgspec.json.decode(completion.body)
    return {"id": f"chatcmpl-{completion.key}", **body, "metadata": completion.metadata}


def decode_list(params: Iterable[tuple[str, str]]) -> CompletionQuery:
    """Which completions a list asks for: the oldest first, unless it says otherwise."""
    values = {"order": "asc"} | decode_query(params, LIST)
    page = page_of(values, "completion")
    return CompletionQuery(page, values.get("model"), values.get("metadata", {}))


def message_number(completion: str, id: str) -> str:
    """The number in the id of a message; what is no id of one stays as it is."""
    head, _, number = id.rpartition("-")
    return number if key_of("completion", head) == completion else id
