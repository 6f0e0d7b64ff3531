"""Validation: the same noisy images of held-out structures after every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from segdepth.config import Training
from segdepth.learning.samples import Batch, Source
from segdepth.learning.structures import BYTES_A_LABEL, MAPS
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.detector import add_shot_noise, electrons_per_pixel
from segdepth.simulation.lens_values import draw_lens_values, lens_fields
from segdepth.splits import split_position

VALIDATION_BYTES = 400_000_000
"""Validation images are kept in memory: of as many structures, evenly chosen, as fit in here."""


def fixed_batches(
    sources: Sequence[Source],
    training: Training,
    root_seed: int,
    device: torch.device,
    draws: int = 4,
    clean: bool = False,
) -> list[Batch]:
    """Validation: each structure at ``draws`` of the defocus values that training draws from, the middles of equal
    parts of them, with one fixed noise each; doses are spread evenly (in log λ) over what training draws. ``clean``:
    with the images without noise."""
    batches: list[Batch] = []
    for source in sources:
        most = VALIDATION_BYTES // len(sources)
        batches += _fixed_batches_of(source, training, root_seed, device, draws, most, clean)
    return batches


def _fixed_batches_of(
    source: Source,
    training: Training,
    root_seed: int,
    device: torch.device,
    draws: int,
    most_bytes: int,
    clean: bool,
) -> list[Batch]:
    structures, imaging, former = source.structures, source.imaging, source.former(device)
    middles = (np.arange(draws) + 0.5) / draws
    if training.continuous_defocus:
        lowest, highest = imaging.trained_defocus_nm
        defocus = lowest + (highest - lowest) * middles
    else:
        stored = np.sort(imaging.defocus_values_nm)
        defocus = stored[(len(stored) * middles).astype(int)]
    low, high = np.log(source.doses(training))
    labels = structures.maps(0)["depth"].numel()
    pictures = 2 if clean else 1
    most = max(1, most_bytes // (draws * (4 * pictures * former.field_pixels**2 + BYTES_A_LABEL * labels)))
    chosen = np.unique(np.linspace(0, len(structures) - 1, min(len(structures), most)).round().astype(int))

    def samples() -> Iterator[tuple[int, Tensor, Tensor | None]]:
        for place, position in enumerate(chosen.tolist()):
            rng_of = partial(structure_rng, root_seed, source.specimen_name, structures.indices[position])
            lens = Lens.from_values(lens_fields(draw_lens_values(imaging, defocus, rng_of("lens"))), device)
            waves = structures.wave(position).expand(draws, -1, -1, -1)
            images = former.form(waves, lens, structures.weights).cpu().numpy()
            for number, image in enumerate(images):
                dose = float(np.exp(low + (high - low) * split_position(place * draws + number)))
                electrons = electrons_per_pixel(dose, imaging.pixel_pm, imaging.detection_efficiency)
                noisy = add_shot_noise(image, electrons, rng_of("noise", number))
                yield position, torch.as_tensor(noisy), torch.as_tensor(image) if clean else None

    batches, remaining = [], samples()
    while some := list(islice(remaining, training.batch_size)):
        each = [structures.maps(position) for position, *_ in some]
        maps = {name: torch.stack([one[name] for one in each]).to(device) for name in MAPS}
        noisy, without = (
            None if images[0] is None else torch.stack(images)[:, None].to(device)
            for images in ([one[n] for one in some] for n in (1, 2))
        )
        importance = torch.ones(len(some), device=device)
        batches.append(Batch(noisy=noisy, **maps, importance=importance, clean=without))
    return batches
