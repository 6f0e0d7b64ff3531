"""Figure 3: simulated depth maps and their images without and with shot noise (SegDepth, Fig. 3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segdepth.evaluation.stored import read_examples, read_metrics
from segdepth.figures import style

COMMAND = "plot-fig3"


def diagonal(structures: np.ndarray) -> list[int]:
    """One example of each structure, each at another defocus; examples are ordered by structure, then defocus."""
    chosen = []
    for row, structure in enumerate(np.unique(structures)):
        mine = np.flatnonzero(structures == structure)
        chosen.append(int(mine[row % len(mine)]))
    return chosen


def plot(evaluation: Path, out: Path, code: str) -> None:
    """Draw a row for each structure among the stored examples to ``out`` (.png) and its .pdf."""
    with style.styled(), read_examples(evaluation) as store:
        attrs, rows = store.attrs, diagonal(store["structure"].values)
        fig = style.new_figure(7.4, 0.7 + 2.05 * len(rows))
        axes = fig.subplots(len(rows), 3, squeeze=False)
        images = {row: (store["intensity"][row].values, store["noisy"][row].values) for row in rows}
        for line, row in zip(axes, rows):
            limits = style.image_limits(*images[row])
            depth = style.show_depth(line[0], store["depth"][row].values, attrs["label_pixel_pm"])
            for ax, values in zip(line[1:], images[row]):
                image = style.show_image(ax, values, attrs["pixel_pm"], limits)
            style.intensity_bar(fig, image, line[2])
            line[0].set_ylabel(style.example_text(store, row).replace(", ", "\n"))
            for ax in line:
                style.scale_bar(ax)
        style.depth_bar(fig, depth, axes[:, 0], location="left", shrink=min(1.0, 2 / len(rows)))
        for ax, title in zip(axes[0], ("depth", "image", "image with noise")):
            ax.set_title(title)
        fig.suptitle(style.dose_text(read_metrics(evaluation)))
        style.save(fig, out, command=COMMAND, code=code, inputs=[evaluation], parameters={"examples": rows})
