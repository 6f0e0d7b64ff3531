"""Training samples: stored waves in, noisy batches with labels out, formed on the device that trains.

Each sample has its own structure, lens, flip, crop, dose and noise. With ``continuous_defocus: false`` the defocus is
one of the stored values; where no other lens value has a range, that is the paper's training (fixed images, new noise).
Draws depend only on the training seed, the epoch, the batch and the process's rank. Images are formed whole and then
cropped, since every pixel depends on the whole wave, whose periodic cell is larger than the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from segdepth.config import Imaging, Training
from segdepth.learning.structures import MAPS, StructureCache
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.detector import add_shot_noise_batch, electrons_per_pixel
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields
from segdepth.simulation.optics import ImageFormer

POOL_BATCHES = 4
"""Images formed at a time: so many batches for each use of an image, so that its uses lie far apart in the shuffled
order (16 uses of 64 images in a row would overfit those 64 for a while)."""

POOL_BYTES = 500_000_000
"""A pool of large images is smaller."""


class Batch(NamedTuple):
    """``noisy`` (n, 1, y, x) with vacuum = 1; on the label grid (n, y, x) ``depth``, ``weight`` and ``regions`` (atomic
    number of the element whose column's centre a pixel belongs to, 0 if none); ``importance`` (n,), how much each
    sample counts in the loss; ``clean`` (n, 1, y, x), what ``noisy`` is without noise, or None where nobody needs it.
    """

    noisy: Tensor
    depth: Tensor
    weight: Tensor
    regions: Tensor
    importance: Tensor
    clean: Tensor | None = None


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
    """Where each sample of a batch is cut, in label pixels, and whether it is flipped along x and along y; arrays
    (n,)."""

    tops: np.ndarray
    lefts: np.ndarray
    flipped: np.ndarray
    upside_down: np.ndarray

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
        places = zip(maps, ratio * self.tops, ratio * self.lefts, self.flipped, self.upside_down)
        parts = []
        for each, top, left, along_x, along_y in places:
            axes = [axis for axis, flip in ((-2, along_y), (-1, along_x)) if flip]
            part = each[top : top + size, left : left + size]
            parts.append(part.flip(axes) if axes else part)
        return torch.stack(parts)

    def places(self, size: int, ratio: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Sample, row and column of every pixel of the crops: what they are of maps (n, y, x)."""
        steps = np.arange(size)
        rows, columns = (
            ratio * first[:, None] + np.where(flip[:, None], steps[::-1], steps)
            for first, flip in ((self.tops, self.upside_down), (self.lefts, self.flipped))
        )
        sample = torch.arange(len(self.tops), device=device)
        rows, columns = (_sent(each, device) for each in (rows, columns))
        return sample[:, None, None], rows[:, :, None], columns[:, None, :]


class TrainingSamples(IterableDataset):
    """Endless new samples of all sources, each structure as likely, cut into epochs: one pass gives those of
    ``epoch``, which ``segdepth.learning.callbacks.SampleEpoch`` sets.

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
        size, repeats = self.training.batch_size, self.training.noise_repeats
        epoch = self.epoch
        pools = -(-len(self) // (self._pool_batches() * repeats))
        ends = [len(self) * (number + 1) // pools for number in range(pools)]  # else a small last pool is memorised
        for done, end in zip([0, *ends], ends):
            own = [self.rank] if self.rank else []  # one process draws what it always drew
            rng = np.random.default_rng(np.random.SeedSequence([self.training.seed, epoch, done, *own]))
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
        return max(1, min(POOL_BATCHES * self.training.noise_repeats, fitting))

    def _source_of(self, which: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._first, which, side="right") - 1

    def _form(self, which: np.ndarray, rng: np.random.Generator) -> Tensor:
        """An image of each structure, (n, y, x)."""
        images: Tensor | None = None
        owner = self._source_of(which)
        for number in np.unique(owner):
            here = np.flatnonzero(owner == number)
            source, former = self.sources[number], self._formers[number]
            lens = Lens.from_values(
                lens_fields(draw_lens_values(source.imaging, self._defocus(source.imaging, len(here), rng), rng)),
                self.device,
            )
            for first in range(0, len(here), self.training.batch_size):  # waves take more than the images they make
                some = here[first : first + self.training.batch_size]
                waves = torch.stack([source.structures.wave(int(which[i] - self._first[number])) for i in some])
                formed = former.form(waves, lens.part(slice(first, first + len(some))), source.structures.weights)
                if images is None:
                    images = formed.new_empty((len(which), *formed.shape[1:]))
                images[_sent(some, formed.device)] = formed
        return images

    def _defocus(self, imaging: Imaging, count: int, rng: np.random.Generator) -> np.ndarray:
        if not self.training.continuous_defocus:
            return rng.choice(imaging.defocus_values_nm, count)
        return rng.uniform(*imaging.trained_defocus_nm, count)

    def _batch(
        self, images: Tensor, which: np.ndarray, batch: np.ndarray, rng: np.random.Generator, noise: torch.Generator
    ) -> Batch:
        """Crop, flip and add noise to some of the pool's images; labels are cut from the same crop."""
        crop, ratio = self.training.crop_pixels, self.ratio
        label_crop = crop // ratio
        room = images.shape[-1] // ratio - label_crop
        owner = self._source_of(which[batch])
        tops, lefts, flipped = (np.empty(len(batch), int) for _ in range(3))
        for place in range(len(batch)):
            tops[place], lefts[place] = rng.integers(room + 1, size=2)
            flipped[place] = self.training.flip and rng.random() < 0.5
        upside_down = rng.random(len(batch)) < 0.5 if self.training.flip_y else np.zeros(len(batch), bool)
        crops = Crops(tops, lefts, flipped.astype(bool), upside_down)
        maps = [
            self.sources[number].structures.maps(int(which[position] - self._first[number]))
            for position, number in zip(batch, owner)
        ]
        labels = crops.cut([[one[name] for one in maps] for name in MAPS], label_crop)
        (image,) = crops.cut([[images[position] for position in batch]], crop, ratio)
        low, high = np.log(self.doses[owner]).T
        doses = np.exp(rng.uniform(low, high))
        counted = np.array([source.imaging.detection_efficiency for source in self.sources])[owner]
        electrons = _sent(electrons_per_pixel(doses, self.pixel_pm, counted).astype(np.float32), self.device)
        noisy = add_shot_noise_batch(image, electrons[:, None, None], noise)
        power = self.training.dose_importance
        counts = _sent(dose_importance(doses, low, high, power).astype(np.float32), self.device)
        named = {name: values.to(self.device) for name, values in zip(MAPS, labels)}
        return Batch(noisy=noisy[:, None], **named, importance=counts, clean=image[:, None])
