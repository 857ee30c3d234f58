"""Server-sent events as bytes."""

from __future__ import annotations

import msgspec
import pytest

from clew.wire.sse import sse


@pytest.mark.parametrize("text", ["hi", 'a "b"\nc\r\nd', "\u2028", "äö", ""])
def test_an_event_is_three_lines_and_an_empty_one(text: str) -> None:
    """Whatever the text, an event is its name, its id and its JSON, a line each."""
    encoded = sse("thing.happened", {"text": text}, b"7")
    assert encoded.endswith(b"\n\n")
    name, id, data = encoded[:-2].split(b"\n")
    assert (name, id) == (b"event: thing.happened", b"id: 7")
    assert msgspec.json.decode(data.removeprefix(b"data: ")) == {"text": text}
    assert b"\r" not in encoded


def test_encoded_json_goes_as_it_is() -> None:
    """JSON that is encoded already is not encoded again."""
    assert sse("e", b'{"a":1}', b"7") == b'event: e\nid: 7\ndata: {"a":1}\n\n'
