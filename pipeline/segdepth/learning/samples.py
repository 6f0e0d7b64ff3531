"""Samples: stored waves in, noisy batches with labels out, formed on the device that trains.

Each sample draws its structure, lens, flip, crop, dose and noise anew; with ``fresh_optics: false`` the lens takes the
stored defocus values only, which is the paper's way (fixed images, fresh noise). Draws depend on the training seed,
the epoch and the batch alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from segdepth.config import ConfigError, Imaging, Training
from segdepth.labels.depth import read_columns
from segdepth.labels.regions import centre_regions
from segdepth.seeds import structure_rng
from segdepth.simulation.detector import electrons_per_pixel, noisy, noisy_batch
from segdepth.simulation.lens import draw_lens_values, image_former, lens_columns
from segdepth.simulation.optics import ImageFormer, Lens
from segdepth.store.zarr_store import open_zarr

POOL_BATCHES = 8
"""Images formed at a time, in batches; each is used ``optics_repeats`` times in shuffled order."""


@dataclass(frozen=True)
class Structures:
    """Waves and labels of some structures in memory: ``waves`` (n, ky, kx), the maps (n, y, x)."""

    indices: list[int]
    waves: Tensor
    depth: Tensor
    weight: Tensor
    regions: Tensor
    wave_attrs: dict
    label_pixel_pm: float


def load_structures(waves: list[Path], depth: list[Path], wanted: list[int]) -> Structures:
    """Read the wanted structures from shards of waves and of depth maps (same order of shards).

    Raises
    ------
    ConfigError
        A wanted structure is in none of the shards.
    """
    if len(waves) != len(depth):
        raise ConfigError(f"got {len(waves)} shards of waves and {len(depth)} of depth; as many of each are needed")
    chosen: dict[str, list] = {name: [] for name in ("indices", "waves", "depth", "weight", "regions")}
    attrs, pixel = {}, 0.0
    for wave_path, depth_path in zip(waves, depth, strict=True):
        with (
            open_zarr(wave_path, "simulate-waves") as wave_store,
            open_zarr(depth_path, "project-depth") as depth_store,
        ):
            attrs, pixel = wave_store.attrs, depth_store.attrs["pixel_pm"]
            for position, index in enumerate(wave_store["structure"].values):
                if int(index) not in wanted:
                    continue
                maps = depth_store.sel(structure=index)
                chosen["indices"].append(int(index))
                chosen["waves"].append(torch.as_tensor(wave_store["wave"][position].values))
                chosen["depth"].append(torch.as_tensor(maps["depth"].values))
                chosen["weight"].append(torch.as_tensor(maps["weight"].values))
                regions = centre_regions(read_columns(depth_store, int(index)), maps.sizes["x"], pixel)
                chosen["regions"].append(torch.as_tensor(regions))
    missing = sorted(set(wanted) - set(chosen["indices"]))
    if missing:
        raise ConfigError(f"structures {missing[:5]} are in none of the {len(waves)} shards; plan and stores differ")
    stacked = {name: torch.stack(values) for name, values in chosen.items() if name != "indices"}
    return Structures(chosen["indices"], **stacked, wave_attrs=attrs, label_pixel_pm=pixel)


class Batch(NamedTuple):
    """``noisy`` (n, 1, y, x) with vacuum = 1; ``depth``, ``weight``, ``regions`` (n, y, x) on the label grid."""

    noisy: Tensor
    depth: Tensor
    weight: Tensor
    regions: Tensor


class TrainingSamples(IterableDataset):
    """Endless fresh samples, cut into epochs; ``epoch`` is set by the trainer before each pass."""

    def __init__(
        self, structures: Structures, imaging: Imaging, training: Training, dose_lambda: float, device: torch.device
    ) -> None:
        self.structures, self.imaging, self.training, self.device = structures, imaging, training, device
        self.doses = training.dose_lambda or (dose_lambda, dose_lambda)
        self.former = _former(structures, imaging, device)
        self.ratio = round(structures.label_pixel_pm / imaging.pixel_pm)
        self.epoch = 0

    def __len__(self) -> int:
        return max(1, self.training.epoch_samples // self.training.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        size, repeats = self.training.batch_size, self.training.optics_repeats
        done = 0
        while done < len(self):
            rng = np.random.default_rng(np.random.SeedSequence([self.training.seed, self.epoch, done]))
            noise = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
            batches = min(POOL_BATCHES * repeats, len(self) - done)
            pool = -(-batches // repeats) * size
            which = rng.integers(len(self.structures.indices), size=pool)
            images = self._form(which, rng)
            orders = [rng.permutation(pool) for _ in range(repeats)]
            for batch in np.concatenate(orders).reshape(-1, size)[:batches]:
                yield self._batch(images, which, batch, rng, noise)
            done += batches

    def _form(self, which: np.ndarray, rng: np.random.Generator) -> Tensor:
        stored = self.imaging.defocus_values_nm
        if self.training.fresh_optics:
            low, high = min(stored), max(stored)
            reach = (high - low) / max(len(stored) - 1, 1) / 2  # half a step more, so that no test value is at an edge
            defocus = rng.uniform(low - reach, high + reach, len(which))
        else:
            defocus = rng.choice(stored, len(which))
        lens = Lens.from_columns(lens_columns(draw_lens_values(self.imaging, defocus, rng)), self.device)
        return self.former.form(self.structures.waves[torch.as_tensor(which)], lens)

    def _batch(
        self, images: Tensor, which: np.ndarray, batch: np.ndarray, rng: np.random.Generator, noise: torch.Generator
    ) -> Batch:
        """Crop, mirror and add noise to some of the pool's images; labels are cut from the same crop."""
        crop, ratio = self.training.crop_pixels, self.ratio
        label_crop = crop // ratio
        room = images.shape[-1] // ratio - label_crop
        parts: dict[str, list[Tensor]] = {"image": [], "depth": [], "weight": [], "regions": []}
        for position in batch:
            row, column = (int(value) for value in rng.integers(room + 1, size=2))
            mirrored = self.training.flip and rng.random() < 0.5
            maps = {name: getattr(self.structures, name)[which[position]] for name in ("depth", "weight", "regions")}
            cut = {name: values[row : row + label_crop, column : column + label_crop] for name, values in maps.items()}
            top, left = row * ratio, column * ratio
            cut["image"] = images[position, top : top + crop, left : left + crop]
            for name, values in cut.items():
                parts[name].append(values.flip(-1) if mirrored else values)
        stacked = {name: torch.stack(values).to(self.device) for name, values in parts.items()}
        doses = np.exp(rng.uniform(*np.log(self.doses), len(batch)))
        electrons = torch.tensor(electrons_per_pixel(doses, self.imaging.pixel_pm), dtype=torch.float32)
        grainy = noisy_batch(stacked.pop("image"), electrons.to(self.device)[:, None, None], noise)
        return Batch(noisy=grainy[:, None], **stacked)


