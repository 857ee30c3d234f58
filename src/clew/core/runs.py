"""Runs: the work of one assistant turn, and the one table of how its status may change.

queued -> in_progress -> completed | incomplete | failed | expired
in_progress -> requires_action -> queued        (the client submits tool outputs)
in_progress -> cancelling -> cancelled          (the executor lets go of the model first)
Terminal states stay terminal. A run that is not terminal holds its thread.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clew.core.errors import IllegalMove

MOVES: dict[str, frozenset[str]] = {
    "queued": frozenset({"in_progress", "cancelling", "cancelled", "failed", "expired"}),
    "in_progress": frozenset(
        {"requires_action", "completed", "incomplete", "failed", "cancelling", "expired"}
    ),
    "requires_action": frozenset({"queued", "cancelled", "failed", "expired"}),
    "cancelling": frozenset({"cancelled", "completed", "failed", "expired"}),
    "completed": frozenset(),
    "incomplete": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "expired": frozenset(),
}
"""Status -> the statuses it may become."""

TERMINAL = frozenset(status for status, next in MOVES.items() if not next)
EXPIRES_AFTER_MS = 600_000
"""OpenAI: "roughly 10 mins past creation"."""

EXPIRY_GRACE_MS = 5_000

_STAMPS = {
    "in_progress": "started_at",
    "completed": "completed_at",
    "incomplete": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}


class Run(msgspec.Struct):
    """One assistant turn. Times are milliseconds since 1970; `thread` and `assistant` are keys.

    `settings` are the request's own (temperature, tool_choice, text, …) as the wire named them.
    `pauses` says what a function call does: True, the run waits in `requires_action` for its
    outputs (Threads); False, it completes and the outputs come with the next turn (Responses).
    Its input are the items from `first_seq` to `input_seq`, its output those it wrote itself.
    """

    key: str
    thread: str
    created_at: int
    model: str
    status: str = "queued"
    assistant: str | None = None
    instructions: str | None = None
    tools: list[dict[str, Any]] = []
    settings: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    pauses: bool = True
    usage: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    incomplete_reason: str | None = None
    first_seq: int = 1
    input_seq: int = 0
    last_seq: int = 0
    expires_at: int = 0
    started_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelled_at: int | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    def is_abandoned(self, now_ms: int) -> bool:
        """Whether a run that nobody here works on is to be ended as `expired`.

        One that a model works on is ended by the process where it does, which has what it said;
        only if that has not happened `EXPIRY_GRACE_MS` later, that process is gone.
        """
        grace = 0 if self.status == "requires_action" else EXPIRY_GRACE_MS
        return not self.is_terminal and self.expires_at + grace <= now_ms


class Call(msgspec.Struct):
    """One model call, recorded beside the run that made it.

    The window is by reference: the items from `first_seq` to `last_seq`, of which `left_out` were
    not sent.
    """

    key: str
    run: str
    model: str
    provider: str
    started_at: int
    ended_at: int
    first_seq: int
    last_seq: int
    left_out: int = 0
    attempts: int = 1
    usage: dict[str, Any] | None = None
    error: dict[str, str] | None = None


def move(run: Run, status: str, now_ms: int, **changes: Any) -> Run:
    """The run in another status, stamped; the given one is left as it is.

    Raises IllegalMove when the table does not allow it.
    """
    if status not in MOVES[run.status]:
        raise IllegalMove(run.status, status)
    stamp = _STAMPS.get(status)
    if stamp is not None:
        changes.setdefault(stamp, now_ms)
    return msgspec.structs.replace(run, status=status, **changes)
