"""What a fit of the lens found, as JSON and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from segdepth.config.fields import Count, Number
from segdepth.crystals import Crystal
from segdepth.errors import StoreError

KIND = "segdepth lens fit"
VERSION = 1

MRAD_PER_DEGREE = 1000 * math.pi / 180

LIMITS = {
    "defocus_nm": (-1e4, 1e4),
    "c3_um": (-1e4, 1e4),
    "c5_mm": (-1e3, 1e3),
    "focal_spread_nm": (0.0, 100.0),
    "convergence_mrad": (0.0, 10.0),
    "image_spread_pm": (0.0, 1e3),
    "contrast_factor": (0.0, 2.0),
    "background": (0.0, 10.0),
    "exit_share": (-10.0, 10.0),
    "a1_nm": (0.0, 1e4),
    "b2_nm": (0.0, 1e5),
    "a2_nm": (0.0, 1e5),
    **{f"{name}_azimuth_deg": (-360.0, 360.0) for name in ("a1", "b2", "a2")},
    **{f"tilt_{axis}_deg": (-4.0, 4.0) for axis in "xy"},
}
"""Values that a file may hold, wider than any fit's: what lies beyond is damage, or was meant in another unit."""

MOST_IN_CRYSTAL = 1e5
"""Larger than any number in a crystal: periods of 100 nm."""


def _values(values: dict[str, float]) -> dict[str, float]:
    for name, value in values.items():
        if name not in LIMITS:
            raise ValueError(f"{name[:80]!r} is no value of a lens fit; allowed: {', '.join(LIMITS)}")
        low, high = LIMITS[name]
        if not low <= value <= high:
            raise ValueError(f"{name}: got {value:g}; allowed: {low:g} to {high:g}")
    return values


def _crystal(data: dict[str, Any]) -> dict[str, Any]:
    try:
        crystal = Crystal.from_dict(data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as failure:
        raise ValueError(f"is no crystal ({type(failure).__name__} {failure})") from None
    numbers = [*crystal.periods_pm, *crystal.debye_waller_pm.values(), *(one.strength for one in crystal.reflections)]
    numbers += [n for c in crystal.columns for n in (c.x, c.y, c.z, *(height for _, height in c.companions))]
    if not all(abs(number) < MOST_IN_CRYSTAL for number in numbers):
        raise ValueError(f"has numbers that are not finite, or above {MOST_IN_CRYSTAL:g}")
    if len(crystal.periods_pm) != 3 or min(crystal.periods_pm) <= 0:
        raise ValueError(f"periods_pm: got {crystal.periods_pm}; allowed: three lengths above 0")
    if not crystal.columns or not all(1 <= column.per_period < MOST_IN_CRYSTAL for column in crystal.columns):
        raise ValueError("columns: allowed: at least one, each with one atom in a period or more")
    return crystal.to_dict()


Positive = Annotated[Number, Field(gt=0, le=1e9)]
NotNegative = Annotated[Number, Field(ge=0, le=1e9)]
Atoms = Annotated[Number, Field(ge=0, le=100)]
Values = Annotated[dict[str, Number], AfterValidator(_values)]


@dataclass(frozen=True)
class FittedBin:
    """One strip. thickness_atoms : counted atoms of a column of one atom in a period, i.e. periods along the beam.
    cells : unit cells in it, over all frames. chi2, dof : of the strip alone."""

    distance_pm: NotNegative
    thickness_atoms: Atoms
    thickness_error: NotNegative
    cells: NotNegative
    chi2: NotNegative
    dof: Positive


@dataclass(frozen=True)
class Rival:
    """Another minimum that the data cannot tell from the best."""

    values: Values
    thickness_atoms: tuple[Atoms, ...]
    chi2: NotNegative


@dataclass(frozen=True)
class LensFit:
    """The lens, the tilt and the thickness of a film.

    values, errors : by name, in the imaging block's units; an error is None where the value was held. C1 counts from
    the exit face of the last, innermost bin; ``exit_share`` is how much of the thinning towards the edge is on the exit
    face. Azimuths and tilt are in the upright crystal's frame: x along its x axis, y up; the tilt is the zone axis's
    lean (``specimen.orientation``).
    held : names of what was not fitted.
    dof : degrees of freedom of ``chi2``, which is in units of shot noise and the model's own error.
    roughness_atoms : standard deviation of single columns about the fitted thickness, as far as the electrons show it
        (``fitting.roughness``); None where it is not known.
    explained : the model explains the data, and no rival says something else. Otherwise no value is a fact.
    """

    crystal: Annotated[dict[str, Any], AfterValidator(_crystal)]
    energy_kev: Annotated[Number, Field(ge=20, le=1000)]
    dose_e_per_a2: Positive
    frames: Annotated[Count, Field(ge=1, le=10**9)]
    pixel_pm: Annotated[Number, Field(gt=0, le=1e4)]
    values: Values
    errors: dict[str, NotNegative | None]
    held: tuple[str, ...]
    bins: tuple[FittedBin, ...]
    chi2: NotNegative
    dof: Positive
    explained: bool
    rivals: tuple[Rival, ...]
    lines: tuple[str, ...]
    roughness_atoms: NotNegative | None = None

    @property
    def tilt_mrad(self) -> tuple[float, float]:
        """Tilt of the beam along x and y that does what the crystal's lean does (+1° is -17.45 mrad); 0 where none is
        given."""
        x, y = (-MRAD_PER_DEGREE * self.values.get(f"tilt_{axis}_deg", 0.0) for axis in "xy")
        return x, y

    def to_dict(self) -> dict[str, Any]:
        return {"kind": KIND, "version": VERSION, **asdict(self)}


@dataclass(frozen=True)
class _Head:
    """By which a file is known to be one of a fit."""

    kind: Literal[KIND]
    version: Literal[VERSION]


_HEAD, _FIT = TypeAdapter(_Head), TypeAdapter(LensFit)


def write_lens_fit(fit: LensFit, path: Path, more: Mapping[str, Any] | None = None) -> None:
    """Write the JSON file, with ``more`` keys that are no part of the fit."""
    text = json.dumps(fit.to_dict() | dict(more or {}), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_lens_fit(path: str | Path) -> LensFit:
    """The fit in a file.

    Raises
    ------
    StoreError
        There is no such file, or it is no fit: the line names the first key that is wrong.
    """
    try:
        data = Path(path).read_bytes()
        _HEAD.validate_json(data, strict=True)
        return _FIT.validate_json(data, strict=True)
    except FileNotFoundError:
        raise StoreError(f"{path}: there is no such file; segdepth fit-lens writes one") from None
    except OSError as failure:
        raise StoreError(f"{path}: cannot be read ({failure.strerror})") from None
    except ValidationError as failure:
        raise StoreError(f"{path}: is no fit of segdepth fit-lens ({_told(failure)})") from None


def _told(failure: ValidationError) -> str:
    """The first error: its key, what it got, what is allowed."""
    error = failure.errors(include_url=False)[0]
    key = ".".join(str(part)[:80] for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] in ("value_error", "json_invalid"):
        return f"{key}: {message}" if key else message
    got = repr(error["input"])
    return f"{key or 'all of it'}: got {got if len(got) <= 80 else got[:80] + '...'}; {message[0].lower()}{message[1:]}"
