"""Vector stores on the wire: whatever is let in can be decoded; what comes out is the SDK's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from openai.types import VectorStore as VectorStoreObject
from openai.types import VectorStoreSearchResponse
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch

from clew.core.errors import BadRequest, ClewError
from clew.core.vector_stores import Comparison, Compound, FileBatch, Found, filter_of, matches
from clew.wire import file_batches, store_files, tool_resources, vector_stores
from clew.wire.filters import FILTER, NESTED_MAX

from .official import strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_999


@given(allowed(vector_stores.CREATE).filter(lambda body: not body.get("file_ids")))
@examples(60)
def test_every_store_is_the_sdks(body: dict[str, Any]) -> None:
    """Every store the spec allows comes back as the SDK types it."""
    store, files = vector_stores.decode_vector_store(body, NOW)
    shown = strict(VectorStoreObject, vector_stores.encode_vector_store(store, NOW))
    assert (shown.name, shown.metadata) == (body.get("name") or "", body.get("metadata") or {})
    assert files == []


@given(allowed(store_files.CREATE))
@examples(60)
def test_every_file_is_the_sdks(body: dict[str, Any]) -> None:
    """Every file the spec allows comes back as the SDK types it, or its id is refused."""
    try:
        store_files.CREATE.check(body)
        file = store_files.decode_file("k", body, NOW)
    except ClewError:
        return
    shown = strict(VectorStoreFile, store_files.encode_file(file))
    assert shown.attributes == (body.get("attributes") or {})


def test_what_is_found_and_batched_is_the_sdks() -> None:
    """Search results and batches are as the SDK types them."""
    found = Found("k", "a.txt", {"a": 1}, 0, "text", 0.5)
    page = vector_stores.encode_results(["q"], [found])
    result = strict(VectorStoreSearchResponse, page["data"][0])
    assert (result.file_id, result.score, result.content[0].text) == ("file-k", 0.5, "text")
    batch = strict(VectorStoreFileBatch, file_batches.encode_batch(FileBatch("b", "s", NOW)))
    assert (batch.id, batch.vector_store_id) == ("vsfb_b", "vs_s")


@given(allowed(FILTER))
@examples(100)
def test_every_filter_can_be_asked(body: dict[str, Any]) -> None:
    """Whatever filter is let in holds or does not hold of any attributes."""
    assert isinstance(matches(filter_of(body), {"a": 1, "b": "x"}), bool)


def test_filters_are_decoded_in_depth() -> None:
    """A filter holds others as deep as is allowed, and no deeper."""
    body: dict[str, Any] = {"key": "a", "value": 1}
    for _ in range(NESTED_MAX):
        body = {"type": "and", "filters": [body]}
    FILTER.check(body)
    filter = filter_of(body)
    while isinstance(filter, Compound):
        (filter,) = filter.filters
    assert filter == Comparison("eq", "a", 1)
    deeper = {"type": "or", "filters": [body]}
    with pytest.raises(BadRequest) as refusal:
        FILTER.check(deeper)
    assert refusal.value.wire_code == "invalid_value"


@given(
    bodies_like(["query", "filters", "type", "key", "value", "file_ids", "files", "file_search"])
)
@examples(150)
def test_no_body_breaks_the_specs(body: Any) -> None:
    """Whatever comes as a body is let in or refused."""
    for spec in (
        vector_stores.CREATE,
        vector_stores.UPDATE,
        vector_stores.SEARCH,
        store_files.CREATE,
        store_files.UPDATE,
        file_batches.CREATE,
        tool_resources.NEW_TOOL_RESOURCES,
    ):
        try:
            spec.check(body)
        except BadRequest as refusal:
            refusal.message.encode()
        assert spec.schema()
