"""Vector stores: files cut into chunks that can be searched."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, cast

import msgspec

from clew.core.errors import BadRequest, ClewError

DAY_MS = 86_400_000
ACTIVE_STEP_MS = 60_000
"""A use is written down when the last one is so long ago: a store expires by days."""

FILES_MAX = 10_000
"""Files of one store."""

CHUNK_TOKENS, OVERLAP_TOKENS = 800, 400
"""What OpenAI's `auto` strategy does."""

AT_WORK = ("in_progress", "completed")
"""The status of a file that need not be added to its store again."""

QUERY_WORDS_MAX = 32
RESULTS_DEFAULT, RESULTS_MAX = 10, 50

MATCHES_COUNTED = 1_000
"""A word in so many chunks is as common as can be."""

_WORD = re.compile(r"[^\W_]+")
_DIACRITICS = re.compile("[\u0300-\u036f]")
_REPEATED = [0.0, *accumulate(6 / (math.pi * n) ** 2 for n in range(1, 257))]
"""What a word counts that occurs 0, 1, 2, … times: 0, 0.61, 0.76, … towards 1."""

_STOP_WORDS = frozenset(
    """a about am an and any are as at be been but by can could did do does for from had has have
    how i if in into is it its me my no not of on or our should so such than that the their them
    then there these they this to us was we were what when where which who why will with would you
    your""".split()
)
"""English words that are in nearly every chunk: looked for only where a query has no others."""


class Counts(msgspec.Struct):
    """Files by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


class VectorStore(msgspec.Struct):
    """A vector store. Times are milliseconds since 1970; `counts` and `usage_bytes` the engine's.

    `expires_days` counts from the last use: adding files and searching. `expired` is set once its
    chunks are being removed; from then on it stays expired.
    """

    key: str
    created_at: int
    last_active_at: int
    name: str = ""
    description: str | None = None
    metadata: dict[str, str] = {}
    expires_days: int | None = None
    expired: bool = False
    counts: Counts = msgspec.field(default_factory=Counts)
    usage_bytes: int = 0

    @property
    def expires_at(self) -> int | None:
        if self.expires_days is None:
            return None
        return self.last_active_at + self.expires_days * DAY_MS

    def has_expired(self, now_ms: int) -> bool:
        return self.expired or (self.expires_at is not None and self.expires_at <= now_ms)

    def status(self, now_ms: int) -> str:
        if self.has_expired(now_ms):
            return "expired"
        return "in_progress" if self.counts.in_progress else "completed"


class Chunking(msgspec.Struct):
    """How a file is cut: tokens of a chunk at most, and how many of them the next one repeats."""

    tokens: int = CHUNK_TOKENS
    overlap: int = OVERLAP_TOKENS


Attributes = dict[str, str | float | bool]


class StoreFile(msgspec.Struct):
    """A file in a vector store; `file`, `store` and `batch` are keys.

    `status` is in_progress, completed, cancelled or failed; `error` has a code and a message.
    """

    store: str
    file: str
    created_at: int
    attributes: Attributes = {}
    chunking: Chunking = msgspec.field(default_factory=Chunking)
    batch: str | None = None
    status: str = "in_progress"
    usage_bytes: int = 0
    error: dict[str, str] | None = None


class FileBatch(msgspec.Struct):
    """Files that were added together. `counts` are the engine's."""

    key: str
    store: str
    created_at: int
    cancelled: bool = False
    counts: Counts = msgspec.field(default_factory=Counts)

    @property
    def status(self) -> str:
        if self.cancelled:
            return "cancelled"
        return "in_progress" if self.counts.in_progress else "completed"


class Chunk(msgspec.Struct):
    """A piece of a file's text: characters `start` to `end` of it; `number` counts from 0."""

    number: int
    start: int
    end: int
    text: str


class Claim(msgspec.Struct):
    """A file that one indexer, and nobody else, is to index until its lease ends.

    `body` names this attempt: chunks are stored under it, and seen once the file is completed.
    `attempts` counts those that were begun, this one among them.
    """

    project: str
    store: str
    file: str
    body: str
    chunking: Chunking
    attempts: int


class Found(msgspec.Struct):
    """A chunk that a search found; `score` is between 0 and 1."""

    file: str
    filename: str
    attributes: Attributes
    number: int
    text: str
    score: float


class Comparison(msgspec.Struct):
    """A filter on one attribute; `op` is eq, ne, gt, gte, lt, lte, in or nin."""

    op: str
    key: str
    value: str | float | bool | list[str | float | bool]


class Compound(msgspec.Struct):
    """Filters of which all (`and`) or any (`or`) must hold."""

    op: str
    filters: list[Comparison | Compound]


Filter = Comparison | Compound


_COMPARISONS = frozenset({"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"})
_VALUES = (str, int, float, bool)


