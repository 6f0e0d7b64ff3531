"""A simulated recording in electron counts, with a camera's own pixel.

Writes an ``.npz`` with ``counts`` (y, x) uint16 (uint32 if needed) and ``pixel_pm``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from segdepth.config import Dataset, Imaging, Micrograph
from segdepth.errors import StoreError
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.configurations import stored_weights
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields, orders_of
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr

COMMAND = "record-micrograph"

RECORDINGS = 10_000
"""Separates random draws of recordings from those of stored images and of the evaluation."""


def record_micrograph(
    micrograph: Micrograph,
    imaging: Imaging,
    dataset: Dataset,
    structure: int,
    waves: Path,
    out: Path,
    *,
    code: str,
) -> None:
    """Record a structure of a shard of waves at one defocus, with shot noise.

    Parameters
    ----------
    dataset : gives the dose.
    structure : index in the plan.

    Raises
    ------
    StoreError, ConfigError
        The waves cannot be read or lack the structure, or the field is no whole number of the camera's pixels.
    """
    with open_zarr(waves, "simulate-waves") as store:
        if structure not in store["structure"].values:
            raise StoreError(f"{waves}: does not hold structure {structure}")
        seeds = {name: store.attrs[name] for name in ("root_seed", "specimen")}
        wave = torch.as_tensor(store["wave"].sel(structure=structure).values)
        weights = stored_weights(store)
        former = image_former(imaging, store.attrs, orders_of(wave), "cpu", micrograph.pixel_pm)
    drawn, noise = (structure_rng(*seeds.values(), structure, stream, RECORDINGS) for stream in ("lens", "noise"))
    lens = Lens.from_values(lens_fields(draw_lens_values(imaging, [micrograph.defocus_nm], drawn)))
    image = former.form(wave[None], lens, weights)[0].numpy()
    electrons = electrons_per_pixel(dataset.dose_lambda, micrograph.pixel_pm, imaging.detection_efficiency)
    counts = noise.poisson(np.maximum(image, 0) * electrons)
    counts = counts.astype(np.uint16 if counts.max() <= np.iinfo(np.uint16).max else np.uint32)
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[waves],
        parameters={
            "micrograph": micrograph.model_dump(mode="json"),
            "imaging": imaging.model_dump(mode="json"),
            "dose_lambda": dataset.dose_lambda,
            "structure": structure,
        },
        seeds=seeds,
        notes={"electrons_per_pixel": electrons},
    ) as partial:
        np.savez_compressed(partial, counts=counts, pixel_pm=np.float64(micrograph.pixel_pm))
