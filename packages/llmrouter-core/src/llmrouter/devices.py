"""Where to train: the names of devices, as torch has them, and ``auto``."""

from __future__ import annotations

import re


def device_of(told: str) -> str:
    """Return the device that a name stands for; ``auto`` is ``cuda`` if there is any, else ``cpu``.

    Raises:
        ValueError: It is none, or this machine does not have it.
    """
    if told == "cpu":
        return told
    if not re.fullmatch(r"auto|mps|cuda(:\d+)?", told):
        raise ValueError(f"{told!r} is none; choose auto, cpu, cuda, cuda:N or mps")
    try:
        import torch
    except ImportError:
        if told == "auto":
            return "cpu"
        raise ValueError(f"{told!r} needs torch, which is not installed; choose cpu") from None
    if told == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if told == "mps":
        there = torch.backends.mps.is_available()
    else:
        there = int(told.partition(":")[2] or 0) < torch.cuda.device_count()
    if not there:
        raise ValueError(f"this machine has no {told!r}; choose auto or cpu")
    return told
