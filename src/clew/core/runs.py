"""Runs: the work of one assistant turn, and the one table of how its status may change.

queued -> in_progress -> completed | incomplete | failed | expired
in_progress -> requires_action -> queued        (the client submits tool outputs)
in_progress -> cancelling -> cancelled          (the executor lets go of the model first)
Terminal states stay terminal. A run that is not terminal holds its thread, unless it waits in the
thread's line.

Who works on a run has a lease of it, from the moment it is made; a run whose lease has ended is
anybody's to take. What waits for the client is nobody's until its time is over.
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

_STAMPS = {
    "in_progress": "started_at",
    "completed": "completed_at",
    "incomplete": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}


class Run(msgspec.Struct):
    """One assistant turn. Times are milliseconds since 1970; `thread` and `assistant` are keys.

    `provider` is the kind of what is to answer: who has none of that kind leaves the run to others.
    `settings` are the request's own (temperature, tool_choice, text, …) as the wire named them.
    `pauses` says what a function call does: True, the run waits in `requires_action` for its
    outputs (Threads); False, it completes and the outputs come with the next turn (Responses).
    Its input are the items from `first_seq` to `input_seq`, its output those it wrote itself.

    The engine's are: the seqs; `place`, while the run waits in its thread's line (1 is next, it has
    no seqs then); `turn`, the seq at which its present turn began, 0 for the first; `attempts`, how
    often somebody began to work on it; `withdrawn`, that its items go when it ends; `next_run`, the
    run that its thread went on with.
    """

    key: str
    thread: str
    created_at: int
    model: str
    status: str = "queued"
    assistant: str | None = None
    provider: str | None = None
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
    place: int | None = None
    turn: int = 0
    attempts: int = 1
    withdrawn: bool = False
    next_run: str | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def waits_in_line(self) -> bool:
        return self.place is not None and not self.is_terminal

    def is_abandoned(self, now_ms: int) -> bool:
        """Whether a run that waits for its client has waited for too long."""
        return self.status == "requires_action" and self.expires_at <= now_ms


class Lease(msgspec.Struct, frozen=True):
    """The right to work on a run: whose it is, and until when (milliseconds since 1970)."""

    holder: str
    until: int


class Call(msgspec.Struct):
    """One model call, recorded beside the run that made it, as it begins and as it ends.

    The window is by reference: the items from `first_seq` to `last_seq`, of which `left_out` were
    not sent. `ended_at` is None while it is under way, or when whoever made it is gone.
    """

    key: str
    run: str
    model: str
    provider: str
    started_at: int
    ended_at: int | None
    first_seq: int
    last_seq: int
    left_out: int = 0
    attempts: int = 1
    usage: dict[str, Any] | None = None
    error: dict[str, str] | None = None


def move(run: Run, status: str, now_ms: int, **changes: Any) -> Run:
    """The run in another status, stamped; the given one is left as it is.

    One that is over does not know the secrets of its tools any more. Raises IllegalMove when the
    table does not allow it.
    """
    if status not in MOVES[run.status]:
        raise IllegalMove(run.status, status)
    if status in TERMINAL:
        changes.setdefault("tools", [without_secrets(tool) for tool in run.tools])
    stamp = _STAMPS.get(status)
    if stamp is not None:
        changes.setdefault(stamp, now_ms)
    return msgspec.structs.replace(run, status=status, **changes)


def without_secrets(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as anybody may see it: what it shows to an MCP server is no part of that."""
    if tool["type"] != "mcp":
        return tool
    shown = {name: value for name, value in tool.items() if name != "authorization"}
    if shown.get("headers"):
        shown["headers"] = dict.fromkeys(shown["headers"], "<redacted>")
    return shown


def moved(run: Run, stands: Run, last_seq: int | None) -> Run:
    """The run as an engine stores it: `stands` is how it stood, `last_seq` where what was appended
    ends. Its metadata is whatever others have made of it meanwhile, and the seqs are those it has:
    whoever moves a run in line may not know yet that its turn has come."""
    seq = stands.last_seq if last_seq is None else last_seq
    return msgspec.structs.replace(
        run,
        metadata=stands.metadata,
        first_seq=stands.first_seq,
        input_seq=stands.input_seq,
        last_seq=seq,
        turn=seq if run.status == "queued" != stands.status else stands.turn,
        withdrawn=stands.withdrawn or run.withdrawn,
        attempts=stands.attempts,
        place=None if run.is_terminal else stands.place,
    )


def promoted(run: Run, now_ms: int, first_seq: int, last_seq: int) -> Run:
    """A run that waited in line, as it comes to hold its thread: its input is in the log now, and
    its time begins. Nobody has worked on it yet."""
    return msgspec.structs.replace(
        run,
        place=None,
        first_seq=first_seq,
        input_seq=last_seq,
        last_seq=last_seq,
        expires_at=now_ms + run.expires_at - run.created_at,
        attempts=0,
    )


def due_at(run: Run, lease: Lease | None) -> int | None:
    """When somebody is to look after a run that was moved so: the end of its lease, or the time
    until which it waits for its client. None for never; a move without a lease leaves it alone."""
    if run.is_terminal or run.place is not None:
        return None
    if run.status == "requires_action":
        return run.expires_at or None
    return None if lease is None else lease.until
