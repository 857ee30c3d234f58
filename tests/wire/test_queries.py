"""Query strings are checked by the same specs as bodies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import BadRequest
from clew.core.paging import Page
from clew.wire import items, messages, threads
from clew.wire.checks import Flag, Record
from clew.wire.fields import page_of
from clew.wire.queries import decode_query

from .strategies import examples


def test_text_becomes_values() -> None:
    """Numbers, objects and arrays are decoded from the forms the SDKs send."""
    params = [
        ("limit", "5"),
        ("order", "asc"),
        ("after", "thread_a"),
        ("metadata[ticket_id]", "T-1"),
        ("metadata[a b]", ""),
        ("created_after", "1700000000"),
    ]
    assert decode_query(params, threads.LIST) == {
        "limit": 5,
        "order": "asc",
        "after": "thread_a",
        "metadata": {"ticket_id": "T-1", "a b": ""},
        "created_after": 1700000000,
    }
    include = [
        ("include[]", "file_search_call.results"),
        ("include", "message.output_text.logprobs"),
    ]
    assert decode_query(include, items.LIST) == {
        "include": ["file_search_call.results", "message.output_text.logprobs"]
    }
    assert decode_query([("stream", "true")], Record({"stream": Flag()})) == {"stream": True}


@pytest.mark.parametrize(
    ("params", "param", "code", "message"),
    [
        (
            [("limit", "1000")],
            "limit",
            "integer_above_max_value",
            "Invalid 'limit': integer above maximum value. "
            "Expected a value <= 100, but got 1000 instead.",
        ),
        (
            [("limit", "-1")],
            "limit",
            "integer_below_min_value",
            "Invalid 'limit': integer below minimum value. "
            "Expected a value >= 1, but got -1 instead.",
        ),
        (
            [("limit", "ten")],
            "limit",
            "invalid_type",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
        ),
        (
            [("limit", "٣")],
            "limit",
            "invalid_type",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
        ),
        (
            [("order", "up")],
            "order",
            "invalid_value",
            "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.",
        ),
        (
            [("limt", "1")],
            "limt",
            "unknown_parameter",
            "Unknown parameter: 'limt'. Did you mean 'limit'?",
        ),
        (
            [("limit[]", "1")],
            "limit[]",
            "unknown_parameter",
            "Unknown parameter: 'limit[]'. Did you mean 'limit'?",
        ),
        (
            [("limit", "1"), ("limit", "2")],
            "limit",
            "duplicate_parameter",
            "Duplicate parameter: 'limit'.",
        ),
        (
            [("metadata[k]", "1"), ("metadata[k]", "2")],
            "metadata[k]",
            "duplicate_parameter",
            "Duplicate parameter: 'metadata[k]'.",
        ),
        (
            [("metadata", "x"), ("metadata[k]", "2")],
            "metadata[k]",
            "duplicate_parameter",
            "Duplicate parameter: 'metadata[k]'.",
        ),
        (
            [("metadata", "x")],
            "metadata",
            "invalid_type",
            "Invalid type for 'metadata': expected an object, but got a string instead.",
        ),
        (
            [("metadata[k]", "a\0")],
            "metadata.k",
            "invalid_value",
            "Invalid 'metadata.k': the character U+0000 is not allowed here.",
        ),
        (
            [("created_after", "-1")],
            "created_after",
            "integer_below_min_value",
            "Invalid 'created_after': integer below minimum value. "
            "Expected a value >= 0, but got -1 instead.",
        ),
    ],
)
def test_bad_queries_are_refused_by_name(
    params: list[tuple[str, str]], param: str, code: str, message: str
) -> None:
    """A query is refused with the name of the parameter and the text a body would get."""
    with pytest.raises(BadRequest) as caught:
        decode_query(params, threads.LIST)
    error = caught.value
    assert (error.message, error.param, error.wire_code) == (message, param, code)


def test_a_page_has_defaults() -> None:
    """Nothing asked for means the newest twenty."""
    assert page_of({}) == Page(limit=20, order="desc", after=None, before=None)


def test_cursors_of_keyed_nouns_become_keys() -> None:
    """Threads are stored by key, so either face's id of one is the same cursor."""
    assert page_of({"after": "thread_X"}, "thread") == page_of({"after": "conv_X"}, "thread")
    assert page_of({"before": "thread_X"}, "thread").before == "X"
    assert page_of({"after": "msg_X"}).after == "msg_X"


def test_a_cursor_of_another_noun_is_refused() -> None:
    """A message id cannot be a cursor among threads."""
    with pytest.raises(BadRequest) as caught:
        page_of({"after": "msg_X"}, "thread")
    assert caught.value.message == (
        "Invalid 'after': 'msg_X'. Expected an ID that begins with 'thread'."
    )
    assert caught.value.param == "after"


NAMES = ["limit", "order", "after", "before", "metadata[k]", "metadata", "metadata[", "include[]"]


@examples(100)
@given(st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=8), st.text(max_size=8))))
def test_no_query_breaks_the_decoder(params: list[tuple[str, str]]) -> None:
    """Whatever comes as a query, the answer is a value or a refusal."""
    for spec in (threads.LIST, messages.LIST, items.LIST):
        result: Any = None
        try:
            result = decode_query(params, spec)
        except BadRequest as error:
            error.message.encode()
        assert result is None or set(result) <= set(spec.fields)
