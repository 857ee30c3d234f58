"""Chat messages become items that say the same, and are listed as they were asked."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from clew.core.errors import BadRequest
from clew.providers.chat_messages import chat_messages
from clew.wire.checks import ListOf
from clew.wire.completion_messages import MESSAGE, Neutral, encode_messages, items_of

from .strategies import allowed, examples

NOW = 1_700_000_000_000
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
TALK = [
    {"role": "system", "content": "Be kind."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "file", "file": {"file_id": "file-1"}},
        ],
    },
    {"role": "assistant", "content": "Well.", "tool_calls": [CALL, CALL | {"id": "c2"}]},
    {"role": "tool", "tool_call_id": "c2", "content": "two"},
    {"role": "tool", "tool_call_id": "c1", "content": "one"},
    {"role": "assistant", "content": "Done."},
]


def test_messages_say_the_same_as_items():
    """What was asked in chat, as items and back in chat, is what was asked.

    (The outputs of calls come back in the order of the calls.)
    """
    again = chat_messages(items_of(TALK, NOW))
    assert again == [*TALK[:3], TALK[4], TALK[3], TALK[5]]


def test_what_an_assistant_said_becomes_its_items():
    """Reasoning, text, refusal and calls become items of their own, in that order."""
    custom = {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}}
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "Well."}],
        "refusal": "No.",
        "reasoning_content": "Hm.",
        "tool_calls": [CALL, custom],
        "audio": None,
        "annotations": [],
    }
    outputs = [
        {"role": "tool", "tool_call_id": id, "content": [{"type": "text", "text": id}]}
        for id in ("c1", "c2")
    ]
    items = items_of([message, *outputs], NOW)
    assert [item.kind for item in items] == [
        "reasoning",
        "assistant",
        "function_call",
        "custom_tool_call",
        "function_call_output",
        "custom_tool_call_output",
    ]
    assert items[0].data()["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert [part["type"] for part in items[1].data()["content"]] == ["output_text", "refusal"]
    assert items[3].data()["input"] == "x"
    assert items[5].data()["output"] == [{"type": "input_text", "text": "c2"}]
    assert len({item.id for item in items}) == len(items)


def test_an_empty_text_beside_calls_is_no_message():
    """Clients echo `content: ""` with calls; nobody said it."""
    message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    items = items_of([message, {"role": "tool", "tool_call_id": "c1", "content": ""}], NOW)
    assert [item.kind for item in items] == ["function_call", "function_call_output"]


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([{"role": "tool", "tool_call_id": "c1", "content": ""}], "messages[0].role", "preceding"),
        ([TALK[2], TALK[3]], "messages[1].role", "did not have response messages: c1"),
        ([TALK[2], TALK[5]], "messages[0].role", "response messages: c1, c2"),
        ([TALK[2], TALK[3], TALK[3]], "messages[2].role", "preceding"),
    ],
)
def test_calls_and_outputs_that_do_not_pair_are_refused(messages, param, words):
    """An output without its call, and a call without its output, are named."""
    with pytest.raises(BadRequest, match=words) as refusal:
        items_of(messages, NOW)
    assert refusal.value.param == param


@examples(100)
@given(allowed(ListOf(MESSAGE, min_items=1)))
def test_whatever_is_allowed_becomes_items_or_is_refused(messages):
    """No checked messages are a fault of ours."""
    try:
        items = items_of(messages, NOW)
    except BadRequest:
        return
    for item in items:
        assert item.data()["type"]


def test_a_neutral_parameter_says_nothing_new():
    """Only null and the neutral values pass; what is equal to one but of another type does not."""
    spec = Neutral(1, [])
    for value in (None, 1, []):
        spec.check(value, ("n",))
    for value in (True, 1.0, 0, [1], {}, "1"):
        with pytest.raises(BadRequest, match="Unsupported parameter: 'n'"):
            spec.check(value, ("n",))


def test_messages_are_listed_with_ids_of_their_completion():
    """A string is `content`, parts are `content_parts`; all else is as it was asked."""
    bodies = [msgspec.json.encode(message) for message in TALK[:3]]
    listed = encode_messages("X", list(enumerate(bodies))[1:], True)
    assert (listed["first_id"], listed["last_id"]) == ("chatcmpl-X-1", "chatcmpl-X-2")
    assert listed["has_more"] is True
    parts, said = listed["data"]
    assert (parts["content"], parts["content_parts"]) == (None, TALK[1]["content"])
    assert (said["content"], said["tool_calls"]) == ("Well.", TALK[2]["tool_calls"])
    assert said["refusal"] is None
