"""Samples: stored waves in, noisy batches with labels out, formed on the device that trains.

Each sample draws its structure, lens, flip, crop, dose and noise anew; with ``fresh_optics: false`` the lens takes the
stored defocus values only, which is the paper's way (fixed images, fresh noise). Draws depend on the training seed,
the epoch and the batch alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import IterableDataset

from segdepth.config import ConfigError, Imaging, Training
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.detector import electrons_per_pixel, noisy, noisy_batch
from segdepth.simulation.lens import draw_lens_values, image_former, lens_columns
from segdepth.simulation.optics import ImageFormer
from segdepth.store.zarr_store import open_zarr

POOL_BATCHES = 8
"""Images formed at a time, in batches; each is used ``optics_repeats`` times in shuffled order."""

KEPT_BYTES = 500_000_000
"""What a shelf keeps in memory; the rest is read again when it is drawn, so that memory does not grow with the data."""

VALIDATION_BYTES = 400_000_000
"""Validation images are kept in memory: of as many structures, evenly chosen, as fit in here."""

MAPS = {"depth": "depth", "weight": "weight", "regions": "region"}
"""Name in a batch -> variable of the depth store."""


class StructureShelf:
    """Waves and labels of some structures, read from their shards when they are wanted.

    Parameters
    ----------
    waves, depth : shards of waves and of depth maps, in the same order.
    wanted : indices in the plan.

    Raises
    ------
    ConfigError
        A wanted structure is in none of the shards.
    """

    def __init__(self, waves: list[Path], depth: list[Path], wanted: list[int]) -> None:
        if len(waves) != len(depth):
            raise ConfigError(f"got {len(waves)} shards of waves and {len(depth)} of depth; as many of each are needed")
        chosen = set(wanted)
        self.indices: list[int] = []
        self._places: list[tuple[xr.Dataset, xr.Dataset, int, int]] = []
        for wave_path, depth_path in zip(waves, depth, strict=True):
            wave_store, depth_store = open_zarr(wave_path, "simulate-waves"), open_zarr(depth_path, "project-depth")
            self.wave_attrs, self.label_pixel_pm = wave_store.attrs, depth_store.attrs["pixel_pm"]
            self.orders = wave_store.sizes["kx"] // 2
            row_of = {int(index): row for row, index in enumerate(depth_store["structure"].values)}
            for row, index in enumerate(int(index) for index in wave_store["structure"].values):
                if index in chosen:
                    self.indices.append(index)
                    self._places.append((wave_store, depth_store, row, row_of[index]))
        missing = sorted(chosen - set(self.indices))
        if missing:
            raise ConfigError(
                f"structures {missing[:5]} are in none of the {len(waves)} shards; plan and stores differ"
            )
        self._keep_some()

    def _keep_some(self) -> None:
        store, maps, *_ = self._places[0]
        each = store["wave"][0].nbytes + sum(maps[name][0].nbytes for name in MAPS.values())
        keep = max(1, KEPT_BYTES // each)
        self.wave, self.maps = lru_cache(keep)(self._read_wave), lru_cache(keep)(self._read_maps)

    def part(self, indices: list[int]) -> StructureShelf:
        """The same shelf with some of its structures."""
        some, chosen = copy(self), set(indices)
        kept = [(index, place) for index, place in zip(self.indices, self._places) if index in chosen]
        some.indices, some._places = [index for index, _ in kept], [place for _, place in kept]
        some._keep_some()
        return some

    def __len__(self) -> int:
        return len(self.indices)

    def _read_wave(self, position: int) -> Tensor:
        """(configuration, ky, kx) of the structure at a position of ``indices``."""
        store, _, row, _ = self._places[position]
        return torch.as_tensor(store["wave"][row].values)

    def _read_maps(self, position: int) -> dict[str, Tensor]:
        """``depth``, ``weight``, ``regions``, each (y, x)."""
        _, store, _, row = self._places[position]
        return {name: torch.as_tensor(store[variable][row].values) for name, variable in MAPS.items()}


class Batch(NamedTuple):
    """``noisy`` (n, 1, y, x) with vacuum = 1; ``depth``, ``weight``, ``regions`` (n, y, x) on the label grid."""

    noisy: Tensor
    depth: Tensor
    weight: Tensor
    regions: Tensor


class TrainingSamples(IterableDataset):
    """Endless fresh samples, cut into epochs; ``epoch`` is set by the trainer before each pass."""

    def __init__(
        self, structures: StructureShelf, imaging: Imaging, training: Training, dose_lambda: float, device: torch.device
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
            which = rng.integers(len(self.structures), size=pool)
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
        waves = torch.stack([self.structures.wave(int(position)) for position in which])
        return self.former.form(waves, lens)

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
            maps = self.structures.maps(int(which[position]))
            cut = {name: values[row : row + label_crop, column : column + label_crop] for name, values in maps.items()}
            top, left = row * ratio, column * ratio
            cut["image"] = images[position, top : top + crop, left : left + crop]
            for name, values in cut.items():
                parts[name].append(values.flip(-1) if mirrored else values)
        stacked = {name: torch.stack(values).to(self.device) for name, values in parts.items()}
        doses = np.exp(rng.uniform(*np.log(self.doses), len(batch)))
        electrons = torch.tensor(
            electrons_per_pixel(doses, self.imaging.pixel_pm, self.imaging.detection_efficiency), dtype=torch.float32
        )
        grainy = noisy_batch(stacked.pop("image"), electrons.to(self.device)[:, None, None], noise)
        return Batch(noisy=grainy[:, None], **stacked)


def fixed_batches(
    structures: StructureShelf,
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
    electrons = electrons_per_pixel(dose_lambda, imaging.pixel_pm, imaging.detection_efficiency)
    pixels = former.field_pixels**2
    most = max(1, VALIDATION_BYTES // (draws * pixels * 4 * (1 + len(MAPS))))
    chosen = np.unique(np.linspace(0, len(structures) - 1, min(len(structures), most)).round().astype(int))

    def samples() -> Iterator[tuple[int, Tensor]]:
        for position in chosen.tolist():
            rng_of = partial(structure_rng, root_seed, specimen_name, structures.indices[position])
            lens = Lens.from_columns(lens_columns(draw_lens_values(imaging, defocus, rng_of("lens"))), device)
            images = former.form(structures.wave(position).expand(draws, -1, -1, -1), lens).cpu().numpy()
            for number, image in enumerate(images):
                yield position, torch.as_tensor(noisy(image, electrons, rng_of("noise", number)))

    batches, remaining = [], samples()
    while some := list(islice(remaining, batch_size)):
        each = [structures.maps(position) for position, _ in some]
        maps = {name: torch.stack([one[name] for one in each]).to(device) for name in MAPS}
        batches.append(Batch(noisy=torch.stack([image for _, image in some])[:, None].to(device), **maps))
    return batches


def _former(structures: StructureShelf, imaging: Imaging, device: torch.device) -> ImageFormer:
    return image_former(imaging, structures.wave_attrs, structures.orders, device)
