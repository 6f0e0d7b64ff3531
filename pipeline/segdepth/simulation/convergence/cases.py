"""The cases of the convergence study: what is varied, around the beam and imaging blocks under study.

A case changes either the multislice (a beam) or the optics; the rest is the reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from segdepth.config import Beam, Imaging
from segdepth.errors import ConfigError
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.grid import check_grid
from segdepth.simulation.optics import smooth_size

REFERENCE_ANGLE_MRAD = 80.0
"""Stored angle and aperture of the reference: beyond it nothing is left that vibration lets through."""

REFERENCE_POINTS = 2048
"""Grid points a side of the reference at least (SBD: 2048²)."""

REFERENCE_SLICE_PM = 16.7
"""Slabs of the reference, of the three-dimensional potential (SBD)."""

REFERENCE_MODES = 60
"""Focal modes of the reference where the focal average is not what is studied."""

EXPLICIT_STEPS = 81
"""Single foci over ±3 half-widths of the explicit average."""

INTENSITY_SHARES = (3.5, 3.0, 2.6, 2.4, 2.2)
"""Points of the grid of |ψ|² in units of K, the largest order inside the aperture, besides the exact 4K + 1."""

SNAPSHOT_PIXEL_PM = 5.3
"""Grid of frozen phonons: potentials without vibration are sharper (1 % at 5.3 pm, 7 % at 10.5 pm)."""

PLAIN_SLICE_PM = 48.0
"""Slices of a usual abTEM calculation at 2048², whose time is the unit of the others."""


@dataclass(frozen=True)
class Optics:
    """How images are formed from a wave; the defaults are the reference's.

    ``focal``: eigenmodes of the focal kernel (``focal_samples`` None: as many as needed), equal steps over ±2
    half-widths, Gauss-Hermite nodes, or equal steps over ±3 half-widths, each an image of its own focus.
    """

    aperture_mrad: float | None = None
    focal: Literal["modes", "steps", "hermite", "gaussian"] = "modes"
    focal_samples: int | None = REFERENCE_MODES
    intensity_points: int | None = None
    least_image_spread_pm: float = 0.0
    precision: Literal["float32", "float64"] = "float64"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    ``beam`` None: the reference's wave. ``abtem``: with abTEM's own potentials and settings. ``against``: the
    reference's wave with the block's aperture and modes (``wave``), the same with the aperture open (``open``), the
    whole reference with explicit averaging (``everything``), or the frozen phonons (``phonons``).
    """

    group: str
    name: str
    beam: Beam | None = None
    optics: Optics = Optics()
    abtem: Literal["infinite", "finite"] | None = None
    against: Literal["wave", "open", "everything", "phonons"] = "wave"


def explicit() -> Optics:
    """The average over many single foci."""
    return Optics(focal="gaussian", focal_samples=EXPLICIT_STEPS)


def reference_beam(beam: Beam, cell_pm: float) -> Beam:
    """2048², 16.7 pm slabs of the three-dimensional potential, float64, 80 mrad."""
    return beam.model_copy(
        update={
            "pixel_pm": cell_pm / REFERENCE_POINTS,
            "band_limit": 2 / 3,
            "precision": "float64",
            "slice_pm": REFERENCE_SLICE_PM,
            "projection": "finite",
            "stored_angle_mrad": REFERENCE_ANGLE_MRAD,
            "frozen_phonons": 0,
            "diffuse_snapshots": 0,
        }
    )


def snapshot_beam(beam: Beam, phonons: int) -> Beam:
    """Frozen phonons on a grid fine enough for them."""
    pixel_pm = min(beam.pixel_pm, SNAPSHOT_PIXEL_PM)
    return beam.model_copy(update={"frozen_phonons": phonons, "diffuse_snapshots": 0, "pixel_pm": pixel_pm})


def plain_beam(beam: Beam, cell_pm: float, points: int, slice_pm: float) -> Beam:
    """A usual abTEM calculation: its own potentials, 2/3 of the band, ``points``² or a little more."""
    changes = {"pixel_pm": cell_pm / points, "slice_pm": slice_pm, "band_limit": 2 / 3}
    changes |= {"precision": "float32", "absorption": False, "frozen_phonons": 0, "diffuse_snapshots": 0}
    return beam.model_copy(update=changes)


def cases(beam: Beam, imaging: Imaging, cell_pm: float, plane_pm: float, phonons: int) -> Iterator[Case]:
    """All rows but the reference itself; the first is the blocks' own choice, without frozen phonons.

    Parameters
    ----------
    beam : without ranges.
    cell_pm : side of the square cell.
    plane_pm : spacing of the crystal's planes of atoms along the beam.
    phonons : snapshots of the rows with vibrating atoms; 0 leaves these out.

    A beam whose grid is too coarse for what it stores makes no row.
    """
    beam = beam.model_copy(update={"frozen_phonons": 0, "diffuse_snapshots": 0})
    for case in (*_of_the_whole(beam, imaging, cell_pm), *_of_the_multislice(beam, cell_pm, plane_pm, phonons)):
        if case.beam is None or _fits(case.beam, cell_pm):
            yield case
    yield from _of_the_optics(beam, imaging, cell_pm)


def _fits(beam: Beam, cell_pm: float) -> bool:
    try:
        check_grid("beam", beam, cell_pm)
    except ConfigError:
        return False
    return True


