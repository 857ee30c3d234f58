"""The script of the scripted model: rules, and the file they come from (docs/scripted.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from clew.core.errors import BadRequest
from clew.providers.turn import Turn

Count = Annotated[int, msgspec.Meta(ge=0)]

_GROUP = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")
_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?\Z", re.DOTALL)
_RULE = re.compile(r"rules\[(\d+)\]\.?")


TEMPLATES = ("reply", "reasoning", "summary", "annotations", "refusal")
"""Fields of a rule whose text may hold groups of the match."""


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call of a function with `arguments`, or of a custom tool with `input`; their text may hold
    groups of the match."""

    name: str
    arguments: dict[str, Any] = {}
    input: str | None = None

    def __post_init__(self) -> None:
        if self.arguments and self.input is not None:
            raise ValueError("`arguments` and `input` exclude each other")

    def filled(self, groups: Mapping[str, str]) -> ScriptedCall:
        return ScriptedCall(self.name, fill(self.arguments, groups), fill(self.input, groups))


class ScriptedHosted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that a model server works on itself: as it begins, the stages it goes through, and
    what is new of it when it is done."""

    item: dict[str, Any]
    stages: list[str] = []
    done: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not isinstance(self.item.get("type"), str):
            raise ValueError("`item` needs a `type`")


class ScriptedError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the model fails: one of the run error codes."""

    code: Literal[
        "server_error", "rate_limit_exceeded", "invalid_prompt", "context_length_exceeded"
    ]
    message: str


