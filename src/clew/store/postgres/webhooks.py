"""Webhooks in PostgreSQL, and the outbox as whoever delivers sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from clew.core.errors import NotFound
from clew.core.paging import Page, walk
from clew.core.webhooks import Batch, Delivery, Webhook, changed, judged_as, rotated
from clew.store.once import Once
from clew.store.postgres.answers import PROJECT, Answers
from clew.store.postgres.engine import Row, Transaction, decode, text
from clew.store.postgres.pages import read_page, turned

SWEPT_TOGETHER = 500


class WebhookVerbs(Answers):
    async def create_webhook(
        self, project: str, webhook: Webhook, *, once: Once | None = None
    ) -> Webhook:
        async def act(tx: Transaction) -> Webhook:
            row = _row(project, webhook) | {"created_at": webhook.created_at}
            await tx.run("insert_webhook", **row)
            await _want(tx, project, webhook)
            return webhook

        return await self.act_once(project, PROJECT, once, act)

    async def get_webhook(self, project: str, webhook: str) -> Webhook:
        rows = await self.read("get_webhook", project=project, webhook=webhook)
        return _the(webhook, rows)

    async def list_webhooks(self, project: str, page: Page) -> tuple[list[Webhook], bool]:
        steps = walk(page)
        rows = await read_page(self, "webhook", page, steps, {"project": project})
        return turned([_decode(body) for (body,) in rows], page, steps)

    async def update_webhook(
        self,
        project: str,
        webhook: str,
        changes: dict[str, Any],
        now_ms: int,
        *,
        once: Once | None = None,
    ) -> Webhook:
        return await self._change(project, webhook, once, lambda old: changed(old, changes, now_ms))

    async def rotate_secret(
        self,
        project: str,
        webhook: str,
        secret: str,
        old_until: int,
        now_ms: int,
        *,
        once: Once | None = None,
    ) -> Webhook:
        def rotate(old: Webhook) -> Webhook:
            return rotated(old, secret, old_until, now_ms)

        return await self._change(project, webhook, once, rotate)

    async def _change(
        self, project: str, webhook: str, once: Once | None, change: Callable[[Webhook], Webhook]
    ) -> Webhook:
        async def act(tx: Transaction) -> Webhook:
            rows = await tx.run("lock_webhook", project=project, webhook=webhook)
            new = change(_the(webhook, rows))
            await _update(tx, project, new)
            return new

        return await self.act_once(project, PROJECT, once, act)

    async def delete_webhook(self, project: str, webhook: str) -> None:
        async def act(tx: Transaction) -> None:
            asked = {"project": project, "webhook": webhook}
            if await tx.row("delete_webhook", **asked) is None:
                raise NotFound("webhook", webhook)
            await tx.run("delete_wants", **asked)

        await self.write(act)

    async def list_dead_letters(
        self, project: str, webhook: str, page: Page
    ) -> tuple[list[Delivery], bool]:
        await self.get_webhook(project, webhook)
        steps = walk(page)
        rows = await read_page(self, "dead_letter", page, steps, {"webhook": webhook})
        return turned([_to_delivery(*row) for row in rows], page, steps)

    async def revive_dead_letters(
        self, project: str, webhook: str, now_ms: int, *, event: str | None = None
    ) -> int:
        async def act(tx: Transaction) -> int:
            _the(webhook, await tx.run("get_webhook", project=project, webhook=webhook))
            asked = {"webhook": webhook, "now": now_ms, "event": event}
            revived: int = (await tx.run("revive_dead_letters", **asked))[0][0]
            if event is not None and not revived:
                raise NotFound("dead_letter", event)
            return revived

        return await self.write(act)

    # what a deliverer does

    async def claim_deliveries(
        self, lease: str, now_ms: int, until_ms: int, limit: int
    ) -> Batch | None:
        async def act(tx: Transaction) -> Batch | None:
            row = await tx.row("find_due_webhook", now=now_ms)
            if row is None:
                return None
            project, webhook = row[0], _decode(row[1])
            asked = {"project": project, "webhook": webhook.key}
            await tx.run("lease_webhook", **asked, lease=lease, until=until_ms)
            due = {"webhook": webhook.key, "now": now_ms, "limit": limit}
            found = await tx.run("due_deliveries", **due)
            return Batch(project, webhook, lease, [_to_delivery(*each) for each in found])

        return await self.write(act)

    async def hold_deliveries(self, batch: Batch, until_ms: int) -> bool:
        async def act(tx: Transaction) -> bool:
            return await tx.row("hold_webhook", **_held(batch), until=until_ms) is not None

        return await self.write(act)

    async def settle_deliveries(
        self, batch: Batch, told: Sequence[Delivery], failed: Sequence[Delivery], webhook: Webhook
    ) -> None:
        scope = {"project": batch.project, "webhook": webhook.key}
        gone = {
            "webhook": webhook.key,
            "threads": [each.thread for each in told],
            "events": [each.event for each in told],
        }

        async def act(tx: Transaction) -> None:
            rows = await tx.run("lock_webhook", **scope)
            await tx.run("delete_told", **gone)
            for each in failed:
                row = msgspec.structs.asdict(each) | {"webhook": webhook.key, "data": None}
                await tx.run("update_failed", **row)
            stands = _decode(rows[0][0]) if rows else None
            if stands is not None and (new := judged_as(stands, webhook)) != stands:
                await _update(tx, batch.project, new)
            await tx.run("hold_webhook", **_held(batch), until=0)

        await self.write(act)

    async def sweep_deliveries(self, dead_before: int) -> bool:
        async def act(tx: Transaction) -> bool:
            deleted = await tx.row("find_deleted_webhook")
            if deleted is not None:
                await _sweep(tx, *deleted)
            elif await tx.row("find_old_dead_letter", before=dead_before) is not None:
                await tx.run("sweep_dead_letters", before=dead_before, limit=SWEPT_TOGETHER)
            else:
                return False
            return True

        return await self.write(act)


async def _sweep(tx: Transaction, project: str, webhook: str) -> None:
    swept = (await tx.run("sweep_webhook", webhook=webhook, limit=SWEPT_TOGETHER))[0][0]
    if not swept:
        await tx.run("remove_webhook", project=project, webhook=webhook)


def _row(project: str, webhook: Webhook) -> dict[str, Any]:
    enabled = webhook.disabled_at is None
    return {"project": project, "key": webhook.key, "enabled": enabled, "body": text(webhook)}


def _held(batch: Batch) -> dict[str, str]:
    return {"project": batch.project, "webhook": batch.webhook.key, "lease": batch.lease}


async def _update(tx: Transaction, project: str, webhook: Webhook) -> None:
    await tx.run("update_webhook", **_row(project, webhook))
    await _want(tx, project, webhook)


async def _want(tx: Transaction, project: str, webhook: Webhook) -> None:
    """An enabled webhook is told of its types, a disabled one of nothing."""
    types = webhook.event_types if webhook.disabled_at is None else []
    await tx.run("delete_wants", project=project, webhook=webhook.key)
    await tx.run("insert_wants", project=project, webhook=webhook.key, types=types)


def _the(webhook: str, rows: list[Row]) -> Webhook:
    if not rows:
        raise NotFound("webhook", webhook)
    return _decode(rows[0][0])


def _decode(body: str) -> Webhook:
    return msgspec.json.decode(body, type=Webhook)


def _to_delivery(
    event: str, thread: str, type: str, created_at: int, data: str, *rest: Any
) -> Delivery:
    return Delivery(event, thread, type, created_at, decode(data), *rest)
