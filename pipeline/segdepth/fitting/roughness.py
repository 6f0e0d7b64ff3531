"""How much the columns of a film scatter about the fitted thickness: the variance that its electrons show.

A fit knows the mean thickness at a distance from the edge. Faces that are rough, carbon, and missing atoms make single
columns differ from it, and their pictures from the average unit cell's by more than shot noise. What one atom more in
one column does to the picture at either end, h, follows from the fitted lens: the wave's slope with the thickness
within the area that is nearer to this column than to others, interfering with the wave of the perfect crystal. The
projection of what was counted less what the average cell says, r, on it,

    a = Σ h r / Σ h²,   has the variance   G ρ² + Σ h² λ / (Σ h²)²,   G = ½ Σ_j (Σ h h_j / Σ h²)²,

with the expected electrons λ and the sum over both ends of all columns j, for which h also stands somewhat. So all
columns of a film give ρ², the variance of their atoms about the fitted mean (a moment estimator of a variance
component, e.g. Searle et al., Variance Components, 1992, section 3). Lengths in pm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from segdepth.crystals import Crystal
from segdepth.fitting.cells import FINEST_PM, Cells
from segdepth.fitting.model import PLACE, CellModel, as_imaging
from segdepth.micrograph.film import Film
from segdepth.micrograph.geometry import FrameTransform
from segdepth.simulation.aberrations import Lens, aberration_function
from segdepth.simulation.blurring import LOST_DETAIL_PM
from segdepth.simulation.lens_values import LENS_VALUES, lens_fields

AROUND_PM = 750.0
"""Least distance of a column to its copies in the cell in which its response is computed."""

NEAR_PM = 300.0
"""Pixels up to so far from a column tell of it."""

STEP_PM = 10.0
"""Between points on which a response is kept."""

WHOLE_SHARE = 0.9
"""A column counts where so much of its response, Σ h², lies on pixels that were fitted."""

MOST_COLUMNS = 1000
"""More are not looked at; those taken are spread evenly."""

ROUNDS = 8
"""Of weights and variance."""

LEAST_PROJECTIONS = 24
"""Of columns at either end: fewer tell nothing."""

SEEN_ERRORS = 2.0
"""A variance is seen that is so many times as large as its standard error; shot noise alone makes one in forty."""

RESPONSE_SHARE = 0.8
"""Projection on h of what one atom does by a multislice of the crystal with and without it: 0.59 to 1.13, on average
0.78, for both elements and ends of 4, 8 and 14 atoms, tilted by 0 to 30 mrad; correlated with h by 0.81 to 0.98."""

ENDS = ENTRANCE, EXIT = 0, 1
"""Of a column, at which atoms stand or lack; rough faces are as rough at either."""


@dataclass(frozen=True)
class Responses:
    """What one atom more in one column does to the image, by its end and the type of column.

    orders : (order, 2) waves per pm along x and y. spectrum : complex (end, type, order), vacuum = 1, the column at the
    origin. image : (end, type, y, x) on points ``step_pm`` (x, y) apart, the column at [0, 0]. gain : (end, type), G of
    the module.
    """

    orders: np.ndarray
    spectrum: np.ndarray
    image: np.ndarray
    step_pm: tuple[float, float]
    gain: np.ndarray


def responses(model: CellModel, parameters: torch.Tensor, number: int, transform: FrameTransform) -> Responses:
    """Those of one bin of a fit.

    Parameters
    ----------
    parameters : (parameter,), as in ``segdepth.fitting.model``. number : of the bin. transform : of the film's pixels,
        which average the image.
    """
    crystal = model.table.crystal
    periods = np.array(crystal.periods_pm[:2])
    repeats = np.ceil(AROUND_PM / periods).astype(int)
    sides = repeats * periods
    points = repeats * np.ceil(periods / STEP_PM).astype(int)
    x, y = (np.arange(n) * side / n for n, side in zip(points, sides))
    places = np.array([(c.x, c.y) for c in crystal.columns]) % 1 * periods
    cells = np.stack(np.meshgrid(*(np.arange(n) for n in repeats), indexing="ij"), axis=-1).reshape(-1, 1, 2) * periods
    sites = (cells + places).reshape(-1, 2)
    tree, grid = cKDTree(sites, boxsize=sides), np.stack(np.meshgrid(x, y), axis=-1)
    across, along = (
        np.exp(2j * np.pi * np.outer(at, g)) for at, g in zip((y, x), (model.table.orders / periods).T[::-1])
    )

    one = _Bin(model, parameters, number)
    kept = _orders_within(1 / FINEST_PM, sides)
    passed = one.factor(kept / sides) * _box(kept / sides, transform)
    spectrum = np.empty((len(ENDS), len(places), len(kept)), complex)
    for end in ENDS:
        slope, apart = one.slope(end)
        nearest = tree.query((grid - apart) % sides)[1]
        changed = (across * slope) @ along.T
        for kind, place in enumerate(places):
            cut = np.fft.fft2(np.where(nearest == kind, changed, 0)) / changed.size
            here = np.exp(2j * np.pi * (kept / sides @ place))
            spectrum[end, kind] = one.image_slope(cut, model.table.orders * repeats, kept, sides) * here * passed
    image = np.zeros((*spectrum.shape[:2], points[1], points[0]), complex)
    image[..., kept[:, 1], kept[:, 0]] = spectrum
    image = np.fft.ifft2(image, norm="forward").real
    step = float(x[1]), float(y[1])
    return Responses(kept / sides, spectrum, image, step, _gain(image, spectrum, kept / sides, step, sites, places))


def _box(q: np.ndarray, transform: FrameTransform) -> np.ndarray:
    """What the film's pixel leaves of orders (order, 2) per pm."""
    return np.prod(np.sinc(np.stack(transform.turned_back(*q.T)) * transform.pixel_pm), axis=0)


