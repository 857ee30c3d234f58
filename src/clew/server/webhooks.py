"""Webhooks over HTTP: registering, testing, and what was given up."""

from __future__ import annotations

import os

from clew.core.errors import BadRequest
from clew.core.ids import new_key
from clew.core.webhooks import SECRET_BYTES, Delivery, Webhook, new_secret, sample
from clew.server.http import Answer, Request, Route, Server, encode
from clew.wire import webhooks
from clew.wire.fields import encode_page, page_of


async def create_webhook(server: Server, request: Request) -> Answer:
    now = server.now()
    webhook = webhooks.decode_webhook(request.body(), _new_secret(), now)
    once = request.once(now, _encode_with_secret)
    made = await server.store.create_webhook(request.project, webhook, once=once)
    return Answer(_encode_with_secret(made))


async def get_webhook(server: Server, request: Request) -> Answer:
    return Answer(_encode(await _find(server, request)))


async def list_webhooks(server: Server, request: Request) -> Answer:
    page = page_of(request.query(), "webhook")
    found, more = await server.store.list_webhooks(request.project, page)
    return Answer(encode(encode_page([webhooks.encode_webhook(each) for each in found], more)))


async def update_webhook(server: Server, request: Request) -> Answer:
    now, changes = server.now(), webhooks.decode_changes(request.body())
    once = request.once(now, _encode)
    args = request.project, request.key("webhook"), changes, now
    changed = await server.store.update_webhook(*args, once=once)
    server.deliverer.wake()
    return Answer(_encode(changed))


async def delete_webhook(server: Server, request: Request) -> Answer:
    await server.store.delete_webhook(request.project, request.key("webhook"))
    deleted = {"id": request.params[0], "object": "webhook_endpoint.deleted", "deleted": True}
    return Answer(encode(deleted))


async def rotate_secret(server: Server, request: Request) -> Answer:
    now = server.now()
    until = webhooks.old_until(request.body(), now)
    once = request.once(now, _encode_with_secret)
    args = request.project, request.key("webhook"), _new_secret(), until, now
    return Answer(_encode_with_secret(await server.store.rotate_secret(*args, once=once)))


async def test_webhook(server: Server, request: Request) -> Answer:
    """Send a sample at once, once; what the webhook answers is the answer, whatever it is."""
    now, webhook = server.now(), await _find(server, request)
    type = request.body()["event_type"]
    thread = new_key(now)
    event = Delivery(new_key(now), thread, type, now, sample(type, thread, now))
    outcome = await server.deliverer.tell(webhook, event)
    if outcome.status is None:
        message = f"The test event could not be delivered: {outcome.error}."
        raise BadRequest(message, None, "webhook_unreachable")
    return Answer(encode(webhooks.encode_test(webhook, type, outcome)))


async def list_event_types(server: Server, request: Request) -> Answer:
    return Answer(encode(webhooks.encode_event_types()))


async def list_dead_letters(server: Server, request: Request) -> Answer:
    page = page_of(request.query(), "dead_letter")
    args = request.project, request.key("webhook"), page
    found, more = await server.store.list_dead_letters(*args)
    return Answer(encode(encode_page([webhooks.encode_dead_letter(each) for each in found], more)))


async def redeliver(server: Server, request: Request) -> Answer:
    """Make one dead letter due again, or all of them."""
    event = request.key("dead_letter", 1) if len(request.params) > 1 else None
    args = request.project, request.key("webhook"), server.now()
    count = await server.store.revive_dead_letters(*args, event=event)
    server.deliverer.wake()
    return Answer(encode(webhooks.encode_revived(count)))


async def _find(server: Server, request: Request) -> Webhook:
    return await server.store.get_webhook(request.project, request.key("webhook"))


def _new_secret() -> str:
    return new_secret(os.urandom(SECRET_BYTES))


def _encode(webhook: Webhook) -> bytes:
    return encode(webhooks.encode_webhook(webhook))


def _encode_with_secret(webhook: Webhook) -> bytes:
    return encode(webhooks.encode_webhook(webhook, with_secret=True))


_ALL = "/v1/webhook_endpoints"
_ONE = f"{_ALL}/{{webhook_endpoint_id}}"
_DEAD = f"{_ONE}/dead_letters"
ROUTES = [
    Route("POST", _ALL, create_webhook, "clew", "Create a webhook endpoint", webhooks.CREATE),
    Route("GET", _ALL, list_webhooks, "clew", "List webhook endpoints", query=webhooks.LIST),
    Route("GET", _ONE, get_webhook, "clew", "Retrieve a webhook endpoint"),
    Route("POST", _ONE, update_webhook, "clew", "Modify a webhook endpoint", webhooks.UPDATE),
    Route("DELETE", _ONE, delete_webhook, "clew", "Delete a webhook endpoint"),
    Route(
        "POST",
        f"{_ONE}/rotate_secret",
        rotate_secret,
        "clew",
        "Rotate the secret of a webhook endpoint",
        webhooks.ROTATE,
    ),
    Route("POST", f"{_ONE}/test", test_webhook, "clew", "Send a test event", webhooks.TEST),
    Route("GET", "/v1/webhook_event_types", list_event_types, "clew", "List event types"),
    Route("GET", _DEAD, list_dead_letters, "clew", "List dead letters", query=webhooks.LIST),
    Route("POST", f"{_DEAD}/redeliver", redeliver, "clew", "Send all dead letters again"),
    Route("POST", f"{_DEAD}/{{event_id}}/redeliver", redeliver, "clew", "Send one again"),
]
