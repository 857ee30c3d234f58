"""Delivering: webhooks are told what happened, until they have heard it.

The outbox is in the database, so it outlives this process: whoever is there leases a webhook and
tells it what is due, oldest first. What happened in one thread is told one after the other; what
failed is tried again later, and what came after it does not wait.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from clew.core.errors import ClewError
from clew.core.ids import new_key
from clew.core.webhooks import (
    DEAD_KEPT_MS,
    Batch,
    Delivery,
    Outcome,
    Webhook,
    attempted,
    judged,
    payload,
    signed,
)
from clew.executor.posting import Poster
from clew.store.store import Store

LEASE_MS = 5_000
"""How long a webhook is left alone after whoever tells it was last heard of."""

BEATS_PER_LEASE = 4
POLL_S = 0.25
"""How often somebody looks for what is due."""

SWEEP_S = 60.0
BATCH_MAX = 64
TOLD_TOGETHER = 8
"""Threads of which one webhook is told at a time."""

WEBHOOKS_TOGETHER = 32
"""Webhooks told at a time by one process: those that hang hold up none of the others."""

BATCH_S = 10.0
"""How long a batch goes on beginning; what is left of it is due at once."""

STOP_S = 0.5

log = logging.getLogger("clew.deliveries")


class Deliverer:
    """Tells webhooks what is due, until it is closed. `now` is the clock, `chance` gives 0 to 1."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], int],
        *,
        poster: Poster | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._now, self._chance = store, now, chance
        self._poster = poster or Poster()
        self._woken = asyncio.Event()
        self._free = asyncio.Semaphore(WEBHOOKS_TOGETHER)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._start(_keep(self._claim_next, self._woken, POLL_S))
        self._start(_keep(self._sweep, asyncio.Event(), SWEEP_S))

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    async def close(self) -> None:
        """Stop; what is not told is left to whoever comes next."""
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=STOP_S)
        await self._poster.close()

    async def tell(self, webhook: Webhook, delivery: Delivery) -> Outcome:
        """Tell it once."""
        body, now = payload(delivery), self._now()
        headers = signed(webhook, delivery.event, body, now)
        return await self._poster.post(webhook.url, body, headers, now)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> bool:
        return await self._store.sweep_deliveries(self._now() - DEAD_KEPT_MS)

    async def _claim_next(self) -> bool:
        """Begin with one webhook; whether something was due to any."""
        await self._free.acquire()
        batch = None
        try:
            now = self._now()
            args = new_key(now), now, now + LEASE_MS, BATCH_MAX
            batch = await self._store.claim_deliveries(*args)
        finally:
            if batch is None:
                self._free.release()
        if batch is None:
            return False
        self._start(self._work(batch))
        return True

    async def _work(self, batch: Batch) -> None:
        try:
            async with self._held(batch):
                await self._deliver(batch)
        except ClewError as error:
            log.warning("what was told to %s is told again: %s", batch.webhook.url, error.message)
        except Exception:
            log.exception("delivering to %s failed; it will be tried again", batch.webhook.url)
        finally:
            self._free.release()
            self.wake()

    @asynccontextmanager
    async def _held(self, batch: Batch) -> AsyncIterator[None]:
        """Others leave the webhook alone meanwhile."""
        beating = asyncio.create_task(self._beat(batch))
        try:
            yield
        finally:
            beating.cancel()

    async def _beat(self, batch: Batch) -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 1000 / BEATS_PER_LEASE)
            with suppress(ClewError):
                await self._store.hold_deliveries(batch, self._now() + LEASE_MS)

    async def _deliver(self, batch: Batch) -> None:
        """Tell what there is, and store how it went even when this is stopped on the way."""
        results: list[tuple[Delivery, Outcome]] = []
        try:
            await self._tell_all(batch, results)
        finally:
            await self._settle(batch, results)

    async def _tell_all(self, batch: Batch, results: list[tuple[Delivery, Outcome]]) -> None:
        """What happened in a thread one after the other, several threads at a time."""
        threads: dict[str, list[Delivery]] = {}
        for delivery in batch.deliveries:
            threads.setdefault(delivery.thread, []).append(delivery)
        waiting, ends = iter(threads.values()), asyncio.get_running_loop().time() + BATCH_S

        async def lane() -> None:
            for deliveries in waiting:
                for delivery in deliveries:
                    if asyncio.get_running_loop().time() >= ends or _has_gone(results):
                        return
                    results.append((delivery, await self.tell(batch.webhook, delivery)))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(TOLD_TOGETHER, len(threads))):
                group.create_task(lane())

    async def _settle(self, batch: Batch, results: list[tuple[Delivery, Outcome]]) -> None:
        now = self._now()
        told = [delivery for delivery, outcome in results if outcome.error is None]
        failed = [
            attempted(delivery, outcome, now, self._chance())
            for delivery, outcome in results
            if outcome.error is not None
        ]
        fate = judged(batch.webhook, [outcome for _, outcome in results], now)
        await self._store.settle_deliveries(batch, told, failed, fate)
        for delivery in failed:
            if delivery.dead_at is not None:
                log.warning("evt_%s for %s was given up", delivery.event, batch.webhook.url)
        if fate.disabled_at is not None:
            log.warning("webhook %s is disabled: %s", batch.webhook.url, fate.disabled_reason)


def _has_gone(results: list[tuple[Delivery, Outcome]]) -> bool:
    return any(outcome.is_gone for _, outcome in results)


async def _keep(step: Callable[[], Awaitable[bool]], woken: asyncio.Event, poll_s: float) -> None:
    """Take steps while there are some, then wait until woken, or for a while."""
    while True:
        woken.clear()
        try:
            more = await step()
        except ClewError as error:
            log.warning("delivering waits: %s", error.message)
            more = False
        except Exception:
            log.exception("delivering failed; it will be tried again")
            more = False
        if not more:
            with suppress(TimeoutError):
                async with asyncio.timeout(poll_s):
                    await woken.wait()
