"""Callbacks of a training: epochs of samples, progress bar, runs, curve, early stopping."""

from __future__ import annotations

import csv
import math
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from segdepth.learning.samples import TrainingSamples

SHOWN_SECONDS = 2.0
"""From one reading of the loss to the next: a reading waits for the device."""

ANNEAL_SHARE = 0.2
"""Of the epochs done when a training ends early: in so many more its learning rate goes to its low end."""


class SampleEpoch(Callback):
    """Sets the epoch of the samples before any of them is drawn."""

    def __init__(self, samples: TrainingSamples) -> None:
        self._samples = samples

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._samples.epoch = trainer.current_epoch


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
        for label, key in (("validation", "validation_loss"), ("centre", "centre_accuracy"), ("PSNR", "psnr_db")):
            if key in trainer.callback_metrics:
                shown[label] = f"{float(trainer.callback_metrics[key]):.3f}"
        self._bar.set_postfix(shown, refresh=False)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            self._bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_fit_end(trainer, pl_module)


class Runs(Callback):
    """One entry for each process that a training ran in; kept in its checkpoints, so that a resumed training adds an
    entry.

    An entry has the facts it is given (``commit``, ``versions``) and ``device``, ``processor``, ``threads``, ``epochs``
    (the first and the last that it finished) and ``seconds`` until the end of the last.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.entries: list[dict[str, Any]] = []
        self._facts, self._started = dict(facts), 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        here = trainer.strategy.root_device
        self._started = time.monotonic()
        self.entries.append(
            self._facts
            | {
                "device": torch.cuda.get_device_name(here) if here.type == "cuda" else here.type,
                "processor": platform.processor() or platform.machine(),
                "threads": torch.get_num_threads(),
                "epochs": [trainer.current_epoch, trainer.current_epoch],
                "seconds": 0.0,
            }
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        entry = self.entries[-1]
        entry["epochs"] = [entry["epochs"][0], trainer.current_epoch]
        entry["seconds"] = round(time.monotonic() - self._started, 1)

    def state_dict(self) -> dict[str, Any]:
        return {"entries": self.entries}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.entries = list(state_dict["entries"])


class Curve(Callback):
    """One row an epoch; kept in checkpoints, so that a resumed training has the whole curve."""

    def __init__(self, metric_names: Sequence[str]) -> None:
        self.fields = ("epoch", "step", "train_loss", "validation_loss", *metric_names, "learning_rate")
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.rows and self.rows[-1]["epoch"] >= trainer.current_epoch:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append(row | {name: metrics[name] for name in self.fields if name in metrics})

    @property
    def best(self) -> dict[str, float]:
        """The row of least validation loss: that of the network that is kept."""
        return min(self.rows, key=lambda row: row["validation_loss"])

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def write(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self.fields, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class EarlyStopping(Callback):
    """Stops a training whose validation loss has not fallen for ``patience`` epochs, at a low learning rate.

    With a one-cycle rate a network is best at the cycle's low end. So the rest of the cycle is passed faster, within
    ``ANNEAL_SHARE`` of the epochs done; then the training stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best, self.waited = math.inf, 0
        self.first_step, self.first_position, self.steps = 0, 0, 0  # of the faster rest; no steps: it has not begun

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = self._is_over(trainer)  # resumed after its last epoch

    def _is_over(self, trainer: Trainer) -> bool:
        return self.steps > 0 and trainer.global_step >= self.first_step + self.steps

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not self.steps:
            return
        schedule = trainer.lr_scheduler_configs[0].scheduler
        last = schedule.total_steps - 1
        share = min(1.0, (trainer.global_step + 1 - self.first_step) / self.steps)
        schedule.last_epoch = round(self.first_position + share * (last - self.first_position)) - 1
        schedule.step()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.steps:
            trainer.should_stop = self._is_over(trainer)
            return
        loss = float(trainer.callback_metrics["validation_loss"])
        self.best, self.waited = (loss, 0) if loss < self.best else (self.best, self.waited + 1)
        if self.waited < self.patience:
            return
        schedule, done = trainer.lr_scheduler_configs[0].scheduler, trainer.current_epoch + 1
        self.first_step, self.first_position = trainer.global_step, schedule.last_epoch
        epochs = min(max(1, round(ANNEAL_SHARE * done)), trainer.max_epochs - done)
        self.steps = epochs * trainer.global_step // done

    def state_dict(self) -> dict[str, Any]:
        names = ("best", "waited", "first_step", "first_position", "steps")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)
