"""SegDepth: from atoms to micrographs to the number of atoms behind every pixel.

>>> import segdepth
>>> film = segdepth.read("film.dm4")
>>> maps, columns = segdepth.predict(film)
>>> rutile = segdepth.crystal("rutile.cif", zone_axis=(0, 0, 1), x_axis=(1, 0, 0))
>>> image = segdepth.simulate(atoms, defocus_nm=5)

The functions take and return arrays, tables and xarray; the command ``segdepth`` adds files and manifests. Each is
imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segdepth.micrograph.tracks.track import Tracked, track
    from segdepth.public import (
        Explained,
        Predicted,
        calibrate,
        crystal,
        explain,
        fit_lens,
        load_network,
        predict,
        read,
        simulate,
    )

__version__ = "0.1.0"
__all__ = [
    "Explained",
    "Predicted",
    "Tracked",
    "calibrate",
    "crystal",
    "explain",
    "fit_lens",
    "load_network",
    "predict",
    "read",
    "simulate",
    "track",
]

_ELSEWHERE = dict.fromkeys(("Tracked", "track"), "segdepth.micrograph.tracks.track")
"""Modules of names that ``segdepth.public`` does not hold."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'segdepth' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "segdepth.public")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
