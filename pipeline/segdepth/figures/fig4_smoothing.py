"""Figure 4: depth as projected and after smoothing, near the surface (SegDepth, Fig. 4)."""

from __future__ import annotations

from pathlib import Path

from segdepth.evaluation.stored import read_examples
from segdepth.figures import style

COMMAND = "plot-fig4"


def plot(evaluation: Path, out: Path, code: str, example: int | None = None) -> None:
    """Draw one stored example of an evaluation (by default the middle one) to ``out`` (.png) and its .pdf."""
    with style.styled(), read_examples(evaluation) as store:
        place = style.middle_example(store, example)
        one, pixel = store.isel(example=place), store.attrs["label_pixel_pm"]
        fig = style.new_figure(7.2, 3.6)
        axes = fig.subplots(1, 2)
        for ax, name, title in zip(axes, ("counts", "depth"), ("(a) as projected", "(b) smoothed")):
            image = style.show_depth(ax, one[name].values, pixel)
            style.zoom(ax, one["depth"].values, pixel)
            style.scale_bar(ax)
            ax.set_title(title)
        style.depth_bar(fig, image, axes)
        fig.suptitle(f"structure {int(one['structure'])}, {pixel:.1f} pm a pixel")
        style.save(fig, out, command=COMMAND, code=code, inputs=[evaluation], parameters={"example": place})
