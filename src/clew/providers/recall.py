"""Looking up what a user said earlier: facts out of messages, ranked by the question. Pure.

A fact is an identifier ("INV-20391", "4711-22", "900127"), a value that is called a number ("my
table number is 7"), or the Y of "my X is Y". What it is about are the words of its sentence that
lead up to it (those that follow, when none do). The question's words choose: the fact that shares
most wins, the newest of equals. Only English words are known as too common to choose by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from clew.core.items import Item

GENERIC = frozenset({"number", "no", "id", "code", "reference", "ref", "identifier"})
"""What any identifier may be called: tells nothing about which one is meant."""

_WORD = re.compile(r"[^\W\d_]+")

COMMON = frozenset(
    _WORD.findall(
        """a about again all also am an and any are as ask asked at back be been but by can check
        could did do does earlier find for from gave get give given go gone good had has have
        hello hey hi how i if in is it its just know let like look may me mean mention mentioned
        my need now of on one or our please remember remind said say see so some sorry tell thank
        thanks that the their them then there these they this through to told up us use want was
        we were what when where which who why will with would yet you your"""
    )
)
"""English words that say nothing about what a text is about."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_TOKEN = re.compile(r"[A-Za-z0-9]+(?:[-_/][A-Za-z0-9]+)*")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/]\d{1,2}[-/]\d{2,4}")
_CODE = re.compile(r"[A-Z]{2,}[-_/]?\d+")
_NAMED = re.compile(r"\b(?:number|no|id|code|reference|ref)\s*(?:is|was|[:=#])\s*\Z", re.IGNORECASE)
_MY = re.compile(r"\bmy ([\w ]{1,40}?) (?:is|are) ([^.,;!?\n]{1,60})", re.IGNORECASE)
_CLAUSE = re.compile(r"\s+(?:and|but|so|because)\s+")

NAME_CHARS_MAX = 40
"""How far back the word "number" may be: looking further for every token would cost its square."""


class Fact(msgspec.Struct, frozen=True):
    """A value the user gave, the sentence it was in, and where that is in the thread."""

    value: str
    about: frozenset[str]
    sentence: str
    item: Item


def recall(question: str, earlier: Iterable[Item]) -> Fact | None:
    """The fact in earlier user messages that the question asks for, if one fits.

    Who names an identifier gives one, and does not ask for it.
    """
    if any(_identifiers(question)):
        return None
    facts = [fact for item in earlier if item.kind == "user" for fact in facts_in(item)]
    wanted = topics(question)
    if not wanted and GENERIC & _stems(question):
        return facts[-1] if facts else None
    best = max(reversed(facts), key=lambda fact: len(fact.about & wanted), default=None)
    return best if best is not None and best.about & wanted else None


def facts_in(item: Item) -> Iterator[Fact]:
    """The facts of one message, in the order given."""
    for sentence in filter(None, map(str.strip, _SENTENCE_END.split(item.text()))):
        found = list(_identifiers(sentence)) or list(_statements(sentence))
        for value, about in found:
            yield Fact(value, topics(about), sentence, item)


def topics(text: str) -> frozenset[str]:
    """The words of a text that say what it is about, in the singular."""
    return _stems(text) - GENERIC


def _stems(text: str) -> frozenset[str]:
    words = {word.lower() for word in _WORD.findall(text)} - COMMON
    return frozenset(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def _identifiers(sentence: str) -> Iterator[tuple[str, str]]:
    """Each identifier with the words it is about."""
    found = [match for match in _TOKEN.finditer(sentence) if _is_identifier(match)]
    ends = [match.start() for match in found[1:]] + [len(sentence)]
    begin = 0
    for match, end in zip(found, ends, strict=False):
        before, after = sentence[begin : match.start()], sentence[match.end() : end]
        yield match[0], before if topics(before) else after
        begin = match.end()


def _is_identifier(match: re.Match[str]) -> bool:
    token = match[0]
    digits = sum(map(str.isdigit, token))
    if not digits or _DATE.fullmatch(token):
        return False
    before = match.string[max(0, match.start() - NAME_CHARS_MAX) : match.start()]
    if _NAMED.search(before) or _CODE.fullmatch(token):
        return True
    return digits >= 5 or (digits >= 3 and digits < len(token))


def _statements(sentence: str) -> Iterator[tuple[str, str]]:
    for match in _MY.finditer(sentence):
        yield _CLAUSE.split(match[2])[0].strip(), match[1]
