"""Cutting a text into chunks by tokens, as it comes, at the ends of words."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Protocol

from clew.core.vector_stores import Chunk, Chunking

BLOCK = 65_536
"""Characters looked at together: few tokens cross its ends, and a chunk of any size fits in."""

UNSETTLED = 16
"""Tokens at the end of a block that the next block may change."""

_SLACK = 8
"""An eighth of a chunk may be given up to end it between words."""


class Tokens(Protocol):
    """A vocabulary, or an estimate of one."""

    def starts(self, text: str) -> list[int]:
        """The place in `text` at which each of its tokens begins, in characters, ascending."""
        ...


class Chunker:
    """Takes a text in pieces, gives its chunks. Each begins where the last ended or before.

    No chunk has more than `chunking.tokens`, none repeats more than `chunking.overlap` of the one
    before it, and together they are the whole text.
    """

    def __init__(self, tokens: Tokens, chunking: Chunking) -> None:
        self._tokens, self._chunking = tokens, chunking
        self._text = ""
        self._before = 0
        self._number = 0
        self._enough = BLOCK

    def feed(self, text: str) -> list[Chunk]:
        """The chunks that are certain now."""
        self._text += text
        return self._cut(last=False) if len(self._text) >= self._enough else []

    def finish(self) -> list[Chunk]:
        """The rest."""
        return self._cut(last=True) if self._text else []

    def _cut(self, *, last: bool) -> list[Chunk]:
        text, size = self._text, self._chunking.tokens
        starts = self._tokens.starts(text)
        settled = len(starts) - (0 if last else UNSETTLED)
        chunks: list[Chunk] = []
        begin = 0
        while (stop := bisect_right(starts, begin) - 1 + size) < settled:
            low = starts[stop - size // _SLACK]
            end = _last_gap(text, low, starts[stop])
            chunks.append(self._chunk(begin, end))
            begin = self._next(starts, end)
        if last:
            chunks.append(self._chunk(begin, len(text)))
            begin = len(text)
        self._text = text[begin:]
        self._before += begin
        self._enough = max(BLOCK, 2 * len(self._text))
        return chunks

    def _next(self, starts: list[int], end: int) -> int:
        """Where the chunk after one that ends there begins."""
        overlap = self._chunking.overlap
        if not overlap:
            return end
        first = starts[bisect_left(starts, end) - overlap]
        slack = starts[bisect_left(starts, end) - overlap + overlap // _SLACK]
        return _first_gap(self._text, first, slack)

    def _chunk(self, begin: int, end: int) -> Chunk:
        chunk = Chunk(self._number, self._before + begin, self._before + end, self._text[begin:end])
        self._number += 1
        return chunk


def _last_gap(text: str, low: int, high: int) -> int:
    """The last place in that range where a word may begin, or its end."""
    gap = max(text.rfind(space, low, high) for space in (" ", "\n"))
    return gap + 1 if gap >= 0 else high


def _first_gap(text: str, low: int, high: int) -> int:
    """The first place in that range where a word may begin, or its beginning."""
    gaps = [gap for space in (" ", "\n") if (gap := text.find(space, low, high)) >= 0]
    return min(gaps) + 1 if gaps else low
