"""The client for asynchronous code: the same methods, each done in a thread."""

from __future__ import annotations

import asyncio
import builtins
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmrouter_lifecycle.client.client import Client
from llmrouter_lifecycle.client.judges import JudgesClient, Spec
from llmrouter_lifecycle.client.routers import POLL_INTERVAL, POLL_TIMEOUT, RoutersClient
from llmrouter_lifecycle.constraints import RoutingConstraint
from llmrouter_lifecycle.judges.agreement import Agreement
from llmrouter_lifecycle.models import Config
from llmrouter_lifecycle.resources import (
    Judge,
    JudgeEvaluation,
    Router,
    RouterTrainingJob,
    TrainingEstimate,
    TrainingResults,
)

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion


class AsyncRoutersClient:
    """`RoutersClient` for asynchronous code; its methods are described there."""

    def __init__(self, client: RoutersClient) -> None:
        self._client = client

    async def create_router(self, router_id: str, base_model: str, description: str | None = None) -> Router:
        """Create a router that goes to one LLM until it is trained."""
        return await asyncio.to_thread(self._client.create_router, router_id, base_model, description)

    async def update_router(
        self, router_id: str, router_spec: Mapping[str, Any], description: str | None = None
    ) -> Router:
        """Add a version to a router."""
        return await asyncio.to_thread(self._client.update_router, router_id, router_spec, description)

    async def list(self) -> builtins.list[Router]:
        """Return the latest version of each router."""
        return await asyncio.to_thread(self._client.list)

    async def get(self, router_id: str, version: int | None = None) -> Router:
        """Return a version of a router, by default the latest."""
        return await asyncio.to_thread(self._client.get, router_id, version)

    async def versions(self, router_id: str) -> builtins.list[Router]:
        """Return all versions of a router, the newest first."""
        return await asyncio.to_thread(self._client.versions, router_id)

    async def delete(self, router_id: str) -> None:
        """Delete a router with all its versions."""
        await asyncio.to_thread(self._client.delete, router_id)

    async def run(
        self,
        router: Router | str,
        routing_constraint: RoutingConstraint | Mapping[str, Any] | None,
        completion_request: Mapping[str, Any],
        version: int | None = None,
    ) -> ChatCompletion:
        """Let a router choose an LLM, and that answer."""
        return await asyncio.to_thread(
            self._client.run, router, routing_constraint, completion_request, version
        )

    async def run_training_job(
        self,
        router: Router | str,
        judge: Judge | str,
        llms: Sequence[str],
        requests: Sequence[Mapping[str, Any]],
        *,
        budget_usd: float | None = None,
        seed: int = 0,
        retention_days: float | None = 30,
    ) -> RouterTrainingJob:
        """Train a router: every LLM answers every request, the judge scores, the router learns."""
        return await asyncio.to_thread(
            self._client.run_training_job,
            router,
            judge,
            llms,
            requests,
            budget_usd=budget_usd,
            seed=seed,
            retention_days=retention_days,
        )

    async def estimate_training_job(
        self, judge: Judge | str, llms: Sequence[str], requests: Sequence[Mapping[str, Any]]
    ) -> TrainingEstimate:
        """Return how many calls a training job would make, and what it would cost."""
        return await asyncio.to_thread(self._client.estimate_training_job, judge, llms, requests)

    async def poll_training_job(self, job_name: RouterTrainingJob | str) -> RouterTrainingJob:
        """Return a training job as it stands."""
        return await asyncio.to_thread(self._client.poll_training_job, job_name)

    async def wait_training_job(
        self,
        job_name: RouterTrainingJob | str,
        poll_interval: float = POLL_INTERVAL,
        poll_timeout: float = POLL_TIMEOUT,
    ) -> RouterTrainingJob:
        """Wait until a training job has ended, however it ended."""
        deadline = time.monotonic() + poll_timeout
        while True:
            job = await self.poll_training_job(job_name)
            if job.ended:
                return job
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the training job {job.id} has not ended within {poll_timeout:g} s")
            await asyncio.sleep(min(poll_interval, left))

    async def list_training_jobs(self) -> builtins.list[RouterTrainingJob]:
        """Return all training jobs, the newest first."""
        return await asyncio.to_thread(self._client.list_training_jobs)

    async def cancel_training_job(self, job_name: RouterTrainingJob | str) -> RouterTrainingJob:
        """Let no further calls be made for a job."""
        return await asyncio.to_thread(self._client.cancel_training_job, job_name)

    async def retry_training_job(
        self, job_name: RouterTrainingJob | str, *, budget_usd: float | None = None
    ) -> RouterTrainingJob:
        """Run a job that failed or was cancelled again: it does what is missing."""
        return await asyncio.to_thread(self._client.retry_training_job, job_name, budget_usd=budget_usd)

    async def delete_training_job(self, job_name: RouterTrainingJob | str) -> None:
        """Delete a job that has ended, with all texts."""
        await asyncio.to_thread(self._client.delete_training_job, job_name)

    async def training_results(self, job_name: RouterTrainingJob | str) -> TrainingResults:
        """Return what a job found out about its LLMs, and what its router reaches."""
        return await asyncio.to_thread(self._client.training_results, job_name)


