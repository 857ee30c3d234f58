"""One turn: a queued run to its end, or to a pause for tool outputs.

`_ask` is the one place where a model call begins and ends; every call that ended is recorded with
the next thing that is stored. What the model said before it failed, was cancelled or ran out of
time is kept, as an incomplete message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from msgspec.structs import replace

from clew.context import compactions
from clew.context.budgets import Budget, budget_of
from clew.context.tokens import Counter
from clew.context.windows import Window
from clew.core.compactions import compaction
from clew.core.errors import NotFound
from clew.core.events import ItemBegan, RunChanged
from clew.core.ids import new_key
from clew.core.items import ASKS_CLIENT, Item
from clew.core.runs import Call, Run, move
from clew.executor.attached import Attached
from clew.executor.compacting import Summary, summary_request
from clew.executor.live import Live
from clew.executor.output import Output
from clew.executor.vocabularies import counter_for
from clew.executor.windows import (
    Readable,
    around,
    count,
    last_messages_of,
    read_window,
    request_of,
    truncates,
)
from clew.providers.provider import (
    Delta,
    Finish,
    ItemDone,
    ModelRequest,
    Provider,
    ProviderError,
)
from clew.store.runs import Moved

SHRINKS_MAX = 6
"""How often a window that was too large is asked again, each time with a quarter less: down to
some 18 %, which is how far a vocabulary of another maker may be off with room to spare."""

TOKENS_MAX = 2**40
"""More tokens than any call has; sums of so many fit wherever they are kept."""

TOO_LONG = (
    "Your input exceeds the context window of this model. Please adjust your input and try again."
)
"""OpenAI's words for `context_length_exceeded`."""

ENDED_BY = {
    "length": "max_tokens",
    "content_filter": "content_filter",
    "failed": "run_failed",
    "cancelled": "run_cancelled",
    "expired": "run_expired",
}
"""What ended the run -> why its last message is incomplete."""

log = logging.getLogger("clew.executor")


