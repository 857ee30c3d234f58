"""Windows: a suffix of the log without anything that no model may see alone.

Logs are written as words: `u` and `a` are messages, `s` a system message, `r` reasoning, `c1` a
call and `o1` its output, `C1` and `O1` the same for a custom tool.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.context.tokens import estimate_tokens
from clew.context.windows import Policy, Reader, Window, window
from clew.core.items import Item, message, new_item

NOW = 1_700_000_000_000
ROLES = {"u": "user", "a": "assistant", "s": "system", "d": "developer"}
TOOLS = {
    "c": "function_call",
    "o": "function_call_output",
    "C": "custom_tool_call",
    "O": "custom_tool_call_output",
}


def item(word: str, seq: int) -> Item:
    kind, id = word[0], f"{word}@{seq}"
    if kind in ROLES:
        made = message(id, ROLES[kind], "x" * 40, NOW)
    elif kind == "r":
        made = new_item(id, {"type": "reasoning", "summary": []}, NOW)
    else:
        made = new_item(id, {"type": TOOLS[kind], "call_id": word[1:]}, NOW)
    made.seq = seq
    return made


def log(words: str) -> list[Item]:
    """The log, oldest first."""
    return [item(word, seq) for seq, word in enumerate(words.split(), 1)]


def see(words: str, **policy: int) -> Window:
    return window(reversed(log(words)), Policy(**policy))


def shown(seen: Window) -> str:
    return " ".join(item.id.partition("@")[0] for item in seen.items)


@pytest.mark.parametrize("words", ["u", "s u a u", "u r a u", "u c1 o1 a", "u r c1 c2 o2 o1 a u"])
def test_the_full_window_is_the_log(words: str) -> None:
    """Without a limit a model sees the whole log in its order."""
    seen = see(words)
    assert seen.items == log(words)
    assert (seen.first_seq, seen.last_seq) == (1, len(words.split()))
    assert (seen.left_out, seen.cut) == (0, False)
    assert seen.tokens == sum(map(estimate_tokens, log(words)))


@pytest.mark.parametrize("policy", [Policy(), Policy(last_messages=1), Policy(tokens_max=1)])
def test_the_window_of_an_empty_thread(policy: Policy) -> None:
    """Nothing is shown of nothing, and nothing was cut."""
    assert window([], policy) == Window([], 0, 0, 0, False, 0)


@pytest.mark.parametrize(
    ("words", "count", "expected", "cut"),
    [
        ("u a u", 1, "u", True),
        ("u a u", 2, "a u", True),
        ("u a u", 3, "u a u", False),
        ("u a u", 9, "u a u", False),
        ("u c1 o1 a u", 2, "c1 o1 a u", True),
        ("u c1 o1 a u", 3, "u c1 o1 a u", False),
        ("u r a u c1 o1", 1, "u c1 o1", True),
        ("s u a", 2, "u a", True),
    ],
)
def test_the_last_messages(words: str, count: int, expected: str, cut: bool) -> None:
    """The limit counts messages; what tools did between them comes along uncounted."""
    seen = see(words, last_messages=count)
    assert (shown(seen), seen.cut) == (expected, cut)


def test_the_budget() -> None:
    """As many of the newest items as the budget holds, to the token, and not one more."""
    each = estimate_tokens(item("u", 1))
    for tokens_max, expected in (
        (3 * each, "u a u"),
        (3 * each - 1, "a u"),
        (2 * each, "a u"),
        (each, "u"),
        (each - 1, ""),
    ):
        seen = see("u a u", tokens_max=tokens_max)
        assert shown(seen) == expected
        assert seen.tokens == each * len(seen.items) <= tokens_max
        assert seen.cut == (expected != "u a u")


def test_the_budget_stops_at_the_first_item_that_does_not_fit() -> None:
    """A long item ends the window even where an older one would still fit."""
    items = log("u a u")
    items[1] = message("long", "assistant", "x" * 400, NOW)
    seen = window(reversed(items), Policy(tokens_max=2 * estimate_tokens(items[0])))
    assert (shown(seen), seen.cut) == ("u", True)


def test_both_limits_hold() -> None:
    """With two limits the tighter one decides."""
    each = estimate_tokens(item("u", 1))
    assert shown(see("u a u", last_messages=2, tokens_max=each)) == "u"
    assert shown(see("u a u", last_messages=1, tokens_max=3 * each)) == "u"


def budget(words: str) -> int:
    """What just these items cost."""
    return sum(map(estimate_tokens, log(words)))


@pytest.mark.parametrize(
    ("words", "newest", "expected", "left_out"),
    [
        ("u c1 o1 a", "o1 a", "a", 1),
        ("u c1 o1 a", "c1 o1 a", "c1 o1 a", 0),
        ("u c1 c2 o1 o2 a", "c2 o1 o2 a", "c2 o2 a", 1),
        ("u C1 O1 a", "O1 a", "a", 1),
        ("u r a u", "a u", "a u", 0),
    ],
)
def test_a_cut_never_separates_a_call_from_its_output(
    words: str, newest: str, expected: str, left_out: int
) -> None:
    """An output whose call lies beyond the cut is left out with it, and counted."""
    seen = see(words, tokens_max=budget(newest))
    assert (shown(seen), seen.left_out, seen.cut) == (expected, left_out, True)
    count = len(words.split())
    assert (seen.first_seq, seen.last_seq) == (count - len(newest.split()) + 1, count)
    assert seen.tokens == budget(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("u c1 u", "u u"),
        ("u o1 u", "u u"),
        ("u c1 c2 o2 a", "u c2 o2 a"),
        ("u c1 o1 c1 u", "u c1 o1 u"),
        ("u c1", "u"),
        ("o1 u c1", "u"),
        ("u c1 O1 a", "u a"),
        ("u c1 o1 o1 a", "u c1 o1 a"),
        ("u c1 c1 o1 a", "u c1 o1 a"),
    ],
)
def test_calls_and_outputs_that_stand_alone_are_left_out(words: str, expected: str) -> None:
    """An abandoned call, an output of none, one before its call or of another kind: not shown."""
    seen = see(words)
    assert shown(seen) == expected
    assert seen.left_out == len(words.split()) - len(expected.split())
    assert (seen.first_seq, seen.last_seq, seen.cut) == (1, len(words.split()), False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("u r a", "u r a"),
        ("u r c1 o1 r a", "u r c1 o1 r a"),
        ("u r r a", "u r r a"),
        ("u r", "u"),
        ("u r u a", "u u a"),
        ("u r s a", "u s a"),
        ("u r d a", "u d a"),
        ("c1 r o1 a", "c1 o1 a"),
        ("u r c1 u a", "u u a"),
        ("u r c1 a", "u a"),
        ("u r r c1 a", "u a"),
    ],
)
def test_reasoning_stays_with_its_follower(words: str, expected: str) -> None:
    """Reasoning is shown before the item it led to, and left out when that is not shown."""
    assert shown(see(words)) == expected


def test_a_reader_takes_the_log_in_pieces() -> None:
    """Fed piece by piece, a reader has enough when the policy is met, and the same window."""
    items = log("u a u c1 o1 a u")[::-1]
    reader = Reader(Policy(last_messages=3))
    fed = 0
    while reader.wants_more():
        reader.take(items[fed : fed + 2])
        fed += 2
    assert fed == 6
    assert reader.window() == see("u a u c1 o1 a u", last_messages=3)


words = st.lists(st.sampled_from("u a s r c1 c2 c3 o1 o2 o3 C1 O1 C2 O2".split()), max_size=24)
policies = st.builds(
    Policy, st.none() | st.integers(1, 8), st.none() | st.integers(1, 24 * budget("u"))
)


@given(words.map(" ".join), policies)
def test_a_window_is_whole(written: str, policy: Policy) -> None:
    """Whatever the log and the policy: a part of the suffix in the log's order, calls and outputs
    in pairs, each output after its call, reasoning followed by what followed it in the log."""
    items = log(written)
    seen = window(reversed(items), policy)
    suffix = items[seen.first_seq - 1 : seen.last_seq] if seen.last_seq else []
    assert seen.items == [item for item in suffix if item in seen.items]
    assert seen.left_out == len(suffix) - len(seen.items)
    assert seen.cut == (len(suffix) < len(items))
    assert seen.last_seq == (len(items) if suffix else 0)
    assert unpaired(seen.items) == Counter()
    shown_seqs = {item.seq for item in seen.items}
    for one in seen.items:
        assert one.kind != "reasoning" or one.seq + 1 in shown_seqs
    assert [one for one in suffix if one.is_message] == [
        one for one in seen.items if one.is_message
    ]


def unpaired(items: list[Item]) -> Counter[tuple[str, str]]:
    """Calls that wait for an output at the end of these items; an output without a call fails."""
    waiting: Counter[tuple[str, str]] = Counter()
    for one in items:
        pair = (one.kind.removesuffix("_output"), str(one.data().get("call_id")))
        if one.kind.endswith("_call"):
            waiting[pair] += 1
        elif one.kind.endswith("_output"):
            waiting[pair] -= 1
            assert waiting[pair] >= 0, f"{one.id} has no call before it"
    return +waiting
