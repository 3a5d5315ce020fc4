"""Read what a router folder's source says, without running it."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llmrouter.errors import describe

ROUTER_BASES = frozenset({"Router", "MetaRouter"})
TRAINER_BASES = frozenset({"BaseTrainer"})
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reading:
    """What a folder's source shows.

    Attributes:
        class_name: Name of the router class, or `UNKNOWN` where only running the code would tell.
        trainer_name: Name of the trainer class, `UNKNOWN`, or None where there is none.
        summary: First line of the class's or the module's docstring.
        failure: Why this cannot be a router, or None.
        misnamed: Whether the failure is that no class bears a router's name.
        invalid: Whether the failure is that the class is no router's.
        trainer_failure: Why its trainer cannot be used, or None.
    """

    class_name: str = UNKNOWN
    trainer_name: str | None = None
    summary: str = ""
    failure: str | None = None
    misnamed: bool = False
    invalid: bool = False
    trainer_failure: str | None = None


@dataclass
class _Module:
    """The top level of a module: classes, imports and what hides further names."""

    path: Path
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    exported: list[str] | None = None
    open_ended: bool = False  # a star import or a module __getattr__
    docstring: str = ""

    def kinship(self, name: str, bases: frozenset[str], below: tuple[str, ...] = ()) -> bool | None:
        """Whether a name is a subclass of one of `bases`; None: the source alone does not tell."""
        if name in below:  # the base is another of that name, bound before
            return None
        if name not in self.classes:
            module, original = self.imports.get(name, ("", ""))
            if module.partition(".")[0] == "llmrouter" and original in bases:
                return True
            return False if name == "object" else None
        answers = [self._base_kinship(base, bases, (*below, name)) for base in self.classes[name].bases]
        if True in answers:
            return True
        return None if None in answers else False

    def _base_kinship(self, base: ast.expr, bases: frozenset[str], below: tuple[str, ...]) -> bool | None:
        if isinstance(base, ast.Name):
            return self.kinship(base.id, bases, below)
        if isinstance(base, ast.Attribute) and base.attr in bases:
            return True
        return None


def is_candidate(folder: Path) -> bool:
    """Whether a folder is meant to hold a router."""
    if (folder / "router.py").is_file() or (folder / "model.py").is_file():
        return True
    init = folder / "__init__.py"
    if not init.is_file():
        return False
    try:
        module = _parse(init)
    except _UNREADABLE:
        return True  # listed as failed rather than passed over
    return bool(_exports(module, "Router", ROUTER_BASES)) or _may_hold_more(module, "Router", ROUTER_BASES)


def read_folder(folder: Path) -> Reading:
    """Classify a router folder from its source."""
    modules = []
    for path in _router_files(folder):
        try:
            modules.append(_parse(path))
        except _UNREADABLE as error:
            return Reading(failure=_unread(path, error))
    class_name, failure, fault = _router_class(modules, folder)
    trainer_name, trainer_failure = _trainer_class(modules, folder)
    return Reading(
        class_name=class_name,
        trainer_name=trainer_name,
        summary=_summary(modules, class_name),
        failure=failure,
        misnamed=fault == "misnamed",
        invalid=fault == "invalid",
        trainer_failure=trainer_failure,
    )


def same_name(class_name: str, folder_name: str, suffix: str) -> bool:
    """Whether a class bears its folder's name: ``MyRouter`` in ``my_router``, ``my-router`` or ``my``."""
    return _stem(class_name, suffix) == _stem(folder_name, suffix)


def choose(names: list[str], folder_name: str, suffix: str) -> str | None:
    """Return the only name, or the one that the folder bears too; None where neither settles it."""
    if len(names) == 1:
        return names[0]
    matching = [name for name in names if same_name(name, folder_name, suffix)]
    return matching[0] if len(matching) == 1 else None


def how_to_choose(names: list[str], folder: Path) -> str:
    """Tell the author of a folder with several classes what to do."""
    return (
        f"several classes, {', '.join(sorted(names))}; import the right one in {folder.name}/__init__.py "
        f"or give it the folder's name"
    )


def _stem(name: str, suffix: str) -> str:
    plain = name.replace("_", "").replace("-", "").lower()
    return plain.removesuffix(suffix.lower()).removesuffix("router")


def _router_files(folder: Path) -> list[Path]:
    """The files that may name the router class, the ones that decide first."""
    files = [folder / "__init__.py"]
    files += [
        next((path for path in (folder / "router.py", folder / "model.py") if path.is_file()), files[0])
    ]
    return list(dict.fromkeys(path for path in files if path.is_file()))


def _router_class(modules: list[_Module], folder: Path) -> tuple[str, str | None, str | None]:
    """Return the class's name, why there is none, and the kind of fault that this is."""
    init = next((module for module in modules if module.path.name == "__init__.py"), None)
    names = _exports(init, "Router", ROUTER_BASES) if init else []
    if names:
        chosen = choose(names, folder.name, "Router")
        return (chosen, None, None) if chosen else (UNKNOWN, how_to_choose(names, folder), None)
    if init and _may_hold_more(init, "Router", ROUTER_BASES):
        return UNKNOWN, None, None
    module = modules[-1]
    certain = [name for name in _named(module, "Router") if module.kinship(name, ROUTER_BASES) is True]
    possible = [name for name in _named(module, "Router") if module.kinship(name, ROUTER_BASES) is None]
    chosen = choose(certain + possible, folder.name, "Router")
    if chosen is not None and (chosen in certain or not certain):
        return chosen, None, None
    if len(certain) > 1:
        return UNKNOWN, how_to_choose(certain, folder), None
    if certain or possible or _may_hold_more(module, "Router", ROUTER_BASES):
        return UNKNOWN, None, None
    if unrelated := _named(module, "Router"):
        return (
            UNKNOWN,
            f"{unrelated[0]} in {module.path.name} inherits neither from "
            "llmrouter.models.meta_router.MetaRouter nor from llmrouter.models.router.Router",
            "invalid",
        )
    return UNKNOWN, f"no class whose name ends in 'Router' in {module.path.name}", "misnamed"