class AsyncJudgesClient:
    """`JudgesClient` for asynchronous code; its methods are described there."""

    def __init__(self, client: JudgesClient) -> None:
        self._client = client

    async def create_judge(self, judge_id: str, judge_spec: Spec, description: str | None = None) -> Judge:
        """Create a judge."""
        return await asyncio.to_thread(self._client.create_judge, judge_id, judge_spec, description)

    async def update_judge(self, judge_id: str, judge_spec: Spec, description: str | None = None) -> Judge:
        """Add a version to a judge."""
        return await asyncio.to_thread(self._client.update_judge, judge_id, judge_spec, description)

    async def list(self) -> builtins.list[Judge]:
        """Return the latest version of each judge."""
        return await asyncio.to_thread(self._client.list)

    async def get(self, judge_id: str, version: int | None = None) -> Judge:
        """Return a version of a judge, by default the latest."""
        return await asyncio.to_thread(self._client.get, judge_id, version)

    async def get_versions(self, judge_id: str) -> builtins.list[Judge]:
        """Return all versions of a judge, the newest first."""
        return await asyncio.to_thread(self._client.get_versions, judge_id)

    async def delete(self, judge_id: str) -> None:
        """Delete a judge with all its versions."""
        await asyncio.to_thread(self._client.delete, judge_id)

    async def render_prompt(
        self, judge: Judge | str, completion_request: Mapping[str, Any], completion_response: Any
    ) -> str:
        """Return the prompt that a rubric judge sends to its LLM."""
        return await asyncio.to_thread(
            self._client.render_prompt, judge, completion_request, completion_response
        )

    async def evaluate(
        self, judge: Judge | str, completion_request: Mapping[str, Any], completion_response: Any
    ) -> JudgeEvaluation:
        """Let a judge score an answer."""
        return await asyncio.to_thread(self._client.evaluate, judge, completion_request, completion_response)

    async def evaluate_using_judge_spec(
        self, judge_spec: Spec, completion_request: Mapping[str, Any], completion_response: Any
    ) -> JudgeEvaluation:
        """Let a judge that is not kept score an answer."""
        return await asyncio.to_thread(
            self._client.evaluate_using_judge_spec, judge_spec, completion_request, completion_response
        )

    async def agreement(
        self, judge: Judge | str, examples: Iterable[tuple[Mapping[str, Any], Any, float]]
    ) -> Agreement:
        """Compare a judge's scores with those that people gave."""
        return await asyncio.to_thread(self._client.agreement, judge, examples)


class AsyncClient:
    """Routers and judges for asynchronous code; arguments as of `Client`.

    Attributes:
        routers: Create, train and run routers.
        judges: Create judges and let them score.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | None = None,
        *,
        config: Config | None = None,
        api_key: str | None = None,
        worker: bool = True,
    ) -> None:
        self._client = Client(where, config=config, api_key=api_key, worker=worker)
        self.routers = AsyncRoutersClient(self._client.routers)
        self.judges = AsyncJudgesClient(self._client.judges)

    async def credits(self) -> float:
        """Return what may still be spent, in USD; a very large number where no budget is set."""
        return await asyncio.to_thread(lambda: self._client.credits)

    async def close(self) -> None:
        """Let go of connections."""
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
