"""The job ``project-depth``: a shard of atoms in, a store of depth maps and columns out.

``counts``, ``depth``, ``region`` uint8 and ``weight`` float32, all (structure, y, x); the flat column table along
``column``:
``column_structure``, ``column_x_pm``, ``column_y_pm``, ``column_element`` (atomic number), ``column_atoms``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from ase import Atoms
from tqdm import tqdm

from segdepth.config import CLASSES, Labels, check_whole_pixels
from segdepth.errors import StoreError
from segdepth.labels.ownership import nearest_column, pixel_centres_pm
from segdepth.labels.projection import by_element, project_counts
from segdepth.labels.regions import within_centres
from segdepth.labels.smoothing import ring_depth
from segdepth.labels.weights import loss_weight
from segdepth.specimen.columns import column_table
from segdepth.steps.atoms_files import read_atoms
from segdepth.store.manifest import read_manifest, writing
from segdepth.store.zarr_store import open_zarr, write_zarr


def depth_maps(
    atoms: Atoms, labels: Labels, margin_pm: float, field_pm: float
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """``counts``, ``depth``, ``region``, ``weight`` [y, x] of one structure, and its columns in and near the field.

    Raises
    ------
    StoreError
        A column has more atoms than there are classes for.
    """
    reach = max(labels.outer_radius_pm.values()) + labels.pixel_pm
    columns = column_table(atoms, margin_pm, field_pm, reach)
    if len(columns) and columns["atoms"].max() >= CLASSES:
        raise StoreError(f"a column has {columns['atoms'].max()} atoms; the classes end at {CLASSES - 1}")
    pixels = round(field_pm / labels.pixel_pm)
    owner, distance = nearest_column(columns["x_pm"].to_numpy(), columns["y_pm"].to_numpy(), pixels, labels.pixel_pm)
    element = columns["element"].to_numpy()
    maps = {
        "weight": loss_weight(distance, labels.weight_width_pm, labels.weight_floor),
        "region": within_centres(element, owner, distance),
    }
    if len(columns) == 0:
        return {"counts": np.zeros(owner.shape, np.uint8), "depth": np.zeros(owner.shape, np.uint8), **maps}, columns
    row_of_column = dict(zip(columns["column"], range(len(columns))))
    row = np.array([row_of_column.get(c, -1) for c in atoms.get_array("column")])
    near = row >= 0
    x, y = (100 * atoms.positions[near, :2] - margin_pm).T
    maps["counts"] = project_counts(
        x, y, row[near], by_element(labels.atom_radius_pm, atoms.numbers[near]), owner, labels.pixel_pm
    )
    core, outer = by_element(labels.core_radius_pm, element), by_element(labels.outer_radius_pm, element)
    maps["depth"] = ring_depth(columns["atoms"].to_numpy()[owner], distance, core[owner], outer[owner])
    return maps, columns


def project_depth(labels: Labels, atoms: Path, out: Path, code: str) -> None:
    """Depth maps of every structure in an atoms shard."""
    frames = read_atoms(atoms)
    specimen = read_manifest(atoms)["parameters"]["specimen"]
    margin, field = specimen["margin_pm"], specimen["field_pm"]
    check_whole_pixels("pixel_pm", labels.pixel_pm, field, margin)
    maps, tables = [], []
    for frame in tqdm(frames, desc=f"depth of {atoms}", unit="structure"):
        one, columns = depth_maps(frame, labels, margin, field)
        maps.append(one)
        tables.append(columns.assign(structure=frame.info["index"]))
    table = pd.concat(tables, ignore_index=True)
    texts = {
        "counts": ("atoms", "atoms of the owning column that cover the pixel", np.uint8),
        "depth": ("atoms", "smoothed depth, rings around each column", np.uint8),
        "region": ("1", "atomic number of the column whose centre is near enough to be judged, else 0", np.uint8),
        "weight": ("1", "loss weight", np.float32),
    }
    centres = pixel_centres_pm(maps[0]["depth"].shape[0], labels.pixel_pm)
    dataset = xr.Dataset(
        {
            **{
                name: (
                    ("structure", "y", "x"),
                    np.stack([m[name] for m in maps]).astype(kind),
                    {"units": unit, "long_name": text},
                )
                for name, (unit, text, kind) in texts.items()
            },
            "column_structure": (
                "column",
                table["structure"].to_numpy(np.int64),
                {"units": "1", "long_name": "index in the plan"},
            ),
            "column_x_pm": (
                "column",
                table["x_pm"].to_numpy(float),
                {"units": "pm", "long_name": "column position along x"},
            ),
            "column_y_pm": (
                "column",
                table["y_pm"].to_numpy(float),
                {"units": "pm", "long_name": "column position along y"},
            ),
            "column_element": (
                "column",
                table["element"].to_numpy(np.uint8),
                {"units": "1", "long_name": "atomic number"},
            ),
            "column_atoms": (
                "column",
                table["atoms"].to_numpy(np.uint8),
                {"units": "atoms", "long_name": "atoms in the column"},
            ),
        },
        coords={
            "structure": (
                "structure",
                [f.info["index"] for f in frames],
                {"units": "1", "long_name": "index in the plan"},
            ),
            "y": ("y", centres, {"units": "pm", "long_name": "pixel centre along y, vacuum at large y"}),
            "x": ("x", centres, {"units": "pm", "long_name": "pixel centre along x, [001]"}),
        },
        attrs={"title": "depth maps of CeO2 wedges", "pixel_pm": labels.pixel_pm, "field_pm": field},
    )
    parameters = {"labels": labels.model_dump(mode="json")}
    with writing(
        out,
        command="project-depth",
        code=code,
        inputs=[atoms],
        parameters=parameters,
        seeds={"structures": {f.info["id"]: int(f.info["seed"]) for f in frames}},
    ) as partial:
        write_zarr(dataset, partial, parameters=parameters)


def read_columns(store: str | Path | xr.Dataset, index: int) -> pd.DataFrame:
    """Columns of one structure: ``x_pm``, ``y_pm``, ``element``, ``atoms``."""
    dataset = store if isinstance(store, xr.Dataset) else open_zarr(store)
    mine = dataset["column_structure"].values == index
    return pd.DataFrame({name: dataset[f"column_{name}"].values[mine] for name in ("x_pm", "y_pm", "element", "atoms")})
