"""Who is told: a real HTTP server in a thread, that answers as a test wants it to."""

from __future__ import annotations

import json
import queue
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import msgspec

SECONDS_MAX = 30
"""How long a telling may take to come before it is called missing."""


class Told(msgspec.Struct):
    """One request: its path, headers and body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        return str(self.event["type"])


class Reply(msgspec.Struct):
    """`hangs`: nothing is answered until the receiver closes."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""
    hangs: bool = False


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of five, the sixth has to knock again a second later, and again


class Receiver:
    """`reply` decides what a request is answered; whatever came is in `told`, in its order."""

    def __init__(self, port: int = 0, *, tls: bool = False) -> None:
        self.reply: Callable[[Told], Reply] | Reply = Reply()
        self.told: queue.Queue[Told] = queue.Queue()
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook"
        if tls:
            self._server.socket = own_certificate().wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        told = Told(request.path, headers, body)
        reply = self.reply(told) if callable(self.reply) else self.reply
        self.told.put(told)
        if reply.hangs:
            self.closing.wait()
            return
        request.send_response(reply.status)
        for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(reply.body)

    def next(self) -> Told:
        """What was told next; it must come in time."""
        return self.told.get(timeout=SECONDS_MAX)

    def until(self, type: str) -> list[Told]:
        """What is told up to the first event of this type."""
        told = [self.next()]
        while told[-1].type != type:
            told.append(self.next())
        return told

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own_certificate() -> ssl.SSLContext:
    """A certificate that nobody has signed but its owner."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "own.pem")
    return context
