"""The picture of a training's results: the frontier of the router, beside the single LLMs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrouter.errors import LLMRouterError, MissingExtraError
from llmrouter.files import replacing

if TYPE_CHECKING:
    from llmrouter_lifecycle.resources import TrainingResults

FORMATS = (".png", ".svg")


def draw(results: TrainingResults, path: str) -> None:
    """Draw into a file.

    Raises:
        MissingExtraError: matplotlib is not installed.
        LLMRouterError: There is nothing to draw, or the file is neither ``.png`` nor ``.svg``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise LLMRouterError(f"{path}: pictures are {' or '.join(FORMATS)} files")
    single = {
        llm: (told.mean_cost, told.mean_quality)
        for llm, told in results.llms.items()
        if told.mean_cost is not None and told.mean_quality is not None
    }
    if not single:
        raise LLMRouterError(
            "there is nothing to draw: no LLM has both a known price and answers that are judged"
        )
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the picture", "llmrouter-lifecycle[plot]") from error
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes: Any = figure.subplots()
    points = [point for point in results.frontier if point.get("cost") is not None]
    if points:
        axes.plot(
            [point["cost"] for point in points],
            [point["quality"] for point in points],
            color="#0072B2",
            label="router",
        )
        axes.legend(frameon=False)
    for llm, (cost, quality) in single.items():
        axes.plot(cost, quality, "o", color="#D55E00")
        # A name may hold a dollar sign.
        axes.annotate(llm, (cost, quality), xytext=(5, -11), textcoords="offset points", parse_math=False)
    axes.set_xlabel("cost of a request in USD")
    axes.set_ylabel("quality")
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as stream:
        figure.savefig(stream, format=suffix[1:], dpi=200)
