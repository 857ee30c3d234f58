"""Responses on the wire: a run as the Responses face shows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.items import OUTPUTS, Item, new_item
from clew.core.runs import EXPIRES_AFTER_MS, Run, without_secrets
from clew.wire import items
from clew.wire.fields import seconds
from clew.wire.runs import standing

_KEPT = """temperature top_p top_logprobs tool_choice parallel_tool_calls max_output_tokens
    max_tool_calls reasoning truncation include background stream prompt context_management
    moderation access_programs image previous_response_id prompt_cache_key prompt_cache_retention
    prompt_cache_options service_tier user safety_identifier limits""".split()
"""What a request says that its run keeps under the same name."""

_IDLE: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "stream": (False,),
    "image": ({}, {"context_compression": "auto"}, {"context_compression": "disabled"}),
    "access_programs": ({}, {"cyber": "standard"}),
}
"""Settings -> what asks for nothing, and is not kept."""

_INCOMPLETE = {"length": "max_output_tokens"}
"""Why a run is incomplete -> OpenAI's word on this face, where it is another one."""

_ERROR_CODES = frozenset(
    """server_error rate_limit_exceeded invalid_prompt data_residency_mismatch bio_policy
    misalignment_policy_violation vector_store_timeout invalid_image invalid_image_format
    invalid_base64_image invalid_image_url image_too_large image_too_small image_parse_error
    image_content_policy_violation invalid_image_mode image_file_too_large
    unsupported_image_media_type empty_image_file failed_to_download_image
    image_file_not_found""".split()
)
"""The codes that a failed response may have."""


def decode_response(
    body: Mapping[str, Any], thread: str, key: str, now_ms: int, *, chain: bool
) -> Run:
    """A queued run; `chain` when it is not in a conversation that people named."""
    given = {name: value for name, value in body.items() if value is not None}
    settings = {name: given[name] for name in _KEPT if name in given}
    for name, idle in _IDLE.items():
        if settings.get(name) in idle:
            del settings[name]
    text = given.get("text") or {}
    if text.get("format"):
        settings["text_format"] = text["format"]
    if text.get("verbosity"):
        settings["verbosity"] = text["verbosity"]
    if given.get("store") is False:
        settings["store"] = False
    if not chain:
        settings["conversation"] = True
    return Run(
        key=key,
        thread=thread,
        created_at=now_ms,
        model=given["model"],
        instructions=given.get("instructions"),
        tools=given.get("tools") or [],
        settings=settings,
        metadata=given.get("metadata") or {},
        pauses=False,
        expires_at=now_ms + EXPIRES_AFTER_MS,
    )


def encode_response(
    run: Run, output: Sequence[Item], include: Collection[str] | None = None
) -> dict[str, Any]:
    """The response object; `output` are the items the run wrote, oldest first.

    They show what `include` names; without it, what the run was asked for.
    """
    settings = run.settings
    shown = (settings.get("include") or ()) if include is None else include
    text = {"format": settings.get("text_format", {"type": "text"})}
    return {
        "id": f"resp_{run.key}",
        "object": "response",
        "created_at": seconds(run.created_at),
        "status": _status(run),
        "background": settings.get("background", False),
        "completed_at": _completed_at(run),
        "error": _error(run),
        "incomplete_details": _incomplete_details(run),
        "instructions": run.instructions,
        "max_output_tokens": settings.get("max_output_tokens"),
        "max_tool_calls": settings.get("max_tool_calls"),
        "model": run.model,
        "output": [] if run.status == "cancelled" else _output(output, shown),
        "parallel_tool_calls": settings.get("parallel_tool_calls", True),
        "previous_response_id": settings.get("previous_response_id"),
        "conversation": {"id": f"conv_{run.thread}"} if settings.get("conversation") else None,
        "prompt": settings.get("prompt"),
        "prompt_cache_key": settings.get("prompt_cache_key"),
        "prompt_cache_retention": settings.get("prompt_cache_retention"),
        "prompt_cache_options": _cache_options(settings.get("prompt_cache_options")),
        "reasoning": {"effort": None, "summary": None} | settings.get("reasoning", {}),
        "safety_identifier": settings.get("safety_identifier"),
        "service_tier": "default",
        "store": settings.get("store", True),
        "temperature": settings.get("temperature", 1.0),
        "text": text | {"verbosity": settings.get("verbosity", "medium")},
        "tool_choice": settings.get("tool_choice", "auto"),
        "tools": [_shown_tool(tool) for tool in run.tools],
        "top_logprobs": settings.get("top_logprobs", 0),
        "top_p": settings.get("top_p", 1.0),
        "truncation": settings.get("truncation", "disabled"),
        "usage": _usage(run.usage),
        "user": settings.get("user"),
        "metadata": run.metadata,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "clew": standing(run),
    }


