"""Signals as RosettaSciIO gives them (``axes`` and ``metadata``) to images: which axis counts frames, and the pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segdepth.micrograph.files import metadata
from segdepth.micrograph.files.recording import MAX_FRAME_PIXELS, StoredImage, why_no_counts, why_no_frames

LARGEST_CHUNK = 8 * MAX_FRAME_PIXELS
"""Bytes of one piece of a chunked array, which is unpacked as a whole."""


def _get(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = tree.get(name) if hasattr(tree, "get") else None
    return tree


def acquisition(said: dict[str, Any]) -> dict[str, float | None]:
    """Exposure in s and energy in keV from HyperSpy's metadata."""
    tem = _get(said, "Acquisition_instrument.TEM")
    places = ("Camera.exposure", "Detector.Camera.exposure", "exposure_time", "Detector.exposure")
    exposure = next((value for place in places if (value := _get(tem, place)) is not None), None)
    return {"exposure_s": metadata.positive(exposure), "energy_kev": metadata.energy_kev(_get(tem, "beam_energy"))}


def _named(axis: dict[str, Any]) -> str:
    return str(axis.get("name") or "").strip().lower()


def frame_axes(axes: list[dict[str, Any]]) -> tuple[int | None, int, int] | None:
    """Places (frame, y, x) of the axes longer than one; None where they are not one image or film.

    The axes named x and y, else the last two.
    """
    long = [i for i, axis in enumerate(axes) if int(axis["size"]) > 1 or not axis.get("navigate", False)]
    if len(long) not in (2, 3):
        return None
    names = [_named(axes[i]) for i in long]
    y, x = (names.index("y"), names.index("x")) if {"x", "y"} <= set(names) else (len(long) - 2, len(long) - 1)
    rest = [i for n, i in enumerate(long) if n not in (y, x)]
    return rest[0] if rest else None, long[y], long[x]


def signal_image(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    axes: list[dict[str, Any]],
    chunks: tuple[int, ...] | None,
    take: Callable[[tuple], np.ndarray],
    said: dict[str, float | None],
    diffraction: bool = False,
) -> StoredImage:
    """An image or film of a chunked array.

    shape, axes, chunks : of the array, in the array's own order of axes; chunks None where it is contiguous.
    take : from an index of the array to its values.
    said : exposure_s and energy_kev.
    """
    signal = sum(not axis.get("navigate", False) for axis in axes)
    wrong = why_no_counts(dtype)
    if not wrong and (len(shape) < 2 or signal == 1):
        wrong = why_no_frames(shape) if len(shape) < 2 else f"spectra {tuple(shape)}, not images"
    order = None if wrong or len(axes) != len(shape) else frame_axes(axes)
    if not wrong and order is None:
        wrong = f"an array of {len(shape)} dimensions {tuple(shape)}; allowed: (y, x) or a film (frame, y, x)"
    if diffraction and not wrong:
        wrong = "diffraction patterns, not images"
    if wrong:
        return StoredImage(name, refusal=wrong)
    frame, y, x = order
    film = (1 if frame is None else int(shape[frame]), int(shape[y]), int(shape[x]))
    piece = int(np.prod([float(n) for n in chunks])) * np.dtype(dtype).itemsize if chunks else 0
    if piece > LARGEST_CHUNK:
        wrong = f"pieces of {piece} bytes, which must be unpacked as a whole; allowed are {LARGEST_CHUNK}"
    pixel_pm, refusal, line = metadata.pixel(
        *(axes[i].get("scale", 0) for i in (y, x)), *(axes[i].get("units") for i in (y, x))
    )
    wrong = wrong or why_no_frames(film) or refusal
    if wrong:
        return StoredImage(name, refusal=wrong)

    def read(index: int) -> np.ndarray:
        where: list[Any] = [0] * len(shape)
        where[y] = where[x] = slice(None)
        if frame is not None:
            where[frame] = index
        taken = np.asarray(take(tuple(where)))
        return taken if y < x else taken.T

    step = None if frame is None else metadata.seconds(axes[frame].get("scale"), axes[frame].get("units"))
    times = metadata.times(film[0], step)
    warnings = (line,) if line else ()
    return StoredImage(name, film, np.dtype(dtype), read, "", pixel_pm, **said, times_s=times, warnings=warnings)
