"""What clients may do in HTTP beyond a plain request: HEAD, Expect, pipelines, broken requests."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from clew.cli.serve import loop_factory
from clew.server import app, http, protocol

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


def closed(live: Live, *pieces: bytes) -> bytes:
    """All that comes until the server hangs up; ten seconds of silence are a failure."""
    place = urlsplit(live.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        heard = b""
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            while data := connection.recv(65536):
                heard += data
        return heard


CHUNKED = request("POST /v1/threads").replace(b"content-length: 0", b"transfer-encoding: chunked")
"""The head of a request that does not say how long its body is."""

NO_REQUESTS = {
    "a method that is none": b"BREW /healthz HTTP/1.1\r\n\r\n",
    "no line of a request": b"\x16\x03\x01\x02\x00\x01",
    "a length that is none": request("POST /v1/threads", **{"content-length": "-1"}),
    "two kinds of length": request("POST /v1/threads").replace(
        b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n"
    ),
    "a chunk that is none": CHUNKED + b"zz\r\n",
    "a proxy's errand": b"CONNECT clew:80 HTTP/1.1\r\nhost: clew\r\n\r\n",
    "a control character": request("GET /healthz", project="a\x01"),
}


@pytest.mark.parametrize("sent", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_what_is_no_request_is_refused_in_openais_words(live: Live, sent: bytes):
    """With an id to ask about, as everything is; then the connection is closed."""
    head, _, body = closed(live, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nx-request-id: req_" in head
    assert b"\r\nopenai-processing-ms: " in head
    assert b"\r\ncontent-type: application/json" in head
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}


def test_an_answer_is_not_lost_to_what_comes_behind_its_request(live: Live):
    """It goes out first; then the connection ends, with nothing said to the garbage."""
    heard = closed(live, request("GET /healthz") + b"GARBAGE\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 200 OK")
    assert heard.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("long", ["/v1/threads?a={}", "/v1/{}"])
def test_an_endless_address_is_refused(live: Live, long: str):
    """Before it is held in memory."""
    heard = closed(live, *[f"GET {long.format('x' * 50_000)}".encode(), *[b"x" * 50_000] * 2])
    assert heard.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


def test_endless_headers_are_refused(live: Live):
    """Before they are held in memory; those of a trailer, too."""
    begun = request("GET /healthz")[:-2]
    heard = closed(live, begun + b"a: ", *[b"x" * 50_000] * 2)
    assert heard.startswith(b"HTTP/1.1 431")
    heard = closed(live, CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: b\r\n" * 1_000)
    assert heard.startswith(b"HTTP/1.1 431")


def test_a_trailer_says_nothing_that_only_a_head_may(live: Live):
    """Such as whose request it is: a proxy has not looked there."""
    heard = talk(
        live, CHUNKED + b"2\r\n{}\r\n0\r\nopenai-project: no such id\r\n\r\n", until=b'"object"'
    )
    assert heard.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET /heal", request("GET /healthz")[:-2]])
def test_half_a_head_is_not_waited_for_long(
    live: Live, monkeypatch: pytest.MonkeyPatch, sent: bytes
):
    """A connection costs memory, so it has half a minute to say what it wants."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    heard = closed(live, sent)
    assert heard.startswith(b"HTTP/1.1 408") if sent else heard == b""


