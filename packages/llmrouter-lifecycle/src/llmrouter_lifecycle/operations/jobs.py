"""Operations on training jobs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.judges.create import create_judge
from llmrouter_lifecycle.judges.rubric import RubricJudge
from llmrouter_lifecycle.names import check_version, id_of, is_number, shown
from llmrouter_lifecycle.operations.wire import job_json
from llmrouter_lifecycle.store.jobs import (
    FAILURE_WITHOUT_RETRY,
    PROGRAM,
    RUNNING,
    Job,
    digest_of_requests,
)
from llmrouter_lifecycle.store.versions import Version
from llmrouter_lifecycle.training.estimate import Estimator, estimate
from llmrouter_lifecycle.training.requests import check_requests

RETENTION_DAYS = 30
MOST_DAYS = 36_500
# What every generator of random numbers takes.
LAST_SEED = 2**32 - 1
MOST_LLMS = 50


def create_job(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Check and store a training job; workers do it."""
    router = home.routers.get(caller.org, id_of(body.get("routerName"), caller.org, "routers", "routerName"))
    judge = _judge(home, caller, body)
    llms = check_llms(home, body.get("llms"))
    requests = check_requests(body.get("requests"))
    options = _options(body)
    called = _called(home, caller, judge, llms)
    for name in called:
        # It is known where it is, and its key is there.
        home.models.catalogue.endpoint(name)
    options["prices"] = {name: home.models.price(name) for name in called}
    options["account_budget_usd"] = caller.budget_usd
    options["requests"] = len(requests)
    _check_priced(options)
    now = time.time()
    job = Job(
        id=secrets.token_hex(8),
        org=caller.org,
        account=caller.key,
        router=router.id,
        judge=judge.id,
        judge_version=judge.version,
        llms=llms,
        options=options,
        requests_digest=digest_of_requests(requests),
        program=PROGRAM,
        status=RUNNING,
        error=None,
        retries=0,
        created=now,
        updated=now,
        ended=None,
        done=0,
        failed=0,
        spent=0.0,
        stopped={},
        results=None,
        texts_deleted=False,
    )
    return job_json(home.jobs.create(job, requests))


def estimate_job(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Return what a job would cost, from the same body."""
    judge = _judge(home, caller, body)
    llms = check_llms(home, body.get("llms"))
    requests = check_requests(body.get("requests"))
    made = create_judge(judge.spec, trusted=caller.trusted, allowed=home.allowed_judges)
    return estimate(Estimator(home.models, made), llms, requests)


def list_jobs(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Return all jobs, the newest first."""
    return {"routerTrainingJobs": [job_json(job) for job in home.jobs.list(caller.org)]}


def get_job(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Return a job."""
    return job_json(home.jobs.get(caller.org, id))


def job_results(
    home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str
) -> Any:
    """Return what a job found out; while it runs, nothing but its state."""
    job = home.jobs.get(caller.org, id)
    return {"job": job_json(job), "results": job.results}


def cancel_job(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Cancel a job; one that has ended stays as it is."""
    return job_json(home.jobs.end(caller.org, id, FAILURE_WITHOUT_RETRY, "the job was cancelled"))


def retry_job(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Let a job that failed or was cancelled do what is missing; ``budgetUsd`` changes its budget."""
    job = home.jobs.get(caller.org, id)
    changes: dict[str, Any] = {}
    if "budgetUsd" in body:
        changes["budget_usd"] = _budget(body)
    if job.account == caller.key:
        # It may have been raised meanwhile.
        changes["account_budget_usd"] = caller.budget_usd
    _check_priced({**job.options, **changes})
    return job_json(home.jobs.retry(caller.org, id, changes))


def delete_job(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Delete a job that has ended, with its texts."""
    home.jobs.delete(caller.org, id)
    return {}


def check_llms(home: Home, told: object) -> list[str]:
    """Return LLMs to train on, in their order, each once.

    Raises:
        InvalidParameterError: They are no list of names, none, or too many.
        ResourceNotFoundError: One is not known.
    """
    if not isinstance(told, list | tuple) or not told:
        raise InvalidParameterError(
            f"llms: expected a list of at least one name of an LLM, found {shown(told)}", param="llms"
        )
    llms = list(dict.fromkeys(home.models.resolve(name, f"llms.{i}") for i, name in enumerate(told)))
    if len(llms) > MOST_LLMS:
        raise InvalidParameterError(f"llms: {len(llms)} are more than {MOST_LLMS}", param="llms")
    return llms


def _judge(home: Home, caller: Caller, body: Mapping[str, Any]) -> Version:
    id = id_of(body.get("judgeName"), caller.org, "judges", "judgeName")
    return home.judges.get(caller.org, id, check_version(body.get("judgeVersion"), "judgeVersion"))


def _called(home: Home, caller: Caller, version: Version, llms: list[str]) -> list[str]:
    """The LLMs that a job calls, that of its judge included."""
    judge = create_judge(version.spec, trusted=caller.trusted, allowed=home.allowed_judges)
    if isinstance(judge, RubricJudge):
        return list(dict.fromkeys([*llms, home.models.resolve(judge.model, "judgeSpec.model")]))
    return llms


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    seed = body.get("seed", 0)
    if type(seed) is not int or not 0 <= seed <= LAST_SEED:
        raise InvalidParameterError(
            f"seed: expected a whole number from 0 to {LAST_SEED}, found {shown(seed)}", param="seed"
        )
    days = body.get("retentionDays", RETENTION_DAYS)
    if days is not None and not is_number(days, MOST_DAYS):
        raise InvalidParameterError(
            f"retentionDays: expected a number from 0 to {MOST_DAYS}, or null for ever, found {shown(days)}",
            param="retentionDays",
        )
    return {"budget_usd": _budget(body), "seed": seed, "retention_days": days}


def _budget(body: Mapping[str, Any]) -> float | None:
    budget: float | None = body.get("budgetUsd")
    if budget is not None and not is_number(budget):
        raise InvalidParameterError(
            f"budgetUsd: expected a number from 0, found {shown(budget)}", param="budgetUsd"
        )
    return budget


def _check_priced(options: Mapping[str, Any]) -> None:
    limited = options["budget_usd"] is not None or options["account_budget_usd"] is not None
    unknown = [name for name, price in options["prices"].items() if price is None]
    if limited and unknown:
        raise InvalidParameterError(
            f"llms: with a budget the price of every LLM must be known; give {', '.join(unknown)} an "
            "input_price and an output_price",
            param="llms",
        )
