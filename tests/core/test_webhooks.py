"""Webhooks: what they are told, how it is signed, when it is repeated."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from openai import OpenAI

from clew.core.runs import MOVES, Run
from clew.core.webhooks import (
    ATTEMPTS_MAX,
    DISABLED_AFTER_MS,
    EVENT_TYPES,
    Delivery,
    Outcome,
    Webhook,
    attempted,
    changed,
    judged,
    judged_as,
    new_secret,
    payload,
    rotated,
    run_notices,
    sample,
    signed,
)

T0 = 1_700_000_000_000
FAILED, HEARD, GONE = Outcome("HTTP 500", 500), Outcome(None, 204), Outcome("HTTP 410", 410)


def webhook(**fields: object) -> Webhook:
    given = {"name": "n", "url": "http://a/", "event_types": [], "secret": new_secret(b"s" * 32)}
    return Webhook("k", T0, **{"updated_at": T0} | given | fields)  # type: ignore[arg-type]


def delivery(**fields: object) -> Delivery:
    return Delivery("e", "t", "thread.created", T0, {"id": "thread_t"}, **fields)  # type: ignore[arg-type]


def test_a_signature_is_the_one_of_standard_webhooks():
    """The secret, time and body of the standard's own examples, as the official client verifies."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    one = webhook(secret=secret)
    headers = signed(one, "p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330000)
    assert headers["webhook-id"] == "evt_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    with OpenAI(api_key="none") as client:
        args = b'{"test": 2432232314}', headers
        client.webhooks.verify_signature(*args, secret=secret, tolerance=10**9)


def test_a_secret_is_what_the_standard_asks_for():
    """A prefix, then base64 of at least 24 bytes."""
    secret = new_secret(b"x" * 32)
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret[6:])) == 32


def test_the_old_secret_signs_for_its_time():
    """Beside the new one, which comes first; and not a moment longer."""
    one = rotated(webhook(secret="whsec_AAAA"), "whsec_BBBB", T0 + 10, T0)
    both = signed(one, "e", b"{}", T0 + 9)["webhook-signature"].split(" ")
    assert len(both) == 2
    assert signed(one, "e", b"{}", T0 + 10)["webhook-signature"] != both[1]
    assert signed(webhook(secret="whsec_BBBB"), "e", b"{}", T0 + 9)["webhook-signature"] == both[0]
    assert signed(webhook(secret="whsec_AAAA"), "e", b"{}", T0 + 9)["webhook-signature"] == both[1]
    assert "AAAA" not in repr(rotated(one, "whsec_CCCC", 0, T0))


def test_a_body_is_openais():
    """An event with its id, time, type and data."""
    assert json.loads(payload(delivery(attempts=3))) == {
        "id": "evt_e",
        "object": "event",
        "created_at": T0 // 1000,
        "type": "thread.created",
        "data": {"id": "thread_t"},
    }
    assert payload(delivery()) == payload(delivery(attempts=3))


@pytest.mark.parametrize("status", list(MOVES))
def test_every_status_of_a_run_has_an_event(status: str):
    """One that can be asked for, in the words of both faces."""
    run = Run("r", "t", T0, "m", status)
    told = [each.type for each in run_notices(run, is_new=True)]
    assert told == ["thread.run.created", f"thread.run.{status}"]
    response = msgspec.structs.replace(run, pauses=False)
    more = [each for each in run_notices(response) if each.type.startswith("response.")]
    assert all(each.data == {"id": "resp_r"} for each in more)
    assert {*told, *(each.type for each in more)} <= {*EVENT_TYPES}
    assert bool(more) == (not MOVES[status])


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_every_event_has_a_sample(type: str):
    """With the ids that such an event has."""
    data = sample(type, "t", T0)
    prefix = {"response": "resp_", "message": "msg_", "run": "run_", "thread": "thread_"}
    assert data["id"].startswith(prefix[type.split(".")[-2]])
    assert ("thread_id" in data) == (type.count(".") == 2)


def test_pauses_grow_and_end():
    """Each is four times the one before, a quarter more or less, up to six hours."""
    one, pauses = delivery(), []
    while one.dead_at is None:
        one = attempted(one, FAILED, T0, 0.5)
        pauses.append((one.due_at - T0) // 1000)
    assert pauses == [5, 20, 80, 320, 1280, 5120, 20480, 21600, 21600, 21600, 21600]
    assert len(pauses) == one.attempts == ATTEMPTS_MAX
    assert (one.dead_at, one.error) == (T0, "HTTP 500")
    soon, late = (attempted(delivery(), FAILED, T0, chance).due_at - T0 for chance in (0, 1))
    assert (soon, late) == (3_750, 6_250)


def test_one_attempt_that_is_heard_is_enough():
    """A webhook fails since the first attempt that nobody heard, and no longer once one is."""
    one = judged(webhook(), [FAILED, FAILED], T0)
    assert one.failing_since == T0
    assert judged(one, [FAILED], T0 + 1).failing_since == T0
    assert judged(one, [], T0 + 1) == one
    assert judged(one, [FAILED, HEARD], T0 + 1).failing_since is None
    late = judged(one, [FAILED], T0 + DISABLED_AFTER_MS)
    assert (late.disabled_at, late.disabled_reason) == (
        T0 + DISABLED_AFTER_MS,
        "every attempt failed for 5 days",
    )
    gone = judged(webhook(), [HEARD, GONE], T0)
    assert (gone.disabled_at, gone.disabled_reason) == (T0, "it answered 410 Gone")


def test_what_was_changed_meanwhile_stands():
    """A verdict about another URL, or about one that is disabled already, does not count."""
    gone = judged(webhook(), [GONE], T0)
    assert judged_as(webhook(name="b"), gone) == msgspec.structs.replace(gone, name="b")
    moved = webhook(url="http://b/")
    assert judged_as(moved, gone) == moved
    off = changed(webhook(), {"enabled": False}, T0 + 1)
    assert off.disabled_reason == "on request"
    assert judged_as(off, gone) == off


def test_an_enabled_webhook_begins_anew():
    """Nothing of why it was disabled is left; enabling what is enabled changes nothing."""
    gone = judged(webhook(), [GONE], T0)
    on = changed(gone, {"enabled": True}, T0 + 5)
    assert on == webhook(updated_at=T0 + 5)
    assert changed(on, {"enabled": True}, T0 + 9) == on
    assert changed(gone, {"enabled": False}, T0 + 9) == gone
