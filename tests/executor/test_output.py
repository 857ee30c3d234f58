"""Output: items built from deltas, and what followers are told meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.events import AnnotationAdded, Event, ItemBegan, ItemEnded, TextAdded
from clew.core.items import text_part
from clew.core.runs import Run
from clew.executor.output import Output
from clew.providers.provider import (
    AnnotationDelta,
    HostedDelta,
    ItemDone,
    TextDelta,
    ToolCallDelta,
)

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
    """A message between two calls stays there; it is whole even where the calls are not."""
    deltas = [
        *calls("call_1", "f", "{}"),
        TextDelta("a"),
        *calls("call_2", "g", "{}", index=1),
    ]
    items, events = built(*deltas, status=status)
    whole = ["f({})", "assistant: a", "g({})"]
    assert items == (whole if status == "completed" else whole[1:2])
    ended = [event.index for event in events if isinstance(event, ItemEnded)]
    assert ended == ([1, 0, 2] if status == "completed" else [1])


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


def data_of(*deltas: Any, status: str = "completed", reason: str | None = None) -> list[Any]:
    """The items as they are in the log."""
    output = Output(RUN, lambda event: None, lambda: T0)
    for delta in deltas:
        output.take(delta)
    return [item.data() for item in output.finish(status, reason)]


def text(value: str, *annotations: Any) -> dict[str, Any]:
    return text_part("assistant", value) | {"annotations": list(annotations)}


LINK = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}


def test_parts_are_numbered_as_they_are_in_the_item() -> None:
    """Text and refusal take turns in one content, whatever number the provider gives them."""
    deltas = [TextDelta("a"), TextDelta("no", "refusal"), TextDelta("b"), TextDelta("c", part=4)]
    (item,) = data_of(*deltas)
    refusal = {"type": "refusal", "refusal": "no"}
    assert item["content"] == [text("a"), refusal, text("b"), text("c")]
    _, events = built(*deltas)
    assert [event.part for event in events if isinstance(event, TextAdded)] == [0, 1, 2, 3]


def test_reasoning_has_two_lists_of_parts() -> None:
    """A summary and the reasoning itself grow beside each other."""
    (item,) = data_of(
        TextDelta("hm", "reasoning_text"),
        TextDelta("so", "summary_text"),
        TextDelta("m", "reasoning_text"),
        TextDelta("then", "summary_text", part=1),
    )
    assert item == {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in ("so", "then")],
        "content": [{"type": "reasoning_text", "text": "hmm"}],
    }


def test_a_citation_is_in_the_part_it_came_with() -> None:
    """Also one that comes before any text."""
    (item,) = data_of(AnnotationDelta(LINK), TextDelta("a"), TextDelta("b", part=1))
    assert item["content"] == [text("a", LINK), text("b")]


def test_a_citation_may_come_late() -> None:
    """It is in the part it names, though the next one has begun."""
    (item,) = data_of(TextDelta("a"), TextDelta("b", part=1), AnnotationDelta(LINK))
    assert item["content"] == [text("a", LINK), text("b")]


def test_no_text_begins_nothing() -> None:
    """An empty piece of text is no message, and no part of one."""
    assert built(TextDelta("")) == ([], [])
    (item,) = data_of(TextDelta("a"), TextDelta("", "refusal"))
    assert item["content"] == [text("a")]


def test_a_whole_item_tells_what_no_delta_did() -> None:
    """Its texts, citations and arguments are told before its end, each once."""
    message = {"type": "message", "content": [text("Hello", LINK), text("!")]}
    called = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    _, events = built(TextDelta("Hel"), ItemDone(message), ItemDone(called))
    assert told(events) == [
        *("+0 assistant", "0 Hel", "0 lo", "0 !", "-0"),
        *("+1 f", "1 {}", "-1"),
    ]
    assert [event.part for event in events if isinstance(event, AnnotationAdded)] == [0]


def test_a_whole_item_is_kept_as_the_upstream_said_it() -> None:
    """Fields that no delta has, such as encrypted reasoning, are in the log."""
    reasoning = {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "x"}
    message = {"type": "message", "content": [], "phase": "commentary"}
    first, second = data_of(ItemDone(reasoning), ItemDone(message))
    assert first == {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    assert (second["phase"], second["content"]) == ("commentary", [text("")])


def test_an_item_ends_once() -> None:
    """What a provider says of an item after its end is not told."""
    done = ItemDone({"type": "mcp_list_tools", "server_label": "s", "tools": []}, 0)
    begun = HostedDelta(0, {"type": "mcp_list_tools", "server_label": "s", "tools": []})
    events: list[Event] = []
    output = Output(RUN, events.append, lambda: T0)
    for delta in (begun, done, HostedDelta(0, stage="completed"), done):
        output.take(delta)
    assert len(output.finish()) == 1
    assert [type(event) for event in events] == [ItemBegan, ItemEnded]


HOSTED: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({"type": "web_search_call"}, {"action": {"type": "search"}}),
    ({"type": "file_search_call", "queries": ["q"]}, {"queries": ["q"]}),
    (
        {"type": "code_interpreter_call", "container_id": "c"},
        {"container_id": "c", "code": None, "outputs": None},
    ),
    ({"type": "image_generation_call", "result": None}, None),
    ({"type": "computer_call", "call_id": "c", "pending_safety_checks": []}, None),
    ({"type": "mcp_list_tools", "server_label": "s", "tools": []}, None),
]


@pytest.mark.parametrize(("begun", "left"), HOSTED)
def test_work_that_was_cut_off(begun: dict[str, Any], left: dict[str, Any] | None) -> None:
    """It is incomplete where its type knows that; what no type or client could bear is dropped."""
    found = data_of(HostedDelta(0, begun | {"status": "in_progress"}), status="incomplete")
    kept = [] if left is None else [{"type": begun["type"], "status": "incomplete", **left}]
    assert found == kept


def test_work_whose_end_was_not_told_ends_with_the_answer() -> None:
    """It does not stay in progress for ever."""
    begun = {"type": "web_search_call", "status": "in_progress", "action": {"type": "search"}}
    (item,) = data_of(HostedDelta(0, begun), TextDelta("a"))[:1]
    assert item == begun | {"status": "completed"}


def test_reasoning_that_was_cut_off() -> None:
    """It is kept as far as it came, and says so."""
    (item,) = data_of(TextDelta("hm", "reasoning_text"), status="incomplete")
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "hm")


def test_a_message_says_why_it_is_incomplete() -> None:
    """Only the message that was cut: the one before it is whole."""
    deltas = [TextDelta("a"), *calls("call_1", "f"), TextDelta("b")]
    whole, cut = data_of(*deltas, status="incomplete", reason="run_failed")
    assert "incomplete_details" not in whole
    assert cut["incomplete_details"] == {"reason": "run_failed"}
