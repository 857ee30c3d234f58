"""Webhooks on the wire: OpenAI's webhook endpoints, with the events of threads beside its own."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from clew.core.addresses import is_refused
from clew.core.ids import new_key
from clew.core.webhooks import EVENT_TYPES, OLD_SECRET_MS, Delivery, Outcome, Webhook
from clew.wire import refusals
from clew.wire.checks import Choice, Flag, ListOf, Record, Text
from clew.wire.fields import PAGE, seconds

URL_MAX = 2_048
NAME_MAX = 256
_HINT_LENGTH = 4

_TYPE = Choice(*EVENT_TYPES)
_SETTINGS = {
    "event_types": ListOf(_TYPE, len(EVENT_TYPES), 1),
    "name": Text(NAME_MAX, 1, nul=False),
    "url": Text(URL_MAX, 1, pattern=r"^[\x21-\x7e]+$"),
}
CREATE = Record(_SETTINGS, required=tuple(_SETTINGS))
UPDATE = Record(_SETTINGS | {"enabled": Flag()})
LIST = Record({name: PAGE[name] for name in ("after", "limit")})
ROTATE = Record({"keep_old_secret_active_for_24_hours": Flag()})
TEST = Record({"event_type": _TYPE}, required=("event_type",))


def decode_webhook(body: dict[str, Any], secret: str, now_ms: int) -> Webhook:
    """A new webhook, from a checked body."""
    settings = decode_changes(body)
    return Webhook(new_key(now_ms), now_ms, now_ms, **settings, secret=secret)


def decode_changes(body: dict[str, Any]) -> dict[str, Any]:
    """What a checked body sets; a type that is named twice counts once."""
    changes = dict(body)
    if "url" in changes:
        check_url(changes["url"])
    if "event_types" in changes:
        changes["event_types"] = list(dict.fromkeys(changes["event_types"]))
    return changes


def old_until(body: dict[str, Any], now_ms: int) -> int:
    """How long a checked rotation leaves the old secret in force."""
    return now_ms + OLD_SECRET_MS if body.get("keep_old_secret_active_for_24_hours") else 0


def check_url(url: str) -> None:
    """Refuse what cannot be posted to, or must not be. Names are looked up when they are used."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refusals.wrong_value(("url",), "this is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise refusals.wrong_value(("url",), "expected a URL that begins with https:// or http://.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        problem = "a user, a password or a fragment has no place in it."
        raise refusals.wrong_value(("url",), problem)
    try:
        refused = is_refused(ip_address(host))
    except ValueError:
        return
    if refused:
        raise refusals.wrong_value(("url",), f"Clew does not connect to {host}.")


def encode_webhook(webhook: Webhook, *, with_secret: bool = False) -> dict[str, Any]:
    """The webhook endpoint object; what OpenAI's does not have is in `clew`."""
    shown = {
        "id": f"whep_{webhook.key}",
        "object": "webhook_endpoint",
        "created_at": seconds(webhook.created_at),
        "updated_at": seconds(webhook.updated_at),
        "name": webhook.name,
        "url": webhook.url,
        "event_types": webhook.event_types,
        "signing_secret_hint": f"whsec_...{webhook.secret[-_HINT_LENGTH:]}",
        "clew": {
            "enabled": webhook.disabled_at is None,
            "disabled_at": _time(webhook.disabled_at),
            "disabled_reason": webhook.disabled_reason,
            "failing_since": _time(webhook.failing_since),
        },
    }
    return shown | ({"signing_secret": webhook.secret} if with_secret else {})


def encode_event_types() -> dict[str, Any]:
    return {"object": "list", "data": list(EVENT_TYPES)}


def encode_test(webhook: Webhook, event_type: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": f"whep_{webhook.key}",
        "event_type": event_type,
        "success": True,
        "status_code": outcome.status,
    }


def encode_dead_letter(delivery: Delivery) -> dict[str, Any]:
    """What was given up: the event, and how it went. Its id is the event's."""
    return {
        "id": f"evt_{delivery.event}",
        "object": "webhook_endpoint.dead_letter",
        "created_at": seconds(delivery.created_at),
        "type": delivery.type,
        "data": delivery.data,
        "attempts": delivery.attempts,
        "given_up_at": _time(delivery.dead_at),
        "last_error": delivery.error,
    }


def encode_revived(count: int) -> dict[str, Any]:
    return {"object": "webhook_endpoint.redelivery", "count": count}


def _time(ms: int | None) -> int | None:
    return None if ms is None else seconds(ms)
