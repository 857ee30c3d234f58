"""Proofs about webhooks, and about the outbox of what they are to be told."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from clew.core.errors import NotFound
from clew.core.ids import new_key
from clew.core.paging import Page
from clew.core.webhooks import EVENT_TYPES, Batch, Delivery, Outcome, Webhook, attempted, judged
from clew.store.once import Once
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    end_run,
    new_project,
    new_receipt,
    new_run,
    new_thread,
    not_found,
    proof,
    prove_paging,
    refusal,
    replay,
    reply,
    stored_thread,
    tool_call,
    user,
    users,
)

LEASE_MS = 1_000


def new_webhook(*types: str, at: int = T0, **fields: Any) -> Webhook:
    given = {"name": "n", "url": "http://localhost/", "secret": "whsec_AAAA"} | fields
    return Webhook(new_key(at), at, at, event_types=list(types or EVENT_TYPES), **given)


async def stored_webhook(store: Store, project: str, *types: str, **fields: Any) -> Webhook:
    return await store.create_webhook(project, new_webhook(*types, **fields))


async def claimed(store: Store, project: str, at: int = T0) -> Batch | None:
    """What is due to a webhook of this project; those of other tests are put off."""
    while True:
        batch = await store.claim_deliveries(new_key(at), at, at + LEASE_MS, 1_000)
        if batch is None or batch.project == project:
            return batch


async def due(store: Store, project: str, at: int = T0) -> list[Delivery]:
    batch = await claimed(store, project, at)
    if batch is None:
        return []
    await store.hold_deliveries(batch, 0)
    return batch.deliveries


async def heard(store: Store, project: str) -> list[str]:
    """The types of what the only webhook is told, told now, so that it is not due again."""
    batch = await claimed(store, project)
    if batch is None:
        return []
    await store.settle_deliveries(batch, batch.deliveries, [], batch.webhook)
    return [each.type for each in batch.deliveries]


async def dead_letters(store: Store, project: str, webhook: str) -> list[Delivery]:
    found, _ = await store.list_dead_letters(project, webhook, Page(100, "asc"))
    return found


async def killed(store: Store, project: str, at: int = T0) -> Batch:
    """A batch of which every delivery is given up."""
    batch = await claimed(store, project, at)
    assert batch is not None
    dead = [
        msgspec.structs.replace(each, attempts=11, dead_at=at, error="HTTP 500")
        for each in batch.deliveries
    ]
    await store.settle_deliveries(batch, [], dead, batch.webhook)
    return batch


class Webhooks(Proof):
    @proof
    async def test_a_webhook_is_kept(self, store: Store, project: str) -> None:
        """It is read back as it was stored, and only in its project."""
        webhook = await stored_webhook(store, project, "thread.created", name="näme")
        assert await store.get_webhook(project, webhook.key) == webhook
        foreign = store.get_webhook(new_project(), webhook.key)
        assert await not_found(foreign) == ("webhook", webhook.key)

    @proof
    async def test_webhooks_are_listed(self, store: Store, project: str) -> None:
        """By creation, in pages of either direction."""
        keys = [(await stored_webhook(store, project, at=T0 + n)).key for n in range(5)]

        async def listed(page: Page) -> tuple[list[Webhook], bool]:
            return await store.list_webhooks(project, page)

        await prove_paging(listed, keys, lambda webhook: str(webhook.key))
        unknown = store.list_webhooks(project, Page(after="none"))
        assert await not_found(unknown) == ("webhook", "none")

    @proof
    async def test_a_webhook_is_changed(self, store: Store, project: str) -> None:
        """What is named is replaced; a change that changes nothing is none."""
        webhook = await stored_webhook(store, project, "thread.created")
        changes = {"name": "b", "event_types": ["thread.deleted"]}
        changed = await store.update_webhook(project, webhook.key, changes, T0 + 1)
        assert changed == msgspec.structs.replace(webhook, **changes, updated_at=T0 + 1)
        assert await store.update_webhook(project, webhook.key, changes, T0 + 2) == changed
        await stored_thread(store, project)
        assert await due(store, project) == []
        foreign = store.update_webhook(new_project(), webhook.key, changes, T0)
        assert await not_found(foreign) == ("webhook", webhook.key)

    @proof
    async def test_a_secret_is_rotated(self, store: Store, project: str) -> None:
        """The old one is kept for as long as was asked for, or not at all."""
        webhook = await stored_webhook(store, project)
        args = project, webhook.key, "whsec_BBBB"
        rotated = await store.rotate_secret(*args, T0 + 9, T0 + 1)
        told = rotated.secret, rotated.old_secret, rotated.old_secret_until
        assert told == ("whsec_BBBB", "whsec_AAAA", T0 + 9)
        rotated = await store.rotate_secret(*args, 0, T0 + 2)
        assert (rotated.old_secret, rotated.updated_at) == (None, T0 + 2)
        assert await store.get_webhook(project, webhook.key) == rotated

    @proof
    async def test_a_webhook_is_made_once(self, store: Store, project: str) -> None:
        """A retry gets the first answer, and there is one webhook."""
        once = Once("key", "print", T0, lambda made: made.key.encode())
        webhook = await store.create_webhook(project, new_webhook(), once=once)
        again = store.create_webhook(project, new_webhook(), once=once)
        assert await replay(again) == webhook.key.encode()
        assert len((await store.list_webhooks(project, Page()))[0]) == 1

    @proof
    async def test_a_deleted_webhook_is_gone(self, store: Store, project: str) -> None:
        """It is told nothing more, and what it was to be told is swept."""
        webhook = await stored_webhook(store, project)
        await stored_thread(store, project)
        await store.delete_webhook(project, webhook.key)
        for act in (
            store.get_webhook(project, webhook.key),
            store.delete_webhook(project, webhook.key),
            store.list_dead_letters(project, webhook.key, Page()),
            store.revive_dead_letters(project, webhook.key, T0),
        ):
            assert await not_found(act) == ("webhook", webhook.key)
        assert await due(store, project) == []
        while await store.sweep_deliveries(0):
            pass
        await store.create_webhook(project, webhook)  # nothing of it is in the way
        assert await due(store, project) == []

    @proof
    async def test_a_disabled_webhook_is_told_nothing(self, store: Store, project: str) -> None:
        """What happens meanwhile it is never told; what was due before, when it is enabled."""
        webhook = await stored_webhook(store, project)
        before = await stored_thread(store, project)
        await store.update_webhook(project, webhook.key, {"enabled": False}, T0)
        await stored_thread(store, project)
        assert await due(store, project) == []
        enabled = await store.update_webhook(project, webhook.key, {"enabled": True}, T0)
        assert enabled.disabled_at is None
        assert [each.thread for each in await due(store, project)] == [before.key]


class Outbox(Proof):
    @proof
    async def test_threads_tell(self, store: Store, project: str) -> None:
        """Made, forked, changed and erased; each names the thread it is about."""
        await stored_webhook(store, project)
        thread = await stored_thread(store, project)
        fork = await store.fork_thread(project, thread.key, new_thread())
        await store.update_thread(project, thread.key, T0, metadata={"a": "b"})
        told = [(each.type, each.data["id"], each.thread) for each in await due(store, project)]
        assert told == [
            ("thread.created", f"thread_{thread.key}", thread.key),
            ("thread.created", f"thread_{fork.key}", fork.key),
            ("thread.updated", f"thread_{thread.key}", thread.key),
        ]

    @proof
    async def test_messages_tell(self, store: Store, project: str) -> None:
        """Each message of whatever wrote it, with its place; other items do not."""
        await stored_webhook(store, project)
        thread = await stored_thread(store, project, "first")
        items = [user("a"), tool_call("f"), user("b")]
        await store.append_items(project, thread.key, items, T0)
        run = await store.create_run(project, new_run(thread.key), users("c"))
        said = reply("d", run.key)
        await store.move_run(project, "queued", run, [said], now_ms=T0)
        told = [each for each in await due(store, project) if each.type == "thread.message.created"]
        assert [each.data["seq"] for each in told] == [1, 2, 4, 5, 6]
        assert told[1].data == {"id": items[0].id, "thread_id": f"thread_{thread.key}", "seq": 2}
        assert told[4].data["run_id"] == f"run_{run.key}"

    @proof
    async def test_appends_at_the_same_time_tell(self, store: Store, project: str) -> None:
        """Every message once, each thread's in the order of its log."""
        await stored_webhook(store, project, "thread.message.created")
        threads = [await stored_thread(store, project) for _ in range(5)]
        await asyncio.gather(
            *(
                store.append_items(project, thread.key, users(f"{n}", "more"), T0)
                for n in range(8)
                for thread in threads
            )
        )
        told = await due(store, project)
        assert len({each.event for each in told}) == len(told) == 80
        for thread in threads:
            seqs = [each.data["seq"] for each in told if each.thread == thread.key]
            assert seqs == list(range(1, 17))

    @proof
    async def test_changed_messages_tell(self, store: Store, project: str) -> None:
        """Changed and erased, by the id of the message."""
        thread, item = await stored_thread(store, project), user("a")
        await store.append_items(project, thread.key, [item], T0)
        await stored_webhook(store, project)
        await store.update_item(project, thread.key, item.id, {"a": "b"}, T0)
        await store.erase_item(project, thread.key, item.id, T0)
        told = [(each.type, each.data["id"]) for each in await due(store, project)]
        assert told == [
            ("thread.message.updated", item.id),
            ("thread.message.deleted", item.id),
        ]

    @proof
    async def test_runs_tell(self, store: Store, project: str) -> None:
        """That they were made, and each status they come into."""
        await stored_webhook(store, project)
        thread = new_thread()
        run = await store.create_run(project, new_run(thread.key), thread=thread)
        begun = msgspec.structs.replace(run, status="in_progress")
        await store.move_run(project, "queued", begun, now_ms=T0)
        await end_run(store, project, begun)
        told = await due(store, project)
        assert [each.type for each in told] == [
            "thread.created",
            "thread.run.created",
            "thread.run.queued",
            "thread.run.in_progress",
            "thread.run.completed",
        ]
        assert told[-1].data == {"id": f"run_{run.key}", "thread_id": f"thread_{thread.key}"}

    @proof
    async def test_responses_tell(self, store: Store, project: str) -> None:
        """A run of the Responses face tells by its name there how it ended, and by no other id."""
        await stored_webhook(store, project, "response.completed", "response.failed")
        for status in ("completed", "expired", "cancelled"):
            thread = await stored_thread(store, project)
            run = await store.create_run(project, new_run(thread.key, pauses=False))
            await end_run(store, project, run, status)
        thread = await stored_thread(store, project)
        await end_run(store, project, await store.create_run(project, new_run(thread.key)))
        told = await due(store, project)
        assert [each.type for each in told] == ["response.completed", "response.failed"]
        assert all(list(each.data) == ["id"] for each in told)
        assert told[0].data["id"].startswith("resp_")

    @proof
    async def test_what_did_not_happen_is_not_told(self, store: Store, project: str) -> None:
        """A refused change tells nothing, and a retry tells nothing again."""
        await stored_webhook(store, project)
        thread = await stored_thread(store, project)
        once = Once("key", "print", T0, lambda _: b"{}")
        await store.append_items(project, thread.key, users("a"), T0, once=once)
        await heard(store, project)
        await replay(store.append_items(project, thread.key, users("a"), T0, once=once))
        run = await store.create_run(project, new_run(thread.key))
        assert await heard(store, project) == ["thread.run.created", "thread.run.queued"]
        await refusal(store.append_items(project, thread.key, users("b"), T0))
        await refusal(store.create_run(project, new_run(thread.key)))
        await refusal(store.update_thread(project, thread.key, T0, metadata={}, if_revision=99))
        await end_run(store, project, run)
        assert await heard(store, project) == ["thread.run.completed"]

    @proof
    async def test_a_webhook_is_told_what_it_wants(self, store: Store, project: str) -> None:
        """Events of its types, in its project; two webhooks are told the same event."""
        first = await stored_webhook(store, project, "thread.created", "thread.message.created")
        second = await stored_webhook(store, project, "thread.created")
        await stored_webhook(store, new_project(), "thread.created")
        await stored_thread(store, project, "hi")
        batches = [await claimed(store, project) for _ in range(2)]
        told = {each.webhook.key: each.deliveries for each in batches if each is not None}
        assert [each.type for each in told[first.key]] == first.event_types
        assert [each.type for each in told[second.key]] == ["thread.created"]
        assert told[first.key][0].event == told[second.key][0].event

    @proof
    async def test_an_erased_threads_events_are_told(self, store: Store, project: str) -> None:
        """In their order, and that it was erased; what was given up of it is gone."""
        webhook = await stored_webhook(store, project)
        thread = await stored_thread(store, project, "secret")
        await killed(store, project)
        await store.append_items(project, thread.key, users("secret"), T0)
        await store.erase_thread(project, thread.key, new_receipt(thread.key))
        assert await dead_letters(store, project, webhook.key) == []
        told = await due(store, project)
        assert [each.type for each in told] == ["thread.message.created", "thread.deleted"]
        assert told[1].data == {"id": f"thread_{thread.key}"}
        assert b"secret" not in msgspec.json.encode(told)

    @proof
    async def test_nothing_that_people_wrote_is_told(self, store: Store, project: str) -> None:
        """Ids and types, no texts, metadata, names or instructions."""
        await stored_webhook(store, project)
        thread = new_thread(metadata={"secret": "secret"})
        await store.create_thread(project, thread, users("secret"))
        run = new_run(thread.key, instructions="secret", metadata={"secret": "secret"})
        await end_run(store, project, await store.create_run(project, run, users("secret")))
        await store.update_thread(project, thread.key, T0, metadata={"a": "secret"})
        told = await due(store, project)
        assert len(told) == 7
        assert b"secret" not in msgspec.json.encode(told)


