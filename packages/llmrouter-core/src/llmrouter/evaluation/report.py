"""An evaluation as data: for JSON, for tables, and one line per query for anyone to recompute."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from llmrouter.decision import RoutingDecision
from llmrouter.evaluation.baselines import METRICS
from llmrouter.evaluation.bootstrap import Interval
from llmrouter.evaluation.result import Evaluation, RouterResult


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON holds it.

    A figure is ``{"value", "low", "high"}``, the ends being those of its 95 % interval; undefined is null.
    """
    outcomes = evaluation.outcomes
    return {
        "data": {
            "queries": len(outcomes.queries),
            "llms": list(outcomes.llms),
            "weak": evaluation.weak,
            "strong": evaluation.strong,
            "cost_unit": outcomes.cost_unit,
            "missing": {
                "performance": outcomes.missing_performance,
                "cost": outcomes.missing_cost,
                "queries_left_out": outcomes.left_out,
            },
        },
        "routers": [_router(result, evaluation) for result in evaluation.routers],
        "baselines": {
            baseline.name: {"llm": baseline.llm, **_figures(baseline.metrics)}
            for baseline in evaluation.baselines
        },
        "single_llms": {single.name: _figures(single.metrics) for single in evaluation.singles},
        "seed": evaluation.seed,
        "bootstrap": evaluation.resamples,
    }


def score_lines(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Yield what is needed to recompute the figures, a line for each router and query."""
    outcomes = evaluation.outcomes
    for result in evaluation.routers:
        for number, answer in enumerate(result.routed.answers):
            query = outcomes.queries[number]
            decision = answer if isinstance(answer, RoutingDecision) else None
            yield {
                "router": result.routed.label,
                "query": query["query"],
                "id": query.get("id"),
                "task_name": query.get("task_name"),
                "scores": decision.scores if decision else None,
                "expected_costs": ((decision.extra or {}).get("expected_costs") if decision else None),
                "decision": decision.model_name if decision else None,
                "error": None if decision else str(answer),
                "performance": _by_llm(outcomes.llms, outcomes.performance[number]),
                "cost": _by_llm(outcomes.llms, outcomes.cost[number]),
            }


def table_rows(evaluation: Evaluation, intervals: bool = True) -> list[dict[str, str | None]]:
    """Return rows for a table, routers before baselines: figures as text, intervals on a second line."""
    shown: list[tuple[str, str | None, Mapping[str, Interval]]] = []
    shown += [(result.routed.label, None, result.metrics) for result in evaluation.routers]
    shown += [(one.name.replace("_", " "), one.llm, one.metrics) for one in evaluation.baselines]
    return [
        {"name": name, "llm": llm, **{key: _text(metrics.get(key), intervals) for key in METRICS}}
        for name, llm, metrics in shown
    ]


def headings(evaluation: Evaluation) -> dict[str, str]:
    """Return the key of each column of `table_rows` and its heading."""
    unit = evaluation.outcomes.cost_unit
    return {
        "name": "Router",
        "quality": "Quality",
        "cost": f"Cost ({unit})" if unit else "Cost",
        "apgr": "APGR",
        "cpt50": "CPT(50)",
        "cpt80": "CPT(80)",
        "auroc": "AUROC",
        "aiq": "AIQ",
    }


def share_text(result: RouterResult) -> str:
    """Tell which LLMs a router chose how often, the most often chosen first."""
    shares = sorted(result.share.items(), key=lambda share: -share[1])
    return ", ".join(f"{name} {share:.1%}" for name, share in shares if share)


def _router(result: RouterResult, evaluation: Evaluation) -> dict[str, Any]:
    routed = result.routed
    queries = evaluation.outcomes.queries
    return {
        "router": routed.name,
        "label": routed.label,
        "version": routed.version,
        **_figures(result.metrics),
        "share": dict(result.share),
        "failed": [
            {"query": queries[number]["query"], "id": queries[number].get("id"), "error": str(error)}
            for number, error in routed.failures
        ],
        "notes": list(result.notes),
    }


def _figures(metrics: Mapping[str, Interval]) -> dict[str, dict[str, float | None]]:
    return {
        name: {end: _rounded(value) for end, value in interval._asdict().items()}
        for name, interval in metrics.items()
    }


def _rounded(value: float | None) -> float | None:
    """Leave out the digits that the order of summation decides."""
    return None if value is None else float(f"{value:.10g}")


def _by_llm(llms: tuple[str, ...], values: Any) -> dict[str, float | None]:
    told = values.tolist()
    return {name: None if math.isnan(value) else value for name, value in zip(llms, told, strict=True)}


def _text(interval: Interval | None, intervals: bool) -> str | None:
    if interval is None or interval.value is None:
        return None
    if not intervals or interval.low is None or interval.high is None:
        return f"{interval.value:.3g}"
    return f"{interval.value:.3g}\n{interval.low:.3g}-{interval.high:.3g}"
