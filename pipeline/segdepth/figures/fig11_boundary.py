"""Figure 11: the gradient of the class probabilities with respect to a micrograph, at the boundary of the crystal and
in the vacuum (SegDepth, Fig. 11).

Turned as the file holds the micrograph, its row 0 at the top, as the picture of the prediction.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D

from segdepth.errors import StoreError
from segdepth.figures import style
from segdepth.figures.fig8_gradients import draw_classes, draw_estimate, mark
from segdepth.figures.prediction import names_text

CLASSES = 3


@style.styled
def draw(store: xr.Dataset, simulated: bool = False) -> Figure:
    """What ``measure-boundary`` stored (``segdepth.evaluation.gradients``); the maps of a row have one scale.

    Parameters
    ----------
    simulated : whether the micrograph is a simulated recording, which the title then says.

    Raises
    ------
    StoreError
        It does not tell how the file lies: an earlier version made it.
    """
    fig = style.new_figure(10.0, 5.5)
    axes = fig.subplots(2, 1 + CLASSES)
    noisy = store["noisy"][0].values
    style.show_image(axes[0, 0], noisy, store.attrs["pixel_pm"], style.image_limits(noisy))
    for place in range(store.sizes["place"]):
        mark(axes[0, 0], store, place)
    axes[0, 0].set_title(f"micrograph, λ = {float(store['lambda'][0]):.3g}")
    draw_estimate(axes[1, 0], store, 0)
    for row, place in enumerate(store.attrs["places"]):
        draw_classes(axes[row, 1:], store, row, 0, place, "estimated")
    for ax in axes.flat:
        _turn_to_file(ax, store)
    for ax in axes[:, 0]:
        style.scale_bar(ax)
    radii = [f"{radius:.2g} nm ({place})" for place, radius in zip(store.attrs["places"], _radii(store))]
    network = f"{store.attrs['model']} (c = {store.attrs['base_channels']}, {store.attrs['variant']})"
    fig.suptitle(
        f"{names_text(network, store.attrs['source'], simulated)}\n"
        f"half of the gradient's energy lies within {', '.join(radii)}; row 0 of the file is at the top"
    )
    return fig


def _turn_to_file(ax: Axes, store: xr.Dataset) -> None:
    """Turn what a panel shows from the network's grid to the file, whose middle stays the middle."""
    attrs = store.attrs
    try:
        to_file = np.array(attrs["affine_to_file_pm"], float)[:, :2]
        file_nm = np.array(attrs["file_shape"][::-1]) * attrs["file_pixel_pm"] / 1000
    except KeyError as failure:
        raise StoreError(f"the gradients have no attribute {failure}; measure them again with this version") from None
    shown = np.diag([1.0, -1.0]) @ to_file  # the file's y goes down
    grid_nm = np.array([store.sizes["x"], store.sizes["y"]]) * attrs["pixel_pm"] / 1000
    size_nm = np.minimum(np.abs(shown) @ grid_nm, file_nm)
    turn = np.eye(3)
    turn[:2, :2], turn[:2, 2] = shown, size_nm / 2 - shown @ (grid_nm / 2)
    for artist in (*ax.images, *ax.lines):
        artist.set_transform(Affine2D(turn) + ax.transData)
    ax.set(xlim=(0, size_nm[0]), ylim=(0, size_nm[1]), facecolor="white")


def _radii(store: xr.Dataset) -> np.ndarray:
    return store["half_energy_radius_pm"].values / 1000
