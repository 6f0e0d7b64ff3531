"""How long a structure and a training sample take on this machine, and what the minutes then allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from segdepth.adaptation.blocks import BATCH, EPOCHS, VALIDATION, Budget
from segdepth.config import Beam, DatasetBlocks, Model, Specimen
from segdepth.crystals import Crystal
from segdepth.learning.module import NetworkModule
from segdepth.learning.tasks import make_task
from segdepth.learning.training import build_network
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.configurations import configuration_weights
from segdepth.simulation.datasets import structure_beams, waves_dataset
from segdepth.simulation.exit_wave import configure_abtem, exit_waves
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields, orders_of
from segdepth.specimen.frame_facts import FrameFacts, frame_facts
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge

if TYPE_CHECKING:
    from ase import Atoms

OVERHEAD_S = 45.0
"""For starting processes, the fit of the temperature and the film's first frames."""

WAVE_SHARE = 0.25
"""Of the time, for atoms, waves and depth maps."""

LEAST_STRUCTURES, MOST_STRUCTURES = 16, 480
LEAST_SAMPLES = EPOCHS * BATCH
SLACK = 1.15
"""What is not measured costs so much more: reading, cropping, noise, checkpoints."""

STEPS, WARM = 4, 2


def seconds_a_structure(blocks: DatasetBlocks, beam: Beam, crystal: Crystal, name: str) -> tuple[float, Callable]:
    """Seconds that one core takes for the atoms and waves of a structure of middle thickness; and a function that forms
    its image once."""
    specimen, imaging = blocks.specimen, blocks.imaging
    middle = round(sum(specimen.bulk_atoms) / 2)
    rows = [plan_row(specimen, crystal, name, index, 0) for index in range(min(specimen.structures, 8))]
    row = min(rows, key=lambda each: abs(each["bulk_atoms"] - middle))
    configure_abtem("cpu")
    thin = min(rows, key=lambda each: each["bulk_atoms"])
    _wave(thin, specimen, beam, crystal, name)  # what is compiled and read once does not count
    started = time.perf_counter()
    waves, frames, facts, beams = _wave(row, specimen, beam, crystal, name)
    spent = time.perf_counter() - started
    stored = waves_dataset(waves[None], frames, facts, beams)
    former = image_former(imaging, stored.attrs, orders_of(waves), "cpu")
    drawn = draw_lens_values(imaging, [float(np.mean(imaging.trained_defocus_nm))], structure_rng(0, name, 0, "lens"))
    lens, wave = Lens.from_values(lens_fields(drawn)), torch.as_tensor(waves)[None]
    weights = tuple(configuration_weights(beam).tolist())

    def form() -> Tensor:
        return former.form(wave, lens, weights)

    return spent, form


def _wave(
    row: Mapping, specimen: Specimen, beam: Beam, crystal: Crystal, name: str
) -> tuple[np.ndarray, list[Atoms], list[FrameFacts], list[Beam]]:
    """Waves (configuration, ky, kx) of a planned structure, its atoms, their facts, and its beam."""
    frames = [build_wedge(row, specimen, crystal, name, 0)]
    facts = frame_facts(frames)
    beams = structure_beams(beam, frames, facts)
    return exit_waves(frames[0], beams[0], np.random.default_rng(0)), frames, facts, beams


def seconds_a_sample(model: Model, blocks: DatasetBlocks, form: Callable[[], Tensor], cores: int) -> float:
    """Seconds that all cores take for a training sample: its share of an image, its share of a step, and of the
    validation."""
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        form()
        started = time.perf_counter()
        form()
        image = time.perf_counter() - started
        network = build_network(model.architecture, blocks.labels.classes, model.training.seed)
        task = make_task(model, blocks.labels.classes, ())
        module = NetworkModule(network.to(memory_format=torch.channels_last), task, model.training, 100)
        optimizer = module.configure_optimizers()["optimizer"]
        crop, size = model.training.crop_pixels, model.training.batch_size
        noisy = torch.poisson(torch.full((size, 1, crop, crop), 40.0)) / 40
        times = []
        for _ in range(WARM + STEPS):
            started = time.perf_counter()
            optimizer.zero_grad()
            module(noisy).float().square().mean().backward()
            optimizer.step()
            times.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    step = float(np.median(times[WARM:]))
    return SLACK * (image / model.training.noise_repeats + step / size)


def budget_of(minutes: float, cores: int, structure_s: float, sample_s: float, field_share: float) -> Budget:
    """What the minutes allow.

    Parameters
    ----------
    structure_s : of one core. sample_s : of all cores together. field_share : pixels of a field over those of a
        training sample; the validation predicts whole fields.
    """
    seconds = max(0.0, 60 * minutes - OVERHEAD_S)
    structures = int(np.clip(WAVE_SHARE * seconds * cores / (SLACK * structure_s), LEAST_STRUCTURES, MOST_STRUCTURES))
    left = seconds - SLACK * structures * structure_s / cores
    validated = EPOCHS * 4 * max(1.0, VALIDATION * structures) * field_share / 3  # forward only: a third of a step
    return Budget(structures, max(LEAST_SAMPLES, int(left / sample_s - validated)))
