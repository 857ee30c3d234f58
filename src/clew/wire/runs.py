"""Runs on the wire: the Assistants run object, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clew.core.assistants import Assistant
from clew.core.errors import BadRequest
from clew.core.ids import key_of
from clew.core.items import Item
from clew.core.runs import Run
from clew.wire import messages, threads
from clew.wire.checks import (
    Choice,
    Flag,
    Id,
    Integer,
    ListOf,
    Nullable,
    Record,
    Spec,
    Tagged,
    Text,
)
from clew.wire.fields import (
    LIMITS,
    METADATA,
    ON_BUSY,
    PAGE,
    REASONING_EFFORT,
    TEMPERATURE,
    TEXT_MAX,
    TOP_P,
    seconds,
)
from clew.wire.tools import (
    ASSISTANT_TOOL,
    NESTED_CHOICE,
    NESTED_FORMAT,
    flatten_choice,
    flatten_format,
    flatten_tool,
    nest_choice,
    nest_format,
    nest_tool,
)

_ERROR_CODES = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})
OUTPUTS_MAX = 512 * 1024
"""Characters in all the outputs of one `submit_tool_outputs`."""

_INSTRUCTIONS = Nullable(Text(TEXT_MAX))
_BUDGET = Nullable(Integer(256))
_TRUNCATION = Tagged(
    "type",
    {
        "auto": Record(
            {"type": Text(), "last_messages": Nullable(Integer(1))},
            ["type"],
        ),
        "last_messages": Record(
            {"type": Text(), "last_messages": Integer(1)}, ["type", "last_messages"]
        ),
    },
)
_SETTINGS: dict[str, Spec] = {
    "assistant_id": Id(),
    "model": Nullable(Text(256, 1)),
    "instructions": _INSTRUCTIONS,
    "tools": Nullable(ListOf(ASSISTANT_TOOL, max_items=20)),
    "metadata": METADATA,
    "temperature": TEMPERATURE,
    "top_p": TOP_P,
    "stream": Nullable(Flag()),
    "max_prompt_tokens": _BUDGET,
    "max_completion_tokens": _BUDGET,
    "truncation_strategy": Nullable(_TRUNCATION),
    "tool_choice": NESTED_CHOICE,
    "parallel_tool_calls": Nullable(Flag()),
    "response_format": NESTED_FORMAT,
    "limits": LIMITS,
}
CREATE = Record(
    _SETTINGS
    | {
        "reasoning_effort": REASONING_EFFORT,
        "additional_instructions": _INSTRUCTIONS,
        "additional_messages": Nullable(ListOf(messages.CREATE)),
        "on_busy": ON_BUSY,
    },
    ["assistant_id"],
)
CREATE_WITH_THREAD = Record(
    _SETTINGS
    | {
        "thread": Nullable(threads.CREATE),
        "tool_resources": threads.UPDATE.fields["tool_resources"],
    },
    ["assistant_id"],
)
UPDATE = Record({"metadata": METADATA})
LIST = Record(PAGE)
STEP_INCLUDE = ListOf(Choice("step_details.tool_calls[*].file_search.results[*].content"))
INCLUDE = Record({"include": STEP_INCLUDE})
EVENTS = Record({"include": STEP_INCLUDE, "starting_after": Text(32, 1)})
LIST_STEPS = Record(PAGE | {"include": STEP_INCLUDE})
SUBMIT = Record(
    {
        "tool_outputs": ListOf(
            Record({"tool_call_id": Text(200, 1), "output": Nullable(Text())}, ["tool_call_id"]),
            min_items=1,
        ),
        "stream": Nullable(Flag()),
    },
    ["tool_outputs"],
)


def decode_run(
    body: Mapping[str, Any],
    assistant: Assistant,
    thread: str,
    key: str,
    now_ms: int,
    expires_after_ms: int,
) -> Run:
    """A queued run: what the request says, else what the assistant says."""
    given = {name: value for name, value in body.items() if value is not None}
    said = {**assistant.settings, **given}
    instructions = said.get("instructions") or None
    if given.get("additional_instructions"):
        instructions = "\n".join(filter(None, [instructions, given["additional_instructions"]]))
    return Run(
        key=key,
        thread=thread,
        created_at=now_ms,
        model=said["model"],
        assistant=assistant.key,
        instructions=instructions,
        tools=[flatten_tool(tool) for tool in said.get("tools") or []],
        settings=_settings(said),
        metadata=given.get("metadata") or {},
        expires_at=now_ms + expires_after_ms,
    )


def _settings(said: Mapping[str, Any]) -> dict[str, Any]:
    effort = said.get("reasoning_effort")
    settings = {
        "temperature": said.get("temperature"),
        "top_p": said.get("top_p"),
        "max_prompt_tokens": said.get("max_prompt_tokens"),
        "max_output_tokens": said.get("max_completion_tokens"),
        "truncation_strategy": said.get("truncation_strategy"),
        "tool_choice": flatten_choice(said.get("tool_choice")),
        "parallel_tool_calls": said.get("parallel_tool_calls"),
        "text_format": flatten_format(said.get("response_format")),
        "reasoning": {"effort": effort} if effort else None,
        "limits": said.get("limits"),
    }
    return {name: value for name, value in settings.items() if value is not None}


def decode_outputs(body: Mapping[str, Any], calls: Sequence[Item]) -> list[dict[str, Any]]:
    """The submitted outputs as canonical items, in the order of `calls`; all must be answered."""
    outputs = {given["tool_call_id"]: given.get("output") or "" for given in body["tool_outputs"]}
    if sum(map(len, outputs.values())) > OUTPUTS_MAX:
        raise BadRequest(
            "'tool_outputs' too large: the combined tool outputs must be less than 512kb.",
            "tool_outputs",
            "invalid_value",
        )
    expected = [str(call.data()["call_id"]) for call in calls]
    got = [given["tool_call_id"] for given in body["tool_outputs"]]
    if sorted(expected) != sorted(got):
        raise BadRequest(f"Expected tool outputs for call_ids {expected}, got {got}")
    return [
        {
            "type": "function_call_output",
            "status": "completed",
            "call_id": call_id,
            "output": outputs[call_id],
        }
        for call_id in expected
    ]


def assistant_key(body: Mapping[str, Any]) -> str | None:
    """The key of the assistant a request names, or None if that is no assistant's id."""
    return key_of("assistant", body["assistant_id"])


