"""What tools may use: pure rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import BadRequest
from clew.core.tool_resources import (
    FILES_MAX,
    file_keys,
    files_of,
    merged,
    store_key,
    stores_of,
    with_files,
    with_store,
    without,
)


def holding(files: list[str], stores: list[str] = []) -> dict[str, object]:  # noqa: B006
    return {
        "code_interpreter": {"file_ids": files},
        "file_search": {"vector_store_ids": stores},
    }


def test_the_threads_come_first():
    """A run may use what the thread has, then what the assistant has, each once."""
    both = merged(holding(["file-a", "file-b"], ["vs_t"]), holding(["file-b", "file-c"], ["vs_a"]))
    assert both == holding(["file-a", "file-b", "file-c"], ["vs_t", "vs_a"])


@pytest.mark.parametrize("nothing", [None, {}, {"file_search": {}}, {"code_interpreter": None}])
def test_nothing_adds_nothing(nothing: dict[str, object] | None):
    """Whichever of the two has nothing, the other is all there is."""
    some = holding(["file-a"], ["vs_t"])
    assert merged(nothing, some) == merged(some, nothing) == some
    assert merged(nothing, nothing) == {}


_IDS = st.lists(st.integers(0, 40).map(lambda n: f"file-{n}"), max_size=FILES_MAX, unique=True)


@given(_IDS, _IDS)
def test_no_more_than_may_be(thread: list[str], assistant: list[str]):
    """However many the two have, the thread's are all there and the sum is within the limit."""
    files = files_of(merged(holding(thread), holding(assistant)))
    assert files[: len(thread)] == thread
    assert len(files) == min(FILES_MAX, len({*thread, *assistant}))


def test_files_are_added_up_to_the_limit():
    """One more than may be is refused by name, and what was there is not changed."""
    was = holding([f"file-{n}" for n in range(FILES_MAX - 1)], ["vs_t"])
    full = with_files(was, ["0", "x"])
    assert files_of(full)[-1] == "file-x"
    assert stores_of(full) == ["vs_t"]
    with pytest.raises(BadRequest, match="maximum length 20, but got an array with length 21"):
        with_files(full, ["y"])
    assert len(files_of(was)) == FILES_MAX - 1


def test_a_store_takes_the_place_of_another():
    """There is one store at a time."""
    assert store_key(with_store(holding([], ["vs_old"]), "new")) == "new"
    assert with_store(None, "new") == {"file_search": {"vector_store_ids": ["vs_new"]}}


def test_what_is_gone_is_left_out():
    """Files that were deleted are not shown; where none was, nothing is copied."""
    some = holding(["file-a", "file-b"])
    assert file_keys(without(some, {"a"})) == ["b"]
    assert without(some, {"c"}) is some
    assert without(None, {"a"}) is None
