"""Webhooks: who is told of what happens, how it is signed, and when a failed telling is repeated.

A webhook is told by HTTP, signed as Standard Webhooks says (https://www.standardwebhooks.com). What
it is told names ids and nothing that people wrote: who wants more, asks for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from clew.core.ids import new_item_id, new_run_key
from clew.core.items import Item
from clew.core.runs import MOVES, Run

RESPONSE_STATUSES = {
    "completed": "completed",
    "failed": "failed",
    "expired": "failed",
    "cancelled": "cancelled",
    "incomplete": "incomplete",
}
"""Status of a run -> how the response it is ends, as the Responses face shows it."""

EVENT_TYPES = (
    *("response.completed", "response.failed", "response.cancelled", "response.incomplete"),
    *("thread.created", "thread.updated", "thread.deleted"),
    *("thread.message.created", "thread.message.updated", "thread.message.deleted"),
    "thread.run.created",
    *(f"thread.run.{status}" for status in MOVES),
)
"""What a webhook may be told of."""

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
OLD_SECRET_MS = 86_400_000
"""How long the secret before a rotation signs too, where that is asked for."""

ATTEMPTS_MAX = 11
_PAUSE_MS = 5_000
_PAUSE_GROWTH = 4
_PAUSE_MAX_MS = 21_600_000
"""5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 5.7 h, then every 6 h: the eleventh attempt comes after
some 26 hours."""

RETRY_AFTER_MAX_MS = 86_400_000
DISABLED_AFTER_MS = 5 * 86_400_000
"""A webhook whose every attempt failed for so long is disabled."""

DEAD_KEPT_MS = 30 * 86_400_000
"""How long a delivery that was given up can be looked at and sent again."""


class Webhook(msgspec.Struct):
    """A URL that is told of events. Times are milliseconds since 1970.

    `secret` signs; `old_secret` does too until its time is over. `failing_since` is when the first
    of the attempts failed that have failed in a row. A disabled one is told nothing, and what
    happens meanwhile it will never be told.
    """

    key: str
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[str]
    secret: str
    old_secret: str | None = None
    old_secret_until: int = 0
    failing_since: int | None = None
    disabled_at: int | None = None
    disabled_reason: str | None = None


class Notice(msgspec.Struct):
    """What happened: its type, and the ids that tell of what."""

    type: str
    data: dict[str, Any]


class Delivery(msgspec.Struct):
    """One event for one webhook, until it has been told or was given up (`dead_at`).

    `event` is the key of the event, the same for every webhook and attempt. `thread` is the key of
    the thread it happened in, `place` the engine's number for it.
    """

    event: str
    thread: str
    type: str
    created_at: int
    data: dict[str, Any]
    attempts: int = 0
    due_at: int = 0
    dead_at: int | None = None
    error: str | None = None
    place: int = 0


class Batch(msgspec.Struct):
    """What is due to a webhook, oldest first, in the hands of whoever took the `lease`."""

    project: str
    webhook: Webhook
    lease: str
    deliveries: list[Delivery]


class Outcome(msgspec.Struct):
    """How an attempt went: `status` is what was answered, `error` is None when that was a 2xx."""

    error: str | None = None
    status: int | None = None
    retry_after_ms: int = 0

    @property
    def is_gone(self) -> bool:
        """Whether the webhook asks never to be told again."""
        return self.status == 410


# what is told


def thread_notice(act: str, thread: str) -> Notice:
    return Notice(f"thread.{act}", {"id": f"thread_{thread}"})


def message_notice(act: str, thread: str, item: Item) -> Notice:
    data = {"id": item.id, "thread_id": f"thread_{thread}", "seq": item.seq}
    if item.run is not None:
        data["run_id"] = f"run_{item.run}"
    return Notice(f"thread.message.{act}", data)


def message_notices(thread: str, items: Sequence[Item]) -> list[Notice]:
    """The messages among new items."""
    return [message_notice("created", thread, item) for item in items if item.is_message]


def run_notices(run: Run, *, is_new: bool = False) -> Iterator[Notice]:
    """A run that has come into its status; one of the Responses face is told by its names too."""
    data = {"id": f"run_{run.key}", "thread_id": f"thread_{run.thread}"}
    if is_new:
        yield Notice("thread.run.created", data)
    yield Notice(f"thread.run.{run.status}", data)
    if not run.pauses and run.status in RESPONSE_STATUSES:
        yield Notice(f"response.{RESPONSE_STATUSES[run.status]}", {"id": f"resp_{run.key}"})


def sample(type: str, thread: str, now_ms: int) -> dict[str, Any]:
    """The ids a made-up event of this type tells of, on a made-up thread."""
    noun = type.removeprefix("thread.").partition(".")[0] if type.count(".") > 1 else type
    if type.startswith("response."):
        return {"id": f"resp_{new_run_key(thread, now_ms)}"}
    if noun == "message":
        return {"id": new_item_id("user", now_ms), "thread_id": f"thread_{thread}", "seq": 1}
    if noun == "run":
        return {"id": f"run_{new_run_key(thread, now_ms)}", "thread_id": f"thread_{thread}"}
    return {"id": f"thread_{thread}"}


def payload(delivery: Delivery) -> bytes:
    """The body of a telling, the same at every attempt."""
    event = {
        "id": f"evt_{delivery.event}",
        "object": "event",
        "created_at": delivery.created_at // 1000,
        "type": delivery.type,
        "data": delivery.data,
    }
    return msgspec.json.encode(event)


# signatures


def new_secret(chance: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(chance).decode()


def signed(webhook: Webhook, event: str, body: bytes, now_ms: int) -> dict[str, str]:
    """The headers that prove who sent the body, and when."""
    secrets = [webhook.secret]
    if webhook.old_secret is not None and now_ms < webhook.old_secret_until:
        secrets.append(webhook.old_secret)
    id, timestamp = f"evt_{event}", str(now_ms // 1000)
    message = f"{id}.{timestamp}.".encode() + body
    return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, message) for secret in secrets),
    }


def _signature(secret: str, message: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()


# what becomes of webhooks and deliveries


def changed(webhook: Webhook, changes: dict[str, Any], now_ms: int) -> Webhook:
    """The webhook with other settings; `enabled` says whether it is told anything."""
    fields = {name: value for name, value in changes.items() if name != "enabled"}
    if changes.get("enabled") is True and webhook.disabled_at is not None:
        fields |= {"disabled_at": None, "disabled_reason": None, "failing_since": None}
    if changes.get("enabled") is False and webhook.disabled_at is None:
        fields |= {"disabled_at": now_ms, "disabled_reason": "on request"}
    made = msgspec.structs.replace(webhook, **fields)
    return webhook if made == webhook else msgspec.structs.replace(made, updated_at=now_ms)


def rotated(webhook: Webhook, secret: str, old_until: int, now_ms: int) -> Webhook:
    """The webhook with a new secret; the old one signs too until `old_until`."""
    keeps = old_until > now_ms
    return msgspec.structs.replace(
        webhook,
        secret=secret,
        old_secret=webhook.secret if keeps else None,
        old_secret_until=old_until if keeps else 0,
        updated_at=now_ms,
    )


def attempted(delivery: Delivery, outcome: Outcome, now_ms: int, chance: float) -> Delivery:
    """The delivery after a failed attempt: due again later, or given up. `chance` is 0 to 1."""
    attempts = delivery.attempts + 1
    pause = max(_pause_ms(attempts, chance), min(outcome.retry_after_ms, RETRY_AFTER_MAX_MS))
    return msgspec.structs.replace(
        delivery,
        attempts=attempts,
        due_at=now_ms + pause,
        dead_at=now_ms if attempts >= ATTEMPTS_MAX else None,
        error=outcome.error,
    )


def _pause_ms(attempts: int, chance: float) -> int:
    """A quarter more or less than the step: those that failed together do not come together."""
    step = min(_PAUSE_MS * _PAUSE_GROWTH ** (attempts - 1), _PAUSE_MAX_MS)
    return int(step * (0.75 + chance / 2))


def judged(webhook: Webhook, outcomes: Sequence[Outcome], now_ms: int) -> Webhook:
    """The webhook after attempts: one that is gone, or fails for days, is disabled."""
    since = webhook.failing_since
    if any(outcome.error is None for outcome in outcomes):
        since = None
    elif outcomes and since is None:
        since = now_ms
    reason = None
    if any(outcome.is_gone for outcome in outcomes):
        reason = "it answered 410 Gone"
    elif since is not None and now_ms - since >= DISABLED_AFTER_MS:
        reason = f"every attempt failed for {DISABLED_AFTER_MS // 86_400_000} days"
    disabled_at = webhook.disabled_at if reason is None else now_ms
    return msgspec.structs.replace(
        webhook,
        failing_since=since,
        disabled_at=disabled_at,
        disabled_reason=webhook.disabled_reason if reason is None else reason,
    )


def judged_as(webhook: Webhook, judged: Webhook) -> Webhook:
    """The webhook as it stands now, with how it fared while it was told: one that was given another
    URL or was disabled meanwhile has a fate of its own."""
    if webhook.url != judged.url or webhook.disabled_at is not None:
        return webhook
    return msgspec.structs.replace(
        webhook,
        failing_since=judged.failing_since,
        disabled_at=judged.disabled_at,
        disabled_reason=judged.disabled_reason,
    )