def _of_the_whole(beam: Beam, imaging: Imaging, cell_pm: float) -> Iterator[Case]:
    mine = Optics(
        aperture_mrad=imaging.aperture_mrad,
        focal="modes" if imaging.focal_steps is None else "steps",
        focal_samples=imaging.focal_steps,
        least_image_spread_pm=imaging.least_image_spread_pm,
        precision="float32",
    )
    yield Case("everything", "this beam and imaging", beam, mine, against="everything")
    yield Case(
        "everything",
        f"abTEM {REFERENCE_POINTS}², {PLAIN_SLICE_PM:g} pm, infinite; explicit averaging",
        plain_beam(beam, cell_pm, REFERENCE_POINTS, PLAIN_SLICE_PM),
        explicit(),
        abtem="infinite",
        against="everything",
    )


def _of_the_multislice(beam: Beam, cell_pm: float, plane_pm: float, phonons: int) -> Iterator[Case]:
    def changed(**update) -> Beam:
        return beam.model_copy(update=update)

    for pixel_pm in (5.3, 6.7, 7.6, 9.4, 10.5, 11.3, 12.3, 13.5):
        yield Case("grid", f"{pixel_pm:g} pm", changed(pixel_pm=pixel_pm))
    for share in (2 / 3, 0.8, 0.9, 1.0):
        yield Case("band kept", f"{share:.2f} of Nyquist", changed(band_limit=share))
        if share < 1:
            yield Case("band kept", f"{share:.2f} of Nyquist, 7.6 pm", changed(band_limit=share, pixel_pm=7.6))
    for planes, name in (
        (0.5, f"a slice a plane ({plane_pm:.0f} pm)"),
        (1.05, "two planes a slice"),
        (2.1, "three planes a slice"),
    ):
        yield Case("slices", name, changed(slice_pm=planes * plane_pm))
    for slice_pm in (16.7, 48.0, 96.0):
        yield Case(
            "slices", f"slabs of {slice_pm:g} pm (finite projection)", changed(slice_pm=slice_pm, projection="finite")
        )
    half = REFERENCE_POINTS // 2
    for projection, points, slice_pm in (
        ("infinite", REFERENCE_POINTS, PLAIN_SLICE_PM),
        ("infinite", half, 96.0),
        ("infinite", half, round(plane_pm, 1)),
        ("finite", half, PLAIN_SLICE_PM),
    ):
        name = f"{projection}, {points}², {slice_pm:.0f} pm"
        yield Case("abTEM's potentials", name, plain_beam(beam, cell_pm, points, slice_pm), abtem=projection)
    for kind in ("lobato", "kirkland", "peng"):
        if kind != beam.parametrization:
            yield Case("scattering factors", f"{kind}, not {beam.parametrization}", changed(parametrization=kind))
    for precision in ("float64", "float32"):
        yield Case("precision", f"multislice {precision}", changed(precision=precision))
    if phonons:
        snapshots = snapshot_beam(beam, phonons)
        coarse = snapshots.model_copy(update={"pixel_pm": beam.pixel_pm})
        yield Case("vibrating atoms", "coherent wave, with absorption", changed(absorption=True), against="phonons")
        yield Case("vibrating atoms", "Debye-Waller factor alone", changed(absorption=False), against="phonons")
        yield Case("vibrating atoms", f"other {phonons} snapshots", snapshots, against="phonons")
        if coarse != snapshots:
            yield Case("vibrating atoms", f"{phonons} snapshots at {beam.pixel_pm:g} pm", coarse, against="phonons")


def _of_the_optics(beam: Beam, imaging: Imaging, cell_pm: float) -> Iterator[Case]:
    for angle in (30.0, 35.0, 40.0, 45.0, 50.0, 60.0):
        yield Case("aperture and stored angle", f"{angle:g} mrad", optics=Optics(aperture_mrad=angle), against="open")
    for count in (5, 9, 17, 33):
        yield Case("focal average", f"{count} equal steps, ±2", optics=Optics(focal="steps", focal_samples=count))
    for count in (5, 9, 17):
        yield Case("focal average", f"{count} Gauss-Hermite", optics=Optics(focal="hermite", focal_samples=count))
    for count in (5, 6, 7, 8, 9, 10):
        yield Case("focal average", f"{count} modes", optics=Optics(focal_samples=count))
    yield Case("focal average", "modes, automatic", optics=Optics(focal_samples=None))
    yield Case("focal average", f"explicit, {EXPLICIT_STEPS} steps, ±3", optics=explicit())
    yield Case(
        "intensity grid",
        "as chosen for the image spread",
        optics=Optics(least_image_spread_pm=imaging.least_image_spread_pm),
    )
    orders = stored_orders(cell_pm, beam.energy_kev, imaging.aperture_mrad)
    exact = smooth_size(4 * orders + 1)
    sizes = (smooth_size(max(math.ceil(share * orders), 2 * orders + 1)) for share in INTENSITY_SHARES)
    for points in dict.fromkeys((exact, *sizes)):
        name = f"{points}²" + (" (exact)" if points == exact else "")
        yield Case("intensity grid", name, optics=Optics(intensity_points=points))
    yield Case("precision", "optics float32", optics=Optics(precision="float32"))
