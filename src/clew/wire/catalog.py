"""Models on the wire: which there are to be asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clew.core.errors import BadRequest, ClewError
from clew.wire.refusals import shown


def encode_model(id: str, owned_by: str, created: int) -> dict[str, Any]:
    """The model object."""
    return {"id": id, "object": "model", "created": created, "owned_by": owned_by}


def encode_catalog(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The list object around all models; it has no pages."""
    return {"object": "list", "data": list(entries)}


def unknown_model(id: str) -> ClewError:
    """No such model, in OpenAI's words."""
    message = f"The model '{shown(id)}' does not exist or you do not have access to it."
    return ClewError("not_found", message, "model", "model_not_found")


def undeletable(id: str) -> BadRequest:
    """Models are whoever's who answers for them."""
    message = (
        f"The model '{shown(id)}' cannot be deleted: only fine-tuned models that you own can be, "
        "and Clew owns no models."
    )
    return BadRequest(message, "model", "unsupported_operation")
