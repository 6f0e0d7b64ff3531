"""What a fit of the lens found, as JSON and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from segdepth.crystals import Crystal
from segdepth.errors import StoreError

KIND = "segdepth lens fit"
VERSION = 1


@dataclass(frozen=True)
class FittedBin:
    """One strip. thickness_atoms : counted atoms of a column of one atom in a period, i.e. periods along the beam.
    cells : unit cells in it, over all frames. chi2, dof : of the strip alone."""

    distance_pm: float
    thickness_atoms: float
    thickness_error: float
    cells: float
    chi2: float
    dof: float


@dataclass(frozen=True)
class Rival:
    """Another minimum that the data cannot tell from the best."""

    values: dict[str, float]
    thickness_atoms: tuple[float, ...]
    chi2: float


@dataclass(frozen=True)
class LensFit:
    """The lens, the tilt and the thickness of a film.

    values, errors : by name, in the imaging block's units; an error is None where the value was held. C1 counts from
    the exit face of the last, innermost bin; ``exit_share`` is how much of the thinning towards the edge is on the exit
    face. Azimuths and tilt are in the upright crystal's frame: x along its x axis, y up; the tilt is the zone axis's
    lean (``specimen.orientation``).
    held : names of what was not fitted.
    dof : degrees of freedom of ``chi2``, which is in units of shot noise and the model's own error.
    explained : the model explains the data, and no rival says something else. Otherwise no value is a fact.
    """

    crystal: dict[str, Any]
    energy_kev: float
    dose_e_per_a2: float
    frames: int
    pixel_pm: float
    values: dict[str, float]
    errors: dict[str, float | None]
    held: tuple[str, ...]
    bins: tuple[FittedBin, ...]
    chi2: float
    dof: float
    explained: bool
    rivals: tuple[Rival, ...]
    lines: tuple[str, ...]

    @property
    def tilt_mrad(self) -> tuple[float, float]:
        """Tilt of the beam along x and y that does what the crystal's lean does."""
        x, y = (-1000 * math.radians(self.values[f"tilt_{axis}_deg"]) for axis in "xy")
        return x, y

    def to_dict(self) -> dict[str, Any]:
        return {"kind": KIND, "version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Of ``to_dict``'s data, also after a conversion to JSON and back.

        Raises
        ------
        KeyError, TypeError, ValueError
            The data are not those of a fit.
        """
        if data["kind"] != KIND or data["version"] != VERSION:
            raise ValueError(f"got {data['kind']!r}, version {data['version']!r}")
        return cls(
            crystal=Crystal.from_dict(data["crystal"]).to_dict(),
            energy_kev=float(data["energy_kev"]),
            dose_e_per_a2=float(data["dose_e_per_a2"]),
            frames=int(data["frames"]),
            pixel_pm=float(data["pixel_pm"]),
            values={str(name): float(value) for name, value in data["values"].items()},
            errors={str(name): None if e is None else float(e) for name, e in data["errors"].items()},
            held=tuple(str(name) for name in data["held"]),
            bins=tuple(FittedBin(**{name: float(each[name]) for name in _names(FittedBin)}) for each in data["bins"]),
            chi2=float(data["chi2"]),
            dof=float(data["dof"]),
            explained=bool(data["explained"]),
            rivals=tuple(
                Rival(
                    {str(name): float(value) for name, value in each["values"].items()},
                    tuple(float(n) for n in each["thickness_atoms"]),
                    float(each["chi2"]),
                )
                for each in data["rivals"]
            ),
            lines=tuple(str(line) for line in data["lines"]),
        )


def _names(kind: type) -> list[str]:
    return list(kind.__dataclass_fields__)


def write_lens_fit(fit: LensFit, path: Path) -> None:
    """Write the JSON file."""
    path.write_text(json.dumps(fit.to_dict(), indent=1) + "\n", encoding="utf-8")


def read_lens_fit(path: str | Path) -> LensFit:
    """The fit in a file.

    Raises
    ------
    StoreError
        There is no such file, or it is no fit.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return LensFit.from_dict(data)
    except FileNotFoundError:
        raise StoreError(f"{path}: there is no such file; segdepth fit-lens writes one") from None
    except (KeyError, TypeError, ValueError, AttributeError, UnicodeDecodeError) as failure:
        raise StoreError(f"{path}: is no fit of segdepth fit-lens ({failure})") from None
