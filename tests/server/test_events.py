"""Every event of a response that an upstream can cause reaches the client as the upstream said it.

What a model server works on itself (a search, code, a shell, an MCP call, an image, a compaction)
comes stage by stage; the item that is then in the response, and stays, is the one that was told.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest
from openai import OpenAI

from clew.testing import upstream_responses as says

from .doubles import Doubles

SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
MCP = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example"}
NO_OUTPUT = {"outcome": {"type": "exit", "exit_code": 0}, "stdout": "a.txt\n", "stderr": ""}

Said = tuple[str, dict[str, Any]]

HOSTED: dict[str, tuple[dict[str, Any], dict[str, Any], list[Said], dict[str, Any]]] = {
    "a web search": (
        {"type": "web_search"},
        {"type": "web_search_call", "action": {"type": "search", "query": "clew"}},
        [
            ("web_search_call.in_progress", {}),
            ("web_search_call.searching", {}),
            ("web_search_call.completed", {}),
        ],
        {},
    ),
    "a search of files": (
        {"type": "file_search", "vector_store_ids": ["vs_theirs"]},
        {"type": "file_search_call", "queries": []},
        [
            ("file_search_call.in_progress", {}),
            ("file_search_call.searching", {}),
            ("file_search_call.completed", {}),
        ],
        {"queries": ["clew"]},
    ),
    "code": (
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "code_interpreter_call", "code": "", "container_id": "cntr_1", "outputs": None},
        [
            ("code_interpreter_call.in_progress", {}),
            ("code_interpreter_call_code.delta", {"delta": "1 +"}),
            ("code_interpreter_call_code.delta", {"delta": " 1"}),
            ("code_interpreter_call_code.done", {"code": "1 + 1"}),
            ("code_interpreter_call.interpreting", {}),
            ("code_interpreter_call.completed", {}),
        ],
        {"code": "1 + 1"},
    ),
    "an image": (
        {"type": "image_generation", "partial_images": 1},
        {"type": "image_generation_call", "result": None},
        [
            ("image_generation_call.in_progress", {}),
            ("image_generation_call.generating", {}),
            (
                "image_generation_call.partial_image",
                {"partial_image_b64": "AAAA", "partial_image_index": 0},
            ),
            ("image_generation_call.completed", {}),
        ],
        {"result": "AAAAAAAA"},
    ),
    "the tools of an MCP server": (
        MCP,
        {"type": "mcp_list_tools", "server_label": "docs", "tools": []},
        [("mcp_list_tools.in_progress", {}), ("mcp_list_tools.completed", {})],
        {"tools": [{"name": "find", "input_schema": {"type": "object"}}]},
    ),
    "an MCP server that is not there": (
        MCP,
        {"type": "mcp_list_tools", "server_label": "docs", "tools": []},
        [("mcp_list_tools.in_progress", {}), ("mcp_list_tools.failed", {})],
        {"error": "no such host"},
    ),
    "an MCP call": (
        MCP,
        {"type": "mcp_call", "server_label": "docs", "name": "find", "arguments": ""},
        [
            ("mcp_call.in_progress", {}),
            ("mcp_call_arguments.delta", {"delta": '{"q":'}),
            ("mcp_call_arguments.delta", {"delta": '"clew"}'}),
            ("mcp_call_arguments.done", {"arguments": '{"q":"clew"}'}),
            ("mcp_call.completed", {}),
        ],
        {"arguments": '{"q":"clew"}', "output": "a ball of thread"},
    ),
    "an MCP call that fails": (
        MCP,
        {"type": "mcp_call", "server_label": "docs", "name": "find", "arguments": "{}"},
        [("mcp_call.in_progress", {}), ("mcp_call.failed", {})],
        {"status": "failed", "error": {"type": "http_error", "code": 500, "message": "Oops."}},
    ),
    "a shell command": (
        SHELL,
        {"type": "shell_call", "call_id": "call_1", "action": {"commands": []}},
        [
            ("shell_call_command.added", {"command_index": 0, "command": ""}),
            ("shell_call_command.delta", {"command_index": 0, "delta": "ls"}),
            ("shell_call_command.done", {"command_index": 0, "command": "ls"}),
        ],
        {"action": {"commands": ["ls"], "max_output_length": None, "timeout_ms": None}},
    ),
    "the output of a shell": (
        SHELL,
        {"type": "shell_call_output", "call_id": "call_1", "output": []},
        [
            (
                "shell_call_output_content.delta",
                {"command_index": 0, "delta": {"stdout": "a.txt\n", "stderr": None}},
            ),
            ("shell_call_output_content.done", {"command_index": 0, "output": [NO_OUTPUT]}),
        ],
        {"output": [NO_OUTPUT]},
    ),
    "a compaction": (
        {"type": "web_search"},
        {"type": "compaction", "encrypted_content": ""},
        [("compaction.compacting", {})],
        {"encrypted_content": "gAAAA"},
    ),
}
"""What happens -> the tool asked for, the item as it begins, its stages, what it has in the end."""

NAMELESS = frozenset({"mcp_list_tools", "compaction"})
"""Items without a status."""


def worked_on(item: dict[str, Any], stages: list[Said], end: dict[str, Any]) -> Iterator[Any]:
    """The events of an item that the upstream works on itself."""
    place = {"item_id": "up_1", "output_index": 0}
    begun, done = {"id": "up_1", **item}, {"id": "up_1", **item, **end}
    if item["type"] not in NAMELESS:
        begun, done = begun | {"status": "in_progress"}, {"status": "completed"} | done
    yield says.added(0, begun)
    for stage, data in stages:
        yield {"type": f"response.{stage}", **place, **data}
    yield says.done(0, done)


def heard(client: OpenAI, **options: Any) -> list[Any]:
    """All events; they are numbered from 0 without a gap."""
    events = list(client.responses.create(model="m", input="Go on.", stream=True, **options))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events


def of_first(events: list[Any]) -> list[Any]:
    """The events of the first item."""
    return [event for event in events if getattr(event, "output_index", None) == 0]


@pytest.mark.parametrize("what", HOSTED)
def test_what_an_upstream_works_on_is_told_stage_by_stage(
    relayed: OpenAI, upstream: Doubles, what: str
):
    """With all that the upstream says of it; the item told last is kept."""
    tool, item, stages, end = HOSTED[what]
    upstream.reply(says.streams(*worked_on(item, stages, end), *says.message(1, "There.")))
    events = heard(relayed, tools=[tool])
    first, *between, last = of_first(events)
    assert [event.type.removeprefix("response.") for event in between] == [
        stage for stage, _ in stages
    ]
    for event, (_, data) in zip(between, stages, strict=True):
        told = event.to_dict()
        assert {name: told[name] for name in data} == data
        assert told["item_id"] == first.item.id == last.item.id
    output = events[-1].response.output
    assert output[0] == last.item
    assert end.items() <= last.item.to_dict().items()
    assert relayed.responses.retrieve(events[-1].response.id).output == output


def test_reasoning_is_told_in_its_summary_and_its_text(relayed: OpenAI, upstream: Doubles):
    """Each part of both begins, grows and ends; the item has them."""
    item = {"id": "rs_1", "type": "reasoning"}
    place = {"item_id": "rs_1", "output_index": 0}
    summary = [{"type": "summary_text", "text": "Short."}]
    content = [{"type": "reasoning_text", "text": "Long and wide."}]
    delta = {"type": "response.reasoning_summary_text.delta", **place, "summary_index": 0}
    text = {"type": "response.reasoning_text.delta", **place, "content_index": 0}
    upstream.reply(
        says.streams(
            says.added(0, {**item, "summary": []}),
            {**delta, "delta": "Short."},
            {**text, "delta": "Long "},
            {**text, "delta": "and wide."},
            says.done(0, {**item, "summary": summary, "content": content}),
            *says.message(1, "So."),
        )
    )
    events = heard(relayed, reasoning={"summary": "auto"})
    kinds = [kind for kind, _ in groupby(event.type for event in of_first(events))]
    assert [kind.removeprefix("response.") for kind in kinds] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
    ]
    [reasoning, _] = events[-1].response.output
    assert (reasoning.summary[0].text, reasoning.content[0].text) == ("Short.", "Long and wide.")


def test_a_refusal_is_told_as_one(relayed: OpenAI, upstream: Doubles):
    """Its deltas add up to what is in the message."""
    item = {"id": "msg_1", "type": "message", "role": "assistant"}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "refusal", "refusal": "I will not."}
    delta = {"type": "response.refusal.delta", **place}
    upstream.reply(
        says.streams(
            says.added(0, {**item, "status": "in_progress", "content": []}),
            {**delta, "delta": "I will "},
            {**delta, "delta": "not."},
            says.done(0, {**item, "status": "completed", "content": [part]}),
        )
    )
    events = heard(relayed)
    said = [event.delta for event in events if event.type == "response.refusal.delta"]
    [done] = [event for event in events if event.type == "response.refusal.done"]
    assert "".join(said) == done.refusal == "I will not."
    assert events[-1].response.output[0].content[0].to_dict() == part


def test_a_citation_is_told_where_it_stands(relayed: OpenAI, upstream: Doubles):
    """Counted in its part, and kept with the text."""
    note = {
        "type": "url_citation",
        "url": "https://clew.example",
        "title": "A clew",
        "start_index": 0,
        "end_index": 4,
    }
    begin, *rest, end = says.message(0, "Clew")
    part = {"type": "output_text", "text": "Clew", "annotations": [note], "logprobs": []}
    place = {"item_id": "msg_up0", "output_index": 0, "content_index": 0, "annotation_index": 0}
    added = {"type": "response.output_text.annotation.added", **place, "annotation": note}
    done = says.done(0, {**end["item"], "content": [part]})
    upstream.reply(says.streams(begin, *rest[:2], added, done))
    events = heard(relayed)
    [told] = [event for event in events if event.type.endswith("annotation.added")]
    assert (told.content_index, told.annotation_index) == (0, 0)
    assert told.annotation.to_dict() == note
    [message] = relayed.responses.retrieve(events[-1].response.id).output
    assert message.content[0].annotations[0].to_dict() == note


def test_the_input_of_a_custom_tool_is_told(relayed: OpenAI, upstream: Doubles):
    """Piece by piece, then whole."""
    item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c1", "name": "sql"}
    place = {"item_id": "ctc_1", "output_index": 0}
    delta = {"type": "response.custom_tool_call_input.delta", **place}
    upstream.reply(
        says.streams(
            says.added(0, {**item, "input": ""}),
            {**delta, "delta": "SELECT "},
            {**delta, "delta": "1"},
            says.done(0, {**item, "input": "SELECT 1"}),
        )
    )
    events = heard(relayed, tools=[{"type": "custom", "name": "sql"}])
    said = [event.delta for event in events if event.type.endswith("call_input.delta")]
    [done] = [event for event in events if event.type.endswith("call_input.done")]
    assert "".join(said) == done.input == "SELECT 1"
    assert events[-1].response.output[0].input == "SELECT 1"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ({"status": "incomplete", "reason": "max_output_tokens"}, "incomplete"),
        ({"status": "incomplete", "reason": "content_filter"}, "incomplete"),
        ({"status": "failed", "error": {"code": "server_error", "message": "Oops."}}, "failed"),
    ],
)
def test_an_end_of_the_upstream_is_the_responses(
    relayed: OpenAI, upstream: Doubles, ending: dict[str, Any], status: str
):
    """Incomplete or failed, for the reason that the upstream gives."""
    upstream.reply(says.streams(*says.message(0, "Hel"), **ending))
    last = heard(relayed)[-1]
    assert (last.type, last.response.status) == (f"response.{status}", status)
    if status == "incomplete":
        assert last.response.incomplete_details.reason == ending["reason"]
    else:
        assert last.response.error.code == "server_error"


def test_a_run_tells_what_the_upstream_did_as_steps(relayed: OpenAI, upstream: Doubles):
    """On the Threads face a search of files is a tool call of a step; the message follows."""
    _, item, stages, end = HOSTED["a search of files"]
    upstream.reply(says.streams(*worked_on(item, stages, end), *says.message(1, "There.")))
    assistant = relayed.beta.assistants.create(model="m", tools=[{"type": "file_search"}])
    thread = relayed.beta.threads.create(messages=[{"role": "user", "content": "Find it."}])
    stream = relayed.beta.threads.runs.create(thread.id, assistant_id=assistant.id, stream=True)
    kinds = [kind for kind, _ in groupby(event.event for event in stream)]
    assert kinds.count("thread.run.step.delta") == 1
    assert kinds.count("thread.run.step.completed") == 2
    assert kinds[-1] == "thread.run.completed"
