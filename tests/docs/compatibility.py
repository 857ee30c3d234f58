"""`docs/compatibility.md`, from the route table, the official client and what the tests drove."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec
import openai
from openai.types.beta.assistant_stream_event import AssistantStreamEvent
from openai.types.responses.response_stream_event import ResponseStreamEvent
from openai.types.responses.responses_server_event import ResponsesServerEvent

from clew.server.http import Route
from clew.server.routes import ROUTES
from clew.wire.checks import Either, ListOf, Nullable, Record, Spec, Tagged, Unsupported

from . import official, upstreams

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

GROUPS = {
    "Assistants": r"/assistants",
    "Threads, messages, runs, steps": r"/threads",
    "Conversations": r"/conversations",
    "Responses": r"/responses",
    "Chat completions": r"/chat/completions",
    "Models": r"/models",
    "Files": r"/files",
    "Uploads": r"/uploads",
    "Vector stores": r"/vector_stores",
    "ChatKit": r"/chatkit",
    "Webhooks": r"/webhook_(endpoints|event_types)",
}
"""What Clew serves of OpenAI's surface, by the beginning of the path."""

REFUSED = {
    ("POST", "/v1/chatkit/sessions"): "sessions belong to OpenAI's hosted Agent Builder",
    ("POST", "/v1/chatkit/sessions/{session_id}/cancel"): "there are no sessions",
    ("DELETE", "/v1/models/{model}"): "only a fine-tuned model can be deleted, and Clew has none",
}
"""Endpoints that always refuse, and why."""

_SPOKEN = "no upstream that Clew can ask answers in audio"
NOT_SENT = {
    ("run", "error"): "what goes wrong once a stream has begun is told by `thread.run.failed`",
    ("response", "response.audio.delta"): _SPOKEN,
    ("response", "response.audio.done"): _SPOKEN,
    ("response", "response.audio.transcript.delta"): _SPOKEN,
    ("response", "response.audio.transcript.done"): _SPOKEN,
}
"""Events of the official client that Clew never sends, and why."""

RUN_EVENTS = official.names(AssistantStreamEvent, "event")
RESPONSE_EVENTS = official.names(ResponseStreamEvent, "type")
SOCKET_EVENTS = sorted({*official.names(ResponsesServerEvent, "type")} - {*RESPONSE_EVENTS})
"""What the client knows of a WebSocket beside the events of a stream."""

_HEAD = """# Compatibility

What of OpenAI's API this server answers, endpoint by endpoint, as the official Python client
{version} has it. *Works* means: the test named beside it sent it over HTTP and was answered with
success. What is *refused* is answered with an error that names it, never passed over in silence.

This page is written by `make compatibility` from the route table, the client's own source and what
the tests drove; `make test` fails when it is not true. A test is named by what it says: the
function has the same words, joined by `_`.
"""
_NOT_OPENAIS = """
## Clew's own

What OpenAI has no endpoint for, and clients of Clew may use.
"""

Evidence = Mapping[tuple[str, str, str], set[str]]
Events = Mapping[tuple[str, str], set[str]]


class Row(msgspec.Struct):
    """A line of the page: what it is about, what becomes of it, and the tests that show it.

    What never happens (`is_never`) is shown by no test.
    """

    what: str
    tests: set[str]
    reason: str | None = None
    file: str = ""
    is_never: bool = False

    @property
    def is_blank(self) -> bool:
        return not self.tests and not self.is_never

    @property
    def works(self) -> bool:
        return self.reason is None and not self.is_blank

    @property
    def state(self) -> str:
        if self.is_blank:
            return "**untested**"
        if self.reason is None:
            return "works"
        return f"{'Never sent' if self.is_never else 'Refused'}: {self.reason}"

    @property
    def shown_by(self) -> str:
        """The test that shows it: of those in the noun's own file, else of all, the first."""
        if not self.tests:
            return "–"
        test = min(self.tests, key=lambda test: (self.file not in test, test))
        path, _, name = test.partition("::")
        words = name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        return f"[{words}](../{path})"


def table(first: str, rows: Iterable[Row]) -> str:
    """The rows; those of which the same is to be said share a line."""
    lines = [f"| {first} | | shown by |", "|---|---|---|"]
    together: dict[str, list[str]] = {}
    for row in rows:
        together.setdefault(f"{row.state} | {row.shown_by}", []).append(f"`{row.what}`")
    lines += (f"| {', '.join(names)} | {said} |" for said, names in together.items())
    return "\n".join(lines)


class Endpoint(msgspec.Struct):
    """An endpoint of the page and its parameters."""

    route: Route
    is_openais: bool
    itself: Row
    parameters: list[Row]

    def __str__(self) -> str:
        said = self.itself.state
        if self.itself.reason is None:
            said = f"{self.route.summary.rstrip('?.')}: {said}"
        lines = [f"### `{self.itself.what}`", "", f"{said} ({self.itself.shown_by})."]
        if self.parameters:
            lines += ["", table("parameter", self.parameters)]
        return "\n".join(lines) + "\n"


