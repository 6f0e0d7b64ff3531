"""What a fit of the lens found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from segdepth.errors import StoreError


@dataclass(frozen=True)
class LensFit:
    """Values and errors in the imaging block's units; see ``lines`` for what they are worth."""

    crystal: Mapping[str, Any]
    energy_kev: float
    dose_e_per_a2: float
    frames: int
    pixel_pm: float
    values: Mapping[str, float]
    errors: Mapping[str, float | None] = field(default_factory=dict)
    held: Sequence[str] = ()
    bins: Sequence[Mapping[str, Any]] = ()
    chi2: float = 0.0
    dof: int = 0
    explained: bool = False
    rivals: Sequence[Mapping[str, Any]] = ()
    lines: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Of ``to_dict``'s data."""
        return cls(**data)


def read_lens_fit(path: str | Path) -> LensFit:
    """Raises StoreError where the file is not one."""
    try:
        return LensFit.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as failure:
        raise StoreError(f"{path}: is no lens fit ({failure})") from None
