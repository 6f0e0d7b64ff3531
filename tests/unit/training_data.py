"""Made-up stores to train on: waves of random phase, and depth maps of discs on a lattice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from segdepth.config import CrystalBlock, Dataset, DatasetBlocks, Imaging, Labels, Model, Specimen, Training
from segdepth.crystals import load_crystal
from segdepth.learning.callbacks import Curve
from segdepth.learning.samples import Source
from segdepth.learning.structures import StructureCache
from segdepth.learning.training_sets import TrainingSet
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.steps.train_model import train_model
from segdepth.store.manifest import read_manifest, write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

SPECIMEN = Specimen(
    crystal="ceria", structures=6, shard_size=4, field_pm=1352.75, margin_pm=338.1875, bulk_atoms=(3, 5)
)
IMAGING = Imaging(defocus_nm=(2, 6), focal_steps=3)
LABELS = Labels(core_radius_pm={"Ce": 85, "O": 64}, outer_radius_pm={"Ce": 120, "O": 90})
DATASET = Dataset(
    specimen="s", beam="b", imaging="i", labels="l", splits={"test": 0.2, "validation": 0.2, "train": 0.6}
)
CRYSTAL = load_crystal(CrystalBlock(structure="CeO2", zone_axis=(1, 1, 0), x_axis=(0, 0, 1))).to_dict()
CPU = torch.device("cpu")
TEXT = {"units": "1", "long_name": "test"}


def _depth(index: int) -> dict[str, np.ndarray]:
    """Discs of 2 to 5 atoms, of Ce and O in turn, on a lattice that lies otherwise in each structure."""
    rng = np.random.default_rng([index, 1])
    y, x = np.mgrid[:64, :64].astype(float)
    left, bottom = rng.uniform(0, 12, 2)
    column, row = np.round((x - left) / 12), np.round((y - bottom) / 9)
    distance = np.hypot(x - left - 12 * column, y - bottom - 9 * row)
    counts = rng.integers(2, 6, (9, 9))[row.astype(int) + 1, column.astype(int) + 1]
    inside = distance < 4
    return {
        "depth": np.where(inside, counts, 0).astype(np.uint8),
        "region": np.where(inside, np.where(column % 2 == 0, 58, 8), 0).astype(np.uint8),
        "weight": (0.2 + 0.8 * np.exp(-((distance / 4) ** 2))).astype(np.float32),
    }


def _write(arrays: dict, indices: list[int], attrs: dict, path: Path, command: str) -> None:
    coordinates = {"structure": ("structure", indices, TEXT)}
    dataset = xr.Dataset({name: (*given, TEXT) for name, given in arrays.items()}, coords=coordinates, attrs=attrs)
    with write_artefact(path, command=command, code="code", parameters={}) as partial:
        write_zarr(dataset, partial, parameters={})


def build_shards(root: Path) -> dict[str, list[Path]]:
    """Paths of the shards of waves and of depth maps."""
    orders = stored_orders(SPECIMEN.cell_pm, 300, 45)
    attrs = {
        "cell_pm": SPECIMEN.cell_pm, "margin_pm": SPECIMEN.margin_pm, "field_pm": SPECIMEN.field_pm,
        "wavelength_pm": wavelength_pm(300), "stored_angle_mrad": 45.0, "pixel_pm": LABELS.pixel_pm,
        "crystal": json.dumps(CRYSTAL),
    }  # fmt: skip
    found: dict[str, list[Path]] = {"waves": [], "depth": []}
    for shard in range(SPECIMEN.shards):
        indices = list(range(4 * shard, min(4 * shard + 4, SPECIMEN.structures)))
        waves = []
        for index in indices:
            rng = np.random.default_rng(index)
            wave = 0.002 * (rng.normal(size=(2 * orders + 1,) * 2) + 1j * rng.normal(size=(2 * orders + 1,) * 2))
            wave[0, 0] = 1
            waves.append(wave.astype(np.complex64))
        paths = {kind: root / kind / "s" / f"shard-{shard:03d}.zarr" for kind in found}
        array = (("structure", "configuration", "ky", "kx"), np.stack(waves)[:, None])
        _write({"wave": array}, indices, attrs, paths["waves"], "simulate-waves")
        each = [_depth(index) for index in indices]
        maps = {name: (("structure", "y", "x"), np.stack([one[name] for one in each])) for name in each[0]}
        _write(maps, indices, attrs, paths["depth"], "project-depth")
        for kind, path in paths.items():
            found[kind].append(path)
    return found


def block(**changes) -> Training:
    settings = {"crop_pixels": 64, "batch_size": 2, "epoch_samples": 12, "epochs": 4, "precision": "float32"}
    return Training(**(settings | changes))


def opened(shards) -> dict[str, list[xr.Dataset]]:
    return {kind: [open_zarr(path) for path in paths] for kind, paths in shards.items()}


def blocks_of(dataset: Dataset = DATASET, imaging: Imaging = IMAGING) -> DatasetBlocks:
    return DatasetBlocks(dataset, SPECIMEN, imaging, LABELS)


def training_set(shards, dataset: Dataset = DATASET, imaging: Imaging = IMAGING) -> TrainingSet:
    return TrainingSet(blocks_of(dataset, imaging), **opened(shards))


def cache_of(shards, wanted: list[int]) -> StructureCache:
    return StructureCache(**opened(shards), wanted=wanted)


def source(structures: StructureCache, imaging: Imaging = IMAGING, dose_lambda: float = 2.5) -> Source:
    return Source(structures, imaging, dose_lambda, "s")


def train(shards, folder: Path, training: Training, model: Model | None = None, blocks=None, **changes) -> Path:
    blocks = [blocks_of()] if blocks is None else blocks
    settings = {
        "name": "net",
        "root_seed": 3,
        "checkpoints": folder / "checkpoints" / "net",
        "code": "code",
        "device": "cpu",
        "threads": 1,
    }
    train_model(
        model or Model(datasets=["d"], architecture={"base_channels": 2}, training=training),
        blocks,
        len(blocks) * shards["waves"],
        len(blocks) * shards["depth"],
        folder / "models" / "net",
        **(settings | changes),
    )
    return folder / "models" / "net"


def facts_of(folder: Path) -> dict:
    return read_manifest(folder)["notes"]["training"]


def cut_the_power_in_epoch(number: int, monkeypatch):
    """Training stops with an error after the epoch's row, before its checkpoint; returns what was there before."""
    ended = Curve.on_train_epoch_end

    def stop(self, trainer, pl_module):
        ended(self, trainer, pl_module)
        if trainer.current_epoch == number:
            raise RuntimeError("power cut")

    monkeypatch.setattr(Curve, "on_train_epoch_end", stop)
    return ended