def filter_of(body: object) -> Filter | None:
    """The filter that the wire's JSON says. ValueError for JSON that says none."""
    if body is None:
        return None
    if not isinstance(body, dict):
        raise ValueError("a filter is an object")
    op = body.get("type", "eq")
    if op in ("and", "or"):
        if not isinstance(body.get("filters"), list):
            raise ValueError(f"a filter of type '{op}' needs a list of `filters`")
        inner = [filter_of(each) for each in body["filters"]]
        return Compound(op, [each for each in inner if each is not None])
    if op not in _COMPARISONS:
        raise ValueError(f"there is no filter of type '{op}'")
    key, value = body.get("key"), cast(Any, body.get("value"))
    values = value if op in ("in", "nin") else [value]
    if not isinstance(key, str) or not isinstance(values, list):
        raise ValueError(f"a filter of type '{op}' needs a `key` and a `value`")
    if not all(isinstance(each, _VALUES) for each in values):
        raise ValueError("a filter's value is text, a number or a flag")
    return Comparison(op, key, value)


def matches(filter: Filter | None, attributes: Attributes) -> bool:
    """Whether the attributes of a file meet the filter.

    A file without the attribute is different from every value, and meets nothing else.
    """
    if filter is None:
        return True
    if isinstance(filter, Compound):
        met = (matches(each, attributes) for each in filter.filters)
        return all(met) if filter.op == "and" else any(met)
    values = filter.value if isinstance(filter.value, list) else [filter.value]
    there = attributes.get(filter.key)
    if filter.op in ("eq", "in"):
        return any(_same(there, value) for value in values)
    if filter.op in ("ne", "nin"):
        return not any(_same(there, value) for value in values)
    return _compares(filter.op, there, values[0])


def _same(left: object, right: object) -> bool:
    """Equal and of one kind: `True` is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _compares(op: str, left: str | float | bool | None, right: str | float | bool) -> bool:
    """Numbers with numbers, text with text; nothing else has an order."""
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if isinstance(left, str) != isinstance(right, str) or left is None:
        return False
    order = (left > right) - (left < right)  # type: ignore[operator]
    return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[op]


def words_of(text: str) -> list[str]:
    """The words of a text: letters and digits only."""
    return _WORD.findall(text)


def fold(text: str) -> str:
    """Lower case without diacritics, for an engine that does not see to that itself."""
    if text.isascii():
        return text.lower()
    bare = _DIACRITICS.sub("", unicodedata.normalize("NFD", text.lower()))
    return unicodedata.normalize("NFC", bare)


def query_words(query: str) -> list[str]:
    """The different words worth looking for, at most `QUERY_WORDS_MAX`, in their order."""
    words = list(dict.fromkeys(word.casefold() for word in words_of(query)))
    telling = [word for word in words if word not in _STOP_WORDS]
    return (telling or words)[:QUERY_WORDS_MAX]


def weights(matches: Iterable[int]) -> list[float]:
    """How much each word of a query counts, by the number of chunks that have it."""
    return [1 / math.log2(2 + count) for count in matches]


def score(frequencies: Sequence[int], weights: Sequence[float]) -> float:
    """The score of a chunk in which the words occur so often; 0 to 1.

    PostgreSQL's ts_rank counts repetition the same way, so both engines give the same score.
    """
    most = len(_REPEATED) - 1
    shares = (
        weight * _REPEATED[min(frequency, most)]
        for frequency, weight in zip(frequencies, weights, strict=True)
    )
    return sum(shares) / sum(weights)


def best(found: Iterable[Found], limit: int) -> list[Found]:
    """The best chunks, each once with its best score; ties in the order of files and chunks."""
    scored: dict[tuple[str, int], Found] = {}
    for each in found:
        place = (each.file, each.number)
        if place not in scored or scored[place].score < each.score:
            scored[place] = each
    ordered = sorted(scored.values(), key=lambda each: (-each.score, each.file, each.number))
    return ordered[:limit]


def unlapped(chunks: Sequence[Chunk], start: int = 0) -> list[str]:
    """The texts of chunks in order, from `start` on, without what one repeats of another."""
    pieces = []
    for chunk in chunks:
        pieces.append(chunk.text[max(0, start - chunk.start) :])
        start = max(start, chunk.end)
    return pieces


def check_living(store: VectorStore, now_ms: int) -> None:
    if store.has_expired(now_ms):
        message = f"Vector store 'vs_{store.key}' has expired."
        raise BadRequest(message, "vector_store_id", "vector_store_expired")


def check_additions(store: VectorStore, files: Sequence[StoreFile], now_ms: int) -> None:
    """May these files be added to the store as it stands?"""
    check_living(store, now_ms)
    seen: set[str] = set()
    for each in files:
        if each.file in seen:
            raise already_there(store.key, each.file)
        seen.add(each.file)
    if store.counts.total + len(files) > FILES_MAX:
        message = f"A vector store can have at most {FILES_MAX} files."
        raise BadRequest(message, "file_ids", "too_many_files")


def already_there(store: str, file: str) -> ClewError:
    message = f"File 'file-{file}' is already in vector store 'vs_{store}'."
    return BadRequest(message, "file_id", "file_already_in_vector_store")
