"""The step ``measure-boundary``: gradients of the class probabilities with respect to a micrograph, at the boundary of
the crystal and in the vacuum.

It writes ``gradients.zarr``: see ``segdepth.evaluation.gradients``. Its attributes ``affine_to_file_pm``,
``file_shape`` and ``file_pixel_pm`` are those of the prediction (``segdepth.micrograph.results.maps``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segdepth.devices import torch_device
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.gradients import gradients_of_frame
from segdepth.micrograph.results.maps import STORE
from segdepth.networks.bundled import name_of
from segdepth.networks.files import load_network
from segdepth.simulation.detector import electrons_per_square_angstrom
from segdepth.steps.measure_gradients import GRADIENTS
from segdepth.store.manifest import check_whole, write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

COMMAND = "measure-boundary"


def measure_boundary(
    prediction: Path, model: Path, out: Path, *, frame: int = 0, code: str, device: str = "auto"
) -> None:
    """Gradients of the network in ``model`` on a frame as ``segdepth predict`` prepared it.

    Parameters
    ----------
    prediction : folder of a prediction with this network.
    frame : place among the frames of the prediction.

    Raises
    ------
    ConfigError
        There is no such frame, or the network reads other pixels than those of the prediction.
    StoreError
        The prediction or the network is missing or damaged, or the frame was lost.
    """
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, torch_device(device))
    network.requires_grad_(False)
    with open_zarr(prediction, "predict-micrograph", part=STORE) as store:
        if not 0 <= frame < store.sizes["frame"]:
            raise ConfigError(f"frame: got {frame}; the prediction has {store.sizes['frame']}, numbered from 0")
        pixels = float(store.attrs["input_pixel_pm"]), float(store.attrs["label_pixel_pm"])
        if not np.allclose(pixels, (card.input_pixel_pm, card.label_pixel_pm)):
            raise ConfigError(
                f"{model}: reads other pixels than those of {prediction}; give the network that predicted it"
            )
        if bool(store["lost"][frame]):
            raise StoreError(f"{prediction}: frame {frame} could not be read; give another one")
        image = np.nan_to_num(store["counts"][frame].values, nan=1.0)
        dose = float(store["dose"][frame]) / electrons_per_square_angstrom(1.0)
        facts = {name: store.attrs[name] for name in ("source", "affine_to_file_pm", "file_shape")}
        facts |= {"file_pixel_pm": store.attrs["pixel_pm"], "frame": int(store["frame"][frame])}
    parameters = {"frame": frame}
    with write_artefact(out, command=COMMAND, code=code, inputs=[prediction, model], parameters=parameters) as partial:
        found = gradients_of_frame(network, image, dose, pixel_pm=pixels[0], label_pixel_pm=pixels[1])
        facts |= {"model": name_of(model), "classes": card.classes, "trained_lambda": list(card.doses)}
        facts |= {"base_channels": card.base_channels, "variant": card.variant}
        partial.mkdir()
        write_zarr(found.assign_attrs(facts), partial / GRADIENTS, leading=("place",), parameters=parameters)
