"""The step ``measure-familiarity``: what frames a network has learnt, for predictions to compare a micrograph with.

It writes one JSON file of numbers (``segdepth.micrograph.familiarity.judgement``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm import tqdm

from segdepth.crystals import Crystal
from segdepth.devices import torch_device
from segdepth.errors import StoreError
from segdepth.micrograph.familiarity.judgement import measure_familiarity as measure
from segdepth.micrograph.familiarity.judgement import write_familiarity
from segdepth.micrograph.familiarity.reference import frame_features
from segdepth.networks.bundled import name_of
from segdepth.networks.card import NetworkCard
from segdepth.networks.compatibility import check_unseen
from segdepth.networks.files import load_network
from segdepth.networks.serving import ServedNetwork
from segdepth.seeds import hash64, structure_rng
from segdepth.store.manifest import TRAVELS, check_target, check_whole, write_artefact
from segdepth.store.zarr_store import open_zarr

COMMAND = "measure-familiarity"

DRAWS = hash64("familiarity")
"""Separates the frames' draws from those of evaluations."""


def measure_familiarity(
    model: Path, images: Sequence[Path], out: Path, *, code: str, device: str = "auto"
) -> dict[str, float]:
    """Measure what the network in ``model`` has learnt, from images that it has not seen.

    Parameters
    ----------
    images : shards of ``form-images``, over the ranges that the network was trained on; all their structures are used.

    Returns
    -------
    The rates at which held-out frames are called at the edge or outside.

    Raises
    ------
    ConfigError
        The network was trained on one of the structures.
    StoreError
        A shard is missing, damaged, of another crystal or pixel, or there are too few images.
    """
    check_target(out, COMMAND, [model, *images])
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, torch_device(device))
    served, found, structures = ServedNetwork(network), [], []
    with ExitStack() as stack:
        shards = [stack.enter_context(open_zarr(path, "form-images")) for path in images]
        for path, shard in zip(images, shards):
            _check(path, shard, model, card)
        energies = sorted({float(shard.attrs["energy_kev"]) for shard in shards})
        crystal = Crystal.from_dict(card.crystal)
        total = sum(shard.sizes["structure"] * shard.sizes["defocus"] for shard in shards)
        for where, image, rng in tqdm(_images(shards), total=total, desc="familiarity", unit="frame", mininterval=0.5):
            found.append(frame_features(served, card, crystal, image, rng))
            structures.append(where)
        familiarity = measure(found, structures, card, energies)
        seeds = {"root_seed": sorted({int(shard.attrs["root_seed"]) for shard in shards})}
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[model, *images], parameters={}, seeds=seeds, notes={TRAVELS: True}
        ) as partial:
            write_familiarity(familiarity, partial)
    return dict(familiarity.rates)


def _check(path: Path, shard: xr.Dataset, model: Path, card: NetworkCard) -> None:
    """The images must fit the network and be unknown to it."""
    pixel = float(shard.attrs["pixel_pm"])
    if not np.isclose(pixel, card.input_pixel_pm) or shard.attrs["crystal"] == "":
        raise StoreError(f"{path}: its pixel is {pixel:g} pm; the network reads {card.input_pixel_pm:g} pm")
    seen = [int(index) for index in shard["structure"].values]
    specimen, seed = str(shard.attrs["specimen"]), int(shard.attrs["root_seed"])
    check_unseen(card, seen, specimen, seed, network=repr(name_of(model)), name=str(path))


def _images(
    shards: Sequence[xr.Dataset],
) -> Iterator[tuple[tuple[str, int], np.ndarray, np.random.Generator]]:
    """(specimen, index) of each image's structure, the image, and the generator of its frame's draws."""
    for shard in shards:
        seed, specimen = int(shard.attrs["root_seed"]), str(shard.attrs["specimen"])
        for row, index in enumerate(int(i) for i in shard["structure"].values):
            for defocus in range(shard.sizes["defocus"]):
                rng = structure_rng(seed, specimen, index, "noise", DRAWS, defocus)
                yield (specimen, index), shard["intensity"][row, defocus].values, rng
