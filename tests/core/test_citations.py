"""Citations: what a model marks is annotated where it stands, and nothing else is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputText
from tests.wire.official import read_message, strict

from clew.core.citations import call_number, cite, marker
from clew.core.items import new_item
from clew.wire.messages import encode_message


def searched(*names: str, queries: tuple[str, ...] = ("q",)) -> dict[str, Any]:
    """A finished call that found a passage in each of these files."""
    results = [
        {"file_id": f"file-{n}", "filename": name, "text": f"t{n}"} for n, name in enumerate(names)
    ]
    return {"type": "file_search_call", "queries": list(queries), "results": results}


def test_markers_are_found_where_they_stand():
    """Each marker of a result is annotated with its file and its place in characters."""
    call = searched("a.txt", "b.txt")
    marks = [
        marker(call_number(call), place, name) for place, name in enumerate(("a.txt", "b.txt"))
    ]
    text = f"🧶 first{marks[1]}. Then{marks[0]}{marks[1]}"
    found = cite(text, [call])
    assert [each["file_id"] for each in found] == ["file-1", "file-0", "file-1"]
    assert [text[each["start_index"] : each["end_index"]] for each in found] == [
        marks[1],
        marks[0],
        marks[1],
    ]
    assert all(each["text"] == text[each["index"] : each["end_index"]] for each in found)
    assert found[0]["index"] == len("🧶 first")
    assert found[0]["filename"] == "b.txt"


def test_what_is_no_marker_of_ours_is_text():
    """Unknown calls, results that are not there and other brackets are left alone."""
    call = searched("a.txt")
    number = call_number(call)
    text = f"【{number + 1}:0†a.txt】 【{number}:1†a.txt】 【{number}†a.txt】"
    text += f"[{number}:0†a.txt] 【x:0】"
    assert cite(text, [call]) == []
    assert cite(f"【{number}:0†a.txt】", []) == []
    assert cite(f"【{number}:0†a.txt】", [{"queries": ["q"], "results": None}]) == []


def test_models_may_shorten_or_mistake_the_name():
    """The numbers say which result; a name that is missing or wrong does no harm."""
    call = searched("a.txt")
    number = call_number(call)
    for text in (f"【{number}:0】", f"【{number}:0†source】", f"【{number}:0†a.txt】"):
        (found,) = cite(f"It is so{text}.", [call])
        assert (found["file_id"], found["text"]) == ("file-0", text)


def test_two_calls_of_one_number_are_told_apart():
    """Where two calls share a number the name in the marker decides."""
    one, two = searched("a.txt"), searched("b.txt")
    two["results"][0]["file_id"] = "file-9"
    texts = iter(range(10**6))
    while call_number(two) != call_number(one):
        two["queries"] = [f"q{next(texts)}"]
    number = call_number(one)
    (found,) = cite(f"【{number}:0†b.txt】", [one, two])
    assert found["file_id"] == "file-9"
    (found,) = cite(f"【{number}:0†a.txt】", [one, two])
    assert found["file_id"] == "file-0"


@given(st.text(max_size=200))
def test_any_name_makes_a_marker(name: str):
    """Whatever a file is called, its marker is one, on one line, and leads back to it."""
    call = searched(name)
    mark = marker(call_number(call), 0, name)
    assert "\n" not in mark
    (found,) = cite(f"a{mark}b", [call])
    assert (found["text"], found["filename"]) == (mark, name)


@given(st.text(alphabet="【】†:0123456789 a\n", max_size=60))
def test_no_text_is_a_fault(text: str):
    """Any text can be looked through; what is annotated lies in it, in order."""
    found = cite(text, [searched("a", "b")])
    places = [each["start_index"] for each in found]
    assert places == sorted(places)
    assert all(text[each["start_index"] : each["end_index"]] == each["text"] for each in found)


def test_both_faces_show_a_citation():
    """One text with markers: the Threads face shows the span, the Responses face the index."""
    call = searched("a.txt")
    text = f"It is so{marker(call_number(call), 0, 'a.txt')}."
    notes = cite(text, [call])
    part = {"type": "output_text", "text": text, "annotations": notes, "logprobs": []}
    data = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
    item = new_item("msg_1", data, 1_000, "r" * 60)
    (shown,) = read_message(encode_message(item, "t")).content
    assert shown.type == "text"
    (note,) = shown.text.annotations
    assert note.type == "file_citation"
    assert note.file_citation.file_id == "file-0"
    assert shown.text.value[note.start_index : note.end_index] == note.text
    (flat,) = strict(ResponseOutputText, part).annotations
    assert flat.type == "file_citation"
    assert (flat.file_id, flat.filename, flat.index) == ("file-0", "a.txt", len("It is so"))
