"""Cutting text into chunks."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.context.tokens import Estimate
from clew.core.vector_stores import Chunk, Chunking, unlapped
from clew.executor.vocabularies import load
from clew.tools.chunks import BLOCK, Chunker

LONE = 2
"""A token at either end of a chunk may be read as two when the chunk is read alone."""


class Words:
    """A vocabulary in which each word, with the space before it, is a token."""

    def starts(self, text: str) -> list[int]:
        return [found.start() for found in re.finditer(r"\s*\S+|\s+$", text)]


class Letters:
    """A vocabulary in which each character is a token."""

    def starts(self, text: str) -> list[int]:
        return list(range(len(text)))


def cut(chunker: Chunker, *pieces: str) -> list[Chunk]:
    return [*(chunk for piece in pieces for chunk in chunker.feed(piece)), *chunker.finish()]


def check(text: str, chunks: list[Chunk], tokens: Words | Letters | Estimate, chunking: Chunking):
    """What holds of all chunks of a text."""
    assert "".join(unlapped(chunks)) == text
    for number, chunk in enumerate(chunks):
        assert chunk.number == number
        assert chunk.text == text[chunk.start : chunk.end]
    for before, chunk in pairwise(chunks):
        assert before.start < chunk.start <= before.end < chunk.end
        assert len(tokens.starts(text[chunk.start : before.end])) <= chunking.overlap + LONE


def test_a_short_text_is_one_chunk():
    """A text that fits is left whole."""
    assert cut(Chunker(Words(), Chunking()), "one ", "two") == [Chunk(0, 0, 7, "one two")]
    assert cut(Chunker(Words(), Chunking())) == []


@pytest.mark.parametrize(
    "chunking", [Chunking(), Chunking(100, 0), Chunking(100, 50), Chunking(4096, 1)]
)
@pytest.mark.parametrize("tokens", [Words(), Estimate(), load("cl100k_base").tokens])
def test_chunks_keep_their_limits(chunking: Chunking, tokens: Words):
    """No chunk is too large, and they repeat nearly what was asked for."""
    text = "".join(f"The {n}th word of süß prose.\n" for n in range(6_000))
    chunks = cut(Chunker(tokens, chunking), *re.findall(r"(?s).{1,10000}", text))
    assert len(chunks) > 4
    check(text, chunks, tokens, chunking)
    sizes = [len(tokens.starts(chunk.text)) for chunk in chunks[:-1]]
    assert max(sizes) <= chunking.tokens + LONE
    assert min(sizes) >= chunking.tokens * 3 // 4
    shared = [
        len(tokens.starts(text[after.start : before.end])) if after.start < before.end else 0
        for before, after in pairwise(chunks)
    ]
    assert min(shared) >= chunking.overlap * 3 // 4


def test_chunks_begin_and_end_between_words():
    """A word is whole in the chunk it is in."""
    text = " ".join(f"word{n}" for n in range(20_000))
    chunks = cut(Chunker(Estimate(), Chunking(100, 50)), text)
    assert all(re.fullmatch(r"word\d+( word\d+)* ?", chunk.text) for chunk in chunks)


@given(
    st.lists(st.text("ab \n\u00e9\U0001f9f6", max_size=4_000), max_size=6),
    st.integers(100, 400),
    st.integers(0, 8),
    st.sampled_from([Words(), Letters(), Estimate()]),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_or_repeated(pieces: list[str], size: int, share: int, tokens: Letters):
    """However a text comes, its chunks are in order and together the whole of it."""
    chunking = Chunking(size, size * share // 16)
    check("".join(pieces), cut(Chunker(tokens, chunking), *pieces), tokens, chunking)


def test_a_text_without_gaps_is_cut_all_the_same():
    """A text of one endless word ends its chunks where it must."""
    text = "x" * (3 * BLOCK)
    chunks = cut(Chunker(Letters(), Chunking(1_000, 500)), text)
    check(text, chunks, Letters(), Chunking(1_000, 500))
    assert {len(chunk.text) for chunk in chunks[:-1]} == {1_000}
