"""Which turn and pixel make a frame's spots the crystal's reflections.

With frequencies as complex numbers x + iy, a lattice that is only turned and scaled has its spots at a·g for the
crystal's frequencies g (1/pm): |a| is the pixel in pm, arg a the turn. One spot taken for one reflection gives a; all
low-order reflections and all spots are tried. A candidate is as good as the spots that it explains: those within a
tolerance of a point of the reciprocal lattice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segdepth.crystals import Crystal
from segdepth.micrograph.calibration.spectrum import Spots

TOLERANCE = 0.055
"""Distance of a spot from its place, over the shortest reflection: distortions and a wedge's fringes move spots by some
percent."""

BLUR = 0.4
"""The same over one wave across the frame's shorter side, on top: in a small frame spots are broad."""

HIGHEST = 5.0
"""Length of the reciprocal vectors that are looked at, over the shortest reflection."""

LEAST_SHARE = 0.6
"""Of the spots' evidence that lattices of the crystal must explain."""

CAP = 60.0
"""Evidence that one spot can give, so that one strong spot does not decide."""


@dataclass(frozen=True)
class Match:
    """a : complex, see the module. explained : (spot) bool. orders : (spot, 2) of those explained, in multiples of the
    reflection pair. evidence : sum over the explained spots."""

    a: complex
    explained: np.ndarray
    orders: np.ndarray
    evidence: float

    @property
    def pixel_pm(self) -> float:
        return abs(self.a)

    def coarser(self, factor: int) -> Match:
        """The same match for pixels ``factor`` times as large."""
        return replace(self, a=self.a * factor)

    @property
    def turn_deg(self) -> float:
        return float(np.degrees(np.angle(self.a)))


def evidence_of(spots: Spots) -> np.ndarray:
    """Of each spot: its power over noise, no more than ``CAP``."""
    return np.minimum(spots.ratio, CAP)


def match_lattice(
    spots: Spots, crystal: Crystal, pixel_range_pm: tuple[float, float], free: np.ndarray | None = None
) -> Match | None:
    """The best match of the crystal's lattice, or None.

    Parameters
    ----------
    pixel_range_pm : lowest and highest pixel.
    free : (spot) bool; only these are used.
    """
    free = np.ones(len(spots), dtype=bool) if free is None else free
    if not free.any():
        return None
    where = spots.frequency @ (1, 1j)
    weight = np.where(free, evidence_of(spots), 0)
    sure, likely = (free & (spots.ratio >= least) for least in (spots.sure, spots.likely))
    low = np.array([complex(*crystal.frequency(r.name)) for r in crystal.reflections])
    strongest = np.flatnonzero(sure)[:16]
    candidates = (where[strongest, None] / low[None, :]).ravel()
    candidates = candidates[(np.abs(candidates) >= pixel_range_pm[0]) & (np.abs(candidates) <= pixel_range_pm[1])]
    best: Match | None = None
    for a in candidates:
        found = _explain(complex(a), where, weight, likely, crystal, spots.resolution)
        allowed = found is not None and pixel_range_pm[0] <= found.pixel_pm <= pixel_range_pm[1]
        if allowed and (best is None or found.evidence > best.evidence * (1 + 1e-9)):
            best = found
    return best


def _explain(
    a: complex, where: np.ndarray, weight: np.ndarray, likely: np.ndarray, crystal: Crystal, resolution: float
) -> Match | None:
    pair = np.array([complex(*crystal.frequency(name)) for name in crystal.reflection_pair])
    shortest = max(crystal.spacing_pm(r.name) for r in crystal.reflections)
    basis = np.array([pair.real, pair.imag])
    for _ in range(3):
        ideal = where / a
        orders = np.rint(np.linalg.solve(basis, np.stack([ideal.real, ideal.imag]))).T
        off = np.abs(ideal - orders @ pair) * shortest
        length = np.abs(orders @ pair) * shortest
        tolerance = TOLERANCE * np.clip(length, 1, 1.5) + BLUR * resolution / abs(a) * shortest
        explained = (weight > 0) & (off < tolerance) & (length > 0) & (length <= HIGHEST)
        if not explained.any():
            return None
        g, w = (orders @ pair)[explained], weight[explained]
        a_new = complex(np.sum(w * where[explained] * g.conj()) / np.sum(w * np.abs(g) ** 2))
        if abs(a_new / a - 1) > 0.06:
            return None
        a = a_new
    inner = explained & likely
    distinct = {tuple(order) if tuple(order) > (0, 0) else tuple(-order) for order in orders[inner].astype(int)}
    spanned = any(p[0] * q[1] != p[1] * q[0] for p in distinct for q in distinct)
    if not spanned:
        return None
    return Match(a, explained, orders.astype(int), float(weight[explained].sum()))
