"""Depth maps and columns of structures as one data set.

``counts``, ``depth``, ``region`` uint8 and ``weight`` float32, all (structure, y, x); the flat column table along
``column``: ``column_structure``, ``column_x_pm``, ``column_y_pm``, ``column_element`` (atomic number),
``column_atoms``.

Attributes: ``pixel_pm``, ``field_pm`` (one number for a square, else [x, y]), ``margin_pm``, ``specimen``,
``root_seed``, ``labels`` and, where the frames know it, ``crystal`` (both JSON).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from ase import Atoms
from tqdm import tqdm

from segdepth.config import Labels, check_whole_pixels
from segdepth.crystals import Crystal
from segdepth.crystals.crystal import direction
from segdepth.crystals.elements import SYMBOLS
from segdepth.errors import StoreError
from segdepth.labels.checks import MOST_COUNTED, check_elements
from segdepth.labels.ownership import by_element, nearest_column, pixel_centres_pm, within_centres
from segdepth.labels.projection import project_counts
from segdepth.labels.rings import loss_weight, ring_depth
from segdepth.specimen.columns import column_table, counted_atoms, image_places, with_columns
from segdepth.specimen.frame_facts import frame_facts

MAPS = {
    "counts": ("atoms", "atoms of the owning column that cover the pixel", np.uint8),
    "depth": ("atoms", "smoothed depth, rings around each column", np.uint8),
    "region": ("1", "atomic number of the column whose centre is near enough to be judged, else 0", np.uint8),
    "weight": ("1", "loss weight", np.float32),
}
COLUMNS = {
    "structure": ("1", "index in the plan", np.int64),
    "x_pm": ("pm", "column position along x", float),
    "y_pm": ("pm", "column position along y", float),
    "element": ("1", "atomic number", np.uint8),
    "atoms": ("atoms", "atoms in the column", np.uint8),
}


def depth_maps(
    atoms: Atoms, labels: Labels, margin_pm: float, field_pm: float | Sequence[float]
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """``counts``, ``depth``, ``region``, ``weight`` [y, x] of one structure, and its columns in and near the field.

    ``field_pm`` is its side, or its sides along x and y. With ``labels.more`` all columns of more than ``most_atoms``
    have the rings of one of ``most_atoms + 1``, in ``depth``; their ``atoms`` and ``counts`` are true.

    Raises
    ------
    ConfigError
        The block has no radii for the element of a column.
    StoreError
        A column has more atoms than there are classes for, and the block has no ``more``; or more than 255.
    """
    atoms = with_columns(atoms)
    reach = max(labels.outer_radius_pm.values()) + labels.pixel_pm
    columns = column_table(atoms, margin_pm, field_pm, reach)
    if not labels.more and len(columns) and columns["atoms"].max() > labels.most_atoms:
        raise StoreError(
            f"a column has {columns['atoms'].max()} atoms; the labels block's classes end at most_atoms, "
            f"{labels.most_atoms}"
        )
    if len(columns) and columns["atoms"].max() > MOST_COUNTED:
        raise StoreError(f"a column has {columns['atoms'].max()} atoms; depth maps hold counts up to {MOST_COUNTED}")
    check_elements("labels", labels, tuple(SYMBOLS[number] for number in columns["element"].unique()))
    pixels = [round(side / labels.pixel_pm) for side in np.broadcast_to(field_pm, 2)]
    owner, distance = nearest_column(columns["x_pm"].to_numpy(), columns["y_pm"].to_numpy(), pixels, labels.pixel_pm)
    element = columns["element"].to_numpy()
    maps = {
        "weight": loss_weight(distance, labels.weight_width_pm, labels.weight_floor),
        "region": within_centres(element, owner, distance, labels.centre_radii_pm),
    }
    if len(columns) == 0:
        return {"counts": np.zeros(owner.shape, np.uint8), "depth": np.zeros(owner.shape, np.uint8), **maps}, columns
    row_of_column = dict(zip(columns["column"], range(len(columns))))
    column = atoms.get_array("column")
    row = np.array([row_of_column.get(c, -1) for c in column])
    near = (row >= 0) & counted_atoms(atoms.numbers, column)
    x, y = (100 * image_places(atoms)[near] - margin_pm).T
    maps["counts"] = project_counts(
        x, y, row[near], by_element(labels.atom_radii_pm, atoms.numbers[near]), owner, labels.pixel_pm
    )
    core, outer = by_element(labels.core_radius_pm, element), by_element(labels.outer_radius_pm, element)
    depth_class = np.minimum(columns["atoms"].to_numpy(), labels.classes - 1)
    maps["depth"] = ring_depth(depth_class[owner], distance, core[owner], outer[owner])
    return maps, columns


def depth_dataset(frames: Sequence[Atoms], labels: Labels, text: str = "depth maps") -> xr.Dataset:
    """Depth maps and columns of the frames of one file; ``text`` labels the progress bar.

    Raises
    ------
    StoreError
        The frames do not belong into one store, or a column has more atoms than there are classes for.
    ConfigError
        Field or margin are not whole numbers of label pixels, or an element has no radii.
    """
    facts = frame_facts(frames, square=False)
    margin, field, crystal = facts[0].margin_pm, facts[0].field_pm, facts[0].crystal
    for side in np.broadcast_to(field, 2):
        check_whole_pixels("pixel_pm", labels.pixel_pm, side, margin)
    made = []
    for frame, one in zip(tqdm(frames, desc=text, unit="structure"), facts):
        maps, columns = depth_maps(frame, labels, margin, field)
        made.append((maps, columns.assign(structure=one.index)))
    table = pd.concat([columns for _, columns in made], ignore_index=True)
    variables = {
        name: (
            ("structure", "y", "x"),
            np.stack([maps[name] for maps, _ in made]).astype(kind),
            {"units": unit, "long_name": long_name},
        )
        for name, (unit, long_name, kind) in MAPS.items()
    } | {
        f"column_{name}": ("column", table[name].to_numpy(kind), {"units": unit, "long_name": long_name})
        for name, (unit, long_name, kind) in COLUMNS.items()
    }
    centres = [pixel_centres_pm(round(side / labels.pixel_pm), labels.pixel_pm) for side in np.broadcast_to(field, 2)]
    indices = [one.index for one in facts]
    along_x, along_y = _axes(crystal)
    return xr.Dataset(
        variables,
        coords={
            "structure": ("structure", indices, {"units": "1", "long_name": "index in the plan"}),
            "y": ("y", centres[1], {"units": "pm", "long_name": f"pixel centre along y{along_y}, vacuum at large y"}),
            "x": ("x", centres[0], {"units": "pm", "long_name": f"pixel centre along x{along_x}"}),
        },
        attrs={
            "title": "depth maps" + (f" of {crystal.title}" if crystal else ""),
            "pixel_pm": labels.pixel_pm,
            "labels": labels.as_json(),
            **facts[0].attributes,
        },
    )


def _axes(crystal: Crystal | None) -> tuple[str, str]:
    """The upright crystal's directions along x and y, with a comma before them."""
    return (f", {direction(crystal.x_axis)}", f", {direction(crystal.y_axis)}") if crystal else ("", "")


def read_columns(dataset: xr.Dataset, index: int) -> pd.DataFrame:
    """Columns of one structure of a depth store: ``x_pm``, ``y_pm``, ``element``, ``atoms``."""
    mine = dataset["column_structure"].values == index
    return pd.DataFrame({name: dataset[f"column_{name}"].values[mine] for name in COLUMNS if name != "structure"})
