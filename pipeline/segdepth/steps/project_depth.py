"""Depth maps, loss weights and columns of a shard of atoms (see ``labels.depth``)."""

from __future__ import annotations

from pathlib import Path

from segdepth.config import Labels
from segdepth.labels.depth import depth_dataset
from segdepth.steps.atoms_files import read_atoms
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import write_zarr

COMMAND = "project-depth"


def project_depth(labels: Labels, atoms: Path, out: Path, *, code: str) -> None:
    """Depth maps of every structure in a file of atoms.

    Raises
    ------
    StoreError, ConfigError
        The atoms cannot be read, or the labels block does not suit them.
    """
    dataset = depth_dataset(read_atoms(atoms), labels, f"depth of {atoms}")
    parameters = {"labels": labels.model_dump(mode="json")}
    seeds = {"root_seed": dataset.attrs["root_seed"]}
    with write_artefact(out, command=COMMAND, code=code, inputs=[atoms], parameters=parameters, seeds=seeds) as partial:
        write_zarr(dataset, partial, parameters=parameters)
