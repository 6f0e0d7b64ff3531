"""The job ``export-model``: a trained network and its evaluations in, the folder that comes with the package out.

It holds ``weights.safetensors``, ``network.json`` and ``MODEL_CARD.md``. Convolution weights are stored as float16,
which halves the file; vectors (biases, batch norm's) and whole numbers are a few thousandths of it and stay as they
are: a variance of 1e-8 would become 0. A tensor that float16 cannot hold to a thousandth stays as it is, too. That the
network still says the same is checked on a noisy image.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segdepth.config import NETWORK_STRIDE, Dataset, Specimen, validate
from segdepth.errors import StoreError
from segdepth.evaluation.model_card import Origin, model_card
from segdepth.networks.bundled import COMMAND
from segdepth.networks.files import CARD, ENVIRONMENT, WEIGHTS, NetworkCard, load_network
from segdepth.simulation.detector import REFERENCE_PIXEL_PM
from segdepth.steps.stored_evaluation import read_metrics
from segdepth.store.manifest import TRAVELS, check_target, check_whole, read_manifest, writing

MODEL_CARD = "MODEL_CARD.md"
MOST_BYTES = 20_000_000
LARGEST_LOSS = 1e-3
"""Norm of what float16 takes from a tensor, over the tensor's own."""

LARGEST_CHANGE = 0.02
"""By which half precision may change a probability."""


def export_model(model: Path, evaluations: Sequence[Path], out: Path, code: str) -> None:
    """Write the network in ``model`` to the folder ``out`` as it is shipped.

    Parameters
    ----------
    model : folder of a trained network.
    evaluations : folders of its evaluations, which its card reports.

    Raises
    ------
    StoreError
        The network is not one of ``train-model``'s, an evaluation is of another network, the folder would be larger
        than 20 MB, or half precision changes what the network says.
    """
    model, out = Path(model), Path(out)
    manifest = check_whole(model, "train-model")
    check_target(out, COMMAND, [model, *evaluations])
    network, card = load_network(model)
    measured = [_metrics_of(path, model, manifest) for path in evaluations]
    origin = read_origin(model, manifest)
    with writing(
        out,
        command=COMMAND,
        code=code,
        inputs=[model, *evaluations],
        parameters={"model": model.name, "recipe": origin.recipe, "datasets": [facts["dataset"] for facts in measured]},
        seeds=manifest["seeds"],
        notes={"training_structures": manifest["notes"]["training_structures"], TRAVELS: True},
    ) as partial:
        partial.mkdir()
        save_file(half_precision(load_file(model / WEIGHTS)), partial / WEIGHTS)
        shutil.copyfile(model / CARD, partial / CARD)
        change = _change(network, load_network(partial)[0], card)
        if not change <= LARGEST_CHANGE:
            raise StoreError(
                f"{model}: float16 weights change a probability by {change:.2g}; at most {LARGEST_CHANGE:g} is allowed"
            )
        licence = metadata("segdepth")["License-Expression"]
        text = model_card(origin, card, measured, largest_change=change, licence=licence)
        (partial / MODEL_CARD).write_text(text, encoding="utf-8", newline="\n")
        size = sum(path.stat().st_size for path in partial.iterdir())
        if size > MOST_BYTES:
            raise StoreError(
                f"{model}: takes {size / 1e6:.3g} MB as float16; at most {MOST_BYTES / 1e6:g} MB come with the package"
            )


def half_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by name, as float16 where that keeps them; see the module's docstring."""
    return {name: _half(tensor) for name, tensor in weights.items()}


def _half(tensor: Tensor) -> Tensor:
    if tensor.dim() < 2 or not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    loss = torch.linalg.vector_norm(half.double() - tensor.double())
    kept = bool(loss <= LARGEST_LOSS * torch.linalg.vector_norm(tensor.double()))  # what overflows loses infinitely
    return half if kept else tensor


@torch.inference_mode()
def _change(network: nn.Module, halved: nn.Module, card: NetworkCard) -> float:
    """Largest difference of any probability on a noisy image of fringes."""
    side = 4 * NETWORK_STRIDE
    fringes = 1 + 0.3 * np.sin(np.arange(side) * card.input_pixel_pm / 50)  # about as wide as {111} planes are
    level = card.doses[0] * (card.input_pixel_pm / REFERENCE_PIXEL_PM) ** 2
    noisy = np.random.default_rng(0).poisson(level * fringes, (side, side)) / level
    image = torch.from_numpy(noisy.astype(np.float32))[None, None]
    first, second = (net(image).softmax(dim=1) for net in (network, halved))
    return float((first - second).abs().max())


def _metrics_of(evaluation: Path, model: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation's metrics; it must have measured this very network."""
    facts = read_metrics(evaluation)
    if manifest["content"] not in [given["content"] for given in read_manifest(evaluation)["inputs"]]:
        raise StoreError(f"{evaluation}: did not measure {model} as it is now; make it again with its rule")
    return facts


def read_origin(model: Path, manifest: Mapping[str, Any]) -> Origin:
    """What a network was made from, as its manifest and those of the waves behind it tell.

    Raises
    ------
    StoreError
        They do not tell: the network is of another version.
    """
    try:
        block, training_sets = manifest["parameters"]["model"], manifest["parameters"]["training_sets"]
        datasets = {
            name: training_set["dataset"] for name, training_set in zip(block["datasets"], training_sets, strict=True)
        }
        if not manifest["notes"]["training_structures"]:
            raise KeyError("training_structures")
        recipe: dict[str, Any] = {"root_seed": manifest["seeds"]["root_seed"]}
        recipe["specimens"] = {
            training_set["dataset"]["specimen"]: training_set["specimen"] for training_set in training_sets
        }
        recipe["beams"] = _beams(model, manifest, {dataset["beam"] for dataset in datasets.values()})
        for section in ("imaging", "labels"):
            recipe[section] = {
                training_set["dataset"][section]: training_set[section] for training_set in training_sets
            }
        recipe |= {"datasets": datasets, "models": {model.name: block}}
        structures = {
            name: _structures(training_set, f"{model}") for name, training_set in zip(datasets, training_sets)
        }
        environment = json.loads((model / ENVIRONMENT).read_text(encoding="utf-8"))
    except (KeyError, TypeError, ValueError, OSError) as failure:
        raise StoreError(f"{model}: does not tell how it was trained ({failure}); train it with this version") from None
    return Origin(model.name, recipe, structures, manifest["commit"], manifest["versions"], environment)


def _structures(training_set: Mapping[str, Any], source: str) -> int:
    """How many structures a network was trained on, those that only judged it left out."""
    dataset, specimen = (
        validate(Dataset, training_set["dataset"], source),
        validate(Specimen, training_set["specimen"], source),
    )
    return len(dataset.structures_of("train", specimen))


def _beams(model: Path, manifest: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The beam blocks behind a network's waves, by name; the waves' folder bears it. Lost waves tell nothing."""
    found = {}
    for given in manifest["inputs"]:
        path = model.parent / given["path"]
        if path.parent.name not in names or path.parent.name in found:
            continue
        try:
            waves = read_manifest(path)
        except StoreError:
            continue
        if waves["command"] == "simulate-waves" and waves["content"] == given["content"]:
            found[path.parent.name] = waves["parameters"]["beam"]
    return found
