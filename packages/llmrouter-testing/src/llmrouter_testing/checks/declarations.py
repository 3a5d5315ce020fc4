"""Checks of how a plugin is declared and imported, the same for every kind.

What is wrong is found where ``llmrouter plugins check`` finds it too, in
`llmrouter.plugin_system.static_checks`.
"""

from __future__ import annotations

from llmrouter.plugin_system import static_checks
from llmrouter.plugin_system.apart import Imported, import_apart
from llmrouter.plugin_system.contract import contract_problem
from llmrouter.plugin_system.installed import load_target
from llmrouter.plugin_system.metadata import CORE
from llmrouter_testing.report import Checks, fail, not_applicable
from llmrouter_testing.subjects.base import Subject, target_of

declaration_checks: Checks[Subject] = Checks()


@declaration_checks
def class_contract(subject: Subject) -> None:
    """The class can be made and called as core does it: no method is missing, or takes other arguments.

    The base classes, llmrouter.models.router.Router and its like, have what is optional.
    """
    found = subject.found
    _demand(contract_problem(found, subject.kind.capitalize(), found.__module__))


@declaration_checks
def light_plugin_import(subject: Subject) -> str:
    """The plugin module only declares: importing it imports no torch, HTTP client or the like.

    Every command of everybody who installs the plugin imports it. What it declares is imported when it is
    used: keep heavy imports in the modules that the targets name, and out of the package's __init__.py.
    """
    module = subject.declaration.plugin.module
    imported = _imported(module)
    _demand(static_checks.heavy_import(module, imported))
    return f"{module} is imported in {imported.ms:.0f} ms"


@declaration_checks
def silent_import(subject: Subject) -> None:
    """Importing the plugin writes nothing to standard output or standard error.

    Standard output is for results, which programs read; what is worth telling is logged.
    """
    modules = [subject.found.__module__]
    if subject.declared is not None:
        modules.insert(0, subject.declared.plugin.module)
    _demand(static_checks.output_on_import(_imported(*modules)))


@declaration_checks
def declared_metadata(subject: Subject) -> None:
    """What is declared can be used, and the distribution says which versions of core it fits.

    With bounds on llmrouter-core such as '>=0.1,<0.2' users are told that a plugin does not fit; without
    them it breaks.
    """
    declared = subject.declaration
    distribution = declared.plugin.distribution
    if declared.reason:
        fail(f"it cannot be used, {declared.reason}")
    if declared.plugin.state != "ready":
        fail(f"its plugin is not ready, {declared.plugin.state}: {declared.plugin.reason}")
    if load_target(declared.spec.target) is not subject.found:
        fail(f"its target {declared.spec.target} is not {target_of(subject.found)}")
    _demand(static_checks.undescribed(declared.spec))
    if distribution.name == CORE:
        not_applicable("it is core's own")
    _demand(static_checks.unbounded(distribution))


@declaration_checks
def no_deprecated_hooks(subject: Subject) -> None:
    """The plugin implements no hook, and takes no argument of one, that is on its way out.

    It works for now, and stops with the release that removes it.
    """
    if deprecated := subject.declaration.plugin.deprecated:
        fail("; ".join(deprecated))


def _imported(module: str, *others: str) -> Imported:
    """Import modules in another process, which has to succeed."""
    imported = import_apart(module, others)
    if imported.problem:
        fail(f"in another process: {imported.problem}")
    return imported


def _demand(problem: str | None) -> None:
    if problem is not None:
        fail(problem)
