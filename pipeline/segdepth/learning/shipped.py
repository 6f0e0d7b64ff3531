"""The network that comes with the package, ``shipped`` by name: where it lies. Knows nothing of what a network is.

``segdepth/shipped/network/`` holds its weights, its card and MODEL_CARD.md, ``network.manifest.json`` beside it says
what it was made from. ``segdepth.evaluation.shipping`` makes both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from segdepth.config import SHIPPED, Config, ConfigError
from segdepth.learning.learnt import structures_learnt
from segdepth.store.manifest import manifest_path, read_manifest

COMMAND = "ship-model"


def shipped_folder() -> Path:
    """Where the network lies, or would lie, in this installation of the package."""
    return Path(str(files("segdepth"))) / "shipped" / "network"


def shipped_network() -> Path:
    """The folder of the network.

    Raises
    ------
    ConfigError
        This version comes without one.
    """
    folder = shipped_folder()
    if not manifest_path(folder).exists():
        raise ConfigError("no network comes with this version of segdepth; name a trained one (predict: --model)")
    return folder


def _measured_on(config: Config) -> Iterator[tuple[str, str]]:
    """The data sets that it is measured on, each with the key that says so."""
    for dataset in config.evaluations.get(SHIPPED, ()):
        yield f"evaluations.{SHIPPED}", dataset
    for name, table in config.tables.items():
        for row in table.rows:
            if SHIPPED in row.models:
                yield f"tables.{name} ({row.label})", str(row.dataset)


def check_shipped(config: Config) -> None:
    """What the shipped network is measured on has its pixels, and it has not seen it; told before any simulation.

    Raises
    ------
    ConfigError
        A data set does not fit.
    """
    folder = shipped_folder()
    if not manifest_path(folder).exists():
        return  # whoever asks for it is told so
    try:
        card = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        pixels = {kind: float(card[f"{kind}_pixel_pm"]) for kind in ("input", "label")}
    except (OSError, ValueError, TypeError, KeyError) as failure:
        raise ConfigError(
            f"{folder}: the network that comes with segdepth is damaged ({failure}); restore it"
        ) from None
    for here, name in _measured_on(config):
        dataset = config.datasets[name]
        specimen = config.specimens[dataset.specimen]
        for kind, block in (("input", config.imaging[dataset.imaging]), ("label", config.labels[dataset.labels])):
            wanted = pixels[kind]
            if abs(block.pixel_pm - wanted) > 1e-6 * wanted:
                raise ConfigError(
                    f"{here}: the {kind} pixel of {name!r} is {block.pixel_pm:g} pm; {SHIPPED!r} is trained at "
                    f"{wanted:g} pm"
                )
        both = structures_learnt(folder, dataset.specimen, config.root_seed) & set(
            dataset.structures_of("test", specimen)
        )
        if both:
            raise ConfigError(
                f"{here}: {SHIPPED!r} was trained on {len(both)} of the test structures of {name!r} (the first is "
                f"{min(both)}); measure it on structures that it has not seen"
            )


def name_of(folder: Path) -> str:
    """A network's name: its folder's, or ``shipped``."""
    made_here = manifest_path(folder).exists()
    return SHIPPED if made_here and read_manifest(folder)["command"] == COMMAND else Path(folder).name
