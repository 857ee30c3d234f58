"""The toolbox: the tools of a run that Clew does itself, as models that know only functions see
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from clew.core.items import Item, new_item
from clew.core.runs import Run
from clew.executor.toolbox import Asked, Toolbox, is_ours
from clew.providers.provider import ModelRequest
from clew.tools.tool import ToolError

from .desk import Desk, asked
from .stage import T0, play, user

MCP: dict[str, Any] = {"type": "mcp", "server_label": "desk", "server_url": "http://desk"}
CODE: dict[str, Any] = {"type": "code_interpreter"}
OWN: dict[str, Any] = {"type": "function", "name": "own", "parameters": {}}


def tools(*types: str) -> dict[str, Desk]:
    return {type: Desk(type) for type in types}


def run(*configs: dict[str, Any], **fields: Any) -> Run:
    return Run("RUN", "T", T0, "m", tools=list(configs), input_seq=1, last_seq=1, **fields)


def box(
    *configs: dict[str, Any], foreign: Sequence[str] = (), made: dict[str, Desk] | None = None
) -> Toolbox:
    made = made or tools("mcp", "code_interpreter")
    return Toolbox(made, "proj", run(*configs), frozenset(foreign))


def call(id: str, status: str = "in_progress", **fields: Any) -> Item:
    return new_item(id, asked("it", status, **fields), T0, "RUN")


def equipped(toolbox: Toolbox, *items: Item, choice: Any = "auto", **how: bool) -> ModelRequest:
    """What a model is asked once the tools have been looked at."""

    async def main() -> None:
        await toolbox.open([user("hi"), *items])

    play(main())
    request = ModelRequest(model="m", items=[user("hi"), *items], tools=[], tool_choice=choice)
    return toolbox.equip(request, **how)


@pytest.mark.parametrize(
    ("config", "foreign", "assistant", "ours"),
    [
        (MCP, (), None, True),
        (MCP, ("mcp",), None, False),
        (MCP, ("mcp",), "A", True),
        (OWN, (), None, False),
        ({"type": "web_search"}, (), "A", False),
    ],
)
def test_whose_a_tool_is(
    config: dict[str, Any], foreign: tuple[str, ...], assistant: str | None, ours: bool
) -> None:
    """An upstream keeps those it has itself, unless an assistant's things are here."""
    made: Any = tools("mcp")
    assert is_ours(config, run(config, assistant=assistant), made, frozenset(foreign)) is ours


def test_our_tools_are_offered_as_functions() -> None:
    """In the place of what the run names; those of the client stay."""
    request = equipped(box(OWN, MCP))
    assert [(tool["type"], tool["name"]) for tool in request.tools] == [
        *(("function", "own"), ("function", "desk"))
    ]


def test_a_run_without_tools_of_ours_is_left_as_it_is() -> None:
    """Nothing is offered, nothing is chosen."""
    request = equipped(box(OWN), choice="required")
    assert (request.tools, request.tool_choice) == ([], "required")


@pytest.mark.parametrize(
    ("choice", "how", "chosen"),
    [
        ("auto", {}, "auto"),
        ("required", {}, "required"),
        ("none", {}, "none"),
        ({"type": "mcp", "server_label": "desk"}, {}, {"type": "function", "name": "desk"}),
        ({"type": "function", "name": "own"}, {}, {"type": "function", "name": "own"}),
        ({"type": "code_interpreter"}, {}, {"type": "function", "name": "code_interpreter"}),
        ("required", {"called": True}, "auto"),
        ({"type": "code_interpreter"}, {"called": True}, "auto"),
        ("none", {"called": True}, "none"),
        ("required", {"spent": True}, None),
    ],
)
def test_what_the_model_may_choose(choice: Any, how: dict[str, bool], chosen: Any) -> None:
    """A tool of ours that must be called is its function; once one was called the model is free;
    with none left there is nothing to choose."""
    made = tools("mcp", "code_interpreter")
    made["code_interpreter"].functions = ["code_interpreter"]
    assert equipped(box(MCP, CODE, made=made), choice=choice, **how).tool_choice == chosen