class ScriptedUsage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Token counts said in place of the counted words."""

    tokens_in: Count
    tokens_out: Count
    tokens_cached: Count = 0
    tokens_reasoning: Count = 0


class Answer(msgspec.Struct, frozen=True):
    """What the scripted model does with one request; see Rule."""

    text: str = ""
    calls: Sequence[ScriptedCall] = ()
    error: ScriptedError | None = None
    delay_ms: int = 0
    token_delay_ms: int = 0
    usage: ScriptedUsage | None = None
    reasoning: str = ""
    summary: str = ""
    encrypted_content: str | None = None
    hosted: Sequence[ScriptedHosted] = ()
    annotations: Sequence[dict[str, Any]] = ()
    refusal: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to answer, and what. Conditions that are absent hold; times are milliseconds.

    Without `after_tool` a rule answers messages, with it the output of that function, in which
    `output` is searched as `match` is in the message. The model
    thinks (`reasoning`, `summary`), has things done (`hosted`), speaks (`reply` with `annotations`,
    `refusal`); then the calls are made, or the model fails.
    """

    match: str | None = None
    model: str | None = None
    after_tool: str | None = None
    output: str | None = None
    reply: str | None = None
    tool_calls: list[ScriptedCall] = []
    error: ScriptedError | None = None
    delay_ms: Count = 0
    token_delay_ms: Count = 0
    usage: ScriptedUsage | None = None
    reasoning: str | None = None
    summary: str | None = None
    encrypted_content: str | None = None
    hosted: list[ScriptedHosted] = []
    annotations: list[dict[str, Any]] = []
    refusal: str | None = None

    def __post_init__(self) -> None:
        said = (self.reply, self.refusal, self.error)
        if said == (None, None, None) and not self.tool_calls and not self.hosted:
            raise ValueError("it needs `reply`, `tool_calls`, `refusal`, `hosted` or `error`")
        if self.annotations and self.reply is None:
            raise ValueError("`annotations` need a `reply`")
        if self.tool_calls and self.error is not None:
            raise ValueError("`tool_calls` and `error` exclude each other")
        if self.output is not None and self.after_tool is None:
            raise ValueError("`output` needs `after_tool`")
        known = self._groups()
        templates: list[tuple[str, Any]] = [(name, getattr(self, name)) for name in TEMPLATES]
        templates += [("tool_calls", [call.arguments, call.input]) for call in self.tool_calls]
        templates += [("hosted", [one.item, one.done]) for one in self.hosted]
        for field, template in templates:
            for name in sorted(_names(template) - known):
                raise ValueError(
                    f"`{field}` names the group {{{name}}}, which its patterns have not"
                )

    def answer(self, turn: Turn) -> Answer | None:
        """What the rule says to this turn; None when it does not apply."""
        if self.after_tool != turn.tool or self.model not in (None, turn.model):
            return None
        found = re.search(self.match or "", turn.text, re.IGNORECASE)
        put_out = re.search(self.output or "", turn.output, re.IGNORECASE)
        if found is None or put_out is None:
            return None
        groups = {str(n): text or "" for n, text in enumerate((found[0], *found.groups()))}
        groups |= found.groupdict("") | put_out.groupdict("") | {"output": turn.output}
        return Answer(
            text=fill(self.reply or "", groups),
            calls=[call.filled(groups) for call in self.tool_calls],
            error=self.error,
            delay_ms=self.delay_ms,
            token_delay_ms=self.token_delay_ms,
            usage=self.usage,
            reasoning=fill(self.reasoning or "", groups),
            summary=fill(self.summary or "", groups),
            encrypted_content=self.encrypted_content,
            hosted=[
                ScriptedHosted(fill(one.item, groups), one.stages, fill(one.done, groups))
                for one in self.hosted
            ],
            annotations=fill(self.annotations, groups),
            refusal=fill(self.refusal or "", groups),
        )

    def _groups(self) -> set[str]:
        pattern, output = _pattern("match", self.match), _pattern("output", self.output)
        known = {str(number) for number in range(pattern.groups + 1)} | set(pattern.groupindex)
        return known | set(output.groupindex) | ({"output"} if self.after_tool else set())


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A script file: its rules, the first that matches wins."""

    rules: list[Rule]


def load_script(path: str | Path) -> list[Rule]:
    """The rules in a YAML or JSON file. BadRequest names what is wrong, by rule and field."""
    path = Path(path)
    decode = msgspec.json.decode if path.suffix == ".json" else msgspec.yaml.decode
    try:
        return decode(path.read_bytes(), type=Script).rules
    except OSError as error:
        raise BadRequest(f"The script {path} cannot be read: {error.strerror}.") from error
    except msgspec.ValidationError as error:
        raise _complaint(path, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The script {path} is not YAML or JSON: {error}") from error


def fill(template: Any, groups: Mapping[str, str]) -> Any:
    """The template with `{name}` replaced by that group, in every text it holds.

    `{{name}}` stands for a literal `{name}`; other braces are left alone.
    """
    if isinstance(template, str):
        return _GROUP.sub(lambda m: f"{{{m[1]}}}" if m[1] else groups[m[2]], template)
    if isinstance(template, list):
        return [fill(part, groups) for part in template]
    if isinstance(template, dict):
        return {name: fill(part, groups) for name, part in template.items()}
    return template


def _pattern(field: str, said: str | None) -> re.Pattern[str]:
    try:
        return re.compile(said or "")
    except re.error as error:
        raise ValueError(f"`{field}` is not a regular expression: {error}") from error


def _names(template: Any) -> set[str]:
    """The groups a template names."""
    if isinstance(template, str):
        return {found[2] for found in _GROUP.finditer(template) if found[2]}
    if isinstance(template, (list, dict)):
        parts = template.values() if isinstance(template, dict) else template
        return set().union(*map(_names, parts))
    return set()


def _complaint(path: Path, error: str) -> BadRequest:
    found = _WHERE.match(error)
    what, where = (found["what"], found["path"] or "") if found else (error, "")
    rule = _RULE.match(where)
    place = where
    if rule:
        field = where[rule.end() :]
        place = f"rule {int(rule[1]) + 1}" + (f", field `{field}`" if field else "")
    return BadRequest(f"The script {path}, {place or 'as a whole'}: {what}.", where or None)
