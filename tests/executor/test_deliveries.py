"""The deliverer: what fails is tried again, by whoever is there, and holds up nobody else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from clew.core.webhooks import ATTEMPTS_MAX, DISABLED_AFTER_MS, Batch, Delivery, Webhook
from clew.executor import deliveries, posting
from clew.executor.deliveries import BATCH_MAX, LEASE_MS, Deliverer
from clew.store.store import Store
from clew.store.urls import open_store
from clew.testing.conformance.proof import new_project, stored_thread, users
from clew.testing.conformance.webhooks import dead_letters, stored_webhook

from ..server.receiver import Receiver, Reply, Told

HOUR_MS = 3_600_000


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


class Clock:
    """A clock that stands where a test puts it."""

    def __init__(self) -> None:
        self.at = time.time_ns() // 1_000_000
        self.is_running = False

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 if self.is_running else self.at


class Settled:
    """How a batch went."""

    def __init__(self, told: Sequence[Delivery], failed: Sequence[Delivery], webhook: Webhook):
        self.told, self.failed, self.webhook = list(told), list(failed), webhook


class Watched:
    """A store that says when deliveries were settled."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.settled: asyncio.Queue[Settled] = asyncio.Queue()

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._store, verb)

    async def settle_deliveries(self, batch: Batch, *how: Any) -> None:
        await self._store.settle_deliveries(batch, *how)
        self.settled.put_nowait(Settled(*how))


class Scene:
    """A project, a store and a clock; the deliverer tells until the scene ends."""

    def __init__(self, store: Any) -> None:
        self.store: Any = store
        self.project, self.clock = new_project(), Clock()
        self.deliverer = Deliverer(store, self.clock, chance=lambda: 0.5)

    async def webhook(self, receiver: Receiver, *types: str) -> Webhook:
        wanted = types or ("thread.created",)
        return await stored_webhook(self.store, self.project, *wanted, url=receiver.url)

    async def happen(self, *texts: str) -> str:
        """A thread is made, with messages; its key."""
        return (await stored_thread(self.store, self.project, *texts)).key

    async def settled(self) -> Settled:
        """How the next batch went."""
        how: Settled = await self.store.settled.get()
        return how

    def later(self, ms: int) -> None:
        self.clock.at += ms
        self.deliverer.wake()

    async def stands(self, webhook: Webhook) -> Webhook:
        found: Webhook = await self.store.get_webhook(self.project, webhook.key)
        return found

    async def due(self, ms_from_now: int = 0) -> Batch | None:
        at = self.clock() + ms_from_now
        found: Batch | None = await self.store.claim_deliveries("look", at, 0, 100)
        return found


@asynccontextmanager
async def scene(url: str) -> AsyncIterator[Scene]:
    store = await open_store(url)
    here = Scene(Watched(store))
    here.deliverer.start()
    try:
        yield here
    finally:
        await here.deliverer.close()
        await store.close()


def play(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 60)

    asyncio.run(bounded())


async def told(receiver: Receiver) -> Told:
    return await asyncio.to_thread(receiver.next)


def test_a_failure_is_tried_again(url: str):
    """After a pause that grows, with the same id and body, signed anew; then it is gone."""

    async def test() -> None:
        with Receiver() as receiver:
            receiver.reply = Reply(500)
            async with scene(url) as here:
                webhook = await here.webhook(receiver)
                await here.happen()
                first = await told(receiver)
                for pause_ms in (5_000, 20_000, 80_000):
                    [failed] = (await here.settled()).failed
                    assert failed.due_at == here.clock() + pause_ms
                    assert await here.due(pause_ms - 1) is None
                    here.later(pause_ms)
                    again = await told(receiver)
                    assert (again.body, again.headers["webhook-id"]) == (
                        first.body,
                        first.headers["webhook-id"],
                    )
                    stamps = [int(one.headers["webhook-timestamp"]) for one in (first, again)]
                    assert stamps[1] - stamps[0] == pause_ms // 1000
                    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
                    first = again
                assert (await here.settled()).webhook.failing_since is not None
                receiver.reply = Reply()
                here.later(HOUR_MS)
                await told(receiver)
                assert len((await here.settled()).told) == 1
                assert (await here.stands(webhook)).failing_since is None
                assert await here.due(10**10) is None

    play(test)