def _trainer_class(modules: list[_Module], folder: Path) -> tuple[str | None, str | None]:
    """Return the trainer's name, where there is one, and why it cannot be used."""
    path = folder / "trainer.py"
    if path.is_file():
        try:
            # Beside what __init__.py exports, it takes the place of the router's module.
            modules = [module for module in modules if module.path.name == "__init__.py"] + [_parse(path)]
        except _UNREADABLE as error:
            return None, _unread(path, error)
    for module in modules:
        if module.path.name == "__init__.py":
            names = _exports(module, "Trainer", TRAINER_BASES)
        else:
            names = [n for n in _named(module, "Trainer") if module.kinship(n, TRAINER_BASES) is not False]
        if names:
            return choose(names, folder.name, "Trainer") or UNKNOWN, None
        if module.path == path and _may_hold_more(module, "Trainer", TRAINER_BASES):
            return UNKNOWN, None
    if path.is_file():
        return None, (
            f"no class in {path.name} whose name ends in 'Trainer' and that inherits from "
            "llmrouter.models.base_trainer.BaseTrainer"
        )
    return None, None


def _summary(modules: list[_Module], class_name: str) -> str:
    for module in reversed(modules):
        definition = module.classes.get(class_name)
        text = (ast.get_docstring(definition) if definition else None) or ""
        if text:
            return text.splitlines()[0].strip()
    return next(
        (module.docstring.splitlines()[0].strip() for module in reversed(modules) if module.docstring), ""
    )


def _exports(module: _Module, suffix: str, bases: frozenset[str]) -> list[str]:
    """Names ending in `suffix` that a module offers, without the base classes themselves."""
    if module.exported is not None:
        names = [name for name in module.exported if name.endswith(suffix)]
        if names:
            return names
    names = _named(module, suffix)
    names += [name for name in module.imports if name.endswith(suffix)]
    return [name for name in dict.fromkeys(names) if not _is_base(module, name, bases)]


def _is_base(module: _Module, name: str, bases: frozenset[str]) -> bool:
    source, original = module.imports.get(name, ("", ""))
    return source.partition(".")[0] == "llmrouter" and original in bases


def _named(module: _Module, suffix: str) -> list[str]:
    return [name for name in module.classes if name.endswith(suffix)]


def _may_hold_more(module: _Module, suffix: str, bases: frozenset[str]) -> bool:
    imported = {name for name in module.imports if not _is_base(module, name, bases)}
    return module.open_ended or any(name.endswith(suffix) for name in module.assigned | imported)


_UNREADABLE = (OSError, SyntaxError, ValueError, RecursionError, MemoryError)


def _unread(path: Path, error: BaseException) -> str:
    """Tell why a file could not be parsed; its own place is meant, not one in the parser."""
    if isinstance(error, OSError):
        return f"{path.name} cannot be read: {error.strerror}"
    if isinstance(error, SyntaxError) and error.filename:
        return describe(error)
    problem = "it is nested too deeply" if isinstance(error, RecursionError | MemoryError) else str(error)
    return f"{type(error).__name__}: {problem} ({path.name})"


def _parse(path: Path) -> _Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its invalid escapes are not the reader's business
        tree = ast.parse(path.read_bytes(), filename=str(path))
    module = _Module(path, docstring=ast.get_docstring(tree) or "")
    for statement in _statements(tree.body):
        if reader := _READERS.get(type(statement)):
            reader(module, statement)
    return module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements that run at import, those inside ``if``, ``try``, ``match`` and ``with`` included."""
    for statement in body:
        yield statement
        for inner in ("body", "orelse", "finalbody"):
            if not isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _statements(getattr(statement, inner, []))
        for branch in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
            yield from _statements(branch.body)


def _read_class(module: _Module, statement: ast.ClassDef) -> None:
    if other := module.classes.get(statement.name):  # as in the branches of a condition; either may hold
        statement.bases = [*other.bases, *statement.bases]
    module.classes[statement.name] = statement


def _read_function(module: _Module, statement: ast.FunctionDef) -> None:
    if statement.name == "__getattr__":
        module.open_ended = True


def _read_import(module: _Module, statement: ast.ImportFrom) -> None:
    source = "." * statement.level + (statement.module or "")
    for alias in statement.names:
        if alias.name == "*":
            module.open_ended = True
        else:
            module.imports[alias.asname or alias.name] = (source, alias.name)


def _read_assignment(module: _Module, statement: ast.Assign | ast.AnnAssign) -> None:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        if isinstance(target, ast.Name):
            module.assigned.add(target.id)
            if target.id == "__all__" and isinstance(statement.value, ast.List | ast.Tuple):
                module.exported = [
                    item.value
                    for item in statement.value.elts
                    if isinstance(item, ast.Constant) and isinstance(item.value, str)
                ]


_READERS: dict[type[ast.stmt], Callable[..., None]] = {
    ast.ClassDef: _read_class,
    ast.FunctionDef: _read_function,
    ast.ImportFrom: _read_import,
    ast.Assign: _read_assignment,
    ast.AnnAssign: _read_assignment,
}
