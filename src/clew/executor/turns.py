"""One turn: a queued run to its end, or to a pause for tool outputs, in steps that are each stored.

A step is a model call, and the calls of our own tools that it led to. Whatever is finished is on
disk before the next thing begins, so a turn can be taken over at any point (`taking_over.py`). What
the model said before it failed, was cancelled or ran out of time is kept, as an incomplete message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from clew.context.budgets import budget_of
from clew.context.windows import Window
from clew.core.errors import NotFound
from clew.core.events import ItemBegan, RunChanged
from clew.core.items import ASKS_CLIENT, Item
from clew.core.limits import Limits, Price
from clew.core.runs import Lease, Run
from clew.executor.asking import Asking
from clew.executor.attached import Attached
from clew.executor.hosting import Hosting
from clew.executor.ledger import Ledger, Log
from clew.executor.live import Live
from clew.executor.taking_over import take_over
from clew.executor.toolbox import Toolbox
from clew.providers.provider import Finish, Provider, ProviderError
from clew.store.runs import Moved, Steered
from clew.tools.tool import ToolError

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


class Turn:
    """Works on one run. `run` is its state as last stored; `taken` says that others began it."""

    def __init__(
        self,
        log: Log,
        provider: Provider,
        now: Callable[[], int],
        project: str,
        run: Run,
        live: Live,
        attach: Attached | None = None,
        *,
        toolbox: Toolbox | None = None,
        limits: Limits | None = None,
        price: Price | None = None,
        lease: Callable[[], Lease] | None = None,
        taken: bool = False,
    ) -> None:
        toolbox = toolbox or Toolbox({}, project, run, provider.abilities.tools)
        self._now, self.live, self._taken = now, live, taken
        self._ledger = Ledger(log, project, run, live, now, lease)
        self._asking = Asking(self._ledger, provider, toolbox, attach)
        self._hosting = Hosting(self._ledger, toolbox)
        self._limits, self._price = limits or Limits(), price
        self._is_over_time = self._is_steered = self._is_handed_over = False

    @property
    def run(self) -> Run:
        return self._ledger.run

    @property
    def is_stored(self) -> bool:
        return self._ledger.is_stored

    @property
    def project(self) -> str:
        return self._ledger.project

    def let_go(self) -> None:
        """Leave the model and the tools; what is being written at the moment is still written."""
        for part in (self._asking, self._hosting):
            part.let_go = True
            waiting, part.waiting = part.waiting, None
            if waiting is not None:
                waiting.cancel()

    def steer(self) -> None:
        """Leave the model, so that what it said is gone on from with more input.

        A turn that has called upon the client is not broken off: the call is to be answered first.
        """
        if not any(isinstance(e, ItemBegan) and e.kind in ASKS_CLIENT for e in self.live.events):
            self._is_steered = True
            self.let_go()

    def hand_over(self) -> None:
        """Leave everything as it is on disk, for whoever takes the run next; what is not stored
        fails."""
        self._is_handed_over = self.is_stored
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
        """A run has a time to be over: one of the Threads face by its nature, others by limit."""
        run, ends = self.run, []
        if run.pauses and run.expires_at:
            ends.append(run.expires_at)
        if self._limits.seconds is not None:
            ends.append((run.started_at or self._now()) + round(self._limits.seconds * 1000))
        if not ends:
            return None
        left_s = (min(ends) - self._now()) / 1000
        return asyncio.get_running_loop().call_later(max(left_s, 0), self._expire)

    def _expire(self) -> None:
        self._is_over_time = True
        self.let_go()

    async def _take(self) -> None:
        try:
            await self._answer()
        except ProviderError as error:
            message = TOO_LONG if error.code == "context_length_exceeded" else error.message
            await self._fail(error.code, message)
        except ToolError as error:
            await self._fail(error.code, error.message)
        except asyncio.CancelledError:
            await self._stopped()
        except Moved as lost:
            await self._overtaken(lost)
        except NotFound:
            raise
        except Exception:
            log.exception("run %s failed", self.run.key)
            await self._fail("server_error", "The server had an error during this run.")

    async def _answer(self) -> None:
        hosting = self._hosting
        if self._taken:
            await take_over(self._ledger, hosting)
        if self.run.status == "cancelling":
            await self._end("cancelled")
            return
        await hosting.approve()
        goes_on = True
        while goes_on:
            await hosting.act()
            goes_on = await (self._close() if hosting.waits_for_client else self._step())

    async def _step(self) -> bool:
        """One model call, and what it says stored; whether the turn goes on."""
        run, asking = self.run, self._asking
        budget = budget_of(run.settings, run.usage)
        exceeded = self._limits.exceeded(self._hosting.steps, run.usage, self._price)
        if exceeded is not None:
            await self._fail("rate_limit_exceeded", exceeded)
            return False
        if budget.spent is not None:
            return await self._cut_short(budget.spent)
        window = await asking.compacted(await asking.window(budget))
        if window.starved:
            return await self._cut_short("max_prompt_tokens")
        spent, called = self._hosting.is_spent, self._hosting.calls > 0
        finish, window = await asking.asked(window, budget, spent=spent, called=called)
        self._hosting.steps += 1
        asked, reason = asking.output.asked, finish.reason
        if reason in ("length", "content_filter"):
            items = asking.take_output("incomplete", ENDED_BY[reason])
            await self._count(finish, window, items)
            return await self._cut_short(reason)
        items = asking.take_output()
        await self._count(finish, window, items)
        hosted = self._hosting.ask(asked)
        self._hosting.heed([*items, *hosted])
        if not hosted:
            return await self._close()
        await self._ledger.keep(steps=True)
        return True

    async def _count(self, finish: Finish, window: Window, items: Sequence[Item]) -> None:
        usage = await self._asking.usage(finish, window, items)
        self._ledger.run = replace(self.run, usage=usage)

    async def _cut_short(self, reason: str) -> bool:
        """The run ends before the model is through."""
        await self._ledger.start()
        await self._ledger.move("incomplete", incomplete_reason=reason)
        return False

    async def _close(self) -> bool:
        """Nothing is left to be done but by the client; unless others have added to the turn."""
        waits = self.run.pauses and self._hosting.client_calls
        try:
            await self._ledger.move("requires_action" if waits else "completed")
        except Steered:
            await self._ledger.keep(steps=True)
            self._hosting.client_calls = self._hosting.approvals = False
            return True
        return False

    async def _fail(self, code: str, message: str) -> None:
        try:
            await self._end("failed", error={"code": code, "message": message})
        except Moved as lost:
            await self._overtaken(lost)

    async def _stopped(self) -> None:
        """The model was left: the run was cancelled or is over time, its thread is gone, or the
        server closes."""
        if self._is_handed_over:
            return
        run = await self._ledger.stands()
        if run.status == "cancelling" or run.is_terminal:
            await self._overtaken(Moved(run))
            return
        try:
            await self._cut_off()
        except Moved as lost:
            await self._overtaken(lost)

    async def _cut_off(self) -> None:
        if self._is_over_time and self.run.pauses:
            await self._end("expired")
        elif self._is_over_time:
            await self._fail("rate_limit_exceeded", self._limits.over_time)
        elif self._is_steered:
            self._leave("cancelled")
            await self._ledger.move("incomplete", incomplete_reason="steered")
        else:
            await self._fail("server_error", "The server was stopped during this run.")

    async def _overtaken(self, moved: Moved) -> None:
        """Somebody else moved the run: finish a cancellation, accept anything else. Who has lost
        the run says nothing more of it, also when it is over meanwhile."""
        if moved.lost or moved.run.attempts > self.run.attempts:
            return
        self._ledger.run = replace(moved.run, usage=self.run.usage)
        self.live.tell(RunChanged(moved.run))
        if moved.run.status == "cancelling":
            await self._end("cancelled")

    async def _end(self, status: str, **changes: Any) -> None:
        self._leave(status)
        await self._ledger.move(status, **changes)

    def _leave(self, status: str) -> None:
        """What the model said so far is kept; what is not done will not be."""
        self._asking.take_output("incomplete", ENDED_BY[status])
        self._hosting.drop()
