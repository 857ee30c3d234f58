"""Windows as they are read from a log, and as they are put to a model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from clew.context.budgets import Budget
from clew.context.tokens import Counter, prompt_tokens
from clew.context.windows import Policy, Reader, Window, estimated
from clew.core.compactions import summary_of
from clew.core.items import Item, message
from clew.core.runs import Run
from clew.providers.provider import ModelRequest

CHUNK_MIN, CHUNK_MAX = 32, 1024
"""Items read at a time while a window is filled: few first, so that a short window costs little in
a long thread, then twice as many each time."""

BYTES_AT_ONCE = 262_144
"""Texts larger than this are counted in a thread, not on the event loop (some 10 ms)."""

SUMMARY = "Summary of the conversation so far, in place of its earlier messages:\n\n"


class Readable(Protocol):
    """The newest end of a log."""

    async def read_items(
        self, project: str, thread: str, *, below: int, limit: int
    ) -> list[Item]: ...


async def read_window(
    log: Readable,
    project: str,
    thread: str,
    *,
    last_messages: int | None = None,
    tokens_max: int | None = None,
    foreign: bool = True,
    counter: Counter | None = None,
) -> Window:
    """The window of the thread as its log stands now; without limits, the full one."""
    policy = Policy(last_messages, tokens_max, foreign)
    reader, below = Reader(policy, counter or estimated), 1 << 62
    limit = CHUNK_MIN
    while reader.wants_more():
        items = await log.read_items(project, thread, below=below, limit=limit)
        if tokens_max is not None and _size(items) > BYTES_AT_ONCE:
            await asyncio.to_thread(reader.take, items)
        else:
            reader.take(items)
        if len(items) < limit:
            break
        below, limit = items[-1].seq, min(2 * limit, CHUNK_MAX)
        await asyncio.sleep(0)
    return reader.window()


async def count(counter: Counter, items: Sequence[Item]) -> int:
    """What these items cost."""
    if _size(items) > BYTES_AT_ONCE:
        return await asyncio.to_thread(counter.all, items)
    return counter.all(items)


def _size(items: Sequence[Item]) -> int:
    return sum(len(item.body) for item in items)


def around(counter: Counter, run: Run) -> int:
    """What a prompt of this run costs beside its items."""
    text_format = run.settings.get("text_format")
    return prompt_tokens(counter.tokens, run.instructions, run.tools, text_format)


def last_messages_of(run: Run) -> int | None:
    """How many messages the run lets its model see: the Assistants' `truncation_strategy`."""
    strategy = run.settings.get("truncation_strategy") or {}
    return strategy.get("last_messages") if strategy.get("type") == "last_messages" else None


def truncates(run: Run) -> bool:
    """Whether the oldest items may be dropped when the model cannot read them all.

    That is a run's default on the Threads face, and a response's choice.
    """
    strategy = (run.settings.get("truncation_strategy") or {}).get("type", "auto")
    return (strategy if run.pauses else run.settings.get("truncation")) == "auto"


def request_of(run: Run, items: Sequence[Item], budget: Budget | None = None) -> ModelRequest:
    """What the model is asked, from what the run asked for and what is left of its budget."""
    settings: dict[str, Any] = run.settings
    left = settings.get("max_output_tokens") if budget is None else budget.completion
    return ModelRequest(
        model=run.model,
        items=[_readable(item) for item in items],
        instructions=run.instructions,
        tools=run.tools,
        tool_choice=settings.get("tool_choice"),
        parallel_tool_calls=settings.get("parallel_tool_calls"),
        temperature=settings.get("temperature"),
        top_p=settings.get("top_p"),
        tokens_max=left,
        text_format=settings.get("text_format"),
        reasoning_effort=(settings.get("reasoning") or {}).get("effort"),
        settings=settings,
    )


def _readable(item: Item) -> Item:
    """A summary of ours is said as a message: what users said has no more weight summed up."""
    summary = summary_of(item) if item.kind == "compaction" else None
    return item if summary is None else message(item.id, "user", SUMMARY + summary, item.created_at)
