"""What a job costs, from the work in it: seconds of one core, memory, and the limits that a cluster is asked for.

The rates below were measured on cores of an Intel Xeon (``docs/performance.md``, ``docs/results/tables``); each is
given with what it was measured on. A limit is ``SLACK`` times the estimate, so that a slower machine, or one whose
cores are shared, keeps within it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from segdepth.config import Beam, Config, Dataset, Imaging, Model, Specimen

SLACK = 4.0
"""A limit of time over what was measured."""

LEAST_MINUTES = 15
"""Of a limit: starting Python from a shared disk may take minutes."""

START_S = 5.0
"""Starting a command and reading its packages."""

SNAKEMAKE_MB = 500
"""Two Snakemakes run in each job of a cluster beside the command."""

TRAINING_THREADS = 8

WAVE_S = 0.07
"""For a million points of the grid and an atom along the beam: 0.19 to 0.28 s for up to ten atoms at 0.42 million."""

TILTED_ATOMS = 3.0
"""Atoms of a tilted crystal no longer share slices: 0.73 s for up to ten atoms."""

SNAPSHOT = 2.0
"""Atoms of a snapshot do not share heights: 152 s for 80 snapshots of up to 30 atoms at 0.55 million points."""

SLAB_S = 0.16
"""Finite projection, for a million points and a slab: 0.81, 1.45 and 3.4 s with slabs of 96, 48 and 16.7 pm."""

ATOM_PM = 400.0
"""Height of an atom along the beam, roughly."""

IMAGE_S = 0.6
"""For a million pixels of an image of one configuration: 0.038 s for 256 x 256 of a lens that varies."""

BUILD_S, DEPTH_S = 0.01, 0.02
"""A structure's atoms and depth map, for a million points of 10 pm and an atom along the beam, rounded up."""

STEP_S = {"binned": 5e-9, "full": 5e-9, "space_to_depth": 1.25e-9}
"""A training step, for a pixel and a squared channel: with all that belongs to a sample 106 ms for 192 x 192 and 48
channels, folded, and 37 ms for 128 x 128 and 16 channels."""

SAMPLE_S = 1e-6
"""A training sample's lens, noise and reading, and its share of the validation, for a pixel."""

FORWARD = 1 / 3
"""Of a training step: a prediction."""

FRAME_S = 0.05
"""A measured frame beside the network's share: 252 of 256 x 256 in 22 s."""

FIT_S = 30.0
"""A fit of the lens of one frame; one that is not explained takes three times as long."""

OBSERVED_S = 30.0
"""The ideal observer, for a structure."""

ON_A_GPU = 100
"""Cores that a GPU replaces in a training (an H200: 190)."""

WAVES_BYTE, IMAGES_BYTE, DEPTH_BYTE = 0.76e6, 4.0, 3.0
"""On the disk: a wave of 45 mrad and 6.8 nm, and a pixel of an image or of a depth map."""

ATOMS_BYTE = 27e3
"""On the disk: a structure's text for an atom along the beam and (6.8 nm)²."""

PAPER_CELL_PM = 6764.0


class Cost(NamedTuple):
    """One job."""

    seconds: float
    """Of one core."""
    megabytes: int
    """Of memory, the command's and that of the Snakemakes around it."""
    threads: int = 1
    """That it can use."""
    gpu_cores: int = 0
    """How many cores its GPUs replace."""
    disk: float = 0.0
    """Bytes that it leaves."""

    def mem_mb(self, attempt: int = 1) -> int:
        """What is asked for."""
        return self.megabytes * attempt

    def runtime(self, attempt: int = 1, threads: int = 1) -> int:
        """Minutes that are asked for; ``threads`` are those that it is given."""
        seconds = SLACK * self.seconds / max(self.gpu_cores, threads)
        return attempt * max(LEAST_MINUTES, math.ceil(seconds / 60))


def _megapixels(side_pm: float, pixel_pm: float) -> float:
    return (side_pm / pixel_pm) ** 2 / 1e6


def _atoms(specimen: Specimen) -> int:
    """Of the thickest column."""
    return max(specimen.bulk_atoms[1], specimen.thickest_atoms if specimen.count_shift_atoms else 0)


def _configurations(beam: Beam) -> int:
    return max(1, beam.frozen_phonons) + beam.diffuse_snapshots


