"""What is measured on one frame, real or simulated alike: its vacuum, its lattice's peaks, its column contrast.

Must not know whether the frame is real, nor what it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segdepth.errors import ConfigError
from segdepth.micrograph.contrast import Contrast, column_contrast
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.lattice_peaks import (
    REFLECTIONS,
    STRONG,
    Peak,
    border_distance,
    distortion,
    expected_frequencies,
    find_peaks,
    quadrant_peaks,
    spacing_pm,
    unexpected_peak,
    upright_frequency,
)
from segdepth.micrograph.local_lattice import crystal_area
from segdepth.micrograph.vacuum import find_vacuum_area, neighbour_correlation

LEAST_SIDE_PM = 1000.0
LEAST_REACH_PM = 200.0
"""Half the width that the crystal must have somewhere: less holds no fringe but one."""

LARGEST_PIXEL_PM = 60.0
"""Three pixels a fringe of 2-20."""


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
    """crystal : (y, x) bool, where it was measured. expected : frequencies on the frame's pixels. peaks : by name."""

    crystal: np.ndarray
    expected: dict[str, tuple[float, float]]
    peaks: dict[str, Peak]


@dataclass(frozen=True)
class Measured:
    """A frame and all that is measured on it."""

    frame: Frame
    lattice: Lattice
    contrast: Contrast


def measure_lattice(frame: Frame, lattice_pm: float) -> Lattice:
    """Crystal and peaks.

    Raises
    ------
    ConfigError
        The frame or its crystal is too small, or shows no such lattice.
    """
    rows, columns = frame.counts.shape
    if min(rows, columns) * frame.pixel_pm < LEAST_SIDE_PM:
        raise ConfigError(
            f"the frame is too small ({rows} x {columns} pixels of {frame.pixel_pm:g} pm); "
            f"its sides must be {LEAST_SIDE_PM / 1000:g} nm at least"
        )
    if frame.pixel_pm > LARGEST_PIXEL_PM:
        raise ConfigError(
            f"the pixel ({frame.pixel_pm:g} pm) is too coarse for fringes of "
            f"{spacing_pm('2-20', lattice_pm):.0f} pm; at most {LARGEST_PIXEL_PM:g} pm are allowed"
        )
    expected = expected_frequencies(frame.transform, lattice_pm)
    crystal = crystal_area(frame.counts, frame.usable, [expected[name] for name in STRONG], frame.pixel_pm)
    peaks = find_peaks(frame.counts, crystal, expected, frame.pixel_pm, frame.gain) if crystal.any() else {}
    wrong = "are pixel size and rotation right?"
    if not peaks or not all(peaks[name].seen for name in STRONG):
        raise ConfigError(f"the lattice of CeO2 along [110] (both {{111}} peaks) was not found; {wrong}")
    reach = border_distance(crystal).max() * frame.pixel_pm
    if reach < LEAST_REACH_PM:
        raise ConfigError(f"the lattice shows on {2 * reach / 1000:.2f} nm only, which is too little; {wrong}")
    return Lattice(crystal, expected, peaks)


def check_strongest(frame: Frame, lattice: Lattice) -> None:
    """A side lobe of another lattice must not pass for ours.

    Raises
    ------
    ConfigError
        The frame's strongest fringes are none of the lattice's.
    """
    other = unexpected_peak(frame.counts, lattice.crystal, lattice.expected, frame.pixel_pm)
    if other is not None:
        angle = np.degrees(np.arctan2(*other.frequency[::-1]))
        raise ConfigError(
            f"its strongest fringes, {other.d_pm:.0f} pm apart, their wave vector {angle:.0f}° from x towards y, "
            "are none of CeO2 along [110] turned like this; are pixel size and rotation right?"
        )


def measure_contrast(frame: Frame, lattice: Lattice, lattice_pm: float) -> Contrast:
    """Contrast of the crystal in which the lattice was measured."""
    frequencies = [lattice.peaks[name].frequency for name in STRONG]
    return column_contrast(
        frame.counts, lattice.crystal, frequencies, frame.pixel_pm, frame.level, lattice_pm, frame.gain
    )


def describe_vacuum(frame: Frame) -> dict[str, float | None] | None:
    """Mean (counts per pixel), variance/mean and neighbours' correlation in the vacuum; None where none is found.

    Correlations are None where the counts do not vary.
    """
    try:
        vacuum, area = find_vacuum_area(frame.counts, frame.usable, frame.pixel_pm)
    except ConfigError:
        return None
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


def describe_lattice(frame: Frame, lattice: Lattice, lattice_pm: float) -> dict[str, object]:
    """Every peak, what the quadrants say, the angle between the {111} peaks, and the distortion that is left."""
    quadrants = quadrant_peaks(frame.counts, lattice.crystal, lattice.expected, frame.pixel_pm, frame.gain)
    peaks: dict[str, object] = {}
    for name, peak in lattice.peaks.items():
        ideal = spacing_pm(name, lattice_pm)
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
            "lattice_frequency_per_nm": [1000 * g for g in upright_frequency(name, lattice_pm)],
        }
    first, second = (np.array(lattice.peaks[name].frequency) for name in STRONG)
    angle = np.degrees(np.arccos(first @ second / np.hypot(*first) / np.hypot(*second)))
    ideal_first, ideal_second = (np.array(upright_frequency(name, lattice_pm)) for name in STRONG)
    seen = tuple(name for name in REFLECTIONS if lattice.peaks[name].seen)
    strong = [part for part in quadrants if all(part[name].seen for name in STRONG)]
    pixels = [distortion(part, frame.transform, lattice_pm).pixel_pm for part in strong]
    return {
        "peaks": peaks,
        "angle_deg": float(angle),
        "lattice_angle_deg": float(np.degrees(np.arccos(ideal_first @ ideal_second / (ideal_first @ ideal_first)))),
        "from_111": vars(distortion(lattice.peaks, frame.transform, lattice_pm)) | {"quadrants_pixel_pm": pixels},
        "from_all": vars(distortion(lattice.peaks, frame.transform, lattice_pm, seen)) | {"reflections": list(seen)},
        "crystal_share": float(lattice.crystal.mean()),
    }
