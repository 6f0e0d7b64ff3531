"""Figure 3: simulated depth maps and their images without and with shot noise (SegDepth, Fig. 3)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from segdepth.evaluation.results import Evaluation
from segdepth.figures import style


def diagonal(structures: np.ndarray) -> list[int]:
    """One example of each structure, each at another defocus; examples are ordered by structure, then defocus."""
    chosen = []
    for row, structure in enumerate(np.unique(structures)):
        mine = np.flatnonzero(structures == structure)
        chosen.append(int(mine[row % len(mine)]))
    return chosen


@style.styled
def draw(evaluation: Evaluation) -> Figure:
    """A row for each structure among the stored examples."""
    store, classes = evaluation.examples, evaluation.facts["classes"]
    attrs, rows = store.attrs, diagonal(store["structure"].values)
    fig = style.new_figure(7.4, 0.7 + 2.05 * len(rows))
    axes = fig.subplots(len(rows), 3, squeeze=False)
    images = {row: (store["intensity"][row].values, store["noisy"][row].values) for row in rows}
    for line, row in zip(axes, rows):
        limits = style.image_limits(*images[row])
        depth = style.show_depth(line[0], store["depth"][row].values, attrs["label_pixel_pm"], classes)
        for ax, values in zip(line[1:], images[row]):
            image = style.show_image(ax, values, attrs["pixel_pm"], limits)
        style.intensity_bar(fig, image, line[2])
        line[0].set_ylabel(style.example_text(store, row).replace(", ", "\n"))
        for ax in line:
            style.scale_bar(ax)
    style.depth_bar(fig, depth, axes[:, 0], location="left", shrink=min(1.0, 2 / len(rows)))
    for ax, title in zip(axes[0], ("depth", "image", "image with noise")):
        ax.set_title(title)
    fig.suptitle(f"{evaluation.facts['dataset']}: {style.dose_text(evaluation.facts)}")
    return fig
