"""Windows: a suffix of the log without anything that no model may see alone.

Logs are written as words: `u` and `a` are messages, `s` a system message, `r` reasoning, `c1` a
call and `o1` its output, `C1` and `O1` the same for a custom tool, `m1` a request to approve and
`M1` its answer; `k` is a compaction that stands for all before it, `k2` for what seq 2 ends;
`l` is what was said of an answer that was never finished.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.context.windows import Policy, Reader, Window, window
from clew.context.windows import estimated as cost
from clew.core.compactions import compaction
from clew.core.items import ANSWERS, Item, lost_message, message, new_item

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
    elif kind == "l":
        made = lost_message(id, "x" * 40, NOW, "RUN")
    elif kind == "r":
        made = new_item(id, {"type": "reasoning", "summary": []}, NOW)
    elif kind == "k":
        made = new_item(id, compaction("sum", int(word[1:]) if word[1:] else None), NOW, "RUN")
    elif kind == "m":
        made = new_item(f"m{word[1:]}", {"type": "mcp_approval_request"}, NOW)
    elif kind == "M":
        data = {"type": "mcp_approval_response", "approval_request_id": f"m{word[1:]}"}
        made = new_item(id, data, NOW)
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


@pytest.mark.parametrize("policy", [Policy(), Policy(last_messages=1), Policy(tokens_max=1)])
def test_the_window_of_an_empty_thread(policy: Policy) -> None:
    """Nothing is shown of nothing, and nothing was cut."""
    assert window([], policy) == Window([], 0, 0, 0, False)


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
    each = cost(item("u", 1))
    for tokens_max, expected in (
        (3 * each, "u a u"),
        (3 * each - 1, "a u"),
        (2 * each, "a u"),
        (each, "u"),
        (each - 1, ""),
    ):
        seen = see("u a u", tokens_max=tokens_max)
        assert shown(seen) == expected
        assert each * len(seen.items) <= tokens_max
        assert seen.cut == (expected != "u a u")
        assert seen.starved == (expected == "")


def test_the_budget_stops_at_the_first_item_that_does_not_fit() -> None:
    """A long item ends the window even where an older one would still fit."""
    items = log("u a u")
    items[1] = message("long", "assistant", "x" * 400, NOW)
    seen = window(reversed(items), Policy(tokens_max=2 * cost(items[0])))
    assert (shown(seen), seen.cut) == ("u", True)


def test_both_limits_hold() -> None:
    """With two limits the tighter one decides."""
    each = cost(item("u", 1))
    assert shown(see("u a u", last_messages=2, tokens_max=each)) == "u"
    assert shown(see("u a u", last_messages=1, tokens_max=3 * each)) == "u"


def budget(words: str) -> int:
    """What just these items cost."""
    return sum(map(cost, log(words)))


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


KINDS = sorted(ANSWERS.items())


@pytest.mark.parametrize(("answer", "call"), KINDS)
def test_every_kind_of_call_stays_with_its_answer(answer: str, call: str) -> None:
    """Whatever is answered by an item of its own: a cut between the two leaves out both."""
    name = "approval_request_id" if call == "mcp_approval_request" else "call_id"
    items = [
        new_item("x1", {"type": call, "call_id": "x1"}, NOW),
        new_item("y1", {"type": answer, name: "x1"}, NOW),
        item("a", 3),
    ]
    for seq, one in enumerate(items, 1):
        one.seq = seq
    assert window(items[::-1]).items == items
    assert window(items[:0:-1]).items == items[2:]
    assert window([items[2], items[0]]).items == items[2:]
    room = cost(items[1]) + cost(items[2])
    seen = window(items[::-1], Policy(tokens_max=room))
    assert (seen.items, seen.cut, seen.starved) == (items[2:], True, False)


@pytest.mark.parametrize(
    ("words", "newest", "starved"),
    [
        ("u a u", "u", False),
        ("u a u", "a", False),
        ("u c1 o1", "o1", True),
        ("u c1 o1", "c1 o1", False),
        ("u c1 c2 o1 o2", "c2 o1 o2", True),
        ("u c1 c2 o1 o2", "c1 c2 o1 o2", False),
        ("u m1 M1", "M1", True),
        ("u u k1", "k", True),
        ("u k1 u", "k1 u", False),
    ],
)
def test_a_cut_through_what_is_to_be_answered(words: str, newest: str, starved: bool) -> None:
    """A window that lacks the newest message, or one of the newest outputs, is told as such."""
    assert see(words, tokens_max=budget(newest)).starved == starved


@pytest.mark.parametrize(
    ("words", "expected", "first_seq", "left_out", "compacted"),
    [
        ("u a u k2 a", "k2 u a", 3, 0, 2),
        ("u a u k a", "k a", 4, 0, 3),
        ("u a u k2 a u k5 a", "k5 u a", 6, 0, 5),
        ("u a u k2 a u k3 a", "k3 a u a", 4, 1, 3),
        ("u c1 o1 k2 a", "k2 a", 3, 1, 2),
        ("k u", "k u", 1, 0, 0),
        ("u a u k9 a", "k9 a", 4, 0, 3),
    ],
)
def test_a_compaction_stands_for_what_came_before(
    words: str, expected: str, first_seq: int, left_out: int, compacted: int
) -> None:
    """The newest one comes first, then all it does not stand for, before and after it; a seq that
    is none of this log means everything before it."""
    seen = see(words)
    assert (shown(seen), seen.first_seq, seen.last_seq) == (expected, first_seq, len(words.split()))
    assert (seen.left_out, seen.compacted, seen.cut) == (left_out, compacted, False)


def test_a_compaction_of_a_client_stands_for_everything_before_it() -> None:
    """The seqs in it, if any, are those of another log."""
    items = log("u a u k1 a")
    items[3].run = None
    assert shown(window(items[::-1])) == "k1 a"


def test_a_compaction_costs_what_its_summary_costs() -> None:
    """It counts in the budget; where it does not fit, nothing of what it stands for is shown."""
    words = "u a u k2 a"
    seen = see(words, tokens_max=budget("u a k"))
    assert (shown(seen), seen.cut) == ("k2 u a", False)
    seen = see(words, tokens_max=budget("u a k") - 1)
    assert (shown(seen), seen.cut, seen.compacted) == ("k2 a", True, 2)
    assert shown(see(words, tokens_max=budget("a k") - 1)) == "a"


def test_a_model_that_cannot_read_a_compaction_sees_the_log() -> None:
    """One that another upstream sealed stands for nothing then; a summary of ours always does."""
    items = log("u k a u")
    items[1] = new_item("opaque", {"type": "compaction", "encrypted_content": "gAAAA"}, NOW)
    items[1].seq = 2
    newest_first = items[::-1]
    assert [one.id for one in window(newest_first).items] == ["opaque", "a@3", "u@4"]
    seen = window(newest_first, Policy(foreign=False))
    assert (shown(seen), seen.left_out, seen.compacted) == ("u a u", 1, 0)
    assert shown(window(log("u k a u")[::-1], Policy(foreign=False))) == "k a u"


words = st.lists(
    st.sampled_from("u a s r c1 c2 c3 o1 o2 o3 C1 O1 C2 O2 m1 M1 k k2 k5".split()), max_size=24
)
policies = st.builds(
    Policy, st.none() | st.integers(1, 8), st.none() | st.integers(1, 24 * budget("u"))
)


@given(words.map(" ".join), policies)
def test_a_window_is_whole(written: str, policy: Policy) -> None:
    """Whatever the log and the policy: a part of the suffix in the log's order, calls and outputs
    in pairs, each output after its call, reasoning followed by what followed it in the log."""
    items = log(written)
    seen = window(reversed(items), policy)
    assert seen == window(reversed(log(written)), policy)
    ids = [one.id for one in seen.items]
    seqs = [one.seq for one in seen.items if one.kind != "compaction"]
    assert seqs == sorted(set(seqs))
    assert all(seq > seen.compacted for seq in seqs)
    assert ids[1:] == [id for id in ids if not id.startswith("k")][-len(ids) + 1 :] or len(ids) < 2
    if policy.tokens_max is not None:
        assert sum(map(cost, seen.items)) <= policy.tokens_max
    assert unpaired([one for one in seen.items if one.kind != "compaction"]) == Counter()
    every = [one for one in items if one.kind != "compaction"]
    after = {one.seq: every[place + 1].seq for place, one in enumerate(every[:-1])}
    for one in seen.items:
        assert one.kind != "reasoning" or after[one.seq] in seqs
    said = [one.seq for one in items if one.is_message and one.seq > seen.compacted]
    if not seen.cut:
        assert [one.seq for one in seen.items if one.is_message] == said


def unpaired(items: list[Item]) -> Counter[tuple[str, str]]:
    """Calls that wait for an output at the end of these items; an output without a call fails."""
    waiting: Counter[tuple[str, str]] = Counter()
    for one in items:
        call = ANSWERS.get(one.kind, one.kind)
        data = one.data()
        pair = (call, str(data.get("call_id") or data.get("approval_request_id") or one.id))
        if one.kind in ANSWERS.values():
            waiting[pair] += 1
        elif one.kind in ANSWERS:
            waiting[pair] -= 1
            assert waiting[pair] >= 0, f"{one.id} has no call before it"
    return +waiting


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("u l a", "u a"),
        ("u l", "u"),
        ("l l u", "u"),
        ("u c1 l o1 a", "u c1 o1 a"),
        ("u a k l u", "k u"),
        ("u r l a", "u r a"),
    ],
)
def test_what_was_lost_of_an_answer_is_in_no_window(words: str, seen: str) -> None:
    """It was never the answer; what stands around it is whole without it."""
    window = see(words)
    assert shown(window) == seen
    assert not window.cut


def test_what_was_lost_takes_no_room() -> None:
    """Neither of the newest messages nor of the tokens."""
    whole = sum(cost(one) for one in log("u a"))
    assert shown(see("u l l l a", last_messages=2)) == "u a"
    assert shown(see("u l l l a", tokens_max=whole)) == "u a"
