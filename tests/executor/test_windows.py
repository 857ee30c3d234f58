"""Windows as they are read from a log, and as they are put to a model."""

from __future__ import annotations

from typing import Any

import pytest

from clew.context.budgets import Budget
from clew.core.compactions import compaction
from clew.core.items import new_item
from clew.core.runs import Run
from clew.executor import windows
from clew.executor.vocabularies import counter_for
from clew.executor.windows import (
    SUMMARY,
    around,
    count,
    last_messages_of,
    read_window,
    request_of,
    truncates,
)
from clew.providers.provider import ModelRequest

from .stage import T0, play, stage, user


def test_a_window_is_read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many chunks a log takes, the window is the same and only as much is read."""

    async def main() -> None:
        async with stage() as here:
            texts = [str(number) for number in range(10)]
            thread = await here.thread(*texts)
            whole = await read_window(here.store, here.project, thread)
            assert [item.text() for item in whole.items] == texts
            for least, most in ((1, 1), (1, 2), (2, 4), (3, 1024), (9, 9), (10, 10), (11, 11)):
                monkeypatch.setattr(windows, "CHUNK_MIN", least)
                monkeypatch.setattr(windows, "CHUNK_MAX", most)
                assert await read_window(here.store, here.project, thread) == whole
                few = await read_window(here.store, here.project, thread, last_messages=2)
                assert ([item.text() for item in few.items], few.cut) == (["8", "9"], True)

    play(main())


def test_long_texts_are_counted_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread or not, the window and the count are the same."""

    async def main() -> None:
        async with stage() as here:
            thread = await here.thread(*("word " * size for size in (1, 50, 500)))
            counter = await counter_for("m")
            seen = await read_window(
                here.store, here.project, thread, tokens_max=565, counter=counter
            )
            assert [len(item.text()) for item in seen.items] == [250, 2500]
            spent = await count(counter, seen.items)
            monkeypatch.setattr(windows, "BYTES_AT_ONCE", 10)
            again = await read_window(
                here.store, here.project, thread, tokens_max=565, counter=counter
            )
            assert again == seen
            assert await count(counter, seen.items) == spent <= 565

    play(main())


@pytest.mark.parametrize(
    ("pauses", "settings", "last_messages", "may_cut"),
    [
        (True, {}, None, True),
        (True, {"truncation_strategy": {"type": "auto", "last_messages": 3}}, None, True),
        (True, {"truncation_strategy": {"type": "last_messages", "last_messages": 3}}, 3, False),
        (False, {}, None, False),
        (False, {"truncation": "disabled"}, None, False),
        (False, {"truncation": "auto"}, None, True),
    ],
)
def test_what_a_run_lets_be_left_out(
    pauses: bool, settings: dict[str, Any], last_messages: int | None, may_cut: bool
) -> None:
    """`truncation_strategy` of a run and `truncation` of a response, each with its own default."""
    run = Run("TR", "T", T0, "m", settings=settings, pauses=pauses)
    assert (last_messages_of(run), truncates(run)) == (last_messages, may_cut)


def test_a_summary_is_said_as_a_message() -> None:
    """A compaction of ours reaches any model; one that an upstream sealed goes as it is."""
    ours = new_item("cmp_1", compaction("They met."), T0)
    other = new_item("cmp_2", {"type": "compaction", "encrypted_content": "gAAAA"}, T0)
    said, kept, last = request_of(Run("TR", "T", T0, "m"), [ours, other, user("hi")]).items
    assert (said.kind, said.text()) == ("user", SUMMARY + "They met.")
    assert (kept, last.text()) == (other, "hi")


def test_what_is_left_of_the_budget_is_what_the_model_may_say() -> None:
    """Without a budget of its own, what the run set."""
    run = Run("TR", "T", T0, "m", settings={"max_output_tokens": 300})
    assert request_of(run, []).tokens_max == 300
    assert request_of(run, [], Budget(None, 17)).tokens_max == 17


def test_what_surrounds_the_items_costs_too() -> None:
    """Instructions, each tool and a schema for the answer."""

    async def main() -> None:
        counter = await counter_for("m")
        bare = around(counter, Run("TR", "T", T0, "m"))
        tool = {"type": "function", "name": "f"}
        schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}}
        more = [
            Run("TR", "T", T0, "m", instructions="Be brief."),
            Run("TR", "T", T0, "m", tools=[tool]),
            Run("TR", "T", T0, "m", settings={"text_format": schema}),
        ]
        assert bare == 3
        assert around(counter, more[0]) == bare + 4 + 3
        assert all(around(counter, run) > bare + 4 for run in more)
        plain = Run("TR", "T", T0, "m", settings={"text_format": {"type": "text"}})
        assert around(counter, plain) == bare

    play(main())


def test_what_a_model_is_asked() -> None:
    """Every setting of a run that a model knows reaches it; what was not said is not sent."""
    tool = {"type": "function", "name": "f", "parameters": {}, "strict": True}
    settings = {
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0.0,
        "top_p": 0.5,
        "max_output_tokens": 16,
        "text_format": {"type": "json_object"},
        "reasoning": {"effort": "low"},
    }
    run = Run("TR", "T", T0, "m", instructions="x", tools=[tool], settings=settings)
    assert request_of(run, []) == ModelRequest(
        "m",
        [],
        "x",
        [tool],
        "required",
        False,
        0.0,
        0.5,
        16,
        {"type": "json_object"},
        "low",
        settings,
    )
    assert request_of(Run("TR", "T", T0, "m"), []) == ModelRequest("m", [])
