"""From a recording and a network to depth maps on the recording's own pixels, and columns. Nothing is written.

``check_recording`` checks the input before anything is computed; ``predict_recording`` then gives one frame after the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from torch import nn

from segdepth.config import NETWORK_STRIDE, PredictionOptions
from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.micrograph.columns import find_columns
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.preparation import (
    Checked,
    Prepared,
    check_frames,
    check_geometry,
    compare_dose,
    prepare_frame,
)
from segdepth.micrograph.readers import Recording
from segdepth.micrograph.tiling import apply_tiled, count_tiles
from segdepth.networks.card import NetworkCard
from segdepth.networks.flip_average import FlipAverage
from segdepth.networks.serving import ServedNetwork

ROWS = 512
"""Input rows that are mapped back at a time."""


@dataclass(frozen=True)
class Task:
    """A recording that can be predicted.

    checked : its frames. transform : from their pixels to the network's. card : the network's. crystal : the
    specimen's. warnings : lines for the user.
    """

    checked: Checked
    transform: FrameTransform
    card: NetworkCard
    crystal: Crystal
    warnings: tuple[str, ...]

    @property
    def tiles(self) -> int:
        """Number of tiles of all frames."""
        each = count_tiles(self.transform.grid_shape, tile=training_tile(self.card), stride=NETWORK_STRIDE)
        return len(self.checked.frames) * each


def crystal_of(card: NetworkCard) -> Crystal:
    """The crystal that a network was trained on.

    Raises
    ------
    StoreError
        Its card has no crystal, or no labels, whose radii are needed to find columns.
    """
    for name in ("crystal", "labels"):
        if not getattr(card, name):
            raise StoreError(f"network.json: {name!r} is empty: it cannot predict; train or export the network again")
    return Crystal.from_dict(card.crystal)


def serve(trained: nn.Module, options: PredictionOptions) -> ServedNetwork:
    """A trained network as it predicts.

    Raises
    ------
    ConfigError
        There is no such precision.
    """
    if not options.flip_average and isinstance(trained, FlipAverage):
        trained = trained.network
    return ServedNetwork(trained, options.precision)


def check_recording(recording: Recording, card: NetworkCard, options: PredictionOptions) -> Task:
    """Check a recording before anything is computed.

    Raises
    ------
    ConfigError
        An option is not allowed.
    MicrographError
        The frames are no counts, or no vacuum is found.
    StoreError
        The network's card has no crystal or no labels.
    """
    crystal = crystal_of(card)
    transform = check_geometry(
        recording.frames.shape[1:], options.pixel_pm, card.input_pixel_pm, options.rotation_deg, options.flip
    )
    checked = check_frames(recording, transform.pixel_pm, invalid=options.invalid, vacuum_counts=options.vacuum_counts)
    warnings = (*checked.warnings, *compare_dose(checked.vacuum, transform, card.doses))
    return Task(checked, transform, card, crystal, warnings)


@dataclass(frozen=True)
class PredictedFrame:
    """maps : on the input's pixels. counts : (y, x) over the vacuum level. usable : (y, x) bool, False where masked.
    columns : in the input's coordinates. warnings : lines for the user."""

    maps: Maps
    counts: np.ndarray
    usable: np.ndarray
    columns: pd.DataFrame
    warnings: tuple[str, ...]


def predict_recording(
    network: nn.Module, task: Task, progress: Callable[[], None] | None = None
) -> Iterator[PredictedFrame]:
    """One frame after the other; each by itself.

    Parameters
    ----------
    network : of ``serve``.
    progress : called after each tile.
    """
    checked = task.checked
    for i, (frame, usable, vacuum) in enumerate(zip(checked.frames, checked.usable, checked.vacuum)):
        lines: list[str] = []
        prepared = prepare_frame(frame, usable, vacuum.level, task.transform, electrons=checked.electrons, number=i)
        probabilities = predict_frame(network, task.card, prepared.image, progress)
        columns = frame_columns(probabilities, task.card, task.crystal, prepared, usable, lines.append)
        if columns.empty:
            lines.append(f"no columns on a {task.crystal.title} lattice were found; are pixel size and rotation right?")
        maps = map_back(probabilities, task.transform, task.card.label_pixel_pm)
        warnings = tuple(f"frame {i}: {line}" for line in lines)
        yield PredictedFrame(maps, frame / vacuum.level, usable, columns, warnings)


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


def frame_columns(
    probabilities: np.ndarray,
    card: NetworkCard,
    crystal: Crystal,
    prepared: Prepared,
    usable: np.ndarray,
    warn: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Columns of one frame in the input's coordinates; those outside of it or under its mask are left out."""
    shrink = round(card.label_pixel_pm / card.input_pixel_pm)
    valid = _valid_labels(prepared, probabilities.shape[1:], shrink)
    table = find_columns(probabilities, card.label_pixel_pm, crystal, card.labels, valid=valid, warn=warn)
    if table.empty:
        return table
    transform = prepared.transform
    x, y = transform.inverse(table["x_pm"].to_numpy(float), table["y_pm"].to_numpy(float))
    j, i = (np.floor(values / transform.pixel_pm).astype(int) for values in (x, y))
    here = (i >= 0) & (i < transform.shape[0]) & (j >= 0) & (j < transform.shape[1])
    here[here] &= usable[i[here], j[here]]
    return table.assign(x_pm=x, y_pm=y)[here].reset_index(drop=True)
