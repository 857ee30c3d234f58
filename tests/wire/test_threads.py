"""Threads: the Threads face of a thread, and how threads are listed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from openai.types.beta import Thread as ThreadObject

from clew.core.errors import BadRequest
from clew.core.paging import Page, ThreadQuery
from clew.core.threads import Thread
from clew.wire import threads
from clew.wire.threads import decode_changes, decode_list, decode_thread, encode_thread

from .official import strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_999
FILES = {"code_interpreter": {"file_ids": ["file-1"]}}
STORE = {"file_search": {"vector_store_ids": ["vs_1"]}}


def test_a_new_thread() -> None:
    """A thread is made from its metadata and resources, its messages become items."""
    thread, items = decode_thread(
        {
            "metadata": {"ticket_id": "T-1"},
            "tool_resources": FILES | STORE,
            "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        },
        NOW,
    )
    assert (thread.created_at, thread.updated_at, thread.last_seq) == (NOW, NOW, 0)
    assert thread.metadata == {"ticket_id": "T-1"}
    assert thread.tool_resources == FILES | STORE
    assert [(item.kind, item.text()) for item in items] == [("user", "hi"), ("assistant", "ho")]


def test_a_thread_of_nothing() -> None:
    """An empty body makes an empty thread, and each has a key of its own."""
    (one, items), (two, _) = decode_thread({}, NOW), decode_thread({"metadata": None}, NOW)
    assert (one.metadata, one.tool_resources, items) == ({}, None, [])
    assert one.key != two.key


def test_the_thread_object() -> None:
    """OpenAI's fields are as OpenAI gives them; what is ours is in one object of its own."""
    thread = Thread(
        key="T",
        created_at=NOW,
        updated_at=NOW + 5000,
        metadata={"a": "b"},
        revision=7,
        last_seq=3,
        active_run="TR",
        parent="P",
        parent_seq=2,
    )
    body = encode_thread(thread)
    assert body == {
        "id": "thread_T",
        "object": "thread",
        "created_at": 1_700_000_000,
        "metadata": {"a": "b"},
        "tool_resources": {},
        "clew": {
            "conversation_id": "conv_T",
            "revision": 7,
            "updated_at": 1_700_000_005,
            "last_seq": 3,
            "forked_from": {"id": "thread_P", "seq": 2},
            "on_busy": None,
            "active_run": "run_TR",
        },
    }
    assert strict(ThreadObject, body).metadata == {"a": "b"}


def test_a_quiet_thread_has_no_fork_and_no_run() -> None:
    """What does not apply is null, not missing."""
    ours = encode_thread(Thread("T", NOW, NOW))["clew"]
    assert (ours["forked_from"], ours["active_run"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({}, {}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"metadata": None}, {"metadata": {}}),
        ({"tool_resources": FILES}, {"tool_resources": FILES}),
        ({"tool_resources": None, "metadata": {}}, {"tool_resources": {}, "metadata": {}}),
    ],
)
def test_changes(body: dict[str, Any], changes: dict[str, Any]) -> None:
    """An update replaces what it names and leaves the rest; null clears."""
    assert decode_changes(body) == changes


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (
            {"tool_resources": {"code_interpreter": {"file_ids": ["f"] * 21}}},
            "tool_resources.code_interpreter.file_ids",
            "array_above_max_length",
        ),
        (
            {"tool_resources": {"file_search": {"vector_store_ids": ["a", "b"]}}},
            "tool_resources.file_search.vector_store_ids",
            "array_above_max_length",
        ),
        (
            {"tool_resources": {"file_search": {"vector_stores": [{}], "vector_store_ids": ["v"]}}},
            "tool_resources.file_search.vector_stores",
            "invalid_value",
        ),
        ({"tool_resources": {"web": {}}}, "tool_resources.web", "unknown_parameter"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"metadata": {"a": None}}, "metadata.a", "invalid_type"),
    ],
)
def test_bad_threads_are_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    """A thread that cannot be stored is refused with the path to the mistake."""
    with pytest.raises(BadRequest) as caught:
        decode_thread(body, NOW)
    assert (caught.value.param, caught.value.wire_code) == (param, code)


def test_listing_by_metadata_and_time() -> None:
    """A list filters by exact metadata and by inclusive times in whole seconds."""
    query = decode_list(
        [
            ("metadata[ticket_id]", "T-1"),
            ("created_after", "100"),
            ("created_before", "100"),
            ("updated_after", "200"),
            ("updated_before", "300"),
            ("limit", "5"),
            ("order", "asc"),
            ("after", "conv_X"),
        ]
    )
    assert query == ThreadQuery(
        page=Page(limit=5, order="asc", after="X"),
        metadata={"ticket_id": "T-1"},
        created_from=100_000,
        created_to=100_999,
        updated_from=200_000,
        updated_to=300_999,
    )


def test_a_list_of_everything() -> None:
    """Without conditions every thread matches."""
    assert decode_list([]) == ThreadQuery()


@given(allowed(threads.CREATE))
@examples(75)
def test_whatever_is_let_in_can_be_read_back(body: dict[str, Any]) -> None:
    """Every thread the spec allows comes back as the SDK types it."""
    thread, items = decode_thread(body, NOW)
    read = strict(ThreadObject, encode_thread(thread))
    assert read.metadata == (body.get("metadata") or {})
    assert len(items) == len(body.get("messages", ()))


NAMES = ["messages", "metadata", "tool_resources", "role", "content", "file_search"]


@given(bodies_like(NAMES))
@examples(150)
def test_no_body_breaks_the_decoders(body: Any) -> None:
    """Whatever comes as a thread, the answer is a thread or a refusal."""
    for decode in (lambda: decode_thread(body, NOW), lambda: decode_changes(body)):
        result: Any = None
        try:
            result = decode()
        except BadRequest as error:
            error.message.encode()
        assert result is None or isinstance(body, dict)
