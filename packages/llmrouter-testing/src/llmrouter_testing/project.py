"""A user's project in a temporary folder."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

CANDIDATES: Mapping[str, Any] = {"small": {"size": "7B", "cost": 0.2}, "large": {"size": "70B", "cost": 1.0}}


class Project(NamedTuple):
    """A folder in which files are written.

    Attributes:
        folder: The folder; a relative one follows the current folder.
    """

    folder: Path

    def write(self, path: str, text: str) -> Path:
        """Write a file, its text dedented; returns its path."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text).lstrip("\n"))
        return target

    def config(self, candidates: Any = CANDIDATES, **sections: Any) -> str:
        """Write candidates and a configuration with these sections; returns the configuration's path."""
        self.write("llm.json", json.dumps(candidates))
        sections["data_path"] = {"llm_data": "llm.json", **sections.get("data_path", {})}
        return str(self.write("config.yaml", json.dumps(sections)))  # JSON is YAML
