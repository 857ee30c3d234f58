"""The vocabularies of models: exact token counts, without a network.

tiktoken does the counting. It would fetch its vocabularies from the internet, so it is given those
that come in the wheel of `bpe-openai` (`pip install clew[tokens]`); of that package only the data
files are read. Loading one takes some 0.3 s and happens once in a process, in a thread.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import logging
import threading
from base64 import b64decode
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from clew.context.tokens import Counter, Estimate

PIECE = 65_536
"""Characters given to tiktoken at a time: it breaks down on much longer runs of white space."""

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
PATTERNS = {
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+|"
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_CONTRACTIONS}|"
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_CONTRACTIONS}|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""How each encoding splits a text before it looks up tokens: part of its definition."""

OLDER = ("gpt-4-", "gpt-3.5", "gpt-35", "text-embedding-", "ft:gpt-4-", "ft:gpt-3.5")
"""Beginnings of the models of the older encoding; all others are counted in the newer one."""

log = logging.getLogger("clew.executor")
_loading = threading.Lock()


class Vocabulary:
    """The `Tokens` of one encoding."""

    exact = True

    def __init__(self, name: str, ranks: dict[bytes, int]) -> None:
        import tiktoken

        self._encoding = tiktoken.Encoding(
            name, pat_str=PATTERNS[name], mergeable_ranks=ranks, special_tokens={}
        )

    def count(self, text: str) -> int:
        encode = self._encoding.encode_ordinary
        if len(text) <= PIECE:
            return len(encode(text))
        return sum(len(encode(piece)) for piece in pieces(text))

    def starts(self, text: str) -> list[int]:
        places: list[int] = []
        begin = 0
        for piece in pieces(text):
            tokens = self._encoding.encode_ordinary(piece)
            _, offsets = self._encoding.decode_with_offsets(tokens)
            places += [begin + offset for offset in offsets]
            begin += len(piece)
        return places


def encoding_of(model: str) -> str:
    """The encoding a model counts in; what is not OpenAI's is counted as OpenAI's newest."""
    return "cl100k_base" if model == "gpt-4" or model.startswith(OLDER) else "o200k_base"


async def counter_for(model: str) -> Counter:
    """What items cost for a model: exactly if the vocabularies are installed, else an estimate."""
    name = encoding_of(model)
    if name in _ready:
        return _ready[name]
    return await asyncio.to_thread(load, name)


def load(name: str) -> Counter:
    """The counter of an encoding, loaded once."""
    with _loading:
        if name not in _ready:
            found = vocabulary_files() if importlib.util.find_spec("tiktoken") else None
            _ready[name] = Counter(Vocabulary(name, _ranks(found, name))) if found else _estimate()
        return _ready[name]


_ready: dict[str, Counter] = {}


@cache
def _estimate() -> Counter:
    log.info("Tokens are estimated (4 bytes each). For exact counts: pip install 'clew[tokens]'")
    return Counter(Estimate())


def vocabulary_files() -> Path | None:
    """Where the vocabularies lie, or None. The package itself, which is large, is not imported."""
    found = importlib.util.find_spec("bpe_openai")
    places: Any = found.submodule_search_locations if found else None
    return Path(places[0], "data") if places else None


def _ranks(place: Path, name: str) -> dict[bytes, int]:
    lines = gzip.decompress(Path(place, f"{name}.tiktoken.gz").read_bytes()).splitlines()
    return {b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}


def pieces(text: str) -> Iterator[str]:
    """The text in parts of at most `PIECE` characters that have together the tokens of the whole.

    A token never reaches from a letter or digit over the space after it, so that is where to cut;
    only a text without such a place in `PIECE` characters is cut anywhere.
    """
    begin = 0
    while len(text) - begin > PIECE:
        end = cut = begin + PIECE
        while (cut := text.rfind(" ", begin + 1, cut)) > 0 and not text[cut - 1].isalnum():
            pass
        end = cut if cut > 0 else end
        yield text[begin:end]
        begin = end
    yield text[begin:]
