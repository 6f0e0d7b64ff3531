"""A network against test images with a known truth, in float32."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from segdepth.evaluation.examples import Examples
from segdepth.evaluation.noisy_images import NoisyImages, Sample
from segdepth.evaluation.results import Evaluation
from segdepth.evaluation.tallies import Tallies
from segdepth.evaluation.tested_network import check_tested
from segdepth.networks.card import NetworkCard
from segdepth.networks.unet import count_parameters
from segdepth.seeds import hash64
from segdepth.simulation.detector import electrons_per_square_angstrom

BATCH_PIXELS = 8 * 256**2
"""Of a batch, so that memory does not grow with the frames."""

COLUMNS = (
    *("structure", "defocus_nm", "x_pm", "y_pm", "element", "atoms", "depth", "confidence", "depth_low", "depth_high"),
)


def evaluate(
    network: nn.Module,
    card: NetworkCard,
    tests: NoisyImages,
    dose_lambda: float,
    *,
    model: str,
    dataset: str,
    batch_size: int | None = None,
) -> Evaluation:
    """Measure ``network`` on every test image.

    Parameters
    ----------
    network : in evaluation mode; computes on the device of its parameters.
    dose_lambda : λ of the noise.
    model, dataset : their names.
    batch_size : images at a time; without it, as many as make up ``BATCH_PIXELS``.

    Raises
    ------
    ConfigError
        The network was trained on one of the structures, or for other pixels, labels or another crystal.
    StoreError
        Another version trained the network.
    """
    check_tested(card, tests, model=model, dataset=dataset)
    labels, many = tests.labels, (len(tests.structures), len(tests.defocus_nm))
    lengths = {"pixel_pm": tests.label_pixel_pm, "nearest_pm": tests.crystal.nearest_column_pm}
    scaling = {"more": labels.more, "temperature": card.temperature}
    tallies = Tallies(tests.crystal.elements, labels.classes, *many, **scaling, **lengths)
    examples = Examples(tests.structures, tests.defocus_nm)
    where = next((p.device for p in network.parameters()), torch.device("cpu"))
    batch_size = batch_size or max(1, BATCH_PIXELS // tests.pixels**2)
    columns, seconds = [], []
    with tqdm(total=len(tests), desc=f"evaluating {model} on {dataset}", unit="image", mininterval=0.5) as progress:
        for batch in _batches(tests.samples(dose_lambda), batch_size):
            began = time.perf_counter()
            maps = _probabilities(network, batch, where)
            seconds.append((time.perf_counter() - began) / len(batch))
            for sample, probabilities in zip(batch, maps):
                found = tallies.add(sample.place, sample.defocus, sample.truth, probabilities)
                examples.offer(sample, probabilities)
                columns.append(found.assign(structure=sample.structure, defocus_nm=sample.defocus_nm))
            progress.update(len(batch))
    seed = (tests.root_seed, hash64("bootstrap"), hash64(tests.specimen))
    rng = np.random.default_rng
    facts = {
        "model": model,
        "dataset": dataset,
        **_facts_of(tests),
        "columns": int(tallies.columns[..., -1].sum()),
        "dose_lambda": dose_lambda,
        "electrons_per_square_angstrom": electrons_per_square_angstrom(dose_lambda),
        "parameters": count_parameters(network),
        "base_channels": card.base_channels,
        "variant": card.variant,
        "temperature": card.temperature,
    }
    return Evaluation(
        facts=facts,
        metrics=tallies.metrics_table(rng(seed)),
        by_defocus=tallies.by_defocus(tests.defocus_nm, rng(seed)),
        by_atoms=tallies.by_atoms(rng(seed)),
        by_structure=tallies.by_structure(tests.structures),
        confusion=tallies.confusion_table(),
        calibration=tallies.calibration_table(),
        columns=_columns_table(columns, tests.crystal.elements),
        examples=examples.dataset(_attributes(tests, dose_lambda)),
        run={
            "device": str(where),
            "threads": torch.get_num_threads(),
            "seconds_per_image": round(float(np.median(seconds)), 6),
        },
    )


def _facts_of(tests: NoisyImages) -> dict[str, Any]:
    return {
        "specimen": tests.specimen,
        "crystal": tests.crystal.title,
        "elements": list(tests.crystal.elements),
        "classes": tests.labels.classes,
        "more": tests.labels.more,
        "images": len(tests),
        "structures": len(tests.structures),
    }


def _attributes(tests: NoisyImages, dose_lambda: float) -> dict[str, Any]:
    return {
        "pixel_pm": tests.pixel_pm,
        "label_pixel_pm": tests.label_pixel_pm,
        "field_pm": tests.field_pm,
        "dose_lambda": dose_lambda,
        "crystal": json.dumps(tests.crystal.to_dict(), sort_keys=True),
        "labels": tests.labels.as_json(),
    }


def _batches(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.inference_mode()
def _probabilities(network: nn.Module, batch: list[Sample], device: torch.device) -> np.ndarray:
    """Softmax of the logits, float32 (image, class, y, x) (eq. 3)."""
    inputs = torch.from_numpy(np.stack([sample.noisy for sample in batch])[:, None]).to(device)
    return network(inputs.contiguous(memory_format=torch.channels_last)).softmax(dim=1).contiguous().cpu().numpy()


def _columns_table(found: list[pd.DataFrame], elements: tuple[str, ...]) -> pd.DataFrame:
    table = pd.concat(found, ignore_index=True)
    table = table.assign(
        x_pm=table["x_pm"].round(2),
        y_pm=table["y_pm"].round(2),
        element=np.array(elements, dtype=object)[table["element"].to_numpy()],
        confidence=table["confidence"].round(5),
    )
    return table[list(COLUMNS)]
