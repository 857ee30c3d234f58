"""Runs: the Assistants run object, and what may be asked of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace
from openai.types.beta.threads import Run as OfficialRun

from clew.core.assistants import Assistant
from clew.core.errors import BadRequest
from clew.core.items import new_item
from clew.core.runs import EXPIRES_AFTER_MS, MOVES, TERMINAL, Run
from clew.wire import runs
from clew.wire.runs import decode_outputs, decode_run, encode_run

from .official import strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_999
TOOL = {"type": "function", "function": {"name": "f"}}
ASSISTANT = Assistant(
    "A",
    NOW,
    {
        "model": "m",
        "instructions": "be kind",
        "tools": [TOOL],
        "temperature": 0.5,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "metadata": {"of": "assistant"},
    },
)
CALLS = [
    new_item(
        f"fc_{number}",
        {"type": "function_call", "call_id": f"call_{number}", "name": "f", "arguments": "{}"},
        NOW,
    )
    for number in (1, 2)
]


def decoded(**body: Any) -> Run:
    runs.CREATE.check({"assistant_id": "asst_A", **body})
    body = {"assistant_id": "asst_A", **body}
    return decode_run(body, ASSISTANT, "T", "TR", NOW, EXPIRES_AFTER_MS)


def test_a_run_is_what_its_assistant_says() -> None:
    """Whatever the request leaves out, or gives as null, is as the assistant has it."""
    empty = decoded()
    nulls = dict.fromkeys(("model", "instructions", "tools", "temperature", "metadata"))
    assert decoded(**nulls) == empty
    assert empty == Run(
        key="TR",
        thread="T",
        created_at=NOW,
        model="m",
        assistant="A",
        instructions="be kind",
        tools=[{"type": "function", "name": "f"}],
        settings={
            "temperature": 0.5,
            "text_format": {"type": "json_object"},
            "reasoning": {"effort": "low"},
        },
        expires_at=NOW + EXPIRES_AFTER_MS,
    )


def test_a_request_has_the_last_word() -> None:
    """What the request says replaces what the assistant says; falsy values count as said."""
    run = decoded(
        model="other",
        instructions="be brief",
        tools=[],
        temperature=0,
        top_p=0,
        parallel_tool_calls=False,
        max_prompt_tokens=256,
        max_completion_tokens=257,
        truncation_strategy={"type": "last_messages", "last_messages": 2},
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format="auto",
        reasoning_effort="high",
        metadata={"a": "b"},
    )
    assert (run.model, run.instructions, run.tools) == ("other", "be brief", [])
    assert run.metadata == {"a": "b"}
    assert run.settings == {
        "temperature": 0,
        "top_p": 0,
        "parallel_tool_calls": False,
        "max_prompt_tokens": 256,
        "max_output_tokens": 257,
        "truncation_strategy": {"type": "last_messages", "last_messages": 2},
        "tool_choice": {"type": "function", "name": "f"},
        "reasoning": {"effort": "high"},
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"additional_instructions": "more"}, "be kind\nmore"),
        ({"instructions": "brief", "additional_instructions": "more"}, "brief\nmore"),
        ({"instructions": "", "additional_instructions": "more"}, "more"),
        ({"instructions": ""}, None),
    ],
)
def test_additional_instructions_come_after(given: dict[str, str], expected: str | None) -> None:
    """They are added to the instructions of the request, else to the assistant's."""
    assert decoded(**given).instructions == expected


def test_a_run_has_the_tools_of_its_assistant() -> None:
    """In their flat form, settings and all; what its model cannot do is for others to refuse."""
    tools = [{"type": "file_search", "file_search": {"max_num_results": 5}}]
    searching = replace(ASSISTANT, settings={"model": "m", "tools": tools})
    run = decode_run({"assistant_id": "asst_A"}, searching, "T", "TR", NOW, 1_000)
    assert run.tools == [{"type": "file_search", "max_num_results": 5}]
    assert encode_run(run)["tools"] == tools
    assert run.expires_at == NOW + 1_000


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("server_error", "server_error"),
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("context_length_exceeded", "invalid_prompt"),
    ],
)
def test_why_a_run_failed_is_told_by_a_code_that_runs_have(code: str, told: str) -> None:
    """A window that was too long is a bad prompt, in the model's own words."""
    run = Run("TR", "T", NOW, "m", "failed", error={"code": code, "message": "Why."})
    assert encode_run(run)["last_error"] == {"code": told, "message": "Why."}


@pytest.mark.parametrize(
    ("reason", "details"),
    [
        ("length", {"reason": "max_completion_tokens"}),
        ("max_prompt_tokens", {"reason": "max_prompt_tokens"}),
        ("content_filter", {}),
    ],
)
def test_why_a_run_is_incomplete(reason: str, details: dict[str, str]) -> None:
    """Which budget was used up; a filter has no reason of its own here."""
    run = Run("TR", "T", NOW, "m", "incomplete", incomplete_reason=reason)
    assert encode_run(run)["incomplete_details"] == details