class Log(Readable, Protocol):
    """What a turn needs of a store."""

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
        attach: Attached | None = None,
    ) -> None:
        self._log, self._provider, self._now = log, provider, now
        self._project, self.run, self.live = project, run, live
        self._output = Output(run, live.tell, now)
        self._attach = attach
        self._call: Call | None = None
        self._asking: asyncio.Task[Any] | None = None
        self._let_go = False
        self._expired = self._steered = False

    def let_go(self) -> None:
        """Leave the model; what is being written at the moment is still written."""
        self._let_go = True
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def steer(self) -> None:
        """Leave the model, so that what it said is gone on from with more input.

        A turn that has called upon the client is not broken off: the call is to be answered first.
        """
        if not any(isinstance(e, ItemBegan) and e.kind in ASKS_CLIENT for e in self.live.events):
            self._steered = True
            self.let_go()

    async def drive(self) -> None:
        """Whatever happens, the run is left terminal, paused, or to whoever moved it meanwhile."""
        timer = self._set_timer()
        try:
            await self._take()
        except NotFound:
            log.info("run %s: its thread was erased", self.run.key)
        except Exception:
            log.exception("run %s: how it ended could not be recorded", self.run.key)
        finally:
            if timer is not None:
                timer.cancel()
            self.live.end()

    def _set_timer(self) -> asyncio.TimerHandle | None:
        """A run of the Threads face has a time to be over; OpenAI's responses have none."""
        if not (self.run.pauses and self.run.expires_at):
            return None
        left_s = (self.run.expires_at - self._now()) / 1000
        return asyncio.get_running_loop().call_later(max(left_s, 0), self._expire)

    def _expire(self) -> None:
        self._expired = True
        self.let_go()

    async def _take(self) -> None:
        try:
            await self._move("in_progress")
            await self._answer()
        except ProviderError as error:
            message = TOO_LONG if error.code == "context_length_exceeded" else error.message
            await self._fail(error.code, message)
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
        budget = budget_of(self.run.settings, self.run.usage)
        if budget.spent is not None:
            await self._move("incomplete", incomplete_reason=budget.spent)
            return
        window = await self._compacted(await self._window(budget))
        if window.starved:
            await self._move("incomplete", incomplete_reason="max_prompt_tokens")
            return
        finish, window = await self._asked(window, budget)
        if finish.reason in ("length", "content_filter"):
            items = self._output.finish("incomplete", ENDED_BY[finish.reason])
            usage = await self._usage(finish, window, items)
            await self._move("incomplete", items, usage=usage, incomplete_reason=finish.reason)
            return
        items = self._output.finish()
        usage = await self._usage(finish, window, items)
        waits = self.run.pauses and any(item.kind == "function_call" for item in items)
        await self._move("requires_action" if waits else "completed", items, usage=usage)

    async def _window(self, budget: Budget, tokens_max: int | None = None) -> Window:
        """What the model sees: all that the run lets it see, in what is left of the budget."""
        run, counter = self.run, None
        if budget.prompt is not None or tokens_max is not None:
            counter = await counter_for(run.model)
        if budget.prompt is not None and counter is not None:
            left = budget.prompt - around(counter, run)
            tokens_max = left if tokens_max is None else min(left, tokens_max)
        return await read_window(
            self._log,
            self._project,
            run.thread,
            last_messages=last_messages_of(run),
            tokens_max=tokens_max,
            foreign=self._provider.abilities.compacts,
            counter=counter,
        )

    async def _asked(self, window: Window, budget: Budget) -> tuple[Finish, Window]:
        """Ask; what is too long for the model is asked again without its oldest items, if it may
        be. A model that has said something is never asked again.
        """
        first, shrinks = self._output.next_index, 0
        while True:
            request = request_of(self.run, await self._attached(window.items), budget)
            try:
                return await self._ask(window, request, self._output.take), window
            except ProviderError as error:
                silent = self._output.next_index == first
                if error.code != "context_length_exceeded" or not (silent and truncates(self.run)):
                    raise
                smaller = await self._smaller(window, budget) if shrinks < SHRINKS_MAX else None
                if smaller is None:
                    raise
            await self._keep()
            window, shrinks = smaller, shrinks + 1

    async def _attached(self, items: Sequence[Item]) -> Sequence[Item]:
        return items if self._attach is None else await self._attach.put_in(items)

    async def _smaller(self, window: Window, budget: Budget) -> Window | None:
        """The window without its oldest quarter; None when nothing can be left out."""
        cost = await count(await counter_for(self.run.model), window.items)
        smaller = await self._window(budget, cost * 3 // 4)
        return smaller if smaller.items and not smaller.starved else None

    async def _compacted(self, window: Window) -> Window:
        """The window, its older part summed up if the run wants that of one so long.

        A summary that fails is recorded, and the turn goes on with the whole window.
        """
        run, threshold = self.run, compactions.threshold_of(self.run.settings)
        if threshold is None or "context_management" in self._provider.abilities.settings:
            return window
        counter = await counter_for(run.model)
        if await count(counter, window.items) + around(counter, run) <= threshold:
            return window
        through = _plan(window, run, counter, threshold)
        if through is None:
            return window
        old = [item for item in window.items if item.kind == "compaction" or item.seq <= through]
        summary = Summary()
        try:
            finish = await self._ask(window, summary_request(run, old, self._now()), summary.take)
            done = ItemDone(compaction(summary.text, through))
        except ProviderError as error:
            log.warning("run %s was not compacted: %s", run.key, error.message)
            await self._keep()
            return window
        output = Output(self.run, self.live.tell, self._now, self._output.next_index)
        output.take(done)
        self.run = replace(self.run, usage=_sum(self.run.usage, _told(finish)))
        await self._keep(output.finish())
        self._output = Output(self.run, self.live.tell, self._now, output.next_index)
        return await self._window(Budget())

    async def _ask(
        self, window: Window, request: ModelRequest, take: Callable[[Delta], None]
    ) -> Finish:
        """The model call, from the first byte sent to the last delta taken."""
        if self._let_go:
            raise asyncio.CancelledError
        self._asking = asyncio.current_task()
        call = self._begin_call(window)
        try:
            async with aclosing(self._provider.stream(request)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Finish):
                        call.attempts, call.usage = delta.attempts, _told(delta)
                        return delta
                    take(delta)
            raise ProviderError("server_error", "The model's answer broke off.")
        except ProviderError as error:
            call.attempts = error.attempts
            call.error = {"code": error.code, "message": error.message}
            raise
        except asyncio.CancelledError:
            call.error = {"code": "cancelled", "message": "The run let go of the model."}
            raise
        except Exception:
            call.error = {"code": "server_error", "message": "The server had an error."}
            raise
        finally:
            self._asking = None
            call.ended_at = self._now()
            self._call = call

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

    async def _usage(
        self, finish: Finish, window: Window, items: Sequence[Item]
    ) -> dict[str, int] | None:
        """The run's usage so far. With a budget to keep, a model that counts nothing is counted."""
        usage = _told(finish)
        if usage is None and self.run.settings.keys() & {"max_prompt_tokens", "max_output_tokens"}:
            counter = await counter_for(self.run.model)
            usage = {
                "input_tokens": await count(counter, window.items) + around(counter, self.run),
                "cached_tokens": 0,
                "output_tokens": await count(counter, items),
                "reasoning_tokens": 0,
            }
        return _sum(self.run.usage, usage)

    async def _fail(self, code: str, message: str) -> None:
        items = self._output.finish("incomplete", ENDED_BY["failed"])
        try:
            await self._move("failed", items, error={"code": code, "message": message})
        except Moved as lost:
            await self._overtaken(lost.run)

    async def _stopped(self) -> None:
        """The model was left: the run was cancelled or is over time, its thread is gone, or the
        server closes."""
        run = await self._log.get_run(self._project, self.run.thread, self.run.key)
        if run.status == "cancelling" or run.is_terminal:
            await self._overtaken(run)
        elif self._expired or self._steered:
            try:
                await self._cut_off()
            except Moved as lost:
                await self._overtaken(lost.run)
        else:
            await self._fail("server_error", "The server was stopped during this run.")

    async def _cut_off(self) -> None:
        if self._expired:
            await self._end("expired")
            return
        items = self._output.finish("incomplete", ENDED_BY["cancelled"])
        await self._move("incomplete", items, incomplete_reason="steered")

    async def _overtaken(self, run: Run) -> None:
        """Somebody else moved the run: finish a cancellation, accept anything else."""
        self.run = replace(run, usage=self.run.usage)
        self.live.tell(RunChanged(run))
        if run.status == "cancelling":
            await self._end("cancelled")

    async def _end(self, status: str) -> None:
        await self._move(status, self._output.finish("incomplete", ENDED_BY[status]))

    async def _move(self, status: str, items: Sequence[Item] = (), **changes: Any) -> None:
        now, was = self._now(), self.run.status
        await self._store(was, move(self.run, status, now, **changes), items, now)
        self.live.tell(RunChanged(self.run))

    async def _keep(self, items: Sequence[Item] = ()) -> None:
        """Store what there is so far: the run goes on."""
        await self._store(self.run.status, self.run, items, self._now())

    async def _store(self, was: str, run: Run, items: Sequence[Item], now: int) -> None:
        self.run = await self._log.move_run(
            self._project, was, run, items, now_ms=now, call=self._call
        )
        self._call = None


def _plan(window: Window, run: Run, counter: Counter, threshold: int) -> int | None:
    kept_max = threshold // compactions.KEPT_SHARE
    return compactions.plan(window.items, run.first_seq, counter, kept_max)


def _told(finish: Finish) -> dict[str, int] | None:
    """The usage a model tells of; numbers that no model can have counted tell nothing."""
    if finish.tokens_in is None or finish.tokens_out is None:
        return None
    usage = {
        "input_tokens": finish.tokens_in,
        "cached_tokens": finish.tokens_cached,
        "output_tokens": finish.tokens_out,
        "reasoning_tokens": finish.tokens_reasoning,
    }
    return usage if all(0 <= count <= TOKENS_MAX for count in usage.values()) else None


def _sum(before: dict[str, int] | None, usage: dict[str, int] | None) -> dict[str, int] | None:
    """Tokens of the run so far; a call whose model did not say adds none."""
    if before is None or usage is None:
        return usage or before
    return {name: before[name] + count for name, count in usage.items()}
