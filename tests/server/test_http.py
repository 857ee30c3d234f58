"""What clients may do in HTTP beyond a plain request: HEAD, Expect, pipelines, broken requests."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from .live import Live


def talk(live: Live, *pieces: bytes, until: bytes) -> bytes:
    """Send pieces over one connection, each once the server has had its say about the one before.

    Returns what came until `until` did; ten seconds of silence are a failure.
    """
    place = urlsplit(live.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        heard = b""
        for number, piece in enumerate(pieces):
            if number:
                heard += connection.recv(65536)
            connection.sendall(piece)
        while until not in heard:
            heard += connection.recv(65536) or pytest.fail(f"closed after {heard!r}")
        return heard


def request(line: str, body: bytes = b"", **headers: str) -> bytes:
    named = {"host": "clew", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{line} HTTP/1.1\r\n{head}\r\n".encode() + body


def test_head_is_answered_at_once(live: Live):
    """It has no body, so nothing may wait for one."""
    heard = talk(live, request("HEAD /v1/threads"), until=b"\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 405")


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(live: Live):
    """`Expect: 100-continue`, as curl sends for large bodies."""
    body = json.dumps({"metadata": {"k": "v"}}).encode()
    head = request("POST /v1/threads", b"", **{"content-length": str(len(body))})
    head = head.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")
    heard = talk(live, head, body, until=b'"object":"thread"')
    assert heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert b"HTTP/1.1 200" in heard


def test_requests_in_a_row_are_answered_in_a_row(live: Live):
    """Sent at once over one connection: each has its answer, in order."""
    paths = ["/healthz", "/v1/threads/thread_a", "/v1/threads/thread_b", "/nowhere"]
    sent = b"".join(request(f"GET {path}") for path in paths)
    heard = talk(live, sent, until=b"/nowhere)")
    places = [heard.index(text) for text in (b'"ok"', b"thread_a", b"thread_b", b"/nowhere")]
    assert places == sorted(places)
    assert heard.count(b"HTTP/1.1 ") == 4


def test_what_is_no_http_is_refused(live: Live):
    """The connection ends with a 400, the server goes on."""
    assert talk(live, b"BREW\r\n\r\n", until=b"\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert b'"ok"' in talk(live, request("GET /healthz"), until=b'"ok"')


def test_a_client_that_hangs_up_halfway_harms_nobody(live: Live):
    """A body that never comes is no request."""
    place = urlsplit(live.url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(request("POST /v1/threads", **{"content-length": "100"}) + b"{")
    assert b'"ok"' in talk(live, request("GET /healthz"), until=b'"ok"')
