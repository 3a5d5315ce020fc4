"""The last task of a job: fit the router, and publish it as the next version, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, update

from llmrouter.plugin_system.metadata import installed_version
from llmrouter_lifecycle.errors import ResourceNotFoundError
from llmrouter_lifecycle.judges.create import create_judge
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.calls import Calls
from llmrouter_lifecycle.store.checkpoints import put_checkpoint
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import (
    FAILURE,
    FAILURE_WITHOUT_RETRY,
    RUNNING,
    SUCCESS,
    Job,
    Jobs,
    end_job,
)
from llmrouter_lifecycle.store.leases import Task, end_task
from llmrouter_lifecycle.store.schema import jobs
from llmrouter_lifecycle.store.versions import judge_versions, router_versions
from llmrouter_lifecycle.training.outcome import Outcome, outcome_of

# Below so many judged requests nothing can be learned about single requests.
FEW = 50


@dataclass(frozen=True)
class Ground:
    """What a router is trained on.

    Attributes:
        outcome: What the calls amount to.
        score_range: Of the judge.
        candidates: The LLMs that are left.
    """

    outcome: Outcome
    score_range: tuple[float, float]
    candidates: dict[str, dict[str, Any]]


class Fit(NamedTuple):
    """A trained router: its checkpoint, its summary, and what it was trained on."""

    checkpoint: bytes
    summary: dict[str, Any]
    trained: dict[str, Any]


def ground_of(database: Database, models: Models, job: Job) -> Ground:
    """Return what the calls of a job amount to.

    Raises:
        LLMRouterError: The judge is not there any more, or cannot be made.
    """
    judge_version = judge_versions(database).get(job.org, job.judge, job.judge_version)
    judge = create_judge(judge_version.spec, trusted=True)
    requests = Jobs(database).requests(job)
    outcome = outcome_of(job, judge, requests, Calls(database).of(job))
    candidates = {llm: _candidate(models, job, llm) for llm in outcome.llms}
    return Ground(outcome, (judge.min_score, judge.max_score), candidates)


def fit(rows: list[dict[str, Any]], candidates: dict[str, dict[str, Any]], seed: int) -> Fit:
    """Train a ``paretorouter``.

    Raises:
        LLMRouterError: It cannot be trained on these rows.
    """
    from llmrouter_pareto import ParetoRouter, train

    checkpoint = train(rows, candidates, {"seed": seed})
    router = ParetoRouter.from_checkpoint(checkpoint, candidates)
    few = len({row["id"] for row in rows}) < FEW
    return Fit(checkpoint, router.summary, {"fallback_to_means": few, **router.trained})


def spec_of(
    job: Job,
    outcome: Outcome,
    score_range: tuple[float, float],
    digest: str,
    summary: dict[str, Any],
    trained: dict[str, Any],
) -> dict[str, Any]:
    """Return the spec of a trained router: a point for each LLM, and where its checkpoint is."""
    costs = [outcome.told[llm]["mean_cost"] for llm in outcome.llms]
    scale = max((cost for cost in costs if cost), default=1.0)
    points = []
    for llm, cost in zip(outcome.llms, costs, strict=True):
        point = {"x": None if cost is None else cost / scale, "y": outcome.told[llm]["mean_quality"]}
        points.append(
            {
                "point": point,
                "executor": {"spec": {"executor_type": "ModelExecutor", "model_name": llm}},
                "frontier": bool(summary.get("llms", {}).get(llm, {}).get("frontier", False)),
            }
        )
    return {
        "points": points,
        "cost_scale_usd": scale,
        "score_range": list(score_range),
        "router": {
            "name": "paretorouter",
            "version": installed_version("llmrouter-pareto"),
            "checkpoint": digest,
        },
        "training": {
            "job": job.id,
            "judge": job.judge,
            "judge_version": job.judge_version,
            "requests_digest": job.requests_digest,
            "seed": job.options["seed"],
            "prices": job.options["prices"],
            "counts": {llm: outcome.told[llm]["judged"] for llm in outcome.llms},
            "versions": {"llmrouter-lifecycle": installed_version("llmrouter-lifecycle")},
            "fallback_to_means": bool(trained.get("fallback_to_means", False)),
        },
    }


def publish(database: Database, task: Task, job: Job, ground: Ground, fitted: Fit | None) -> None:
    """Publish a trained router as the next version and end its job, in one transaction.

    Args:
        database: Where they are.
        task: The last one of the job.
        job: The job.
        ground: What the router was trained on.
        fitted: The router; None where no LLM is left to train on.

    Raises:
        LeaseLostError: The task is another worker's; nothing was published.
    """
    outcome = ground.outcome
    with database.write() as connection:
        database.lock(connection, jobs.name, job.id)
        end_task(connection, task)
        if connection.scalar(select(jobs.c.status).where(jobs.c.id == job.id)) != RUNNING:
            return
        if fitted is None:
            _end(connection, job, FAILURE, _nothing(outcome), {"llms": outcome.told})
            return
        summary, trained = fitted.summary, fitted.trained
        digest = put_checkpoint(database, connection, job.org, fitted.checkpoint)
        spec = spec_of(job, outcome, ground.score_range, digest, summary, trained)
        try:
            version = router_versions(database).add_version(connection, job.org, job.router, spec)
        except ResourceNotFoundError as error:
            end_job(connection, job.id, FAILURE_WITHOUT_RETRY, f"{error}; it was deleted meanwhile")
            return
        results = {
            "llms": outcome.told,
            "left_out": {llm: told["left_out"] for llm, told in outcome.told.items() if told["left_out"]},
            "router_version": version.version,
            "checkpoint": digest,
            "frontier": summary.get("frontier", []),
            "constraints": summary.get("constraints", []),
            "fallback_to_means": bool(trained.get("fallback_to_means", False)),
            "notes": _notes(trained),
        }
        _end(connection, job, SUCCESS, None, results)


def _end(connection: Connection, job: Job, status: str, error: str | None, results: dict[str, Any]) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(results=results))
    end_job(connection, job.id, status, error)


def _nothing(outcome: Outcome) -> str:
    reasons = "; ".join(f"{llm}: {told['left_out']}" for llm, told in outcome.told.items())
    return f"no LLM is left to train on: {reasons}"


def _notes(trained: dict[str, Any]) -> list[str]:
    if not trained.get("fallback_to_means"):
        return []
    return [
        f"fewer than {FEW} requests are judged, too few to learn what single requests need: the router goes "
        "by each LLM's mean quality and cost"
    ]


def _candidate(models: Models, job: Job, llm: str) -> dict[str, Any]:
    # At the prices of when the job began, so that the same calls give the same checkpoint.
    price = job.options["prices"].get(llm)
    known = {} if price is None else {"input_price": price[0], "output_price": price[1]}
    context = models.candidates.get(llm, {}).get("context_window")
    return known if context is None else {**known, "context_window": context}
