"""A film before it is predicted: bad pixels, lattice, vacuum, camera and light, found once from a few of its frames.

``inspect_film`` checks everything that can be wrong before anything is computed, and tells the user what it found.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from segdepth.config.micrograph import Reading
from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.calibration.calibrate import TAG_FACTOR, Calibration, calibrate
from segdepth.micrograph.drift import moved
from segdepth.micrograph.electrons.bad_pixels import find_bad_pixels
from segdepth.micrograph.electrons.camera import SINGLE_ELECTRONS, Camera, dose_e_per_a2, find_camera, to_electrons
from segdepth.micrograph.electrons.flat_patches import find_flat_patches
from segdepth.micrograph.electrons.light import describe_light, find_light
from segdepth.micrograph.electrons.masks import Masked, mask_frame
from segdepth.micrograph.electrons.vacuum import search_vacuum, vacuum_level
from segdepth.micrograph.files.recording import MAX_FRAME_PIXELS, FrameLost, Recording
from segdepth.micrograph.geometry import FrameTransform

SAMPLE = 5
"""Frames, evenly spread over a film, from which camera and lattice are found."""

COARSEST_SHARE = 1.5
"""Pixel of a file over the network's, at most."""

CRYSTAL_BRIGHTNESS = 0.985
"""Mean of a crystal's image over its vacuum's, where no vacuum is in the field: 0.984 ± 0.009 over 63 simulated frames
of 3 to 10 atoms at C1 = 1 … 9 nm; what an energy filter or an objective aperture takes is not in it."""


DOSE_AGREES = 1.1
"""Factor between the vacuum's dose and one that is given from which on it is said."""

DOSE_FOUND = 0.1
"""Error of the dose that the values tell, up to which a given dose does not tell the gain."""


@dataclass(frozen=True)
class Film:
    """What is known of a film.

    bad : (y, x) bool, pixels that give no electrons. calibration : None if it was not wanted. transform : from the
    film's pixels to the network's. vacuum, crystal_area : (y, x) bool, where they are in the first frame, or None where
    there is none. vacuum_pixels : (y, x) bool, those that vacuum is on in most frames, wherever the crystal drifts, or
    None. level : electrons a pixel in the vacuum of the sample. dose_from : where the dose comes from. lines : for the
    user.
    """

    recording: Recording
    invalid: float | None
    bad: np.ndarray
    camera: Camera
    light: np.ndarray | None
    calibration: Calibration | None
    transform: FrameTransform
    vacuum: np.ndarray | None
    crystal_area: np.ndarray | None
    vacuum_pixels: np.ndarray | None
    level: float
    dose_from: str
    given_level: float | None
    pixel_from: str
    lines: tuple[str, ...]

    @property
    def dose(self) -> float:
        """Electrons per Å² and frame, in vacuum."""
        return self.dose_of(self.level)

    def dose_of(self, level: float) -> float:
        """Electrons per Å² of a vacuum level; there were more where electrons are left out to make the light even."""
        thinned = 1.0 if self.light is None or not self.camera.whole else float(self.light.min())
        return dose_e_per_a2(level / thinned, self.transform.pixel_pm)

    def electrons_of(self, raw: np.ndarray) -> tuple[np.ndarray, Masked]:
        """Electrons (y, x) float32 of a frame as stored, 0 where masked; and its mask.

        Raises
        ------
        FrameLost
            The frame is empty.
        """
        masked = mask_frame(raw, self.invalid, self.bad)
        return to_electrons(masked, self.camera, self.light), masked

    def level_of(self, electrons: np.ndarray, usable: np.ndarray) -> float:
        """Electrons a pixel in vacuum of one frame (y, x).

        Raises
        ------
        FrameLost
            Nothing was counted.
        """
        if self.given_level is not None:
            return self.given_level
        if self.vacuum_pixels is not None:
            level = vacuum_level(electrons, usable, self.vacuum_pixels)
        else:
            area = usable if self.crystal_area is None else self.crystal_area & usable
            level = float(electrons[area].mean()) / CRYSTAL_BRIGHTNESS if area.any() else 0.0
        if not level > 0:
            raise FrameLost("it has no electrons where the vacuum is")
        return level


def sample_frames(recording: Recording, invalid: float | None) -> list[Masked]:
    """Some frames spread over a film, masked, from the first one that can be read; others that cannot are passed over.

    Raises
    ------
    MicrographError
        No frame can be read.
    """
    reason, last = "", recording.count - 1
    for first in range(recording.count):
        try:
            found = [mask_frame(recording.read_frame(first), invalid)]
            break
        except FrameLost as lost:
            reason = reason or str(lost)
    else:
        raise MicrographError(f"{recording.source}: no frame can be used; {reason}")
    for number in np.unique(np.linspace(first, last, min(last - first + 1, SAMPLE)).astype(int))[1:].tolist():
        with suppress(FrameLost):
            found.append(mask_frame(recording.read_frame(number), invalid))
    return found


