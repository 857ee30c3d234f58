"""Reading server-sent events: bytes cut anywhere in, data out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.providers import sse
from clew.providers.sse import EventReader, EventTooLong


def read(*pieces: bytes) -> list[bytes]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_ending_of_the_standard_ends_a_line(end: bytes) -> None:
    stream = end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert read(stream) == [b"a\nb", b"c"]


def test_an_event_comes_out_with_the_piece_that_completes_it() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\n") == []
    assert reader.feed(b"\ndata: b") == [b"a"]
    assert reader.feed(b"\n\n") == [b"b"]


def test_comments_other_fields_and_empty_events_are_no_data() -> None:
    stream = b": ping\n\nevent: message\nid: 7\nretry: 10\ndata:x\n\nevent: end\n\n"
    assert read(stream) == [b"x"]


def test_one_space_after_the_colon_is_not_data_and_a_second_is() -> None:
    assert read(b"data:a\n\ndata: b\n\ndata:  c\n\n") == [b"a", b"b", b" c"]


def test_a_field_without_a_colon_is_an_empty_line_of_data() -> None:
    assert read(b"data\ndata\n\n") == [b"\n"]


def test_a_byte_order_mark_may_begin_the_stream_and_only_that() -> None:
    assert read(b"\xef\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [b"a"]


def test_what_the_end_cuts_off_is_no_event() -> None:
    assert read(b"data: a\n\ndata: b\n") == [b"a"]


def test_a_crlf_cut_in_two_is_one_line_ending() -> None:
    assert read(b"data: a\r", b"\ndata: b\r", b"", b"\n\r", b"\n") == [b"a\nb"]


def test_lone_line_feeds_after_a_cut_crlf_still_count() -> None:
    assert read(b"data: a\r", b"\n", b"\ndata: b\n\n") == [b"a", b"b"]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 30, b"data: 0123456789\n" * 4])
def test_an_event_without_an_end_is_refused_before_it_fills_the_memory(
    stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 20)
    with pytest.raises(EventTooLong):
        read(stream)


LINES = ["data: über", "data:", ": note", "", "event: x", "data: \N{SNOWMAN} \N{GRINNING FACE}"]


@given(st.lists(st.sampled_from(LINES)), st.sampled_from(["\n", "\r", "\r\n"]), st.data())
def test_where_the_bytes_are_cut_makes_no_difference(
    lines: list[str], end: str, data: st.DataObject
) -> None:
    stream = "".join(line + end for line in lines).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == read(stream)