def test_what_is_never_heard_is_given_up(url: str):
    """After eleven attempts over some 26 hours; then it is a dead letter."""

    async def test() -> None:
        with Receiver() as receiver:
            receiver.reply = Reply(500)
            async with scene(url) as here:
                webhook = await here.webhook(receiver)
                await here.happen()
                begun, count = here.clock(), 0
                while True:
                    [failed] = (await here.settled()).failed
                    count += 1
                    if failed.dead_at is not None:
                        break
                    here.later(failed.due_at - here.clock())
                assert count == receiver.told.qsize() == ATTEMPTS_MAX
                assert 24 * HOUR_MS < here.clock() - begun < 28 * HOUR_MS
                [dead] = await dead_letters(here.store, here.project, webhook.key)
                assert (dead.attempts, dead.error) == (ATTEMPTS_MAX, "HTTP 500")

    play(test)


@pytest.mark.parametrize(
    ("status", "said", "pause_ms"),
    [
        (429, "120", 120_000),
        (503, "1", 5_000),
        (503, "9" * 12, 24 * HOUR_MS),
        (503, "soon", 5_000),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 5_000),
        (500, "120", 5_000),
    ],
)
def test_who_says_when_is_asked_then(url: str, status: int, said: str, pause_ms: int):
    """`Retry-After` puts an attempt off, by a day at most, and never makes it come sooner."""

    async def test() -> None:
        with Receiver() as receiver:
            receiver.reply = Reply(status, {"retry-after": said})
            async with scene(url) as here:
                await here.webhook(receiver)
                await here.happen()
                [failed] = (await here.settled()).failed
                assert failed.due_at == here.clock() + pause_ms

    play(test)


def test_a_webhook_that_always_fails_is_disabled(url: str):
    """When every attempt failed for five days; one that is heard in between begins anew."""

    async def test() -> None:
        with Receiver() as receiver:
            receiver.reply = Reply(500)
            async with scene(url) as here:
                webhook = await here.webhook(receiver)
                await here.happen()
                since = (await here.settled()).webhook.failing_since
                assert since == here.clock()
                here.later(DISABLED_AFTER_MS - 1)
                assert (await here.settled()).webhook.disabled_at is None
                here.later(HOUR_MS)
                assert (await here.settled()).webhook.disabled_at == here.clock()
                stands = await here.stands(webhook)
                assert stands.disabled_reason == "every attempt failed for 5 days"
                await here.happen()
                assert await here.due(10**10) is None

    play(test)


def test_one_that_hangs_holds_up_nobody(url: str, monkeypatch: pytest.MonkeyPatch):
    """Others are told meanwhile, and it is given up on in time, to be tried again."""
    monkeypatch.setattr(posting, "TIMEOUT_S", 2.0)

    async def test() -> None:
        with Receiver() as hanging, Receiver() as receiver:
            hanging.reply = Reply(hangs=True)
            async with scene(url) as here:
                await here.webhook(hanging)
                await here.webhook(receiver)
                for _ in range(deliveries.TOLD_TOGETHER * 3):
                    await here.happen()
                for _ in range(deliveries.TOLD_TOGETHER * 3):
                    await told(receiver)
                assert here.store.settled.empty() or not here.store.settled.get_nowait().failed
                how = await here.settled()
                while not how.failed:
                    how = await here.settled()
                assert {each.error for each in how.failed} == {"no answer within 2 seconds"}

    play(test)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(302, {"location": "http://127.0.0.1:9/"}), "HTTP 302"),
        (Reply(404), "HTTP 404"),
        (Reply(200, {}, b"x" * 3_000_000), None),
        (Reply(500, {"content-encoding": "gzip"}, b"no gzip"), "HTTP 500"),
    ],
    ids=["redirect", "missing", "long", "garbled"],
)
def test_only_a_2xx_is_heard(url: str, reply: Reply, error: str | None):
    """Redirects are not followed; what else is in the answer does not count, nor is it all read."""

    async def test() -> None:
        with Receiver() as receiver:
            receiver.reply = reply
            async with scene(url) as here:
                await here.webhook(receiver)
                await here.happen()
                how = await here.settled()
                assert [each.error for each in how.failed] == ([error] if error else [])
                assert len(how.told) == (error is None)

    play(test)


def test_what_happened_in_a_thread_is_told_in_order(url: str):
    """One after the other, whatever happens in others meanwhile; what failed holds up nothing."""

    async def test() -> None:
        refused: list[int] = []

        def reply(told: Told) -> Reply:
            if told.event["data"].get("seq") == 3 and not refused:
                refused.append(3)
                return Reply(500)
            return Reply()

        with Receiver() as receiver:
            receiver.reply = reply
            async with scene(url) as here:
                await here.webhook(receiver, "thread.message.created")
                threads = [await here.happen() for _ in range(4)]
                appends = [
                    here.store.append_items(here.project, key, users("a", "b"), here.clock())
                    for _ in range(20)
                    for key in threads
                ]
                await asyncio.gather(*appends)
                heard: dict[str, list[int]] = {}
                for _ in range(4 * 40):
                    data = (await told(receiver)).event["data"]
                    heard.setdefault(data["thread_id"], []).append(data["seq"])
                assert list(heard.values()) == [list(range(1, 41))] * 4
                assert refused

    play(test)


