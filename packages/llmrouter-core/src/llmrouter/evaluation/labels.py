"""Write names beside points of a picture so that they stay readable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrouter.evaluation.outcomes import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

# A place in data coordinates, and the name of what is there.
Point = tuple[float, float, str]

INK = "#222222"
QUIET = "#6B6B6B"
PAPER = "#FFFFFF"

_DISTANCES = (7, 12, 18, 26, 36, 48)
_STEP = 4.0
# Of the dots that are not to be covered, in pixels.
_RADIUS = 4.0
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def name_points(axes: Axes, points: Sequence[Point], outlines: Sequence[Array]) -> None:
    """Write each name where it covers the least of other names, points and curves.

    Args:
        axes: Drawn already, so that its limits are final.
        points: What to name.
        outlines: What else not to cover, each (p, 2) in data coordinates.
    """
    from matplotlib.patheffects import withStroke

    renderer: Any = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    drawn = [(np.asarray(line.get_xydata()), line.get_linestyle() != "None") for line in axes.lines]
    curves = _traced(axes, [data for data, joined in drawn if joined])
    dots = _traced(axes, [place[None] for data, joined in drawn if not joined for place in data])
    edges = _traced(axes, outlines)
    places = axes.transData.transform([point[:2] for point in points])
    inside = axes.get_window_extent(renderer)
    names = short_names(points)
    written: list[Bbox] = []
    for number in np.argsort(-places[:, 1]).tolist():
        x, y, _ = points[number]
        found: list[tuple[float, int, int, int]] = []
        for distance in _DISTANCES:
            for across, up in _SIDES:
                text = _write(axes, (x, y), names[number], distance, across, up)
                box = text.get_window_extent(renderer).padded(2)
                text.remove()
                covered = (
                    10 * min(_within(curves, box), 30)
                    + 1000 * _within(dots, box.padded(_RADIUS))
                    + 3 * _within(edges, box)
                )
                # As near to another point as to its own, it would be taken for that one's.
                away = np.hypot(*(places - np.clip(places, box.min, box.max)).T)
                astray = away[number] * 1.6 > np.delete(away, number).min(initial=np.inf)
                cost = (
                    2000
                    * (box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1)
                    + 1000 * sum(box.overlaps(other) for other in written)
                    + 300 * bool(astray)
                    + covered
                    + distance
                )
                found.append((cost, distance, across, up))
        _, distance, across, up = min(found)
        text = _write(axes, (x, y), names[number], distance, across, up)
        text.set_path_effects([withStroke(linewidth=2, foreground=PAPER)])
        written.append(text.get_window_extent(renderer).padded(2))


def short_names(points: Sequence[Point]) -> list[str]:
    """Return the names without their vendor, as in ``meta/llama-2``, where they still differ."""
    short = [name.rpartition("/")[2] for _, _, name in points]
    count = Counter(short)
    return [brief if count[brief] == 1 else point[2] for brief, point in zip(short, points, strict=True)]


def _traced(axes: Axes, lines: Sequence[Array]) -> Array:
    """Turn lines in data coordinates into dots of the picture, a few pixels apart."""
    dots = [np.empty((0, 2))]
    for line in filter(len, lines):
        place = axes.transData.transform(line)
        length = np.r_[0.0, np.cumsum(np.hypot(*np.diff(place, axis=0).T))]
        steps = np.arange(0, length[-1] + _STEP, _STEP)
        dots.append(np.column_stack([np.interp(steps, length, axis) for axis in place.T]))
    return np.concatenate(dots)


def _within(dots: Array, box: Bbox) -> int:
    return int(np.sum(np.all((dots > box.min) & (dots < box.max), axis=1)))


def _write(axes: Axes, place: tuple[float, float], name: str, distance: int, across: int, up: int) -> Any:
    leader = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
    return axes.annotate(
        name,
        place,
        (across * distance, up * distance),
        textcoords="offset points",
        ha=("center", "left", "right")[across],
        va=("center", "bottom", "top")[up],
        fontsize=7.5,
        color=INK,
        zorder=7,
        arrowprops=leader if distance > _DISTANCES[0] else None,
    )
