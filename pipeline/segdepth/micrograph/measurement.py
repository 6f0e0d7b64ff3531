"""Measurements on one frame, real or simulated: vacuum, lattice peaks, column contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.contrast import Contrast, column_contrast
from segdepth.micrograph.electrons.correlation import neighbour_correlation
from segdepth.micrograph.electrons.vacuum import search_vacuum
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.lattice_peaks import (
    Peak,
    border_distance,
    distortion,
    expected_frequencies,
    find_peaks,
    quadrant_peaks,
    unexpected_peak,
)
from segdepth.micrograph.phase_analysis import crystal_area

LEAST_SIDE_PM = 1000.0
LEAST_REACH_PM = 200.0
"""Least half width of the crystal at its widest: a smaller one has a single fringe."""

LEAST_FRINGE_PIXELS = 3.0
"""Pixels a fringe of the narrowest spacing."""


@dataclass(frozen=True)
class Frame:
    """counts : (y, x), 0 where masked. usable : (y, x) bool. transform : what turns it upright. level : counts per
    pixel in vacuum. gain : variance over mean of the noise, 1 for electrons."""

    counts: np.ndarray
    usable: np.ndarray
    transform: FrameTransform
    level: float
    gain: float = 1.0

    @property
    def pixel_pm(self) -> float:
        return self.transform.pixel_pm


@dataclass(frozen=True)
class Lattice:
    """area : (y, x) bool, where it was measured. expected : frequencies on the frame's pixels. peaks : by name."""

    area: np.ndarray
    expected: dict[str, tuple[float, float]]
    peaks: dict[str, Peak]


@dataclass(frozen=True)
class LatticeSearch:
    """``lattice``, or None and ``reason``, why none was found."""

    lattice: Lattice | None = None
    reason: str = ""


@dataclass(frozen=True)
class Measured:
    """A frame and all that is measured on it."""

    frame: Frame
    lattice: Lattice
    contrast: Contrast


def search_lattice(frame: Frame, crystal: Crystal) -> LatticeSearch:
    """The crystal's lattice in a frame, if it is there."""
    rows, columns = frame.counts.shape
    if min(rows, columns) * frame.pixel_pm < LEAST_SIDE_PM:
        return LatticeSearch(
            reason=f"the frame is too small ({rows} x {columns} pixels of {frame.pixel_pm:g} pm); "
            f"its sides must be {LEAST_SIDE_PM / 1000:g} nm at least"
        )
    narrowest = min(crystal.spacing_pm(r.name) for r in crystal.reflections)
    if frame.pixel_pm * LEAST_FRINGE_PIXELS > narrowest:
        return LatticeSearch(
            reason=f"the pixel ({frame.pixel_pm:g} pm) is too coarse for fringes of {narrowest:.0f} pm; "
            f"at most {narrowest / LEAST_FRINGE_PIXELS:.0f} pm are allowed"
        )
    expected = expected_frequencies(frame.transform, crystal)
    pair = crystal.reflection_pair
    area = crystal_area(frame.counts, frame.usable, [expected[name] for name in pair], frame.pixel_pm)
    peaks = find_peaks(frame.counts, area, expected, frame.pixel_pm, frame.gain) if area.any() else {}
    wrong = "are pixel size and rotation right?"
    if not peaks or not all(peaks[name].seen for name in pair):
        return LatticeSearch(
            reason=f"the lattice of {crystal.title} (its peaks {' and '.join(pair)}) was not found; {wrong}"
        )
    reach = border_distance(area).max() * frame.pixel_pm
    if reach < LEAST_REACH_PM:
        return LatticeSearch(
            reason=f"the lattice shows on {2 * reach / 1000:.2f} nm only, which is too little; {wrong}"
        )
    return LatticeSearch(Lattice(area, expected, peaks))


