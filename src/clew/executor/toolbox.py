"""The tools of one run that Clew runs itself: offered to the model as functions, and done.

An upstream that has a tool of its own keeps it, unless what it works on is here: the files and
vector stores of a thread, or of an assistant, are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from clew.core.citations import cite
from clew.core.code_citations import cited, files_of
from clew.core.ids import is_made_here
from clew.core.items import Item, new_item
from clew.core.runs import Run
from clew.executor.choosing import chosen
from clew.providers.provider import ModelRequest
from clew.tools.tool import Function, Place, Tell, Tool, ToolError

Json = dict[str, Any]

_MCP = frozenset({"mcp_list_tools", "mcp_approval_request", "mcp_approval_response"})
"""What there is in a log of MCP servers beside the calls themselves."""

_encode = msgspec.json.Encoder().encode


class Asked(msgspec.Struct):
    """A function of ours that the model called: `arguments` is what it wrote."""

    name: str
    arguments: str


class Toolbox:
    """`tools` are by their type; `foreign` are the types of those that the upstream has itself;
    `load` gives what the run's tools may work on, as it stands."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        project: str,
        run: Run,
        foreign: frozenset[str],
        load: Callable[[], Awaitable[Json]] | None = None,
    ) -> None:
        self._tools, self._project, self._run = tools, project, run
        self._load = load
        self._resources: Json = {}
        self._foreign = foreign
        self._ours = [tool for tool in run.tools if is_ours(tool, run, tools, foreign)]
        self._by_kind = {tool.kind: tool for tool in tools.values()}
        self._by_function: dict[str, tuple[Tool, Place]] = {}
        self._functions: list[Function] = []
        self._seen: list[Json] = []

    @property
    def is_empty(self) -> bool:
        return not self._ours

    async def open(self, items: Sequence[Item]) -> list[Json]:
        """Look what the tools offer, given what is in the window; items to be stored because of it.

        Raises ToolError.
        """
        self._functions, self._by_function = [], {}
        await self._look()
        news: list[Json] = []
        named = {tool["name"] for tool in self._run.tools if tool["type"] == "function"}
        seen = [_whole(item) for item in items if not item.is_message and item.kind != "reasoning"]
        self._seen = seen
        for config in self._ours:
            tool, place = self._tools[config["type"]], self._place(config)
            offer = await tool.offer(place, [*seen, *news])
            news += offer.items
            for function in offer.functions:
                if function.name in named:
                    raise ToolError(f"Two tools of this run have the name '{function.name}'.")
                named.add(function.name)
                self._functions.append(function)
                self._by_function[function.name] = tool, place
        return news

    def owns(self, function: str) -> bool:
        return function in self._by_function

    def cites(self, text: str) -> list[Json]:
        """The annotations of a text by what is in the window of searches and code."""
        searches = [item for item in self._seen if item["type"] == "file_search_call"]
        files = [file for item in self._seen for file in files_of(item)]
        return cite(text, searches) + cited(text, files)

    def equip(
        self, request: ModelRequest, *, spent: bool = False, called: bool = False
    ) -> ModelRequest:
        """The request with our tools as functions, and what they did as calls and outputs.

        When the run's calls are `spent` none of ours is offered; a model that has `called` one need
        not call more.
        """
        items = [shown for item in request.items for shown in self._shown(item, request.items)]
        if not self._ours:
            return replace(request, items=items)
        ours = {id(tool) for tool in self._ours}
        offered = [] if spent else [_function(function) for function in self._functions]
        tools = [tool for tool in self._run.tools if id(tool) not in ours] + offered
        named = {name: place.config for name, (_, place) in self._by_function.items()}
        choice = chosen(request.tool_choice, tools, named, free=called)
        return replace(request, items=items, tools=tools, tool_choice=choice)

    def ask(self, asked: Asked) -> Json:
        tool, place = self._by_function[asked.name]
        return tool.ask(place, asked.name, asked.arguments)

    def approved(self, items: Sequence[Item]) -> list[Json]:
        """Calls that the client has approved and that were not made yet, as asked for."""
        made = {item.data().get("approval_request_id") for item in items if item.kind == "mcp_call"}
        requests = {item.id: item for item in items if item.kind == "mcp_approval_request"}
        calls = []
        for item in items:
            if item.kind != "mcp_approval_response" or item.seq < self._run.first_seq:
                continue
            data = item.data()
            request = requests.get(data["approval_request_id"])
            mcp: Any = self._tools.get("mcp")
            if data["approve"] and request is not None and request.id not in made and mcp:
                calls.append(mcp.approved(_whole(request)))
        return calls

    def does(self, item: Item) -> bool:
        """Whether an item is a call of ours that has not come to its end."""
        return item.kind in self._by_kind and item.data().get("status") in (
            "in_progress",
            self._by_kind[item.kind].begun,
        )

    def is_call(self, item: Item) -> bool:
        """Whether an item is a call of ours, done or not."""
        return item.kind in self._by_kind

    def begun(self, item: Item) -> Item:
        """The item, its work begun."""
        return _changed(item, {"status": self._by_kind[item.kind].begun})

    def lost(self, item: Item) -> Item | None:
        """What becomes of a call that was begun by somebody who is gone; None: do it again."""
        tool = self._by_kind[item.kind]
        if item.data()["status"] != tool.begun or tool.repeats:
            return None
        return _changed(item, tool.lost(_whole(item)))

    def dropped(self, item: Item) -> Item:
        """What becomes of a call that nobody will make any more."""
        return _changed(item, {"status": "incomplete"})

    async def act(self, item: Item, tell: Tell) -> Item:
        tool = self._by_kind[item.kind]
        await self._look()
        place = self._place(self._config_of(item, tool.type))
        return _changed(item, await tool.act(place, _whole(item), tell))

    async def _look(self) -> None:
        if self._ours and self._load is not None:
            self._resources = await self._load()

    def _config_of(self, item: Item, type: str) -> Json:
        """The tool that a call is of; one of another MCP server is none."""
        label = item.data().get("server_label")
        for config in self._ours:
            if config["type"] == type and config.get("server_label") == label:
                return config
        return {"type": type}

    def _place(self, config: Json) -> Place:
        return Place(self._project, self._run.thread, self._run.key, config, self._resources)

    def _shown(self, item: Item, window: Sequence[Item]) -> list[Item]:
        """An item of ours as models read it that know only functions."""
        type = "mcp" if item.kind in _MCP else item.kind.removesuffix("_call")
        ours = any(config["type"] == type for config in self._ours)
        if type not in self._tools:
            return [item]
        if type in self._foreign and not ours and not _is_made_here(item):
            return [item]
        if item.kind in _MCP:
            return self._answered(item, window)
        if self.does(item):
            return []
        told = self._tools[type].told(_whole(item))
        return [] if told is None else _pair(item, *told)

    def _answered(self, request: Item, window: Sequence[Item]) -> list[Item]:
        """An approval is not shown, for the call is; a refusal is."""
        if request.kind != "mcp_approval_request":
            return []
        for item in window:
            if item.kind == "mcp_approval_response":
                data = item.data()
                if data["approval_request_id"] == request.id and not data["approve"]:
                    mcp: Any = self._tools["mcp"]
                    return _pair(request, *mcp.declined(_whole(request), data.get("reason")))
        return []