def test_processes_share_the_work(url: str):
    """Several deliverers on one database tell each event once."""

    async def test() -> None:
        with Receiver() as receiver:
            async with AsyncExitStack() as stack:
                scenes = [await stack.enter_async_context(scene(url)) for _ in range(3)]
                for one in scenes:
                    one.clock.is_running = True
                here = scenes[0]
                await here.webhook(receiver)
                await here.webhook(receiver)
                for _ in range(BATCH_MAX + 10):
                    await here.happen()
                ids = Counter([(await told(receiver)).event["id"] for _ in range(148)])
                assert set(ids.values()) == {2}
                assert len(ids) == BATCH_MAX + 10
                left = 148
                while left:
                    found = [one.store.settled for one in scenes if not one.store.settled.empty()]
                    left -= sum(len(queue.get_nowait().told) for queue in found)
                    await asyncio.sleep(0)
                assert receiver.told.empty()

    play(test)


def test_a_lease_is_held_while_telling(url: str, monkeypatch: pytest.MonkeyPatch):
    """However long it takes; who takes over when it has ended tells it again."""
    monkeypatch.setattr(deliveries, "LEASE_MS", 200)
    held = asyncio.Event()

    async def test() -> None:
        with Receiver() as receiver:
            receiver.reply = Reply(hangs=True)
            async with scene(url) as here:
                hold = here.store.hold_deliveries

                async def noticed(batch: Batch, until_ms: int) -> bool:
                    kept: bool = await hold(batch, until_ms)
                    held.set()
                    return kept

                here.store.hold_deliveries = noticed
                await here.webhook(receiver)
                await here.happen()
                first = await told(receiver)
                await held.wait()
                assert await here.due(199) is None
                here.store.hold_deliveries = _no_hold
                receiver.reply = Reply()
                here.later(LEASE_MS)
                assert (await told(receiver)).event["id"] == first.event["id"]

    async def _no_hold(batch: Batch, until_ms: int) -> bool:
        return False

    play(test)


def test_who_stops_keeps_what_was_told(url: str):
    """What was told before is not told again by the next; what hung is."""

    async def test() -> None:
        with Receiver() as receiver:
            receiver.reply = lambda told: Reply(hangs=told.event["data"]["seq"] == 2)
            async with scene(url) as here:
                await here.webhook(receiver, "thread.message.created")
                await here.happen("a", "b", "c")
                assert [(await told(receiver)).event["data"]["seq"] for _ in range(2)] == [1, 2]
                await here.deliverer.close()
                batch = await here.due()
                assert batch is not None
                assert [each.data["seq"] for each in batch.deliveries] == [2, 3]
                assert [each.attempts for each in batch.deliveries] == [0, 0]

    play(test)


def test_an_unknown_certificate_is_not_told(url: str):
    """TLS is verified: whoever answers must be who the URL names."""

    async def test() -> None:
        with Receiver(tls=True) as receiver:
            async with scene(url) as here:
                await here.webhook(receiver)
                await here.happen()
                [failed] = (await here.settled()).failed
                assert failed.error is not None
                assert "CERTIFICATE_VERIFY_FAILED" in failed.error
                assert receiver.told.empty()

    play(test)


def test_a_name_that_leads_nowhere_is_tried_again(url: str):
    """So is one that leads to where Clew does not connect to."""

    async def test() -> None:
        with Receiver() as receiver:
            async with scene(url) as here:
                webhook = await here.webhook(receiver)
                for target, said in (
                    ("http://nowhere.invalid/", "leads nowhere"),
                    ("http://2852039166/", "does not connect to 169.254.169.254"),
                    (f"http://127.0.0.1:{_closed_port()}/", "cannot connect"),
                ):
                    changes = {"url": target}
                    now = here.clock()
                    await here.store.update_webhook(here.project, webhook.key, changes, now)
                    await here.happen()
                    [failed] = (await here.settled()).failed
                    assert said in str(failed.error)

    play(test)


def _closed_port() -> int:
    with Receiver() as receiver:
        return int(receiver.port)
