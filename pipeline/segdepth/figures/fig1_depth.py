"""Figure 1: depth, noisy image, estimate and confidence of one test image (SegDepth, Fig. 1)."""

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
    store, classes = evaluation.examples, evaluation.facts["classes"]
    place = style.middle_example(store, example)
    one, attrs = store.isel(example=place), store.attrs
    fig = style.new_figure(7.2, 6.6)
    axes = fig.subplots(2, 2)
    noisy = one["noisy"].values
    depth = style.show_depth(axes[0, 0], one["depth"].values, attrs["label_pixel_pm"], classes)
    image = style.show_image(axes[0, 1], noisy, attrs["pixel_pm"], style.image_limits(noisy))
    style.show_depth(axes[1, 0], one["estimate"].values, attrs["label_pixel_pm"], classes)
    confidence = style.show_probability(axes[1, 1], one["confidence"].values, attrs["label_pixel_pm"])
    style.depth_bar(fig, depth, axes[:, 0], location="left", shrink=0.8)
    style.intensity_bar(fig, image, axes[0, 1])
    fig.colorbar(confidence, ax=axes[1, 1]).set_label("confidence (probability)")
    titles = ("(a) true depth", "(b) noisy image", "(c) estimated depth", "(d) confidence")
    for ax, title in zip(axes.flat, titles):
        ax.set_title(title)
        style.scale_bar(ax)
    fig.suptitle(f"{style.evaluation_text(evaluation.facts)}, {style.example_text(store, place)}")
    return fig
