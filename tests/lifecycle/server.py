"""A lifecycle served over HTTP by the gateway, in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from llmrouter_server.key_file import SCOPES, digest_of
from tests.server.serving import Serving


def write_keys(
    path: Path, keys: Sequence[tuple[str, str, float | None]], scopes: Sequence[str] = SCOPES
) -> Path:
    """Write a keys file.

    Args:
        path: The file.
        keys: Each as it is sent, its organisation, and its budget in USD.
        scopes: What they may do.
    """
    rows = [
        {"name": key, "sha256": digest_of(key), "org": org, "scopes": list(scopes), "budget_usd": budget}
        for key, org, budget in keys
    ]
    path.write_text(json.dumps(rows))
    return path


def write_config(path: Path, catalogue: dict[str, Any]) -> Path:
    """Write a configuration."""
    path.write_text(yaml.safe_dump(catalogue))
    return path


class Server(Serving):
    """Serves a lifecycle to the owners of keys.

    Attributes:
        url: Its address.
    """

    def __init__(self, where: str, config: Path, keys: Path | None) -> None:
        super().__init__([], None if keys is None else str(keys), (where, str(config)))
        self.url = f"http://127.0.0.1:{self.port}"
