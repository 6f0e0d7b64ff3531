"""``crystal.extxyz``: the counted crystal, one frame of extended XYZ a frame of the film; Å.

A count does not say how high a column begins. The atoms of a column stand at the lattice's heights, spaced evenly by
the period along the beam over the atoms in it, as many as were counted, centred on the mid-plane as nearly as these
heights allow: within half a spacing, so that neighbours keep their order along the beam. Lighter atoms of a mixed
column come along at their heights. This assumption is written into every frame. Columns that are ``at_least`` may be
higher.

x and y are the place in the file from the corner of its pixel [0, 0], z is along the beam.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from segdepth.crystals import Crystal
from segdepth.micrograph.results.facts import FilmFacts, FrameResult, printable
from segdepth.micrograph.results.tables import Rows

EXTXYZ = "crystal.extxyz"
ASSUMPTION = "each column's atoms are centred on the mid-plane, as nearly as the lattice's heights allow"
PROPERTIES = "species:S:1:pos:R:3:column:S:1:confidence:R:1:reliable:L:1:at_least:L:1"
_OPTIONS = csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none")
_KIND = re.compile(r"([A-Z][a-z]?)(\d*)$")
_SPACE = re.compile(r"\s+")


def column_type(name: str, element: str, crystal: Crystal) -> int:
    """Place among ``crystal.columns``: the kind at the end of a column's name, ``O2``, is the second type whose element
    is O; without a number the first."""
    found = _KIND.search(name.rpartition(",")[2])
    types = [place for place, column in enumerate(crystal.columns) if column.element == element]
    number = int(found[2] or 1) if found and found[1] == element else 1
    return types[min(max(number, 1), len(types)) - 1]


def heights_pm(crystal: Crystal, column_type: int, number: int, middle_pm: float) -> list[tuple[str, float]]:
    """Element and height of each atom of a column of ``number`` counted ones, nearest to ``middle_pm``."""
    column, period = crystal.columns[column_type], crystal.periods_pm[2]
    spacing = period / column.per_period
    first = middle_pm - (number - 1) / 2 * spacing
    steps = np.ceil(round((first - column.z * period) / spacing - 0.5, 6))
    atoms = []
    for k in range(number):
        height = column.z * period + (steps + k) * spacing
        atoms.append((column.element, height))
        atoms += [(symbol, height + above * period) for symbol, above in column.companions]
    return atoms


class AtomsWriter:
    """Appends one frame after the other."""

    def __init__(self, folder: Path, facts: FilmFacts) -> None:
        self._file = (folder / EXTXYZ).open("wb")
        self._crystal, self._stamped = facts.crystal, bool(facts.stamp)
        spacing = max(facts.crystal.periods_pm[2] / column.per_period for column in facts.crystal.columns)
        self._thickness_pm = (facts.classes + 2) * spacing
        height, width = facts.transform.size_pm
        sides = (width / 100, 0, 0, 0, height / 100, 0, 0, 0, self._thickness_pm / 100)
        self._facts = (
            f'Lattice="{" ".join(f"{side:.6g}" for side in sides)}" pbc="F F F" Properties={PROPERTIES} '
            f'crystal={_quoted(facts.crystal.title)} assumption="{ASSUMPTION}" source={_quoted(facts.name)}'
            + (f" warning={_quoted(facts.stamp)}" if facts.stamp else "")
        )
        self._types: dict[str, int] = {}
        self._species = pa.array(facts.crystal.all_elements)
        self._stack_all(facts.classes)

    def _stack_all(self, classes: int) -> None:
        """The atoms of every type and count, one after the other: element, height, and where each stack begins."""
        elements, numbers, heights = self._crystal.all_elements, [], []
        species: list[int] = []
        for column in range(len(self._crystal.columns)):
            for count in range(classes):
                atoms = heights_pm(self._crystal, column, count, self._thickness_pm / 2)
                numbers.append(len(atoms))
                species += [elements.index(element) for element, _ in atoms]
                heights += [height for _, height in atoms]
        self._classes, self._numbers = classes, np.array(numbers)
        self._begins = np.cumsum(self._numbers) - self._numbers
        self._elements, self._heights = np.array(species, np.int32), np.round(np.array(heights) / 100, 4)

    def _type(self, name: str, element: str) -> int:
        if name not in self._types:
            self._types[name] = column_type(name, element, self._crystal)
        return self._types[name]

    def put(self, result: FrameResult, rows: Rows) -> None:
        """Append one frame; ``rows`` as ``tables.frame_rows`` gives them."""
        types = [self._type(*key) for key in zip(rows["column"], rows["element"])]
        stack = np.array(types, int) * self._classes + rows["depth"]
        number = self._numbers[stack]
        owner, total = np.repeat(np.arange(len(stack)), number), int(number.sum())
        atom = np.arange(total) + np.repeat(self._begins[stack] - (np.cumsum(number) - number), number)
        reliable = "T" if result.reliable and not self._stamped else "F"
        self._file.write(f"{total}\n{self._facts} frame={result.number} reliable={reliable}\n".encode())
        if not total:
            return
        names = pa.array([_SPACE.sub("_", name) for name in rows["column"]])
        columns = {
            "species": pa.DictionaryArray.from_arrays(self._elements[atom], self._species).dictionary_decode(),
            **{axis: np.round(rows[f"{axis}_pm"] / 100, 4)[owner] for axis in "xy"},
            "z": self._heights[atom],
            "column": names.take(pa.array(owner)),
            "confidence": np.round(rows["confidence"], 4)[owner],
        }
        for name in ("reliable", "at_least"):
            letters = pa.DictionaryArray.from_arrays(rows[name][owner].astype(np.int8), ["F", "T"])
            columns[name] = letters.dictionary_decode()
        csv.write_csv(pa.table(columns), self._file, _OPTIONS)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _quoted(text: str) -> str:
    """A string as a value of an extxyz comment line."""
    return json.dumps(printable(text), ensure_ascii=False)
