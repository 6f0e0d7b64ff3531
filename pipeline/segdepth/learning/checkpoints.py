"""Checkpoints that are whole or not there."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning itself writes into ``TMPDIR`` and copies from there where that is another disk: a training that is killed
    meanwhile leaves half a checkpoint, from which it cannot go on.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.stem}.partial{target.suffix}")
        written = io.BytesIO()
        torch.save(checkpoint, written)
        try:
            partial.write_bytes(written.getbuffer())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
