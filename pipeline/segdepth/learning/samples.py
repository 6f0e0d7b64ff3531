"""Samples: stored waves in, noisy batches with labels out, formed on the device that trains.

Each sample draws its structure, lens, flip, crop, dose and noise anew; with ``fresh_optics: false`` the defocus is one
of the stored values, which is the paper's way (fixed images, fresh noise) where nothing else of the lens has a range.
Draws depend on the training seed, the epoch, the batch and, of several processes, the rank alone. Images are formed
whole and then cut: every pixel takes all of the wave, whose periodic cell is larger than the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from scipy import ndimage
from torch import Tensor
from torch.utils.data import IterableDataset

from segdepth.config import Imaging, Training
from segdepth.errors import ConfigError
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.detector import electrons_per_pixel, noisy, noisy_batch
from segdepth.simulation.lens import draw_lens_values, image_former, lens_columns
from segdepth.simulation.optics import ImageFormer
from segdepth.splits import split_position
from segdepth.store.zarr_store import open_zarr

POOL_BATCHES = 4
"""Images formed at a time: so many batches for each use of an image, so that its uses lie far apart in the shuffled
order (16 uses of 64 images teach those 64 for a while)."""

POOL_BYTES = 500_000_000
"""A pool of large images is smaller."""

KEPT_BYTES = 500_000_000
"""What caches keep in memory, enough for the structures of a pool; the rest is read again when it is drawn, so that
memory does not grow with the data."""

KEPT_GPU_SHARE = 0.1
"""Of a GPU's memory, for the same: a GPU learns faster than a disk gives."""

READERS = 8
"""Threads that fill a GPU's caches before the first step."""

VALIDATION_BYTES = 400_000_000
"""Validation images are kept in memory: of as many structures, evenly chosen, as fit in here."""

BYTES_A_LABEL = 10
"""Of a batch's maps: depth and regions one each, weight and columns four."""

MAPS = {"depth": "depth", "weight": "weight", "regions": "region"}
"""Name in a batch -> variable of the depth store."""


