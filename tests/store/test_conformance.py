"""Both engines, and the model they are compared with, keep the contract of `Store`."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.store.postgres import PostgresStore
from clew.store.sqlite import SQLiteStore
from clew.store.store import Store
from clew.testing import StoreConformance
from clew.testing.conformance import ThreadConformance
from clew.testing.model import ModelStore


class TestSQLite(StoreConformance):
    @pytest.fixture(autouse=True)
    def database(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "clew.db")

    async def open_store(self) -> Store:
        return await SQLiteStore.open(self.path)


class TestPostgres(StoreConformance):
    @pytest.fixture(autouse=True)
    def database(self, postgres_database: str) -> None:
        self.dsn = postgres_database

    async def open_store(self) -> Store:
        return await PostgresStore.open(self.dsn)


class TestModel(ThreadConformance):
    @pytest.fixture(autouse=True)
    def database(self) -> None:
        self.store = ModelStore()

    async def open_store(self) -> Store:
        return self.store
