"""Create routers, train them, and let them answer."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmrouter.constraints import KEY
from llmrouter_lifecycle.api import CHAT
from llmrouter_lifecycle.client.backends import Backend
from llmrouter_lifecycle.constraints import RoutingConstraint, constraint_dict
from llmrouter_lifecycle.errors import InvalidParameterError
from llmrouter_lifecycle.names import full_name
from llmrouter_lifecycle.resources import (
    Judge,
    Router,
    RouterTrainingJob,
    TrainingEstimate,
    TrainingResults,
)

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

POLL_INTERVAL = 10.0
POLL_TIMEOUT = 20 * 60.0


class RoutersClient:
    """The routers of an organisation, and their training jobs.

    A router may be given as it was returned, or by its id; a judge likewise; a job by its name, its id, or as
    it was returned.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._root = f"/v1/organizations/{backend.org}"

    def create_router(self, router_id: str, base_model: str, description: str | None = None) -> Router:
        """Create a router that goes to one LLM until it is trained.

        Args:
            router_id: Up to 63 letters, digits, ``.``, ``_`` and ``-``.
            base_model: The LLM.
            description: For people.

        Raises:
            ResourceAlreadyExistsError: The id is taken.
            ResourceNotFoundError: The LLM is not known.
            InvalidParameterError: The id cannot be used.
        """
        points = [_point(base_model, 0.0), _point(base_model, 1.0)]
        body = {"routerSpec": {"points": points}, "description": description}
        return self._router("POST", "/routers", {"routerId": router_id}, body)

    def update_router(
        self, router_id: str, router_spec: Mapping[str, Any], description: str | None = None
    ) -> Router:
        """Add a version to a router; without a description it keeps the one it has.

        Raises:
            ResourceNotFoundError: There is no such router, or LLM in the spec.
            InvalidParameterError: The spec is malformed.
        """
        body = {"routerSpec": router_spec, "description": description}
        return self._router("PATCH", f"/routers/{_id(router_id)}", None, body)

    def list(self) -> builtins.list[Router]:
        """Return the latest version of each router."""
        found = self._backend.request("GET", f"{self._root}/routers")
        return [Router.from_json(router) for router in found["routers"]]

    def get(self, router_id: str, version: int | None = None) -> Router:
        """Return a version of a router, by default the latest.

        Raises:
            ResourceNotFoundError: There is none.
        """
        return self._router("GET", f"/routers/{_id(router_id)}", _version(version))

    def versions(self, router_id: str) -> builtins.list[Router]:
        """Return all versions of a router, the newest first; none where there is no such router."""
        found = self._backend.request("GET", f"{self._root}/routers/{_id(router_id)}/versions")
        return [Router.from_json(router) for router in found["routers"]]

    def delete(self, router_id: str) -> None:
        """Delete a router with all its versions.

        Raises:
            ResourceNotFoundError: There is none.
        """
        self._backend.request("DELETE", f"{self._root}/routers/{_id(router_id)}")

    def run(
        self,
        router: Router | str,
        routing_constraint: RoutingConstraint | Mapping[str, Any] | None,
        completion_request: Mapping[str, Any],
        version: int | None = None,
    ) -> ChatCompletion:
        """Let a router choose an LLM, and that answer.

        Args:
            router: The router; whichever version the object is of, the latest one routes.
            routing_constraint: What the answer may cost, or how good it is to be; None: as good as can be.
            completion_request: A chat request; its ``model`` is ignored.
            version: The version that routes, to stay with one.

        Returns:
            The answer as the ``openai`` package has it; ``model`` is the LLM, ``cost`` what it cost in USD
            (None where the price is unknown), ``llmrouter`` how it was chosen.

        Raises:
            ResourceNotFoundError: There is no such router or version.
            InvalidParameterError: Request or constraint is malformed.
            UpstreamError: The LLM did not answer.
            BudgetExceededError: There are not enough credits left.
        """
        from openai.types.chat import ChatCompletion

        if not isinstance(completion_request, Mapping):
            raise InvalidParameterError(
                f'completion_request: expected {{"messages": [...]}}, found {completion_request!r}',
                param="completion_request",
            )
        name = full_name(self._backend.org, "routers", _id(router))
        body = {
            **completion_request,
            "model": name if version is None else f"{name}/versions/{version}",
        }
        if (constraint := constraint_dict(routing_constraint)) is not None:
            body[KEY] = constraint
        return ChatCompletion.model_validate(self._backend.request("POST", CHAT, None, body))

    def run_training_job(
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
        """Train a router: every LLM answers every request, the judge scores, the router learns.

        Args:
            router: The router, which gets a new version.
            judge: The judge; its latest version, or that of the object.
            llms: LLMs, of which each counts once.
            requests: Chat requests, ``{"messages": [...]}``; ``reference`` beside it is the answer that is
                right.
            budget_usd: What may be spent at most.
            seed: Of what is drawn at random in training.
            retention_days: How long texts are kept once the job has ended; None: for ever.

        Raises:
            ResourceNotFoundError: There is no such router, judge or LLM.
            InvalidParameterError: Something else cannot be used; nothing was spent.
            ConfigError: It is not known how an LLM is called.
        """
        body = {
            **self._training(judge, llms, requests),
            "routerName": full_name(self._backend.org, "routers", _id(router)),
            "budgetUsd": budget_usd,
            "seed": seed,
            "retentionDays": retention_days,
        }
        return self._job("POST", "/router_training_jobs", body)

    def estimate_training_job(
        self, judge: Judge | str, llms: Sequence[str], requests: Sequence[Mapping[str, Any]]
    ) -> TrainingEstimate:
        """Return how many calls a training job would make, and what it would cost.

        Raises:
            ResourceNotFoundError, InvalidParameterError: As `run_training_job`.
        """
        body = self._training(judge, llms, requests)
        found = self._backend.request("POST", f"{self._root}/router_training_jobs:estimate", None, body)
        return TrainingEstimate.from_json(found)

    def poll_training_job(self, job_name: RouterTrainingJob | str) -> RouterTrainingJob:
        """Return a training job as it stands.

        Raises:
            ResourceNotFoundError: There is none of that name.
        """
        return self._job("GET", f"/router_training_jobs/{_id(job_name)}")

    def wait_training_job(
        self,
        job_name: RouterTrainingJob | str,
        poll_interval: float = POLL_INTERVAL,
        poll_timeout: float = POLL_TIMEOUT,
    ) -> RouterTrainingJob:
        """Wait until a training job has ended, however it ended.

        Args:
            job_name: The job.
            poll_interval: Seconds between looks.
            poll_timeout: Seconds to wait at most.

        Raises:
            TimeoutError: It has not ended; it goes on.
            ResourceNotFoundError: There is none of that name.
        """
        deadline = time.monotonic() + poll_timeout
        while True:
            job = self.poll_training_job(job_name)
            if job.ended:
                return job
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the training job {job.id} has not ended within {poll_timeout:g} s")
            time.sleep(min(poll_interval, left))

    def list_training_jobs(self) -> builtins.list[RouterTrainingJob]:
        """Return all training jobs, the newest first."""
        found = self._backend.request("GET", f"{self._root}/router_training_jobs")
        return [RouterTrainingJob.from_json(job) for job in found["routerTrainingJobs"]]

    def cancel_training_job(self, job_name: RouterTrainingJob | str) -> RouterTrainingJob:
        """Let no further calls be made for a job; one that has ended stays as it is."""
        return self._job("POST", f"/router_training_jobs/{_id(job_name)}:cancel")

    def retry_training_job(
        self, job_name: RouterTrainingJob | str, *, budget_usd: float | None = None
    ) -> RouterTrainingJob:
        """Run a job that failed or was cancelled again: it does what is missing.

        Args:
            job_name: The job.
            budget_usd: What it may spend in all, in USD; by default what it might before.

        Raises:
            ConflictError: It runs, or has succeeded.
        """
        body = {} if budget_usd is None else {"budgetUsd": budget_usd}
        return self._job("POST", f"/router_training_jobs/{_id(job_name)}:retry", body)

    def delete_training_job(self, job_name: RouterTrainingJob | str) -> None:
        """Delete a job that has ended, with all texts; versions that it published stay.

        Raises:
            ConflictError: It runs.
        """
        self._backend.request("DELETE", f"{self._root}/router_training_jobs/{_id(job_name)}")

    def training_results(self, job_name: RouterTrainingJob | str) -> TrainingResults:
        """Return what a job found out about its LLMs, and what its router reaches."""
        path = f"{self._root}/router_training_jobs/{_id(job_name)}/results"
        return TrainingResults.from_json(self._backend.request("GET", path))

    def _training(
        self, judge: Judge | str, llms: Sequence[str], requests: Iterable[Mapping[str, Any]]
    ) -> dict[str, Any]:
        return {
            "judgeName": full_name(self._backend.org, "judges", _id(judge)),
            "judgeVersion": judge.version if isinstance(judge, Judge) else None,
            # As they are, for the answer says what is wrong with them.
            "llms": list(llms) if isinstance(llms, tuple) else llms,
            "requests": list(requests) if isinstance(requests, tuple) else requests,
        }

    def _router(self, method: str, path: str, query: Any = None, body: Any = None) -> Router:
        return Router.from_json(self._backend.request(method, self._root + path, query, body))

    def _job(self, method: str, path: str, body: Any = None) -> RouterTrainingJob:
        return RouterTrainingJob.from_json(self._backend.request(method, self._root + path, None, body))


def _id(resource: Any) -> str:
    """The id of a resource that was returned, or in a name."""
    name = getattr(resource, "name", resource)
    if not isinstance(name, str) or not name:
        raise InvalidParameterError(f"expected a resource, its name or its id, found {resource!r}")
    return name.rpartition("/")[2]


def _version(version: int | None) -> dict[str, Any] | None:
    return None if version is None else {"version": version}


def _point(model: str, place: float) -> dict[str, Any]:
    return {
        "point": {"x": place, "y": place},
        "executor": {"spec": {"executor_type": "ModelExecutor", "model_name": model}},
    }
