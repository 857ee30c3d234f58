"""OGX's server, from a venv that has `ogx` in it: the Conversations API on SQLite, its defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers import Server, bare_environment, free_port, process, wait_until_healthy

CONFIG = """
version: 2
distro_name: bench
apis: [inference, conversations]
providers:
  inference:
  - provider_id: openai
    provider_type: remote::openai
    config: {api_key: unused, base_url: "http://127.0.0.1:9/v1"}
storage:
  backends:
    kv_default: {type: kv_sqlite, db_path: ogx-kv.db}
    sql_default: {type: sql_sqlite, db_path: ogx-sql.db}
  stores:
    metadata: {namespace: registry, backend: kv_default}
    inference: {table_name: inference_store, backend: sql_default}
    conversations: {table_name: openai_conversations, backend: sql_default}
    prompts: {table_name: prompts, backend: sql_default}
    connectors: {table_name: connectors, backend: sql_default}
"""
"""As little as OGX starts with: what is measured asks no model."""


@contextmanager
def serving(venv: Path, folder: Path) -> Iterator[Server]:
    """OGX on a fresh database in `folder`."""
    config, port = folder / "ogx.yaml", free_port()
    config.write_text(CONFIG)
    ogx = str(venv.resolve() / "bin" / "ogx")
    command = [ogx, "run", str(config), "--port", str(port), "--insecure"]
    environment = bare_environment() | {"HOME": str(folder)}
    with (
        (folder / "ogx.log").open("w") as log,
        process(command, folder, stdout=log, env=environment) as running,
    ):
        wait_until_healthy(port, "/v1/health")
        yield Server(f"http://127.0.0.1:{port}", running.pid)
