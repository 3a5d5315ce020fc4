"""`llmrouter evaluate` measures and compares routers, in JSON, a table, a picture and lines per query."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REAL = Path(__file__).parents[3] / "shared" / "data" / "mmlu"

# Of a query such as "large 3" the large LLM alone gives a right answer.
SCORED = """
    score = 1.0 if text.startswith("large") else 0.0
    name = "large" if score else "small"
    return {"model_name": name, "scores": {"small": 0.5, "large": score}, "seen": sorted(query_input)}
"""


def rows(count: int = 20) -> list[dict[str, Any]]:
    found = []
    for number in range(count):
        kind = ("large", "both")[number % 2]
        for llm in ("small", "large"):
            right = kind == "both" or llm == kind
            found.append(
                {"query": f"{kind} {number}", "id": number, "model_name": llm, "performance": right * 1}
            )
    return found


def write_rows(found: list[dict[str, Any]], path: str = "test.jsonl") -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.fixture
def scored(router: Callable[..., list[str]]) -> list[str]:
    """Options that evaluate a router which knows which LLM is right."""
    options = router(SCORED)
    return [*options, "--data", write_rows(rows()), "--bootstrap", "20"]


def test_json(invoke: Callable[..., Any], scored: list[str]) -> None:
    done = invoke("evaluate", *scored)
    assert done.status == 0
    found = done.json
    assert list(found) == ["data", "routers", "baselines", "single_llms", "seed", "bootstrap"]
    assert found["data"] == {
        "queries": 20,
        "llms": ["small", "large"],
        "weak": "small",
        "strong": "large",
        "cost_unit": "relative",
        "missing": {"performance": 0, "cost": 0, "queries_left_out": 0},
    }
    (router,) = found["routers"]
    assert (router["router"], router["failed"], router["share"]) == ("mine", [], {"small": 0.5, "large": 0.5})
    assert router["quality"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert router["apgr"]["value"] == found["baselines"]["oracle"]["apgr"]["value"] == 0.75
    assert router["apgr"]["low"] <= 0.75 <= router["apgr"]["high"]
    assert (router["cpt50"]["value"], router["auroc"]["value"]) == (0.25, 1.0)
    assert found["baselines"]["cheapest"]["llm"] == "small"


def test_scores_on_another_scale(invoke: Callable[..., Any], scored: list[str]) -> None:
    expected = invoke("evaluate", *scored).json
    write_rows([{**row, "performance": 10 + 80 * row["performance"]} for row in rows()])
    refused = invoke("evaluate", *scored)
    assert refused.status == 1
    assert "test.jsonl:1: expected a performance from 0 to 1, found 10" in refused.err
    assert "--scale 0 100" in refused.err
    assert invoke("evaluate", *scored, "--scale", "10", "90").json["routers"] == expected["routers"]


@pytest.mark.parametrize("scale", [("1", "1"), ("5", "0"), ("nan", "1"), ("0", "inf"), ("a", "b")])
def test_a_scale_that_is_none(invoke: Callable[..., Any], scored: list[str], scale: tuple[str, str]) -> None:
    done = invoke("evaluate", *scored, "--scale", *scale)
    assert (done.status, done.out) == (2, "")
    assert "--scale" in done.err


def test_the_same_seed_gives_the_same_figures(invoke: Callable[..., Any], scored: list[str]) -> None:
    first, again, other = (invoke("evaluate", *scored, "--seed", seed).out for seed in "112")
    assert first == again != other


def test_the_configuration_names_the_data(
    invoke: Callable[..., Any], router: Callable[..., list[str]], config: Callable[..., str]
) -> None:
    options = router(SCORED)
    done = invoke("evaluate", *options)
    assert (
        done.err == "Error: there are no data to evaluate on; give --data, or data_path.routing_data_test\n"
    )
    config(data_path={"routing_data_test": write_rows(rows())})
    assert invoke("evaluate", *options, "--bootstrap", "0").json["data"]["queries"] == 20


def test_several_routers_side_by_side(invoke: Callable[..., Any], scored: list[str]) -> None:
    found = invoke("evaluate", *scored, "--router", "randomrouter").json["routers"]
    assert [one["router"] for one in found] == ["mine", "randomrouter"]
    again = invoke("evaluate", *scored, "--router", "mine").json["routers"]
    assert [one["label"] for one in again] == ["mine (config)", "mine (config) #2"]


def test_a_configuration_for_each_router(
    invoke: Callable[..., Any], scored: list[str], config: Callable[..., str]
) -> None:
    Path(config(hparam={"weights": {"large": 1}})).rename("only.yaml")
    config()
    done = invoke("evaluate", *scored, "--router", "randomrouter", "--config", "only.yaml")
    assert done.json["routers"][1]["share"] == {"small": 0, "large": 1}


def test_scores_have_what_is_needed_to_recompute(invoke: Callable[..., Any], scored: list[str]) -> None:
    assert invoke("evaluate", *scored, "--scores", "out.jsonl").status == 0
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    assert lines[0] == {
        "router": "mine",
        "query": "large 0",
        "id": 0,
        "task_name": None,
        "scores": {"small": 0.5, "large": 1.0},
        "expected_costs": None,
        "decision": "large",
        "error": None,
        "performance": {"small": 0.0, "large": 1.0},
        "cost": {"small": 0.2, "large": 1.0},
    }


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.HTML", b"<!doctype")]
)
def test_pictures(invoke: Callable[..., Any], scored: list[str], name: str, begins: bytes) -> None:
    done = invoke("evaluate", *scored, "--plot", name)
    assert done.status == 0
    assert Path(name).read_bytes().startswith(begins)
    assert done.json["data"]["queries"] == 20


def test_a_table_on_a_terminal(terminal: Callable[..., Any], scored: list[str]) -> None:
    done = terminal("evaluate", *scored)
    assert done.status == 0
    for told in ("mine", "random", "cheapest: small", "best single: large", "zero router", "oracle", "APGR"):
        assert told in done.out
    assert "mine chose small 50.0%, large 50.0%" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_progress_is_shown_on_a_terminal(terminal: Callable[..., Any], scored: list[str]) -> None:
    done = terminal("evaluate", *scored, out=False, err=True)
    assert "20 queries" in done.err
    assert json.loads(done.out)["data"]["queries"] == 20


def test_a_failed_query_is_left_out_and_said_so(
    invoke: Callable[..., Any], router: Callable[..., list[str]]
) -> None:
    options = router("if text == 'large 0': raise KeyError('lost')\n" + SCORED.replace("\n    ", "\n"))
    done = invoke(
        "evaluate", *options, "--data", write_rows(rows()), "--bootstrap", "0", "--scores", "s.jsonl"
    )
    assert done.status == 1
    assert done.err.splitlines()[-1].startswith(
        "Error: mine failed on 1 of 20 queries, which are left out; the first, 'large 0': the router failed"
    )
    (failed,) = done.json["routers"][0]["failed"]
    assert (failed["query"], failed["id"]) == ("large 0", 0)
    assert json.loads(Path("s.jsonl").read_text().splitlines()[0])["decision"] is None


def test_what_is_missing_is_said(invoke: Callable[..., Any], scored: list[str]) -> None:
    write_rows(rows()[1:])
    done = invoke("evaluate", *scored)
    assert "Missing in the data: 1 performances, 0 costs; 1 queries are left out" in done.err
    assert done.json["data"]["missing"]["queries_left_out"] == 1


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            [{"query": "a", "best_llm": "small", "performance": 1}],
            "evaluation needs a row for each query and LLM",
        ),
        ([{"query": "a", "model_name": "gpt-9", "performance": 1}], "holds outcomes of 'gpt-9', not among"),
        (rows()[::2], "holds no outcomes of 'large'"),
        (
            [{"query": "a", "model_name": "small", "performence": 1}],
            ":1: 'performence' is unknown; did you mean 'performance'?",
        ),
    ],
)
def test_data_that_cannot_serve_are_an_error_and_nothing_is_written(
    invoke: Callable[..., Any], scored: list[str], found: list[dict[str, Any]], told: str
) -> None:
    write_rows(found)
    before = sorted(os.listdir())
    done = invoke("evaluate", *scored, "--plot", "a.png", "--scores", "a.jsonl")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: test.jsonl:")
    assert told in done.err
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        (("--config", "a", "--config", "b"), 2, "give one --config for all routers or one for each; found 3"),
        (("--router", "b", "--load-model-path", "x"), 2, "--load-model-path goes with one router"),
        (("--plot", "a.pdf"), 2, "'a.pdf' tells no kind of picture; end it in .png, .svg, .html"),
        (("--plot", "none/a.png"), 1, "none/a.png: cannot be written: there is no folder none"),
        (("--weak", "tiny"), 1, "no LLM is named 'tiny'; there are small, large"),
        (("--data", "none.jsonl"), 1, "none.jsonl: there is no such file"),
        (("--router", "nobody"), 1, "Unknown router: nobody"),
    ],
)
def test_wrong_usage(
    invoke: Callable[..., Any], scored: list[str], more: tuple[str, ...], status: int, told: str
) -> None:
    done = invoke("evaluate", *scored, *more)
    assert (done.status, done.out) == (status, "")
    assert told in done.err


def test_without_numpy_or_matplotlib_the_error_names_what_to_install(
    command: Callable[..., Any], scored: list[str]
) -> None:
    for module, extra, more in (("numpy", "numpy", ()), ("matplotlib", "plot", ("--plot", "a.png"))):
        Path(f"without_{module}").mkdir()
        Path(f"without_{module}/sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
        path = os.pathsep.join(filter(None, [f"without_{module}", os.environ.get("PYTHONPATH")]))
        done = command("evaluate", *scored, *more, PYTHONPATH=path)
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines()[-1].endswith(f"run: pip install 'llmrouter-core[{extra}]'")


def test_help_needs_no_numpy(command: Callable[..., Any]) -> None:
    Path("without").mkdir()
    Path("without/sitecustomize.py").write_text("import sys\nsys.modules['numpy'] = None\n")
    done = command("evaluate", "--help", PYTHONPATH="without")
    assert done.status == 0
    assert "Measure routers on held-out routing data" in done.out


@pytest.mark.skipif(not REAL.is_dir(), reason="no real outcomes at ../shared/data")
def test_random_routing_has_apgr_one_half_on_mmlu(invoke: Callable[..., Any]) -> None:
    config = {
        "data_path": {
            "llm_data": str(REAL / "llm_candidates.json"),
            "routing_data_test": str(REAL / "routing_dev.jsonl"),
        },
        "hparam": {"seed": 0},
    }
    Path("mmlu.yaml").write_text(json.dumps(config))
    found = invoke("evaluate", "--router", "randomrouter", "--config", "mmlu.yaml").json["routers"][0]
    assert found["apgr"]["value"] == pytest.approx(0.5, abs=0.03)
    assert found["apgr"]["low"] < 0.5 < found["apgr"]["high"]