def encode_compaction(
    id: str, created_at: int, output: Sequence[Item], usage: Mapping[str, int]
) -> dict[str, Any]:
    """The compaction object: items to go on with in place of those it was made of."""
    return {
        "id": f"resp_{id}",
        "object": "response.compaction",
        "created_at": seconds(created_at),
        "output": [msgspec.Raw(items.encode_item(item, items.EVERYTHING)) for item in output],
        "usage": _usage(usage),
    }


def encode_input_items(
    found: Sequence[Item], has_more: bool, include: Collection[str] = ()
) -> bytes:
    """The list of what a response was made from."""
    return items.encode_items([_with_status(item) for item in found], has_more, include)


def encode_count(tokens: int) -> dict[str, Any]:
    return {"object": "response.input_tokens", "input_tokens": tokens}


def encode_deleted(id: str) -> dict[str, Any]:
    return {"id": id, "object": "response.deleted", "deleted": True}


def _with_status(item: Item) -> Item:
    """In this list alone custom calls and their outputs have a status, as OpenAI types them."""
    if item.kind not in ("custom_tool_call", "custom_tool_call_output"):
        return item
    return new_item(item.id, {"status": "completed", **item.data()}, item.created_at, item.run)


def _output(written: Sequence[Item], include: Collection[str]) -> list[msgspec.Raw]:
    """What the model said; outputs of the client's tools are input, whoever brought them."""
    said = (item for item in written if item.kind not in OUTPUTS)
    return [msgspec.Raw(items.encode_item(item, include)) for item in said]


def _shown_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """The tool as it was given, without its secrets."""
    if tool["type"] == "function":
        return {"description": None, "parameters": None, "strict": None} | tool
    return without_secrets(tool)


def _cache_options(options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if options is None:
        return None
    mode, ttl = options.get("mode") or "implicit", options.get("ttl") or "30m"
    return {
        "mode": mode,
        "ttl": ttl,
        "comparison_response_id": options.get("comparison_response_id"),
    }


def _status(run: Run) -> str:
    if run.status in ("requires_action", "cancelling"):
        return "in_progress"
    return "failed" if run.status == "expired" else run.status


def _completed_at(run: Run) -> int | None:
    if run.status != "completed" or run.completed_at is None:
        return None
    return seconds(run.completed_at)


def _error(run: Run) -> dict[str, str] | None:
    if run.status == "expired":
        return {"code": "server_error", "message": "The run took too long."}
    if run.error is None or run.error["code"] in _ERROR_CODES:
        return run.error
    return run.error | {"code": "invalid_prompt"}  # the window was more than the model can read


def _incomplete_details(run: Run) -> dict[str, str | None] | None:
    if run.status != "incomplete":
        return None
    reason = run.incomplete_reason
    return {"reason": _INCOMPLETE.get(reason, reason) if reason else None}


def _usage(usage: Mapping[str, int] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": {"cached_tokens": usage["cached_tokens"], "cache_write_tokens": 0},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"]},
        "total_tokens": usage["input_tokens"] + usage["output_tokens"],
    }
