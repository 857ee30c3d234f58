"""What a run asks of its model is checked before the run is stored."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.errors import BadRequest
from clew.core.runs import Run
from clew.executor.executor import Executor
from clew.providers.catalog import Catalog
from clew.store.sqlite import SQLiteStore

from .stage import play

URL = "http://x.test/v1"


def refusal_of(run: Run, **options: Any) -> BadRequest | None:
    """What the executor says to the run."""
    said: list[BadRequest] = []

    async def main() -> None:
        store, catalog = await SQLiteStore.open(":memory:"), Catalog(**options)
        executor = Executor(store, catalog, lambda: 0)
        try:
            executor.check(run)
        except BadRequest as refusal:
            said.append(refusal)
        await executor.close()
        await catalog.close()
        await store.close()

    play(main())
    return said[0] if said else None


def test_a_run_that_its_model_can_do_passes() -> None:
    """Functions are everybody's."""
    assert refusal_of(Run("r", "t", 0, "m", tools=[{"type": "function", "name": "f"}])) is None


def test_what_the_runs_own_model_cannot_do_is_refused() -> None:
    """It is the model of the run that counts, not any model there is."""
    upstreams = [{"url": URL, "kind": "openai-responses", "models": ["gpt-*"]}]
    tools = [{"type": "web_search"}]
    assert refusal_of(Run("r", "t", 0, "gpt-0", tools=tools), upstreams=upstreams) is None
    refusal = refusal_of(Run("r", "t", 0, "scripted", tools=tools), upstreams=upstreams)
    assert refusal is not None
    assert (refusal.param, refusal.wire_code) == ("tools[0].type", "unsupported_parameter")


@pytest.mark.parametrize("model", ["llama", ""])
def test_a_model_nobody_answers_for_is_refused(model: str) -> None:
    """OpenAI's words and code."""
    upstreams = [{"url": URL, "models": ["gpt-*"]}]
    refusal = refusal_of(Run("r", "t", 0, model), upstreams=upstreams)
    assert refusal is not None
    assert (refusal.param, refusal.wire_code) == ("model", "model_not_found")
