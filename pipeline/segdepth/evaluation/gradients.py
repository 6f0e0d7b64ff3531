"""The gradient of the class probabilities with respect to the input image (SegDepth, eq. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.ndimage import distance_transform_edt
from torch import nn

from segdepth.config import ALL, NETWORK_STRIDE
from segdepth.evaluation.gradient_reach import PLACES, RADII, SHARES, energy_radii
from segdepth.evaluation.ground_truth import GroundTruth
from segdepth.evaluation.noisy_images import Sample
from segdepth.labels.ownership import pixel_centres_pm

MICROGRAPH_PLACES = ("boundary", "vacuum")
WINDOW_PIXELS = 448
"""Side of the part of a micrograph that the network is shown for its gradients, in label pixels."""
SPECK_PM = 30.0
COLUMN_REACH_PM = 100.0
"""Less and about as much as the radius of a column in a depth map."""


@dataclass(frozen=True)
class Place:
    """A pixel of the label grid."""

    row: int
    column: int


def input_gradients(network: nn.Module, image: np.ndarray, place: Place, classes: Sequence[int]) -> np.ndarray:
    """∂ probability of each class at a pixel / ∂ intensity of each input pixel, float32 (class, y, x).

    Parameters
    ----------
    network : in evaluation mode.
    image : [y, x], vacuum = 1. place : on the label grid.
    """
    return _Seen(network, image).gradients(place, classes)


class _Seen:
    """An image as a network sees it once, for gradients at several pixels."""

    def __init__(self, network: nn.Module, image: np.ndarray) -> None:
        where = next(network.parameters()).device
        self._given = torch.as_tensor(image, dtype=torch.float32, device=where)[None, None].requires_grad_(True)
        self._logits = network(self._given)[0]
        self.classes = len(self._logits)

    @property
    def depth(self) -> np.ndarray:
        """The estimated class of each pixel of the label grid, uint8 [y, x]."""
        return self._logits.detach().argmax(0).cpu().numpy().astype(np.uint8)

    def gradients(self, place: Place, classes: Sequence[int]) -> np.ndarray:
        """See ``input_gradients``."""
        at = self._logits[:, place.row, place.column].float().softmax(0)
        found = [torch.autograd.grad(at[number], self._given, retain_graph=True)[0][0, 0] for number in classes]
        return torch.stack(found).cpu().numpy()


def place_of_column(truth: GroundTruth, atoms: int, label_pixel_pm: float) -> Place:
    """The pixel at the centre of the whole column of the heaviest element whose count is nearest ``atoms``, of these
    the one nearest the middle of the field."""
    found = _from_the_middle(truth, label_pixel_pm)
    heavy = found[found["element"] == found["element"].min()]
    nearest = heavy[(heavy["atoms"] - atoms).abs() == (heavy["atoms"] - atoms).abs().min()]
    return _pixel(nearest.iloc[0], truth, label_pixel_pm)


def place_in_vacuum(truth: GroundTruth) -> Place:
    """The pixel that is farthest from every column and from the edges of the field."""
    return _middle_of(truth.away if truth.away.any() else truth.depth == 0)


def _middle_of(free: np.ndarray) -> Place:
    """The pixel of a mask that is farthest from all others and from the edges; of those that are as far within a pixel,
    that nearest the middle of the map."""
    distance = distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(distance > distance.max() - 1)
    nearest = np.hypot(*(at - (side - 1) / 2 for at, side in zip((rows, columns), free.shape))).argmin()
    return Place(int(rows[nearest]), int(columns[nearest]))


def places_of_estimate(depth: np.ndarray, label_pixel_pm: float) -> list[Place]:
    """In an estimated depth map [y, x]: a column at the boundary of the crystal and the middle of the vacuum;
    ``MICROGRAPH_PLACES``.

    The first is the inside of the column nearest to the second: of the pixels within ``COLUMN_REACH_PM`` of the nearest
    pixel above 0, the one farthest from every 0. Groups narrower than twice ``SPECK_PM`` do not count if there are
    wider ones. Without any atoms or any vacuum both are one pixel.
    """
    vacuum = _middle_of(depth == 0)
    inside_pm = distance_transform_edt(depth > 0) * label_pixel_pm
    if not (depth > 0).any() or (depth > 0).all():
        return [vacuum, vacuum]
    rows, columns = np.nonzero(inside_pm >= min(SPECK_PM, inside_pm.max()))
    nearest = np.hypot(rows - vacuum.row, columns - vacuum.column).argmin()
    y, x = np.indices(depth.shape)
    near = np.hypot(y - rows[nearest], x - columns[nearest]) * label_pixel_pm <= COLUMN_REACH_PM
    return [Place(*map(int, np.unravel_index(np.where(near, inside_pm, -1).argmax(), depth.shape))), vacuum]


def gradients_of_frame(
    network: nn.Module, image: np.ndarray, dose_lambda: float, *, pixel_pm: float, label_pixel_pm: float
) -> xr.Dataset:
    """Gradients of a frame of a micrograph at the boundary of the crystal and in the vacuum, as
    ``gradients_at_doses``, with ``depth`` as the network estimates it.

    Parameters
    ----------
    image : [y, x] as the network reads it, vacuum = 1; at most ``WINDOW_PIXELS`` label pixels of it are shown to the
        network, from its middle.
    """
    ratio = round(label_pixel_pm / pixel_pm)
    sides = [min(side, WINDOW_PIXELS * ratio) // NETWORK_STRIDE * NETWORK_STRIDE for side in image.shape]
    first = [(side - kept) // 2 for side, kept in zip(image.shape, sides)]
    shown = np.ascontiguousarray(image[first[0] : first[0] + sides[0], first[1] : first[1] + sides[1]], np.float32)
    seen = _Seen(network, shown)
    depth = seen.depth
    places = places_of_estimate(depth, label_pixel_pm)
    found = np.stack([seen.gradients(place, range(seen.classes)) for place in places])
    maps = _Maps(found[:, None], shown[None], depth, depth[None], places)
    dataset = _as_dataset(maps, [dose_lambda], pixel_pm, label_pixel_pm)
    there = [dataset[f"place_{name}"].values for name in ("depth", "x_pm", "y_pm")]
    reach = [
        energy_radii(gradient[int(depth_there)], pixel_pm, float(x), float(y))
        for gradient, depth_there, x, y in zip(found, *there)
    ]
    for name, share in SHARES.items():
        text = f"radius that holds {100 * share:.0f} % of the energy of the estimated depth's gradient"
        dataset[name] = ("place", [of_place[name] for of_place in reach], {"units": "pm", "long_name": text})
    return dataset.assign_attrs(places=list(MICROGRAPH_PLACES))


def measured_columns(truth: GroundTruth, label_pixel_pm: float) -> pd.DataFrame:
    """Of each element and count the whole column that is nearest the middle of the field."""
    return _from_the_middle(truth, label_pixel_pm).groupby(["element", "atoms"]).head(1)


def _from_the_middle(truth: GroundTruth, label_pixel_pm: float) -> pd.DataFrame:
    columns = truth.columns[truth.columns["whole"] & (truth.columns["atoms"] > 0)]
    middle = truth.depth.shape[0] * label_pixel_pm / 2
    away = np.hypot(columns["x_pm"] - middle, columns["y_pm"] - middle)
    # stores hold counts without a sign
    return columns.assign(away=away, atoms=columns["atoms"].astype(int)).sort_values("away", kind="stable")


def _pixel(column: pd.Series, truth: GroundTruth, label_pixel_pm: float) -> Place:
    last = truth.depth.shape[0] - 1
    row, place = (min(max(int(column[axis] // label_pixel_pm), 0), last) for axis in ("y_pm", "x_pm"))
    return Place(row, place)


def gradients_at_doses(
    network: nn.Module,
    samples: Sequence[Sample],
    doses: Sequence[float],
    *,
    pixel_pm: float,
    label_pixel_pm: float,
    atoms: int,
) -> xr.Dataset:
    """Gradients of one image at several doses: maps of all classes at a column and in the vacuum.

    Parameters
    ----------
    samples : the same image with the noise of each of ``doses``.
    atoms : count of the column that is mapped, or the nearest.

    The data set has ``gradient`` (place, dose, class, y, x), ``noisy`` (dose, y, x), ``depth`` and ``estimate``.
    """
    truth = samples[0].truth
    places = [place_of_column(truth, atoms, label_pixel_pm), place_in_vacuum(truth)]
    maps, estimates = [], []
    for sample in samples:
        seen = _Seen(network, sample.noisy)
        estimates.append(seen.depth)
        maps.append([seen.gradients(place, range(seen.classes)) for place in places])
    found = np.moveaxis(np.array(maps, np.float32), 0, 1)
    depth = truth.depth.astype(np.uint8)
    given = _Maps(found, np.stack([s.noisy for s in samples]).astype(np.float32), depth, np.stack(estimates), places)
    return _as_dataset(given, doses, pixel_pm, label_pixel_pm)


def radii_of_image(
    network: nn.Module,
    sample: Sample,
    dose: float,
    *,
    pixel_pm: float,
    label_pixel_pm: float,
    elements: Sequence[str],
) -> pd.DataFrame:
    """``RADII`` of the gradient of the true class, at ``measured_columns`` and at ``place_in_vacuum`` of one image."""
    truth, seen = sample.truth, _Seen(network, sample.noisy)
    rows = []

    def measure(place: Place, name: str, element: str, count: int, x_pm: float, y_pm: float) -> None:
        reach = energy_radii(seen.gradients(place, [count])[0], pixel_pm, x_pm, y_pm)
        rows.append((sample.structure, name, dose, element, count, x_pm, y_pm, *reach.values()))

    for _, column in measured_columns(truth, label_pixel_pm).iterrows():
        count = min(int(column["atoms"]), seen.classes - 1)
        element = elements[int(column["element"])]
        measure(_pixel(column, truth, label_pixel_pm), PLACES[0], element, count, column["x_pm"], column["y_pm"])
    vacuum = place_in_vacuum(truth)
    x_pm, y_pm = ((at + 0.5) * label_pixel_pm for at in (vacuum.column, vacuum.row))
    measure(vacuum, PLACES[1], ALL, 0, x_pm, y_pm)
    return pd.DataFrame(rows, columns=list(RADII))


@dataclass(frozen=True)
class _Maps:
    gradient: np.ndarray
    noisy: np.ndarray
    depth: np.ndarray
    estimate: np.ndarray
    places: Sequence[Place]


def _as_dataset(maps: _Maps, doses: Sequence[float], pixel_pm: float, label_pixel_pm: float) -> xr.Dataset:
    label = ("label_y", "label_x")
    variables = {
        "gradient": (("place", "dose", "class", "y", "x"), maps.gradient, "1", "probability by intensity (vacuum = 1)"),
        "noisy": (("dose", "y", "x"), maps.noisy, "1", "image intensity with shot noise, vacuum = 1"),
        "depth": (label, maps.depth, "atoms", "true smoothed depth"),
        "estimate": (("dose", *label), maps.estimate, "atoms", "estimated depth"),
    }
    x, y = ([(getattr(p, axis) + 0.5) * label_pixel_pm for p in maps.places] for axis in ("column", "row"))
    coords = {
        "lambda": ("dose", list(doses), "1", "λ, electrons per 5.284 pm pixel"),
        "place_x_pm": ("place", x, "pm", "where the probabilities are"),
        "place_y_pm": ("place", y, "pm", "where the probabilities are"),
        "place_depth": ("place", [int(maps.depth[p.row, p.column]) for p in maps.places], "atoms", "true depth there"),
    }
    for prefix, shape, pixel in (("", maps.noisy.shape[1:], pixel_pm), ("label_", maps.depth.shape, label_pixel_pm)):
        for axis, side in zip("yx", shape):
            name = f"{prefix}{axis}"
            coords[name] = (name, pixel_centres_pm(side, pixel), "pm", f"pixel centre along {axis}")

    def named(all_of: dict) -> dict:
        return {n: (dims, values, {"units": u, "long_name": t}) for n, (dims, values, u, t) in all_of.items()}

    attributes = {"places": list(PLACES), "pixel_pm": pixel_pm, "label_pixel_pm": label_pixel_pm}
    return xr.Dataset(named(variables), coords=named(coords), attrs=attributes)
