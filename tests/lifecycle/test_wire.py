"""The protocol over HTTP, row by row, with field names and status words exactly so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from llmrouter_lifecycle import Client, ResourceNotFoundError, cost_at_most, quality_at_least
from llmrouter_lifecycle.errors import AuthenticationError, InvalidParameterError, LifecycleError
from llmrouter_lifecycle.home import Caller
from tests.lifecycle.conftest import home_of, requests
from tests.lifecycle.server import Server
from tests.upstream import Upstream

ROOT = "/v1/organizations/acme"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
QUESTION = {"messages": [{"role": "user", "content": "Say plainly what comes after 4"}]}
RUBRIC = {"model_type": "rubric_judge", "rubric": "r", "model": "local/dear", "min_score": 1, "max_score": 5}


@pytest.fixture
def server(client: Client) -> Iterator[Server]:
    keys = {
        "key-acme": Caller(org="acme", key="a"),
        "key-poor": Caller(org="acme", key="p", budget_usd=0.5),
        "key-other": Caller(org="other", key="o"),
    }
    server = Server(home_of(client), keys)
    yield server
    server.close()


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, headers={"Authorization": "Bearer key-acme"}) as http:
        yield http


def executor(model: str, place: float) -> dict[str, Any]:
    return {
        "point": {"x": place, "y": place},
        "executor": {"spec": {"executor_type": "ModelExecutor", "model_name": model}},
    }


def router_body(model: str = "local/cheap") -> dict[str, Any]:
    return {"routerSpec": {"points": [executor(model, 0.0), executor(model, 1.0)]}}


def judge_body(**change: Any) -> dict[str, Any]:
    return {"judgeSpec": {"judgeSpec": {**RUBRIC, **change}}}


def payloads(answer: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer}
    completion = {"cost": 0.0, "response": message, "choices": [{"index": 0, "message": message}]}
    return {
        "completionCreateParams": {"jsonPayload": json.dumps(QUESTION)},
        "chatCompletion": {"jsonPayload": json.dumps(completion)},
    }


def check_error(answer: httpx2.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error"}
    assert set(told["error"]) == {"message", "type", "param", "code"}
    return told["error"]


def test_a_wrong_key_is_401(server: Server) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        check_error(httpx2.get(f"{server.url}/organizations", headers=headers), 401)


def test_organizations_and_credits(http: httpx2.Client, server: Server) -> None:
    assert http.get("/organizations").json()[0]["uid"] == "acme"
    credits = http.get("/organizations/acme/credits").json()
    assert set(credits) == {"credits"}
    assert credits["credits"] > 1e9
    poor = {"Authorization": "Bearer key-poor"}
    assert http.get("/organizations/acme/credits", headers=poor).json() == {"credits": 0.5}
    check_error(http.get("/organizations/other/credits"), 404)


def test_routers(http: httpx2.Client) -> None:
    body = {**router_body(), "description": "d"}
    created = http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=body)
    assert created.status_code == 200
    first = created.json()
    assert set(first) == {"name", "version", "description", "createTime", "routerSpec"}
    assert (first["name"], first["version"]) == ("organizations/acme/routers/r", 1)
    assert first["description"] == "d"
    assert first["routerSpec"] == body["routerSpec"]
    assert RFC_3339.fullmatch(first["createTime"])
    check_error(http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=body), 409)
    unknown = http.post(f"{ROOT}/routers", params={"routerId": "s"}, json=router_body("gpt-0"))
    check_error(unknown, 404)
    check_error(http.post(f"{ROOT}/routers", params={"routerId": "a/b"}, json=body), 400)
    second = http.patch(f"{ROOT}/routers/r", json=router_body("local/dear")).json()
    assert (second["version"], second["description"]) == (2, "d")
    check_error(http.patch(f"{ROOT}/routers/none", json=router_body()), 404)
    assert http.get(f"{ROOT}/routers").json() == {"routers": [second]}
    assert http.get(f"{ROOT}/routers/r").json() == second
    assert http.get(f"{ROOT}/routers/r", params={"version": 1}).json() == first
    check_error(http.get(f"{ROOT}/routers/r", params={"version": 3}), 404)
    check_error(http.get(f"{ROOT}/routers/r", params={"version": "x"}), 400)
    check_error(http.get(f"{ROOT}/routers/none"), 404)


def test_judges(http: httpx2.Client) -> None:
    created = http.post(f"{ROOT}/judges", params={"judgeId": "j"}, json=judge_body())
    first = created.json()
    assert created.status_code == 200
    assert set(first) == {"name", "version", "description", "createTime", "judgeSpec"}
    assert (first["name"], first["version"], first["description"]) == (
        "organizations/acme/judges/j",
        1,
        None,
    )
    assert set(first["judgeSpec"]) == {"judgeSpec"}
    assert first["judgeSpec"]["judgeSpec"]["prescript"]
    check_error(http.post(f"{ROOT}/judges", params={"judgeId": "j"}, json=judge_body()), 409)
    check_error(http.post(f"{ROOT}/judges", params={"judgeId": "k"}, json={"judgeSpec": RUBRIC}), 400)
    second = http.patch(f"{ROOT}/judges/j", json=judge_body(min_score=2)).json()
    assert second["version"] == 2
    check_error(http.patch(f"{ROOT}/judges/none", json=judge_body()), 404)
    assert http.get(f"{ROOT}/judges").json() == {"judges": [second]}
    assert http.get(f"{ROOT}/judges/j").json() == second
    assert http.get(f"{ROOT}/judges/j", params={"version": 1}).json() == first
    assert http.get(f"{ROOT}/judges/j/versions").json() == {"judges": [second, first]}
    assert http.get(f"{ROOT}/judges/none/versions").json() == {"judges": []}
    check_error(http.get(f"{ROOT}/judges/none"), 404)


def test_rendering_and_evaluating(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script = lambda request: "<rationale>why</rationale><score>4</score>"
    http.post(f"{ROOT}/judges", params={"judgeId": "j"}, json=judge_body())
    body = {"judgeVersion": 1, **payloads("five")}
    rendered = http.post(f"{ROOT}/judges/j:render", json=body).json()
    assert set(rendered) == {"prompt"}
    assert "assistant: five" in json.loads(rendered["prompt"])["rubric_judge"]
    found = http.post(f"{ROOT}/judges/j:evaluate", json=body).json()
    assert set(found) == {"judgement"}
    assert set(found["judgement"]) == {"score", "reason", "cost"}
    assert (found["judgement"]["score"], found["judgement"]["reason"]) == (4, "why")
    same = http.post(f"{ROOT}/judges:evaluate", json={**judge_body(), **payloads("five")}).json()
    assert same == found
    check_error(http.post(f"{ROOT}/judges/none:evaluate", json=body), 404)
    check_error(http.post(f"{ROOT}/judges/j:evaluate", json={**body, "judgeVersion": 7}), 404)
    check_error(http.post(f"{ROOT}/judges/j:evaluate", json={"judgeVersion": 1}), 400)


def test_jobs(http: httpx2.Client) -> None:
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=router_body())
    http.post(f"{ROOT}/judges", params={"judgeId": "j"}, json=judge_body(model_type="rubric_judge"))
    body: dict[str, Any] = {
        "routerName": "organizations/acme/routers/r",
        "judgeName": "organizations/acme/judges/j",
        "llms": ["local/dear", "local/cheap", "local/dear"],
        "requests": [QUESTION],
    }
    job = http.post(f"{ROOT}/router_training_jobs", json=body).json()
    assert {
        *("name", "routerName", "judgeName", "judgeVersion", "status", "createTime", "updateTime"),
        *("llms", "errorMessage", "retryCount"),
    } <= set(job)
    assert job["name"].startswith("organizations/acme/router_training_jobs/")
    assert (job["routerName"], job["judgeName"]) == (body["routerName"], body["judgeName"])
    assert (job["status"], job["judgeVersion"], job["retryCount"]) == ("RUNNING", 1, 0)
    assert (job["llms"], job["errorMessage"]) == (["local/dear", "local/cheap"], None)
    path = f"{ROOT}/router_training_jobs/{job['name'].rpartition('/')[2]}"
    assert http.get(path).json() == job
    assert http.get(f"{ROOT}/router_training_jobs").json() == {"routerTrainingJobs": [job]}
    assert http.get(f"{path}/results").json()["results"] is None
    check_error(http.post(f"{path}:retry"), 409)
    assert http.post(f"{path}:cancel").json()["status"] == "FAILURE_WITHOUT_RETRY"
    changes: list[tuple[dict[str, Any], int]] = [
        ({"llms": []}, 400),
        ({"llms": None}, 400),
        ({"requests": []}, 400),
        ({"requests": None}, 400),
        ({"llms": ["gpt-0"]}, 404),
        ({"routerName": "organizations/acme/routers/none"}, 404),
        ({"routerName": "organizations/other/routers/r"}, 404),
        ({"judgeName": "organizations/acme/judges/none"}, 404),
        ({"routerName": None}, 400),
    ]
    for change, status in changes:
        check_error(http.post(f"{ROOT}/router_training_jobs", json={**body, **change}), status)
    check_error(http.get(f"{ROOT}/router_training_jobs/none"), 404)


CHAT = "/openai/v2/chat/completions"


def test_chat_with_an_llm_a_router_and_its_versions(http: httpx2.Client) -> None:
    name = "organizations/acme/routers/r"
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=router_body("local/cheap"))
    http.patch(f"{ROOT}/routers/r", json=router_body("local/dear"))
    for model, llm in {
        "local/cheap": "local/cheap",
        "cheap": "local/cheap",
        name: "local/dear",
        f"{name}/versions/latest": "local/dear",
        f"{name}/versions/2": "local/dear",
        f"{name}/versions/1": "local/cheap",
    }.items():
        answer = http.post(CHAT, json={**QUESTION, "model": model}).json()
        assert answer["model"] == llm
        assert answer["object"] == "chat.completion"
        assert answer["cost"] > 0
        assert answer["llmrouter"]["upstream_model"] == f"upstream-{llm.rpartition('/')[2]}"
    for model in ("gpt-0", "organizations/acme/routers/none", f"{name}/versions/9"):
        check_error(http.post(CHAT, json={**QUESTION, "model": model}), 404)
    check_error(http.post(CHAT, json={**QUESTION}), 400)
    both = {"cost_constraint": {"numeric_value": 1}, "quality_constraint": {"numeric_value": 1}}
    error = check_error(http.post(CHAT, json={**QUESTION, "model": name, "routing_constraint": both}), 400)
    assert error["param"] == "routing_constraint"


def test_another_organisation_is_404_everywhere(http: httpx2.Client) -> None:
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=router_body())
    other = {"Authorization": "Bearer key-other"}
    for method, path in [
        ("GET", "/organizations/acme/credits"),
        ("GET", f"{ROOT}/routers"),
        ("GET", f"{ROOT}/routers/r"),
        ("PATCH", f"{ROOT}/routers/r"),
        ("GET", f"{ROOT}/judges"),
        ("POST", f"{ROOT}/judges:evaluate"),
        ("GET", f"{ROOT}/router_training_jobs"),
    ]:
        check_error(http.request(method, path, headers=other), 404)
    chat = {**QUESTION, "model": "organizations/acme/routers/r"}
    check_error(http.post(CHAT, json=chat, headers=other), 404)


def test_a_repeated_post_is_done_once(http: httpx2.Client, upstream: Upstream) -> None:
    headers = {"Idempotency-Key": "k1"}
    body = {**QUESTION, "model": "local/cheap"}
    answers = [http.post(CHAT, json=body, headers=headers).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert len(upstream.requests) == 1
    other = {**body, "model": "local/dear"}
    assert "another request" in check_error(http.post(CHAT, json=other, headers=headers), 400)["message"]
    # Another organisation's keys are its own.
    theirs = {"Idempotency-Key": "k1", "Authorization": "Bearer key-other"}
    assert http.post(CHAT, json=other, headers=theirs).json()["model"] == "local/dear"
    for _ in range(2):
        created = http.post(
            f"{ROOT}/routers",
            params={"routerId": "r"},
            json=router_body(),
            headers={"Idempotency-Key": "k2"},
        )
        assert created.status_code == 200


def test_what_failed_upstream_may_be_tried_again_with_the_same_key(
    http: httpx2.Client, upstream: Upstream
) -> None:
    from tests.upstream import Reply

    good = upstream.script

    def fail(request: dict[str, Any]) -> str:
        raise Reply(400, {"error": {"message": "no"}})

    upstream.script = fail
    headers = {"Idempotency-Key": "k"}
    body = {**QUESTION, "model": "local/cheap"}
    check_error(http.post(CHAT, json=body, headers=headers), 502)
    upstream.script = good
    assert http.post(CHAT, json=body, headers=headers).status_code == 200


def test_a_body_that_is_no_json_is_400(http: httpx2.Client) -> None:
    for body in (b"{", b"[]", b'"x"', b"\xff"):
        check_error(http.post(f"{ROOT}/routers?routerId=r", content=body), 400)
    check_error(http.get("/nothing"), 404)


def test_code_is_not_taken_from_strangers(http: httpx2.Client) -> None:
    body = {"judgeSpec": {"judgeSpec": {"model_type": "python:os:getcwd"}}}
    error = check_error(http.post(f"{ROOT}/judges", params={"judgeId": "j"}, json=body), 400)
    assert "runs code" in error["message"]
    check_error(http.post(f"{ROOT}/judges:evaluate", json={**body, **payloads("x")}), 400)
    spec = {**router_body()["routerSpec"], "router": {"name": "x", "checkpoint": "/etc/passwd"}}
    check_error(http.post(f"{ROOT}/routers", params={"routerId": "r"}, json={"routerSpec": spec}), 404)


def test_a_client_does_the_same_over_http(client: Client, server: Server, work: Callable[..., None]) -> None:
    with Client(server.url, api_key="key-acme") as remote:
        judge = remote.judges.create_judge("j", "numeric")
        router = remote.routers.create_router("r", "local/dear", "d")
        with pytest.raises(ResourceNotFoundError, match="'none'"):
            remote.routers.get("none")
        with pytest.raises(InvalidParameterError, match="llms"):
            remote.routers.run_training_job(router, judge, [], requests(60))
        assert remote.judges.evaluate(judge, requests(1)[0], "It is 1.").score == 1
        estimate = remote.routers.estimate_training_job(judge, ["local/cheap", "local/dear"], requests(60))
        assert estimate.calls == 120
        job = remote.routers.run_training_job(router, judge, ["local/cheap", "local/dear"], requests(60))
        work(client)
        job = remote.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=10)
        assert job.status == "SUCCESS", job.error_message
        assert remote.routers.training_results(job).router_version == 2
        easy, hard = (each for each in requests(2))
        assert remote.routers.run(router, quality_at_least(0.8), easy).model == "local/cheap"
        assert remote.routers.run(router, quality_at_least(0.8), hard).model == "local/dear"
        assert remote.routers.run(router, cost_at_most("local/cheap"), hard).model == "local/cheap"
        assert remote.routers.run(router, None, easy, version=1).model == "local/dear"
        assert remote.credits > 1e9
        remote.routers.delete_training_job(job)
        assert remote.routers.list_training_jobs() == []
    with pytest.raises(AuthenticationError, match="key is wrong"):
        Client(server.url, api_key="nonsense")
    with pytest.raises(InvalidParameterError, match="api_key"):
        Client(server.url)
    with pytest.raises(LifecycleError, match="did not answer"):
        Client("http://127.0.0.1:1", api_key="k")
