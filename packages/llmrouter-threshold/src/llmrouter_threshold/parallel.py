"""Training on several processes, as ``torchrun`` starts them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from types import TracebackType

import torch
from torch import Tensor, distributed


class Processes:
    """The processes that train together; without ``torchrun`` only this one.

    Args:
        device: Where to train; ``cuda`` processes talk through nccl, others through gloo.

    Attributes:
        count: How many there are.
        rank: The number of this one, from 0.
    """

    def __init__(self, device: str) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self._backend = "nccl" if device.startswith("cuda") else "gloo"
        self._started = False

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def __enter__(self) -> Processes:
        if self.count > 1 and not distributed.is_initialized():
            # torch.optim imports it, and its functions keep the group that there is by then as the default of
            # an argument: the group's threads would outlive it, and abort a process that is ending.
            importlib.import_module("torch.distributed.nn.functional")
            distributed.init_process_group(self._backend)
            self._started = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started:
            distributed.destroy_process_group()

    def share(self, rows: Tensor) -> Tensor:
        """Return the rows of a batch that are this process's."""
        return rows[self.rank :: self.count]

    def add_up(self, gradients: Iterable[Tensor]) -> None:
        """Replace gradients by their sums over all processes."""
        if self.count > 1:
            for gradient in gradients:
                distributed.all_reduce(gradient)

    def agree(self, value: float) -> float:
        """Return the first process's value, so that none goes another way for the last bit of a float."""
        if self.count > 1:
            told = torch.tensor([value], dtype=torch.float64)
            distributed.broadcast(told, 0)
            value = float(told[0])
        return value

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.count > 1:
            distributed.barrier()


def seeded(seed: int) -> torch.Generator:
    """Return a generator of random numbers that is nobody else's."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    return generator
