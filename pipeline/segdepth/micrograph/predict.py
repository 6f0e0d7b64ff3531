"""The job ``predict-micrograph``: a micrograph and a network in, a folder with maps and columns out.

``prediction.zarr``, on the input's own pixels (chunks of one frame and class):

=============== ======= ================== =====================================================================
variable        type    dimensions         meaning
=============== ======= ================== =====================================================================
depth           uint8   frame, y, x        most probable number of atoms (SegDepth eq. 4); 255 where not valid
confidence      float32 frame, y, x        its probability (eq. 5); NaN where not valid
valid           bool    frame, y, x        False where the input was masked
counts          float32 frame, y, x        the input over its vacuum level, so that vacuum = 1; NaN where not valid
probabilities   float16 frame, class, y, x of 0 … 10 atoms; NaN where not valid
vacuum_level    float64 frame              counts per input pixel in vacuum
=============== ======= ================== =====================================================================

Attributes: ``pixel_pm``, ``rotation_deg``, ``flip``, ``dose_lambda`` (of each frame), ``network_dose_lambda``,
``network_pixel_pm``, ``electrons`` (re-binned one by one, or area means), ``warnings``, ``invalid_depth``.
``columns.csv``: ``frame,x_pm,y_pm,element,depth,confidence``; origin at the corner of the input's pixel [0, 0], x along
axis 1, y along axis 0, element ``Ce`` or ``O``. Must not know how anything is drawn or how networks are trained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
import zarr
from scipy import ndimage
from torch import nn
from tqdm import tqdm

from segdepth.config import NETWORK_STRIDE
from segdepth.devices import torch_device
from segdepth.micrograph.columns import COLUMNS, find_columns
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.preparation import (
    Checked,
    Prepared,
    check_frames,
    check_geometry,
    compare_dose,
    dose_lambda_of,
    prepare_frame,
)
from segdepth.micrograph.readers import read_micrograph
from segdepth.micrograph.tiling import apply_tiled, count_tiles
from segdepth.networks.files import NetworkCard, load_network
from segdepth.networks.flip_average import FlipAverage
from segdepth.networks.serving import ServedNetwork
from segdepth.store.manifest import check_target, check_whole, writing
from segdepth.store.zarr_store import write_zarr

COMMAND = "predict-micrograph"
STORE, TABLE = "prediction.zarr", "columns.csv"
INVALID_DEPTH = 255
HEADER = ["frame", *COLUMNS]
NO_COLUMNS = "no columns on a CeO2 [110] lattice were found; are pixel size and rotation right?"
ROWS = 512
"""Input rows that are mapped back at a time."""


def training_tile(card: NetworkCard) -> int:
    """Side of the field the network was trained on in input pixels, a multiple of the network's stride."""
    return max(NETWORK_STRIDE, round(card.field_pm / card.input_pixel_pm / NETWORK_STRIDE) * NETWORK_STRIDE)


def predict_frame(
    network: nn.Module, card: NetworkCard, image: np.ndarray, progress: Callable[[], None] | None = None
) -> np.ndarray:
    """Probabilities float32 (class, row, column) on label pixels, of an image (row, column) with vacuum = 1."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))

    def function(tile: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.ascontiguousarray(tile))[None, None].to(device, memory_format=torch.channels_last)
        return torch.softmax(network(batch), dim=1)[0].cpu().numpy()

    shrink = round(card.label_pixel_pm / card.input_pixel_pm)
    with torch.inference_mode():
        return apply_tiled(
            function, image, tile=training_tile(card), stride=NETWORK_STRIDE, shrink=shrink, progress=progress
        )


def predict_frames(
    network: nn.Module,
    card: NetworkCard,
    prepared: Sequence[Prepared] | Iterator[Prepared],
    progress: Callable[[], None] | None = None,
) -> Iterator[np.ndarray]:
    """``predict_frame`` for one prepared frame after the other; each by itself."""
    for frame in prepared:
        yield predict_frame(network, card, frame.image, progress)


@dataclass(frozen=True)
class Maps:
    """On the input's pixels: probabilities float16 (class, y, x); depth uint8 and confidence float32 (y, x)."""

    probabilities: np.ndarray
    depth: np.ndarray
    confidence: np.ndarray


def map_back(probabilities: np.ndarray, transform: FrameTransform, label_pixel_pm: float) -> Maps:
    """Maps at the centres of the input's pixels, from probabilities (class, row, column) on label pixels.

    Bilinear between label pixels' centres, the nearest one beyond the outermost; each vector is normalised. Depth is
    its most probable class and confidence that class's probability (SegDepth eqs. 4 and 5).
    """
    height, width = transform.shape
    out = np.empty((len(probabilities), height, width), dtype=np.float16)
    depth, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    x = (np.arange(width)[None, :] + 0.5) * transform.pixel_pm
    for top in range(0, height, ROWS):
        y = (np.arange(top, min(top + ROWS, height))[:, None] + 0.5) * transform.pixel_pm
        u, v = transform.forward(x, y)
        places = np.stack([v / label_pixel_pm - 0.5, u / label_pixel_pm - 0.5])
        part = np.stack([ndimage.map_coordinates(p, places, order=1, mode="nearest") for p in probabilities])
        part /= part.sum(axis=0)
        here = slice(top, top + ROWS)
        out[:, here], depth[here], confidence[here] = part, part.argmax(axis=0), part.max(axis=0)
    return Maps(out, depth, confidence)