def is_ours(tool: Json, run: Run, tools: Mapping[str, Tool], foreign: frozenset[str]) -> bool:
    """Whether Clew runs this tool of a run; `foreign` are those that the upstream can run."""
    kind = tool["type"]
    if kind not in tools:
        return False
    stores = tool.get("vector_store_ids") or ()
    here = bool(stores) and all(is_made_here("vector_store", id) for id in stores)
    return kind not in foreign or run.assistant is not None or here


def _is_made_here(item: Item) -> bool:
    """Whether Clew did what this item tells of: the files and containers in it are ours."""
    data = item.data()
    if item.kind == "file_search_call":
        found = data.get("results") or ()
        ours = all(is_made_here("file", each.get("file_id") or "") for each in found)
        return ours if found else "error" in data
    return item.kind == "code_interpreter_call" and "files" in data


def _whole(item: Item) -> Json:
    return {"id": item.id, **item.data()}


def _changed(item: Item, changes: Mapping[str, Any]) -> Item:
    data = item.data() | {name: value for name, value in changes.items() if name != "id"}
    return replace(new_item(item.id, data, item.created_at, item.run), seq=item.seq)


def _function(function: Function) -> Json:
    return {
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
        "strict": False,
    }


def _pair(item: Item, name: str, arguments: str, output: str) -> list[Item]:
    """A finished call of ours as a function call and its output."""
    call = {"call_id": f"call_{item.id}", "name": name, "arguments": arguments}
    answer = {"call_id": f"call_{item.id}", "output": output}
    return [
        replace(item, kind="function_call", body=_encode({"status": "completed", **call})),
        replace(item, id=f"{item.id}_output", kind="function_call_output", body=_encode(answer)),
    ]
