"""Kept events: few bytes, and every event is told again as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.events import (
    AnnotationAdded,
    ArgumentsAdded,
    Event,
    ItemBegan,
    ItemEnded,
    ItemProgressed,
    RunChanged,
    TextAdded,
)
from clew.core.items import message
from clew.core.kept import pack, unpack
from clew.core.runs import Run

T0 = 1_700_000_000_000
RUN = Run(
    "TR",
    "T",
    T0,
    "m",
    instructions="Be kind. " * 500,
    tools=[{"type": "function", "name": "f"}],
    settings={"temperature": 0.5, "background": True},
    metadata={"a": "b"},
)

texts = st.text(max_size=5)
notes: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    texts, st.integers(-(2**63), 2**64 - 1) | texts, max_size=2
)
places = st.integers(0, 2)
ids = st.sampled_from(["msg_1", "msg_2", "fc_1"])
kinds = st.sampled_from(["output_text", "refusal", "reasoning_text", "summary_text"])
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(TextAdded, places, ids, texts, kinds, places),
    st.builds(ArgumentsAdded, places, ids, texts),
    st.builds(AnnotationAdded, places, ids, notes, places),
    st.builds(ItemBegan, places, ids, ids, places, st.none() | texts, st.none() | texts, notes),
    st.builds(ItemProgressed, places, ids, texts, texts, notes),
    st.builds(ItemEnded, places, st.builds(message, ids, st.just("assistant"), texts, places)),
    st.builds(lambda status: RunChanged(_changed(status)), texts),
)


def _changed(status: str) -> Run:
    fields = {name: getattr(RUN, name) for name in RUN.__struct_fields__}
    return Run(**fields | {"status": status, "usage": {"input_tokens": 1}})


@given(st.lists(events))
def test_events_are_told_again_as_they_were(told: list[Event]) -> None:
    """Whatever they are and in whatever order, their number and each delta's bounds survive."""
    assert unpack(pack(told), RUN) == told


@given(st.lists(events), st.integers(0, 10))
def test_where_events_are_cut_does_not_matter(told: list[Event], cut: int) -> None:
    """Kept in two rows, they are the same events."""
    assert unpack(pack(told[:cut]), RUN) + unpack(pack(told[cut:]), RUN) == told


def test_what_a_run_knows_is_not_kept_with_its_events() -> None:
    """Instructions, tools, settings and metadata are in the run, and in no event."""
    kept = pack([RunChanged(RUN), RunChanged(_changed("in_progress"))])
    assert len(kept) < 1_000
    for word in (b"kind", b"temperature", b"function"):
        assert word not in kept


@pytest.mark.parametrize(
    "event", [TextAdded(0, "msg_" + "x" * 30, "to"), ArgumentsAdded(0, "f", "{")]
)
def test_deltas_in_a_row_take_little_more_than_their_text(event: Event) -> None:
    """A hundred deltas of one place are one entry."""
    assert len(pack([event] * 100)) < 500
