"""Compactions: a summary in plain sight, and the place up to which it stands for the log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.compactions import compaction, seal, summary_of, through
from clew.core.items import message, new_item

NOW = 1_700_000_000_000


@given(st.text())
def test_a_summary_comes_out_as_it_went_in(text: str) -> None:
    """Whatever the script, in ASCII on the wire."""
    item = new_item("cmp_1", compaction(text, 7), NOW, "RUN")
    assert summary_of(item) == text
    assert seal(text).isascii()
    assert item.data()["type"] == "compaction"


@pytest.mark.parametrize("content", ["gAAAAB", "", "clew:summary:%%%", "clew:summary:_w==", None])
def test_what_is_no_summary_of_ours(content: str | None) -> None:
    """Another's, a broken one, or one whose bytes are no text."""
    item = new_item("cmp_1", {"type": "compaction", "encrypted_content": content}, NOW)
    assert summary_of(item) is None


def test_a_message_is_no_compaction() -> None:
    """However it looks."""
    assert summary_of(message("msg_1", "user", seal("x"), NOW)) is None


@pytest.mark.parametrize(
    ("given", "run", "expected"),
    [
        (3, "RUN", 3),
        (0, "RUN", 0),
        (None, "RUN", 8),
        (9, "RUN", 8),
        (-1, "RUN", 8),
        ("3", "RUN", 8),
        (3, None, 8),
    ],
)
def test_how_far_it_stands_for_the_log(given: Any, run: str | None, expected: int) -> None:
    """As far as the run that wrote it says; any other stands for everything before it."""
    item = new_item("cmp_1", compaction("x") | {"through": given}, NOW, run)
    item.seq = 9
    assert through(item) == expected
