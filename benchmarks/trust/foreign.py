"""Frames that show no crystal that the network knows: noise, other lattices, speckle, photographs, diffraction.

``KINDS`` lists them: name, how many, and a function of a random generator and the frame's number that gives what is
true (``pixel_pm``, ``dose_lambda``, ...) and a function that makes the counts (y, x).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from specimens import VACUUM, build, draw_wedge, inward_pm

import segdepth
from segdepth.config import PAPER_PIXEL_PM
from segdepth.crystals import Crystal

Drawn = tuple[dict[str, Any], Callable[[], np.ndarray]]

STRONTIUM_TITANATE = Path(__file__).parents[2] / "tests" / "data" / "SrTiO3.cif"
SPACINGS_PM = (
    150,
    165,
    180,
    191.3,
    205,
    220,
    240,
    255,
    270.6,
    285,
    300,
    312.4,
    325,
    340,
    355,
    370,
    383,
    390,
    395,
    400,
)
"""Of the lattices of blobs; among them spacings of the crystal itself."""

WAVELENGTH_PM, C3_PM = 1.969, 1.2e9
"""300 keV, and a lens without corrector, for the speckle."""


def counted(image: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """Poisson counts about image x electrons."""
    counts = rng.poisson(np.maximum(image, 0) * electrons)
    return counts.astype(np.min_scalar_type(int(counts.max())))


def of_electrons(electrons: float, pixel_pm: float) -> dict[str, Any]:
    return {"pixel_pm": pixel_pm, "dose_lambda": electrons * (PAPER_PIXEL_PM / pixel_pm) ** 2}


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noise(rng: np.random.Generator, number: int) -> Drawn:
    """Nothing but shot noise."""
    electrons, pixel, seed = log_uniform(rng, 0.3, 50), log_uniform(rng, 4, 40), rng.integers(2**32)
    shape = tuple(rng.integers(300, 640, 2))
    if number % 4 == 0:
        shape = (512, 512)
    return of_electrons(electrons, pixel), lambda: counted(np.ones(shape), electrons, np.random.default_rng(seed))


def _camera(rng: np.random.Generator, pixel: tuple[float, float] = (3, 12)) -> tuple[float, float, tuple[int, int]]:
    """Electrons per pixel, pixel and shape of a frame of about 6 nm."""
    size, dose = log_uniform(rng, *pixel), log_uniform(rng, 0.3, 25)
    shape = tuple(int(side / size) for side in rng.uniform(5450, 6600, 2))
    return dose * (size / PAPER_PIXEL_PM) ** 2, size, shape


def _blobs(hexagonal: bool) -> Callable[[np.random.Generator, int], Drawn]:
    def draw(rng: np.random.Generator, number: int) -> Drawn:
        electrons, pixel, shape = _camera(rng)
        spacing = SPACINGS_PM[number % len(SPACINGS_PM)]
        width, contrast = spacing * rng.uniform(0.15, 0.25), rng.choice([-1, 1]) * rng.uniform(0.2, 0.8)
        wedge = draw_wedge(rng, 0.0, VACUUM[number % len(VACUUM)], (3, 10))
        turn, seed, origin = rng.uniform(0, 2 * np.pi), rng.integers(2**32), rng.uniform(0, spacing, 2)

        def make() -> np.ndarray:
            reach = int(1.5 * max(shape) * pixel / spacing) + 2
            i, j = np.meshgrid(np.arange(-reach, reach), np.arange(-reach, reach))
            second = (0.5, np.sqrt(0.75)) if hexagonal else (0.0, 1.0)
            u, v = spacing * (i + second[0] * j).ravel() + origin[0], spacing * second[1] * j.ravel() + origin[1]
            x, y = np.cos(turn) * u - np.sin(turn) * v, np.sin(turn) * u + np.cos(turn) * v
            x, y = x + shape[1] * pixel / 2, y + shape[0] * pixel / 2
            inside = inward_pm(_sized(wedge, shape, pixel), x, y) >= 0
            points, _, _ = np.histogram2d(
                y[inside] / pixel, x[inside] / pixel, bins=shape, range=[(0, shape[0]), (0, shape[1])]
            )
            blurred = ndimage.gaussian_filter(points, width / pixel, mode="constant")
            peak = pixel**2 / (2 * np.pi * width**2)
            return counted(1 + contrast * blurred / peak, electrons, np.random.default_rng(seed))

        return of_electrons(electrons, pixel), make

    return draw


def _sized(wedge, shape, pixel):
    return type(wedge)(**(vars(wedge) | {"field_pm": (shape[1] * pixel, shape[0] * pixel)}))


def speckle(rng: np.random.Generator, number: int) -> Drawn:
    """An amorphous film: white noise through a contrast transfer function, beside vacuum in half of the frames."""
    electrons, pixel, shape = _camera(rng)
    defocus, spread = rng.uniform(-120e3, 20e3), rng.uniform(3e3, 8e3)
    strength, seed = rng.uniform(0.04, 0.15), rng.integers(2**32)
    wedge = draw_wedge(rng, 0.0, VACUUM[number % len(VACUUM)] if number % 2 else "none", (3, 10))

    def make() -> np.ndarray:
        rng = np.random.default_rng(seed)
        q2 = np.add.outer(np.fft.fftfreq(shape[0], pixel) ** 2, np.fft.rfftfreq(shape[1], pixel) ** 2)
        chi = np.pi * WAVELENGTH_PM * defocus * q2 + np.pi / 2 * C3_PM * WAVELENGTH_PM**3 * q2**2
        envelope = np.exp(-((np.pi * WAVELENGTH_PM * spread * q2 / 2) ** 2) - q2 * 60.0**2)
        film = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * np.sin(chi) * envelope, s=shape)
        film *= strength / film.std()
        y, x = (np.indices(shape) + 0.5) * pixel
        film = np.where(inward_pm(_sized(wedge, shape, pixel), x, y) >= 0, 0.9 + film, 1.0)
        return counted(film, electrons, rng)

    return of_electrons(electrons, pixel), make


@lru_cache(maxsize=4)
def other_crystal(name: str) -> Crystal:
    """A crystal that the network has not learnt."""
    if name == "srtio3_001":
        widths = {"Sr": 8.8, "Ti": 7.5, "O": 9.5}
        return segdepth.crystal(str(STRONTIUM_TITANATE), (0, 0, 1), (1, 0, 0), debye_waller_pm=widths)
    from ase.build import bulk
    from ase.io import write

    axes = {"pt_110": ((1, 1, 0), (0, 0, 1)), "pt_100": ((1, 0, 0), (0, 1, 0))}[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Pt.cif"
        write(path, bulk("Pt", "fcc", a=3.924, cubic=True))
        return segdepth.crystal(str(path), *axes, debye_waller_pm={"Pt": 6.7})


def _simulated(name: str) -> Callable[[np.random.Generator, int], Drawn]:
    def draw(rng: np.random.Generator, number: int) -> Drawn:
        angle, defocus, seed = float(rng.uniform(0, 360)), float(rng.uniform(1, 9)), rng.integers(2**32)
        pixel, dose = log_uniform(rng, 3, 12), log_uniform(rng, 0.3, 25)
        wedge = draw_wedge(rng, angle, VACUUM[number % len(VACUUM)], (3, 10))

        def make() -> np.ndarray:
            atoms, _ = build(wedge, other_crystal(name))
            images = segdepth.simulate(atoms, defocus_nm=defocus, pixel_pm=pixel, device="cpu")
            electrons = dose * (pixel / PAPER_PIXEL_PM) ** 2
            return counted(images.values[0], electrons, np.random.default_rng(seed))

        facts = {"defocus_nm": defocus, "bulk": wedge.bulk, "vacuum": wedge.vacuum}
        return {"pixel_pm": pixel, "dose_lambda": dose, **facts}, make

    return draw


def photograph(rng: np.random.Generator, number: int) -> Drawn:
    """Parts of a portrait, and pictures made of 1/f noise with edges."""
    electrons, pixel, shape = _camera(rng)
    seed, zoom = rng.integers(2**32), rng.uniform(0.8, 2)

    def make() -> np.ndarray:
        rng = np.random.default_rng(seed)
        picture = _portrait(shape, zoom, rng) if number % 2 else _landscape(shape, rng)
        return counted(picture, electrons, rng)

    return of_electrons(electrons, pixel), make


def _portrait(shape: tuple[int, int], zoom: float, rng: np.random.Generator) -> np.ndarray:
    import matplotlib.cbook
    from matplotlib.image import imread

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:
        grey = imread(stream, format="jpg").mean(axis=2) / 255
    rows, columns = (np.linspace(0, side / zoom - 1, n) for side, n in zip(grey.shape, shape))
    top, left = (rng.uniform(0, side - side / zoom) if zoom > 1 else 0 for side in grey.shape)
    places = np.meshgrid(rows + top, columns + left, indexing="ij")
    return 2 * ndimage.map_coordinates(grey, places, order=1, mode="reflect")


def _landscape(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    q = np.sqrt(np.add.outer(np.fft.fftfreq(shape[0]) ** 2, np.fft.rfftfreq(shape[1]) ** 2))
    q[0, 0] = np.inf
    picture = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) / q, s=shape)
    picture = 1 + 0.3 * picture / picture.std()
    y, x = np.indices(shape)
    for _ in range(6):
        nx, ny = rng.normal(size=2)
        beyond = nx * (x - rng.uniform(0, shape[1])) + ny * (y - rng.uniform(0, shape[0])) > 0
        picture = np.where(beyond, picture * rng.uniform(0.6, 1.3), picture)
    return picture


def diffraction(rng: np.random.Generator, number: int) -> Drawn:
    """A central beam, spots on a lattice and rings; the pixel is that of a file whose unit was misread."""
    electrons, pixel, shape = _camera(rng, (4, 12))
    period, turn, skew = rng.uniform(22, 60), rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3)
    seed, rings = rng.integers(2**32), rng.uniform(40, 200, 3)

    def make() -> np.ndarray:
        rng = np.random.default_rng(seed)
        y, x = np.indices(shape)
        y0, x0 = shape[0] / 2 + rng.uniform(-10, 10), shape[1] / 2 + rng.uniform(-10, 10)
        radius = np.hypot(y - y0, x - x0)
        pattern = 0.3 + 30 * np.exp(-((radius / 4) ** 2)) + 4 / (1 + (radius / 12) ** 2)
        pattern += sum(np.exp(-(((radius - ring) / 3) ** 2)) for ring in rings)
        for h in range(-12, 13):
            for k in range(-12, 13):
                u, v = period * (h + skew * k), period * k
                dx, dy = np.cos(turn) * u - np.sin(turn) * v + x0, np.sin(turn) * u + np.cos(turn) * v + y0
                if not (0 <= dx < shape[1] and 0 <= dy < shape[0]) or (h == 0 and k == 0):
                    continue
                height = rng.uniform(0.2, 12) * np.exp(-np.hypot(u, v) / 150)
                here = tuple(slice(max(0, int(c) - 10), int(c) + 11) for c in (dy, dx))
                pattern[here] += height * np.exp(-((x[here] - dx) ** 2 + (y[here] - dy) ** 2) / 8)
        return counted(pattern, electrons, rng)

    return of_electrons(electrons, pixel), make


KINDS = (
    ("noise", 200, noise),
    ("square blobs", 20, _blobs(hexagonal=False)),
    ("hexagonal blobs", 20, _blobs(hexagonal=True)),
    ("speckle", 20, speckle),
    ("srtio3_001", 20, _simulated("srtio3_001")),
    ("pt_110", 20, _simulated("pt_110")),
    ("pt_100", 20, _simulated("pt_100")),
    ("photograph", 20, photograph),
    ("diffraction", 20, diffraction),
)
