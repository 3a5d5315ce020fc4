"""The base class of routers that hold a torch model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from llmrouter.errors import CheckpointError, MissingExtraError
from llmrouter.models.router import Router

try:
    import torch

    from llmrouter.models.checkpoint import read_state, write_state
except ModuleNotFoundError as error:
    if error.name not in ("torch", "safetensors"):
        raise
    raise MissingExtraError("llmrouter.models.meta_router", "llmrouter-core[torch]") from error


class MetaRouter(Router, torch.nn.Module):
    """A router that is a ``torch.nn.Module``: its weights are saved, loaded and moved to a device.

    Args:
        model: The torch model, or None where the subclass sets its submodules itself.
        yaml_path: Path of the YAML configuration, or a mapping that was read already; None: empty.
        resources: Whatever the caller wants to hand to the router.
    """

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        yaml_path: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        resources: Any = None,
    ) -> None:
        super().__init__(yaml_path, resources)
        self.model = model

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Route a batch; a subclass that calls its model through ``self(…)`` overrides this."""
        return self.route_batch(batch)

    def compute_metrics(self, outputs: Any, batch: Any) -> dict[str, Any]:
        """Return metrics of one batch of training; by default none."""
        return {}

    def save_router(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as safetensors, whole or not at all; missing folders are made.

        Raises:
            CheckpointError: There are no weights to save, or the file cannot be written.
        """
        state = self.state_dict()
        if not state:
            raise CheckpointError(
                path,
                f"{type(self).__name__} has no weights to save; pass its model to super().__init__(model=…), "
                "assign it to an attribute, or override save_router and load_router",
            )
        write_state(state, path)

    def load_router(self, path: str | os.PathLike[str]) -> None:
        """Load weights from safetensors or from a ``torch.save`` file of tensors, told apart by content.

        Raises:
            CheckpointError: The file is missing or damaged, or its weights are not this router's.
        """
        state = read_state(path)
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            problem = " ".join(str(error).partition("\n")[2].split()) or str(error)
            raise CheckpointError(path, f"does not fit {type(self).__name__}: {problem}") from error
