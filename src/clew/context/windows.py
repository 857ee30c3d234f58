"""Windows: which items of a thread a model sees. Pure; the log itself is never changed.

A window is a suffix of the log, cut by the policy, from which everything is taken out that no model
may see alone (invariant 8): an output without its call, a call without its output that the
conversation has gone past, reasoning without the item it belongs to.

The log is read from its newest end and only as far as the policy reaches, so the cost of a window
does not depend on the length of the thread.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clew.context.tokens import estimate_tokens
from clew.core.items import CALLS, OUTPUTS, Item, call_id


class Policy(msgspec.Struct):
    """How much of a thread: the newest `last_messages` messages, at most `tokens_max` tokens.

    None does not limit; the default is the full window.
    """

    last_messages: int | None = None
    tokens_max: int | None = None


class Window(msgspec.Struct):
    """What a model sees: `items`, oldest first, out of the seqs `first_seq` to `last_seq`.

    `left_out` counts the items in that range that are not shown, `cut` tells whether older ones
    were left out too. `tokens` is an estimate.
    """

    items: list[Item]
    first_seq: int
    last_seq: int
    left_out: int
    cut: bool
    tokens: int


class Reader:
    """Takes the log in, newest first, until the policy has enough."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._items: list[Item] = []
        self._messages = 0
        self._tokens = 0
        self._full = False

    def wants_more(self) -> bool:
        return not self._full

    def take(self, items: Iterable[Item]) -> None:
        """The next items of the log, newest first."""
        for item in items:
            if not self._fits(item):
                self._full = True
                return
            self._items.append(item)

    def window(self) -> Window:
        taken = self._items[::-1]
        shown = _whole(taken)
        return Window(
            items=shown,
            first_seq=taken[0].seq if taken else 0,
            last_seq=taken[-1].seq if taken else 0,
            left_out=len(taken) - len(shown),
            cut=self._full,
            tokens=sum(estimate_tokens(item) for item in shown),
        )

    def _fits(self, item: Item) -> bool:
        policy = self._policy
        if policy.last_messages is not None:
            if item.is_message and self._messages == policy.last_messages:
                return False
            self._messages += item.is_message
        if policy.tokens_max is not None:
            cost = estimate_tokens(item)
            if self._tokens + cost > policy.tokens_max:
                return False
            self._tokens += cost
        return True


def window(items: Iterable[Item], policy: Policy | None = None) -> Window:
    """The window of a whole log given newest first."""
    reader = Reader(policy or Policy())
    reader.take(items)
    return reader.window()


def _whole(items: list[Item]) -> list[Item]:
    """Without what stands alone. Only a cut, or an abandoned turn, leaves such items."""
    if all(item.is_message for item in items):
        return items
    paired = _paired(items)
    whole: list[Item] = []
    follower: Item | None = None
    for place in reversed(range(len(items))):
        item = items[place]
        if item.kind in CALLS or item.kind in OUTPUTS:
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
        if item.kind in CALLS:
            waiting[item.kind, call_id(item)] = place
        elif item.kind in OUTPUTS:
            called = waiting.pop((item.kind.removesuffix("_output"), call_id(item)), None)
            if called is not None:
                paired |= {called, place}
    return paired


def _follows_reasoning(item: Item | None) -> bool:
    if item is None:
        return False
    return item.kind not in ("user", "system", "developer") and item.kind not in OUTPUTS
