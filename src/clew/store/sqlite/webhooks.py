"""Webhooks in SQLite, and the outbox as whoever delivers sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from clew.core.errors import NotFound
from clew.core.paging import Page
from clew.core.webhooks import Batch, Delivery, Webhook, changed, judged_as, rotated
from clew.store.once import Once
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.engine import SQL, Engine, decode, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.pages import read_page

SWEPT_TOGETHER = 500


class WebhookVerbs(Engine):
    async def create_webhook(
        self, project: str, webhook: Webhook, *, once: Once | None = None
    ) -> Webhook:
        def act() -> Webhook:
            replay(self.db, project, PROJECT, once)
            row = _row(project, webhook) | {"created_at": webhook.created_at}
            self.db.execute(SQL["insert_webhook"], row)
            _want(self.db, project, webhook)
            record(self.db, project, PROJECT, once, webhook)
            return webhook

        return await self.write(act)

    @reads
    async def get_webhook(self, project: str, webhook: str) -> Webhook:
        return _read(self.snapshot(), project, webhook)

    @reads
    async def list_webhooks(self, project: str, page: Page) -> tuple[list[Webhook], bool]:
        rows, more = read_page(self.snapshot(), "webhook", page, {"project": project})
        return [_decode(body) for (body,) in rows], more

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
        def act() -> Webhook:
            replay(self.db, project, PROJECT, once)
            new = change(_read(self.db, project, webhook))
            _update(self.db, project, new)
            record(self.db, project, PROJECT, once, new)
            return new

        return await self.write(act)

    async def delete_webhook(self, project: str, webhook: str) -> None:
        def act() -> None:
            asked = {"project": project, "webhook": webhook}
            if self.db.execute(SQL["delete_webhook"], asked).fetchone() is None:
                raise NotFound("webhook", webhook)
            self.db.execute(SQL["delete_wants"], asked)

        await self.write(act, scrub=True)

    @reads
    async def list_dead_letters(
        self, project: str, webhook: str, page: Page
    ) -> tuple[list[Delivery], bool]:
        db = self.snapshot()
        _read(db, project, webhook)
        rows, more = read_page(db, "dead_letter", page, {"webhook": webhook})
        return [_to_delivery(*row) for row in rows], more

    async def revive_dead_letters(
        self, project: str, webhook: str, now_ms: int, *, event: str | None = None
    ) -> int:
        def act() -> int:
            _read(self.db, project, webhook)
            asked = {"webhook": webhook, "now": now_ms, "event": event}
            self.db.execute(SQL["revive_dead_letters"], asked)
            revived = self.db.changes()
            if event is not None and not revived:
                raise NotFound("dead_letter", event)
            return revived

        return await self.write(act)

    # what a deliverer does

    async def claim_deliveries(
        self, lease: str, now_ms: int, until_ms: int, limit: int
    ) -> Batch | None:
        due = {"now": now_ms}
        if self.snapshot().execute(SQL["find_due_webhook"], due).fetchone() is None:
            return None

        def act() -> Batch | None:
            row = self.db.execute(SQL["find_due_webhook"], due).fetchone()
            if row is None:
                return None
            project, webhook = row[0], _decode(row[1])
            asked = {"project": project, "webhook": webhook.key, "lease": lease, "until": until_ms}
            self.db.execute(SQL["lease_webhook"], asked)
            found: list[Any] = self.db.execute(
                SQL["due_deliveries"], {"webhook": webhook.key, "now": now_ms, "limit": limit}
            ).fetchall()
            return Batch(project, webhook, lease, [_to_delivery(*each) for each in found])

        return await self.write(act)

    async def hold_deliveries(self, batch: Batch, until_ms: int) -> bool:
        return await self.write(lambda: _hold(self.db, batch, until_ms))

    async def settle_deliveries(
        self, batch: Batch, told: Sequence[Delivery], failed: Sequence[Delivery], webhook: Webhook
    ) -> None:
        gone = {
            "webhook": webhook.key,
            "told": text([each.place for each in told]),
        }

        def act() -> None:
            self.db.execute(SQL["delete_told"], gone)
            for each in failed:
                self.db.execute(SQL["update_failed"], msgspec.structs.asdict(each))
            stands = _find(self.db, batch.project, webhook.key)
            if stands is not None and (new := judged_as(stands, webhook)) != stands:
                _update(self.db, batch.project, new)
            _hold(self.db, batch, 0)

        await self.write(act)

    async def sweep_deliveries(self, dead_before: int) -> bool:
        db, old = self.snapshot(), {"before": dead_before}
        deleted = db.execute(SQL["find_deleted_webhook"]).fetchone()
        if deleted is not None:
            await self.write(lambda: _sweep(self.db, deleted[0]))
        elif db.execute(SQL["find_old_dead_letter"], old).fetchone() is not None:
            limit = {"limit": SWEPT_TOGETHER}
            await self.write(lambda: self.db.execute(SQL["sweep_dead_letters"], old | limit))
        else:
            return False
        return True


def _hold(db: apsw.Connection, batch: Batch, until_ms: int) -> bool:
    """Lease the webhook until then, if it is still ours."""
    held = {"project": batch.project, "webhook": batch.webhook.key, "lease": batch.lease}
    return db.execute(SQL["hold_webhook"], held | {"until": until_ms}).fetchone() is not None


def _sweep(db: apsw.Connection, webhook: str) -> None:
    db.execute(SQL["sweep_webhook"], {"webhook": webhook, "limit": SWEPT_TOGETHER})
    if db.changes() < SWEPT_TOGETHER:
        db.execute(SQL["remove_webhook"], {"webhook": webhook})


def _row(project: str, webhook: Webhook) -> dict[str, Any]:
    enabled = webhook.disabled_at is None
    return {"project": project, "key": webhook.key, "enabled": enabled, "body": text(webhook)}


def _update(db: apsw.Connection, project: str, webhook: Webhook) -> None:
    db.execute(SQL["update_webhook"], _row(project, webhook))
    _want(db, project, webhook)


def _want(db: apsw.Connection, project: str, webhook: Webhook) -> None:
    """An enabled webhook is told of its types, a disabled one of nothing."""
    types = webhook.event_types if webhook.disabled_at is None else []
    row = {"project": project, "webhook": webhook.key, "types": text(types)}
    db.execute(SQL["delete_wants"], row)
    db.execute(SQL["insert_wants"], row)


def _read(db: apsw.Connection, project: str, webhook: str) -> Webhook:
    found = _find(db, project, webhook)
    if found is None:
        raise NotFound("webhook", webhook)
    return found


def _find(db: apsw.Connection, project: str, webhook: str) -> Webhook | None:
    asked = {"project": project, "webhook": webhook}
    row = db.execute(SQL["get_webhook"], asked).fetchone()
    return None if row is None else _decode(row[0])


def _decode(body: Any) -> Webhook:
    return msgspec.json.decode(body, type=Webhook)


def _to_delivery(
    event: str, thread: str, type: str, created_at: int, data: str, *rest: Any
) -> Delivery:
    return Delivery(event, thread, type, created_at, decode(data), *rest)
