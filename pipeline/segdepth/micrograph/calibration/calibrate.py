"""The network's crystal in a micrograph: turn, pixel, distortion, the grain that is used; or what was found instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.calibration.grains import away_from, border_direction
from segdepth.micrograph.calibration.matching import LEAST_SHARE, Match, evidence_of, match_lattice
from segdepth.micrograph.calibration.refinement import Similarity, fit_similarity
from segdepth.micrograph.calibration.spectrum import Spots, find_spots
from segdepth.micrograph.drift import Drift, Shift, binned, moved
from segdepth.micrograph.lattice_peaks import Peak, Windowed, border_window
from segdepth.micrograph.phase_analysis import amplitude_map, largest_area

LEAST_SIDE_PM = 900.0
LEAST_PIXEL_PM = 25.0
"""What a pixel is taken for where none is known, to ask whether a frame is large enough."""

FINEST_PM = 1.0
"""The smallest pixel that is sought."""

TAG_FACTOR = 1.3
"""A pixel that is given may be off by this factor; a lattice whose pixel is farther off is another crystal's."""

TOLD_SHARE = 0.02
"""Difference between the lattice's pixel and the one that was given from which on it is said."""

TOLD_GRAIN = 0.005
"""Share of the frame from which on another grain is told."""

WORKING_SIDE = 768
"""Frames are binned to sides of at most so many pixels."""

COARSEST_PM = 24.0
"""Pixel on which the area and its peaks are measured, about."""

BORDER_PM = 150.0
"""Smoothing before the direction of the crystal's border is measured."""

REACH = 0.06
"""Search radius of a peak around its place, over its length."""

HIGHEST_WAVES = 0.35
"""Waves a pixel of a peak that is measured, at most."""

WAVES = 4
"""Waves whose amplitudes show where the crystal is."""

MOST_PEAKS = 8
MOST_GRAINS = 3
"""Other grains that are looked for."""

PIXEL_AGREES = 1.04
"""Factor by which other grains' pixels may differ."""

OTHER_SHARE = 0.1
"""Evidence of another grain over the largest one's, at least."""


@dataclass(frozen=True)
class Calibration:
    """What the lattice says of a micrograph.

    pixel_pm, pixel_error_pm : side of a pixel of the file, and its standard error.
    rotation_deg, rotation_error_deg : turn that brings the crystal upright (``FrameTransform.rotation_deg``).
    elongation, elongation_error : see ``refinement.Similarity``.
    area : (y, x) bool, the crystal where it is in the first frame, on the file's pixels. others : (y, x) bool, other
    grains there. shifts : by how many of the file's pixels (y, x) each frame is moved onto the first one.
    lines : for the user.
    """

    pixel_pm: float
    pixel_error_pm: float
    rotation_deg: float
    rotation_error_deg: float
    elongation: float | None
    elongation_error: float | None
    area: np.ndarray
    others: np.ndarray
    shifts: tuple[Shift, ...]
    lines: tuple[str, ...]


