"""Figure 11: the gradient of the class probabilities with respect to a micrograph, at the boundary of the crystal and
in the vacuum (SegDepth, Fig. 11)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from segdepth.figures import style
from segdepth.figures.fig8_gradients import draw_classes, draw_estimate, mark

CLASSES = 3


@style.styled
def draw(store: xr.Dataset) -> Figure:
    """What ``measure-boundary`` stored (``segdepth.evaluation.gradients``); the maps of a row have one scale."""
    fig = style.new_figure(10.0, 5.4)
    axes = fig.subplots(2, 1 + CLASSES)
    noisy = store["noisy"][0].values
    style.show_image(axes[0, 0], noisy, store.attrs["pixel_pm"], style.image_limits(noisy))
    for place in range(store.sizes["place"]):
        mark(axes[0, 0], store, place)
    axes[0, 0].set_title(f"micrograph, λ = {float(store['lambda'][0]):.3g}")
    draw_estimate(axes[1, 0], store, 0)
    for row, place in enumerate(store.attrs["places"]):
        draw_classes(axes[row, 1:], store, row, 0, place, "estimated")
    radii = [f"{radius:.2g} nm ({place})" for place, radius in zip(store.attrs["places"], _radii(store))]
    network = f"{store.attrs['model']} (c = {store.attrs['base_channels']}, {store.attrs['variant']})"
    fig.suptitle(f"{network}, 1 image; half of the gradient's energy lies within {', '.join(radii)}")
    return fig


def _radii(store: xr.Dataset) -> np.ndarray:
    return store["half_energy_radius_pm"].values / 1000
