"""Figure 4: depth as projected and after smoothing, near the surface (SegDepth, Fig. 4)."""

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
    fig = style.new_figure(7.2, 3.6)
    axes = fig.subplots(1, 2)
    for ax, name, title in zip(axes, ("counts", "depth"), ("(a) as projected", "(b) smoothed")):
        image = style.show_depth(ax, one[name].values, pixel, evaluation.facts["classes"])
        style.zoom(ax, one["depth"].values, pixel)
        style.scale_bar(ax)
        ax.set_title(title)
    style.depth_bar(fig, image, axes)
    fig.suptitle(f"structure {int(one['structure'])} of {evaluation.facts['dataset']}, {pixel:.1f} pm a pixel")
    return fig