def _orders_within(most: float, sides: np.ndarray) -> np.ndarray:
    """(order, 2) whole, along x and y."""
    reach = np.floor(most * sides).astype(int)
    found = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 2)
    return found[np.hypot(*(found / sides).T) <= most]


class _Bin:
    """The crystal and the fitted lens of one bin."""

    def __init__(self, model: CellModel, parameters: torch.Tensor, number: int) -> None:
        common, thickness, _ = model.split(parameters[None].to(model.dtype))
        waves, slopes = model.table.waves(thickness, common[:, PLACE["tilt_x"] : PLACE["tilt_y"] + 1])
        self.model, self.common = model, common[0].numpy()
        self.wave, self.by_thickness = waves[0, number].numpy(), slopes[0, number, 0].numpy()
        self.thickness_pm = thickness[0, number].item() * model.period_pm
        self.tilt = np.tan(self.common[PLACE["tilt_x"] : PLACE["tilt_y"] + 1] / 1000)
        values = as_imaging(self.common) | {"c5_mm": model.held.c5_mm}
        values["defocus_nm"] = float(model.local_c1(common, thickness)[0, number])
        given = {name: np.array([value]) for name, value in values.items() if name in LENS_VALUES}
        self.lens, self.wavelength = Lens.from_values(lens_fields(given)), model.table.wavelength_pm

    def slope(self, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Slope (beam,) of the exit wave with atoms at an end, behind the crystal's exit as it was; and x and y by
        which it lies beside the column, whose middle stays in place under a tilted beam."""
        model = self.model
        moves = model.period_pm / 1000 * model.chi[0].numpy() if end == EXIT else 0.0
        to_end = 0.5 if end == EXIT else -0.5
        g = model.table.orders / np.array(model.table.crystal.periods_pm[:2])
        aside = 2 * np.pi * to_end * model.period_pm * g @ self.tilt
        return self.by_thickness + 1j * (moves + aside) * self.wave, -to_end * self.thickness_pm * self.tilt

    def _through(self, q: np.ndarray) -> np.ndarray:
        """exp(-iχ) at spatial frequencies (…, 2) per pm."""
        x, y = torch.as_tensor(np.reshape(q, (1, -1, 2)) * self.wavelength).unbind(-1)
        return np.exp(-1j * aberration_function(self.lens, x, y, self.wavelength).numpy()).reshape(q.shape[:-1])

    def image_slope(self, cut: np.ndarray, beams: np.ndarray, kept: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """Orders (order,) of the image's slope with a change of the exit wave.

        Parameters
        ----------
        cut : (ky, kx) of the change, in FFT order. beams : orders of the crystal's wave. kept : orders of the image.
            All are of a cell with these sides.
        """
        limit, square = float(np.hypot(*(beams / sides).T).max()), ((beams / sides) ** 2).sum(-1)
        plain = (self.wave * self._through(beams / sides)).conj()

        def half(orders: np.ndarray) -> np.ndarray:
            k = beams + orders[:, None]  # (order, beam, 2)
            q2 = ((k / sides) ** 2).sum(-1)
            changed = np.where(q2 <= limit**2, cut[k[..., 1], k[..., 0]], 0) * self._through(k / sides)
            spread = np.pi * 1000 * self.common[PLACE["focal_spread"]] / 2 * self.wavelength * (q2 - square)
            return (changed * plain * np.exp(-(spread**2))).sum(axis=1)

        return half(kept) + half(-kept).conj()

    def factor(self, q: np.ndarray) -> np.ndarray:
        """What spread and contrast leave of orders (order, 2) of the image, per pm."""
        square = (q**2).sum(1)
        blurred = np.exp(-2 * (np.pi * LOST_DETAIL_PM) ** 2 * square)
        share, background = self.common[PLACE["contrast"]], self.common[PLACE["background"]]
        spread = np.exp(-2 * (np.pi * self.common[PLACE["image_spread"]]) ** 2 * square)
        return spread * (share + (1 - share) * blurred) / (1 + background)


def _gain(
    image: np.ndarray,
    spectrum: np.ndarray,
    q: np.ndarray,
    step: tuple[float, float],
    sites: np.ndarray,
    places: np.ndarray,
) -> np.ndarray:
    """G of the module, (end, type), with Σ over the pixels near a column."""
    x, y = (np.fft.fftfreq(n, 1 / n) * each for n, each in zip(image.shape[:1:-1], step))
    near = np.hypot(x, y[:, None]) <= NEAR_PM
    all_sites = spectrum[:, np.arange(len(sites)) % len(places)]  # (end, site, order)
    gain = np.empty(image.shape[:2])
    for end, kind in np.ndindex(*gain.shape):
        part = np.where(near, image[end, kind], 0)
        cut = np.fft.fft2(part) / part.size
        orders = np.rint(q * step * np.array(part.shape[::-1])).astype(int)
        own = cut[orders[:, 1], orders[:, 0]].conj() * np.exp(-2j * np.pi * (sites - places[kind]) @ q.T)
        shared = (own * all_sites).sum(axis=-1).real * part.size
        gain[end, kind] = ((shared / (part**2).sum()) ** 2).sum() / len(ENDS)
    return gain


@dataclass(frozen=True)
class Scatter:
    """Projections of a film's columns. value : a of the module, atoms. noise : its variance by shot noise. gain : G."""

    value: np.ndarray
    noise: np.ndarray
    gain: np.ndarray

    def variance(self) -> tuple[float, float]:
        """ρ² and its standard error, atoms², of one column or more; weights are those of normal distributions, found
        with ρ² by turns, and the error takes projections to be independent."""
        found, weight = 0.0, self.gain
        for _ in range(ROUNDS):
            weight = self.gain / (self.noise + found * self.gain) ** 2
            found = max(float((weight * (self.value**2 - self.noise)).sum() / (weight * self.gain).sum()), 0.0)
        return found, float(np.sqrt(2 / (weight * self.gain).sum()))


def roughness_atoms(film: Film, cells: Cells, model: CellModel, parameters: torch.Tensor) -> float | None:
    """Standard deviation, in periods, of single columns about a film's fitted thickness; 0 where the electrons do not
    show any, None where too few columns are whole, or where the noise is not that of single electrons, each in one
    pixel: it could not be told from scatter.

    Parameters
    ----------
    film, cells : what the fit was made of. parameters : (parameter,), of the fit.
    """
    return seen_roughness(column_scatter(film, cells, model, parameters)) if film.camera.poisson else None


def seen_roughness(scatter: Scatter) -> float | None:
    """See ``roughness_atoms``."""
    if len(scatter.value) < LEAST_PROJECTIONS:
        return None
    variance, error = scatter.variance()
    if not math.isfinite(variance):
        return None
    return math.sqrt(variance) / RESPONSE_SHARE if variance > SEEN_ERRORS * error else 0.0


def column_scatter(film: Film, cells: Cells, model: CellModel, parameters: torch.Tensor) -> Scatter:
    """Projections of all columns, those of the first bin apart: at the edge no cell is like the next one.

    Parameters
    ----------
    film, cells : what the fit was made of. parameters : (parameter,), of the fit.
    """
    parameters = parameters.to(model.dtype)
    shifts = model.split(parameters[None])[2][0].numpy()
    parts = [np.zeros((3, 0))]
    for number in range(1, len(cells.bins)):
        found = responses(model, parameters, number, film.transform)
        for kind in range(len(model.table.crystal.columns)):
            x, y = _sites(film, cells, model.table.crystal, kind, shifts[number], number)
            parts += [_projected(film.transform, cells, found, end, kind, x, y) for end in ENDS]
    return Scatter(*np.concatenate(parts, axis=1))


def _sites(
    film: Film, cells: Cells, crystal: Crystal, kind: int, shift: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places x, y on the network's grid of the columns of a type that are nearer to a bin's middle than to others'."""
    transform, column = film.transform, crystal.columns[kind]
    axes = [
        (np.arange(-1, size // period + 2) + place) * period + by
        for size, period, place, by in zip(transform.box_pm[::-1], crystal.periods_pm, (column.x, column.y), shift)
    ]
    x, y = (each.ravel() for each in np.meshgrid(*axes))
    i, j, here = transform.pixels_at(*transform.inverse(x, y))
    distance = np.where(here, cells.distance_pm[i * here, j * here], np.nan)
    middles = np.array([each.distance_pm for each in cells.bins])
    nearest = np.abs(np.nan_to_num(distance)[:, None] - middles).argmin(axis=1)
    mine = np.flatnonzero(np.isfinite(distance) & (nearest == number))
    mine = mine[:: math.ceil(len(mine) / MOST_COLUMNS)] if len(mine) else mine
    return x[mine], y[mine]


def _projected(
    transform: FrameTransform, cells: Cells, found: Responses, end: int, kind: int, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Value, noise and gain (3, column) of columns of one type at places on the network's grid."""
    pixel, (rows, columns) = transform.pixel_pm, transform.shape
    reach = math.ceil(1.2 * NEAR_PM / pixel)  # the film's pixels may be stretched
    side = np.arange(-reach, reach + 1)
    down, right = (each.ravel() for each in np.meshgrid(side, side, indexing="ij"))
    file_x, file_y = transform.inverse(x, y)
    kept = []
    for x0, y0, fx, fy in zip(x, y, file_x, file_y):
        j, i = math.floor(fx / pixel) + right, math.floor(fy / pixel) + down
        if i.min() < 0 or i.max() >= rows or j.min() < 0 or j.max() >= columns:
            continue
        at_x, at_y = transform.forward((j + 0.5) * pixel, (i + 0.5) * pixel)
        off = np.stack([at_y - y0, at_x - x0])
        near = np.hypot(*off) <= NEAR_PM
        off, i, j = off[:, near], i[near], j[near]
        image = ndimage.map_coordinates(
            found.image[end, kind], off / np.array(found.step_pm)[::-1, None], order=1, mode="grid-wrap"
        )
        fitted = np.isfinite(cells.expected[i, j])
        if (image[fitted] ** 2).sum() < WHOLE_SHARE * (image**2).sum() or not fitted.any():
            continue
        i, j, response = i[fitted], j[fitted], image[fitted] * cells.vacuum[i[fitted], j[fitted]]
        size = (response**2).sum()
        if size > 0:
            value = (response * cells.residual[i, j]).sum() / size
            kept.append((value, (response**2 * cells.expected[i, j]).sum() / size**2, found.gain[end, kind]))
    return np.array(kept).reshape(-1, 3).T
