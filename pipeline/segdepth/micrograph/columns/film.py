"""Columns of a film that keep the name of their lattice site from frame to frame.

Labels of neighbouring columns touch: columns of equal depth form one plateau, and maxima do not separate them. The
lattice does. The phases of two Fourier components of the expected depth are measured around each point
(``segdepth.micrograph.columns.local_phases``). Their phases at the cell's origin are known from the crystal's label
template, discs of the core radii (``segdepth.micrograph.columns.reflection_pair``). Counted without jumps, together
they are the lattice's coordinates everywhere, and give the place of each site
(``segdepth.micrograph.columns.sites``). They are local, so that they follow strain, small rotations and errors of the
pixel size. Types of columns with equal phases are separated by the size of their labels
(``segdepth.micrograph.columns.origin_choice``), once a film. Where the components are too weak no column is listed:
labels that cover nearly the whole plane show no lattice. In rutile along [100], whose columns are 140 pm apart, a tenth
or more is not found with core radii of 85 and 64 pm; with 50 and 40 pm nearly all are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from segdepth.crystals import Crystal
from segdepth.labels.column_depths import confidence_of, credible_depths, may_be_more
from segdepth.micrograph.columns.detection import detect
from segdepth.micrograph.columns.likelihood import log_ratios, ring_sums
from segdepth.micrograph.columns.local_phases import Measured, Nodes, fill, is_strong, unwrapped, wrap
from segdepth.micrograph.columns.origin_choice import choose_candidate
from segdepth.micrograph.columns.pooling import (
    SHIFT_PM,
    SHIFT_SHARE,
    Owned,
    centroid_shift,
    owned_pixels,
    pooled_probabilities,
)
from segdepth.micrograph.columns.reflection_pair import template_pair
from segdepth.micrograph.columns.sites import Lattice, Sites, find_places

COLUMN_KINDS = {
    **{"column": "str", "x_pm": float, "y_pm": float, "element": "str", "depth": int, "confidence": float},
    **{"depth_low": int, "depth_high": int, "at_least": bool, "llr": float, "q_value": float},
}
COLUMNS = list(COLUMN_KINDS)


def expected_depth(probabilities: np.ndarray) -> np.ndarray:
    """Mean number of atoms, float32 (y, x), of probabilities (class, y, x)."""
    return np.tensordot(np.arange(len(probabilities), dtype=np.float32), probabilities, axes=1)


@dataclass(frozen=True)
class Pooled:
    """Sites of one frame that own pixels, and what the network says of each.

    sites : all of the frame. rows : of those here among them. x, y : places in pm after the shift to the centroid.
    probabilities : (site, class). owned : their pixels. number : how many. here : whether the lattice shows there and
    the place lies on a valid pixel.
    """

    sites: Sites
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    probabilities: np.ndarray
    owned: Owned
    number: np.ndarray
    here: np.ndarray


class FilmSites:
    """The lattice of a film: what is known of it from sample frames, and how far it has drifted since.

    A site's name is ``u,v,place``: cells along x and y of the upright crystal, counted from the cell whose origin was
    nearest to the middle of the frame at the start, and element and number of the place in the cell, from 1. It stays
    with the site while the crystal drifts: each frame's phases are compared with those of the frame before, so that a
    drift of more than half a period between two frames looks like one that is a whole period smaller, and names then
    change their site.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        label_pixel_pm: float,
        crystal: Crystal,
        labels: Mapping[str, Any],
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        """``shape`` : of the maps, (y, x). Others: see ``start``."""
        core = labels["core_radius_pm"]
        self.radii = core, labels.get("outer_radius_pm") or core
        """Core and outer radius by element; a labels block without outer radii has flat discs."""

        self.pixel_pm, self.warn = label_pixel_pm, warn
        self.more = bool(labels.get("more", False))
        pair, origin = template_pair(crystal, core)
        self.lattice = Lattice(pair, origin)
        self.nodes = Nodes(shape, label_pixel_pm, pair.vectors)
        self._core_pm = np.array([core[c.element] for c in crystal.columns], dtype=float)
        self._element_number = np.array([crystal.elements.index(c.element) for c in crystal.columns])
        self._phase: np.ndarray | None = None
        self._drift = np.zeros(2)
        self._first: np.ndarray | None = None
        """Drift of the first frame that shows a lattice, against the sample frames."""

    @classmethod
    def start(
        cls,
        probabilities: Sequence[np.ndarray],
        label_pixel_pm: float,
        crystal: Crystal,
        labels: Mapping[str, Any],
        valid: np.ndarray | None = None,
        warn: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """From sample frames of a film; if they show no lattice, the first frame that does is the start.

        Parameters
        ----------
        probabilities : of each sample frame, (class, y, x), the crystal upright, classes 0 … n atoms.
        label_pixel_pm : side of the maps' pixel.
        labels : the labels block the network was trained on; its ``core_radius_pm`` and ``outer_radius_pm`` count.
        valid : (y, x) bool; other pixels are not used.
        warn : called if columns of different elements cannot be told apart.
        """
        depth = np.mean([expected_depth(p) for p in probabilities], axis=0, dtype=np.float32)
        film = cls(depth.shape, label_pixel_pm, crystal, labels, warn)
        inside = np.ones(depth.shape, dtype=bool) if valid is None else valid
        film._begin(depth, film.nodes.measure(depth, inside))
        return film

    def _begin(self, depth: np.ndarray, measured: Measured) -> None:
        """Phases without jumps, the crystal's origin, and the cell from which cells are counted."""
        strong = measured.strong
        if not strong.any():
            return
        self._phase = unwrapped(measured.phase, measured.amplitude.min(axis=0), strong, self.nodes)
        shift = (0.0, 0.0)
        if len(self.lattice.pair.candidates) > 1:
            points, waves = self._candidate_places(measured)
            shift = choose_candidate(points, waves, self.lattice.pair, depth, self.pixel_pm, self.radii, self.warn)
        self.lattice = self._counted_from_the_middle(shift)

    def _candidate_places(self, measured: Measured) -> tuple[np.ndarray, np.ndarray]:
        """Places (place, 2) in pm, and their waves, of the columns of every candidate where the lattice shows."""
        every = []
        for shift in self.lattice.pair.candidates:
            lattice = replace(self.lattice, shift=shift)
            every.append(lattice.waves_of(Sites.on(self.nodes, lattice, self._phase).at))
        waves = np.unique(np.round(np.concatenate(every, axis=1), 6), axis=1)
        x, y = find_places(self.nodes, self.lattice, self._phase, waves)
        height, width = self.nodes.size_pm
        here = self._shows(measured, x, y) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return np.stack([x[here], y[here]], axis=1), waves[:, here].T

    def _shows(self, measured: Measured, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether the lattice shows at places in pm."""
        fields = np.stack([measured.mean, *measured.amplitude, measured.weight])
        mean, *amplitude, weight = self.nodes.at(fields, x, y)
        return is_strong(mean, np.array(amplitude), weight)

    def _counted_from_the_middle(self, shift: tuple[float, float]) -> Lattice:
        """The lattice with the cell (0, 0) next to the frame's middle, of those that make the same crystal."""
        pair = self.lattice.pair
        y, x = (np.array([side / 2]) for side in self.nodes.size_pm)
        middle = self.lattice.waves(x, y, self.nodes.at(self._phase, x, y))
        found = []
        for step in pair.own_translations:
            lattice = replace(self.lattice, shift=(shift[0] + step[0], shift[1] + step[1]))
            cell = lattice.cells(middle)[:, 0]
            corner = np.rint(cell).astype(int)
            away = float(np.hypot(*((cell - corner) * pair.crystal.periods_pm[:2])))
            found.append((round(away, 6), (int(corner[0]), int(corner[1])), lattice.shift))
        _, corner, chosen = min(found)
        return replace(self.lattice, shift=chosen, corner=corner)

    def _frame_phase(self, measured: Measured) -> np.ndarray:
        """Phases (2, node row, node column) of a frame without jumps; the drift is brought up to it."""
        strong = measured.strong
        off = measured.phase - self._phase
        waves = np.exp(2j * np.pi * (off - self._drift[:, None, None])) * measured.amplitude
        self._drift = self._drift + np.angle(waves[:, strong].sum(axis=1)) / (2 * np.pi)
        self._first = self._drift if self._first is None else self._first
        drift = self._drift[:, None, None]
        return self._phase + drift + fill(wrap(off - drift), strong)

    @property
    def moved_pm(self) -> tuple[float, float]:
        """How far along x and y the crystal of the last frame is from where it was in the first one."""
        since = np.zeros(2) if self._first is None else self._drift - self._first
        x, y = -np.linalg.solve(self.lattice.pair.vectors, since)
        return float(x), float(y)

    def pool(self, probabilities: np.ndarray, valid: np.ndarray) -> Pooled | None:
        """What the network says at each site of the next frame; None if no lattice shows.

        Position: the lattice place, moved to the centroid of the expected depth of the pixels that the site owns within
        its core, at most 40 pm.
        """
        depth = expected_depth(probabilities)
        measured = self.nodes.measure(depth, valid)
        if self._phase is None:
            self._begin(depth, measured)
        if self._phase is None or not measured.strong.any():
            return None
        sites = Sites.on(self.nodes, self.lattice, self._frame_phase(measured))
        height, width = self.nodes.size_pm
        reach = self._core_pm.max()
        near = (sites.x > -reach) & (sites.x < width + reach) & (sites.y > -reach) & (sites.y < height + reach)
        rows = np.flatnonzero(near)
        x, y = sites.x[rows], sites.y[rows]
        owned = owned_pixels(x, y, self._core_pm[sites.column_type[rows]], valid, self.pixel_pm)
        number = owned.number
        most = min(SHIFT_PM, SHIFT_SHARE * self.lattice.crystal.nearest_column_pm)
        shift = centroid_shift(depth.ravel()[owned.pixel], owned, number, most)
        here = self._shows(measured, x, y) & (number > 0)
        x, y = x + shift[0], y + shift[1]
        i, j = np.floor(y / self.pixel_pm).astype(int), np.floor(x / self.pixel_pm).astype(int)
        here &= (i >= 0) & (i < valid.shape[0]) & (j >= 0) & (j < valid.shape[1])
        here[here] = valid[i[here], j[here]]
        return Pooled(sites, rows, x, y, pooled_probabilities(probabilities, owned, number), owned, number, here)

    def columns(
        self,
        probabilities: np.ndarray,
        counts: np.ndarray | None,
        electrons_per_pixel: float = 1.0,
        valid: np.ndarray | None = None,
        false_discovery: float = 0.01,
        vacuum: np.ndarray | None = None,
    ) -> pd.DataFrame:
        """Columns of the film's next frame in the coordinates of the map, one row each, sorted by y, then x.

        Parameters
        ----------
        probabilities : (class, y, x), the crystal upright, classes 0 … n atoms and, if the labels block has ``more``,
            more than n.
        counts : electrons (row, column) on the network's grid, of which a label pixel holds a whole number of pixels;
            without them the network is believed, and ``llr`` and ``q_value`` are NaN.
        electrons_per_pixel : of ``counts`` in vacuum.
        valid : (y, x) bool; columns on invalid pixels are left out.
        false_discovery : share of false columns among those listed; see ``segdepth.micrograph.columns.detection``.
        vacuum : (y, x) bool, where the first frame itself shows no lattice, which moves with the crystal: a column
            there must be proved by its own electrons.

        Returns
        -------
        ``column`` : name of the lattice site. ``x_pm``, ``y_pm``. ``element`` : the heaviest of a mixed column.
        ``depth`` and ``confidence`` : maximum of the mean probability vector of the site's pixels (SegDepth eqs. 4 and
        5 on the column). ``depth_low``, ``depth_high`` : fewest consecutive depths around ``depth`` that hold 90 % of
        the probability. ``at_least`` : there may be more atoms than the network can count. With a class of more, that
        it is among those 90 %: there are ``depth_low`` atoms or more, and where ``depth`` is n + 1, more than n is the
        most probable; its confidence is that of "more than n", 0.999 at most. Without such a class, that the last
        one is the most probable: there are ``depth`` or more. ``llr`` : natural logarithm of the likelihood ratio of
        the electrons, column to vacuum. ``q_value`` : share of false columns expected among this and all surer ones.
        """
        valid = np.ones(probabilities.shape[1:], dtype=bool) if valid is None else valid
        before = self.lattice, self._phase, self._drift, self._first
        pooled = self.pool(probabilities, valid)
        if pooled is None:
            return pd.DataFrame({name: [] for name in COLUMNS}).astype(COLUMN_KINDS)
        tested = pooled.here & (pooled.probabilities.argmax(axis=1) > 0)
        llr, q = np.full((2, len(tested)), np.nan)
        if counts is not None:
            llr, q = self._tested(pooled, tested, *_on_labels(counts, electrons_per_pixel, valid.shape), vacuum)
            tested &= q <= false_discovery
        if not tested.any():  # a lattice seen in noise says nothing of the film's
            self.lattice, self._phase, self._drift, self._first = before
        return self._table(pooled, np.flatnonzero(tested), llr, q)

    def _tested(
        self, pooled: Pooled, tested: np.ndarray, electrons: np.ndarray, level: float, vacuum: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood ratio and q-value of each site, from electrons (y, x) and the vacuum level a label pixel."""
        kind = self._element_number[pooled.sites.column_type[pooled.rows]]
        sums = ring_sums(pooled.owned, electrons)
        empty = np.zeros(len(tested), dtype=bool) if vacuum is None else self._lay_in(vacuum, pooled)
        llr = log_ratios(*sums, level, kind, pooled.probabilities, tested & ~empty)
        row = np.full(len(pooled.sites.x) + 1, -1)
        row[pooled.rows] = np.arange(len(pooled.rows))
        neighbours = row[pooled.sites.neighbours(pooled.rows)]
        found = detect(llr, 1 - pooled.probabilities[:, 0], neighbours, pooled.number > 0, tested, empty)
        return llr, found.q_value

    def _lay_in(self, area: np.ndarray, pooled: Pooled) -> np.ndarray:
        """Whether each site's place lay in an area (y, x) bool of the first frame."""
        x, y = self.moved_pm
        i, j = (np.floor(at / self.pixel_pm).astype(int) for at in (pooled.y - y, pooled.x - x))
        here = (i >= 0) & (i < area.shape[0]) & (j >= 0) & (j < area.shape[1])
        here[here] = area[i[here], j[here]]
        return here

    def _table(self, pooled: Pooled, kept: np.ndarray, llr: np.ndarray, q: np.ndarray) -> pd.DataFrame:
        kept = kept[np.lexsort((pooled.x[kept], pooled.y[kept]))]
        probabilities = pooled.probabilities[kept]
        depth = probabilities.argmax(axis=1)
        low, high = credible_depths(probabilities)
        classes = probabilities.shape[1]
        elements = np.array([c.element for c in self.lattice.crystal.columns])
        rows = pooled.rows[kept]
        return pd.DataFrame(
            {
                "column": pooled.sites.names(rows),
                "x_pm": pooled.x[kept],
                "y_pm": pooled.y[kept],
                "element": elements[pooled.sites.column_type[rows]],
                "depth": depth,
                "confidence": confidence_of(depth, probabilities.max(axis=1), classes, self.more),
                "depth_low": low,
                "depth_high": high,
                "at_least": may_be_more(depth, high, classes, self.more),
                "llr": llr[kept],
                "q_value": q[kept],
            }
        )


def _on_labels(counts: np.ndarray, level: float, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Electrons of each label pixel (y, x), and in one of vacuum."""
    block = max(1, round(counts.shape[0] / shape[0]))
    if block == 1:
        return counts, level
    padded = np.zeros((shape[0] * block, shape[1] * block))
    padded[: counts.shape[0], : counts.shape[1]] = counts
    return padded.reshape(shape[0], block, shape[1], block).sum(axis=(1, 3)), level * block**2


def find_columns(
    probabilities: np.ndarray,
    pixel_pm: float,
    crystal: Crystal,
    labels: Mapping[str, Any],
    *,
    valid: np.ndarray | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Columns of one map by itself, without a test against the vacuum; see ``FilmSites``."""
    film = FilmSites.start([probabilities], pixel_pm, crystal, labels, valid, warn)
    return film.columns(probabilities, None, 1.0, valid)
