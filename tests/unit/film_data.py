"""What the tests of films share: a small network, films with a visible lattice, and how they are predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from conftest import CERIA, RINGS
from test_calibration import half, lattice

from segdepth.config import PredictionOptions
from segdepth.micrograph.files.recording import FrameLost, Recording, recording_of
from segdepth.networks.card import NetworkCard
from segdepth.networks.files import save_network
from segdepth.networks.unet import UNet
from segdepth.steps import predict_micrograph as step
from segdepth.store.claims import release_all

PIXEL = RINGS.pixel_pm
SHAPE, FILM_PM, TURN = (340, 420), 7.0, 20.0
KNOWN = {"calibrate": False, "pixel_pm": 6.3, "rotation_deg": 0.0}
"""Options where a test is about something else than the lattice."""


def card(variant="binned", **other) -> NetworkCard:
    pixel = {"binned": PIXEL, "full": PIXEL / 4}[variant]
    labels = RINGS.model_dump(mode="json")
    made = NetworkCard(variant, 4, RINGS.classes, pixel, PIXEL, 256 * PIXEL, 2.5, labels, crystal=CERIA.to_dict())
    return replace(made, **other)


def small_network(folder: Path, **other) -> Path:
    """A network that has learnt nothing."""
    torch.manual_seed(0)
    save_network(UNet(4, "binned", RINGS.classes), card(**other), folder)
    return folder


class Oracle(torch.nn.Module):
    """Answers ``round(intensity) - 1``: an image that holds the depth + 1 is its own label."""

    def forward(self, image):
        depth = (image[:, 0].round().long() - 1).clamp(0, RINGS.classes - 1)
        return 20 * torch.nn.functional.one_hot(depth, RINGS.classes).permute(0, 3, 1, 2).float()


def crystal_image(shape=SHAPE, pixel_pm=FILM_PM, turn_deg=TURN) -> np.ndarray:
    """Intensity (y, x) of a crystal with vacuum at its upright +y."""
    return np.where(half(shape, turn_deg + 90), 1, lattice(shape, pixel_pm, turn_deg))


def crystal_film(count=2, electrons=4.0, seed=0, **shown) -> np.ndarray:
    """Counts (frame, y, x) of a crystal that stands still."""
    image = crystal_image(**shown)
    return np.stack([np.random.default_rng((seed, n)).poisson(electrons * image) for n in range(count)]).astype("u2")


def vacuum_film(count=1, shape=(150, 230), level=3.0) -> np.ndarray:
    """Counts (frame, y, x) without a crystal."""
    return np.stack([np.random.default_rng(n).poisson(level, shape) for n in range(count)]).astype("u2")


def without(film: np.ndarray, *lost: int) -> Recording:
    """A recording of which some frames cannot be read."""
    whole = recording_of(film, "film.tif")

    def read(number: int) -> np.ndarray:
        if number in lost:
            raise FrameLost("it is cut off")
        return whole.read_frame(number)

    return replace(whole, read_frame=read)


def predict_micrograph(
    source, out, *, model, familiarity=None, tell: Callable[[str], None] = lambda line: None, **options
) -> tuple[str, ...]:
    """The step, and what the end of a command does."""
    chosen = PredictionOptions(**options)
    network = model if model is None else Path(model)
    try:
        return step.predict_micrograph(
            chosen, Path(source), network, Path(out), familiarity=familiarity, device="cpu", tell=tell
        )
    finally:
        release_all()


def open_prediction(folder: Path) -> xr.Dataset:
    return xr.open_zarr(folder / "prediction.zarr", consolidated=False, chunks=None)
