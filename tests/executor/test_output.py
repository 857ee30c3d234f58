"""Output: items built from deltas, and what followers are told meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.events import Event, ItemBegan, ItemEnded
from clew.core.items import text_part
from clew.core.runs import Run
from clew.executor.output import Output
from clew.providers.provider import TextDelta, ToolCallDelta

from .stage import T0, calls, in_words, told

RUN = Run("TR", "T", T0, "m")


def built(*deltas: Any, status: str = "completed", run: Run = RUN) -> tuple[list[str], list[Event]]:
    """The items in words, and the events."""
    events: list[Event] = []
    output = Output(run, events.append, lambda: T0)
    for delta in deltas:
        output.take(delta)
    return [in_words(item) for item in output.finish(status)], events


def test_no_deltas_are_no_items() -> None:
    """A model that says nothing writes nothing."""
    assert built() == ([], [])


def test_text_is_one_message() -> None:
    """Pieces of text add up to one message, told piece by piece."""
    items, events = built(TextDelta("Hel"), TextDelta("lo"))
    assert items == ["assistant: Hello"]
    assert told(events) == ["+0 assistant", "0 Hel", "0 lo", "-0"]


def test_a_call_is_told_by_name_then_arguments() -> None:
    """A function call begins with its id and name; its arguments follow as they come."""
    items, events = built(*calls("call_1", "f", '{"a"', ":1}"))
    assert items == ['f({"a":1})']
    assert told(events) == ["+0 f", '0 {"a"', "0 :1}", "-0"]
    assert isinstance(events[0], ItemBegan)
    assert (events[0].call_id, events[0].kind) == ("call_1", "function_call")


def test_several_calls_come_in_pieces() -> None:
    """Pieces of parallel calls are put together by their index, however they are mixed."""
    first, second = calls("call_1", "f", "{", "}"), calls("call_2", "g", "[", "]", index=1)
    mixed = [delta for pair in zip(first, second, strict=True) for delta in pair]
    items, events = built(*mixed)
    assert items == ["f({})", "g([])"]
    assert told(events)[-2:] == ["-0", "-1"]


def test_a_message_ends_when_a_call_begins() -> None:
    """Text, then a call, then text are three items."""
    items, events = built(TextDelta("a"), *calls("call_1", "f", "{}"), TextDelta("b"))
    assert items == ["assistant: a", "f({})", "assistant: b"]
    assert told(events) == [
        *("+0 assistant", "0 a", "-0", "+1 f", "1 {}", "+2 assistant", "2 b"),
        *("-1", "-2"),
    ]


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_items_come_in_the_order_they_began(status: str) -> None:
    """A message between two calls stays there; it is whole even where the last call is not."""
    deltas = [
        *calls("call_1", "f", "{}"),
        TextDelta("a"),
        *calls("call_2", "g", "{}", index=1),
    ]
    items, events = built(*deltas, status=status)
    whole = ["f({})", "assistant: a", "g({})"]
    assert items == (whole if status == "completed" else whole[1:2])
    ended = [event.index for event in events if isinstance(event, ItemEnded)]
    assert ended == ([0, 1, 2] if status == "completed" else [1])


def test_what_was_broken_off() -> None:
    """An incomplete answer keeps its text, marked as such, and drops the calls that were cut."""
    items, events = built(
        TextDelta("a"), *calls("call_1", "f", '{"a'), TextDelta("b"), status="incomplete"
    )
    assert items == ["assistant: a", "assistant: b…"]
    assert told(events)[-1] == "-2"


def test_finishing_twice_says_the_same() -> None:
    """What was finished stays as it was, whatever a later finish calls it."""
    events: list[Event] = []
    output = Output(RUN, events.append, lambda: T0)
    output.take(TextDelta("a"))
    items = list(output.finish())
    assert output.finish("incomplete") == items
    assert told(events) == ["+0 assistant", "0 a", "-0"]


def test_a_call_without_an_id_gets_one() -> None:
    """Servers that name no call id are given one, a different one for each call."""
    _, events = built(ToolCallDelta(0, "{}", None, "f"), ToolCallDelta(1, "{}", None, "g"))
    data = [event.item.data() for event in events if isinstance(event, ItemEnded)]
    assert [one["call_id"][:5] for one in data] == ["call_", "call_"]
    assert data[0]["call_id"] != data[1]["call_id"]


def test_an_item_names_its_run_and_assistant() -> None:
    """A message of a run names the run, and its assistant where it has one; nothing else is odd."""
    for assistant in (None, "A"):
        run = Run("TR", "T", T0, "m", assistant=assistant)
        _, events = built(TextDelta("a"), run=run)
        ended = events[-1]
        assert isinstance(ended, ItemEnded)
        part = text_part("assistant", "a")
        data = {"type": "message", "status": "completed", "role": "assistant", "content": [part]}
        named = {} if assistant is None else {"assistant_id": "asst_A"}
        assert ended.item.data() == data | named
        assert (ended.item.run, ended.item.id.startswith("msg_")) == ("TR", True)
