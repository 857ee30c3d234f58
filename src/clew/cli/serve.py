"""`clew serve`: the HTTP server."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from clew.cli.config import Config
from clew.core.errors import ClewError
from clew.embedded import running
from clew.providers.catalog import Catalog
from clew.server import logs
from clew.server.http import BODY_MAX
from clew.server.protocol import Protocol, SocketProtocol
from clew.tools.embeddings import embedder_of

DRAIN_S = 15
"""How long requests that are under way may take once SIGTERM came: longer than runs may."""

SWITCH_INTERVAL_S = 0.00002
"""How long the event loop may keep the interpreter from the committer thread (measured: +7 %)."""


async def _nothing() -> None:
    """There is nothing under way to be finished."""


class Server(uvicorn.Server):
    """Says when it is ready, and ends with status 0 on SIGTERM and SIGINT, after `drain`."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        drain: Callable[[], Coroutine[Any, Any, None]] = _nothing,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        host, port = listener.getsockname()[:2]
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"clew listening on {self._url}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Runs come to their end, or are left to others, while their followers are there."""
        draining = asyncio.create_task(self._drain())
        await super().shutdown(sockets)
        await draining

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def serve(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    _check_address(config.host)
    logs.to_stderr()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(config))
    return 0


async def _serve(config: Config) -> None:
    catalog = Catalog(
        config.upstream_url,
        config.upstream_key,
        config.script,
        upstream_kind=config.upstream_kind,
        upstreams=config.upstreams,
    )
    embedder = embedder_of(
        config.embeddings_url,
        config.embeddings_model,
        config.embeddings_key,
        config.embeddings_dimensions,
    )
    with listen(config.host, config.port) as listener:
        async with running(config.store, catalog, config, embedder) as app:
            tune()
            drain = app.server.executor.drain
            await Server(settings(app), listener, drain).serve([listener])


def tune() -> None:
    """Interpreter settings for a process that does nothing but serve."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def settings(app: Any) -> uvicorn.Config:
    """How uvicorn serves an ASGI application of ours."""
    return uvicorn.Config(
        app,
        http=Protocol,
        ws=SocketProtocol,
        ws_max_size=BODY_MAX,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=75,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        message = f"Cannot listen on {host}:{port}: {error.strerror}."
        raise ClewError("unavailable", message) from error
    listener.setblocking(False)
    return listener


def _check_address(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ClewError(
            "unauthorized",
            f"Clew has no keys yet, so it does not listen on {host}: anybody there could read "
            "every thread. Listen on 127.0.0.1, behind a proxy that knows who may come in.",
        )


def loop_factory() -> Any:
    """uvloop's event loop, where there is uvloop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
