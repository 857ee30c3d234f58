"""Ids: a prefix for the noun, a key that nobody guesses and that sorts by time."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core import ids
from clew.core.ids import ALPHABET, KEY_LENGTH, key_of, new_item_id, new_key, new_run_key
from clew.core.items import ITEM_TYPES

NOW = 1_700_000_000_000
times = st.integers(0, 62**8 - 1)


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        ("user", "msg_"),
        ("assistant", "msg_"),
        ("developer", "msg_"),
        ("function_call", "fc_"),
        ("function_call_output", "fco_"),
        ("reasoning", "rs_"),
        ("compaction", "cmp_"),
        ("local_shell_call", "item_"),
        ("something new", "item_"),
    ],
)
def test_an_item_id_says_what_the_item_is(kind: str, prefix: str) -> None:
    """Messages are msg_ whatever their role, known types have a prefix, all others item_."""
    id = new_item_id(kind, NOW)
    assert id.startswith(prefix)
    assert len(id) == len(prefix) + KEY_LENGTH


def test_prefixes_lead_to_one_noun() -> None:
    """No prefix is another's beginning, so an id says what it names."""
    nouns = [prefix for prefixes in ids.PREFIXES.values() for prefix in prefixes]
    items = {ids.item_prefix(kind) for kind in ITEM_TYPES - {"message"}}
    prefixes = [*nouns, *items, "msg_"]
    clashes = [(a, b) for a in prefixes for b in prefixes if a != b and b.startswith(a)]
    assert clashes == []
    assert len(prefixes) == len(set(prefixes))


@given(times)
def test_a_key_is_made_of_letters_and_digits(now: int) -> None:
    """A key is thirty of the 62 letters and digits."""
    key = new_key(now)
    assert len(key) == KEY_LENGTH == 30
    assert set(key) <= set(ALPHABET)


@given(times, times)
def test_later_keys_sort_later(first: int, second: int) -> None:
    """Keys of different milliseconds sort by time, whatever chance adds."""
    if first != second:
        assert (new_key(first) < new_key(second)) == (first < second)


def test_the_beginning_of_a_key_is_its_time() -> None:
    """Two keys of one millisecond differ in their random part alone."""
    first, second = new_key(NOW), new_key(NOW)
    digits = [ALPHABET.index(letter) for letter in first[:8]]
    assert sum(digit * 62**place for place, digit in enumerate(reversed(digits))) == NOW
    assert first[:8] == second[:8]
    assert first[8:] != second[8:]


def test_keys_do_not_repeat() -> None:
    """Keys of one millisecond are all different, beyond one draw of chance."""
    assert len({new_key(NOW) for _ in range(5_000)}) == 5_000


def test_chance_is_130_bits() -> None:
    """Each of the 22 random places takes each of the 62 characters, none much too often."""
    parts = [ids.random_part() for _ in range(5_000)]
    assert {len(part) for part in parts} == {22}
    for place in range(22):
        counts = [sum(part[place] == letter for part in parts) for letter in ALPHABET]
        assert min(counts) > 0
        assert max(counts) < 5_000 * 2 / 64 * 1.6  # two letters stand for two values each


FORK = """
import os
from clew.core.ids import new_key
new_key(0)  # takes chance for many keys
ours, theirs = os.pipe()
if os.fork() == 0:
    os.write(theirs, " ".join(new_key(0) for _ in range(50)).encode())
    os._exit(0)
os.wait()
mine = {new_key(0) for _ in range(50)}
child = set(os.read(ours, 10_000).decode().split())
print(len(mine), len(child), len(mine & child))
"""


def test_a_forked_process_has_chance_of_its_own() -> None:
    """After a fork, parent and child make no key twice."""
    out = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["50", "50", "0"]


def test_a_run_key_begins_with_its_thread() -> None:
    """A run's key leads to its thread, for threads of ours and imported ones."""
    for thread in (new_key(NOW), "imported-thread_1", "x"):
        run = new_run_key(thread, NOW)
        assert run.startswith(thread)
        assert ids.thread_of_run(run) == thread


@pytest.mark.parametrize("run", ["", "x", "x" * KEY_LENGTH])
def test_a_short_run_key_has_no_thread(run: str) -> None:
    """What is no longer than one key alone cannot be a run of ours."""
    assert ids.thread_of_run(run) is None


@pytest.mark.parametrize(
    ("noun", "id", "key"),
    [
        ("thread", "thread_abc", "abc"),
        ("thread", "conv_abc", "abc"),
        ("run", "run_abc", "abc"),
        ("run", "resp_abc", "abc"),
        ("assistant", "asst_abc", "abc"),
        ("thread", "thread_68a-b_c", "68a-b_c"),
        ("thread", "thread_conv_x", "conv_x"),
        ("thread", "thread_" + "x" * 200, "x" * 200),
    ],
)
def test_the_key_of_an_id(noun: str, id: str, key: str) -> None:
    """Each prefix of a noun gives the key, imported keys as they came."""
    assert key_of(noun, id) == key


@pytest.mark.parametrize(
    ("noun", "id"),
    [
        ("thread", "abc"),
        ("thread", "run_abc"),
        ("run", "thread_abc"),
        ("assistant", "assistant_abc"),
        ("thread", "Thread_abc"),
        ("thread", " thread_abc"),
        ("thread", "thread_"),
        ("thread", "thread_a b"),
        ("thread", "thread_a/b"),
        ("thread", "thread_abc\n"),
        ("thread", "thread_a\0"),
        ("thread", "thread_é"),
        ("thread", "thread_٣"),
        ("thread", "thread_\ud800"),
        ("thread", "thread_" + "x" * 201),
    ],
)
def test_what_is_no_id_of_the_noun(noun: str, id: str) -> None:
    """A foreign prefix, an odd character, nothing or too much after it: no key."""
    assert key_of(noun, id) is None


@given(st.text(max_size=12) | st.text("aZ0_-", max_size=210))
def test_is_id(text: str) -> None:
    """An id is 1 to 200 letters, digits, underscores and hyphens."""
    allowed = set(ALPHABET) | set("_-")
    assert ids.is_id(text) == (0 < len(text) <= 200 and set(text) <= allowed)


def test_whose_id_it_is() -> None:
    """Ours are of one length; those of others are shorter, longer or of another noun."""
    ours = f"vs_{ids.new_key(1_700_000_000_000)}"
    assert ids.is_made_here("vector_store", ours)
    theirs = ("vs_abc123", "vs_68f0a1b2c3d48191b0a1b2c3d4e5f607", ours + "x", ours[:-1] + "_")
    assert not any(ids.is_made_here("vector_store", id) for id in theirs)
    assert not ids.is_made_here("file", ours)
