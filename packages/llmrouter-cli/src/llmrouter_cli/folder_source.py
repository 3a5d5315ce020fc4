"""The source of a router folder, as a package of a distribution.

The directory that the folder lies in becomes the distribution's package: beside the router's folder it holds
what the router imports from there, so that relative imports stay as they are. Others are rewritten.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from llmrouter.errors import DataError
from llmrouter.plugin_dirs import belongs_elsewhere

OURS = "llmrouter"


class FolderSource:
    """A router folder, and what it needs of the directory that it lies in.

    Args:
        folder: The router's folder.
        module: Name of the package to come.

    Attributes:
        parts: What the package takes over of the directory: the folder, and what it imports from there.
        foreign: Top-level names of other packages that are imported.

    Raises:
        DataError: A source cannot be read, or what it imports cannot be taken over.
    """

    def __init__(self, folder: Path, module: str) -> None:
        self.folder = folder
        self.directory = folder.parent
        self.module = module
        self.inner = folder.name.replace("-", "_")
        self.parts: list[str] = []
        self.foreign: set[str] = set()
        waiting = [folder.name]
        if (self.directory / "__init__.py").is_file():
            waiting.append("__init__")
        while waiting:
            part = waiting.pop()
            if part in self.parts:
                continue
            if part == "plugin":
                raise DataError(
                    self.directory / "plugin.py", "bears the name of the plugin module; rename it"
                )
            self.parts.append(part)
            for path in self._modules(part):
                waiting += self._needed(path)

    def copy_to(self, package: Path) -> None:
        """Copy the sources into the package's folder, their imports rewritten."""
        for part in self.parts:
            source = self.directory / part
            if source.is_dir():
                target = package / self._renamed(part)
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, target, ignore=unwanted)
            for path in self._modules(part):
                relative = path.relative_to(self.directory)
                first, *rest = relative.parts
                text = self._rewritten(path)
                package.joinpath(self._renamed(first), *rest).write_bytes(text)

    def name_of(self, module: str) -> str:
        """Return the name in the distribution of a module, named as within the directory."""
        first, dot, rest = module.partition(".")
        return f"{self.module}.{self._renamed(first)}{dot}{rest}"

    def _renamed(self, part: str) -> str:
        return self.inner if part == self.folder.name else part

    def _modules(self, part: str) -> list[Path]:
        source = self.directory / part
        if source.is_dir():
            return sorted(path for path in source.rglob("*.py") if "__pycache__" not in path.parts)
        return [source.with_name(f"{part}.py")]

    def _is_own(self, top: str) -> bool:
        """Whether a top-level name means something in the directory, as `llmrouter.plugin_dirs` has it."""
        here = top == self.directory.name or self._is_there(top)
        return here and not belongs_elsewhere(top, self.directory)

    def _is_there(self, name: str) -> bool:
        return (self.directory / name).is_dir() or (self.directory / f"{name}.py").is_file()

    def _needed(self, path: Path) -> Iterator[str]:
        """Names in the directory that a module imports; others are noted as foreign."""
        package = path.relative_to(self.directory).parts[:-1]
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                imported = [(alias.name.split("."), 0) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [alias.name for alias in node.names]
                head = node.module.split(".") if node.module else []
                imported = [([*head, name], node.level) for name in names]
            else:
                continue
            for parts, level in imported:
                if level:
                    # What is meant by "..": the package, less one part for each dot but the first.
                    parts = [*package[: len(package) - level + 1], *parts]
                elif not self._is_own(parts[0]):
                    if parts[0] not in sys.stdlib_module_names:
                        self.foreign.add(parts[0])
                    continue
                elif parts[0] == self.directory.name:
                    parts = parts[1:]
                if parts and self._is_there(parts[0]):
                    yield parts[0]

    def _rewritten(self, path: Path) -> bytes:
        """Return a module's source with absolute imports from the directory named as in the distribution."""
        source = path.read_bytes()
        lines = source.splitlines(keepends=True)
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        statements = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in sorted(statements, key=lambda node: (node.lineno, node.col_offset), reverse=True):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            statement = self._statement(node, source[start:end].decode())
            source = source[:start] + statement.encode() + source[end:]
        return source

    def _statement(self, node: ast.Import | ast.ImportFrom, text: str) -> str:
        if isinstance(node, ast.ImportFrom):
            if node.level or not self._is_own((node.module or "").partition(".")[0]):
                return text
            return re.sub(r"^from\s+[\w.]+", f"from {self._absolute(node.module or '')}", text, count=1)
        if not any(self._is_own(alias.name.partition(".")[0]) for alias in node.names):
            return text
        return "; ".join(statement for alias in node.names for statement in self._imports(alias))

    def _imports(self, alias: ast.alias) -> Iterator[str]:
        """Statements that bind what an alias of an import statement binds."""
        top = alias.name.partition(".")[0]
        if not self._is_own(top):
            yield f"import {ast.unparse(alias)}"
        elif alias.asname:
            yield f"import {self._absolute(alias.name)} as {alias.asname}"
        else:
            yield f"import {self._absolute(alias.name)}"
            yield f"import {self._absolute(top)} as {top}"

    def _absolute(self, name: str) -> str:
        top, _, rest = name.partition(".")
        if top != self.directory.name:
            return self.name_of(name)
        return self.name_of(rest) if rest else self.module


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(path, f"cannot be read: {error}") from error
