"""What clients return: frozen, typed views of the protocol's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["RUNNING", "SUCCESS", "FAILURE", "FAILURE_WITHOUT_RETRY"]


@dataclass(frozen=True)
class Router:
    """One version of a router.

    Attributes:
        name: ``organizations/ORG/routers/ID``.
        version: From 1.
        create_time: When this version was made, RFC 3339.
        router_spec: Where requests go.
    """

    name: str
    version: int
    description: str | None
    create_time: str
    router_spec: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def llms(self) -> list[str]:
        """The LLMs that it chooses from."""
        points = self.router_spec["points"]
        return list(dict.fromkeys(point["executor"]["spec"]["model_name"] for point in points))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Router:
        """Read what the protocol has."""
        return cls(told["name"], told["version"], told["description"], told["createTime"], told["routerSpec"])


@dataclass(frozen=True)
class Judge:
    """One version of a judge.

    Attributes:
        name: ``organizations/ORG/judges/ID``.
        version: From 1.
        create_time: When this version was made, RFC 3339.
        judge_spec: How it judges, its defaults filled in.
    """

    name: str
    version: int
    description: str | None
    create_time: str
    judge_spec: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Judge:
        """Read what the protocol has."""
        spec = (told.get("judgeSpec") or {}).get("judgeSpec") or {}
        return cls(told["name"], told["version"], told["description"], told["createTime"], spec)


@dataclass(frozen=True)
class Progress:
    """How far a training job is.

    Attributes:
        done: Answers that are judged.
        failed: Answers that could not be had, or not be judged.
        total: Answers in all.
        spent_usd: What it cost so far, as far as prices are known.
    """

    done: int
    failed: int
    total: int
    spent_usd: float


@dataclass(frozen=True)
class RouterTrainingJob:
    """A training job as it stands.

    Attributes:
        name: ``organizations/ORG/router_training_jobs/ID``.
        judge_version: Fixed when the job was made.
        status: ``RUNNING``, or how it ended.
        error_message: Why it failed.
        retry_count: How often it was retried.
    """

    name: str
    router_name: str
    judge_name: str
    judge_version: int
    status: Status
    create_time: str
    update_time: str
    llms: tuple[str, ...]
    error_message: str | None
    retry_count: int
    progress: Progress | None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status != "RUNNING"

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> RouterTrainingJob:
        """Read what the protocol has."""
        progress = told.get("progress")
        return cls(
            name=told["name"],
            router_name=told["routerName"],
            judge_name=told["judgeName"],
            judge_version=told["judgeVersion"],
            status=told["status"],
            create_time=told["createTime"],
            update_time=told["updateTime"],
            llms=tuple(told["llms"]),
            error_message=told["errorMessage"],
            retry_count=told["retryCount"],
            progress=progress
            and Progress(progress["done"], progress["failed"], progress["total"], progress["spentUsd"]),
        )


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training job would take.

    Attributes:
        calls: Calls of LLMs, those of a judge that asks one included.
        usd: Expected cost; None where a price is unknown.
        unknown_prices: Whose.
        llms: USD of each LLM's answers.
        judge: USD of judging.
    """

    calls: int
    usd: float | None
    unknown_prices: tuple[str, ...]
    llms: Mapping[str, float | None]
    judge: float | None

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> TrainingEstimate:
        """Read what the protocol has."""
        return cls(told["calls"], told["usd"], tuple(told["unknown_prices"]), told["llms"], told["judge"])


@dataclass(frozen=True)
class LLMResult:
    """What one LLM achieved in a training job.

    Attributes:
        judged: How many of its answers are judged.
        failed: How many calls failed.
        mean_score: On the judge's scale.
        mean_quality: From 0 to 1.
        mean_cost: USD for an answer; None where the price is unknown.
        cost: USD of all its answers.
        left_out: Why it was not trained on, or None.
    """

    judged: int
    failed: int
    mean_score: float | None
    mean_quality: float | None
    mean_cost: float | None
    cost: float | None
    left_out: str | None


@dataclass(frozen=True)
class TrainingResults:
    """What a training job found out.

    Attributes:
        job: The job.
        llms: What each LLM achieved.
        router_version: The version that it published; None where it published none.
        frontier: Points of cost (USD for a request) and quality that the router reaches, by rising cost, each
            with the share of requests that go to each LLM.
        constraints: For several constraints, how often they are met, and those shares.
        fallback_to_means: Whether there were too few requests to learn what single ones need.
        notes: What else is to be known.
    """

    job: RouterTrainingJob
    llms: Mapping[str, LLMResult]
    router_version: int | None
    frontier: tuple[Mapping[str, Any], ...]
    constraints: tuple[Mapping[str, Any], ...]
    fallback_to_means: bool
    notes: tuple[str, ...]

    @property
    def left_out(self) -> dict[str, str]:
        """LLMs that were not trained on, each with the reason."""
        return {llm: told.left_out for llm, told in self.llms.items() if told.left_out is not None}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> TrainingResults:
        """Read what the protocol has."""
        results = told["results"] or {}
        return cls(
            job=RouterTrainingJob.from_json(told["job"]),
            llms={llm: LLMResult(**found) for llm, found in results.get("llms", {}).items()},
            router_version=results.get("router_version"),
            frontier=tuple(results.get("frontier", ())),
            constraints=tuple(results.get("constraints", ())),
            fallback_to_means=results.get("fallback_to_means", False),
            notes=tuple(results.get("notes", ())),
        )

    def plot(self, path: str) -> None:
        """Draw the frontier and the LLMs into a file, ``.png`` or ``.svg``.

        Raises:
            MissingExtraError: matplotlib is not installed.
            LLMRouterError: There is nothing to draw.
        """
        from llmrouter_lifecycle.picture import draw

        draw(self, path)


@dataclass(frozen=True)
class JudgeEvaluation:
    """What a judge says of an answer.

    Attributes:
        score: On the judge's scale.
        reason: Why.
        cost: Of judging in USD; None where it is unknown.
    """

    score: float
    reason: str
    cost: float | None


@dataclass(frozen=True)
class RubricJudgeSpec:
    """A judge that asks an LLM; what is None has a default.

    Attributes:
        rubric: What makes an answer good or bad.
        model: The LLM that judges.
        min_score: The lowest score.
        max_score: The highest score.
        prescript: Stands before the rubric.
        postscript: Stands after it, and shows the conversation.
        extract_variables: How variables of the prompt are read out of the conversation.
        extract_judgement: How score and reason are read out of the judge's answer.
    """

    rubric: str
    model: str
    min_score: float
    max_score: float
    prescript: str | None = None
    postscript: str | None = None
    extract_variables: Mapping[str, Any] | None = None
    extract_judgement: Mapping[str, Any] | None = None
    model_type: Literal["rubric_judge"] = "rubric_judge"

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as the protocol has it."""
        return {key: value for key, value in self.__dict__.items() if value is not None}
