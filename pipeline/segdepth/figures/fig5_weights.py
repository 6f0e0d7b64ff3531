"""Figure 5: depth and loss weight, near the surface (SegDepth, Fig. 5)."""

from __future__ import annotations

from matplotlib.figure import Figure

from segdepth.evaluation.results import Evaluation
from segdepth.figures import style


@style.styled
def draw(evaluation: Evaluation, example: int | None = None) -> Figure:
    """One stored example of an evaluation, by default the middle one.

    Raises
    ------
    ConfigError
        There is no such example.
    """
    store = evaluation.examples
    place = style.middle_example(store, example)
    one, pixel = store.isel(example=place), store.attrs["label_pixel_pm"]
    fig = style.new_figure(7.8, 3.6)
    axes = fig.subplots(1, 2)
    depth = style.show_depth(axes[0], one["depth"].values, pixel, evaluation.facts["classes"])
    weight = style.show_map(axes[1], one["weight"].values, pixel, cmap="magma", vmin=0, vmax=1)
    for ax, title in zip(axes, ("(a) smoothed depth", "(b) weight of a pixel in the loss")):
        style.zoom(ax, one["depth"].values, pixel)
        style.scale_bar(ax)
        ax.set_title(title)
    style.depth_bar(fig, depth, axes[0])
    fig.colorbar(weight, ax=axes[1]).set_label("loss weight (1 at column centres)")
    fig.suptitle(f"structure {int(one['structure'])} of {evaluation.facts['dataset']}, {pixel:.1f} pm a pixel")
    return fig
