"""Bytes into text."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.tools.formats import Unreadable
from clew.tools.parsing import TAG_MAX, Parser

PAGE = """<!DOCTYPE html><html><head><title>Fable</title><style>p { x: y }</style>
<script>if (a < b) alert("</p>")</script></head>
<body><h1>The &amp; fox</h1><p>One<br>two &lt;three&gt; <b>bo</b>ld.</p>
<table><tr><td>a</td><td>b</td></tr></table><!-- no --></body></html>"""


def parsed(data: bytes, name: str = "a.txt", step: int = 1 << 20) -> str:
    parser = Parser(name)
    pieces = [parser.feed(data[start : start + step]) for start in range(0, len(data), step)]
    return "".join([*pieces, parser.finish()])


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(1, 9)
)
@settings(deadline=None)
def test_text_comes_out_as_it_went_in(text: str, step: int):
    """UTF-8, with or without a mark, and UTF-16 with one are read, wherever pieces end."""
    if text.startswith(("\ufeff", "{\\rtf", "%PDF-", "PK\x03\x04", "GIF8", "<")):
        return
    for data in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16")):
        assert parsed(data, step=step) == text


@pytest.mark.parametrize("name", ["a.md", "a.json", "a.py", "a.csv", "noending"])
def test_what_is_text_is_taken_as_it_is(name: str):
    """Markdown, JSON, code and tables keep every character."""
    text = '# <b>x</b>\n{"a": [1, "é"]}\ta,b\r\n'
    assert parsed(text.encode(), name) == text


@pytest.mark.parametrize("step", [1 << 20, 7])
def test_html_loses_its_tags(step: int):
    """A page gives what a reader reads, a line for each block, and no script or style."""
    lines = [" ".join(line.split()) for line in parsed(PAGE.encode(), "a.txt", step).splitlines()]
    said = [line for line in lines if line]
    assert said == ["Fable", "The & fox", "One", "two <three> bold.", "a b"]


def test_html_is_known_by_name_too():
    """A fragment is HTML when its name says so, and only then."""
    assert parsed(b"a <i>b</i>", "a.HTM") == "a b"
    assert parsed(b"a <i>b</i>", "a.txt") == "a <i>b</i>"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"%PDF-1.7 text", "unsupported_file"),
        (b"PK\x03\x04word/document.xml", "unsupported_file"),
        (b"\x89PNG\r\n", "unsupported_file"),
        (b"a\x00b", "unsupported_file"),
        ("é".encode("utf-16-le") + b"\x00" * 8, "unsupported_file"),
        ("a".encode("utf-32"), "unsupported_file"),
        ("caf\u00e9 au lait".encode("latin-1"), "invalid_file"),
        (b"\xff\xfea", "invalid_file"),
        (b"ok" * 1_000 + b"\xc3", "invalid_file"),
        (b"<html><" + b"a " * TAG_MAX, "invalid_file"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, code: str):
    """Binaries, other encodings and broken text are refused, never guessed at."""
    with pytest.raises(Unreadable) as refusal:
        parsed(data, step=4_096)
    assert refusal.value.code == code


@given(st.binary(max_size=2_000), st.sampled_from(["a.html", "a.txt"]), st.integers(1, 900))
@settings(deadline=None)
def test_no_bytes_are_a_fault(data: bytes, name: str, step: int):
    """Whatever a file holds, it is text without U+0000 or it is refused."""
    text = ""
    with suppress(Unreadable):
        text = parsed(data, name, step)
    assert "\0" not in text
    text.encode()
