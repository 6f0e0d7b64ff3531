"""The network that comes with the package, ``shipped`` by name: where it lies. Knows nothing of what a network is.

``segdepth/shipped/network/`` holds its weights, its card and MODEL_CARD.md, ``network.manifest.json`` beside it says
what it was made from. ``segdepth.evaluation.shipping`` makes both.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from segdepth.config import SHIPPED, ConfigError
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


def name_of(folder: Path) -> str:
    """A network's name: its folder's, or ``shipped``."""
    made_here = manifest_path(folder).exists()
    return SHIPPED if made_here and read_manifest(folder)["command"] == COMMAND else Path(folder).name
