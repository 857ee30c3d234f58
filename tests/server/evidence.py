"""What the tests drove the server through: endpoints, parameters and events, and by which test.

`docs/compatibility.md` is made of this, so a thing is said to work only where a test drives it.
What other programs drive is left out, as not every machine has them, and so is what differs from
run to run (`NO_EVIDENCE`): the same tests give the same page.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from clew.server.routes import ROUTES, find, tree

BODY_MAX = 4 * 1024 * 1024
"""Longer bodies are not looked into."""

ELSEWHERE = "test_releases.py"
"""The tests in which other programs ask."""

NO_EVIDENCE = frozenset(
    """test_a_follower_that_goes_away_does_not_end_the_run
    test_a_cancellation_that_comes_at_the_end_leaves_the_run_ended
    test_everything_that_asks_for_nothing_is_let_pass
    test_what_says_nothing_is_not_refused""".split()
)
"""Tests that let two things race, where chance says how much of each is sent, and tests that send
values which ask for nothing."""

_ROOT = tree(ROUTES)
_EVENT = re.compile(rb"^event: ([\w.]+)$", re.MULTILINE)
_PART = re.compile(rb'content-disposition: form-data;[^\r\n]*?\bname="([^"\[]+)', re.IGNORECASE)

worked: dict[tuple[str, str, str], set[str]] = defaultdict(set)
"""(method, path, parameter or "") -> tests whose request with it was answered with success."""

refused: dict[tuple[str, str, str], set[str]] = defaultdict(set)
"""The same for requests that were refused; the parameter is the error's `param`, whole (`a[].b`)
and the first of its names (`a`)."""

events: dict[tuple[str, str], set[str]] = defaultdict(set)
"""("run" or "response", name of an event) -> tests that were sent it."""


def current_test() -> str | None:
    """The running test, without its parameters; None between tests, and where it is no evidence."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].partition("[")[0]
    is_none = not test or ELSEWHERE in test or test.rpartition("::")[2] in NO_EVIDENCE
    return None if is_none else test


class Observed:
    """An ASGI application that is watched while it answers."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._app(scope, receive, _frames(send))
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope)

        async def watched_receive() -> Any:
            message = await receive()
            exchange.asked(message.get("body", b""))
            return message

        async def watched_send(message: Any) -> None:
            exchange.answered(message)
            await send(message)

        await self._app(scope, watched_receive, watched_send)


class _Exchange:
    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope, self._test = scope, current_test()
        self._body, self._said, self._status = b"", b"", 0

    def asked(self, body: bytes) -> None:
        if len(self._body) < BODY_MAX:
            self._body += body

    def answered(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            return
        if self._test is None:
            return
        body = message.get("body", b"")
        face = "run" if "/threads" in self._scope["path"] else "response"
        for name in _EVENT.findall(body):
            events[face, name.decode()].add(self._test)
        self._said += body[:BODY_MAX] if self._status >= 400 else b""
        if not message.get("more_body"):
            self._note(self._test)

    def _note(self, test: str) -> None:
        method, path = self._scope["method"], self._scope["path"]
        node, _ = find(_ROOT, path)
        if node is None:
            node, _ = find(_ROOT, f"/v1{path}")
        route = node and node.methods.get(method)
        if route is None:
            return
        if self._status < 300:
            for name in ("", *self._query(), *self._fields()):
                worked[method, route.path, name].add(test)
        elif self._status >= 400:
            param = self._param()
            for name in ("", param, re.split(r"[.\[]", param)[0]):
                refused[method, route.path, name].add(test)

    def _query(self) -> list[str]:
        pairs = parse_qsl(self._scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return [name.partition("[")[0] for name, _ in pairs]

    def _fields(self) -> list[str]:
        """The names in a JSON object that have a value, or in a form."""
        try:
            body = json.loads(self._body or b"{}")
        except ValueError:
            return [name.decode() for name in _PART.findall(self._body)]
        return [name for name, value in body.items() if value is not None] if body else []

    def _param(self) -> str:
        try:
            param = json.loads(self._said)["error"]["param"] or ""
        except (ValueError, KeyError, TypeError):
            return ""
        return re.sub(r"\[\d+\]", "[]", param)


def _frames(send: Any) -> Any:
    """Notes the events that go out in the text frames of a WebSocket."""
    test = current_test()

    async def watched(message: Mapping[str, Any]) -> None:
        if message["type"] == "websocket.send" and message.get("text") and test is not None:
            events["response", json.loads(message["text"])["type"]].add(test)
        await send(message)

    return watched
