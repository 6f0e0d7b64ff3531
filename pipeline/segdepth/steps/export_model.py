"""The step ``export-model``: from a trained network and its evaluations to a folder for the package.

It holds ``weights.safetensors`` (float16 where that is exact enough, ``segdepth.networks.half_precision``),
``network.json`` and ``MODEL_CARD.md``. The change of the network's probabilities is checked on a noisy image.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from segdepth.config import Dataset, Specimen, validate
from segdepth.errors import StoreError
from segdepth.evaluation.model_card import Origin, model_card
from segdepth.evaluation.results import Evaluation
from segdepth.networks.files import CARD, WEIGHTS, load_network
from segdepth.networks.half_precision import half_precision, largest_change
from segdepth.networks.training_record import read_training_record
from segdepth.steps.stored_evaluation import read_evaluation
from segdepth.steps.training_facts import training_facts
from segdepth.store.manifest import TRAVELS, check_target, check_whole, read_manifest, write_artefact

COMMAND = "export-model"
MODEL_CARD = "MODEL_CARD.md"
MOST_BYTES = 20_000_000
LARGEST_CHANGE = 0.02
"""Largest change of a probability by half precision."""


def export_model(model: Path, evaluations: Sequence[Path], out: Path, *, code: str) -> None:
    """Write the network in ``model`` to the folder ``out`` as it comes with the package.

    Parameters
    ----------
    model : folder of a trained network.
    evaluations : folders of its evaluations, which its card reports.

    Raises
    ------
    StoreError
        The network is not one of ``train-model``'s, an evaluation is of another network, the folder would be larger
        than 20 MB, or half precision changes its probabilities.
    """
    model, out = Path(model), Path(out)
    manifest = check_whole(model, "train-model")
    check_target(out, COMMAND, [model, *evaluations])
    network, card = load_network(model)
    if not card.crystal:
        raise StoreError(f"{model}: its card has no 'crystal'; train it on data that have one")
    measured = [_evaluation_of(path, model, manifest) for path in evaluations]
    origin = read_origin(model, manifest)
    parameters = {"name": origin.name, "model": origin.model, "root_seed": origin.root_seed}
    parameters |= _shared_blocks(origin) | {"card_datasets": [one.facts["dataset"] for one in measured]}
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[model, *evaluations],
        parameters=parameters,
        seeds=manifest["seeds"],
        notes={TRAVELS: True},
    ) as partial:
        partial.mkdir()
        save_file(half_precision(load_file(model / WEIGHTS)), partial / WEIGHTS)
        shutil.copyfile(model / CARD, partial / CARD)
        change = largest_change(network, load_network(partial)[0], card)
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


def _shared_blocks(origin: Origin) -> dict[str, Any]:
    """The data sets' blocks for the manifest: those that several data sets have, once."""
    sections: dict[str, Any] = {"datasets": {name: blocks["dataset"] for name, blocks in origin.blocks.items()}}
    for kind, section in (("specimen", "specimens"), ("beam", "beams"), ("imaging", "imaging"), ("labels", "labels")):
        sections[section] = {
            blocks["dataset"][kind]: _one_line(blocks[kind]) for blocks in origin.blocks.values() if blocks.get(kind)
        }
    return sections


def _one_line(block: Mapping[str, Any]) -> str:
    """A block as JSON text on one line."""
    return json.dumps(block, sort_keys=True)


def _evaluation_of(folder: Path, model: Path, manifest: Mapping[str, Any]) -> Evaluation:
    """An evaluation, which must be of this network."""
    evaluation = read_evaluation(folder)
    if manifest["content"] not in [given["content"] for given in read_manifest(folder)["inputs"]]:
        raise StoreError(f"{folder}: did not measure {model} as it is now; make it again with its rule")
    return evaluation


def read_origin(model: Path, manifest: Mapping[str, Any]) -> Origin:
    """The origin of a network, from its manifest and those of its waves.

    Raises
    ------
    StoreError
        The network is of another version.
    """
    try:
        block, training_sets = manifest["parameters"]["model"], manifest["parameters"]["training_sets"]
        blocks = {name: dict(given) for name, given in zip(block["datasets"], training_sets, strict=True)}
        beams = _beams(model, manifest, {given["dataset"]["beam"] for given in blocks.values()})
        for given in blocks.values():
            given["beam"] = beams.get(given["dataset"]["beam"], {})
        structures = {name: _structures(given, f"{model}") for name, given in blocks.items()}
        environment = training_facts(model, manifest)
        root_seed = int(manifest["seeds"]["root_seed"])
        read_training_record(model)
    except (KeyError, TypeError, ValueError, OSError) as failure:
        raise StoreError(f"{model}: lacks the record of its training ({failure}); train it with this version") from None
    first = (environment.get("runs") or [{}])[0]
    commit, versions = first.get("commit", manifest["commit"]), first.get("versions", manifest["versions"])
    return Origin(model.name, block, blocks, structures, root_seed, commit, versions, environment)


def _structures(training_set: Mapping[str, Any], source: str) -> int:
    """Number of structures that a network was trained on, without those for validation."""
    dataset = validate(Dataset, training_set["dataset"], source)
    return len(dataset.structures_of("train", validate(Specimen, training_set["specimen"], source)))


def _beams(model: Path, manifest: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The beam blocks of a network's waves, by the name of their folder. Empty if the waves are missing."""
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
