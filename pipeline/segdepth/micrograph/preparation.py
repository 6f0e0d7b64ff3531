"""From counts to the network's input: the crystal upright, vacuum at large rows and equal to 1, the network's pixel.

``check_frames`` checks a micrograph before anything is computed; ``prepare_frame`` then works on one frame at a time.

Pixels that usable input covers by less than half are filled, to avoid artificial edges, and marked invalid:
outside of the turned frame with the input mirrored at its border (crystal continues as crystal, vacuum as vacuum, noise
as noise); under a mask with a Poisson draw about the local mean (Gaussian-weighted over 300 pm). Pixels that are
covered in part are divided by their coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from segdepth.config import PAPER_PIXEL_PM
from segdepth.errors import ConfigError, MicrographError
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.readers import MAX_FRAME_PIXELS, Recording
from segdepth.micrograph.rebinning import area_means, rebin_electrons
from segdepth.micrograph.vacuum import Vacuum, search_vacuum

LEAST_COVERAGE = 0.5
FILL_WIDTH_PM = 300.0
DOSE_FACTOR = 2.0
"""A warning is given when the micrograph's dose differs from the training's by more than this factor."""

PIXEL_LIMITS_PM = (1.0, 100.0)
NOISE_STREAM = 0x5E6DE
"""First word of the seed of the electrons' places; the second is the frame's number."""


@dataclass(frozen=True)
class Checked:
    """Frames that can be predicted.

    frames : float32 (frame, y, x), 0 where masked. usable : bool (frame, y, x). electrons : whole numbers throughout.
    vacuum : one a frame. warnings : lines for the user.
    """

    frames: np.ndarray
    usable: np.ndarray
    electrons: bool
    vacuum: tuple[Vacuum, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """One preprocessed frame.

    image : float32 (row, column), vacuum = 1. valid : bool (row, column), False where filled.
    transform : from the input's pixels to these. electrons_per_pixel : vacuum level of a network pixel.
    """

    image: np.ndarray
    valid: np.ndarray
    transform: FrameTransform
    electrons_per_pixel: float


def dose_lambda_of(level: float, pixel_pm: float) -> float:
    """Vacuum counts per input pixel as λ, electrons per pixel of the paper (5.28 pm)."""
    return level * (PAPER_PIXEL_PM / pixel_pm) ** 2


def _finite(name: str, value: float | None, low: float, high: float) -> float:
    if value is None or not np.isfinite(value) or not low <= value <= high:
        raise ConfigError(f"{name}: got {value}; allowed: a number from {low:g} to {high:g}")
    return float(value)


def check_geometry(
    shape: tuple[int, int], pixel_pm: float | None, grid_pixel_pm: float, rotation_deg: float = 0.0, flip: bool = False
) -> FrameTransform:
    """The transform from an input (y, x) to the network's pixel.

    Raises
    ------
    ConfigError, MicrographError
        An option is missing or not allowed, or the frame is too large.
    """
    if pixel_pm is None:
        raise ConfigError("no pixel size: give the side of the input's pixel in pm (pixel_pm)")
    pixel_pm = _finite("pixel_pm", pixel_pm, *PIXEL_LIMITS_PM)
    rotation_deg = _finite("rotation_deg", rotation_deg, -360, 360)
    transform = FrameTransform(tuple(shape), pixel_pm, float(grid_pixel_pm), rotation_deg, bool(flip))
    rows, columns = transform.grid_shape
    if rows * columns > MAX_FRAME_PIXELS:
        raise MicrographError(
            f"pixel_pm {pixel_pm:g}: the frame becomes {rows} x {columns} network pixels; at most "
            f"{MAX_FRAME_PIXELS} are allowed, cut the micrograph"
        )
    return transform


MOST_COUNTS = 1e6
"""Largest value of a pixel: more than any camera counts in a frame, and small enough for exact sums."""


def check_frames(
    recording: Recording,
    pixel_pm: float,
    *,
    invalid: float | None = None,
    vacuum_counts: float | None = None,
) -> Checked:
    """Mask pixels, check the counts, and find each frame's vacuum.

    Parameters
    ----------
    invalid : value of masked pixels; NaN or infinite masks every pixel that is not finite.
    vacuum_counts : per input pixel; if None, they are measured in each frame.

    Raises
    ------
    MicrographError
        Not finite or negative outside of the mask, nothing left, no electrons, no vacuum.
    """
    frames, source, warnings = recording.frames, recording.source, list(recording.warnings)
    if vacuum_counts is not None:
        vacuum_counts = _finite("vacuum_counts", vacuum_counts, 1e-6, 1e6)
    if invalid is None:
        usable = np.ones(frames.shape, dtype=bool)
    elif np.isfinite(invalid):
        usable = frames != np.float32(invalid)
    else:
        usable = np.isfinite(frames)
    if invalid is not None and usable.all():
        warnings.append(f"invalid {invalid:g}: no pixel has this value")
    bad = int((usable & ~np.isfinite(frames)).sum())
    if bad:
        raise MicrographError(f"{source}: {bad} pixels are not finite; mask them with invalid = nan")
    huge = int((usable & (frames > MOST_COUNTS)).sum())
    if huge:
        raise MicrographError(
            f"{source}: {huge} pixels are above {MOST_COUNTS:g}; these are no counts (mask a value with invalid)"
        )
    negative = int((usable & (frames < 0)).sum())
    if negative:
        raise MicrographError(f"{source}: {negative} pixels are negative; counts are not (mask a value with invalid)")
    for number, mask in enumerate(usable):
        if not mask.any():
            raise MicrographError(f"{source}: every pixel of frame {number} is masked by invalid {invalid:g}")
    frames = np.where(usable, frames, np.float32(0))
    for number, frame in enumerate(frames):
        if not frame.any():
            raise MicrographError(f"{source}: frame {number} holds no counts, all usable pixels are 0")
    electrons = all(bool((frame == np.rint(frame)).all()) for frame in frames)
    if vacuum_counts is not None:
        vacuum = (Vacuum(vacuum_counts),) * len(frames)
    else:
        vacuum = tuple(
            _vacuum_of(frame, mask, pixel_pm, f"{source}, frame {i}")
            for i, (frame, mask) in enumerate(zip(frames, usable))
        )
    if not electrons:
        warnings.append(
            "the values are not whole numbers: area means are taken, which correlates the noise of "
            "neighbours a little; give raw electron counts where there are any"
        )
    dispersion = np.array([v.dispersion for v in vacuum])
    if electrons and np.any((dispersion < 0.7) | (dispersion > 1.4)):
        warnings.append(
            f"variance/mean in the vacuum is {np.nanmedian(dispersion):.2f}, not 1: the counts are not single electrons"
        )
    return Checked(frames, usable, electrons, vacuum, tuple(warnings))


def _vacuum_of(frame: np.ndarray, usable: np.ndarray, pixel_pm: float, what: str) -> Vacuum:
    found = search_vacuum(frame, usable, pixel_pm)
    if found.vacuum is None:
        raise MicrographError(f"{what}: {found.reason}")
    return found.vacuum


def compare_dose(vacuum: tuple[Vacuum, ...], transform: FrameTransform, doses: tuple[float, float]) -> list[str]:
    """Warnings if dose or pixel differ from what the network was trained for (λ in ``doses``)."""
    warnings = []
    mine = dose_lambda_of(float(np.median([v.level for v in vacuum])), transform.pixel_pm)
    low, high = doses
    if not low / DOSE_FACTOR <= mine <= high * DOSE_FACTOR:
        trained = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        warnings.append(
            f"the micrograph's dose is lambda = {mine:.3g} electrons per 5.28 pm pixel, the network was trained at "
            f"{trained}: its depths and confidences are less certain"
        )
    if transform.pixel_pm > 1.05 * transform.grid_pixel_pm:
        warnings.append(
            f"the input's pixel ({transform.pixel_pm:g} pm) is coarser than the network's "
            f"({transform.grid_pixel_pm:.4g} pm)"
        )
    return warnings


def _local_mean(image: np.ndarray, valid: np.ndarray, width_px: float) -> np.ndarray:
    """Gaussian-weighted mean of the valid pixels around each pixel; far from all of them the mean of all."""
    weight = ndimage.gaussian_filter(valid.astype(float), width_px, mode="constant")
    total = ndimage.gaussian_filter(np.where(valid, image, 0.0), width_px, mode="constant")
    overall = image[valid].mean() if valid.any() else 1.0
    return np.where(weight > 1e-6, total / np.maximum(weight, 1e-6), overall)


def _mirrored(transform: FrameTransform) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which network pixels lie outside of the input, and the (row, column) that mirroring at its border leads to."""
    (rows, columns), (height, width), pixel = transform.grid_shape, transform.size_pm, transform.grid_pixel_pm
    v, u = (np.arange(rows)[:, None] + 0.5) * pixel, (np.arange(columns)[None, :] + 0.5) * pixel
    x, y = transform.inverse(u, v)
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)

    def fold(values: np.ndarray, length: float) -> np.ndarray:
        return length - np.abs(np.mod(values[outside], 2 * length) - length)

    u, v = transform.forward(fold(x, width), fold(y, height))
    row = np.clip(np.floor(v / pixel).astype(int), 0, rows - 1)
    column = np.clip(np.floor(u / pixel).astype(int), 0, columns - 1)
    return outside, row, column