def test_two_functions_of_one_name_fail_the_run() -> None:
    """Nobody could tell which of them is called."""

    async def main() -> None:
        with pytest.raises(ToolError, match="Two tools of this run have the name 'desk'"):
            await box(MCP, CODE).open([])
        with pytest.raises(ToolError, match="Two tools"):
            await box(OWN | {"name": "desk"}, MCP).open([])

    play(main())


def test_a_finished_call_is_read_as_a_call_and_its_output() -> None:
    """One that failed as well, with what went wrong."""
    items = call("mcp_1", "completed", output="done"), call("mcp_2", "failed", error="broke")
    request = equipped(box(MCP), *items)
    assert [item.kind for item in request.items] == [
        *("user", "function_call", "function_call_output", "function_call", "function_call_output")
    ]
    outputs = [item.data() for item in request.items if item.kind == "function_call_output"]
    assert [data["output"] for data in outputs] == ["done", "broke"]
    ids = [item.data()["call_id"] for item in request.items if item.kind != "user"]
    assert ids == ["call_mcp_1", "call_mcp_1", "call_mcp_2", "call_mcp_2"]


@pytest.mark.parametrize("status", ["in_progress", "calling"])
def test_a_call_that_has_not_ended_is_shown_to_no_model(status: str) -> None:
    """There is no output to go with it."""
    assert [one.kind for one in equipped(box(MCP), call("mcp_1", status)).items] == ["user"]


def test_calls_of_an_upstream_stay_as_they_are() -> None:
    """It made them itself, and knows their kind."""
    item = call("mcp_1", "completed", output="done")
    request = equipped(box(MCP, foreign=["mcp"]), item)
    assert request.items[1:] == [item]


def test_how_far_a_call_came() -> None:
    """Asked for, begun, and what becomes of it when nobody knows, or nobody will do it."""
    toolbox = box(MCP)
    fresh, begun = call("mcp_1"), call("mcp_1", "calling")
    assert toolbox.begun(fresh).data()["status"] == "calling"
    assert toolbox.lost(fresh) is None
    lost = toolbox.lost(begun)
    assert lost is not None
    assert (lost.id, lost.data()["status"], lost.data()["error"]) == (
        *("mcp_1", "failed", "nobody knows"),
    )
    assert toolbox.dropped(fresh).data()["status"] == "incomplete"
    assert [toolbox.does(one) for one in (fresh, begun, lost, user("hi"))] == [
        *(True, True, False, False)
    ]
    assert (toolbox.is_call(lost), toolbox.is_call(user("hi"))) == (True, False)


def test_a_call_that_may_repeat_is_not_lost() -> None:
    """Whoever takes the turn over makes it again."""
    desk = Desk(repeats=True)
    assert box(MCP, made={"mcp": desk}).lost(call("mcp_1", "calling")) is None


def test_what_a_tool_does_to_its_item_leaves_its_place() -> None:
    """Id, seq and time are the log's."""

    async def main() -> None:
        item = call("mcp_1", "calling")
        item.seq = 7
        done = await box(MCP).act(item, lambda stage, data: None)
        assert (done.id, done.seq, done.created_at, done.run) == ("mcp_1", 7, T0, "RUN")
        assert (done.data()["status"], done.data()["output"]) == ("completed", "did it")

    play(main())


def test_only_functions_that_were_offered_are_ours() -> None:
    """Others are for the client to answer."""

    async def main() -> None:
        toolbox = box(OWN, MCP)
        assert not toolbox.owns("desk")
        await toolbox.open([])
        assert [toolbox.owns(name) for name in ("desk", "own", "other")] == [True, False, False]
        assert toolbox.ask(Asked("desk", "x"))["arguments"] == "x"
        assert (toolbox.is_empty, box(OWN).is_empty) == (False, True)

    play(main())
