"""All files of a prediction, written frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from segdepth.micrograph.results.atoms import AtomsWriter
from segdepth.micrograph.results.facts import FilmFacts, FrameResult, LostFrame, lines_of
from segdepth.micrograph.results.file_grid import FileGrid
from segdepth.micrograph.results.hspy import HspyWriter
from segdepth.micrograph.results.maps import STORE, MapsWriter
from segdepth.micrograph.results.page import PageWriter
from segdepth.micrograph.results.summary import frame_summary, write_summary
from segdepth.micrograph.results.tables import Rows, TableWriter, frame_rows
from segdepth.micrograph.results.tiff import TiffWriter, deflated


class LayersWriter:
    """Writes the files of a film that show ``facts.layers``: ``<name>.ome.tif``, a HyperSpy file for each layer,
    ``crystal.extxyz`` of refined counts, and the page ``<name>.html``.

    Call ``put`` or ``lose`` once for each of ``facts.frames``, in their order, then ``close``.

    Parameters
    ----------
    most_atoms : that a refined count may have.
    """

    def __init__(self, folder: Path, facts: FilmFacts, name: str, most_atoms: int) -> None:
        self._facts, self._place, self._grid = facts, 0, FileGrid(facts)
        self._tiff = TiffWriter(folder, facts, f"{name}.ome.tif")
        self._hspy = [HspyWriter(folder, facts, layer) for layer in facts.layers]
        self._atoms = AtomsWriter(folder, replace(facts, classes=most_atoms + 1))
        self._page = PageWriter(folder, facts, f"{name}.html")

    def put(self, result: FrameResult, rows: Rows) -> None:
        """Write one frame. ``rows`` : ``tables.frame_rows`` and ``page.REFINED``."""
        planes, layers = self._grid.planes(result), self._grid.layers(result)
        layers = [deflated(plane) for plane in layers]
        self._tiff.put([*(deflated(p) for p in (planes.depth, planes.confidence, planes.counts)), *layers])
        for writer, plane in zip(self._hspy, layers, strict=True):
            writer.put(self._place, plane)
        refined = {"depth": rows["count"], "confidence": rows["count_confidence"]}
        self._atoms.put(result, rows | refined | {"at_least": np.zeros(len(rows["frame"]), bool)})
        self._page.put(self._place, result, rows)
        self._place += 1

    def lose(self, number: int, reason: str) -> None:
        """A frame without values."""
        self._tiff.lose()
        self._page.lose(self._place, number, reason)
        self._place += 1

    def close(self, lines: Sequence[str]) -> None:
        """Finish all files; the page shows the lines."""
        for writer in (self._tiff, self._atoms, *self._hspy):
            writer.close()
        self._page.close(lines)


class ResultWriter:
    """Writes into a folder that holds the empty store of ``maps.empty_maps`` and nothing else.

    Call ``put`` or ``lose`` once for each of ``facts.frames``, in their order, then ``close``.
    """

    def __init__(self, folder: Path, facts: FilmFacts) -> None:
        self.facts = facts
        self.lost: list[tuple[int, str]] = []
        self._folder, self._place = Path(folder), 0
        self._grid, self._frames = FileGrid(facts), []
        self._maps = MapsWriter(self._folder / STORE, facts)
        self._tables, self._atoms = TableWriter(self._folder), AtomsWriter(self._folder, facts)
        self._tiff, self._hspy = TiffWriter(self._folder, facts), HspyWriter(self._folder, facts)
        self._page = PageWriter(self._folder, facts)

    def _next(self, number: int) -> int:
        place = self._place
        if place >= len(self.facts.frames) or self.facts.frames[place] != number:
            raise ValueError(f"frame {number} is not the next one")
        self._place += 1
        return place

    def put(self, result: FrameResult) -> None:
        """Write one frame."""
        place = self._next(result.number)
        rows = frame_rows(result, self.facts.pixel_pm)
        planes = self._grid.planes(result)
        depth, confidence, counts = (deflated(p) for p in (planes.depth, planes.confidence, planes.counts))
        self._maps.put(place, result)
        self._tables.put(rows)
        self._tiff.put((depth, confidence, counts))
        self._hspy.put(place, depth)
        self._atoms.put(result, rows)
        self._page.put(place, result, rows)
        self._frames.append(frame_summary(place, result, rows, self.facts))

    def lose(self, number: int, reason: str) -> None:
        """A frame that could not be read or predicted: it keeps its place, without values."""
        place = self._next(number)
        self.lost.append((number, reason))
        self._tiff.lose()
        self._page.lose(place, number, reason)

    def close(self, warnings: Sequence[str] = ()) -> tuple[str, ...]:
        """Finish all files.

        Parameters
        ----------
        warnings : lines for the user beyond those of the facts and of the frames.

        Returns
        -------
        All lines, in the order in which they are shown: what is not reliable comes first.
        """
        lines = self.warnings(warnings)
        self._maps.close(lines)
        for writer in (self._tables, self._atoms, self._tiff, self._hspy):
            writer.close()
        write_summary(self._folder, self.facts, self._frames, self.lost, lines)
        self._page.close(lines)
        return lines

    def warnings(self, more: Sequence[str] = ()) -> tuple[str, ...]:
        """All lines so far."""
        frames = [(line["frame"], line["reliable"], line["warnings"]) for line in self._frames]
        lost = [LostFrame(number, reason) for number, reason in self.lost]
        return lines_of((*self.facts.warnings, *more), frames, lost)
