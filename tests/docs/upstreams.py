"""What each kind of upstream can do, from what the providers say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from textwrap import fill

from clew.providers.abilities import HINTS, NAMES, OUR_INCLUDE, OURS
from clew.providers.catalog import KINDS
from clew.providers.provider import Abilities
from clew.providers.scripted import Scripted

ABILITIES = {
    **{kind: provider.abilities for kind, provider in KINDS.items()},
    "scripted": Scripted.abilities,
}

OURS_TO_DO = ("code_interpreter", "file_search", "mcp")
"""Tools that Clew has itself, for every kind that does not have them."""

REASONING = ("context", "generate_summary", "mode", "summary")
"""What `reasoning` may ask for beside its effort, which every kind is told."""

_HEAD = """
## What a model can do

A run is done by a model, and models stand behind upstreams of different kinds. What an upstream
cannot do is refused by name when the run is created, before anything is stored or asked. Text,
function calls, `temperature`, `top_p`, limits, `tool_choice`, `parallel_tool_calls` and
`reasoning.effort` go to every kind. A tool that says "Clew" is [Clew's own](tools/README.md): the
model is offered functions, and Clew does what they ask for. `scripted` is the model that is built
in. For chat completions there is one more rule: to an `openai-compatible` upstream a request goes
on whole, whatever is in it; for the other kinds, what they cannot carry is refused by name.
"""
_HINTS = (
    "Hints that change no answer are taken by all, and passed on where they are known: {hints}."
)


def section() -> str:
    hints = ", ".join(f"`{name}`" for name in sorted(HINTS - {"metadata"}))
    return "\n".join([_HEAD, *_table(), "", fill(_HINTS.format(hints=hints), 100), ""])


def tools() -> list[str]:
    """Every tool type that some kind can do."""
    return sorted(set().union(*(one.tools for one in ABILITIES.values())))


def settings() -> list[str]:
    """Every setting that some kinds can do and some cannot, by its parameter's name."""
    said = set().union(*(one.settings for one in ABILITIES.values())) - OURS - HINTS
    named = {NAMES.get(name, name) for name in said if not name.startswith("reasoning")}
    return sorted(named | {f"reasoning.{name}" for name in REASONING})


def formats() -> list[str]:
    """Every type of `text.format`."""
    return sorted(set().union(*(one.formats for one in ABILITIES.values())))


def includes() -> list[str]:
    """Every value of `include` that is the upstream's to give."""
    return sorted(set().union(*(one.include for one in ABILITIES.values())) - OUR_INCLUDE)


def can_set(abilities: Abilities, param: str) -> bool:
    name = next((ours for ours, shown in NAMES.items() if shown == param), param)
    whole = name.startswith("reasoning.") and "reasoning" in abilities.settings
    return whole or name in abilities.settings


def _table() -> Iterator[str]:
    yield f"| | {' | '.join(ABILITIES)} |"
    yield "|---" * (len(ABILITIES) + 1) + "|"
    for name in tools():
        cells = (_does(abilities, name) for abilities in ABILITIES.values())
        yield f"| tool `{name}` | {' | '.join(cells)} |"
    yield from _rows("", settings(), can_set)
    yield from _rows("format", formats(), lambda abilities, name: name in abilities.formats)
    yield from _rows("include", includes(), lambda abilities, name: name in abilities.include)
    limits = (f"{one.temperature_max:g}" for one in ABILITIES.values())
    yield f"| highest `temperature` | {' | '.join(limits)} |"
    compacts = (_said(one.compacts) for one in ABILITIES.values())
    yield f"| compacts a history itself | {' | '.join(compacts)} |"


def _does(abilities: Abilities, tool: str) -> str:
    if tool not in abilities.tools and tool in OURS_TO_DO:
        return "Clew"
    return _said(tool in abilities.tools)


def _rows(kind: str, names: Iterable[str], can: Callable[[Abilities, str], bool]) -> Iterator[str]:
    for name in names:
        cells = (_said(can(abilities, name)) for abilities in ABILITIES.values())
        yield f"| {kind} `{name}` | {' | '.join(cells)} |".replace("|  `", "| `")


def _said(can: bool) -> str:
    return "yes" if can else "–"
