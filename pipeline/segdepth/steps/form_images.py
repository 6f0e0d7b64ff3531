"""The job ``form-images``: a shard of exit waves in, a store of noise-free images out.

``intensity(structure, defocus, y, x)`` float32, vacuum = 1; the lens values of each image as coordinates of
(structure, defocus), named as the imaging block names them (``segdepth.simulation.lens.LENS_VALUES``). Attributes
``pixel_pm``, ``field_pm``, ``detection_efficiency``.
"""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import torch
import xarray as xr

from segdepth.config import Imaging
from segdepth.devices import torch_device
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.lens import LENS_VALUES, draw_lens_values, image_former, lens_columns
from segdepth.store.manifest import check_target, writing
from segdepth.store.zarr_store import one_at_a_time, open_zarr, write_zarr

COMMAND = "form-images"


def form_images(
    imaging: Imaging, specimen_name: str, root_seed: int, waves: Path, out: Path, code: str, device: str = "auto"
) -> None:
    """Images of every structure in a waves shard at every defocus of the imaging block."""
    check_target(out, COMMAND, [waves])
    where = torch_device(device)
    with open_zarr(waves, "simulate-waves") as store:
        indices, defocus = store["structure"].values, imaging.defocus_values_nm
        former = image_former(imaging, store.attrs, store.sizes["kx"] // 2, where)
        drawn = [
            draw_lens_values(imaging, defocus, structure_rng(root_seed, specimen_name, int(index), "lens"))
            for index in indices
        ]

        def of_structure(position: int) -> np.ndarray:
            wave = torch.as_tensor(store["wave"][position].values)
            lens = Lens.from_columns(lens_columns(drawn[position]), where)
            return former.form(wave.expand(len(defocus), -1, -1, -1), lens).cpu().numpy()

        shape = (len(defocus), former.field_pixels, former.field_pixels)
        images = one_at_a_time(of_structure, len(indices), shape, np.float32, f"images of {waves}")
        dataset = _dataset(images, indices, drawn, imaging)
        parameters = {"imaging": imaging.model_dump(mode="json")}
        with writing(
            out,
            command=COMMAND,
            code=code,
            inputs=[waves],
            parameters=parameters,
            seeds={"root_seed": root_seed, "specimen": specimen_name},
            notes={"device": str(where)},
        ) as partial:
            write_zarr(dataset, partial, leading=("structure", "defocus"), parameters=parameters)


def _dataset(images: da.Array, indices: np.ndarray, drawn: list[dict[str, np.ndarray]], imaging: Imaging) -> xr.Dataset:
    pixel, side = imaging.pixel_pm, images.shape[-1]
    centres = (np.arange(side) + 0.5) * pixel
    coordinates = {
        name: (
            ("structure", "defocus"),
            np.stack([values[name] for values in drawn]),
            {"units": value.units, "long_name": value.long_name},
        )
        for name, value in LENS_VALUES.items()
    }
    return xr.Dataset(
        {
            "intensity": (
                ("structure", "defocus", "y", "x"),
                images,
                {"units": "1", "long_name": "image intensity, vacuum = 1"},
            )
        },
        coords={
            "structure": ("structure", indices, {"units": "1", "long_name": "index in the plan"}),
            "y": ("y", centres, {"units": "pm", "long_name": "pixel centre along y, vacuum at large y"}),
            "x": ("x", centres, {"units": "pm", "long_name": "pixel centre along x, [001]"}),
            **coordinates,
        },
        attrs={
            "title": "noise-free TEM images",
            "pixel_pm": pixel,
            "field_pm": side * pixel,
            "detection_efficiency": imaging.detection_efficiency,
        },
    )
