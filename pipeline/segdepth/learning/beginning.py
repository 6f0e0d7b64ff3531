"""Where a training begins that does not begin at random: a network that was trained before, ``models.*.start``.

Asked by the workflow before any job, and by the training. Knows nothing of weights, and does not import PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path

from segdepth.config import Architecture, Config, ConfigError

TRAINED = Path("results/models")
"""Where the workflow puts the networks that it trains, each under its name."""


def check_beginnings(config: Config) -> None:
    """Networks that trainings begin with lie there, or are trained on the way, and are of the same architecture.

    Raises
    ------
    ConfigError
        One line: the key, what it got, what is needed.
    """
    for name, model in config.models.items():
        key, behind, first = f"models.{name}.start", [name], model
        while model.start is not None:
            folder = Path(model.start)
            before = config.models.get(folder.name) if folder.parent == TRAINED else None
            if before is None:
                check_beginning(key, folder, first.architecture)
                break
            if before.architecture != first.architecture:
                raise ConfigError(_another(key, folder, before.architecture, first.architecture))
            behind.append(folder.name)
            if folder.name in behind[:-1]:
                raise ConfigError(f"{key}: goes round in a circle: {' <- '.join(behind)}")
            model = before


def check_beginning(key: str, folder: Path, architecture: Architecture) -> None:
    """The network in ``folder`` is of this architecture, as its card says.

    Raises
    ------
    ConfigError
        There is none, or it is another one.
    """
    try:
        card = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        found = Architecture.model_validate({part: card[part] for part in Architecture.model_fields})
    except (OSError, ValueError, TypeError, KeyError):
        raise ConfigError(f"{key}: got {folder}; no trained network lies there, give the folder of one") from None
    if found != architecture:
        raise ConfigError(_another(key, folder, found, architecture))


def _another(key: str, folder: Path, found: Architecture, wanted: Architecture) -> str:
    told = [f"{block.variant} with base_channels {block.base_channels}" for block in (found, wanted)]
    return f"{key}: got {folder}, which is {told[0]}; the network to be trained is {told[1]}"
