"""The step ``predict-micrograph``: a micrograph and a network in, a folder with maps and columns out.

``prediction.zarr`` (chunks of one frame and class) and ``columns.csv``: see ``segdepth.micrograph.maps``.
"""

from __future__ import annotations

from pathlib import Path

import zarr
from tqdm import tqdm

from segdepth.config import PredictionOptions
from segdepth.devices import torch_device
from segdepth.micrograph.maps import STORE, TABLE, empty_maps, joined_columns, put_frame, write_columns
from segdepth.micrograph.predict import check_recording, predict_recording, serve
from segdepth.micrograph.readers import read_micrograph
from segdepth.networks.files import load_network
from segdepth.networks.flip_average import FlipAverage
from segdepth.store.manifest import check_target, check_whole, manifest_path, write_artefact
from segdepth.store.zarr_store import write_zarr

COMMAND = "predict-micrograph"


def predict_micrograph(
    prediction: PredictionOptions,
    source: Path,
    model: Path,
    out: Path,
    *,
    code: str = "unknown",
    device: str = "auto",
) -> list[str]:
    """Predict a micrograph or movie; each frame by itself.

    Parameters
    ----------
    prediction : how the micrograph is read and predicted.
    source : ``.npy``, ``.npz`` or ``.tif``, see ``segdepth.micrograph.readers``.
    model : folder of a trained network.
    out : folder that is made, or replaced where it is an earlier prediction.
    code : hash of the code, for the manifest.
    device : ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    Lines that the user should see; they are in the store's attribute ``warnings`` too.

    Raises
    ------
    SegDepthError
        Anything wrong with the input, before anything is written.
    """
    where = torch_device(device)
    if manifest_path(model).exists():  # a network that came from elsewhere has none
        check_whole(model, ("train-model", "export-model"))
    trained, card = load_network(model, where)
    network = serve(trained, prediction)
    check_target(out, COMMAND, [source, model])
    task = check_recording(read_micrograph(source, prediction.key), card, prediction)
    looks = 2 if isinstance(trained, FlipAverage) and prediction.flip_average else 1
    parameters = {**prediction.parameters, "bfloat16": network.half, "looks": looks}
    warnings, tables = list(task.warnings), []
    with write_artefact(
        out, command=COMMAND, code=code, inputs=[source, model], parameters=parameters, notes={"device": str(where)}
    ) as partial:
        partial.mkdir()
        write_zarr(empty_maps(task), partial / STORE, leading=("frame", "class"), parameters=parameters)
        store = zarr.open_group(partial / STORE, mode="r+")
        with tqdm(total=task.tiles, desc=f"depth of {source.name}", unit="tile") as bar:
            for i, found in enumerate(predict_recording(network, task, bar.update)):
                put_frame(store, i, found)
                tables.append(found.columns)
                warnings += found.warnings
        store.attrs["warnings"] = warnings
        write_columns(joined_columns(tables), partial / TABLE)
    return warnings
