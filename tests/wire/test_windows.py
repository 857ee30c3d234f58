"""Windows and forks on the wire: what Clew adds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clew.context.windows import Policy, window
from clew.core.errors import BadRequest
from clew.core.items import message
from clew.core.threads import Thread
from clew.wire.windows import FORK, GET, encode_window

NOW = 1_700_000_000_000


def test_the_window_object() -> None:
    """It says which items, out of which part of which revision, and what they cost."""
    items = [message(f"msg_{seq}", "user", "x" * 8, NOW) for seq in (1, 2, 3)]
    for seq, item in enumerate(items, 1):
        item.seq = seq
    seen = window(reversed(items), Policy(last_messages=2))
    body = msgspec.json.decode(
        msgspec.json.encode(
            encode_window(seen, Thread("T", NOW, NOW, revision=7, last_seq=3), 12, True)
        )
    )
    assert [item.pop("id") for item in body["data"]] == ["msg_2", "msg_3"]
    assert {item["role"] for item in body.pop("data")} == {"user"}
    assert body == {
        "object": "thread.window",
        "thread_id": "thread_T",
        "revision": 7,
        "first_seq": 2,
        "last_seq": 3,
        "left_out": 0,
        "cut": True,
        "compacted_through": None,
        "tokens": 12,
        "tokens_exact": True,
    }


@pytest.mark.parametrize("body", [{}, {"at": None}, {"at": "msg_1", "metadata": {"a": "b"}}])
def test_a_fork_may_say_where_and_why(body: dict[str, Any]) -> None:
    """A fork names an item or none, and metadata or none."""
    FORK.check(body)


@pytest.mark.parametrize(
    ("spec", "value", "param"),
    [
        (FORK, {"at": 3}, "at"),
        (FORK, {"at": ""}, "at"),
        (FORK, {"at_seq": 3}, "at_seq"),
        (FORK, {"metadata": {"a": 1}}, "metadata.a"),
        (GET, {"last_messages": 0}, "last_messages"),
        (GET, {"max_tokens": -1}, "max_tokens"),
        (GET, {"tokens": 1}, "tokens"),
    ],
)
def test_what_is_refused(spec: Any, value: Any, param: str) -> None:
    """A wrong fork or window is refused by the name of the field."""
    with pytest.raises(BadRequest) as refused:
        spec.check(value)
    assert refused.value.param == param
