"""The protocol over HTTP, row by row, with field names and status words exactly so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llmrouter_lifecycle import Client, ResourceNotFoundError, cost_at_most, quality_at_least
from llmrouter_lifecycle.api import ROUTES
from llmrouter_lifecycle.errors import AuthenticationError, InvalidParameterError, LifecycleError
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import requests
from tests.lifecycle.server import Server, write_config, write_keys
from tests.server.serving import events_of, wait_until

ROOT = "/v1/organizations/acme"
OTHER = {"Authorization": "Bearer key-other"}
POOR = {"Authorization": "Bearer key-poor"}
JSON = {"Content-Type": "application/json"}
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
QUESTION = {"messages": [{"role": "user", "content": "Say plainly what comes after 4"}]}
RUBRIC = {"model_type": "rubric_judge", "rubric": "r", "model": "local/dear", "min_score": 1, "max_score": 5}


@pytest.fixture
def server(where: str, catalogue: dict[str, Any], tmp_path: Path) -> Iterator[Server]:
    keys = [("key-acme", "acme", None), ("key-poor", "acme", 0.5), ("key-other", "other", None)]
    config = write_config(tmp_path / "config.yaml", catalogue)
    server = Server(where, config, write_keys(tmp_path / "keys.json", keys))
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
    assert http.get("/organizations/acme/credits", headers=POOR).json() == {"credits": 0.5}
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


@pytest.fixture
def ids(http: httpx2.Client) -> dict[str, str]:
    """A router, a judge and a job of one organisation; returns their ids by collection."""
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=router_body())
    http.post(f"{ROOT}/judges", params={"judgeId": "j"}, json=judge_body())
    told = {"routerName": "r", "judgeName": "j", "llms": ["local/cheap"], "requests": [QUESTION]}
    job = http.post(f"{ROOT}/router_training_jobs", json=told).json()["name"].rpartition("/")[2]
    return {"routers": "r", "judges": "j", "router_training_jobs": job}


def test_another_organisation_is_404_in_every_row(http: httpx2.Client, ids: dict[str, str]) -> None:
    bodies = {
        "routers": router_body(),
        "judges": {**judge_body(), "judgeVersion": 1, **payloads("x")},
        "router_training_jobs": {},
    }
    for route in ROUTES:
        if "{org}" not in route.path:
            continue
        own, theirs = route.path.replace("{org}", "acme"), route.path.replace("{org}", "other")
        # The path of another organisation, and another's ids below one's own path.
        check_error(http.request(route.method, own.replace("{id}", "r"), headers=OTHER), 404)
        if "{id}" not in theirs:
            continue
        collection = theirs.split("/")[4]
        body = bodies[collection] if route.method in ("POST", "PATCH") else None
        path = theirs.replace("{id}", ids[collection])
        answer = http.request(route.method, path, json=body, headers=OTHER)
        if path.endswith("/versions"):
            assert answer.json() == {collection: []}
        else:
            check_error(answer, 404)
    for collection in ids:
        listed = http.get(f"/v1/organizations/other/{collection}", headers=OTHER).json()
        assert list(listed.values()) == [[]]
        assert len(next(iter(http.get(f"{ROOT}/{collection}").json().values()))) == 1


def test_chat_reaches_no_router_of_another_organisation(http: httpx2.Client, ids: dict[str, str]) -> None:
    name, theirs = "organizations/acme/routers/r", "/v1/organizations/other/routers"
    http.post(theirs, params={"routerId": "r"}, json=router_body("local/dear"), headers=OTHER)
    for path in (CHAT, "/v1/chat/completions", "/v1/route"):
        for model in (name, f"{name}/versions/1", f"{name}/versions/latest"):
            check_error(http.post(path, json={**QUESTION, "model": model}, headers=OTHER), 404)
    models = http.get("/v1/models", headers=OTHER).json()["data"]
    assert [model["id"] for model in models if model["llmrouter"]["kind"] == "router"] == [
        "organizations/other/routers/r"
    ]


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


def test_a_repeated_stream_is_the_same_stream(http: httpx2.Client, upstream: Upstream) -> None:
    body = {**QUESTION, "model": "local/cheap", "stream": True}
    streams = [http.post(CHAT, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert streams[0].content == streams[1].content
    assert streams[0].content.endswith(b"data: [DONE]\n\n")
    assert streams[1].headers["content-type"] == "text/event-stream"
    assert len(upstream.requests) == 1


def test_what_failed_upstream_may_be_tried_again_with_the_same_key(
    http: httpx2.Client, upstream: Upstream
) -> None:
    from llmrouter_testing.upstream import Reply

    good = upstream.script

    def fail(request: dict[str, Any]) -> str:
        raise Reply(500, {"error": {"message": "no"}})

    upstream.script = fail
    headers = {"Idempotency-Key": "k"}
    body = {**QUESTION, "model": "local/cheap"}
    check_error(http.post(CHAT, json=body, headers=headers), 502)
    upstream.script = good
    assert http.post(CHAT, json=body, headers=headers).status_code == 200


def test_a_body_that_is_no_json_is_400(http: httpx2.Client) -> None:
    for body in (b"{", b"[]", b'"x"', b"\xff"):
        sent = http.post(f"{ROOT}/routers?routerId=r", content=body, headers=JSON)
        check_error(sent, 400)
    # A page of the web cannot send this without asking first.
    kind = {"content-type": "text/plain"}
    check_error(http.post(f"{ROOT}/routers?routerId=r", content=b"{}", headers=kind), 415)
    # With a key, which no page in a browser sends by itself, JSON may come unnamed.
    check_error(http.post(f"{ROOT}/routers?routerId=r", content=b"{"), 400)
    check_error(http.post(f"{ROOT}/routers?routerId=r", content=b"{}"), 400)
    check_error(http.get("/nothing"), 404)


def test_chat_streams_from_an_llm_a_router_and_its_versions(http: httpx2.Client) -> None:
    name = "organizations/acme/routers/r"
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=router_body("local/cheap"))
    for model in ("cheap", name, f"{name}/versions/1"):
        body: dict[str, Any] = {**QUESTION, "model": model, "stream": True}
        if model != "cheap":
            body["routing_constraint"] = {"cost_constraint": {"numeric_value": 0}}
        answer = http.post(CHAT, json={**body, "stream_options": {"include_usage": True}})
        events = events_of(answer.text)
        assert events.pop() == "[DONE]"
        assert {event["model"] for event in events} == {"local/cheap"}
        assert (
            "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
            == "It is 5."
        )
        assert events[-1]["cost"] > 0
        decision = events[0]["llmrouter"]
        assert decision["router"] == (None if model == "cheap" else name)
        assert decision["constraint_met"] == (None if model == "cheap" else False)


def test_the_llm_is_sent_no_constraint(http: httpx2.Client, upstream: Upstream) -> None:
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=router_body())
    body = {**QUESTION, "routing_constraint": {"cost_constraint": {"numeric_value": 1}}, "top_p": 0.5}
    for path in (CHAT, "/v1/chat/completions"):
        told = http.post(path, json={**body, "model": "organizations/acme/routers/r"}).json()
        assert told["llmrouter"]["constraint_met"] is True
        assert ("cost" in told) == (path == CHAT)
        assert "routing_constraint" not in upstream.requests[-1]
        assert upstream.requests[-1]["top_p"] == 0.5
        error = check_error(http.post(path, json={**body, "model": "local/cheap"}), 400)
        assert error["param"] == "routing_constraint"


def test_the_gateway_names_its_models_and_has_no_default_router(http: httpx2.Client) -> None:
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json=router_body())
    models = [model["id"] for model in http.get("/v1/models").json()["data"]]
    assert models == ["local/cheap", "local/dear", "local/free", "organizations/acme/routers/r"]
    assert http.get("/v1/models/organizations/acme/routers/r").json()["llmrouter"]["kind"] == "router"
    for told in ({}, {"model": "auto"}):
        error = check_error(http.post("/v1/chat/completions", json={**QUESTION, **told}), 400)
        assert error["param"] == "model"
    decision = http.post("/v1/route", json={**QUESTION, "model": "organizations/acme/routers/r"}).json()
    assert (decision["model_name"], decision["router_version"]) == ("local/cheap", "1")


def test_the_next_choice_keeps_to_the_constraint(http: httpx2.Client, upstream: Upstream) -> None:
    from llmrouter_testing.upstream import Reply

    def answer(request: dict[str, Any]) -> str:
        if request["model"] == "cheap":
            raise Reply(500, {"error": {"message": "down"}})
        return "It is 5."

    upstream.script = answer
    points = [executor("local/cheap", 1.0), executor("local/dear", 0.5), executor("local/free", 0.8)]
    http.post(f"{ROOT}/routers", params={"routerId": "r"}, json={"routerSpec": {"points": points}})
    body = {**QUESTION, "model": "organizations/acme/routers/r"}
    # The free one is of unknown price, so it meets no constraint on cost.
    told = {"cost_constraint": {"numeric_value": 1}}
    answered = http.post(CHAT, json={**body, "routing_constraint": told}).json()
    assert answered["model"] == "local/dear"
    assert answered["llmrouter"]["fallback"] is True
    assert "local/cheap" in answered["llmrouter"]["fallback_reason"]
    # It cools down now, and is not asked.
    again = http.post(CHAT, json=body).json()
    assert (again["model"], again["llmrouter"]["attempts"]) == ("local/free", 1)


def test_one_budget_is_spent_however(http: httpx2.Client, upstream: Upstream) -> None:
    def credits() -> float:
        told: float = http.get("/organizations/acme/credits", headers=POOR).json()["credits"]
        return told

    upstream.script = lambda request: "<rationale>why</rationale><score>4</score>"
    left = credits()
    for path, stream in ((CHAT, False), ("/v1/chat/completions", False), (CHAT, True)):
        body = {**QUESTION, "model": "dear", "stream": stream, "stream_options": {"include_usage": True}}
        answer = http.post(path, json=body, headers=POOR)
        told = events_of(answer.text)[-2] if stream else answer.json()
        left -= told["llmrouter"]["cost"]
        wait_until(lambda left=left: credits() == pytest.approx(left))  # type: ignore[misc]
    judged = http.post(f"{ROOT}/judges:evaluate", json={**judge_body(), **payloads("x")}, headers=POOR)
    left -= judged.json()["judgement"]["cost"]
    assert credits() == pytest.approx(left)
    calls = len(upstream.requests)
    body = {**QUESTION, "model": "dear", "max_tokens": 1_000_000}
    for path in (CHAT, "/v1/chat/completions"):
        error = check_error(http.post(path, json=body, headers=POOR), 402)
        assert error["code"] == "budget_exceeded"
    assert credits() == pytest.approx(left)
    assert len(upstream.requests) == calls


def test_a_key_may_do_what_its_scopes_say(where: str, catalogue: dict[str, Any], tmp_path: Path) -> None:
    wanted = {
        ("POST", CHAT): "chat",
        ("POST", f"{ROOT}/judges:evaluate"): "chat",
        ("GET", f"{ROOT}/routers"): "read",
        ("GET", "/organizations"): "read",
        ("POST", f"{ROOT}/routers"): "write",
        ("PATCH", f"{ROOT}/judges/j"): "write",
        ("POST", f"{ROOT}/router_training_jobs"): "write",
        ("DELETE", f"{ROOT}/routers/r"): "write",
    }
    keys = tmp_path / "keys.json"
    config = write_config(tmp_path / "config.yaml", catalogue)
    for scope in ("chat", "read", "write"):
        server = Server(where, config, write_keys(keys, [("k", "acme", None)], [scope]))
        try:
            for (method, path), needed in wanted.items():
                answer = server.client.request(method, path, headers={"Authorization": "Bearer k"})
                assert (answer.status_code == 403) == (needed != scope), (scope, method, path)
        finally:
            server.close()


def test_bodies_have_a_limit_each(http: httpx2.Client) -> None:
    long = b"x" * (10 << 20)
    chat = http.post(CHAT, content=b'{"model": "%s"}' % long, headers=JSON)
    assert check_error(chat, 413)["code"] == "body_too_large"
    # That of jobs is larger: this one is read, and found to lack what it must have.
    job = http.post(f"{ROOT}/router_training_jobs", content=b'{"routerName": "%s"}' % long, headers=JSON)
    check_error(job, 404)
    huge = http.post(f"{ROOT}/router_training_jobs", content=iter([b'{"x": "', *[long] * 7]), headers=JSON)
    check_error(huge, 413)


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
        job = remote.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=300)
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
    with pytest.raises(AuthenticationError, match="key is unknown"):
        Client(server.url, api_key="nonsense")
    with pytest.raises(InvalidParameterError, match="api_key"):
        Client(server.url)
    with pytest.raises(LifecycleError, match="did not answer"):
        Client("http://127.0.0.1:1", api_key="k")