def structure_s(specimen: Specimen, beam: Beam) -> float:
    """Multislice of one structure, in seconds of a core."""
    points = _megapixels(specimen.cell_pm, beam.pixel_pm)
    if beam.projection == "finite":
        return SLAB_S * points * _atoms(specimen) * ATOM_PM / 2 / beam.slice_pm * _configurations(beam)
    rate = WAVE_S
    if max(specimen.tilt_deg) and specimen.tilt_by == "atoms":
        rate *= TILTED_ATOMS
    if beam.frozen_phonons:
        rate *= SNAPSHOT
    return rate * points * _atoms(specimen) * _configurations(beam)


def images_s(specimen: Specimen, beam: Beam, imaging: Imaging) -> float:
    """All images of one structure, in seconds of a core."""
    count = len(imaging.defocus_values_nm) * _configurations(beam)
    return IMAGE_S * count * _megapixels(specimen.field_pm, imaging.pixel_pm)


def sample_s(model: Model, pixels: float) -> float:
    """One training sample of so many pixels, in seconds of a core."""
    shape = model.architecture
    networks = 2 if model.task == "denoise_and_depth" else 1 + FORWARD * (model.denoiser is not None)
    return (networks * STEP_S[shape.variant] * shape.base_channels**2 + SAMPLE_S) * pixels