class StructureCache:
    """Waves and labels of some structures, read from their shards when they are wanted.

    Parameters
    ----------
    waves, depth : shards of waves and of depth maps, in the same order.
    wanted : indices in the plan.
    device : where what stays in memory is kept: of several caches, ``share_memory`` says how much.

    Raises
    ------
    ConfigError
        A wanted structure is in none of the shards.
    """

    def __init__(
        self,
        waves: list[Path],
        depth: list[Path],
        wanted: list[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        if len(waves) != len(depth):
            raise ConfigError(f"got {len(waves)} shards of waves and {len(depth)} of depth; as many of each are needed")
        chosen = set(wanted)
        self.device = torch.device(device)
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
        self.keep(kept_bytes(self.device))

    @property
    def bytes_each(self) -> int:
        """What one structure takes in memory."""
        if not self._places:
            return 0
        store, maps, *_ = self._places[0]
        return store["wave"][0].nbytes + BYTES_A_LABEL * maps["depth"][0].size

    def keep(self, most_bytes: int) -> None:
        """Let so much of it stay in memory, one structure at least."""
        self.kept_bytes = most_bytes
        self._kept = max(1, most_bytes // max(1, self.bytes_each))
        self.wave, self.maps = lru_cache(self._kept)(self._read_wave), lru_cache(self._kept)(self._read_maps)

    def read_ahead(self) -> None:
        """Read now, several at a time, what stays in memory."""
        with ThreadPoolExecutor(READERS) as pool:
            positions = range(min(len(self), self._kept))
            for _ in pool.map(lambda position: (self.wave(position), self.maps(position)), positions):
                pass

    def part(self, indices: list[int]) -> StructureCache:
        """The same cache with some of its structures."""
        some, chosen = copy(self), set(indices)
        kept = [(index, place) for index, place in zip(self.indices, self._places) if index in chosen]
        some.indices, some._places = [index for index, _ in kept], [place for _, place in kept]
        some.keep(self.kept_bytes)
        return some

    def __len__(self) -> int:
        return len(self.indices)

    def _read_wave(self, position: int) -> Tensor:
        """(configuration, ky, kx) of the structure at a position of ``indices``."""
        store, _, row, _ = self._places[position]
        return torch.as_tensor(store["wave"][row].values).to(self.device)

    def _read_maps(self, position: int) -> dict[str, Tensor]:
        """``depth``, ``weight``, ``regions``, ``columns``, each (y, x)."""
        _, store, _, row = self._places[position]
        maps = {name: store[variable][row].values for name, variable in MAPS.items()}
        maps["columns"] = number_columns(maps["regions"])
        return {name: torch.as_tensor(values).to(self.device) for name, values in maps.items()}


def kept_bytes(device: torch.device) -> int:
    """What all caches together keep in a device's memory."""
    if device.type == "cpu":
        return KEPT_BYTES
    return int(KEPT_GPU_SHARE * torch.cuda.get_device_properties(device).total_memory)


def share_memory(caches: Sequence[StructureCache], device: torch.device) -> None:
    """Each cache keeps as much of what it holds as every other: structures are drawn alike."""
    held = [cache.bytes_each * len(cache) for cache in caches]
    for cache, mine in zip(caches, held):
        cache.keep(kept_bytes(device) * mine // max(1, sum(held)))


def number_columns(regions: np.ndarray) -> np.ndarray:
    """1, 2, … for the pixels of each column's centre, int32 (y, x); 0 elsewhere.

    Centres of one element lie apart (O: 191 - 2 · 64 pm), so that each is a patch of its own.
    """
    numbered, count = np.zeros(regions.shape, np.int32), 0
    for element in np.unique(regions[regions > 0]):
        patches, found = ndimage.label(regions == element, structure=np.ones((3, 3)))
        numbered[patches > 0] = patches[patches > 0] + count
        count += found
    return numbered


class Batch(NamedTuple):
    """``noisy`` (n, 1, y, x) with vacuum = 1; on the label grid (n, y, x) ``depth``, ``weight``, ``regions`` (element
    whose column's centre a pixel belongs to, 0 if none) and ``columns`` (number of that column in its structure);
    ``importance`` (n,), how much each sample counts in the loss."""

    noisy: Tensor
    depth: Tensor
    weight: Tensor
    regions: Tensor
    columns: Tensor
    importance: Tensor


LABELS = ("depth", "weight", "regions", "columns")
"""The maps of a batch."""


@dataclass(frozen=True)
class Source:
    """Structures of one data set, the lens they are seen through, and the dose."""

    structures: StructureCache
    imaging: Imaging
    dose_lambda: float
    specimen_name: str

    def doses(self, training: Training) -> tuple[float, float]:
        """Lowest and highest λ that samples are drawn at."""
        return training.dose_lambda or (self.dose_lambda, self.dose_lambda)

    def part(self, indices: list[int]) -> Source:
        return replace(self, structures=self.structures.part(indices))

    def former(self, device: torch.device) -> ImageFormer:
        return image_former(self.imaging, self.structures.wave_attrs, self.structures.orders, device)


def dose_importance(doses: np.ndarray, low: np.ndarray, high: np.ndarray, power: float) -> np.ndarray:
    """λ^power of each sample, divided by its mean over the log-uniform doses that are drawn.

    Parameters
    ----------
    doses : λ of each sample; ``low`` and ``high`` are the ends of what it was drawn from, as logarithms.
    """
    span = power * (high - low)
    mean = np.exp(power * low) * np.divide(np.expm1(span), span, out=np.ones_like(span), where=span > 0)
    return doses**power / mean


def _sent(values: np.ndarray, device: torch.device) -> Tensor:
    """On the device; small ones without waiting for what it has still to do."""
    return torch.as_tensor(values).to(device, non_blocking=True)


class Crops(NamedTuple):
    """Where each sample of a batch is cut, in label pixels, and whether it is mirrored along x; arrays (n,)."""

    tops: np.ndarray
    lefts: np.ndarray
    mirrored: np.ndarray

    def cut(self, kinds: Sequence[Sequence[Tensor]], size: int, ratio: int = 1) -> list[Tensor]:
        """(n, size, size) of each kind's n maps (y, x) with ``ratio`` pixels a label pixel.

        A GPU takes all at once, since each of its steps takes as long as many; a CPU reads no more than it cuts.
        """
        device = kinds[0][0].device
        if device.type == "cpu":
            return [self._slices(maps, size, ratio) for maps in kinds]
        places = self.places(size, ratio, device)
        return [torch.stack(list(maps))[places] for maps in kinds]

    def _slices(self, maps: Sequence[Tensor], size: int, ratio: int) -> Tensor:
        places = zip(maps, ratio * self.tops, ratio * self.lefts, self.mirrored)
        parts = [(each[top : top + size, left : left + size], turned) for each, top, left, turned in places]
        return torch.stack([part.flip(-1) if turned else part for part, turned in parts])

    def places(self, size: int, ratio: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Sample, row and column of every pixel of the crops: what they are of maps (n, y, x)."""
        steps = np.arange(size)
        rows = ratio * self.tops[:, None] + steps
        columns = ratio * self.lefts[:, None] + np.where(self.mirrored[:, None], steps[::-1], steps)
        sample = torch.arange(len(self.tops), device=device)
        rows, columns = (_sent(each, device) for each in (rows, columns))
        return sample[:, None, None], rows[:, :, None], columns[:, None, :]


class TrainingSamples(IterableDataset):
    """Endless fresh samples of all sources, each structure as likely; cut into epochs, ``epoch`` is set by the trainer
    before each pass.

    Of several processes (``training.devices``) each draws samples of its own, by its ``rank``.
    """

    def __init__(self, sources: Sequence[Source], training: Training, device: torch.device, rank: int = 0) -> None:
        self.sources, self.training, self.device = list(sources), training, device
        self.rank = rank
        self._formers = [source.former(device) for source in self.sources]
        self._first = np.cumsum([0, *(len(source.structures) for source in self.sources)])
        self.doses = np.array([source.doses(training) for source in self.sources])
        self.pixel_pm = self.sources[0].imaging.pixel_pm
        self.ratio = round(self.sources[0].structures.label_pixel_pm / self.pixel_pm)
        self.epoch = 0

    def __len__(self) -> int:
        return self.training.epoch_steps

    def __iter__(self) -> Iterator[Batch]:
        size, repeats = self.training.batch_size, self.training.optics_repeats
        pools = -(-len(self) // (self._pool_batches() * repeats))
        ends = [
            len(self) * (number + 1) // pools for number in range(pools)
        ]  # a small last pool would be learnt by heart
        for done, end in zip([0, *ends], ends):
            own = [self.rank] if self.rank else []  # one process draws what it always drew
            rng = np.random.default_rng(np.random.SeedSequence([self.training.seed, self.epoch, done, *own]))
            noise = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
            batches = end - done
            pool = -(-batches // repeats) * size
            which = rng.integers(self._first[-1], size=pool)
            images = self._form(which, rng)
            orders = [rng.permutation(pool) for _ in range(repeats)]
            for batch in np.concatenate(orders).reshape(-1, size)[:batches]:
                yield self._batch(images, which, batch, rng, noise)

    def _pool_batches(self) -> int:
        largest = max(former.field_pixels for former in self._formers) ** 2 * 4
        fitting = POOL_BYTES // (self.training.batch_size * largest)
        return max(1, min(POOL_BATCHES * self.training.optics_repeats, fitting))

    def _source_of(self, which: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._first, which, side="right") - 1

    def _form(self, which: np.ndarray, rng: np.random.Generator) -> Tensor:
        """An image of each structure, (n, y, x)."""
        images: Tensor | None = None
        owner = self._source_of(which)
        for number in np.unique(owner):
            here = np.flatnonzero(owner == number)
            source, former = self.sources[number], self._formers[number]
            lens = Lens.from_columns(
                lens_columns(draw_lens_values(source.imaging, self._defocus(source.imaging, len(here), rng), rng)),
                self.device,
            )
            for first in range(0, len(here), self.training.batch_size):  # waves take more than the images they make
                some = here[first : first + self.training.batch_size]
                waves = torch.stack([source.structures.wave(int(which[i] - self._first[number])) for i in some])
                formed = former.form(waves, lens.part(slice(first, first + len(some))))
                if images is None:
                    images = formed.new_empty((len(which), *formed.shape[1:]))
                images[_sent(some, formed.device)] = formed
        return images

    def _defocus(self, imaging: Imaging, count: int, rng: np.random.Generator) -> np.ndarray:
        if not self.training.fresh_optics:
            return rng.choice(imaging.defocus_values_nm, count)
        return rng.uniform(*imaging.trained_defocus_nm, count)

    def _batch(
        self, images: Tensor, which: np.ndarray, batch: np.ndarray, rng: np.random.Generator, noise: torch.Generator
    ) -> Batch:
        """Crop, mirror and add noise to some of the pool's images; labels are cut from the same crop."""
        crop, ratio = self.training.crop_pixels, self.ratio
        label_crop = crop // ratio
        room = images.shape[-1] // ratio - label_crop
        owner = self._source_of(which[batch])
        tops, lefts, mirrored = (np.empty(len(batch), int) for _ in range(3))
        for place in range(len(batch)):
            tops[place], lefts[place] = rng.integers(room + 1, size=2)
            mirrored[place] = self.training.flip and rng.random() < 0.5
        crops = Crops(tops, lefts, mirrored.astype(bool))
        maps = [
            self.sources[number].structures.maps(int(which[position] - self._first[number]))
            for position, number in zip(batch, owner)
        ]
        labels = crops.cut([[one[name] for one in maps] for name in LABELS], label_crop)
        (image,) = crops.cut([[images[position] for position in batch]], crop, ratio)
        low, high = np.log(self.doses[owner]).T
        doses = np.exp(rng.uniform(low, high))
        counted = np.array([source.imaging.detection_efficiency for source in self.sources])[owner]
        electrons = _sent(electrons_per_pixel(doses, self.pixel_pm, counted).astype(np.float32), self.device)
        grainy = noisy_batch(image, electrons[:, None, None], noise)
        power = self.training.dose_importance
        counts = _sent(dose_importance(doses, low, high, power).astype(np.float32), self.device)
        named = {name: values.to(self.device) for name, values in zip(LABELS, labels)}
        return Batch(noisy=grainy[:, None], **named, importance=counts)


def fixed_batches(
    sources: Sequence[Source],
    training: Training,
    root_seed: int,
    device: torch.device,
    draws: int = 4,
) -> list[Batch]:
    """Validation: each structure at ``draws`` of the defocus values that training draws from, the middles of equal
    parts of them, with one fixed noise each; doses are spread evenly (in log λ) over what training draws."""
    batches: list[Batch] = []
    for source in sources:
        batches += _fixed_batches_of(source, training, root_seed, device, draws, VALIDATION_BYTES // len(sources))
    return batches


def _fixed_batches_of(
    source: Source, training: Training, root_seed: int, device: torch.device, draws: int, most_bytes: int
) -> list[Batch]:
    structures, imaging, former = source.structures, source.imaging, source.former(device)
    middles = (np.arange(draws) + 0.5) / draws
    if training.fresh_optics:
        lowest, highest = imaging.trained_defocus_nm
        defocus = lowest + (highest - lowest) * middles
    else:
        stored = np.sort(imaging.defocus_values_nm)
        defocus = stored[(len(stored) * middles).astype(int)]
    low, high = np.log(source.doses(training))
    labels = structures.maps(0)["depth"].numel()
    most = max(1, most_bytes // (draws * (4 * former.field_pixels**2 + BYTES_A_LABEL * labels)))
    chosen = np.unique(np.linspace(0, len(structures) - 1, min(len(structures), most)).round().astype(int))

    def samples() -> Iterator[tuple[int, Tensor]]:
        for place, position in enumerate(chosen.tolist()):
            rng_of = partial(structure_rng, root_seed, source.specimen_name, structures.indices[position])
            lens = Lens.from_columns(lens_columns(draw_lens_values(imaging, defocus, rng_of("lens"))), device)
            images = former.form(structures.wave(position).expand(draws, -1, -1, -1), lens).cpu().numpy()
            for number, image in enumerate(images):
                dose = float(np.exp(low + (high - low) * split_position(place * draws + number)))
                electrons = electrons_per_pixel(dose, imaging.pixel_pm, imaging.detection_efficiency)
                yield position, torch.as_tensor(noisy(image, electrons, rng_of("noise", number)))

    batches, remaining = [], samples()
    while some := list(islice(remaining, training.batch_size)):
        each = [structures.maps(position) for position, _ in some]
        maps = {name: torch.stack([one[name] for one in each]).to(device) for name in LABELS}
        pictures = torch.stack([image for _, image in some])[:, None].to(device)
        batches.append(Batch(noisy=pictures, **maps, importance=torch.ones(len(some), device=device)))
    return batches
