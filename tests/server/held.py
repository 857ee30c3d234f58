"""A model that is held in mid-answer, and counts what it was asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from typing import Any

from clew.providers.provider import (
    Abilities,
    Delta,
    Finish,
    ModelRequest,
    TextDelta,
    ToolCallDelta,
)


class Held:
    """Says `Half`, and ` done` once its gate is opened, where the last thing it reads begins with
    "hold"; calls `f` where that begins with "call"; and answers `Re: ` to anything else."""

    name = "held"
    abilities = Abilities(tools=frozenset({"function"}))

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self._gates: dict[str, threading.Event] = defaultdict(threading.Event)

    def __call__(self, model: str) -> Held:
        return self

    def price_of(self, model: str) -> None:
        return None

    def let(self, question: str) -> None:
        """Open the gate of this question."""
        self._gates[question].set()

    def count(self, question: str) -> int:
        """How often the model was asked with this as the last thing it read."""
        return sum(texts[-1] == question for texts in self.asked)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        texts = [item.text() if item.is_message else item.kind for item in request.items]
        self.asked.append(texts)
        question = texts[-1]
        if question.startswith("hold"):
            yield TextDelta("Half")
            while not self._gates[question].is_set():
                await asyncio.sleep(0.001)
            yield TextDelta(" done")
        elif question.startswith("call"):
            yield ToolCallDelta(0, "{}", f"call_{request.items[-1].id[-8:]}", "f")
            yield Finish("tool_calls", 1, 1)
            return
        else:
            yield TextDelta(f"Re: {question}")
        yield Finish("stop", 1, 1)

    async def close(self) -> None:
        for gate in self._gates.values():
            gate.set()


def until(condition: Callable[[], Any]) -> Any:
    """Look again and again, for as long as a slow machine may take; what it comes to."""
    for _ in range(1_000):
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"it never came to that, but to {found!r}")