def prepare_frame(
    frame: np.ndarray, usable: np.ndarray, level: float, transform: FrameTransform, *, electrons: bool, number: int = 0
) -> Prepared:
    """One frame on the network's grid.

    Parameters
    ----------
    frame : (y, x) counts, 0 where masked. usable : (y, x) bool.
    level : vacuum counts per input pixel.
    electrons : the counts are whole numbers: re-bin them one by one; else take area means.
    number : of the frame; seeds the electrons' places, so that a run can be repeated bit for bit.
    """
    rng = np.random.default_rng([NOISE_STREAM, number])
    per_pixel = level * (transform.grid_pixel_pm / transform.pixel_pm) ** 2
    mean, coverage = area_means(frame, usable, transform)
    valid = coverage >= LEAST_COVERAGE
    if electrons:
        image = rebin_electrons(frame, transform, rng) / (per_pixel * np.maximum(coverage, LEAST_COVERAGE))
    else:
        image = mean / level
    outside, row, column = _mirrored(transform)
    if not valid.all():
        local = _local_mean(image, valid, FILL_WIDTH_PM / transform.grid_pixel_pm)
        drawn = rng.poisson(local * per_pixel) / per_pixel if electrons else local
        image = np.where(valid, image, drawn)
        image[outside & ~valid] = image[row, column][~valid[outside]]
    return Prepared(image.astype(np.float32), valid, transform, per_pixel)
