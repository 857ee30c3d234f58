"""The shipped offline model: deterministic, follows a script, answers from the thread without one.

It is no language model and says so whenever no rule speaks for it. Its tokens are words: whatever
stands between white space counts as one, in what it reads and in what it says.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from clew.core.items import OUTPUTS, Item
from clew.providers.provider import (
    Abilities,
    AnnotationDelta,
    Delta,
    Finish,
    HostedDelta,
    ItemDone,
    ModelRequest,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.providers.script import Answer, Rule, ScriptedCall, load_script
from clew.providers.stand_in import stand_in
from clew.providers.turn import output_text, turn_of
from clew.providers.windows import payload

_TOKEN = re.compile(r"\s*\S+|\s+")

Sleep = Callable[[float], Awaitable[object]]


class Scripted:
    """A Provider that does what the first matching rule says; `sleep` takes seconds."""

    name = "scripted"
    abilities = Abilities(
        tools=frozenset({"function", "custom"}), settings=frozenset({"reasoning.summary"})
    )

    def __init__(self, rules: Sequence[Rule] = (), *, sleep: Sleep = asyncio.sleep) -> None:
        self._rules = tuple(rules)
        self.models = frozenset(rule.model for rule in self._rules if rule.model is not None)
        self._sleep = sleep

    @classmethod
    def from_file(cls, path: str | Path, *, sleep: Sleep = asyncio.sleep) -> Scripted:
        """With the rules of a YAML or JSON file. BadRequest when there is something wrong."""
        return cls(load_script(path), sleep=sleep)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer's deltas, then one Finish. Raises ProviderError."""
        answer = self._answer(request)
        tokens = _TOKEN.findall(answer.text)
        said = tokens[: request.tokens_max]
        await self._pause(answer.delay_ms)
        for delta in _before(answer):
            yield delta
        for number, token in enumerate(said):
            await self._pause(answer.token_delay_ms if number else 0)
            yield TextDelta(token)
        if len(said) < len(tokens):
            yield _finish("length", answer, request, "".join(said))
            return
        for delta in _after(answer):
            yield delta
        if answer.error is not None:
            raise ProviderError(answer.error.code, answer.error.message)
        for delta in _calls(answer.calls, request.items):
            yield delta
        yield _finish("tool_calls" if answer.calls else "stop", answer, request, answer.text)

    async def close(self) -> None:
        """Nothing is held open."""

    def _answer(self, request: ModelRequest) -> Answer:
        turn = turn_of(request)
        answers = (rule.answer(turn) for rule in self._rules)
        scripted = next((answer for answer in answers if answer is not None), None)
        return scripted or stand_in(request, turn)

    async def _pause(self, ms: int) -> None:
        if ms:
            await self._sleep(ms / 1000)


def _before(answer: Answer) -> Iterator[Delta]:
    """What the model thinks, and has done, before it speaks."""
    yield from (TextDelta(token, "reasoning_text") for token in _TOKEN.findall(answer.reasoning))
    yield from (TextDelta(token, "summary_text") for token in _TOKEN.findall(answer.summary))
    if answer.encrypted_content is not None:
        yield ItemDone(_reasoning(answer))
    for index, one in enumerate(answer.hosted):
        yield HostedDelta(index, {"status": "in_progress", **one.item})
        yield from (HostedDelta(index, None, stage) for stage in one.stages)
        yield ItemDone({**one.item, "status": "completed", **one.done}, index)


def _reasoning(answer: Answer) -> dict[str, Any]:
    """The reasoning with its seal."""
    content = [{"type": "reasoning_text", "text": answer.reasoning}] if answer.reasoning else []
    summary = [{"type": "summary_text", "text": answer.summary}] if answer.summary else []
    whole = {"type": "reasoning", "summary": summary, "encrypted_content": answer.encrypted_content}
    return whole | ({"content": content} if content else {})


def _after(answer: Answer) -> Iterator[Delta]:
    """What belongs to the reply once it is said."""
    yield from map(AnnotationDelta, answer.annotations)
    part = 1 if answer.text else 0
    yield from (TextDelta(token, "refusal", part) for token in _TOKEN.findall(answer.refusal))


def _calls(calls: Sequence[ScriptedCall], items: Sequence[Item]) -> Iterator[ToolCallDelta]:
    """Each call in two deltas, its name and its arguments.

    Call ids are made from the newest item's, so the same window gives the same ids and no two
    turns of a thread share one.
    """
    newest = items[-1].id if items else ""
    for index, call in enumerate(calls):
        digest = hashlib.sha256(f"{newest} {index}".encode()).hexdigest()
        kind = "function_call" if call.input is None else "custom_tool_call"
        yield ToolCallDelta(index, "", f"call_{digest[:24]}", call.name, kind)
        yield ToolCallDelta(index, _arguments(call), kind=kind)


def _arguments(call: ScriptedCall) -> str:
    return msgspec.json.encode(call.arguments).decode() if call.input is None else call.input


def _finish(reason: str, answer: Answer, request: ModelRequest, said: str) -> Finish:
    if answer.usage is not None:
        usage = answer.usage
        counts = (usage.tokens_in, usage.tokens_out, usage.tokens_cached, usage.tokens_reasoning)
        return Finish(reason, *counts)
    read = [request.instructions or "", *map(_text, request.items)]
    calls = map(_arguments, answer.calls if reason == "tool_calls" else ())
    thought = _words(answer.reasoning)
    spoken = _words(said) + _words(answer.refusal) + sum(map(_words, calls))
    return Finish(reason, sum(map(_words, read)), thought + spoken, tokens_reasoning=thought)


def _text(item: Item) -> str:
    if item.is_message:
        return item.text()
    if item.kind in OUTPUTS:
        return output_text(item.data()["output"])
    return payload(item.data())


def _words(text: str) -> int:
    return len(text.split())