def submitted(**outputs: str | None) -> dict[str, Any]:
    body = {
        "tool_outputs": [{"tool_call_id": id, "output": output} for id, output in outputs.items()]
    }
    runs.SUBMIT.check(body)
    return body


def test_outputs_become_items_in_the_order_of_the_calls() -> None:
    """However the client orders them; an output of nothing is an empty one."""
    items = decode_outputs(submitted(call_2=None, call_1="one"), CALLS)
    assert items == [
        {
            "type": "function_call_output",
            "status": "completed",
            "call_id": call_id,
            "output": output,
        }
        for call_id, output in (("call_1", "one"), ("call_2", ""))
    ]


@pytest.mark.parametrize(
    "outputs",
    [
        {"call_1": "x"},
        {"call_1": "x", "call_3": "x"},
        {"call_1": "x", "call_2": "x", "call_3": "x"},
    ],
)
def test_every_call_is_answered_and_no_other(outputs: dict[str, str]) -> None:
    """Too few, too many or other outputs are refused with the ids that were expected."""
    with pytest.raises(BadRequest, match=r"Expected tool outputs for call_ids \['call_1', 'call_2"):
        decode_outputs(submitted(**outputs), CALLS)


def test_a_call_is_answered_once() -> None:
    """Two outputs for one call are one too many."""
    twice = submitted(call_1="x", call_2="y")
    twice["tool_outputs"].append({"tool_call_id": "call_1", "output": "z"})
    with pytest.raises(BadRequest, match="Expected tool outputs"):
        decode_outputs(twice, CALLS)


@pytest.mark.parametrize("over", [0, 1])
def test_outputs_are_512_kb_together(over: int) -> None:
    """The limit is on all outputs of one request."""
    body = submitted(call_1="x" * 262_144, call_2="y" * (262_144 + over))
    if not over:
        assert len(decode_outputs(body, CALLS)) == 2
        return
    with pytest.raises(BadRequest, match="less than 512kb") as refused:
        decode_outputs(body, CALLS)
    assert refused.value.param == "tool_outputs"


def test_the_run_object() -> None:
    """A new run, field by field, with OpenAI's defaults for what nobody said."""
    body = encode_run(Run("TR", "T", NOW, "m", expires_at=NOW + 1_000))
    strict(OfficialRun, body)
    assert body == {
        "id": "run_TR",
        "object": "thread.run",
        "created_at": 1_700_000_000,
        "thread_id": "thread_T",
        "assistant_id": "",
        "status": "queued",
        "required_action": None,
        "last_error": None,
        "expires_at": 1_700_000_001,
        "started_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "incomplete_details": None,
        "model": "m",
        "instructions": "",
        "tools": [],
        "metadata": {},
        "usage": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_prompt_tokens": None,
        "max_completion_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": "auto",
        "reasoning_effort": None,
        "clew": {"attempts": 1},
    }


@pytest.mark.parametrize("status", MOVES)
def test_a_run_in_every_status(status: str) -> None:
    """Usage is told at the end, expiry until then, the required action while it is required."""
    usage = {"input_tokens": 3, "cached_tokens": 1, "output_tokens": 2, "reasoning_tokens": 0}
    error = {"code": "rate_limit_exceeded", "message": "Slow down."} if status == "failed" else None
    run = Run("TR", "T", NOW, "m", status, usage=usage, error=error, expires_at=NOW)
    shown = strict(OfficialRun, encode_run(run, CALLS))
    over = status in TERMINAL
    assert (shown.expires_at is None) == over
    assert (shown.usage is not None) == over
    assert not shown.usage or shown.usage.total_tokens == 5
    assert (shown.last_error is not None) == (status == "failed")
    waits = status == "requires_action"
    assert (shown.required_action is not None) == waits
    if shown.required_action is not None:
        asked = shown.required_action.submit_tool_outputs.tool_calls
        assert [one.id for one in asked] == ["call_1", "call_2"]


@given(allowed(runs.CREATE))
@examples(60)
def test_whatever_is_let_in_is_shown_as_the_sdk_types_it(body: dict[str, Any]) -> None:
    """Every run the spec allows is a run object with the settings it was asked for."""
    run = decode_run(body, ASSISTANT, "T", "TR", NOW, EXPIRES_AFTER_MS)
    shown = strict(OfficialRun, encode_run(run))
    assert body.get("temperature") in (None, shown.temperature)
    assert body.get("max_prompt_tokens") in (None, shown.max_prompt_tokens)
    assert body.get("tool_choice") is None or encode_run(run)["tool_choice"] == body["tool_choice"]


@given(bodies_like(["assistant_id", "model", "tools", "type", "metadata", "thread", "tool_choice"]))
@examples(150)
def test_no_body_breaks_the_specs(body: Any) -> None:
    """Whatever comes as a run, the answer is nothing or a refusal."""
    for spec in (runs.CREATE, runs.CREATE_WITH_THREAD, runs.SUBMIT, runs.UPDATE):
        passed = False
        try:
            spec.check(body)
            passed = True
        except BadRequest as error:
            error.message.encode()
        assert not passed or isinstance(body, dict)