class Page(msgspec.Struct):
    """All that the page says."""

    endpoints: list[Endpoint]
    run_events: list[Row]
    response_events: list[Row]
    socket_events: list[Row]

    @property
    def events(self) -> list[Row]:
        return [*self.run_events, *self.response_events, *self.socket_events]

    def blanks(self) -> list[str]:
        """What no test shows, though nothing else speaks for it."""
        found = [row.what for row in self.events if row.is_blank]
        for endpoint in self.endpoints:
            rows = (endpoint.itself, *endpoint.parameters)
            found += [f"{endpoint.itself.what}: {row.what}" for row in rows if row.is_blank]
        return found

    def __str__(self) -> str:
        parts = [_HEAD.format(version=openai.__version__), _summary(self), upstreams.section()]
        for title, begin in GROUPS.items():
            parts.append(f"\n## {title}\n")
            parts += map(str, self._of(begin))
        parts.append(_NOT_OPENAIS)
        parts += [str(one) for one in self.endpoints if not one.is_openais]
        parts.append(_events("Events of a run", self.run_events))
        parts.append(_events("Events of a response", self.response_events))
        parts.append(_events("Events of a WebSocket beside those", self.socket_events))
        return "\n".join(parts)

    def _of(self, begin: str) -> list[Endpoint]:
        ours = (one for one in self.endpoints if one.is_openais)
        return [one for one in ours if _group(one.route.path) == begin]


def page(worked: Evidence, refused: Evidence, events: Events) -> Page:
    """The page, as this evidence has it."""
    return Page(
        [_endpoint(route, worked, refused) for route in ROUTES],
        [_event("run", name, events) for name in RUN_EVENTS],
        [_event("response", name, events) for name in RESPONSE_EVENTS],
        [_event("response", name, events) for name in SOCKET_EVENTS],
    )


def shape(path: str) -> str:
    """A path without the names of its parameters, to compare ours with the official ones."""
    return re.sub(r"{\w+}", "{}", path)


@cache
def official_calls() -> dict[tuple[str, str], set[str]]:
    """Method and shape of each official call in the groups that Clew serves -> its parameters."""
    return {
        (method, shape(path)): names
        for (method, path), names in official.calls().items()
        if _group(path) is not None
    }


def _group(path: str) -> str | None:
    for begin in GROUPS.values():
        if re.match(rf"/v1{begin}(/|$)", path):
            return begin
    return None


def _endpoint(route: Route, worked: Evidence, refused: Evidence) -> Endpoint:
    key = (route.method, route.path, "")
    reason = REFUSED.get(key[:2])
    shown = worked if reason is None else refused
    itself = Row(f"{route.method} {route.path}", shown.get(key, set()), reason, _file(route))
    rows = [] if reason else list(_rows(route, worked, refused))
    is_openais = (route.method, shape(route.path)) in official_calls()
    return Endpoint(route, is_openais, itself, rows)


def _rows(route: Route, worked: Evidence, refused: Evidence) -> Iterator[Row]:
    def row(place: str, evidence: Evidence, file: str, reason: str | None = None) -> Row:
        key = (route.method, route.path, place.partition(" ")[0])
        return Row(place, evidence.get(key, set()), reason, file)

    for name, spec in parameters(route):
        file = "/test_parameters.py" if spec is None else _file(route)
        if not isinstance(spec, Unsupported):
            yield row(name, worked, file)
        for place, reason in dict(_refusals(spec, name)).items():
            yield row(place, refused, file, reason[:1].lower() + reason[1:].rstrip("."))


def parameters(route: Route) -> Iterator[tuple[str, Spec | None]]:
    """Each parameter and its spec; None where the upstream is the one that reads it."""
    records = (one for one in (route.query, route.body) if one is not None)
    known = {name: spec for record in records for name, spec in record.fields.items()}
    yield from known.items()
    if route.body is not None and route.body.extra == "keep":
        official = official_calls()[route.method, shape(route.path)]
        yield from ((name, None) for name in sorted(official - known.keys()))


def _refusals(spec: Spec | None, place: str) -> Iterator[tuple[str, str]]:
    """Where in a parameter something is refused by name, and why."""
    match spec:
        case Unsupported():
            yield place, spec.reason
        case Nullable():
            yield from _refusals(spec.spec, place)
        case ListOf():
            yield from _refusals(spec.spec, f"{place}[]")
        case Record():
            for name, field in spec.fields.items():
                yield from _refusals(field, f"{place}.{name}")
        case Tagged():
            for kind, variant in spec.kinds.items():
                yield from _refusals(variant, f"{place} ({kind})")
        case Either():
            for option in spec.specs:
                yield from _refusals(option, place)


def _event(face: str, name: str, events: Events) -> Row:
    tests, reason = events.get((face, name), set()), NOT_SENT.get((face, name))
    return Row(name, tests, reason, f"/test_{face}_streams.py", is_never=reason is not None)


def _file(route: Route) -> str:
    """The test file of the noun."""
    return f"/test_{route.handler.__module__.rpartition('.')[2]}.py"


def _summary(page: Page) -> str:
    of_openai = [one for one in page.endpoints if one.is_openais]
    rows = {
        "endpoints": [one.itself for one in of_openai],
        "their parameters": [row for one in of_openai for row in one.parameters],
        "events of a run": page.run_events,
        "events of a response": page.response_events,
        "events of a WebSocket beside those": page.socket_events,
    }
    lines = ["| | work | refused, or never sent |", "|---|---|---|"]
    for name, group in rows.items():
        count = Counter(row.works for row in group)
        lines.append(f"| {name} | {count[True]} | {count[False]} |")
    ours = {(one.route.method, shape(one.route.path)) for one in of_openai}
    missing = [f"`{method} {path}`" for method, path in sorted(official_calls().keys() - ours)]
    lines += ["", f"Not there at all: {', '.join(missing) or 'none'}."]
    return "\n".join(lines) + "\n"


def _events(title: str, rows: Iterable[Row]) -> str:
    return f"\n## {title}\n\n{table('event', rows)}\n"
