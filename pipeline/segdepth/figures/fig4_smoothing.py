"""Figure 4: depth as projected and after smoothing, where the crystal is thickest and rings are seen best (SegDepth,
Fig. 4)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from segdepth.evaluation.results import Evaluation
from segdepth.figures import style

SIDE_NM = 1.2


@style.styled
def draw(evaluation: Evaluation, example: int | None = None) -> Figure:
    """One stored example of an evaluation, by default the middle one: the square of ``SIDE_NM`` with the most atoms.

    Raises
    ------
    ConfigError
        There is no such example.
    """
    store = evaluation.examples
    place = style.middle_example(store, example)
    one, pixel = store.isel(example=place), store.attrs["label_pixel_pm"]
    corner, side = thickest_square(one["depth"].values, round(1000 * SIDE_NM / pixel))
    left, bottom, length = (value * pixel / 1000 for value in (*corner, side))
    fig = style.new_figure(7.2, 3.6)
    axes = fig.subplots(1, 2)
    for ax, name, title in zip(axes, ("counts", "depth"), ("(a) as projected", "(b) smoothed")):
        image = style.show_depth(ax, one[name].values, pixel, evaluation.facts["classes"])
        ax.set(xlim=(left, left + length), ylim=(bottom, bottom + length))
        style.scale_bar(ax)
        ax.set_title(title)
    style.depth_bar(fig, image, axes)
    fig.suptitle(f"structure {int(one['structure'])} of {evaluation.facts['dataset']}, {pixel:.1f} pm a pixel")
    return fig


def thickest_square(depth: np.ndarray, side: int) -> tuple[tuple[int, int], int]:
    """Corner (x, y) and side, in pixels, of the square inside a map [y, x] with the largest sum, the first of equal
    ones; a smaller side where the map is."""
    side = min(side, *depth.shape)
    sums = np.pad(depth.astype(float), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return (int(column), int(row)), side