def _valid_labels(prepared: Prepared, shape: tuple[int, int], shrink: int) -> np.ndarray:
    """Label pixels at least half of whose input pixels are valid."""
    rows, columns = shape
    padded = np.zeros((rows * shrink, columns * shrink))
    padded[: prepared.valid.shape[0], : prepared.valid.shape[1]] = prepared.valid
    return padded.reshape(rows, shrink, columns, shrink).mean(axis=(1, 3)) >= 0.5


def frame_columns(probabilities: np.ndarray, card: NetworkCard, prepared: Prepared, usable: np.ndarray) -> pd.DataFrame:
    """Columns of one frame in the input's coordinates; those outside of it or under its mask are left out."""
    shrink = round(card.label_pixel_pm / card.input_pixel_pm)
    valid = _valid_labels(prepared, probabilities.shape[1:], shrink)
    table = find_columns(probabilities, card.label_pixel_pm, valid=valid, labels=card.labels)
    if table.empty:
        return table
    transform = prepared.transform
    x, y = transform.inverse(table["x_pm"].to_numpy(float), table["y_pm"].to_numpy(float))
    j, i = (np.floor(values / transform.pixel_pm).astype(int) for values in (x, y))
    here = (i >= 0) & (i < transform.shape[0]) & (j >= 0) & (j < transform.shape[1])
    here[here] &= usable[i[here], j[here]]
    return table.assign(x_pm=x, y_pm=y)[here].reset_index(drop=True)


def _empty_store(
    path: Path, checked: Checked, transform: FrameTransform, classes: int, attrs: dict, parameters: dict
) -> None:
    """The store with its attributes and coordinates and no data yet: frames are written one by one."""
    number, (height, width) = len(checked.frames), transform.shape

    def empty(kind: type, *dims: str) -> tuple[tuple[str, ...], np.ndarray]:
        sizes = {"frame": number, "class": classes, "y": height, "x": width}
        return dims, np.broadcast_to(np.zeros((), kind), tuple(sizes[d] for d in dims))

    frame = ("frame", "y", "x")
    dataset = xr.Dataset(
        {
            "depth": (*empty(np.uint8, *frame), {"units": "atoms", "long_name": "depth, 255 where not valid"}),
            "confidence": (*empty(np.float32, *frame), {"units": "1", "long_name": "probability of the depth"}),
            "valid": (*empty(np.bool_, *frame), {"units": "1", "long_name": "pixel was not masked"}),
            "counts": (*empty(np.float32, *frame), {"units": "1", "long_name": "counts as read, vacuum = 1"}),
            "probabilities": (
                *empty(np.float16, "frame", "class", "y", "x"),
                {"units": "1", "long_name": "probability of each depth"},
            ),
            "vacuum_level": (
                "frame",
                [v.level for v in checked.vacuum],
                {"units": "counts", "long_name": "counts per pixel in vacuum"},
            ),
        },
        coords={
            "frame": ("frame", np.arange(number), {"units": "1", "long_name": "frame"}),
            "class": ("class", np.arange(classes), {"units": "atoms", "long_name": "depth"}),
            "y": (
                "y",
                (np.arange(height) + 0.5) * transform.pixel_pm,
                {"units": "pm", "long_name": "pixel centre along axis 0 of the input"},
            ),
            "x": (
                "x",
                (np.arange(width) + 0.5) * transform.pixel_pm,
                {"units": "pm", "long_name": "pixel centre along axis 1 of the input"},
            ),
        },
        attrs={"title": "depth maps of a micrograph", **attrs},
    )
    write_zarr(dataset, path, leading=("frame", "class"), parameters=parameters)