class Deliveries(Proof):
    @proof
    async def test_a_leased_webhook_is_left_alone(self, store: Store, project: str) -> None:
        """Until the lease ends, or whoever has it lets go; who lost it cannot hold it."""
        await stored_webhook(store, project, "thread.created")
        await stored_thread(store, project)
        batch = await claimed(store, project)
        assert batch is not None
        assert await claimed(store, project) is None
        assert await store.hold_deliveries(batch, T0 + 5_000)
        assert await claimed(store, project, T0 + LEASE_MS) is None
        second = await claimed(store, project, T0 + 5_000)
        assert second is not None
        assert second.deliveries == batch.deliveries
        assert not await store.hold_deliveries(batch, T0 + 9_000)

    @proof
    async def test_one_of_many_has_a_webhook(self, store: Store, project: str) -> None:
        """However many ask at the same time."""
        await stored_webhook(store, project, "thread.created")
        await stored_thread(store, project)
        asked = [store.claim_deliveries(new_key(T0), T0, T0 + LEASE_MS, 10) for _ in range(8)]
        got = [batch for batch in await asyncio.gather(*asked) if batch is not None]
        assert sum(batch.project == project for batch in got) == 1

    @proof
    async def test_what_was_told_is_gone(self, store: Store, project: str) -> None:
        """What failed is due again when its time comes, and the webhook is free at once."""
        await stored_webhook(store, project, "thread.created")
        for _ in range(3):
            await stored_thread(store, project)
        batch = await claimed(store, project)
        assert batch is not None
        told, failed, left = batch.deliveries
        later = attempted(failed, Outcome("HTTP 500", 500), T0, 0.5)
        fate = judged(batch.webhook, [Outcome("HTTP 500", 500)], T0)
        await store.settle_deliveries(batch, [told], [later], fate)
        assert await due(store, project) == [left]
        assert await due(store, project, later.due_at) == [left, later]
        assert later.due_at > T0
        stands = await store.get_webhook(project, batch.webhook.key)
        assert stands.failing_since == T0

    @proof
    async def test_a_limit_is_kept(self, store: Store, project: str) -> None:
        """The oldest come first."""
        await stored_webhook(store, project, "thread.created")
        made = [(await stored_thread(store, project)).key for _ in range(3)]
        while True:
            batch = await store.claim_deliveries(new_key(T0), T0, T0 + LEASE_MS, 2)
            assert batch is not None
            if batch.project == project:
                break
        assert [each.thread for each in batch.deliveries] == made[:2]

    @proof
    async def test_what_was_given_up_can_be_sent_again(self, store: Store, project: str) -> None:
        """It is listed until it is revived, one or all of them."""
        webhook = await stored_webhook(store, project, "thread.created")
        for _ in range(3):
            await stored_thread(store, project)
        batch = await killed(store, project)
        assert await due(store, project, T0 + 10**12) == []
        dead = await dead_letters(store, project, webhook.key)
        assert {each.event for each in dead} == {each.event for each in batch.deliveries}
        assert (dead[0].attempts, dead[0].error, dead[0].dead_at) == (11, "HTTP 500", T0)
        one = dead[1]
        assert await store.revive_dead_letters(project, webhook.key, T0, event=one.event) == 1
        [alive] = await due(store, project)
        assert (alive.event, alive.attempts, alive.due_at) == (one.event, 0, T0)
        again = store.revive_dead_letters(project, webhook.key, T0, event=one.event)
        assert await not_found(again) == ("dead_letter", one.event)
        assert await store.revive_dead_letters(project, webhook.key, T0) == 2
        assert await dead_letters(store, project, webhook.key) == []

    @proof
    async def test_dead_letters_are_listed(self, store: Store, project: str) -> None:
        """By when they happened, in pages of either direction."""
        webhook = await stored_webhook(store, project, "thread.created")
        for n in range(5):
            await store.create_thread(project, new_thread(T0 + n))
        await killed(store, project, T0 + 9)
        events = [each.event for each in await dead_letters(store, project, webhook.key)]

        async def listed(page: Page) -> tuple[list[Delivery], bool]:
            return await store.list_dead_letters(project, webhook.key, page)

        await prove_paging(listed, events, lambda delivery: str(delivery.event))

    @proof
    async def test_old_dead_letters_are_swept(self, store: Store, project: str) -> None:
        """Those given up before a time go, later ones stay."""
        webhook = await stored_webhook(store, project, "thread.created")
        await stored_thread(store, project)
        await killed(store, project)
        await store.sweep_deliveries(T0)
        assert len(await dead_letters(store, project, webhook.key)) == 1
        while await store.sweep_deliveries(T0 + 1):
            pass
        assert await dead_letters(store, project, webhook.key) == []

    @proof
    async def test_a_webhook_that_is_gone_is_disabled(self, store: Store, project: str) -> None:
        """It keeps what was due and is told nothing more, unless its URL was changed meanwhile."""
        webhook = await stored_webhook(store, project, "thread.created")
        await stored_thread(store, project)
        batch = await claimed(store, project)
        assert batch is not None
        fate = judged(batch.webhook, [Outcome("HTTP 410", 410)], T0)
        await store.settle_deliveries(batch, [], [], fate)
        assert (await store.get_webhook(project, webhook.key)).disabled_at == T0
        assert await due(store, project) == []
        moved = {"url": "http://elsewhere/", "enabled": True}
        await store.update_webhook(project, webhook.key, moved, T0)
        assert len(await due(store, project)) == 1
        await store.settle_deliveries(batch, [], [], fate)
        assert (await store.get_webhook(project, webhook.key)).disabled_at is None

    @proof
    async def test_a_webhook_deleted_while_told_stays_so(self, store: Store, project: str) -> None:
        """Settling what it was told brings nothing of it back."""
        webhook = await stored_webhook(store, project, "thread.created")
        await stored_thread(store, project)
        batch = await claimed(store, project)
        assert batch is not None
        await store.delete_webhook(project, webhook.key)
        await store.settle_deliveries(batch, [], batch.deliveries, batch.webhook)
        assert isinstance(await refusal(store.get_webhook(project, webhook.key)), NotFound)
