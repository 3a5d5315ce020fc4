"""The numbers of several workers, put together: each reports its own, which are summed when someone asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

# Labels whose values come from the configuration, and may leave it.
NAMED = ("router", "model")


class Family(msgspec.Struct, array_like=True):
    """A metric with its numbers.

    Attributes:
        name: Of the metric.
        type: Such as ``counter``.
        text: What it says.
        samples: Names, labels and values.
    """

    name: str
    type: str
    text: str
    samples: list[tuple[str, dict[str, str], float]]


def families_of(registry: CollectorRegistry, prefix: str) -> Iterator[Family]:
    """Yield the metrics of a registry whose names begin with a prefix."""
    for metric in registry.collect():
        if metric.name.startswith(prefix):
            samples = [(sample.name, sample.labels, sample.value) for sample in metric.samples]
            yield Family(metric.name, metric.type, metric.documentation, samples)


def summed(reports: Iterable[Iterable[Family]]) -> list[Family]:
    """Return the sums of what several reported."""
    families: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for report in reports:
        for family in report:
            families.setdefault(family.name, family)
            found = sums.setdefault(family.name, {})
            for name, labels, value in family.samples:
                key = name, tuple(labels.items())
                found[key] = found.get(key, 0.0) + value
    return [
        Family(
            name,
            family.type,
            family.text,
            [(sample, dict(labels), value) for (sample, labels), value in sums[name].items()],
        )
        for name, family in families.items()
    ]


def without_gauges(families: Iterable[Family]) -> list[Family]:
    """Return what stays counted when a worker has ended."""
    return [family for family in families if family.type != "gauge"]


def of_names(families: Iterable[Family], names: frozenset[str]) -> list[Family]:
    """Leave out numbers of routers and LLMs that are not among some names."""

    def belongs(labels: Mapping[str, str]) -> bool:
        return all(labels.get(label, "") in names or not labels.get(label) for label in NAMED)

    return [
        Family(family.name, family.type, family.text, [item for item in family.samples if belongs(item[1])])
        for family in families
    ]


class _Told(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.text, family.type)
            metric.samples = [Sample(*item) for item in family.samples]
            yield metric


def exposition(families: Iterable[Family]) -> bytes:
    """Return metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Told(families))
    return generate_latest(registry)
