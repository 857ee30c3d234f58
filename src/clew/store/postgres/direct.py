"""One prepared statement on a connection of its own, straight through libpq and without a task.

Appends are many, small and all the same statement. psycopg's cursors make a task wait, change what
the event loop watches and adapt parameters and rows anew each time. Here the loop watches the
socket for good, and whoever waits is told in the very callback that read the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from clew.store.postgres.engine import Row
from clew.store.postgres.failures import is_lost

Told = Callable[[list[Row] | psycopg.Error], None]
"""Hears how an execution ended; the fields of a row are text as the server wrote it."""

_NAME = b"direct"


class Direct:
    """Executes its statement, once at a time, and closes itself when the connection is lost."""

    def __init__(self, connection: AsyncConnection[Any], told: Told) -> None:
        self._connection, self._server, self._told = connection, connection.pgconn, told
        self._loop, self._socket = asyncio.get_running_loop(), connection.pgconn.socket
        self._loop.add_reader(self._socket, self._receive)
        self._result: PGresult | None = None
        self._under_way = False
        self.is_open = True

    @classmethod
    async def prepare(cls, connection: AsyncConnection[Any], sql: bytes, told: Told) -> Direct:
        """The connection commits by itself, and nobody else uses it from now on."""
        try:
            await connection.execute(b"PREPARE " + _NAME + b" AS " + sql)
        except BaseException:
            await connection.close()
            raise
        return cls(connection, told)

    def execute(self, *params: bytes) -> None:
        """Begin; the end is told later, or at once if the connection turns out to be lost."""
        self._under_way = True
        try:
            self._server.send_query_prepared(_NAME, params)
            self._flush()
        except psycopg.Error as error:
            self._lose(error)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._server.finish()

    def _flush(self) -> None:
        """Send what the socket takes; the rest when it takes more."""
        if self._server.flush():
            self._loop.add_writer(self._socket, self._send_rest)
        else:
            self._loop.remove_writer(self._socket)

    def _send_rest(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(error)

    def _receive(self) -> None:
        try:
            self._server.consume_input()
        except psycopg.Error as error:
            self._lose(error)
            return
        while self._under_way and not self._server.is_busy():
            result = self._server.get_result()
            if result is None:
                self._end(_outcome(self._result))
            else:
                self._result = result

    def _lose(self, error: psycopg.Error) -> None:
        self.close()
        if self._under_way:
            self._end(error)

    def _end(self, outcome: list[Row] | psycopg.Error) -> None:
        self._under_way, self._result = False, None
        if isinstance(outcome, psycopg.Error) and is_lost(outcome):
            self.close()  # the server has said goodbye, and the connection will follow
        self._told(outcome)


def _outcome(result: PGresult | None) -> list[Row] | psycopg.Error:
    if result is None:
        return psycopg.OperationalError("The server gave no answer.")
    if result.status != ExecStatus.TUPLES_OK:
        return error_from_result(result)
    columns = range(result.nfields)
    return [
        tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)
    ]
