"""A library made up for search: files, and questions whose answer is in one known place.

Words are made up, and each has a twin that means the same. Half of the questions say what a passage
says in the twins of its words: whoever looks for words finds nothing. The other half ask for a code
that is in one passage: to whom one code is like another, all passages are equal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

CONCEPTS = 4_000
PASSAGE_WORDS = 60
TOLD_WORDS = 6
"""Words of the sentence that is asked for, in a passage that has others besides."""

_BEGINNINGS = "b br c d dr f g h k l m n p pr qu r s st t tr v w z".split()
_MIDDLES = "a e i o u ai ea io ou".split()
_ENDS = "l m n nd r rt s st t x".split()


class Question(msgspec.Struct):
    """What is asked, and what the passage says that answers it."""

    text: str
    answer: str
    kind: str


class Corpus(msgspec.Struct):
    """Files of passages, each a paragraph; questions; and the words that mean the same."""

    files: list[list[str]]
    questions: list[Question]
    synonyms: list[tuple[str, str]]


def corpus(passages: int, per_file: int, questions: int, seed: int = 4) -> Corpus:
    """So many passages, in files of so many each, and questions, half of each kind."""
    chance = random.Random(seed)
    words = _words(chance)
    synonyms = [(next(words), next(words)) for _ in range(CONCEPTS)]
    frequencies = [1 / (rank + 20) for rank in range(CONCEPTS)]
    asked = chance.sample(range(passages), questions)
    texts, found = [], {}
    for number in range(passages):
        drawn = chance.choices(synonyms, frequencies, k=PASSAGE_WORDS)
        sentences = [_sentence(drawn[at : at + 10]) for at in range(0, PASSAGE_WORDS, 10)]
        told = chance.sample(synonyms[200:], TOLD_WORDS)
        code = f"{chance.choice('KLMNPQ')}{chance.randrange(10**6):06}"
        answer = f"{_sentence(told)[:-1]} {code}."
        sentences.insert(chance.randrange(len(sentences)), answer)
        texts.append(" ".join(sentences))
        twins = " ".join(twin for _, twin in chance.sample(told, TOLD_WORDS - 1))
        common = " and ".join(word for word, _ in chance.sample(synonyms[:40], 2))
        found[number] = (answer, twins, code, common)
    pairs = [
        Question(f"What is there about {found[n][1]}, {found[n][3]}?", found[n][0], "paraphrase")
        if at % 2
        else Question(f"Where is {found[n][2]}, {found[n][3]}?", found[n][0], "code")
        for at, n in enumerate(asked)
    ]
    files = [texts[at : at + per_file] for at in range(0, passages, per_file)]
    return Corpus(files, pairs, synonyms)


def prose(bytes: int, seed: int = 4) -> str:
    """Text with the words, and how often they come, of Python's own documentation."""
    from pydoc_data.topics import topics

    words = " ".join(topics.values()).split()
    chance, pieces, size = random.Random(seed), [], 0
    while size < bytes:
        start = chance.randrange(len(words) - 30)
        piece = " ".join(words[start : start + chance.randrange(8, 30)])
        pieces.append(piece)
        size += len(piece.encode()) + 2
    return ".\n".join(pieces)


def _sentence(pairs: list[tuple[str, str]]) -> str:
    return " ".join(word for word, _ in pairs).capitalize() + "."


def _words(chance: random.Random) -> Iterator[str]:
    """Different words, that no stemmer takes for one another."""
    seen: set[str] = set()
    while True:
        syllables = [
            chance.choice(_BEGINNINGS) + chance.choice(_MIDDLES)
            for _ in range(chance.randrange(2, 4))
        ]
        word = "".join(syllables) + chance.choice(_ENDS)
        if word[:-1] not in seen:
            seen.add(word[:-1])
            yield word
