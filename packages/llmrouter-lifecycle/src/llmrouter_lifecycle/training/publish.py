"""The last task of a job: fit the router, and publish it as the next version, all or nothing."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select, update

from llmrouter.plugin_system.metadata import installed_version
from llmrouter_lifecycle.errors import ResourceNotFoundError
from llmrouter_lifecycle.judges.create import create_judge
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.calls import Calls
from llmrouter_lifecycle.store.checkpoints import put_checkpoint
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import FAILURE, RUNNING, SUCCESS, Job, Jobs, end_job
from llmrouter_lifecycle.store.schema import jobs
from llmrouter_lifecycle.store.versions import judge_versions, router_versions
from llmrouter_lifecycle.training.outcome import Outcome, outcome_of

# Below so many judged requests nothing can be learned about single requests.
FEW = 50


def publish(database: Database, models: Models, job: Job) -> None:
    """Train on what a job's calls amount to, and end the job.

    Raises:
        LLMRouterError: The router cannot be trained, or is not there any more.
    """
    judge_version = judge_versions(database).get(job.org, job.judge, job.judge_version)
    judge = create_judge(judge_version.spec, trusted=True)
    requests = Jobs(database).requests(job)
    outcome = outcome_of(job, judge, requests, Calls(database).of(job))
    if not outcome.llms:
        _end(database, job, FAILURE, _nothing(outcome), {"llms": outcome.told})
        return
    candidates = {llm: _candidate(models, job, llm) for llm in outcome.llms}
    checkpoint, summary, trained = fit(outcome.rows, candidates, job.options["seed"])
    _publish(database, job, outcome, (judge.min_score, judge.max_score), checkpoint, summary, trained)


def fit(
    rows: list[dict[str, Any]], candidates: dict[str, dict[str, Any]], seed: int
) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Train a ``paretorouter``; returns its checkpoint, its summary and what it was trained on.

    Raises:
        LLMRouterError: It cannot be trained on these rows.
    """
    from llmrouter_pareto import ParetoRouter, train

    checkpoint = train(rows, candidates, {"seed": seed})
    router = ParetoRouter.from_checkpoint(checkpoint, candidates)
    few = len({row["id"] for row in rows}) < FEW
    return checkpoint, router.summary, {"fallback_to_means": few, **router.trained}


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


def _publish(
    database: Database,
    job: Job,
    outcome: Outcome,
    score_range: tuple[float, float],
    checkpoint: bytes,
    summary: dict[str, Any],
    trained: dict[str, Any],
) -> None:
    with database.write() as connection:
        database.lock(connection, jobs.name, job.id)
        if connection.scalar(select(jobs.c.status).where(jobs.c.id == job.id)) != RUNNING:
            return
        digest = put_checkpoint(database, connection, job.org, checkpoint)
        spec = spec_of(job, outcome, score_range, digest, summary, trained)
        try:
            version = router_versions(database).add_version(connection, job.org, job.router, spec)
        except ResourceNotFoundError as error:
            end_job(connection, job.id, "FAILURE_WITHOUT_RETRY", f"{error}; it was deleted meanwhile")
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
        connection.execute(
            update(jobs).where(jobs.c.id == job.id).values(results=results, updated=time.time())
        )
        end_job(connection, job.id, SUCCESS, None)


def _end(database: Database, job: Job, status: str, error: str, results: dict[str, Any]) -> None:
    with database.write() as connection:
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
