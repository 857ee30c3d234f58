"""Asking the model: what it sees, in what is left of the budget, and one recorded call.

`ask` is the one place where a model call begins and ends. It is recorded before the first byte is
sent, and as it ended with the next thing that is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from clew.context import compactions
from clew.context.budgets import Budget
from clew.context.tokens import Counter
from clew.context.windows import Window
from clew.core.compactions import compaction
from clew.core.ids import new_item_id, new_key
from clew.core.items import Item, new_item
from clew.core.runs import Call, Run
from clew.executor.attached import Attached
from clew.executor.compacting import Summary, summary_request
from clew.executor.ledger import Ledger
from clew.executor.output import Output
from clew.executor.toolbox import Toolbox
from clew.executor.vocabularies import counter_for
from clew.executor.windows import (
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

SHRINKS_MAX = 6
"""How often a window that was too large is asked again, each time with a quarter less: down to
some 18 %, which is how far a vocabulary of another maker may be off with room to spare."""

TOKENS_MAX = 2**40
"""More tokens than any call has; sums of so many fit wherever they are kept."""

log = logging.getLogger("clew.executor")


class Asking:
    """Asks the model of one run. `output` takes what it says; `waiting` is the task to be cancelled
    to leave the model, while it is asked."""

    def __init__(
        self, ledger: Ledger, provider: Provider, toolbox: Toolbox, attach: Attached | None
    ) -> None:
        self._ledger, self._provider, self._attach = ledger, provider, attach
        self._toolbox = toolbox
        self.output = self._new_output()
        self.waiting: asyncio.Task[object] | None = None
        self.let_go = False

    def _new_output(self) -> Output:
        ledger = self._ledger
        return Output(
            ledger.run,
            ledger.live.tell,
            ledger.now,
            ledger.number,
            self._toolbox.owns,
            self._toolbox.cites,
        )

    def take_output(self, status: str = "completed", reason: str | None = None) -> list[Item]:
        """Add what the model said since the last time to the log; with `status` "incomplete", as
        far as it came, and why no further."""
        items = self.output.finish(status, reason)
        self._ledger.add(*items)
        self.output = self._new_output()
        return items

    async def window(self, budget: Budget, tokens_max: int | None = None) -> Window:
        """What the model sees: all that the run lets it see, in what is left of the budget."""
        run, counter = self._ledger.run, None
        if budget.prompt is not None or tokens_max is not None:
            counter = await counter_for(run.model)
        if budget.prompt is not None and counter is not None:
            left = budget.prompt - around(counter, run)
            tokens_max = left if tokens_max is None else min(left, tokens_max)
        return await read_window(
            self._ledger.log,
            self._ledger.project,
            run.thread,
            last_messages=last_messages_of(run),
            tokens_max=tokens_max,
            foreign=self._provider.abilities.compacts,
            counter=counter,
        )

    async def asked(
        self, window: Window, budget: Budget, *, spent: bool = False, called: bool = False
    ) -> tuple[Finish, Window]:
        """Ask; what is too long for the model is asked again without its oldest items, if it may
        be. A model that has said something is never asked again. With `spent`, it may call no
        more of our tools; one that has `called` some need not call more.
        """
        await self._look_at_tools(window)
        shrinks = 0
        while True:
            request = request_of(self._ledger.run, await self._attached(window.items), budget)
            request = self._toolbox.equip(request, spent=spent, called=called)
            try:
                return await self.ask(window, request, self.output.take), window
            except ProviderError as error:
                may_shrink = self.output.is_empty and truncates(self._ledger.run)
                if error.code != "context_length_exceeded" or not may_shrink:
                    raise
                smaller = await self._smaller(window, budget) if shrinks < SHRINKS_MAX else None
                if smaller is None:
                    raise
            window, shrinks = smaller, shrinks + 1

    async def _look_at_tools(self, window: Window) -> None:
        """What our tools offer; what is to be known of that goes into the log first."""
        news, ledger = await self._toolbox.open(window.items), self._ledger
        if not news:
            return
        now = ledger.now()
        items = [new_item(new_item_id(n["type"], now), n, now, ledger.run.key) for n in news]
        await ledger.start()
        ledger.add(*items)
        await ledger.keep()
        for item in items:
            index = ledger.begin(item, data=item.data() | {"tools": []})
            for stage in ("in_progress", "completed"):
                ledger.progress(index, item, stage)
            ledger.end(index, item)

    async def _attached(self, items: Sequence[Item]) -> Sequence[Item]:
        return items if self._attach is None else await self._attach.put_in(items)

    async def _smaller(self, window: Window, budget: Budget) -> Window | None:
        """The window without its oldest quarter; None when nothing can be left out."""
        cost = await count(await counter_for(self._ledger.run.model), window.items)
        smaller = await self.window(budget, cost * 3 // 4)
        return smaller if smaller.items and not smaller.starved else None

    async def compacted(self, window: Window) -> Window:
        """The window, its older part summed up if the run wants that of one so long.

        A summary that fails is recorded, and the turn goes on with the whole window.
        """
        ledger, run = self._ledger, self._ledger.run
        threshold = compactions.threshold_of(run.settings)
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
            finish = await self.ask(window, summary_request(run, old, ledger.now()), summary.take)
            done = ItemDone(compaction(summary.text, through))
        except ProviderError as error:
            log.warning("run %s was not compacted: %s", run.key, error.message)
            await ledger.keep()
            return window
        self.output.take(done)
        ledger.run = replace(ledger.run, usage=sum_of(ledger.run.usage, told(finish)))
        self.take_output()
        await ledger.keep()
        return await self.window(Budget())

    async def ask(
        self, window: Window, request: ModelRequest, take: Callable[[Delta], None]
    ) -> Finish:
        """The model call, from the first byte sent to the last delta taken."""
        call = await self._begin_call(window)
        if self.let_go:
            raise asyncio.CancelledError
        self.waiting = asyncio.current_task()
        try:
            async with aclosing(self._provider.stream(request)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Finish):
                        call.attempts, call.usage = delta.attempts, told(delta)
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
            self.waiting = None
            call.ended_at = self._ledger.now()
            self._ledger.note(call)

    async def _begin_call(self, window: Window) -> Call:
        """Record the call before it is made."""
        ledger, now = self._ledger, self._ledger.now()
        call = Call(
            key=new_key(now),
            run=ledger.run.key,
            model=ledger.run.model,
            provider=self._provider.name,
            started_at=now,
            ended_at=None,
            first_seq=window.first_seq,
            last_seq=window.last_seq,
            left_out=window.left_out,
        )
        ledger.note(replace(call))
        if ledger.run.status == "queued":
            await ledger.move("in_progress")
        else:
            await ledger.keep()
        return call

    async def usage(
        self, finish: Finish, window: Window, items: Sequence[Item]
    ) -> dict[str, int] | None:
        """The run's usage so far. With a budget to keep, a model that counts nothing is counted."""
        usage, run = told(finish), self._ledger.run
        if usage is None and run.settings.keys() & {"max_prompt_tokens", "max_output_tokens"}:
            counter = await counter_for(run.model)
            usage = {
                "input_tokens": await count(counter, window.items) + around(counter, run),
                "cached_tokens": 0,
                "output_tokens": await count(counter, items),
                "reasoning_tokens": 0,
            }
        return sum_of(run.usage, usage)


def _plan(window: Window, run: Run, counter: Counter, threshold: int) -> int | None:
    kept_max = threshold // compactions.KEPT_SHARE
    return compactions.plan(window.items, run.first_seq, counter, kept_max)


def told(finish: Finish) -> dict[str, int] | None:
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


def sum_of(before: dict[str, int] | None, usage: dict[str, int] | None) -> dict[str, int] | None:
    """Tokens of the run so far; a call whose model did not say adds none."""
    if before is None or usage is None:
        return usage or before
    return {name: before[name] + count for name, count in usage.items()}
