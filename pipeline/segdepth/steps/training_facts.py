"""What is known of a network's training and decides nothing: times, machines, commits, the best epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOTE = "training"
"""Of the run's record of a network, see ``segdepth.learning.training.TrainedNetwork.facts``."""

EARLIER_FILE = "environment.json"
"""In networks of earlier versions."""


def training_facts(model: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the training of a network, from its manifest as it is read; empty where there is no record of it.

    Raises
    ------
    OSError, ValueError
        A file of an earlier version cannot be read.
    """
    if NOTE in manifest["notes"]:
        return manifest["notes"][NOTE]
    path = model / EARLIER_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
