"""The network that comes with the package, ``shipped`` by name: where it lies. Knows nothing of what a network is.

``segdepth/bundled/network/`` holds its weights, its card and MODEL_CARD.md, ``network.manifest.json`` beside it says
what it was made from. ``segdepth.steps.export_model`` makes both.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from segdepth.config import BUNDLED, Config, Labels
from segdepth.errors import ConfigError
from segdepth.networks.training_record import structures_seen
from segdepth.store.manifest import manifest_path, read_manifest

COMMAND = "export-model"


def bundled_folder() -> Path:
    """Where the network lies, or would lie, in this installation of the package."""
    return Path(str(files("segdepth"))) / "bundled" / "network"


def bundled_network() -> Path:
    """The folder of the network.

    Raises
    ------
    ConfigError
        This version comes without one.
    """
    folder = bundled_folder()
    if not manifest_path(folder).exists():
        raise ConfigError("no network comes with this version of segdepth; name a trained one (predict: --model)")
    return folder


def check_bundled(config: Config) -> None:
    """What the shipped network is measured on and shown, told before any simulation; a table's data sets are asked
    about when the table is (``check_bundled_on``).

    Raises
    ------
    ConfigError
        A data set does not fit, or holds crystals that it has seen.
    """
    for dataset in config.evaluations.get(BUNDLED, ()):
        check_bundled_on(config, f"evaluations.{BUNDLED}", dataset)
    for name, prediction in config.predictions.items():
        if prediction.model == BUNDLED and prediction.micrograph is not None:
            _check_unseen(config, f"predictions.{name}", config.micrographs[prediction.micrograph].dataset)


def check_bundled_on(config: Config, here: str, name: str) -> None:
    """A data set that the shipped network is measured on has its pixels and labels, and it has not seen it. ``here`` is
    what asks for it.

    Raises
    ------
    ConfigError
        It does not fit.
    """
    folder = bundled_folder()
    if not manifest_path(folder).exists():
        return  # whoever asks for it is told so
    try:
        card = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        pixels = {kind: float(card[f"{kind}_pixel_pm"]) for kind in ("input", "label")}
        labels = Labels.model_validate(card["labels"])
    except (OSError, ValueError, TypeError, KeyError) as failure:
        told = " ".join(str(failure).split())
        raise ConfigError(f"{folder}: the network that comes with segdepth is damaged ({told}); restore it") from None
    dataset = config.datasets[name]
    imaging, measured = config.imaging[dataset.imaging], config.labels[dataset.labels]
    for kind, block in (("input", imaging), ("label", measured)):
        wanted = pixels[kind]
        if abs(block.pixel_pm - wanted) > 1e-6 * wanted:
            raise ConfigError(
                f"{here}: the {kind} pixel of {name!r} is {block.pixel_pm:g} pm; {BUNDLED!r} is trained at "
                f"{wanted:g} pm"
            )
    if difference := measured.difference(labels):
        raise ConfigError(f"{here}: the labels of {name!r} are not those that {BUNDLED!r} learned from: {difference}")
    _check_unseen(config, here, name)


def _check_unseen(config: Config, here: str, name: str) -> None:
    folder = bundled_folder()
    if not manifest_path(folder).exists():
        return
    dataset = config.datasets[name]
    seen = structures_seen(folder, dataset.specimen, config.root_seed)
    both = seen & set(dataset.structures_of("test", config.specimens[dataset.specimen]))
    if both:
        raise ConfigError(
            f"{here}: {BUNDLED!r} was trained on {len(both)} of the test structures of {name!r} (the first is "
            f"{min(both)}); measure it on structures that it has not seen"
        )


def name_of(folder: Path) -> str:
    """A network's name: its folder's, or ``shipped``."""
    made_here = manifest_path(folder).exists()
    return BUNDLED if made_here and read_manifest(folder)["command"] == COMMAND else Path(folder).name
