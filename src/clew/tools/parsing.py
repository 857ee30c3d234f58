"""Parsing: the bytes of a file of text into what there is to find in it, piece by piece.

Markdown, source code and prose are taken as they are: UTF-8, or UTF-16 that says so. HTML loses its
tags, rows of a table get the names of its columns, and JSON its letters. Whatever cannot be read
with certainty is refused: text made of guesses would be found, and quoted.
"""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser
from typing import Protocol

from clew.tools.formats import HEAD, Unreadable, document_of
from clew.tools.json_text import JsonText
from clew.tools.tables import Table

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)

TAG_MAX = 65_536
"""Characters of an HTML tag or comment: a longer one would be read again with every piece."""

NO_TEXT = "The file is not text."

_HTML_NAMES = (".html", ".htm", ".xhtml")
_JSON_NAMES = (".json", ".jsonl", ".ndjson", ".geojson")
_TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_HTML_HEAD = re.compile(r"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
_BLOCKS = frozenset(
    """address article aside blockquote br dd details dialog div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section summary
    table tbody tfoot thead title tr ul""".split()
)
_CELLS = frozenset({"td", "th"})
_HIDDEN = frozenset({"script", "style"})
_SPACES = re.compile(r"\s+")


class Form(Protocol):
    """What the characters of a file of text are to be read as."""

    def read(self, text: str, *, last: bool) -> str: ...


class Parser:
    """Takes a file in pieces, gives its text. Raises Unreadable at the first byte that is wrong."""

    def __init__(self, filename: str) -> None:
        self._name = filename.lower()
        self._head: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._form: Form | None = None

    def feed(self, data: bytes) -> str:
        if self._head is not None:
            self._head += data
            if len(self._head) < HEAD:
                return ""
            data, self._head = self._head, None
        return self._read(data, last=False)

    def finish(self) -> str:
        rest, self._head = self._head or b"", None
        return self._read(rest, last=True)

    def _read(self, data: bytes, *, last: bool) -> str:
        first = self._decoder is None
        if self._decoder is None:
            self._decoder = _decoder_of(data)
        try:
            text = self._decoder.decode(data, last)
        except UnicodeDecodeError:
            message = "The file is not text in UTF-8, nor in UTF-16 with a byte order mark."
            raise Unreadable("invalid_file", message) from None
        if "\0" in text:
            raise Unreadable("unsupported_file", NO_TEXT)
        if first:
            self._form = _form_of(self._name, text)
        return text if self._form is None else self._form.read(text, last=last)


def _form_of(name: str, head: str) -> Form | None:
    """What the text is by its beginning, and where that does not tell, by its name."""
    if _HTML_HEAD.match(head) or name.endswith(_HTML_NAMES):
        return _Html()
    if name.endswith(_JSON_NAMES) and head.lstrip().startswith(("{", "[")):
        return JsonText()
    delimiter = next((mark for ending, mark in _TABLES.items() if name.endswith(ending)), None)
    return None if delimiter is None else Table(delimiter)


def _decoder_of(head: bytes) -> codecs.IncrementalDecoder:
    format = document_of(head)
    if format is not None:
        raise Unreadable("unsupported_file", f"The file is no text ({format}).")
    if head.startswith(_UTF_32):
        raise Unreadable("unsupported_file", "Text in UTF-32 is not supported.")
    if head.startswith(_UTF_16):
        return codecs.getincrementaldecoder("utf-16")()
    if b"\0" in head:
        raise Unreadable("unsupported_file", NO_TEXT)
    return codecs.getincrementaldecoder("utf-8-sig")()


class _Html(HTMLParser):
    """What a reader of the page would read, a line for each block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._said: list[str] = []
        self._hidden = False

    def read(self, markup: str, *, last: bool) -> str:
        self.feed(markup)
        if last:
            self.close()
        elif len(self.rawdata) > TAG_MAX:
            raise Unreadable("invalid_file", "The file is not well-formed HTML.")
        said, self._said = "".join(self._said), []
        return said

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden |= tag in _HIDDEN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden &= tag not in _HIDDEN
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._said.append(_SPACES.sub(" ", data))

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._said.append("\n")
        elif tag in _CELLS:
            self._said.append(" ")
