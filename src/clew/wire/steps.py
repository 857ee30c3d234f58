"""Run steps on the wire: a view of the items a run wrote, no record of its own.

Each message is a step, and so is each unbroken row of function calls. A step has the key of its
first item, so its id is found again without being stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.core.ids import item_prefix
from clew.core.items import Item
from clew.core.runs import Run
from clew.wire.fields import seconds
from clew.wire.runs import encode_tool_call


def ended_with(run: Run) -> str:
    """The status of a step that its run left open."""
    if run.status in ("failed", "cancelled", "expired"):
        return run.status
    return "completed" if run.is_terminal else "in_progress"


def step_id(id: str, kind: str) -> str:
    """The id of the step that begins with this item."""
    return "step_" + id.removeprefix(item_prefix(kind))


def encode_steps(run: Run, items: Sequence[Item]) -> list[dict[str, Any]]:
    """The steps of a run, oldest first, from the items it wrote, oldest first."""
    outputs = {
        item.data()["call_id"]: item.data()["output"]
        for item in items
        if item.kind == "function_call_output"
    }
    steps: list[dict[str, Any]] = []
    calls: list[Item] = []
    for item in [*items, None]:
        if item is not None and item.kind == "function_call":
            calls.append(item)
            continue
        if calls:
            steps.append(calls_step(run, calls, outputs))
            calls = []
        if item is not None and item.is_message:
            steps.append(message_step(run, item))
    return steps


def message_step(run: Run, message: Item) -> dict[str, Any]:
    """The step that wrote a message; one that was broken off ended as its run did."""
    whole = message.data()["status"] == "completed"
    status = "completed" if whole else ended_with(run)
    details = {"type": "message_creation", "message_creation": {"message_id": message.id}}
    return encode_step(run, message.id, message.kind, message.created_at, status, details)


def calls_step(
    run: Run, calls: Sequence[Item], outputs: dict[str, str] | None = None
) -> dict[str, Any]:
    """The step of some function calls; it is complete once all have outputs."""
    outputs = outputs or {}
    answered = all(call.data()["call_id"] in outputs for call in calls)
    status = "completed" if answered else ended_with(run)
    tool_calls = [
        encode_tool_call(call, output=outputs.get(call.data()["call_id"])) for call in calls
    ]
    details = {"type": "tool_calls", "tool_calls": tool_calls}
    first = calls[0]
    return encode_step(run, first.id, first.kind, first.created_at, status, details)


def encode_step(
    run: Run, id: str, kind: str, created_at: int, status: str, details: dict[str, Any]
) -> dict[str, Any]:
    """The step object that begins with the item `id`."""
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
        "last_error": run.error if status == "failed" else None,
        "expired_at": ended if status == "expired" else None,
        "cancelled_at": ended if status == "cancelled" else None,
        "failed_at": ended if status == "failed" else None,
        "completed_at": ended if status == "completed" else None,
        "metadata": {},
        "usage": None,
    }