def calibrate(
    frames: Sequence[tuple[np.ndarray, np.ndarray]],
    crystal: Crystal,
    *,
    pixel_pm: float | None = None,
    rotation_deg: float | None = None,
    coarsest_pm: float = 60.0,
) -> Calibration:
    """Find the crystal's lattice in one or several frames of a micrograph.

    Parameters
    ----------
    frames : (values, usable), both (y, x); values in any linear unit.
    pixel_pm : what file or user say; the lattice may be off by ``TAG_FACTOR``.
    rotation_deg : turn that the user gives; only the pixel is then sought.
    coarsest_pm : the largest pixel that is sought.

    Raises
    ------
    MicrographError
        The lattice is not there: what was found instead.
    """
    shape = frames[0][0].shape
    factor = -(-max(shape) // WORKING_SIDE)  # not by the given pixel: what it says must not change what is found
    fine = [binned(values, usable, factor) for values, usable in frames]
    given = None if pixel_pm is None else pixel_pm * factor
    limits = (FINEST_PM * factor, coarsest_pm * factor)
    if given is not None:
        limits = (max(given / TAG_FACTOR, limits[0]), min(given * TAG_FACTOR, limits[1]))
    side = min(shape) * (LEAST_PIXEL_PM if pixel_pm is None else pixel_pm)
    if side < LEAST_SIDE_PM:
        raise MicrographError(
            f"the frame is too small for a lattice search: {shape[0]} x {shape[1]} pixels; its sides must be "
            f"{LEAST_SIDE_PM / 1000:g} nm at least"
        )
    spots = find_spots(fine)
    grains = find_grains(spots, crystal, limits)
    try:
        check_grains(spots, grains, crystal, given)
    except MicrographError as failure:
        raise MicrographError(f"{failure}{_other_pixel(spots, crystal, given, factor, coarsest_pm)}") from None
    more = max(1, int(COARSEST_PM / grains[0].pixel_pm))
    coarse = [binned(*frame, more) for frame in fine]
    drift = Drift(grains[0].pixel_pm * more)
    shifts = [drift.onto_first(*frame, spots.variance / more**2) for frame in coarse] if len(coarse) > 1 else [(0, 0)]
    values, usable = _mean([(moved(values, by), moved(usable, by)) for (values, usable), by in zip(coarse, shifts)])
    spots, factor = replace(spots.coarser(more), variance=spots.variance / more**2 / len(frames)), factor * more
    grains = [grain.coarser(more) for grain in grains]
    match = grains[0]
    area, others, lines = _areas(values, usable, spots, grains, crystal)
    across = border_direction(area, usable, BORDER_PM / match.pixel_pm)
    peaks = _peaks(values, area, spots, match, crystal) if area.any() else {}
    if len(peaks) < 2:
        raise MicrographError(f"no {crystal.title} lattice found: its spots are too faint to be measured")
    found = fit_similarity(peaks, crystal, match.pixel_pm, across)
    pixel = abs(found.a) / factor
    rotation, rotation_error = rotation_deg, 0.0
    if rotation is None:
        rotation = _upright(-float(np.degrees(np.angle(found.a))), area, usable & ~area & ~others, crystal)
        rotation_error = float(np.degrees(found.error))
    return Calibration(
        pixel,
        pixel * found.error,
        rotation,
        rotation_error,
        found.elongation,
        found.elongation_error,
        _spread(area, factor, shape),
        _spread(others, factor, shape),
        tuple((y * factor, x * factor) for y, x in shifts),
        (*lines, *_told(found, pixel, pixel_pm, crystal)),
    )


def _told(found: Similarity, pixel: float, given: float | None, crystal: Crystal) -> list[str]:
    """Lines on the pixel and the distortion."""
    lines = []
    if given is not None and abs(pixel / given - 1) > max(TOLD_SHARE, 3 * found.error):
        lines.append(
            f"the lattice gives {pixel:.4g} pm a pixel, {100 * (pixel / given - 1):+.1f} % from the {given:.4g} pm "
            f"that was given; the lattice's is used. If the given one is right, this is no {crystal.title}"
        )
    if found.elongation is not None and found.elongation > max(TOLD_SHARE, 3 * found.elongation_error):
        lines.append(
            f"the lattice is stretched by {100 * found.elongation:.1f} ± {100 * found.elongation_error:.1f} % in one "
            "direction; it is not undone"
        )
    return lines


def _spread(area: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    """From working pixels to the file's."""
    large = np.kron(area, np.ones((factor, factor), dtype=bool)) if factor > 1 else area
    missing = [(0, max(0, side - have)) for side, have in zip(shape, large.shape)]
    return np.pad(large, missing, mode="edge")[: shape[0], : shape[1]]


def _mean(frames: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the frames' usable pixels, and which are usable in any."""
    number = np.sum([usable for _, usable in frames], axis=0)
    total = np.sum([np.where(usable, values, 0) for values, usable in frames], axis=0)
    return total / np.maximum(number, 1), number > 0


def find_grains(spots: Spots, crystal: Crystal, limits: tuple[float, float]) -> list[Match]:
    """The crystal's lattices that the spots show, the one with most evidence first; empty if there is none."""
    first = match_lattice(spots, crystal, limits)
    if first is None:
        return []
    grains, free = [first], ~first.explained
    while len(grains) <= MOST_GRAINS:
        pixels = (first.pixel_pm / PIXEL_AGREES, first.pixel_pm * PIXEL_AGREES)
        other = match_lattice(spots, crystal, pixels, free)
        if other is None or other.evidence < OTHER_SHARE * first.evidence:
            break
        grains.append(other)
        free &= ~other.explained
    return grains


def check_grains(spots: Spots, grains: Sequence[Match], crystal: Crystal, pixel_pm: float | None) -> None:
    """The lattices found must explain the strongest spot and most of all.

    Raises
    ------
    MicrographError
        What was found instead.
    """
    sure = spots.ratio >= spots.sure
    if not sure.any():
        raise MicrographError(f"no {crystal.title} lattice found: the frame shows no lattice at all, only noise")
    explained = np.any([grain.explained for grain in grains], axis=0) if grains else np.zeros(len(spots), dtype=bool)
    evidence = np.where(sure, evidence_of(spots), 0)
    if not explained[0] or evidence[explained].sum() < LEAST_SHARE * evidence.sum():
        raise MicrographError(f"no {crystal.title} lattice found: {_described(spots, pixel_pm)}")


def _other_pixel(spots: Spots, crystal: Crystal, given: float | None, factor: int, coarsest_pm: float) -> str:
    """What to say where a pixel far from the given one would make the spots the crystal's; else nothing."""
    if given is None:
        return ""
    grains = find_grains(spots, crystal, (FINEST_PM * factor, coarsest_pm * factor))
    try:
        check_grains(spots, grains, crystal, None)
    except MicrographError:
        return ""
    return (
        f"; a pixel of {grains[0].pixel_pm / factor:.3g} pm would make it one: if that is right, give it (--pixel-pm)"
    )


def _described(spots: Spots, pixel_pm: float | None) -> str:
    """The strongest spots' spacings and directions."""
    unit = "pixels" if pixel_pm is None else "pm"
    shown = []
    sure = spots.ratio >= spots.sure
    sure[sure] &= ~((spots.frequency[sure, 0] < 1e-9) & (spots.frequency[sure, 1] < 0))  # of a Friedel pair one
    for place in spots.frequency[sure][:4]:
        spacing = (pixel_pm or 1) / np.hypot(*place)
        shown.append(f"{spacing:.3g} {unit} at {np.degrees(np.arctan2(place[1], place[0])):.0f}°")
    which = "its only spacing is" if sure.sum() == 1 else "its strongest spacings are"
    asked = "" if pixel_pm is not None else "; no pixel is known, give it with --pixel-pm"
    return f"{which} {', '.join(shown)} (wave vector from x towards y){asked}"


def _areas(
    values: np.ndarray, usable: np.ndarray, spots: Spots, grains: Sequence[Match], crystal: Crystal
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The area of the first grain, of the others together, and what to say."""
    amplitudes = [_amplitude(values, usable, spots, grain, crystal) for grain in grains]
    noise = float(np.quantile(amplitudes[0][usable], 0.05))
    others = np.zeros(usable.shape, dtype=bool)
    lines: list[str] = []
    for grain, amplitude in zip(grains[1:], amplitudes[1:]):
        here = largest_area(np.where(amplitude > amplitudes[0], amplitude, 0), usable, noise)
        others |= here
        turn = (grain.turn_deg - grains[0].turn_deg + 90) % 180 - 90
        if here.mean() < TOLD_GRAIN:
            continue
        lines.append(
            f"another grain, turned by {turn:.0f}°, covers {100 * here.mean():.0f} % of the frame; it is masked"
        )
    return largest_area(amplitudes[0], usable) & ~others, others, lines


def _amplitude(values: np.ndarray, usable: np.ndarray, spots: Spots, match: Match, crystal: Crystal) -> np.ndarray:
    """Local amplitude (y, x) of the strongest waves of a match: which these are depends on the defocus."""
    waves = [(g.real, g.imag) for g in list(_waves(spots, match, crystal).values())[:WAVES]]
    return amplitude_map(values, usable, waves, match.pixel_pm)


def _waves(spots: Spots, match: Match, crystal: Crystal) -> dict[tuple[int, int], complex]:
    """Frequency, 1/pm in the frame, of the explained orders, strongest first; one of each Friedel pair."""
    pair = [complex(*crystal.frequency(name)) * match.a / match.pixel_pm for name in crystal.reflection_pair]
    found: dict[tuple[int, int], complex] = {}
    for h, k in match.orders[match.explained & (spots.ratio >= spots.likely)].tolist():
        g = h * pair[0] + k * pair[1]
        if (h, k) not in found and (-h, -k) not in found and abs(g) * match.pixel_pm <= HIGHEST_WAVES:
            found[h, k] = g
    return found


def _peaks(
    values: np.ndarray, area: np.ndarray, spots: Spots, match: Match, crystal: Crystal
) -> dict[tuple[int, int], Peak]:
    """The peaks of the strongest orders, in the crystal's area."""
    sigma = float(np.sqrt(spots.variance))
    # a mean of 10 sigma and a gain of sigma / 10 have the noise's variance, whatever the values' unit and offset
    level = values - values[area].mean() + 10 * sigma
    part = Windowed(level, border_window(area), area, match.pixel_pm, sigma / 10)
    waves = list(_waves(spots, match, crystal).items())[:MOST_PEAKS]
    peaks = {order: part.peak((g.real, g.imag), REACH) for order, g in waves}
    return {order: peak for order, peak in peaks.items() if peak.seen}


def _upright(rotation_deg: float, area: np.ndarray, rest: np.ndarray, crystal: Crystal) -> float:
    """Of the turns that bring the lattice onto itself, the one that brings the vacuum to +y; in (-180, 180]."""
    away = away_from(area, rest)
    turns = [0, 180] + ([90, 270] if crystal.four_fold else [])
    if away is None:
        return (rotation_deg + 90) % 180 - 90
    best = max(turns, key=lambda turn: (away * np.exp(1j * np.radians(rotation_deg + turn))).imag)
    return (rotation_deg + best + 180) % 360 - 180
