"""One turn: a queued run to its end, or to a pause for tool outputs.

`_ask` is the one place where a model call begins and ends. What the model said before it failed or
was cancelled is kept, as an incomplete message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from clew.context.windows import Policy, Reader, Window
from clew.core.errors import NotFound
from clew.core.events import RunChanged
from clew.core.ids import new_key
from clew.core.items import Item
from clew.core.runs import Call, Run, move
from clew.executor.live import Live
from clew.executor.output import Output
from clew.providers.provider import Finish, ModelRequest, Provider, ProviderError
from clew.store.store import Moved

CHUNK_MIN, CHUNK_MAX = 32, 1024
"""Items read at a time while a window is filled: few first, so that a short window costs little in
a long thread, then twice as many each time."""

log = logging.getLogger("clew.executor")


class Log(Protocol):
    """What a turn needs of a store."""

    async def read_items(
        self, project: str, thread: str, *, below: int, limit: int
    ) -> list[Item]: ...

    async def get_run(self, project: str, thread: str, run: str) -> Run: ...

    async def move_run(
        self,
        project: str,
        was: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        now_ms: int,
        call: Call | None = None,
    ) -> Run: ...


async def read_window(
    log: Log,
    project: str,
    thread: str,
    *,
    last_messages: int | None = None,
    tokens_max: int | None = None,
) -> Window:
    """The window of the thread as its log stands now; without limits, the full one."""
    reader, below = Reader(Policy(last_messages, tokens_max)), 1 << 62
    limit = CHUNK_MIN
    while reader.wants_more():
        items = await log.read_items(project, thread, below=below, limit=limit)
        reader.take(items)
        if len(items) < limit:
            break
        below, limit = items[-1].seq, min(2 * limit, CHUNK_MAX)
        await asyncio.sleep(0)
    return reader.window()


class Turn:
    """Works on one run. `run` is its state as last stored."""

    def __init__(
        self,
        log: Log,
        provider: Provider,
        now: Callable[[], int],
        project: str,
        run: Run,
        live: Live,
    ) -> None:
        self._log, self._provider, self._now = log, provider, now
        self._project, self.run, self.live = project, run, live
        self._output = Output(run, live.tell, now)
        self._asking: asyncio.Task[Any] | None = None
        self._let_go = False

    def let_go(self) -> None:
        """Leave the model; what is being written at the moment is still written."""
        self._let_go = True
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    async def drive(self) -> None:
        """Whatever happens, the run is left terminal, paused, or to whoever moved it meanwhile."""
        try:
            await self._take()
        except NotFound:
            log.info("run %s: its thread was erased", self.run.key)
        except Exception:
            log.exception("run %s: how it ended could not be recorded", self.run.key)
        finally:
            self.live.end()

    async def _take(self) -> None:
        try:
            await self._move("in_progress")
            await self._answer()
        except asyncio.CancelledError:
            await self._stopped()
        except Moved as lost:
            await self._overtaken(lost.run)
        except NotFound:
            raise
        except Exception:
            log.exception("run %s failed", self.run.key)
            await self._fail("server_error", "The server had an error during this run.")

    async def _answer(self) -> None:
        run = self.run
        window = await read_window(self._log, self._project, run.thread, **limits_of(run))
        call = self._begin_call(window)
        try:
            finish = await self._ask(window)
        except ProviderError as error:
            call.attempts, call.ended_at = error.attempts, self._now()
            call.error = {"code": error.code, "message": error.message}
            await self._fail(error.code, error.message, call)
            return
        call.attempts, call.ended_at, call.usage = finish.attempts, self._now(), _usage(finish)
        usage = _sum(run.usage, call.usage)
        if finish.reason in ("length", "content_filter"):
            items = self._output.finish("incomplete")
            reason = finish.reason
            await self._move("incomplete", items, call, usage=usage, incomplete_reason=reason)
            return
        items = self._output.finish()
        waits = run.pauses and any(item.kind == "function_call" for item in items)
        await self._move("requires_action" if waits else "completed", items, call, usage=usage)

    async def _ask(self, window: Window) -> Finish:
        """The model call, from the first byte sent to the last delta taken."""
        if self._let_go:
            raise asyncio.CancelledError
        self._asking = asyncio.current_task()
        request = request_of(self.run, window.items)
        try:
            async with aclosing(self._provider.stream(request)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Finish):
                        return delta
                    self._output.take(delta)
        finally:
            self._asking = None
        raise ProviderError("server_error", "The model's answer broke off.")

    def _begin_call(self, window: Window) -> Call:
        now = self._now()
        return Call(
            key=new_key(now),
            run=self.run.key,
            model=self.run.model,
            provider=self._provider.name,
            started_at=now,
            ended_at=now,
            first_seq=window.first_seq,
            last_seq=window.last_seq,
            left_out=window.left_out,
        )

    async def _fail(self, code: str, message: str, call: Call | None = None) -> None:
        items = self._output.finish("incomplete")
        try:
            await self._move("failed", items, call, error={"code": code, "message": message})
        except Moved as lost:
            await self._overtaken(lost.run)

    async def _stopped(self) -> None:
        """The model was left: the run was cancelled, its thread is gone, or the server closes."""
        run = await self._log.get_run(self._project, self.run.thread, self.run.key)
        if run.status == "cancelling" or run.is_terminal:
            await self._overtaken(run)
        else:
            self.run = run
            await self._fail("server_error", "The server was stopped during this run.")

    async def _overtaken(self, run: Run) -> None:
        """Somebody else moved the run: finish a cancellation, accept anything else."""
        self.run = run
        self.live.tell(RunChanged(run))
        if run.status == "cancelling":
            await self._move("cancelled", self._output.finish("incomplete"))

    async def _move(
        self,
        status: str,
        items: Sequence[Item] = (),
        call: Call | None = None,
        **changes: Any,
    ) -> None:
        now, was = self._now(), self.run.status
        moved = move(self.run, status, now, **changes)
        self.run = await self._log.move_run(self._project, was, moved, items, now_ms=now, call=call)
        self.live.tell(RunChanged(self.run))


def limits_of(run: Run) -> dict[str, int | None]:
    """The window a run asked for: OpenAI's `truncation_strategy` and `max_prompt_tokens`."""
    truncation = run.settings.get("truncation_strategy", {})
    last_messages = truncation.get("last_messages") if truncation.get("type") != "auto" else None
    return {
        "last_messages": last_messages,
        "tokens_max": run.settings.get("max_prompt_tokens"),
    }


