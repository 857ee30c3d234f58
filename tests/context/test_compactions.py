"""Compaction plans: where a window is cut, and that nothing which belongs together is parted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.context.compactions import plan, threshold_of, transcript
from clew.context.windows import Policy, window
from clew.core.compactions import compaction
from clew.core.items import ANSWERS, Item, message, new_item, pair_of

from .test_windows import NOW, log


def one(_: Item) -> int:
    """Each item costs one token."""
    return 1


@pytest.mark.parametrize(
    ("words", "first_seq", "kept_max", "expected"),
    [
        ("u a u a u", 5, 0, 4),
        ("u a u a u", 5, 1, 4),
        ("u a u a u", 5, 2, 3),
        ("u a u a u", 5, 3, 2),
        ("u a u a u", 5, 99, 1),
        ("u a u a u u", 5, 0, 4),
        ("u", 1, 0, None),
        ("u a", 1, 0, None),
        ("u c1 o1", 3, 0, 1),
        ("u c1 c2 o1 o2", 4, 0, 1),
        ("u r c1 o1", 4, 0, 1),
        ("u c1 o1 r a u", 6, 0, 5),
        ("u c1 o1 r a u", 6, 2, 5),
        ("u c1 o1 r a u", 6, 3, 3),
        ("u c1 o1 r a u", 6, 4, 3),
        ("u c1 o1 r a u", 6, 5, 1),
    ],
)
def test_where_a_window_is_cut(
    words: str, first_seq: int, kept_max: int, expected: int | None
) -> None:
    """Before the turn's own input, and before as many of the items ahead of it as may be kept."""
    assert plan(log(words), first_seq, one, kept_max) == expected


def test_a_summary_is_not_summed_up_alone() -> None:
    """A window that is only a summary and what is to be answered has nothing to gain."""
    items = window(log("u a k2 u")[::-1]).items
    assert plan(items, 4, one, 0) is None
    items = window(log("u a u k2 a u")[::-1]).items
    assert plan(items, 6, one, 0) == 5


LOGS = st.lists(
    st.sampled_from("u a s r c1 c2 c3 o1 o2 o3 C1 O1 m1 M1 k k2".split()), max_size=24
).map(lambda words: log(" ".join(words)))


@given(LOGS, st.integers(1, 26), st.integers(0, 30))
def test_no_cut_parts_what_belongs_together(items: list[Item], first: int, kept: int) -> None:
    """Whatever the log: pairs are on one side, reasoning is with its follower, the turn's input
    stays, and the plan is always the same."""
    seen = window(items[::-1]).items
    seq = plan(seen, first, one, kept)
    assert seq == plan(seen, first, one, kept)
    if seq is None:
        return
    old = [item for item in seen if item.kind == "compaction" or item.seq <= seq]
    new = [item for item in seen if item not in old]
    assert old + new == seen
    assert all(item.seq < first for item in old)
    assert old[-1].kind not in ("reasoning", "compaction")
    for side in (old, new):
        calls = [pair_of(item) for item in side if item.kind in ANSWERS.values()]
        answers = [pair_of(item) for item in side if item.kind in ANSWERS]
        assert sorted(map(str, calls)) == sorted(map(str, answers))


@given(LOGS, st.integers(1, 26), st.integers(0, 30))
def test_the_next_window_is_the_summary_and_what_was_kept(
    items: list[Item], first: int, kept: int
) -> None:
    """The compaction a plan leads to, appended to the log, gives the window that was planned."""
    seen = window(items[::-1]).items
    seq = plan(seen, first, one, kept)
    if seq is None:
        return
    summary = new_item("cmp_new", compaction("They met.", seq), NOW, "RUN")
    summary.seq = len(items) + 1
    after = window([summary, *items[::-1]], Policy())
    assert after.items == [summary, *(i for i in seen if i.kind != "compaction" and i.seq > seq)]
    assert (after.compacted, after.cut) == (seq, False)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"context_management": None}, None),
        ({"context_management": [{"type": "compaction"}]}, None),
        ({"context_management": [{"type": "compaction", "compact_threshold": 1000}]}, 1000),
    ],
)
def test_when_a_run_wants_to_be_compacted(
    settings: dict[str, object], expected: int | None
) -> None:
    """From the threshold it named; without one, never."""
    assert threshold_of(settings) == expected


def test_a_transcript_has_what_was_said_and_done() -> None:
    """Who said what, calls with what came of them; sealed and empty things are left out."""
    items = [
        new_item("cmp_1", compaction("They met."), NOW),
        message("msg_1", "user", "Add 1 and 2.", NOW),
        new_item("rs_1", {"type": "reasoning", "summary": []}, NOW),
        new_item(
            "fc_1",
            {"type": "function_call", "call_id": "c", "name": "add", "arguments": "[1, 2]"},
            NOW,
        ),
        new_item("fco_1", {"type": "function_call_output", "call_id": "c", "output": "3"}, NOW),
        message("msg_2", "assistant", "It is 3.", NOW),
        new_item("cmp_2", {"type": "compaction", "encrypted_content": "gAAAA"}, NOW),
    ]
    assert transcript(items).split("\n\n") == [
        "summary of what came before: They met.",
        "user: Add 1 and 2.",
        "function_call: add [1, 2]",
        "function_call_output: 3",
        "assistant: It is 3.",
    ]
