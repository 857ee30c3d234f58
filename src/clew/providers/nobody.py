"""The provider for a model that no upstream answers for: it says so."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from clew.core.errors import BadRequest
from clew.providers.provider import Abilities, Delta, ModelRequest, ProviderError


class Nobody:
    """A Provider of no model; runs that ask for it are refused before they are stored."""

    name = "nobody"
    abilities = Abilities()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Raises ProviderError: the model was there when the run was made, and is no longer."""
        raise ProviderError("invalid_prompt", unknown(request.model).message)
        yield

    async def close(self) -> None:
        """Nothing is held open."""


def unknown(model: str) -> BadRequest:
    """What whoever asks for such a model is told."""
    message = f"The model '{model}' does not exist or you do not have access to it."
    return BadRequest(message, "model", "model_not_found")