def predict_micrograph(
    input: str | Path,
    out: str | Path,
    *,
    pixel_pm: float | None,
    model: str | Path,
    key: str | None = None,
    invalid: float | None = None,
    rotation_deg: float = 0.0,
    flip: bool = False,
    dose: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    once: bool = False,
    code: str = "unknown",
    draw: Callable[[Path], None] | None = None,
) -> list[str]:
    """Predict a micrograph or movie; each frame by itself.

    Parameters
    ----------
    input : ``.npy``, ``.npz`` or ``.tif``, see ``readers``.
    out : folder that is made, or replaced where it is an earlier prediction.
    pixel_pm : side of the input's pixel.
    model : folder of a trained network.
    key, invalid, dose : see ``readers.read_micrograph`` and ``preparation.check_frames``.
    rotation_deg, flip : see ``geometry``; afterwards [001] must lie along x and the vacuum at large rows.
    device : ``auto``, ``cpu`` or ``cuda``.
    precision : ``auto``, ``float32`` or ``bfloat16``, see ``serving``.
    once : a mirrored network looks at each frame, and not at its mirror image too: in half the time.
    code : hash of the code, for the manifest.
    draw : called with the unfinished folder once store and table are in it, to add a picture.

    Returns
    -------
    Lines that the user should see; they are in the store's attribute ``warnings`` too.

    Raises
    ------
    ConfigError
        Anything wrong with the input, before anything is written.
    """
    source, out, model = Path(input), Path(out), Path(model)
    where = torch_device(device)
    trained, card = load_network(model, where)
    if once and isinstance(trained, FlipAverage):
        trained = trained.network
    network = ServedNetwork(trained, precision)
    check_target(out, COMMAND, [source, model])
    recording = read_micrograph(source, key)
    transform = check_geometry(recording.frames.shape[1:], pixel_pm, card.input_pixel_pm, rotation_deg, flip)
    checked = check_frames(recording, transform.pixel_pm, invalid=invalid, dose=dose)
    warnings = [*checked.warnings, *compare_dose(checked.vacuum, transform, card.doses)]
    parameters = {
        "pixel_pm": transform.pixel_pm,
        "key": key,
        "invalid": None if invalid is None else str(invalid),
        "rotation_deg": transform.rotation_deg,
        "flip": transform.flip,
        "dose": dose,
        "bfloat16": network.half,
        "looks": 2 if isinstance(trained, FlipAverage) else 1,
    }
    attrs = {
        "pixel_pm": transform.pixel_pm,
        "rotation_deg": transform.rotation_deg,
        "flip": int(transform.flip),
        "electrons": int(checked.electrons),
        "dose_lambda": [dose_lambda_of(v.level, transform.pixel_pm) for v in checked.vacuum],
        "network_dose_lambda": list(card.doses),
        "network_pixel_pm": card.input_pixel_pm,
        "invalid_depth": INVALID_DEPTH,
        "network": json.dumps(card.labels, sort_keys=True),
    }
    number = len(checked.frames)
    tiles = count_tiles(transform.grid_shape, tile=training_tile(card), stride=NETWORK_STRIDE)
    with writing(
        out, command=COMMAND, code=code, inputs=[source, model], parameters=parameters, notes={"device": str(where)}
    ) as partial:
        partial.mkdir()
        _empty_store(partial / STORE, checked, transform, card.classes, attrs, parameters)
        store = zarr.open_group(partial / STORE, mode="r+")
        tables = []
        with tqdm(total=number * tiles, desc=f"depth of {source.name}", unit="tile") as bar:
            for i, (frame, usable, vacuum) in enumerate(zip(checked.frames, checked.usable, checked.vacuum)):
                prepared = prepare_frame(frame, usable, vacuum.level, transform, electrons=checked.electrons, number=i)
                probabilities = predict_frame(network, card, prepared.image, bar.update)
                columns = frame_columns(probabilities, card, prepared, usable)
                if columns.empty:
                    warnings.append(f"frame {i}: {NO_COLUMNS}")
                tables.append(columns.assign(frame=i))
                mapped = map_back(probabilities, transform, card.label_pixel_pm)
                _write_frame(store, i, mapped, frame / vacuum.level, usable)
        store.attrs["warnings"] = warnings
        _write_table(tables, partial / TABLE)
        if draw is not None:
            draw(partial)
    return warnings


def _write_frame(store: zarr.Group, i: int, maps: Maps, counts: np.ndarray, usable: np.ndarray) -> None:
    """One frame's maps; what is masked becomes 255 or NaN."""
    store["depth"][i] = np.where(usable, maps.depth, INVALID_DEPTH)
    store["confidence"][i] = np.where(usable, maps.confidence, np.nan)
    store["valid"][i] = usable
    store["counts"][i] = np.where(usable, counts, np.nan)
    store["probabilities"][i] = np.where(usable, maps.probabilities, np.float16(np.nan))


def _write_table(tables: Sequence[pd.DataFrame], path: Path) -> None:
    filled = [table for table in tables if not table.empty]
    table = pd.concat(filled, ignore_index=True)[HEADER] if filled else pd.DataFrame(columns=HEADER)
    table.round({"x_pm": 2, "y_pm": 2, "confidence": 4}).to_csv(path, index=False, lineterminator="\n")


def open_prediction(out: str | Path) -> xr.Dataset:
    """The maps of a finished prediction, lazily."""
    check_whole(out)
    return open_maps(out)


def open_maps(folder: str | Path) -> xr.Dataset:
    """The maps in a folder that need not be finished: what ``draw`` is given."""
    return xr.open_zarr(Path(folder) / STORE, consolidated=False, chunks=None)
