"""Run steps on the wire: a view of the items a run wrote, no record of its own.

A step is a message, an unbroken row of function calls, a file search or a code interpreter call;
the Threads face has no step for anything else. It has the key of its first item, so its id is
found again without being stored.

A model counts tokens for a whole answer. They are told with the last step of the run, and the
others have none, so that the steps of a run add up to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from clew.core.ids import item_prefix
from clew.core.items import CALLS, OUTPUTS, Item
from clew.core.runs import Run
from clew.wire.fields import seconds
from clew.wire.runs import encode_usage, last_error

Json = dict[str, Any]

FOUND = "step_details.tool_calls[*].file_search.results[*].content"
"""What `include` says to see the text that a file search found."""

HOSTED = frozenset({"file_search_call", "code_interpreter_call"})
"""Kinds of item that are a step each."""

_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def ended_with(run: Run) -> str:
    """The status of a step that its run left open."""
    if run.status in ("failed", "cancelled", "expired"):
        return run.status
    return "completed" if run.is_terminal else "in_progress"


def step_id(id: str, kind: str) -> str:
    """The id of the step that begins with this item."""
    return "step_" + id.removeprefix(item_prefix(kind))


def rows(items: Iterable[Item]) -> list[list[Item]]:
    """The items of each step. What lies between two calls, even if it is gone, parts them."""
    found: list[list[Item]] = []
    before: Item | None = None
    for item in items:
        if item.kind in CALLS and before and before.kind in CALLS and item.seq - before.seq <= 1:
            found[-1].append(item)
        elif item.is_message or item.kind in CALLS or item.kind in HOSTED:
            found.append([item])
        before = item
    return found


def outputs_of(items: Iterable[Item]) -> dict[str, str]:
    """What was answered to calls, as text, by call id."""
    answers = (item.data() for item in items if item.kind in OUTPUTS)
    return {data["call_id"]: _as_text(data["output"]) for data in answers}


def encode_steps(run: Run, items: Sequence[Item], include: Collection[str] = ()) -> list[Json]:
    """The steps of a run, oldest first, from the items it wrote, oldest first."""
    outputs = outputs_of(items)
    steps = [encode_row(run, row, outputs, include) for row in rows(items)]
    if steps and run.is_terminal:
        steps[-1]["usage"] = encode_usage(run.usage)
    return steps


def encode_row(
    run: Run, row: Sequence[Item], outputs: Mapping[str, str], include: Collection[str] = ()
) -> Json:
    """The step of these items. One that is not whole ended as its run did, or has not yet."""
    first = row[0]
    if first.is_message:
        status = first.data()["status"]
        details = message_details(first.id)
    elif first.kind in CALLS:
        answered = all(call.data()["call_id"] in outputs for call in row)
        status = "completed" if answered else "in_progress"
        details = _details([_function(call.data(), outputs) for call in row])
    else:
        data = first.data()
        status = data.get("status", "completed")
        details = _details([_hosted(run, first, data, include)])
    if status not in ("completed", "failed"):
        status = ended_with(run)
    return encode_step(run, first.id, first.kind, first.created_at, status, details)


def encode_step(
    run: Run, id: str, kind: str, created_at: int, status: str, details: Json | None = None
) -> Json:
    """The step object that begins with the item `id`; without details, one of no calls yet."""
    details = details or _details([])
    ended = seconds(max(created_at, run.completed_at or run.failed_at or run.cancelled_at or 0))
    return {
        "id": step_id(id, kind),
        "object": "thread.run.step",
        "created_at": seconds(created_at),
        "assistant_id": f"asst_{run.assistant}" if run.assistant else "",
        "thread_id": f"thread_{run.thread}",
        "run_id": f"run_{run.key}",
        "type": details["type"],
        "status": status,
        "step_details": details,
        "last_error": last_error(run) if status == "failed" else None,
        "expired_at": ended if status == "expired" else None,
        "cancelled_at": ended if status == "cancelled" else None,
        "failed_at": ended if status == "failed" else None,
        "completed_at": ended if status == "completed" else None,
        "metadata": {},
        "usage": None if status == "in_progress" else _NO_USAGE,
    }


def message_details(id: str) -> Json:
    return {"type": "message_creation", "message_creation": {"message_id": id}}


def code_outputs(data: Json) -> list[Json]:
    """What code said and drew; a drawing that is no file has no shape here."""
    outputs: list[Json] = []
    for output in data.get("outputs") or ():
        if output["type"] == "logs":
            outputs.append({"type": "logs", "logs": output["logs"]})
        elif output.get("file_id"):
            outputs.append({"type": "image", "image": {"file_id": output["file_id"]}})
    return outputs


def _details(tool_calls: list[Json]) -> Json:
    return {"type": "tool_calls", "tool_calls": tool_calls}


def _function(data: Json, outputs: Mapping[str, str]) -> Json:
    """A custom call is shown as one of a function: this face knows no other."""
    arguments = data["input"] if data["type"] == "custom_tool_call" else data["arguments"]
    output = outputs.get(data["call_id"])
    function = {"name": data["name"], "arguments": arguments, "output": output}
    return {"id": data["call_id"], "type": "function", "function": function}


def _hosted(run: Run, item: Item, data: Json, include: Collection[str]) -> Json:
    if item.kind == "file_search_call":
        search = {"ranking_options": _ranking(run), "results": _results(data, include)}
        return {"id": item.id, "type": "file_search", "file_search": search}
    code = {"input": data.get("code") or "", "outputs": code_outputs(data)}
    return {"id": item.id, "type": "code_interpreter", "code_interpreter": code}


def _ranking(run: Run) -> Json:
    """How the run's file search ranks: as asked for, else by OpenAI's defaults."""
    tools = (tool for tool in run.tools if tool.get("type") == "file_search")
    asked: Json = next(tools, {}).get("ranking_options") or {}
    return {
        "ranker": asked.get("ranker") or "auto",
        "score_threshold": asked.get("score_threshold") or 0.0,
    }


def _results(data: Json, include: Collection[str]) -> list[Json] | None:
    """What was found; None where the upstream did not say."""
    results = data.get("results")
    return None if results is None else [_result(found, FOUND in include) for found in results]


def _result(found: Json, with_text: bool) -> Json:
    shown = {
        "file_id": found.get("file_id") or "",
        "file_name": found.get("filename") or "",
        "score": found.get("score") or 0.0,
    }
    content = [{"type": "text", "text": found.get("text") or ""}]
    return shown | ({"content": content} if with_text else {})


def _as_text(output: Any) -> str:
    """An output of parts as the text in it: that is all a step has room for."""
    if isinstance(output, str):
        return output
    return "".join(part.get("text") or "" for part in output)