def inspect_film(
    recording: Recording,
    crystal: Crystal,
    grid_pixel_pm: float,
    options: Reading,
    *,
    lattice: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> Film:
    """Find out what a film is.

    Parameters
    ----------
    grid_pixel_pm : the network's pixel.
    options : what the user gives; it goes before what the file and the lattice say.
    lattice : find the lattice; if not, pixel and rotation must be given.
    tell : called with each line for the user, as soon as it is known.

    Raises
    ------
    MicrographError
        Why the film cannot be used.
    """
    lines: list[str] = []

    def say(*told: str) -> None:
        for line in told:
            lines.append(line)
            tell(line)

    say(*recording.warnings)
    pixel, pixel_from = _pixel(recording, options, say)
    if pixel is not None:
        _check_pixel(recording, pixel / (TAG_FACTOR if lattice else 1), grid_pixel_pm, pixel)
    frames = sample_frames(recording, options.invalid)
    frames, bad = _without_bad(frames, say)
    say(*frames[0].lines)
    found = None
    if lattice:
        try:
            found = calibrate(
                [(f.values, f.usable) for f in frames],
                crystal,
                pixel_pm=pixel,
                rotation_deg=options.rotation_deg,
                coarsest_pm=COARSEST_SHARE * grid_pixel_pm,
            )
        except MicrographError as failure:
            raise MicrographError(f"{recording.source}: {failure}") from None
        say(*found.lines)
        pixel, pixel_from = found.pixel_pm, "the lattice"
    transform = _transform(recording, pixel, grid_pixel_pm, found, options)
    frames = frames if found is None else [_without(frame, found.others) for frame in frames]
    areas, vacuum, vacuum_pixels = _vacuum_areas(frames, transform.pixel_pm, found)
    camera = _camera(frames, areas, None if found is None else found.area, transform.pixel_pm, options)
    say(*camera.lines)
    light = find_light([to_electrons(frame, camera) for frame in frames], [frame.usable for frame in frames], areas)
    if light is not None:
        say(describe_light(light))
    if found is not None and found.others.any():
        bad = bad | found.others
    places = vacuum, None if found is None else found.area, vacuum_pixels
    film = Film(
        recording, options.invalid, bad, camera, light, found, transform, *places, 1.0, "", None, pixel_from, ()
    )
    level, source, given = _level(film, frames, options, say)
    film = replace(film, level=level, dose_from=source, given_level=given)
    say(f"{film.dose:.3g} electrons per Å² and frame, from {source}")
    return replace(film, lines=tuple(lines))


def _without_bad(frames: list[Masked], say: Callable[..., None]) -> tuple[list[Masked], np.ndarray]:
    """The frames with labels and bad pixels masked, and these (y, x) bool."""
    bad = np.zeros(frames[0].usable.shape, dtype=bool)
    for find, what in ((find_flat_patches, "in patches or lines of one value"), (find_bad_pixels, "hot or dead")):
        more = find(frames)
        if more.any():
            say(f"{int(more.sum())} pixels ({100 * more.mean():.2g} %) are {what}; they are masked")
            frames = [_without(frame, more) for frame in frames]
            bad |= more
    return frames, bad


def _without(frame: Masked, area: np.ndarray) -> Masked:
    """A frame with more pixels masked."""
    usable = frame.usable & ~area
    return Masked(np.where(usable, frame.values, np.float32(0)), usable, frame.lines)


def _pixel(recording: Recording, options: Reading, say: Callable[..., None]) -> tuple[float | None, str]:
    """The pixel that is known before the lattice is, and from where."""
    if options.pixel_pm is None:
        return recording.pixel_pm, "the file"
    if recording.pixel_pm is not None and abs(options.pixel_pm / recording.pixel_pm - 1) > 0.01:
        say(f"the file says {recording.pixel_pm:.4g} pm a pixel, {options.pixel_pm:.4g} pm are given")
    return options.pixel_pm, "what was given"


def _check_pixel(recording: Recording, least: float, grid_pixel_pm: float, said: float) -> None:
    """Raise where a pixel, which is ``least`` pm at least, is too coarse. ``said`` : what it is called."""
    most = COARSEST_SHARE * grid_pixel_pm
    if least > most:
        raise MicrographError(
            f"{recording.source}: its pixel, {said:.4g} pm, is too coarse for columns; allowed: at most {most:.3g} pm"
        )


def _transform(
    recording: Recording, pixel: float | None, grid_pixel_pm: float, found: Calibration | None, options: Reading
) -> FrameTransform:
    """From the film's pixels to the network's."""
    if pixel is None:
        raise MicrographError(f"{recording.source}: no pixel size is known; give it with pixel_pm")
    _check_pixel(recording, pixel, grid_pixel_pm, pixel)
    rotation = options.rotation_deg if found is None else found.rotation_deg
    if found is not None and options.flip and options.rotation_deg is None:
        rotation = -found.rotation_deg  # of the mirrored frame; its vacuum stays at +y
    transform = FrameTransform(recording.shape, pixel, float(grid_pixel_pm), rotation or 0.0, options.flip)
    rows, columns = transform.grid_shape
    if rows * columns > MAX_FRAME_PIXELS:
        raise MicrographError(
            f"{recording.source}: {pixel:g} pm a pixel make {rows} x {columns} network pixels; at most "
            f"{MAX_FRAME_PIXELS} are allowed, cut the micrograph"
        )
    return transform


def _camera(
    frames: list[Masked], areas: list[np.ndarray], crystal: np.ndarray | None, pixel_pm: float, options: Reading
) -> Camera:
    """Gain and offset; where the values do not tell them, the gain that a given dose asks for.

    Parameters
    ----------
    areas : of each frame, (y, x) bool, its vacuum. crystal : (y, x) bool, or None.
    """
    camera = find_camera(frames, areas, options.gain, options.offset)
    if options.dose_e_per_a2 is None or (camera.sure and camera.dose_error <= DOSE_FOUND):
        return camera
    offset = options.offset or 0.0
    inside = [f.values[area & f.usable] for f, area in zip(frames, areas) if area.any()]
    brightness = 1.0 if inside else CRYSTAL_BRIGHTNESS
    if not inside:
        inside = [f.values[f.usable if crystal is None else crystal & f.usable] for f in frames]
    above = (float(np.mean(np.concatenate(inside))) - offset) / brightness
    if not above > 0:
        return camera
    gain = above / (options.dose_e_per_a2 * (pixel_pm / 100) ** 2)
    found = find_camera(frames, areas, gain, offset, known_from="those of the dose that was given")
    if options.offset is None and found.variance_over_mean < SINGLE_ELECTRONS[0]:
        return replace(found, contrast_error=np.nan)  # an offset that is not 0, or an inverted image
    return found


def _vacuum_areas(
    frames: list[Masked], pixel_pm: float, found: Calibration | None
) -> tuple[list[np.ndarray], np.ndarray | None, np.ndarray | None]:
    """The vacuum (y, x) bool of each frame, and ``vacuum`` and ``vacuum_pixels`` of ``Film``."""
    shifts = [(0, 0)] * len(frames) if found is None else found.shifts
    areas = []
    for frame, (y, x) in zip(frames, shifts):
        crystal = None if found is None else moved(found.area, (-y, -x))
        area = search_vacuum(frame.values, frame.usable, pixel_pm, crystal=crystal).area
        areas.append(np.zeros(frame.usable.shape, bool) if area is None else area)
    return areas, _common([moved(area, shift) for area, shift in zip(areas, shifts)]), _common(areas)


def _common(areas: list[np.ndarray]) -> np.ndarray | None:
    """Pixels that are vacuum in most of the frames in which there is any."""
    found = [area for area in areas if area.any()]
    if not found or 2 * len(found) < len(areas):
        return None
    common = np.mean(found, axis=0) > 0.5
    return common if common.any() else None


def _level(
    film: Film, frames: list[Masked], options: Reading, say: Callable[..., None]
) -> tuple[float, str, float | None]:
    """Electrons a pixel in vacuum, in words where they come from, and the level if it is given."""
    given = None
    if options.dose_e_per_a2 is not None:
        given = options.dose_e_per_a2 / film.dose_of(1.0)  # of the electrons that are kept where the light is uneven
    if given is not None and film.vacuum is None:
        return given, "what was given", given
    levels = []
    for frame in frames:
        with suppress(FrameLost):  # such a frame is lost when its turn comes
            levels.append(film.level_of(to_electrons(frame, film.camera, film.light), frame.usable))
    if given is not None:
        found = film.dose_of(float(np.mean(levels))) if levels else np.nan
        if not 1 / DOSE_AGREES <= found / options.dose_e_per_a2 <= DOSE_AGREES:
            say(
                f"the vacuum has {found:.3g} electrons per Å² and frame, {options.dose_e_per_a2:.3g} are given: depths "
                "are wrong if that is not so"
            )
        return given, "what was given", given
    if not levels:
        raise MicrographError(
            f"{film.recording.source}: no frame has electrons where the vacuum is, with a gain of "
            f"{film.camera.gain:.4g} and an offset of {film.camera.offset:.4g}"
        )
    level = float(np.mean(levels))
    if film.vacuum_pixels is not None:
        return level, "the vacuum", None
    say("no vacuum is in the field: the dose is taken from the crystal's mean, which may be wrong by some percent")
    return level, "the mean of the crystal", None
