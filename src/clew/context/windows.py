"""Windows: which items of a thread a model sees. Pure; the log itself is never changed.

A window is a suffix of the log, cut by the policy, from which everything is taken out that no model
may see alone (invariant 8): an output without its call, a call without its output that the
conversation has gone past, reasoning without the item it belongs to. What remains of an answer that
was never finished is no answer, and is not shown.

The newest compaction stands for everything up to its `through`: it comes first, and what the log
has after that place follows it, whichever side of the compaction itself it is on.

The log is read from its newest end and only as far as the policy reaches, so the cost of a window
does not depend on the length of the thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from clew.context.tokens import Estimate, item_tokens
from clew.core import compactions
from clew.core.items import ANSWERED, ANSWERS, Item, is_lost, pair_of

Cost = Callable[[Item], int]
"""What an item costs, in tokens."""


def estimated(item: Item) -> int:
    return item_tokens(item, _ESTIMATE)


_ESTIMATE = Estimate()


class Policy(msgspec.Struct):
    """How much of a thread: the newest `last_messages` messages, at most `tokens_max` tokens.

    None does not limit; the default is the full window. A model that cannot read the compactions
    of others (`foreign` is False) is shown the log that they would stand for.
    """

    last_messages: int | None = None
    tokens_max: int | None = None
    foreign: bool = True


class Window(msgspec.Struct):
    """What a model sees: `items`, in the order it sees them, out of `first_seq` to `last_seq`.

    `left_out` counts the items in that range that are not shown, `cut` tells whether older ones
    were left out too, and `starved` whether the cut went through what the model is to answer: the
    newest message, or the newest outputs. `compacted` is the seq up to which the first item, a
    compaction, stands for the log; 0 without one.
    """

    items: list[Item]
    first_seq: int
    last_seq: int
    left_out: int
    cut: bool
    starved: bool = False
    compacted: int = 0


class Reader:
    """Takes the log in, newest first, until the policy has enough."""

    def __init__(self, policy: Policy, cost: Cost = estimated) -> None:
        self._policy, self._cost = policy, cost
        self._items: list[Item] = []
        self._passed: list[Item] = []
        self._compaction: Item | None = None
        self._below = 0
        self._messages = 0
        self._tokens = 0
        self._cut = False
        self._done = False

    def wants_more(self) -> bool:
        return not self._done

    def take(self, items: Iterable[Item]) -> None:
        """The next items of the log, newest first."""
        for item in items:
            if is_lost(item):
                continue
            if self._compaction is not None and item.seq <= self._below:
                self._done = True
            elif not self._fits(item):
                self._cut = self._done = True
            if self._done:
                return
            self._keep(item)

    def window(self) -> Window:
        taken = self._items[::-1]
        shown = _whole(taken)
        starved = self._cut and not _answerable(taken, shown)
        first = [] if self._compaction is None else [self._compaction]
        seqs = [item.seq for item in (*taken[:1], *taken[-1:], *self._passed)]
        return Window(
            items=first + shown,
            first_seq=min(seqs, default=0),
            last_seq=max(seqs, default=0),
            left_out=len(taken) + len(self._passed) - len(first) - len(shown),
            cut=self._cut,
            starved=starved,
            compacted=self._below,
        )

    def _keep(self, item: Item) -> None:
        if item.kind != "compaction":
            self._items.append(item)
            return
        self._passed.append(item)
        if self._stands(item):
            self._compaction, self._below = item, compactions.through(item)

    def _stands(self, item: Item) -> bool:
        """Whether this compaction is the newest that the model can read."""
        readable = self._policy.foreign or compactions.summary_of(item) is not None
        return self._compaction is None and readable

    def _fits(self, item: Item) -> bool:
        policy = self._policy
        if item.kind == "compaction" and not self._stands(item):
            return True  # it is not shown
        if policy.last_messages is not None:
            if item.is_message and self._messages == policy.last_messages:
                return False
            self._messages += item.is_message
        if policy.tokens_max is not None:
            cost = self._cost(item)
            if self._tokens + cost > policy.tokens_max:
                return False
            self._tokens += cost
        return True


def window(items: Iterable[Item], policy: Policy | None = None, cost: Cost = estimated) -> Window:
    """The window of a whole log given newest first."""
    reader = Reader(policy or Policy(), cost)
    reader.take(items)
    return reader.window()


def _answerable(taken: list[Item], shown: list[Item]) -> bool:
    """Whether the newest message, or every one of the outputs at the end, is shown."""
    begin = len(taken)
    while begin and taken[begin - 1].kind in ANSWERS:
        begin -= 1
    newest = taken[begin:] or taken[-1:]
    ids = {item.id for item in shown[-len(newest) :]}
    return bool(newest) and all(item.id in ids for item in newest)


def _whole(items: list[Item]) -> list[Item]:
    """Without what stands alone. Only a cut, or an abandoned turn, leaves such items."""
    if all(item.is_message for item in items):
        return items
    paired = _paired(items)
    whole: list[Item] = []
    follower: Item | None = None
    for place in reversed(range(len(items))):
        item = items[place]
        if item.kind in ANSWERED or item.kind in ANSWERS:
            stands = place in paired
        else:
            stands = item.kind != "reasoning" or _follows_reasoning(follower)
        follower = item if stands else None
        if stands:
            whole.append(item)
    whole.reverse()
    return whole


def _paired(items: list[Item]) -> set[int]:
    """Places of calls and outputs that belong together: an output and the newest call for it."""
    waiting: dict[tuple[str, str], int] = {}
    paired: set[int] = set()
    for place, item in enumerate(items):
        pair = pair_of(item)
        if pair is None:
            continue
        if item.kind in ANSWERED:
            waiting[pair] = place
        elif pair in waiting:
            paired |= {waiting.pop(pair), place}
    return paired


def _follows_reasoning(item: Item | None) -> bool:
    if item is None:
        return False
    return item.kind not in ("user", "system", "developer") and item.kind not in ANSWERS
