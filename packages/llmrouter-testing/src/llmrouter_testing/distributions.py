"""Made-up distributions, installed for the length of a test."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class FakeDistributions:
    """Installs distributions that are written on the spot; call it to install one.

    Args:
        folder: Where they are written.
        monkeypatch: Takes them away again.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def __call__(
        self,
        name: str,
        modules: Mapping[str, str],
        entry_points: Mapping[str, str],
        version: str = "1.0",
        requires: tuple[str, ...] = (),
    ) -> Path:
        """Put a distribution on sys.path and, for subprocesses, on PYTHONPATH.

        ``("llmrouter-foo", {"fake_foo": SOURCE}, {"foo": "fake_foo"})`` installs the module fake_foo, whose
        source is dedented, and the entry point foo of the group ``llmrouter``. Dots in the names of modules
        make packages.

        Returns:
            The folder that it lies in.
        """
        site = self._folder / f"{name}-{version}"
        for module, source in modules.items():
            path = site.joinpath(*module.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source).lstrip("\n"))
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        headers = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        headers += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(headers) + "\n\nAbout it.\n")
        points = [f"{point} = {target}" for point, target in entry_points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[llmrouter]", *points]) + "\n")
        put_on_path(site, self._monkeypatch)
        return site

    def forget(self) -> None:
        """Forget the modules that were imported from them, so that the next test may install others."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and Path(file).is_relative_to(self._folder):
                del sys.modules[name]


def put_on_path(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a folder in front of sys.path and, for subprocesses, of PYTHONPATH."""
    monkeypatch.syspath_prepend(str(site))
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), before])))
    importlib.invalidate_caches()  # that of the metadata of distributions too
