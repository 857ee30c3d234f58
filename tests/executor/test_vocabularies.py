"""Vocabularies: exact counts from files at hand, the same as tiktoken's own."""

from __future__ import annotations

import importlib.util
import inspect
import logging

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken_ext import openai_public

from clew.context.tokens import Estimate
from clew.executor import vocabularies
from clew.executor.vocabularies import (
    PATTERNS,
    PIECE,
    Vocabulary,
    counter_for,
    encoding_of,
    load,
    pieces,
    vocabulary_files,
)

from .stage import play

NAMES = sorted(PATTERNS)
TEXTS = st.text(max_size=200) | st.text(alphabet=" \n\tab1'sé你.,/", max_size=200)


@pytest.fixture(scope="module", params=NAMES)
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    counter = load(request.param)
    assert isinstance(counter.tokens, Vocabulary), "pip install 'clew[tokens]'"
    return counter.tokens


@pytest.fixture(scope="module")
def reference(vocabulary: Vocabulary) -> tiktoken.Encoding:
    """The encoding as tiktoken itself defines it, with the ranks it would have fetched."""
    name = vocabulary._encoding.name
    patched = pytest.MonkeyPatch()
    patched.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: _ranks(name))
    try:
        return tiktoken.Encoding(**getattr(openai_public, name)())
    finally:
        patched.undo()


def _ranks(name: str) -> dict[bytes, int]:
    place = vocabulary_files()
    assert place is not None
    return vocabularies._ranks(place, name)


@given(text=TEXTS)
def test_the_counts_are_those_of_tiktoken(
    vocabulary: Vocabulary, reference: tiktoken.Encoding, text: str
) -> None:
    """On any text, in any script."""
    assert vocabulary.count(text) == len(reference.encode_ordinary(text))


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("o200k_base", "hello world", 2),
        ("o200k_base", "tiktoken is great!", 6),
        ("cl100k_base", "tiktoken is great!", 6),
        ("o200k_base", "お誕生日おめでとう", 8),
        ("cl100k_base", "お誕生日おめでとう", 9),
        ("cl100k_base", "antidisestablishmentarianism", 6),
        ("o200k_base", "<|endoftext|>", 7),
    ],
)
def test_known_counts(name: str, text: str, count: int) -> None:
    """Examples in both encodings; what looks like a special token is text like any other."""
    assert load(name).tokens.count(text) == count


def test_a_long_text_is_counted_in_pieces(
    vocabulary: Vocabulary, reference: tiktoken.Encoding
) -> None:
    """The pieces have together exactly the tokens of the whole."""
    text = "It's 2024: the quick, brown fox\njumps over 你好 'the' lazy dog!! " * 4_000
    parts = list(pieces(text))
    assert len(parts) > 3
    assert max(map(len, parts)) <= PIECE
    assert "".join(parts) == text
    assert vocabulary.count(text) == len(reference.encode_ordinary(text))


@pytest.mark.parametrize("unit", [" ", "\n", "a", "^", " \n"])
def test_a_text_without_end_is_counted(vocabulary: Vocabulary, unit: str) -> None:
    """A million blanks, or of anything else, break nothing and cost next to nothing."""
    assert 0 < vocabulary.count(unit * 1_000_000) < 1_000_000


@given(text=TEXTS)
def test_tokens_begin_where_they_say(vocabulary: Vocabulary, text: str) -> None:
    """As many places as tokens, ascending from the first character."""
    starts = vocabulary.starts(text)
    assert len(starts) == vocabulary.count(text)
    assert starts == sorted(starts)
    assert starts[:1] == ([0] if text else [])
    assert all(0 <= start < len(text) for start in starts)


def test_tokens_of_a_long_text_begin_where_they_say(vocabulary: Vocabulary) -> None:
    """Across pieces too: each word begins at its blank."""
    text = " word" * 20_000
    assert vocabulary.starts(text) == list(range(0, len(text), 5))


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-5.5", "o200k_base"),
        ("o3", "o200k_base"),
        ("llama3", "o200k_base"),
        ("scripted", "o200k_base"),
    ],
)
def test_the_vocabulary_of_a_model(model: str, encoding: str) -> None:
    """OpenAI's older models have the older one; strangers are counted in the newer."""
    assert encoding_of(model) == encoding
    if model.startswith(("gpt-4", "gpt-3", "chatgpt", "gpt-5", "o3")):
        assert tiktoken.encoding_name_for_model(model) == encoding


def test_a_vocabulary_is_loaded_once() -> None:
    """Whoever asks for it gets the same one, and what it remembers."""

    async def main() -> None:
        assert await counter_for("gpt-5.5") is await counter_for("o3") is load("o200k_base")
        assert (await counter_for("o3")).exact

    play(main())


def test_without_the_vocabularies_tokens_are_estimated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is fetched: the count is an estimate, which says so, and the log says so once."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bpe_openai" else found(name)
    )
    monkeypatch.setattr(vocabularies, "_ready", {})
    vocabularies._estimate.cache_clear()
    with caplog.at_level(logging.INFO):
        counters = [load(name) for name in NAMES]
    vocabularies._estimate.cache_clear()
    assert all(isinstance(counter.tokens, Estimate) for counter in counters)
    assert not counters[0].exact
    assert caplog.text.count("clew[tokens]") == 1


def test_the_large_package_is_not_imported() -> None:
    """Only its data files are read: importing it would cost 0.4 s and a hundred megabytes."""
    assert "import bpe_openai" not in inspect.getsource(vocabularies)