def request_of(run: Run, items: Sequence[Item]) -> ModelRequest:
    """What the model is asked, from what the run asked for."""
    settings = run.settings
    return ModelRequest(
        model=run.model,
        items=items,
        instructions=run.instructions,
        tools=run.tools,
        tool_choice=settings.get("tool_choice"),
        parallel_tool_calls=settings.get("parallel_tool_calls"),
        temperature=settings.get("temperature"),
        top_p=settings.get("top_p"),
        tokens_max=settings.get("max_output_tokens"),
        text_format=settings.get("text_format"),
        reasoning_effort=settings.get("reasoning", {}).get("effort"),
        settings=settings,
    )


def _usage(finish: Finish) -> dict[str, int] | None:
    if finish.tokens_in is None or finish.tokens_out is None:
        return None
    return {
        "input_tokens": finish.tokens_in,
        "cached_tokens": finish.tokens_cached,
        "output_tokens": finish.tokens_out,
        "reasoning_tokens": finish.tokens_reasoning,
    }


def _sum(before: dict[str, int] | None, usage: dict[str, int] | None) -> dict[str, int] | None:
    """Tokens of the run so far; a call whose model did not say adds none."""
    if before is None or usage is None:
        return usage or before
    return {name: before[name] + count for name, count in usage.items()}