class Costs:
    """The costs of one configuration's jobs, by rule and the names of its blocks; each is computed once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._known: dict[tuple, Cost] = {}

    def _once(self, compute: Callable[..., Cost], *names: str) -> Cost:
        key = (compute.__name__, *names)
        if key not in self._known:
            self._known[key] = compute(*names)
        return self._known[key]

    def build_specimens(self, specimen: str) -> Cost:
        return self._once(self._build_specimens, specimen)

    def project_depth(self, specimen: str, labels: str) -> Cost:
        return self._once(self._project_depth, specimen, labels)

    def simulate_waves(self, specimen: str, beam: str) -> Cost:
        return self._once(self._simulate_waves, specimen, beam)

    def form_images(self, specimen: str, beam: str, imaging: str) -> Cost:
        return self._once(self._form_images, specimen, beam, imaging)

    def train_model(self, model: str) -> Cost:
        return self._once(self._train_model, model)

    def evaluate_model(self, model: str, dataset: str) -> Cost:
        return self._once(self._evaluate_model, model, dataset)

    def measure_yardstick(self, model: str, yardstick: str) -> Cost:
        return self._once(self._measure_yardstick, model, yardstick)

    def estimate_ideal_observer(self, dataset: str) -> Cost:
        return self._once(self._estimate_ideal_observer, dataset)

    def measure_familiarity(self, model: str) -> Cost:
        return self._once(self._measure_familiarity, model)

    def _build_specimens(self, specimen: str) -> Cost:
        s = self.config.specimens[specimen]
        points = _megapixels(s.cell_pm, 10)
        disk = ATOMS_BYTE * s.shard_size * _atoms(s) * (s.cell_pm / PAPER_CELL_PM) ** 2
        return Cost(START_S + BUILD_S * 20 * points * _atoms(s) * s.shard_size / 10, self._mb(400, points), disk=disk)

    def _project_depth(self, specimen: str, labels: str) -> Cost:
        s, pixel = self.config.specimens[specimen], self.config.labels[labels].pixel_pm
        points = _megapixels(s.cell_pm, 10)
        disk = DEPTH_BYTE * 1e6 * _megapixels(s.field_pm, pixel) * s.shard_size
        seconds = START_S + DEPTH_S * points * _atoms(s) * s.shard_size
        return Cost(seconds, self._mb(600, points + _megapixels(s.field_pm, pixel)), disk=disk)

    def _simulate_waves(self, specimen: str, beam: str) -> Cost:
        s, b = self.config.specimens[specimen], self.config.beams[beam]
        points = _megapixels(s.cell_pm, b.pixel_pm)
        stored = (s.cell_pm / PAPER_CELL_PM * b.stored_angle_mrad / 45) ** 2 * _configurations(b)
        seconds = START_S + s.shard_size * structure_s(s, b)
        return Cost(seconds, self._mb(900, 2 * points), disk=WAVES_BYTE * stored * s.shard_size)

    def _form_images(self, specimen: str, beam: str, imaging: str) -> Cost:
        s, b, i = self.config.specimens[specimen], self.config.beams[beam], self.config.imaging[imaging]
        pixels = _megapixels(s.field_pm, i.pixel_pm)
        disk = IMAGES_BYTE * 1e6 * pixels * len(i.defocus_values_nm) * s.shard_size
        seconds = START_S + s.shard_size * images_s(s, b, i)
        return Cost(seconds, self._mb(700, 2 * pixels * max(2, len(i.defocus_values_nm) / 4)), disk=disk)

    def _train_model(self, model: str) -> Cost:
        m = self.config.models[model]
        t = m.training
        samples = t.epochs * t.epoch_steps * t.batch_size * t.devices
        step = sample_s(m, t.crop_pixels**2)
        gpu = self.config.device == "cuda"
        activations = 4e-6 * 30 * m.architecture.base_channels * t.crop_pixels**2 * t.batch_size * t.devices
        if m.architecture.variant == "space_to_depth":
            activations /= 4
        megabytes = SNAKEMAKE_MB + 2500 + (0 if gpu else round(1.2 * activations))
        cores = ON_A_GPU * t.devices if gpu else 0
        return Cost(60 + samples * step, 100 * math.ceil(megabytes / 100), TRAINING_THREADS, cores, disk=50e6)

    def _evaluate_model(self, model: str, dataset: str) -> Cost:
        d = self.config.datasets[dataset]
        i, pixels = self.config.imaging[d.imaging], self._pixels(d)
        seconds = self._tests(dataset) * len(i.defocus_values_nm) * self._frame_s(model, pixels)
        return Cost(START_S + seconds, self._mb(1500, pixels / 1e6), 2, disk=5e6)

    def _measure_yardstick(self, model: str, yardstick: str) -> Cost:
        y = self.config.yardsticks[yardstick]
        frames = self._tests(y.dataset) * y.recordings
        pixels = self._pixels(self.config.datasets[y.dataset])
        seconds = 10 + self._frame_s(model, pixels) + (FIT_S if y.fit_lens else 0)
        return Cost(60 + frames * seconds, self._mb(2500, pixels / 1e6), 2, disk=5e6)

    def _estimate_ideal_observer(self, dataset: str) -> Cost:
        d = self.config.datasets[dataset]
        s, b = self.config.specimens[d.specimen], self.config.beams[d.beam]
        seconds = self._tests(dataset) * (OBSERVED_S + 10 * structure_s(s, b))
        return Cost(60 + seconds, self._mb(2000, 2 * _megapixels(s.cell_pm, b.pixel_pm)), disk=1e6)

    def _measure_familiarity(self, model: str) -> Cost:
        seconds = 60.0
        for name in self.config.familiarity.get(model, ()):
            d = self.config.datasets[name]
            count = self._unseen(name) * len(self.config.imaging[d.imaging].defocus_values_nm)
            seconds += count * self._frame_s(model, self._pixels(d))
        return Cost(seconds, self._mb(2500, 1), 2, disk=1e6)

    def _mb(self, least: int, megapixels: float) -> int:
        """Memory: that of packages and Snakemakes, and 500 MB for a million points of the largest array."""
        return 100 * math.ceil((least + SNAKEMAKE_MB + 500 * megapixels) / 100)

    def _frame_s(self, model: str, pixels: float) -> float:
        known = self.config.models.get(model)
        step = sample_s(known, pixels) if known else self._widest_step * pixels
        return FRAME_S + FORWARD * step

    @cached_property
    def _widest_step(self) -> float:
        """For a pixel of the package's own networks: 48 channels, folded."""
        return STEP_S["space_to_depth"] * 48**2

    def _pixels(self, dataset: Dataset) -> float:
        """Of an image."""
        field = self.config.specimens[dataset.specimen].field_pm
        return 1e6 * _megapixels(field, self.config.imaging[dataset.imaging].pixel_pm)

    def _tests(self, name: str) -> float:
        """Structures to test on, roughly: nothing is drawn here."""
        d = self.config.datasets[name]
        return math.ceil(d.splits.test * self.config.specimens[d.specimen].structures) + 1

    def _unseen(self, name: str) -> float:
        d = self.config.datasets[name]
        return math.ceil((d.splits.test + d.splits.validation) * self.config.specimens[d.specimen].structures) + 1
