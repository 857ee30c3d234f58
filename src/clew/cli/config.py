"""Settings: flags win over the environment, the environment over `clew.toml`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from clew.core.embeddings import DIMENSIONS_MAX
from clew.core.errors import BadRequest
from clew.options import Options
from clew.providers.catalog import Kind, UpstreamSettings

DEFAULT_FILE = "clew.toml"
AS_JSON = frozenset({"upstreams", "run_limits", "mcp_allow", "on_busy_in"})
"""What the environment says as JSON."""


class Config(Options, forbid_unknown_fields=True, kw_only=True):
    """Everything `clew serve` can be told."""

    store: str = "sqlite:///clew.db"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8787
    upstream_url: Annotated[str, msgspec.Meta(pattern="^https?://[^/]")] | None = None
    upstream_key: str | None = None
    upstream_kind: Kind = "openai-compatible"
    upstreams: list[UpstreamSettings] = msgspec.field(default_factory=list)
    script: str | None = None
    embeddings_url: Annotated[str, msgspec.Meta(pattern="^https?://[^/]")] | None = None
    embeddings_model: str | None = None
    embeddings_key: str | None = None
    embeddings_dimensions: Annotated[int, msgspec.Meta(ge=1, le=DIMENSIONS_MAX)] | None = None


def load_config(
    flags: Mapping[str, object], environment: Mapping[str, str], file: str | None
) -> Config:
    """The settings in force. `flags` that are None were not given; a named file must exist."""
    settings: dict[str, object] = {}
    path = Path(file or DEFAULT_FILE)
    if file is not None or path.exists():
        settings |= _read(path)
    for name in Config.__struct_fields__:
        value = environment.get(f"CLEW_{name.upper()}")
        if value:
            settings[name] = _listed(name, value) if name in AS_JSON else value
    settings |= {name: value for name, value in flags.items() if value is not None}
    try:
        return msgspec.convert(settings, Config, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Bad configuration: {error}", None, "invalid_configuration") from None


def _listed(name: str, value: str) -> object:
    """A setting that is a list or a table, as JSON."""
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        message = f"Bad configuration: CLEW_{name.upper()} is not JSON: {error}"
        raise BadRequest(message, None, "invalid_configuration") from None


def environment() -> Mapping[str, str]:
    return os.environ


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"Cannot read {path}: {error}", "config") from None
