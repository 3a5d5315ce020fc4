"""The picture and the page: drawn without pyplot, self-contained, the same each time."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import pytest

from llmrouter.errors import LLMRouterError, MissingExtraError
from llmrouter.evaluation.evaluate import evaluate
from llmrouter.evaluation.labels import short_names
from llmrouter.evaluation.outcomes import Outcomes
from llmrouter.evaluation.page import page
from llmrouter.evaluation.plot import check_plot, draw, render
from llmrouter.evaluation.result import Evaluation
from llmrouter.models.router import Router
from llmrouter.routing import DecisionEngine

# Drawing takes seconds: not for `make quick`.
pytestmark = pytest.mark.slow

NAMES = ("meta/small", "large", "a & b", "<huge>")


def evaluation(
    llms: int = 4, unit: str = "USD per query", scored: bool = True, only: Sequence[int] | None = None
) -> Evaluation:
    generator = np.random.default_rng(0)
    names = NAMES[:llms]
    performance = (generator.random((60, llms)) < np.linspace(0.4, 0.9, llms)).astype(float)

    class Made(Router):
        def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
            shown = [names[llm] for llm in only or range(llms)]
            scores = dict(zip(shown, generator.random(len(shown)).tolist(), strict=True))
            return {"model_name": names[0], **({"scores": scores} if scored else {})}

    router = Made()
    router.llm_data = {name: {} for name in names}
    costs = np.broadcast_to(np.geomspace(0.001, 0.1, llms), performance.shape)
    found = Outcomes([{"query": "a"}] * 60, names, performance, costs, unit)
    return evaluate({"made & more": DecisionEngine(router)}, found, resamples=20)


@pytest.mark.parametrize(
    ("llms", "unit", "scored", "label"),
    [
        (4, "USD per query", True, "Mean cost (USD per query, logarithmic)"),
        (2, "USD per query", True, "Mean cost (USD per query)"),
        (2, "relative", True, "Share of queries sent to large (%)"),
        (2, "relative", False, "Share of queries sent to large (%)"),
        (3, "relative", False, "Mean cost (relative units, logarithmic)"),
    ],
)
def test_the_picture_has_what_a_report_needs(llms: int, unit: str, scored: bool, label: str) -> None:
    figure = draw(evaluation(llms, unit, scored))
    axes = figure.axes[0]
    assert axes.get_xlabel() == label
    assert "quality" in axes.get_ylabel()
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"made & more", "oracle", "best single LLM", "cheapest LLM", "random choice"} <= legend


def test_names_of_llms_overlap_neither_each_other_nor_the_edge() -> None:
    figure = draw(evaluation())
    canvas: Any = figure.canvas
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])
    assert all(figure.axes[0].bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))


def test_names_cover_no_point_not_even_of_an_llm_close_by() -> None:
    found = evaluation(4, "relative")
    costs = np.broadcast_to([0.2, 0.25, 0.9, 1.2], found.outcomes.cost.shape)
    performance = np.tile([0.62, 0.64, 0.82, 0.84], (60, 1))
    outcomes = replace(found.outcomes, cost=costs, performance=performance)
    figure = draw(replace(found, outcomes=outcomes))
    axes, canvas = figure.axes[0], cast(Any, figure.canvas)
    dots = axes.transData.transform(np.column_stack([costs[0], performance[0]]))
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in axes.texts]
    assert not any(box.contains(*dot) for box in boxes for dot in dots)


def test_a_router_of_two_of_many_llms_has_the_curve_of_its_threshold() -> None:
    found = evaluation(4, only=(0, 2))
    (result,) = found.routers
    assert result.curve is not None
    assert len(result.curve.cost) == 61
    ends = found.outcomes.cost.mean(axis=0)[[0, 2]]
    assert result.curve.cost[[0, -1]] == pytest.approx(ends)
    assert result.curve.quality[[0, -1]] == pytest.approx(found.outcomes.performance.mean(axis=0)[[0, 2]])


def test_png_and_svg() -> None:
    found = evaluation()
    assert render(found, "png").startswith(b"\x89PNG")
    picture = render(found, "svg")
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert picture == render(found, "svg")


def test_the_page_needs_no_other_file_and_suits_light_and_dark() -> None:
    text = page(evaluation()).decode()
    assert not re.search(r"<(script|link|img)|@import|url\(http", text)
    assert "<svg" in text
    assert "<?xml" not in text
    assert "prefers-color-scheme: dark" in text
    assert "made &amp; more" in text
    assert "<huge>" not in text
    drawn = text[text.index("<svg") :]
    assert not re.findall(r"(?<=[ :])#[0-9a-f]{6}", drawn)  # every colour is one of the style sheet's
    assert "Quality" in text


def test_drawing_leaves_pyplot_and_its_settings_alone() -> None:
    import matplotlib

    matplotlib.rcParams["font.size"] = 17.0
    before = dict(matplotlib.rcParams)
    render(evaluation(2), "svg")
    assert dict(matplotlib.rcParams) == before
    matplotlib.rcdefaults()
    source = (
        "import sys, llmrouter.evaluation.page; assert 'matplotlib' not in sys.modules\n"
        "from llmrouter.evaluation.plot import check_plot; check_plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)


def test_without_matplotlib_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"llmrouter-core\[plot\]"):
        check_plot()


def test_without_costs_there_is_no_picture_of_many_llms() -> None:
    check_plot(2, costs_known=False)
    with pytest.raises(LLMRouterError, match="needs the cost of every LLM"):
        check_plot(3, costs_known=False)


def test_vendors_are_left_out_where_names_still_differ() -> None:
    points = [(0.0, 0.0, name) for name in ("a/x", "b/x", "c/y", "z")]
    assert short_names(points) == ["a/x", "b/x", "y", "z"]
