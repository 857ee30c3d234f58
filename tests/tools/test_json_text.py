"""JSON as people read it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from .test_parsing import parsed

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


def test_letters_are_letters_and_values_have_lines():
    """Codes of letters become letters; what cannot be written stays a code."""
    text = json.dumps({"name": "Füchse 🦊, 5", "raw": "\n\u0007\\u00e9"}, separators=(",", ":"))
    said = '{"name":"Füchse 🦊, 5",\n"raw":"\\n\\u0007\\\\u00e9"}'
    assert parsed(text.encode(), "a.json", 3) == said


def test_lines_of_json_stay_lines():
    """JSONL keeps its lines, and JSON that has ends of lines already keeps its own."""
    lines = '{"a": 1, "b": [1, 2]}\n{"a": "\u00e9,x"}\n'
    assert parsed(lines.encode(), "a.jsonl") == lines


def test_what_only_has_the_name_is_left_alone():
    """A file that does not begin as JSON does is taken as it is."""
    assert parsed(b"a,b \\u00e9", "a.json") == "a,b \\u00e9"


@given(_VALUES, st.integers(1, 40), st.sampled_from([None, (",", ":")]))
def test_it_stays_the_same_json(value: Any, step: int, separators: tuple[str, str] | None):
    """What is read is the same value, wherever the pieces end."""
    text = json.dumps([value], separators=separators)
    assert json.loads(parsed(text.encode(), "a.json", step)) == [value]
