"""The picture of an evaluation: cost-quality curves of routers beside the baselines."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrouter.errors import LLMRouterError, MissingExtraError
from llmrouter.evaluation.baselines import oracle_choices, taken
from llmrouter.evaluation.frontier import hull
from llmrouter.evaluation.labels import INK, PAPER, QUIET, Point, name_points
from llmrouter.evaluation.outcomes import RELATIVE, Array
from llmrouter.evaluation.result import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "html")

# Okabe and Ito's palette for all kinds of colour vision, without its yellow, which is faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P")
FAINT = "#E3E3E3"

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that a picture is the same everywhere
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.hashsalt": "llmrouter",  # the same picture, the same file
}
_WIDTH, _HEIGHT, _DPI = 7.2, 4.6, 200


def check_plot(llms: int = 2, costs_known: bool = True) -> None:
    """Make sure that a picture can be drawn, before the work.

    Raises:
        MissingExtraError: matplotlib is not installed.
        LLMRouterError: There are no costs to draw, with more than two LLMs.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("the picture", "llmrouter-core[plot]") from error
    if llms != 2 and not costs_known:
        raise LLMRouterError(
            "the picture needs the cost of every LLM; add 'cost' to the rows of the data or to the candidates"
        )


def render(evaluation: Evaluation, format: str) -> bytes:
    """Draw an evaluation as ``png`` or ``svg``.

    Raises:
        MissingExtraError: matplotlib is not installed.
        LLMRouterError: There are no costs to draw, with more than two LLMs.
    """
    check_plot(len(evaluation.outcomes.llms), evaluation.outcomes.costs_known)
    import matplotlib

    stream = BytesIO()
    # Of the caller's own settings none may show, and none is changed.
    with matplotlib.rc_context():
        settings: Any = matplotlib.rcParams
        settings.update({key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"})
        settings.update(_STYLE)
        figure = draw(evaluation)
        # Without the date, so that the same picture is the same file.
        metadata: dict[str, Any] = {"Date": None} if format == "svg" else {}
        figure.savefig(
            stream, format=format, dpi=_DPI, bbox_inches="tight", pad_inches=0.12, metadata=metadata
        )
    return stream.getvalue()


def draw(evaluation: Evaluation) -> Figure:
    """Return the picture as a figure of matplotlib, which belongs to no pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    by_share = shows_share(evaluation)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)
    outlines = _routers(axes, evaluation, by_share)
    singles = _baselines(axes, evaluation, by_share)
    _axes(axes, evaluation, by_share)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, handlelength=2.2)
    figure.canvas.draw()
    name_points(axes, singles, outlines)
    return figure


def shows_share(evaluation: Evaluation) -> bool:
    """Whether the x axis is the share of the strong LLM, for two LLMs of which no cost in money is known."""
    unit = evaluation.outcomes.cost_unit
    return len(evaluation.outcomes.llms) == 2 and (
        unit in (None, RELATIVE) or not evaluation.outcomes.costs_known
    )


def _baselines(axes: Axes, evaluation: Evaluation, by_share: bool) -> list[Point]:
    """Draw the baselines; return the single LLMs, whose names are still to be written."""
    outcomes = evaluation.outcomes
    qualities = outcomes.performance.mean(axis=0)
    costs = outcomes.cost.mean(axis=0)
    if by_share:
        costs = np.array([100.0 if name == evaluation.strong else 0.0 for name in outcomes.llms])
    x, y = hull(costs, qualities)
    x, y = np.append(x, costs.max()), np.append(y, y[-1])
    # In many steps, for on a logarithmic axis a straight line is a curve.
    steps = np.unique(np.concatenate([*(np.linspace(*ends, 200) for ends in pairwise(x.tolist())), x]))
    axes.plot(steps, np.interp(steps, x, y), "--", color=QUIET, linewidth=1.2, label="mix of single LLMs")

    def mark(where: tuple[float, float], marker: str, label: str, **look: Any) -> None:
        axes.plot([where[0]], [where[1]], marker, linestyle="none", label=label, **look)

    ring: dict[str, Any] = {"color": "none", "markeredgecolor": QUIET, "markeredgewidth": 1.2}
    singles = list(zip(costs.tolist(), qualities.tolist(), outcomes.llms, strict=True))
    axes.plot(costs, qualities, "o", color=QUIET, markersize=5, label="single LLM", zorder=3)
    if outcomes.costs_known:
        cheapest = int(outcomes.cost.mean(axis=0).argmin())
        mark(singles[cheapest][:2], "s", "cheapest LLM", markersize=9, **ring)
    mark(singles[int(qualities.argmax())][:2], "o", "best single LLM", markersize=10.5, **ring)
    random = (float(costs.mean()), float(qualities.mean()))
    mark(random, "x", "random choice", color=INK, markersize=7, markeredgewidth=1.6, zorder=6)
    mark(_oracle(evaluation, by_share), "*", "oracle", color=INK, markersize=12, zorder=3)
    return singles


def _oracle(evaluation: Evaluation, by_share: bool) -> tuple[float, float]:
    outcomes = evaluation.outcomes
    choices = oracle_choices(outcomes)[None]
    quality = float(taken(outcomes.performance, choices).mean())
    if by_share and evaluation.strong is not None:
        return float((choices == outcomes.llms.index(evaluation.strong)).mean()) * 100, quality
    return float(taken(outcomes.cost, choices).mean()), quality


def _routers(axes: Axes, evaluation: Evaluation, by_share: bool) -> list[Array]:
    """Draw the routers; return the outlines of their bands, points of (p, 2) in data coordinates."""
    outlines = []
    for number, result in enumerate(evaluation.routers):
        quality, cost = result.metrics["quality"].value, result.metrics["cost"].value
        if quality is None or (cost is None and not by_share):
            continue
        own = result.share[evaluation.strong] * 100 if by_share and evaluation.strong else cost or 0.0
        color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        dot: dict[str, Any] = {"markersize": 8, "markeredgecolor": PAPER, "markeredgewidth": 1.2}
        look = {"color": color, "marker": marker, **dot}
        line = "none"
        if (curve := result.curve) is not None:
            line = "-"
            x = curve.share * 100 if by_share and curve.share is not None else curve.cost
            if np.isfinite(curve.low).all():
                axes.fill_between(x, curve.low, curve.high, color=color, alpha=0.14, linewidth=0)
                outlines += [np.column_stack([x, curve.low]), np.column_stack([x, curve.high])]
            axes.plot(x, curve.quality, color=color, linewidth=1.8, zorder=4)
        axes.plot([own], [quality], linestyle="none", zorder=5, **look)
        # Without data, for the legend alone: line and marker in one.
        axes.plot([], [], linestyle=line, linewidth=1.8, label=result.routed.label, **look)
    return outlines


def _axes(axes: Axes, evaluation: Evaluation, by_share: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    outcomes = evaluation.outcomes
    axes.margins(x=0.06, y=0.08)
    axes.set_ylabel("Mean quality (performance, 0 to 1)")
    if by_share:
        axes.set_xlabel(f"Share of queries sent to {evaluation.strong} (%)")
    else:
        log = _spread(outcomes.cost.mean(axis=0))
        unit = "relative units" if outcomes.cost_unit == RELATIVE else outcomes.cost_unit
        axes.set_xlabel(f"Mean cost ({unit}{', logarithmic' if log else ''})")
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    parts = [f"{len(outcomes.queries):,} held-out queries, {len(outcomes.llms)} LLMs"]
    if any(result.curve for result in evaluation.routers):
        parts.append("marker: a router's own decisions")
        if evaluation.resamples:
            parts.append("band: 95 % bootstrap interval")
    axes.set_title("; ".join(parts), loc="left", fontsize=8.5, color=QUIET)


def _spread(costs: Array) -> bool:
    """Whether costs differ so much that on a linear axis most of them would be one."""
    return bool(len(costs) > 2 and costs.min() > 0 and costs.max() > 8 * costs.min())
