"""Noise-free images of a shard of exit waves (see ``simulation.datasets.images_dataset``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from segdepth.config import Imaging
from segdepth.devices import one_thread, torch_device
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.configurations import stored_weights
from segdepth.simulation.datasets import images_dataset
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields, orders_of
from segdepth.store.manifest import check_target, write_artefact
from segdepth.store.zarr_store import one_at_a_time, open_zarr, write_zarr

COMMAND = "form-images"


def form_images(imaging: Imaging, waves: Path, out: Path, *, code: str, device: str = "auto") -> None:
    """Images of every structure in a shard of waves at every defocus of the imaging block.

    Each structure's lens values come from its stream ``lens``.

    Raises
    ------
    StoreError, ConfigError
        The waves cannot be read, or hold less than the aperture passes, or their field is no whole number of pixels.
    """
    check_target(out, COMMAND, [waves])
    where = torch_device(device)
    with open_zarr(waves, "simulate-waves") as store, one_thread():
        indices, defocus = store["structure"].values, imaging.defocus_values_nm
        weights = stored_weights(store)
        former = image_former(imaging, store.attrs, orders_of(store["wave"]), where)
        seeds = {name: store.attrs[name] for name in ("root_seed", "specimen")}
        lenses = [
            draw_lens_values(imaging, defocus, structure_rng(*seeds.values(), int(index), "lens")) for index in indices
        ]

        def of_structure(position: int) -> np.ndarray:
            wave = torch.as_tensor(store["wave"][position].values)
            lens = Lens.from_values(lens_fields(lenses[position]), where)
            return former.form(wave.expand(len(defocus), -1, -1, -1), lens, weights).cpu().numpy()

        shape = (len(defocus), *former.field_shape)
        images = one_at_a_time(of_structure, len(indices), shape, np.float32, f"images of {waves}")
        dataset = images_dataset(images, imaging, store.attrs, indices, lenses)
        parameters = {"imaging": imaging.model_dump(mode="json")}
        notes = {"device": str(where)}
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[waves], parameters=parameters, seeds=seeds, notes=notes
        ) as partial:
            write_zarr(dataset, partial, leading=("structure", "defocus"), parameters=parameters)