def fixed_batches(
    structures: Structures,
    imaging: Imaging,
    dose_lambda: float,
    specimen_name: str,
    root_seed: int,
    batch_size: int,
    device: torch.device,
    draws: int = 4,
) -> list[Batch]:
    """Validation: each structure at ``draws`` defocus values, the middles of equal parts of the range training draws
    from, with one fixed noise each."""
    former = _former(structures, imaging, device)
    stored = imaging.defocus_values_nm
    defocus = min(stored) + (max(stored) - min(stored)) * (np.arange(draws) + 0.5) / draws
    electrons = electrons_per_pixel(dose_lambda, imaging.pixel_pm)
    samples = []
    for position, index in enumerate(structures.indices):
        values = draw_lens_values(imaging, defocus, structure_rng(root_seed, specimen_name, index, "lens"))
        lens = Lens.from_columns(lens_columns(values), device)
        images = former.form(structures.waves[position].expand(draws, -1, -1), lens).cpu().numpy()
        for number, image in enumerate(images):
            rng = structure_rng(root_seed, specimen_name, index, "noise", number)
            samples.append((position, torch.as_tensor(noisy(image, electrons, rng))))
    batches = []
    for start in range(0, len(samples), batch_size):
        some = samples[start : start + batch_size]
        rows = torch.tensor([position for position, _ in some])
        maps = {name: getattr(structures, name)[rows].to(device) for name in ("depth", "weight", "regions")}
        batches.append(Batch(noisy=torch.stack([image for _, image in some])[:, None].to(device), **maps))
    return batches


def _former(structures: Structures, imaging: Imaging, device: torch.device) -> ImageFormer:
    return image_former(imaging, structures.wave_attrs, structures.waves.shape[-1] // 2, device)
