"""A model request in the shape of Responses, and a window as its input items. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clew.core.items import OUTPUTS, Item
from clew.providers.provider import ModelRequest
from clew.providers.windows import Dialect, is_call, text_of

RESPONSES = Dialect(
    "A Responses request", frozenset({"reasoning", "compaction", "configuration_update"})
)

SEALED_REASONING = "reasoning.encrypted_content"

INCLUDES = frozenset(
    """file_search_call.results web_search_call.results web_search_call.action.sources
    message.input_image.image_url computer_call_output.output.image_url
    code_interpreter_call.outputs reasoning.encrypted_content
    message.output_text.logprobs""".split()
)

PASSED_ON = frozenset(
    """prompt service_tier top_logprobs prompt_cache_key prompt_cache_retention
    prompt_cache_options max_tool_calls truncation safety_identifier user moderation
    access_programs image""".split()
)
"""Settings that go through as they are."""

COMPACTED = """instructions image prompt_cache_key prompt_cache_options prompt_cache_retention
    service_tier""".split()

ROLES = frozenset({"user", "assistant", "system", "developer"})

IDS = frozenset(
    """file_search_call web_search_call image_generation_call computer_call local_shell_call
    code_interpreter_call mcp_list_tools mcp_approval_request mcp_call program
    tool_search_call""".split()
)
"""Items that Responses does not take without an id; of these our own goes out, so that what refers
to one (an approval) finds it."""

OURS = frozenset({"metadata", "attachments", "assistant_id", "through", "created_by"})
"""Fields of items that Responses knows nothing of."""

OTHERS_SEALS = ("anthropic:",)
"""How the sealed reasoning of other vendors begins."""


def responses_request(request: ModelRequest, *, sealed: bool = True) -> dict[str, Any]:
    """The body of `POST /responses`; with `sealed`, reasoning is asked for in sealed form."""
    settings = request.settings
    include = dict.fromkeys(settings.get("include") or ())
    if sealed:
        include[SEALED_REASONING] = None
    wanted = {
        **{name: settings.get(name) for name in sorted(PASSED_ON)},
        "instructions": request.instructions,
        "tools": request.tools or None,
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_output_tokens": request.tokens_max,
        "reasoning": _reasoning(request),
        "text": _text(request),
        "include": list(include) or None,
    }
    said = {name: value for name, value in wanted.items() if value is not None}
    fixed = {"model": request.model, "input": input_items(request.items)}
    return fixed | said | {"stream": True, "store": False}


def compact_request(request: ModelRequest) -> dict[str, Any]:
    """The body of `POST /responses/compact`."""
    known = {**request.settings, "instructions": request.instructions}
    wanted = {name: known.get(name) for name in COMPACTED}
    said = {name: value for name, value in wanted.items() if value is not None}
    return {"model": request.model, "input": input_items(request.items)} | said


def input_items(items: Sequence[Item]) -> list[dict[str, Any]]:
    """The window as input items."""
    return [_input(item) for item in RESPONSES.readable(items) if not _is_closed(item)]


def _is_closed(item: Item) -> bool:
    """Reasoning that this vendor's models cannot read: unsealed, or sealed by another."""
    if item.kind != "reasoning":
        return False
    seal = item.data().get("encrypted_content")
    return not isinstance(seal, str) or seal.startswith(OTHERS_SEALS)


def _input(item: Item) -> dict[str, Any]:
    if item.is_message:
        return _message(item)
    data = {name: value for name, value in item.data().items() if name not in OURS}
    if item.kind in IDS:
        return {"id": item.id, **data}
    if item.kind == "reasoning" or is_call(item) or item.kind in OUTPUTS:
        data.pop("status", None)
    return data


def _message(item: Item) -> dict[str, Any]:
    if item.kind not in ROLES:
        raise RESPONSES.cannot_carry(f"a message of role '{item.kind}' ({item.id})")
    if item.is_plain:
        return {"type": "message", "role": item.kind, "content": item.text()}
    data = item.data()
    content = [_part(item.kind, part) for part in data.get("content") or ()]
    whole = {"type": "message", "role": item.kind, "content": [part for part in content if part]}
    return whole | ({"phase": data["phase"]} if data.get("phase") else {})


def _part(role: str, part: Mapping[str, Any]) -> dict[str, Any] | None:
    """A part as Responses types it for that role; reasoning inside a message is nobody's input."""
    if part["type"] == "reasoning_text":
        return None
    if part["type"] == "refusal" and role == "assistant":
        return {"type": "refusal", "refusal": part["refusal"]}
    text = text_of(part)
    if text is None:
        kind = "input_image" if part["type"] == "computer_screenshot" else part["type"]
        return {**part, "type": kind}
    if role != "assistant":
        return {"type": "input_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": part.get("annotations") or []}


def _reasoning(request: ModelRequest) -> dict[str, Any] | None:
    said = request.settings.get("reasoning") or {}
    if request.reasoning_effort is not None:
        said = {**said, "effort": request.reasoning_effort}
    return {name: value for name, value in said.items() if value is not None} or None


def _text(request: ModelRequest) -> dict[str, Any] | None:
    said = {"format": request.text_format, "verbosity": request.settings.get("verbosity")}
    return {name: value for name, value in said.items() if value is not None} or None
