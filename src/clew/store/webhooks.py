"""Webhooks, and the outbox of what they are to be told.

Every verb that changes a thread puts what happened into the outbox, in its own transaction: for
each webhook of the project that wants the event, one delivery. It holds ids, and nothing that
people wrote: what happened in a thread that is erased since is told all the same. Only what was
given up of it goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from clew.core.paging import Page
from clew.core.webhooks import Batch, Delivery, Webhook
from clew.store.once import Once


class WebhookVerbs(Protocol):
    """Webhooks, and the outbox of what they are to be told."""

    async def create_webhook(
        self, project: str, webhook: Webhook, *, once: Once | None = None
    ) -> Webhook: ...

    async def get_webhook(self, project: str, webhook: str) -> Webhook: ...

    async def list_webhooks(self, project: str, page: Page) -> tuple[list[Webhook], bool]:
        """By creation (then key). An unknown cursor is NotFound("webhook")."""
        ...

    async def update_webhook(
        self,
        project: str,
        webhook: str,
        changes: dict[str, Any],
        now_ms: int,
        *,
        once: Once | None = None,
    ) -> Webhook:
        """Replace the settings named in `changes`, as `clew.core.webhooks.changed` says."""
        ...

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
        """Sign with this secret from now on, and with the old one too until `old_until`."""
        ...

    async def delete_webhook(self, project: str, webhook: str) -> None:
        """The webhook, its secrets and what it was to be told are gone, though not yet swept."""
        ...

    # deliveries that were given up

    async def list_dead_letters(
        self, project: str, webhook: str, page: Page
    ) -> tuple[list[Delivery], bool]:
        """Deliveries that were given up, by when they happened (then key).

        An unknown cursor is NotFound("dead_letter").
        """
        ...

    async def revive_dead_letters(
        self, project: str, webhook: str, now_ms: int, *, event: str | None = None
    ) -> int:
        """Make one, or all, due again as if never attempted; how many.

        NotFound("dead_letter") for an event that is not among them.
        """
        ...

    # what a deliverer does, in every project

    async def claim_deliveries(
        self, lease: str, now_ms: int, until_ms: int, limit: int
    ) -> Batch | None:
        """Up to `limit` due deliveries of a webhook that nobody else has, leased until then.

        The webhook is the one that has waited longest. None when nothing is due.
        """
        ...

    async def hold_deliveries(self, batch: Batch, until_ms: int) -> bool:
        """Lease the webhook until then, be that sooner or later; False when the lease was lost."""
        ...

    async def settle_deliveries(
        self, batch: Batch, told: Sequence[Delivery], failed: Sequence[Delivery], webhook: Webhook
    ) -> None:
        """Remove what was told, store how the others stand now, and let go of the webhook.

        Of `webhook`, how it fares is stored: `failing_since`, `disabled_at` and its reason. What
        was erased meanwhile stays so.
        """
        ...

    async def sweep_deliveries(self, dead_before: int) -> bool:
        """Take one step in removing what is left of deleted webhooks, and dead letters given up
        before that time; whether there is more to do."""
        ...
