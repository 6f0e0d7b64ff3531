"""A montage of a shard's structures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from segdepth.errors import StoreError
from segdepth.evaluation.examples import evenly_spaced
from segdepth.figures.montage import Shard, draw, thin_and_thick
from segdepth.steps.atoms_files import read_atoms
from segdepth.steps.pictures import save_figure
from segdepth.store.manifest import check_whole, manifest_path, read_manifest
from segdepth.store.zarr_store import open_zarr

COMMAND = "plot-montage"


def plot_montage(atoms: Path, plan: Path, depth: Path, images: Path, out: Path, *, code: str) -> None:
    """Draw six structures of a shard, or as many as differ, to ``out`` (.png) and its .pdf.

    Parameters
    ----------
    atoms, depth, images : the same shard.
    plan : that the atoms were built from.

    Raises
    ------
    StoreError
        The files do not belong together, are of another kind or hold no structure.
    """
    _check_together(atoms, plan, depth, images)
    with open_zarr(depth) as maps, open_zarr(images) as pictures:
        shard = _read(atoms, plan, maps, pictures)
        structures = thin_and_thick(shard.plan)
        defoci = evenly_spaced(pictures.sizes["defocus"], len(structures))
        fig = draw(shard, structures, defoci)
    shown = {"structures": structures, "defocus": defoci}
    save_figure(fig, out, command=COMMAND, code=code, inputs=[atoms, plan, depth, images], parameters=shown)


def _check_together(atoms: Path, plan: Path, depth: Path, images: Path) -> None:
    """Each file must be made from the one before it; images are matched by specimen and seed, and by their waves where
    these exist."""
    planned = check_whole(plan, "plan-specimens")
    built = check_whole(atoms, "build-specimens")
    projected, formed = check_whole(depth, "project-depth"), check_whole(images, "form-images")
    if not _read_from(built, planned):
        raise StoreError(f"{atoms}: was not built from {plan}")
    if not _read_from(projected, built):
        raise StoreError(f"{depth}: was not projected from {atoms}")
    waves = [images.resolve().parent / given["path"] for given in formed["inputs"]]
    simulated = [read_manifest(path) for path in waves if manifest_path(path).exists()]
    if any(_read_from(formed, one) and not _read_from(one, built) for one in simulated):
        raise StoreError(f"{images}: was not formed from the waves of {atoms}")


def _read_from(later: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Whether one manifest names what the other describes among its inputs."""
    return earlier["content"] in [given["content"] for given in later["inputs"]]


def _read(atoms: Path, plan: Path, maps: xr.Dataset, pictures: xr.Dataset) -> Shard:
    frames = {int(frame.info["index"]): frame for frame in read_atoms(atoms)}
    if not frames:
        raise StoreError(f"{atoms}: holds no structure")
    try:
        rows = pd.read_csv(plan).set_index("index").loc[sorted(frames)]
    except (OSError, ValueError, KeyError) as failure:
        raise StoreError(f"{plan}: cannot be read ({failure})") from None
    info = next(iter(frames.values())).info
    if (str(info["specimen"]), int(info["root_seed"])) != (pictures.attrs["specimen"], pictures.attrs["root_seed"]):
        raise StoreError(f"the images were not formed from the waves of {atoms}")
    for store, kind in ((maps, "depth maps"), (pictures, "images")):
        if set(store["structure"].values.tolist()) != set(frames):
            raise StoreError(f"{atoms}: holds other structures than the store of {kind}")
    if pictures.sizes["defocus"] == 0:
        raise StoreError("the store of images holds no image")
    return Shard(frames, rows, maps, pictures)
