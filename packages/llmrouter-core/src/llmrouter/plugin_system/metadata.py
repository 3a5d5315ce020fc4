"""What is installed here, read from the metadata of distributions.

The one module that imports an implementation of ``importlib.metadata``: those of Python 3.10 to 3.14
differ, the backport is the same everywhere and quicker to import.
"""

from __future__ import annotations

import operator
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import importlib_metadata
from packaging.version import InvalidVersion, Version

from llmrouter.hookspecs import PROJECT

CORE = "llmrouter-core"


class Distribution(NamedTuple):
    """An installed distribution, as far as plugins need it."""

    name: str
    version: str
    requirements: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class EntryPoint(NamedTuple):
    """An entry point of the group ``llmrouter``.

    Attributes:
        name: Its name; a router's by custom.
        module: The plugin module that it names.
        distribution: The distribution that advertises it.
        problem: Why it cannot even be read, or None.
    """

    name: str
    module: str
    distribution: Distribution
    problem: str | None = None


def normalize(name: str) -> str:
    """Return a distribution's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entry_points() -> list[EntryPoint]:
    """Find the entry points of all plugins, sorted by their distributions' names.

    They are those that ``importlib.metadata.entry_points(group="llmrouter")`` finds: of metadata with one
    name the first counts, as for imports, even if it declares nothing. But distributions are read one at a
    time, so that a broken one hides no other, and sorted, because the order of a folder differs from machine
    to machine.
    """
    found: dict[str, list[EntryPoint]] = {}
    seen: set[str] = set()
    # Leave out places that do not exist: looking into them as archives would import zipfile.
    path = [place for place in sys.path if os.path.exists(place or os.curdir)]
    for installed in importlib_metadata.Distribution.discover(path=path):
        folder = os.path.basename(str(getattr(installed, "_path", "")))
        # pip gives what it is about to remove such a name, and leaves it behind if it is killed.
        if folder.startswith("~"):
            continue
        # From the folder's name, because reading the metadata of everything installed would take long.
        name = normalize(os.path.splitext(folder)[0].partition("-")[0])
        if name and name in seen:
            continue
        seen.add(name)
        text = _text(installed, "entry_points.txt")
        if PROJECT in text:
            distribution = _read_headers(installed)
            points = list(_of_group(installed, distribution, text))
            found.setdefault(normalize(distribution.name), points)
    return [point for name in sorted(found) for point in found[name]]


def _of_group(
    installed: importlib_metadata.Distribution, distribution: Distribution, text: str
) -> Iterator[EntryPoint]:
    try:
        points = list(installed.entry_points.select(group=PROJECT))
        if not points and text.startswith("\ufeff"):
            raise ValueError("it begins with a byte-order mark; save it as UTF-8 without one")
    except Exception as error:  # whatever a malformed file makes the parser raise
        yield EntryPoint(distribution.name, "", distribution, f"its entry_points.txt cannot be read: {error}")
        return
    for point in points:
        try:
            # Without the extras that may follow in brackets.
            target = f"{point.module}:{point.attr}" if point.attr else point.module
        except ValueError:
            problem = f"its entry point {point.name} names no module: {point.value!r}"
            yield EntryPoint(point.name, point.value, distribution, problem)
            continue
        yield EntryPoint(point.name, target, distribution)


def _read_headers(installed: importlib_metadata.Distribution) -> Distribution:
    # The e-mail parser behind Distribution.metadata costs 0.8 ms a plugin.
    text = _text(installed, "METADATA") or _text(installed, "PKG-INFO")
    headers = text.replace("\r\n", "\n").partition("\n\n")[0].splitlines()
    # Where the file is missing, as in half an installation, the folder NAME-VERSION.dist-info still tells.
    folder = os.path.basename(str(getattr(installed, "_path", "")))
    name, _, version = os.path.splitext(folder)[0].partition("-")
    return Distribution(
        name=next(_values(headers, "Name"), "") or name.replace("_", "-") or "unknown",
        version=next(_values(headers, "Version"), "") or version or "unknown",
        requirements=tuple(_values(headers, "Requires-Dist")),
    )


def _text(installed: importlib_metadata.Distribution, file: str) -> str:
    try:
        return installed.read_text(file) or ""
    except UnicodeDecodeError as error:  # the names that matter are ASCII whatever the rest is
        return error.object.decode(errors="replace")


def _values(headers: Iterable[str], name: str) -> Iterator[str]:
    for line in headers:
        header, _, value = line.partition(":")
        if header.strip().lower() == name.lower():
            yield value.strip()


def incompatibility(distribution: Distribution, core_version: str) -> str | None:
    """Tell why a distribution does not fit this version of core, or None where it does.

    Base versions are compared, so that a development release of 0.2 satisfies ``>=0.2``; a distribution
    that bounds nothing fits.
    """
    base = Version(Version(core_version).base_version)
    for text in distribution.requirements:
        requirement = _REQUIREMENT.match(text)
        if requirement is None or normalize(requirement["name"]) != CORE:
            continue
        try:
            if requirement["marker"] and not _applies(text):
                continue
            compatible = _contains(requirement["specifiers"], base)
        except ValueError as error:
            return f"its metadata cannot be read: {error}"
        if not compatible:
            return (
                f"requires {CORE}{requirement['specifiers']}, and {core_version} is installed; "
                f"upgrade {distribution.name} or install a {CORE} that it accepts"
            )
    return None


# "name[extra] >=1,<2 ; marker", or the same with the specifiers in parentheses. Of packaging, only the
# versions are quick to import: requirements and specifiers are asked about what is unusual.
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(\[[^\]]*\])?\s*\(?(?P<specifiers>[^;@()]*)\)?\s*(;(?P<marker>.*))?$"
)


_COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*([\w.]+)\s*")


def _contains(specifiers: str, version: Version) -> bool:
    """Whether a release satisfies specifiers such as ``>=0.1,<0.2``."""
    bounds = [_BOUND.fullmatch(clause) for clause in specifiers.split(",") if clause.strip()]
    if all(bounds):
        return all(_COMPARISONS[bound[1]](version, Version(bound[2])) for bound in bounds if bound)
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifiers).contains(version, prereleases=True)


def _applies(requirement: str, extra: str = "") -> bool:
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": extra})


def core_bounds(distribution: Distribution) -> list[str]:
    """Return what a distribution requires of core, such as ``>=0.1,<0.2``: one text for each requirement."""
    found = (_REQUIREMENT.match(text) for text in distribution.requirements)
    return [each["specifiers"].strip() for each in found if each and normalize(each["name"]) == CORE]


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return importlib_metadata.version(name)
    except importlib_metadata.PackageNotFoundError:
        return None


def missing_extras() -> dict[str, list[str]]:
    """Return, for each extra of core, the distributions that it names and that are not installed."""
    core = importlib_metadata.distribution(CORE)
    extras = core.metadata.get_all("Provides-Extra") or []
    return {
        extra: [
            text.partition(";")[0].strip()
            for text in core.requires or []
            if _applies(text, extra) and not _applies(text) and not is_met(text)
        ]
        for extra in extras
    }


def is_met(requirement: str) -> bool:
    """Whether what is installed satisfies a requirement such as ``llmrouter-knn>=0.1``."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
        version = installed_version(wanted.name)
        return version is not None and wanted.specifier.contains(version, prereleases=True)
    except (InvalidRequirement, InvalidVersion):
        return False


def plain_requirement(text: str) -> str | None:
    """Return a requirement in one spelling, or None if the text is something else or names a URL."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    return None if requirement.url else str(requirement)


def requirement_name(requirement: str) -> str:
    """Return the name of the distribution that a requirement is about."""
    found = _REQUIREMENT.match(requirement.strip())
    return found["name"] if found else requirement