def encode_run(run: Run, calls: Sequence[Item] = ()) -> dict[str, Any]:
    """The run object; `calls` are the function calls it waits for in `requires_action`."""
    settings = run.settings
    routed = settings.get("routed_by")
    return {
        "id": f"run_{run.key}",
        "object": "thread.run",
        "created_at": seconds(run.created_at),
        "thread_id": f"thread_{run.thread}",
        "assistant_id": f"asst_{run.assistant}" if run.assistant else "",
        "status": run.status,
        "required_action": _required_action(calls) if run.status == "requires_action" else None,
        "last_error": last_error(run),
        "expires_at": None if run.is_terminal else seconds(run.expires_at),
        "started_at": _time(run.started_at),
        "cancelled_at": _time(run.cancelled_at),
        "failed_at": _time(run.failed_at),
        "completed_at": _time(run.completed_at),
        "incomplete_details": _incomplete_details(run),
        "model": run.model,
        "instructions": run.instructions or "",
        "tools": [nest_tool(tool) for tool in run.tools],
        "metadata": run.metadata,
        "usage": encode_usage(run.usage) if run.is_terminal else None,
        "temperature": settings.get("temperature", 1.0),
        "top_p": settings.get("top_p", 1.0),
        "max_prompt_tokens": settings.get("max_prompt_tokens"),
        "max_completion_tokens": settings.get("max_output_tokens"),
        "truncation_strategy": {"type": "auto", "last_messages": None}
        | settings.get("truncation_strategy", {}),
        "tool_choice": nest_choice(settings.get("tool_choice")),
        "parallel_tool_calls": settings.get("parallel_tool_calls", True),
        "response_format": nest_format(settings.get("text_format")),
        "reasoning_effort": (settings.get("reasoning") or {}).get("effort"),
        "clew": standing(run) | ({} if routed is None else {"routed_by": routed}),
    }


def standing(run: Run) -> dict[str, Any]:
    """How the run stands, on either face: what Clew says of it beyond OpenAI's fields."""
    return {"attempts": run.attempts} | ({} if run.place is None else {"place": run.place})


def last_error(run: Run) -> dict[str, str] | None:
    """Why a run failed, by a code that the Threads face has."""
    if run.error is None or run.error["code"] in _ERROR_CODES:
        return run.error
    return run.error | {"code": "invalid_prompt"}  # the window was more than the model can read


def encode_usage(usage: Mapping[str, int] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    prompt, completion = usage["input_tokens"], usage["output_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_token_details": {"cached_tokens": usage["cached_tokens"]},
    }


def encode_tool_call(call: Item, **more: Any) -> dict[str, Any]:
    data = call.data()
    function = {"name": data["name"], "arguments": data["arguments"]}
    return {"id": data["call_id"], "type": "function", "function": function | more}


def _required_action(calls: Sequence[Item]) -> dict[str, Any]:
    tool_calls = [encode_tool_call(call) for call in calls]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": tool_calls}}


def _incomplete_details(run: Run) -> dict[str, Any] | None:
    if run.status != "incomplete":
        return None
    known = {"length": "max_completion_tokens", "max_prompt_tokens": "max_prompt_tokens"}
    reason = known.get(run.incomplete_reason or "")
    return {"reason": reason} if reason else {}


def _time(ms: int | None) -> int | None:
    return None if ms is None else seconds(ms)