def check_strongest(frame: Frame, lattice: Lattice, crystal: Crystal) -> None:
    """The frame's strongest fringes must be the lattice's, so that a side lobe of another lattice is not taken for it.

    Raises
    ------
    MicrographError
        They are not.
    """
    other = unexpected_peak(frame.counts, lattice.area, lattice.expected, frame.pixel_pm)
    if other is not None:
        angle = np.degrees(np.arctan2(*other.frequency[::-1]))
        raise MicrographError(
            f"its strongest fringes, {other.d_pm:.0f} pm apart, their wave vector {angle:.0f}° from x towards y, "
            f"are none of {crystal.title} turned like this; are pixel size and rotation right?"
        )


def measure_contrast(frame: Frame, lattice: Lattice, crystal: Crystal) -> Contrast:
    """Contrast of the area in which the lattice was measured."""
    frequencies = [lattice.peaks[name].frequency for name in crystal.reflection_pair]
    return column_contrast(frame.counts, lattice.area, frequencies, frame.pixel_pm, frame.level, crystal, frame.gain)


def describe_vacuum(frame: Frame) -> dict[str, float | None] | None:
    """Mean (counts per pixel), variance/mean and neighbours' correlation in the vacuum; None where none is found.

    Correlations are None where the counts do not vary.
    """
    found = search_vacuum(frame.counts, frame.usable, frame.pixel_pm)
    if found.vacuum is None or found.area is None:
        return None
    vacuum, area = found.vacuum, found.area
    number = int(area.sum())
    along_y, along_x = neighbour_correlation(frame.counts, area)
    return {
        "pixels": number,
        "share": vacuum.share,
        "mean": vacuum.level,
        "mean_error": float(np.sqrt(vacuum.level * vacuum.dispersion / number)),
        "variance_over_mean": vacuum.dispersion,
        "variance_over_mean_error": float(vacuum.dispersion * np.sqrt((2 + 1 / vacuum.level) / number)),
        "correlation_y": along_y,
        "correlation_x": along_x,
        "correlation_error": float(1 / np.sqrt(number)),
    }


def describe_lattice(frame: Frame, lattice: Lattice, crystal: Crystal) -> dict[str, object]:
    """Every peak, its values in the quadrants, the angle between the pair's peaks, and the remaining distortion."""
    pair = crystal.reflection_pair
    quadrants = quadrant_peaks(frame.counts, lattice.area, lattice.expected, frame.pixel_pm, frame.gain)
    peaks: dict[str, object] = {}
    for name, peak in lattice.peaks.items():
        ideal = crystal.spacing_pm(name)
        parts = [part[name].d_pm / ideal - 1 for part in quadrants if part[name].seen]
        peaks[name] = {
            "d_pm": peak.d_pm,
            "lattice_d_pm": ideal,
            "deviation": peak.d_pm / ideal - 1,
            "noise": peak.noise_pm / ideal,
            "signal_over_noise": peak.signal,
            "seen": bool(peak.seen),
            "quadrants": parts,
            # what four parts scatter by, over √4, is how far the whole may be off
            "scatter": float(np.std(parts, ddof=1) / np.sqrt(len(parts))) if len(parts) > 1 else None,
            "frequency_per_nm": [1000 * g for g in frame.transform.turned(*peak.frequency)],
            "lattice_frequency_per_nm": [1000 * g for g in crystal.frequency(name)],
        }
    first, second = (np.array(lattice.peaks[name].frequency) for name in pair)
    ideal_first, ideal_second = (np.array(crystal.frequency(name)) for name in pair)
    seen = tuple(name for name in lattice.peaks if lattice.peaks[name].seen)
    strong = [part for part in quadrants if all(part[name].seen for name in pair)]
    pixels = [distortion(part, frame.transform, crystal).pixel_pm for part in strong]
    return {
        "peaks": peaks,
        "angle_deg": _angle_deg(first, second),
        "lattice_angle_deg": _angle_deg(ideal_first, ideal_second),
        "from_pair": vars(distortion(lattice.peaks, frame.transform, crystal)) | {"quadrants_pixel_pm": pixels},
        "from_all": vars(distortion(lattice.peaks, frame.transform, crystal, seen)) | {"reflections": list(seen)},
        "crystal_share": float(lattice.area.mean()),
    }


def _angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.degrees(np.arccos(first @ second / np.hypot(*first) / np.hypot(*second))))