def test_a_body_that_never_begins_is_not_waited_for_long(
    live: Live, monkeypatch: pytest.MonkeyPatch
):
    """Its head is answered, and the rest of it is not waited for either."""
    monkeypatch.setattr(app, "BODY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    sent = request("POST /v1/threads", **{"content-length": "9"})
    heard = talk(live, sent, b"{", until=b"did not arrive in time")
    assert heard.startswith(b"HTTP/1.1 408")


def test_the_rest_of_a_refused_body_is_not_read_for_long(
    live: Live, monkeypatch: pytest.MonkeyPatch
):
    """Who is told that a body is too large and goes on sending it is hung up on."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    heard = closed(live, request("POST /nowhere", **{"content-length": "99999999"}), b"{")
    assert heard.startswith(b"HTTP/1.1 404")


def test_an_offer_of_another_protocol_changes_nothing(live: Live):
    """Java's HttpClient offers HTTP/2 with every request. The body is read all the same."""
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AA"}
    sent = request("POST /v1/threads", b'{"metadata":{"k":"v"}}', **offer)
    heard = talk(live, sent + request("GET /healthz"), until=b'"ok"')
    assert b'"metadata":{"k":"v"}' in heard
    half = len(sent) - 5
    assert b'"metadata":{"k":"v"}' in talk(live, sent[:half] + sent[half:], until=b"revision")


@pytest.mark.parametrize(
    "line", ["POST /v1/responses", "GET /v1/responses", "GET /v1/threads/thread_x"]
)
def test_half_a_handshake_is_a_plain_request(live: Live, line: str):
    """What asks for a WebSocket without what that takes is answered like anything else."""
    offer = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "8"}
    heard = talk(live, request(line, **offer), until=b'"code":')
    assert b"\r\nx-request-id: req_" in heard


def test_a_refused_method_names_those_there_are(live: Live):
    """RFC 9110 has them in `Allow`; browsers of other sites get no more leave than that."""
    preflight = request("OPTIONS /v1/threads", origin="https://elsewhere.example")
    heard = talk(live, preflight, until=b'"method_not_supported"')
    assert b"\r\nallow: GET, POST\r\n" in heard
    assert b"access-control" not in heard


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_may_not_write(live: Live, origin: str):
    """Browsers let any page post text to any address without asking it first."""
    posted = {"origin": origin, "content-type": "text/plain", "sec-fetch-site": "cross-site"}
    heard = talk(live, request("POST /v1/threads", b"{}", **posted), until=b"wrong_origin")
    assert heard.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "said", [{"origin": "http://clew"}, {"origin": "https://app", "sec-fetch-site": "same-origin"}]
)
def test_a_page_of_this_site_may_write(live: Live, said: dict[str, str]):
    """Also where a proxy has put another host into the request."""
    heard = talk(live, request("POST /v1/threads", b"{}", **said), until=b'"object":"thread"')
    assert heard.startswith(b"HTTP/1.1 200")


def test_a_body_that_trickles_is_not_waited_for(live: Live, monkeypatch: pytest.MonkeyPatch):
    """Each byte of it is in time, and it would still take years."""
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 0.3)
    form = {"content-type": "multipart/form-data; boundary=edge", "content-length": "500000"}
    place = urlsplit(live.url)
    with socket.create_connection((place.hostname, place.port), timeout=0.05) as connection:
        connection.sendall(request("POST /v1/files", **form) + b"--edge")
        heard, limit = b"", time.monotonic() + 10
        while b"did not arrive in time" not in heard:
            assert time.monotonic() < limit, heard
            with suppress(TimeoutError):
                heard += connection.recv(65536)
            connection.sendall(b"-")
    assert heard.startswith(b"HTTP/1.1 408")


def test_who_went_away_takes_nothing_from_the_others():
    """Answers of one turn go out together; one whose client left does not hold back the rest."""

    async def play() -> bytes:
        loop = asyncio.get_running_loop()
        (ours, theirs), (gone, left) = socket.socketpair(), socket.socketpair()
        outbox, (alive, _) = protocol.Outbox(loop), await _transport(loop, ours)
        closed, lost = await _transport(loop, gone)
        closed.abort()
        left.close()
        await asyncio.wait_for(lost.wait(), 5)
        outbox.add(closed, b"x")
        outbox.add(alive, b"hello")
        theirs.setblocking(False)
        await asyncio.sleep(0)  # the outbox sends at the end of this turn of the loop
        await asyncio.sleep(0)
        alive.close()
        with theirs:
            return await loop.sock_recv(theirs, 100)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert runner.run(play()) == b"hello"


async def _transport(loop: asyncio.AbstractEventLoop, end: socket.socket):
    """A transport over one end of a pair, and what tells that it was lost."""
    lost = asyncio.Event()

    class Listener(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.set()

    transport, _ = await loop.create_connection(Listener, sock=end)
    return transport, lost
