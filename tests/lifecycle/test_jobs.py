"""Training jobs: from requests to a router, and what may go wrong on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from llmrouter_lifecycle import (
    Client,
    ConflictError,
    InvalidParameterError,
    ResourceNotFoundError,
    RubricJudgeSpec,
    cost_at_most,
    quality_at_least,
)
from llmrouter_lifecycle.store.calls import CallKey
from llmrouter_testing.upstream import Reply, Upstream
from tests.lifecycle.conftest import answer, home_of, requests

LLMS = ["local/cheap", "local/dear"]
EASY = {"messages": [{"role": "user", "content": "Say plainly what comes after 1000"}]}
HARD = {"messages": [{"role": "user", "content": "Prove by induction over the integers what follows 1000"}]}

Work = Callable[..., None]


@pytest.fixture
def judge(client: Client) -> Any:
    return client.judges.create_judge("j", "numeric")


@pytest.fixture
def router(client: Client) -> Any:
    return client.routers.create_router("r", "local/dear")


def test_a_trained_router_sends_what_is_easy_to_the_cheap_llm_and_what_is_hard_to_the_dear_one(
    client: Client, router: Any, judge: Any, work: Work
) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(120))
    assert (job.status, job.llms, job.judge_version) == ("RUNNING", tuple(LLMS), 1)
    work(client)
    job = client.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=300)
    assert (job.status, job.error_message) == ("SUCCESS", None)
    assert job.progress is not None
    assert (job.progress.done, job.progress.failed, job.progress.total) == (240, 0, 240)
    assert job.progress.spent_usd > 0
    trained = client.routers.get("r")
    assert (trained.version, trained.llms) == (2, LLMS)
    # The object of before training routes with what was learned since.
    assert client.routers.run(router, quality_at_least(0.8), EASY).model == "local/cheap"
    assert client.routers.run(router, quality_at_least(0.8), HARD).model == "local/dear"
    assert client.routers.run(router, None, HARD).model == "local/dear"
    assert client.routers.run(router, cost_at_most("local/cheap"), HARD).model == "local/cheap"
    assert client.routers.run(router, quality_at_least(0.8), EASY, version=1).model == "local/dear"


def test_results_tell_what_each_llm_achieved_and_what_the_router_reaches(
    client: Client, router: Any, judge: Any, work: Work, tmp_path: Any
) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(120))
    work(client)
    results = client.routers.training_results(job)
    assert results.router_version == 2
    assert results.left_out == {}
    assert results.fallback_to_means is False
    assert (results.llms["local/cheap"].judged, results.llms["local/cheap"].mean_score) == (120, 0.5)
    assert results.llms["local/dear"].mean_quality == 1
    total = sum(told.cost or 0 for told in results.llms.values())
    assert job.progress is not None
    assert client.routers.poll_training_job(job).progress.spent_usd == pytest.approx(total)  # type: ignore[union-attr]
    assert [point["cost"] for point in results.frontier] == sorted(p["cost"] for p in results.frontier)
    assert all(math.isclose(sum(told["share"].values()), 1) for told in results.constraints)
    results.plot(str(tmp_path / "frontier.svg"))
    assert (
        "local/dear" in (tmp_path / "frontier.svg").read_text() or (tmp_path / "frontier.svg").stat().st_size
    )


def test_a_trained_spec_has_a_point_for_each_llm_and_says_what_it_was_trained_on(
    client: Client, router: Any, judge: Any, work: Work
) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(60))
    work(client)
    spec = client.routers.get("r").router_spec
    points = {point["executor"]["spec"]["model_name"]: point for point in spec["points"]}
    assert set(points) == set(LLMS)
    assert points["local/dear"]["point"] == {"x": 1, "y": 1}
    assert points["local/cheap"]["point"]["y"] == 0.5
    assert 0 < points["local/cheap"]["point"]["x"] < 0.1
    assert all(point["frontier"] is True for point in spec["points"])
    assert spec["score_range"] == [0, 1]
    assert spec["router"]["checkpoint"].startswith("sha256:")
    training = spec["training"]
    assert (training["job"], training["judge"], training["judge_version"]) == (job.id, "j", 1)
    assert training["counts"] == dict.fromkeys(LLMS, 60)
    # It may stand in an update, as of who wants an earlier version back.
    assert client.routers.update_router("r", spec).version == 3
    assert client.routers.run("r", cost_at_most("local/cheap"), EASY).model == "local/cheap"


@pytest.mark.parametrize("llms", [[], None, "local/cheap", {"local/cheap"}, [3], [None]])
def test_llms_that_are_none_or_no_list_are_refused(
    client: Client, router: Any, judge: Any, llms: Any
) -> None:
    with pytest.raises(InvalidParameterError, match="llms"):
        client.routers.run_training_job(router, judge, llms, requests(1))
    assert client.routers.list_training_jobs() == []


@pytest.mark.parametrize("bad", [[], None, {}, [{}], [{"messages": []}], [{"messages": ["x"]}], ["x"]])
def test_requests_that_are_none_are_refused(client: Client, router: Any, judge: Any, bad: Any) -> None:
    with pytest.raises(InvalidParameterError, match="requests"):
        client.routers.run_training_job(router, judge, LLMS, bad)


def test_what_is_not_known_is_refused_before_anything_is_spent(
    client: Client, router: Any, judge: Any, upstream: Upstream
) -> None:
    with pytest.raises(ResourceNotFoundError, match="'gpt-0'"):
        client.routers.run_training_job(router, judge, ["gpt-0"], requests(1))
    with pytest.raises(ResourceNotFoundError, match="judge 'none'"):
        client.routers.run_training_job(router, "none", LLMS, requests(1))
    with pytest.raises(ResourceNotFoundError, match="router 'none'"):
        client.routers.run_training_job("none", judge, LLMS, requests(1))
    for call in (
        client.routers.poll_training_job,
        client.routers.cancel_training_job,
        client.routers.retry_training_job,
        client.routers.delete_training_job,
        client.routers.training_results,
    ):
        with pytest.raises(ResourceNotFoundError, match="training job 'none'"):
            call("none")
    assert upstream.requests == []


def test_the_order_of_llms_is_kept_and_each_counts_once(client: Client, router: Any, judge: Any) -> None:
    llms = ["local/dear", "cheap", "local/cheap", "dear"]
    job = client.routers.run_training_job(router, judge, llms, requests(1))
    assert job.llms == ("local/dear", "local/cheap")


def test_an_estimate_tells_calls_and_cost_before_anything_is_spent(
    client: Client, judge: Any, upstream: Upstream
) -> None:
    local = client.routers.estimate_training_job(judge, LLMS, requests(10))
    assert local.calls == 20
    assert local.judge == 0
    spec = RubricJudgeSpec(rubric="r", model="local/dear", min_score=0, max_score=1)
    asking = client.routers.estimate_training_job(
        client.judges.create_judge("asks", spec), LLMS, requests(10)
    )
    assert asking.calls == 40
    assert asking.usd is not None
    assert local.usd is not None
    assert asking.usd > local.usd > 0
    unknown = client.routers.estimate_training_job(judge, ["local/free", *LLMS], requests(10))
    assert (unknown.usd, unknown.unknown_prices) == (None, ("local/free",))
    assert unknown.llms["local/dear"] == local.llms["local/dear"]
    assert upstream.requests == []


def test_few_requests_train_on_means_and_say_so(client: Client, router: Any, judge: Any, work: Work) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(20))
    work(client)
    results = client.routers.training_results(job)
    assert results.job.status == "SUCCESS"
    assert results.fallback_to_means is True
    assert "fewer than 50" in results.notes[0]
    assert client.routers.run(router, quality_at_least(0.9), EASY).model == "local/dear"
    assert client.routers.run(router, quality_at_least(0.4), HARD).model == "local/cheap"


def test_an_llm_with_too_few_judged_answers_is_left_out_and_named(
    client: Client, router: Any, judge: Any, work: Work, upstream: Upstream
) -> None:
    def sometimes(request: dict[str, Any]) -> str:
        if request["model"] == "cheap" and int(request["messages"][-1]["content"].split()[-1]) % 4 == 0:
            raise Reply(400, {"error": {"message": "too long"}})
        return answer(request)

    upstream.script = sometimes
    job = client.routers.run_training_job(router, judge, LLMS, requests(60))
    work(client)
    results = client.routers.training_results(job)
    assert results.job.status == "SUCCESS"
    assert client.routers.get("r").llms == ["local/dear"]
    assert set(results.left_out) == {"local/cheap"}
    assert "only 45 of 60" in results.left_out["local/cheap"]
    assert "too long" in results.left_out["local/cheap"]
    assert results.llms["local/cheap"].failed == 15


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_llm_that_refuses_is_not_called_again(
    client: Client, router: Any, judge: Any, work: Work, upstream: Upstream, status: int
) -> None:
    def refuse(request: dict[str, Any]) -> str:
        if request["model"] == "cheap":
            raise Reply(status, {"error": {"message": "no"}})
        return answer(request)

    upstream.script = refuse
    job = client.routers.run_training_job(router, judge, LLMS, requests(60))
    work(client)
    results = client.routers.training_results(job)
    assert results.job.status == "SUCCESS"
    assert f"answered {status}" in results.left_out["local/cheap"]
    asked = [request for request in upstream.requests if request["model"] == "cheap"]
    # Those that were under way when the first refusal came: as many as its service takes at once.
    assert len(asked) <= 8


def test_a_job_fails_where_no_llm_is_left_and_a_retry_does_what_is_missing(
    client: Client, router: Any, judge: Any, work: Work, upstream: Upstream
) -> None:
    def fail(request: dict[str, Any]) -> str:
        if int(request["messages"][-1]["content"].split()[-1]) >= 20:
            raise Reply(400, {"error": {"message": "out of order"}})
        return answer(request)

    upstream.script = fail
    job = client.routers.run_training_job(router, judge, LLMS, requests(60))
    work(client)
    job = client.routers.poll_training_job(job)
    assert job.status == "FAILURE"
    assert "no LLM is left" in (job.error_message or "")
    assert "out of order" in (job.error_message or "")
    assert client.routers.get("r").version == 1
    upstream.script = answer
    upstream.requests.clear()
    again = client.routers.retry_training_job(job)
    assert (again.name, again.status, again.retry_count) == (job.name, "RUNNING", 1)
    work(client)
    job = client.routers.poll_training_job(job)
    assert job.status == "SUCCESS"
    assert job.progress is not None
    assert (job.progress.done, job.progress.failed) == (120, 0)
    assert len(upstream.requests) == 80
    with pytest.raises(ConflictError, match="SUCCESS"):
        client.routers.retry_training_job(job)


def test_a_judge_that_cannot_be_asked_ends_the_job_at_once(
    client: Client, router: Any, work: Work, upstream: Upstream
) -> None:
    def refuse(request: dict[str, Any]) -> str:
        if "<rubric>" in request["messages"][0]["content"]:
            raise Reply(401, {"error": {"message": "wrong key"}})
        return answer(request)

    upstream.script = refuse
    spec = RubricJudgeSpec(rubric="r", model="local/dear", min_score=0, max_score=1)
    judge = client.judges.create_judge("asks", spec)
    job = client.routers.run_training_job(router, judge, LLMS, requests(100))
    work(client)
    job = client.routers.poll_training_job(job)
    assert job.status == "FAILURE"
    assert "the judge cannot be asked" in (job.error_message or "")
    assert "401" in (job.error_message or "")
    assert len(upstream.requests) < 150


def test_a_rubric_judge_trains_a_router(client: Client, router: Any, work: Work, upstream: Upstream) -> None:
    def both(request: dict[str, Any]) -> str:
        prompt = request["messages"][0]["content"]
        if "<rubric>" not in prompt:
            return answer(request)
        return f"<rationale>r</rationale><score>{2 if 'do not know' in prompt else 9}</score>"

    upstream.script = both
    spec = RubricJudgeSpec(rubric="right?", model="local/dear", min_score=1, max_score=9)
    judge = client.judges.create_judge("asks", spec)
    job = client.routers.run_training_job(router, judge, LLMS, requests(60))
    work(client)
    results = client.routers.training_results(job)
    assert results.job.status == "SUCCESS", results.job.error_message
    assert results.llms["local/cheap"].mean_score == pytest.approx((9 + 2) / 2)
    assert results.llms["local/cheap"].mean_quality == pytest.approx((1 + 1 / 8) / 2)
    assert results.job.progress is not None
    # Judging is paid for too.
    assert results.job.progress.spent_usd > sum(told.cost or 0 for told in results.llms.values())


def test_a_budget_is_kept_and_ends_the_job(
    client: Client, router: Any, judge: Any, work: Work, upstream: Upstream
) -> None:
    # What the dear LLM is expected to take for one answer, and some: its answers turn out far shorter.
    budget = 0.010
    job = client.routers.run_training_job(router, judge, LLMS, requests(100), budget_usd=budget)
    work(client)
    job = client.routers.poll_training_job(job)
    assert job.status == "FAILURE_WITHOUT_RETRY"
    assert "budget" in (job.error_message or "")
    assert job.progress is not None
    assert 0 < job.progress.spent_usd <= budget
    assert 0 < len(upstream.requests) < 200
    # More money lets it go on where it stopped.
    done = len(upstream.requests)
    again = client.routers.retry_training_job(job, budget_usd=100)
    assert (again.status, again.error_message, again.retry_count) == ("RUNNING", None, 1)
    work(client)
    assert client.routers.poll_training_job(job).status == "SUCCESS"
    assert len(upstream.requests) == 200 > done


def test_a_budget_that_suffices_changes_nothing(client: Client, router: Any, judge: Any, work: Work) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(60), budget_usd=100)
    work(client)
    assert client.routers.poll_training_job(job).status == "SUCCESS"


def test_with_a_budget_every_price_must_be_known(client: Client, router: Any, judge: Any) -> None:
    with pytest.raises(InvalidParameterError, match="local/free"):
        client.routers.run_training_job(router, judge, ["local/free"], requests(1), budget_usd=1)


def test_unknown_prices_stay_unknown(client: Client, router: Any, judge: Any, work: Work) -> None:
    job = client.routers.run_training_job(router, judge, ["local/free", "local/dear"], requests(60))
    work(client)
    results = client.routers.training_results(job)
    assert results.job.status == "SUCCESS", results.job.error_message
    assert results.llms["local/free"].mean_cost is None
    points = {
        point["executor"]["spec"]["model_name"]: point["point"]["x"]
        for point in client.routers.get("r").router_spec["points"]
    }
    assert points == {"local/free": None, "local/dear": 1}
    # Never taken to cost nothing.
    assert client.routers.run(router, cost_at_most(1), EASY).model == "local/dear"


def test_a_cancelled_job_makes_no_more_calls(
    client: Client, router: Any, judge: Any, work: Work, upstream: Upstream
) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(100))

    def cancel(request: dict[str, Any]) -> str:
        if len(upstream.requests) == 30:
            client.routers.cancel_training_job(job)
        return answer(request)

    upstream.script = cancel
    work(client)
    found = client.routers.poll_training_job(job)
    assert (found.status, found.error_message) == ("FAILURE_WITHOUT_RETRY", "the job was cancelled")
    # Those under way, and those that began before the next commit said so.
    assert len(upstream.requests) <= 30 + 16
    assert client.routers.cancel_training_job(job) == found
    # It goes on where it was cancelled.
    upstream.script = answer
    assert client.routers.retry_training_job(job).status == "RUNNING"
    with pytest.raises(ConflictError, match="RUNNING"):
        client.routers.retry_training_job(job)
    work(client)
    found = client.routers.poll_training_job(job)
    assert (found.status, found.retry_count) == ("SUCCESS", 1)
    assert len(upstream.requests) <= 200 + 16


def test_jobs_are_listed_and_deleted(client: Client, router: Any, judge: Any) -> None:
    first = client.routers.run_training_job(router, judge, LLMS, requests(1))
    second = client.routers.run_training_job(router, judge, LLMS, requests(1))
    assert client.routers.list_training_jobs() == [second, first]
    with pytest.raises(ConflictError, match="cancel it first"):
        client.routers.delete_training_job(first)
    client.routers.cancel_training_job(first)
    client.routers.delete_training_job(first)
    assert client.routers.list_training_jobs() == [second]


def test_waiting_gives_up_after_its_time(client: Client, router: Any, judge: Any) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(1))
    with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
        client.routers.wait_training_job(job.name, poll_interval=10, poll_timeout=0.2)


def test_the_same_calls_give_the_same_checkpoint(client: Client, router: Any, judge: Any, work: Work) -> None:
    digests = set()
    for _ in range(2):
        client.routers.run_training_job(router, judge, LLMS, requests(60))
        work(client)
        digests.add(client.routers.get("r").router_spec["router"]["checkpoint"])
    assert len(digests) == 1
    assert client.routers.get("r").version == 3


def test_texts_are_deleted_when_their_time_is_over_and_figures_stay(
    client: Client, router: Any, judge: Any, work: Work
) -> None:
    job = client.routers.run_training_job(router, judge, LLMS, requests(60), retention_days=0)
    kept = client.routers.run_training_job(router, judge, LLMS, requests(60), retention_days=None)
    work(client)
    home = home_of(client)
    assert home.jobs.delete_old_texts() == 1
    stored = home.jobs.get("local", job.id)
    assert stored.texts_deleted
    assert set(map(str, home.jobs.requests(stored).values())) == {"None"}
    call = home.calls.of(stored)[CallKey(0, "local/dear", "answer")]
    assert (call.message, call.prompt_tokens) == (None, 6)
    assert home.calls.of(stored)[CallKey(0, "local/dear", "judge")].score == 1
    assert client.routers.training_results(job).llms["local/dear"].mean_score == 1
    assert home.calls.of(home.jobs.get("local", kept.id))[CallKey(0, "local/dear", "answer")].message
