"""A frame of a prediction, explained: expected electrons, residuals, χ² by column, counts refined by the picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage
from scipy.stats import norm

from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.explanation.columns import ColumnStacks
from segdepth.explanation.continuation import beside_columns, cells_and_kinds, continued, seen_lattice
from segdepth.explanation.lens import beam_of, lens_of
from segdepth.explanation.model import FrameModel, Grid
from segdepth.explanation.patches import ColumnPatches
from segdepth.explanation.refinement import Refined, Refinement
from segdepth.explanation.residuals import (
    SIGNIFICANT,
    chi_squared,
    chi_squared_error,
    column_chi_squared,
    false_discovery_rates,
    standardized,
    upper_tail,
)
from segdepth.fitting.result import LensFit
from segdepth.fitting.same_film import check_same_crystal
from segdepth.labels.column_depths import credible_depths
from segdepth.micrograph.columns.pooling import owned_pixels, pooled_probabilities
from segdepth.micrograph.results.facts import LostFrame, worst_first

NOT_EXPLAINED_LINE = "NOT EXPLAINED: the lens fit does not explain its film; what follows from it may be wrong"

BEYOND_PM = 250.0
"""Columns this near to the seen pixels are refined with those that were seen."""

COLUMNS = (
    *("frame", "column", "x_pm", "y_pm", "element", "depth", "count", "confidence", "count_low", "count_high"),
    *("chi2", "pixels", "q_value", "chi2_refined", "more", "extra", "missing"),
)
"""Of the table of an explained frame."""

UNITS = {"x_pm": "pm", "y_pm": "pm", **dict.fromkeys(("depth", "count", "count_low", "count_high"), "atoms")}


@dataclass(frozen=True)
class ExplainedFrame:
    """One frame.

    number : in the file. table : a row a column and empty site that was looked at, with ``COLUMNS``. counts, expected,
    expected_refined : electrons (row, column) on the network's grid; NaN counts where not valid. residual,
    residual_refined : standardized. depth_refined : the refined count within the core of each column, 0 elsewhere.
    electrons : that a pixel counts in vacuum. facts : χ² before and after, its pixels and its error by shot noise, how
    many parameters were ``adjusted`` before, the ``degrees`` of freedom that the refined counts took beside them,
    defocus as adjusted, the exit face's share, rounds.
    """

    number: int
    table: pd.DataFrame
    counts: np.ndarray
    expected: np.ndarray
    residual: np.ndarray
    expected_refined: np.ndarray
    residual_refined: np.ndarray
    depth_refined: np.ndarray
    electrons: float
    facts: dict[str, Any]


class Explainer:
    """Frames of one prediction, through one lens.

    Parameters
    ----------
    maps : of a prediction (``segdepth.micrograph.results.maps``). columns : its table. fit : of its lens.

    Raises
    ------
    ConfigError, MicrographError
        Prediction and fit are of different crystals, or the prediction lacks what is needed.
    """

    def __init__(self, maps: xr.Dataset, columns: pd.DataFrame, fit: LensFit, device: str = "cpu") -> None:
        self.maps, self.columns, self.fit = maps, columns, fit
        try:
            self.crystal = Crystal.from_dict(json.loads(maps.attrs["crystal"]))
            self.radii = json.loads(maps.attrs["labels"])["core_radius_pm"]
            self.pixel_pm, self.label_pm = float(maps.attrs["input_pixel_pm"]), float(maps.attrs["label_pixel_pm"])
        except (KeyError, TypeError, ValueError) as failure:
            raise MicrographError(f"prediction: its maps lack {failure}; predict again") from None
        check_same_crystal("lens fit", fit, self.crystal.to_dict(), "the prediction")
        self.beam, self.lens, self.device = beam_of(fit, self.crystal), lens_of(fit.values), device
        self._patches: tuple[FrameModel, ColumnPatches] | None = None

    def numbers(self) -> list[int]:
        """Numbers of the frames that are not lost and have columns."""
        here = self.maps["frame"].values[~self.maps["lost"].values.astype(bool)]
        return here[np.isin(here, self.columns["frame"])].tolist()

    def frames(self) -> Iterator[ExplainedFrame | LostFrame]:
        """Every frame that is not lost and has columns, one after the other; lost ones are those whose columns make no
        lattice."""
        places = {number: place for place, number in enumerate(self.maps["frame"].values.tolist())}
        for number in self.numbers():
            columns = self.columns[self.columns["frame"] == number].reset_index(drop=True)
            try:
                found: ExplainedFrame | LostFrame = self.frame(places[number], columns)
            except MicrographError as failure:
                found = LostFrame(number, str(failure))
            yield found

    def electrons(self, place: int) -> float:
        """Electrons that a pixel of the network's grid counts in vacuum."""
        attrs = self.maps.attrs
        (a, b, _), (d, e, _) = attrs["affine_to_file_pm"]
        area = abs(a * e - b * d) * (self.pixel_pm / float(attrs["pixel_pm"])) ** 2
        return float(self.maps["vacuum_level"].values[place]) * area

    def frame(self, place: int, columns: pd.DataFrame) -> ExplainedFrame:
        """The frame at a place of the dimension ``frame``, whose rows of the table are given.

        Raises
        ------
        MicrographError
            Its columns make no lattice.
        """
        image = self.maps["counts"].isel(frame=place).values.astype(np.float64)
        grid = Grid(image.shape, self.pixel_pm, self.electrons(place))
        valid = np.isfinite(image)
        counts = np.where(valid, image * grid.electrons, 0.0)
        seen = _Sites(self, place, columns, grid, valid)
        model, patches = self._engine(grid)
        refinement = Refinement(model, patches, counts, valid, self.fit.errors)
        share, first = refinement.adjustment.start(self.crystal, *seen.places, seen.kind, seen.count, self.lens)
        start = first.stacks
        refined = refinement.run(
            first, seen.free, seen.listed, seen.probabilities, share, np.random.default_rng([0, self._number(place)])
        )
        residuals = [standardized(counts, expected, valid) for expected in (refined.told, refined.expected)]
        table, depth = self._table(place, seen, start, refined, residuals, grid)
        found = [chi_squared(one) for one in residuals]
        facts = {
            "frame": int(self._number(place)),
            "chi2": found[0][0],
            "chi2_refined": found[1][0],
            "pixels": found[0][1],
            "chi2_error": chi_squared_error(refined.expected, valid),
            "adjusted": refinement.adjustment.parameters,
            "degrees": round(refined.degrees, 1),
            "columns": int((table["depth"] > 0).sum()),
            "changed": int((table["count"] != table["depth"]).sum()),
            "extra": int(table["extra"].sum()),
            "missing": int(table["missing"].sum()),
            "defocus_nm": float(refined.lens.c1_pm) / 1000,
            "exit_share": share,
            "rounds": refined.rounds,
        }
        return ExplainedFrame(
            number=self._number(place),
            table=table,
            counts=np.where(valid, counts, np.nan),
            expected=refined.told,
            residual=residuals[0],
            expected_refined=refined.expected,
            residual_refined=residuals[1],
            depth_refined=depth,
            electrons=grid.electrons,
            facts=facts,
        )

    def _number(self, place: int) -> int:
        return int(self.maps["frame"].values[place])

    def _engine(self, grid: Grid) -> tuple[FrameModel, ColumnPatches]:
        """The model of frames of this grid; its library of difference waves is kept."""
        if self._patches is None:
            model = FrameModel(grid, self.beam, device=self.device)
            self._patches = model, ColumnPatches(model, self.crystal)
        model, patches = self._patches
        model = model.with_grid(grid)
        return model, patches.of(model)

    def _table(
        self,
        place: int,
        seen: _Sites,
        start: ColumnStacks,
        refined: Refined,
        residuals: list[np.ndarray],
        grid: Grid,
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """``COLUMNS``, and ``ExplainedFrame.depth_refined``."""
        free, listed = np.flatnonzero(seen.listed), seen.listed[seen.free]
        probabilities, more = refined.probabilities[listed], refined.more[listed]
        elements = np.array([c.element for c in self.crystal.columns])[start.kind[free]]
        radius = np.array([self.radii[element] for element in elements], float)
        owned = owned_pixels(start.x_pm[free], start.y_pm[free], radius, seen.valid, grid.pixel_pm)
        (chi2, pixels), (chi2_refined, _) = (column_chi_squared(one, owned) for one in residuals)
        mean = owned.total(refined.told.ravel()[owned.pixel]) / np.maximum(pixels, 1)
        q = false_discovery_rates(upper_tail(chi2, pixels, mean))
        rate = false_discovery_rates(2 * norm.sf(np.abs(more)))
        low, high = credible_depths(probabilities)
        file_x, file_y = seen.in_file(start.x_pm[free], start.y_pm[free])
        count = refined.stacks.count[free]
        wrong = rate < SIGNIFICANT
        table = pd.DataFrame(
            {
                "frame": np.full(len(free), self._number(place), np.int32),
                "column": seen.names,
                "x_pm": np.round(file_x, 2),
                "y_pm": np.round(file_y, 2),
                "element": elements,
                "depth": start.count[free].astype(np.int16),
                "count": count.astype(np.int16),
                "confidence": np.round(probabilities[np.arange(len(free)), count], 4).astype(np.float32),
                "count_low": low.astype(np.int16),
                "count_high": high.astype(np.int16),
                "chi2": np.round(chi2, 2),
                "pixels": pixels.astype(np.int16),
                "q_value": q.astype(np.float32),
                "chi2_refined": np.round(chi2_refined, 2),
                "more": np.round(more, 2).astype(np.float32),
                "extra": wrong & (more > 0),
                "missing": wrong & (more < 0),
            }
        )
        shown = np.where(seen.valid, 0.0, np.nan)
        shown.ravel()[owned.pixel] = count[owned.site]
        # empty sites that stay empty are no columns
        kept = (table["depth"] > 0) | (table["count"] > 0) | table["extra"]
        return table[kept].reset_index(drop=True), shown


class _Sites:
    """The frame's columns, empty sites beside them, and the crystal beyond the frame, on the network's grid.

    places : x and y in pm; kind, count : of each. free : bool, those whose counts are refined; listed : those among
    them that were seen, others stand beyond the frame's border. names : of the listed ones. probabilities : the
    network's, (all, count).
    """

    def __init__(self, one: Explainer, place: int, columns: pd.DataFrame, grid: Grid, valid: np.ndarray) -> None:
        crystal, attrs = one.crystal, one.maps.attrs
        self.valid, self._to_file = valid, np.array(attrs["affine_to_file_pm"], float)
        to_grid = np.array(attrs["affine_to_grid_pm"], float)
        x, y = to_grid[:, :2] @ columns[["x_pm", "y_pm"]].to_numpy(float).T + to_grid[:, 2:]
        cells, kinds = cells_and_kinds(columns["column"].tolist(), columns["element"].tolist(), crystal)
        low = np.full(2, -grid.margin * grid.pixel_pm)
        lattice = seen_lattice(crystal, x, y, cells, kinds, low, low + grid.cell_pm)
        here = _at(lattice.x_pm, lattice.y_pm, valid, grid.pixel_pm)
        count = continued(lattice, columns["depth"].to_numpy(int), here)
        free = (lattice.row >= 0) | (here & beside_columns(lattice, crystal))
        outside = (count > 0) & ~here & _beside(lattice.x_pm, lattice.y_pm, valid, grid.pixel_pm)
        listed, free = free, free | outside
        kept = free | (count > 0)
        self.places = lattice.x_pm[kept], lattice.y_pm[kept]
        self.kind, self.count, self.free, self.listed = lattice.kind[kept], count[kept], free[kept], listed[kept]
        self.probabilities = self._pooled(one, place)
        names = columns["column"].to_numpy(object)
        symbols = [c.element for c in crystal.columns]
        kinds_named = [f"{s}{symbols[: i + 1].count(s)}" for i, s in enumerate(symbols)]
        self.names = [
            names[row] if row >= 0 else f"{u},{v},{kinds_named[k]}"
            for row, (u, v), k in zip(lattice.row[listed], lattice.cell[listed], lattice.kind[listed])
        ]

    def _pooled(self, one: Explainer, place: int) -> np.ndarray:
        """The network's probabilities (site, count) of each site: mean over the pixels within its core."""
        maps = one.maps["probabilities"].isel(frame=place).values.astype(np.float32)
        there = np.isfinite(maps).all(axis=0)
        radius = np.array([one.radii[c.element] for c in one.crystal.columns], float)[self.kind]
        rows, columns = there.shape
        near = (self.places[0] > -radius) & (self.places[0] < columns * one.label_pm + radius)
        near &= (self.places[1] > -radius) & (self.places[1] < rows * one.label_pm + radius)
        found = np.full((len(self.kind), len(maps)), 1 / len(maps))
        owned = owned_pixels(self.places[0][near], self.places[1][near], radius[near], there, one.label_pm)
        number = owned.number
        pooled = pooled_probabilities(np.nan_to_num(maps), owned, number)
        found[near] = np.where(number[:, None] > 0, pooled, 1 / len(maps))
        return found

    def in_file(self, x_pm: np.ndarray, y_pm: np.ndarray) -> np.ndarray:
        """Places of the grid in the file."""
        return self._to_file[:, :2] @ np.stack([x_pm, y_pm]) + self._to_file[:, 2:]


def _at(x_pm: np.ndarray, y_pm: np.ndarray, mask: np.ndarray, pixel_pm: float) -> np.ndarray:
    """Whether each place lies on a pixel of a mask (row, column)."""
    j, i = (np.floor(at / pixel_pm).astype(int) for at in (x_pm, y_pm))
    inside = (i >= 0) & (i < mask.shape[0]) & (j >= 0) & (j < mask.shape[1])
    inside[inside] = mask[i[inside], j[inside]]
    return inside


def _beside(x_pm: np.ndarray, y_pm: np.ndarray, mask: np.ndarray, pixel_pm: float) -> np.ndarray:
    """Whether each place lies within ``BEYOND_PM`` of a pixel of a mask (row, column)."""
    wide = int(np.ceil(BEYOND_PM / pixel_pm))
    padded = np.pad(mask, wide)
    near = ndimage.distance_transform_edt(~padded) * pixel_pm <= BEYOND_PM
    return _at(x_pm + wide * pixel_pm, y_pm + wide * pixel_pm, near, pixel_pm)


MAPS = {
    "counts": ("electrons", "what was counted"),
    "expected": ("electrons", "expected of the predicted columns"),
    "residual": ("1", "(counts - expected) over the root of expected"),
    "expected_refined": ("electrons", "expected of the refined columns"),
    "residual_refined": ("1", "(counts - expected_refined) over the root of expected_refined"),
    "depth_refined": ("atoms", "refined count within the core of each column, 0 elsewhere"),
}


def explained_maps(explainer: Explainer, frames: Sequence[ExplainedFrame], lines: Sequence[str]) -> xr.Dataset:
    """``MAPS`` (frame, row, column) float32 on the network's grid, with coordinates in pm."""
    dims, attrs = ("frame", "row", "column"), explainer.maps.attrs
    rows, columns = frames[0].counts.shape
    variables = {
        name: (
            dims,
            np.stack([getattr(one, name) for one in frames]).astype(np.float32),
            {"units": units, "long_name": text},
        )
        for name, (units, text) in MAPS.items()
    }
    number = {"units": "1", "long_name": "number of the frame in the file"}
    coords: dict[str, Any] = {"frame": ("frame", np.array([one.number for one in frames], np.int32), number)}
    for axis, count in (("row", rows), ("column", columns)):
        text = {"units": "pm", "long_name": "centre of a pixel of the network's input"}
        coords[axis] = (axis, (np.arange(count) + 0.5) * explainer.pixel_pm, text)
    kept = ("affine_to_file_pm", "affine_to_grid_pm", "crystal", "source", "classes")
    return xr.Dataset(
        variables,
        coords,
        {
            "title": "a prediction held against its picture",
            "pixel_pm": explainer.pixel_pm,
            **{name: attrs[name] for name in kept if name in attrs},
            "explained": int(explainer.fit.explained),
            "warnings": list(lines),
        },
    )


def room_for(maps: xr.Dataset, numbers: Sequence[int]) -> xr.Dataset:
    """``explained_maps`` of one frame, with lazy empty maps for frames of these numbers instead."""
    empty = {
        name: (one.dims, da.full((len(numbers), *one.shape[1:]), np.nan, dtype=one.dtype, chunks=-1), one.attrs)
        for name, one in maps.data_vars.items()
    }
    number = ("frame", np.array(numbers, np.int32), maps["frame"].attrs)
    return xr.Dataset(empty, {**maps.drop_vars("frame").coords, "frame": number}, maps.attrs)


def lines_of(fit: LensFit, frames: Sequence[dict[str, Any]], more: Sequence[str] = ()) -> tuple[str, ...]:
    """Lines for the user: what does not hold first, then χ² and what was found, in one line for all frames.

    Parameters
    ----------
    frames : ``ExplainedFrame.facts``. more : further lines, of the film and of frames that are lost.
    """
    first = [] if fit.explained else [NOT_EXPLAINED_LINE]
    return tuple(worst_first([*first, _found(frames), *more]))


def _found(frames: Sequence[dict[str, Any]]) -> str:
    """χ² per pixel, mean over frames, and sums of what was found."""
    pixels = np.array([max(one["pixels"], 1) for one in frames])
    before, after, error = (
        np.array([one[name] for one in frames]) / pixels for name in ("chi2", "chi2_refined", "chi2_error")
    )
    alone = (pixels - [one["adjusted"] + one["degrees"] for one in frames]) / pixels
    to_noise = after < alone + 4 * error
    if len(frames) == 1:
        which = f"frame {frames[0]['frame']}"
        word = "explained to the noise" if to_noise[0] else "not explained to the noise"
    else:
        which = f"{len(frames)} frames, on average"
        word = f"{to_noise.sum()} of {len(frames)} explained to the noise"
    changed, columns, extra, missing = (
        sum(one[name] for one in frames) for name in ("changed", "columns", "extra", "missing")
    )
    return (
        f"{which}: chi2 per pixel {before.mean():.3f}, {after.mean():.3f} with refined counts (noise alone leaves "
        f"{alone.mean():.3f} ± {error.mean():.3f}; {word}); {changed} of {columns} counts changed, {extra} "
        f"columns show more atoms than predicted, {missing} fewer"
    )
