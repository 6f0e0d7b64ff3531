"""Tiny stores and networks for the tests of evaluation and figures: images are made up, labels are not."""

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from conftest import CERIA, CERIA_BLOCK, RINGS

from segdepth.config import Dataset, Labels, Specimen
from segdepth.networks.files import NetworkCard, save_network
from segdepth.networks.unet import UNet
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.evaluate_model import evaluate_model
from segdepth.steps.plan_specimens import plan_specimens
from segdepth.steps.project_depth import project_depth
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

PIXEL = 5411 / 256
SPECIMEN = Specimen(crystal="ceria", structures=6, shard_size=2, field_pm=64 * PIXEL, margin_pm=16 * PIXEL)
DATASET = Dataset(
    specimen="w", beam="b", imaging="i", labels="l", dose_lambda=2.5,
    splits={"test": 0.55, "train": 0.45, "validation": 0},
)  # fmt: skip
TESTED = [0, 1, 3]
"""The data set's test structures."""

DEFOCI = (1.0, 5.0, 9.0, 3.0)


def shares(test: float, **others: float) -> Dataset:
    """The data set with other shares."""
    return DATASET.model_copy(
        update={"splits": type(DATASET.splits)(**{"test": test, "train": 0, "validation": 0} | others)}
    )


def record(dataset: Dataset = DATASET, specimen: str = "w") -> list[dict]:
    """The training record of a network that learned from it."""
    shares = dataset.splits.model_dump(mode="json")
    return [{"specimen": specimen, "root_seed": 0, "structures": SPECIMEN.structures, "splits": shares}]


def build_images(depth: Path, out: Path, defoci=DEFOCI, finer: int = 1) -> None:
    """Images that are a made-up function of depth and defocus; ``finer`` pixels along a side of each label pixel."""
    with open_zarr(depth) as store:
        truth, indices = store["depth"].values.astype(float), store["structure"].values
        told = {name: store.attrs[name] for name in ("field_pm", "margin_pm", "specimen", "root_seed", "crystal")}
    truth = truth.repeat(finer, axis=1).repeat(finer, axis=2)
    intensity = 1 + truth[:, None] * 0.03 * np.reshape(defoci, (-1, 1, 1))
    shape = ("structure", "defocus")
    plain = {"units": "1", "long_name": "index"}
    dataset = xr.Dataset(
        {"intensity": ((*shape, "y", "x"), intensity.astype(np.float32), {"units": "1", "long_name": "intensity"})},
        coords={
            "structure": ("structure", indices, plain),
            "defocus_nm": (shape, np.tile(defoci, (len(indices), 1)), {"units": "nm", "long_name": "C1"}),
        },
        attrs=told | {"pixel_pm": PIXEL / finer, "detection_efficiency": 1.0},
    )
    with write_artefact(out, command="form-images", code="c", parameters={}) as partial:
        write_zarr(dataset, partial, leading=shape, parameters={})


def build_model(out: Path, training_record=None, **changes) -> Path:
    """A network with random weights and its card."""
    card = {
        "variant": "binned", "base_channels": 2, "classes": 11, "input_pixel_pm": PIXEL, "label_pixel_pm": PIXEL,
        "field_pm": 64 * PIXEL, "dose_lambda": 2.5, "labels": RINGS.model_dump(mode="json"),
        "crystal": CERIA.to_dict(), "training_record": record() if training_record is None else training_record,
    } | changes  # fmt: skip
    torch.manual_seed(0)
    with write_artefact(out, command="train-model", code="c", parameters={}) as partial:
        partial.mkdir()
        save_network(UNet(card["base_channels"], card["variant"], card["classes"]), NetworkCard(**card), partial)
    return out


def build_data(root: Path, specimen: Specimen = SPECIMEN, labels: Labels = RINGS) -> dict[str, list[Path]]:
    """Shards of images and depth."""
    folder = root / "specimens" / "w"
    plan_specimens(specimen, CERIA_BLOCK, "w", 0, folder / "plan.csv", code="c")
    found = {"images": [], "depth": []}
    for shard in range(specimen.shards):
        atoms = folder / f"shard-{shard:03d}.extxyz"
        build_specimens(specimen, CERIA_BLOCK, "w", 0, shard, folder / "plan.csv", atoms, code="c")
        for kind in found:
            found[kind].append(root / kind / f"shard-{shard:03d}.zarr")
        project_depth(labels, atoms, found["depth"][-1], code="c")
        build_images(found["depth"][-1], found["images"][-1])
    return found


def run(data, model: Path, out: Path, **changes) -> Path:
    """``evaluate_model`` on the structures ``TESTED``."""
    options = {
        "dataset": DATASET, "specimen": SPECIMEN, "model": model, **data, "out": out, "name": "d", "code": "c",
        "device": "cpu", "batch_size": 5,
    }  # fmt: skip
    evaluate_model(**options | changes)
    return out


def oracle(network, batch, device, right: float = 0.9, classes: int = 11):
    """Stands in for the network: the truth with probability ``right``, the rest on the next class."""
    depth = np.stack([sample.truth.depth for sample in batch])
    probabilities = np.full((len(batch), classes, *depth.shape[1:]), 0.0, np.float32)
    np.put_along_axis(probabilities, depth[:, None].astype(int), right, axis=1)
    np.put_along_axis(probabilities, (depth[:, None].astype(int) + 1) % classes, 1 - right, axis=1)
    return probabilities
