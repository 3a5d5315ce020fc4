"""Checks of routers in folders."""

from __future__ import annotations

from llmrouter.plugin_dirs import package_name
from llmrouter_testing.child import in_child
from llmrouter_testing.report import Checks, fail, not_applicable
from llmrouter_testing.subjects.router import RouterSubject, make_router

folder_checks: Checks[RouterSubject] = Checks()


@folder_checks
def directory_imports(subject: RouterSubject) -> None:
    """A router in a folder can be imported in every style, as one class, and leaves sys.path as it was.

    Others beside it may write 'from my_router.router import …', 'from custom_routers.my_router.router…' or
    'from ..my_router.router…'. What it needs is beside it and found by import statements.
    """
    entry = subject.entry
    if entry is None or entry.directory is None:
        not_applicable("it is not a router in a folder")
    directory = entry.directory.folder.parent
    module = subject.found.__module__.removeprefix(f"{package_name(directory)}.")
    styles = [f"..{module}", module, f"{directory.name}.{module}"]
    task = ("import_inside", subject.found.__module__, styles, subject.found.__name__)
    classes = in_child(*task).value
    if classes != 1:
        fail(f"imported from {', '.join(styles)} it is {classes} classes, not one")
    if subject.path_gained:
        fail(f"importing it adds {', '.join(subject.path_gained)} to sys.path")
    added = in_child("route_and_look", make_router, subject.options, subject.queries).value
    if added:
        fail(f"routing adds {', '.join(added)} to sys.path")
