"""What the trainer reports while it works: one progress bar over the whole training, and the curve."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from segdepth.learning.module import METRICS

SHOWN_SECONDS = 2.0
"""From one reading of the loss to the next: a reading waits for the device."""

CURVE_FIELDS = ("epoch", "step", "train_loss", "validation_loss", *METRICS, "learning_rate")


class Progress(Callback):
    """Steps done and left, time left, loss and validation metrics on one line."""

    def __init__(self, name: str, total_steps: int) -> None:
        self._name, self._total, self._bar, self._shown = name, total_steps, None, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bar = tqdm(
            total=self._total,
            initial=trainer.global_step,
            desc=f"training {self._name}",
            unit="step",
            mininterval=SHOWN_SECONDS,
            disable=not trainer.is_global_zero,
        )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self._bar.update(trainer.global_step - self._bar.n)
        if time.monotonic() - self._shown < SHOWN_SECONDS:
            return
        self._shown = time.monotonic()
        shown = {"loss": f"{float(outputs['loss']):.3f}"}
        for label, key in (("validation", "validation_loss"), ("centre", "centre_accuracy")):
            if key in trainer.callback_metrics:
                shown[label] = f"{float(trainer.callback_metrics[key]):.3f}"
        self._bar.set_postfix(shown, refresh=False)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            self._bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_fit_end(trainer, pl_module)


class Devices(Callback):
    """What a training ran on, in order; kept in checkpoints, so that one that was resumed elsewhere tells both."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        here = trainer.strategy.root_device
        name = torch.cuda.get_device_name(here) if here.type == "cuda" else here.type
        if self.names[-1:] != [name]:
            self.names.append(name)

    def state_dict(self) -> dict[str, Any]:
        return {"names": self.names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.names = list(state_dict["names"])


class Curve(Callback):
    """One row an epoch; kept in checkpoints, so that a resumed training has the whole curve."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.train_dataloader.dataset.epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.train_dataloader.dataset.epoch = trainer.current_epoch + 1  # before its samples are drawn
        if self.rows and self.rows[-1]["epoch"] >= trainer.current_epoch:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append(row | {name: metrics[name] for name in CURVE_FIELDS if name in metrics})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def write(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, CURVE_FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
