"""The job ``record-micrograph``: a simulated recording in electron counts, with a camera pixel of its own.

Writes an ``.npz`` with ``counts`` (y, x) uint16 (uint32 where it must) and ``pixel_pm``: what a counting camera would
hand to the prediction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from segdepth.config import Imaging, Micrograph
from segdepth.errors import StoreError
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.lens import draw_lens_values, image_former, lens_columns
from segdepth.store.manifest import writing
from segdepth.store.zarr_store import open_zarr

NOISE_OF_RECORDINGS = 10_000
"""Keeps the noise of recordings apart from that of the evaluation's images."""


def record_micrograph(
    micrograph: Micrograph,
    imaging: Imaging,
    dose_lambda: float,
    specimen_name: str,
    root_seed: int,
    index: int,
    waves: Path,
    out: Path,
    code: str,
) -> None:
    """Record structure ``index`` of a waves shard at one defocus, with shot noise."""
    with open_zarr(waves, "simulate-waves") as store:
        if index not in store["structure"].values:
            raise StoreError(f"{waves}: does not hold structure {index}")
        wave = torch.as_tensor(store["wave"].sel(structure=index).values)
        former = image_former(imaging, store.attrs, wave.shape[-1] // 2, "cpu", micrograph.pixel_pm)
    rng = structure_rng(root_seed, specimen_name, index, "noise", NOISE_OF_RECORDINGS)
    lens = Lens.from_columns(lens_columns(draw_lens_values(imaging, [micrograph.defocus_nm], rng)))
    image = former.form(wave[None], lens)[0].numpy()
    electrons = electrons_per_pixel(dose_lambda, micrograph.pixel_pm, imaging.detection_efficiency)
    counts = rng.poisson(np.maximum(image, 0) * electrons)
    counts = counts.astype(np.uint16 if counts.max() <= np.iinfo(np.uint16).max else np.uint32)
    with writing(
        out,
        command="record-micrograph",
        code=code,
        inputs=[waves],
        parameters={
            "micrograph": micrograph.model_dump(mode="json"),
            "imaging": imaging.model_dump(mode="json"),
            "dose_lambda": dose_lambda,
            "structure": index,
        },
        seeds={"root_seed": root_seed, "specimen": specimen_name},
        notes={"electrons_per_pixel": electrons},
    ) as partial:
        np.savez_compressed(partial, counts=counts, pixel_pm=np.float64(micrograph.pixel_pm))
