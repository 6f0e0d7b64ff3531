"""The network as Lightning trains it: loss, validation metrics, optimizer and schedule."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn

from segdepth.config import Training
from segdepth.errors import TrainingError
from segdepth.learning.optimizer import make_optimizer
from segdepth.learning.samples import Batch
from segdepth.learning.tasks import Task

CHECK_STEPS = 32
"""Steps from one check of the loss to the next: a check waits for the device, which then has nothing to do."""

RISE_SHARE = 0.15
"""Of the steps, in which the learning rate rises; then it falls to 1/250,000 of its highest value."""


class NetworkModule(lightning.LightningModule):
    """A network with its task, its optimizer and a one-cycle learning rate over ``total_steps``."""

    def __init__(self, network: nn.Module, task: Task, training: Training, total_steps: int) -> None:
        super().__init__()
        self.network, self.task, self.training_block, self.total_steps = network, task, training, total_steps
        self._sums: Tensor | None = None  # of the validation's metrics
        self._losses: Tensor | None = None  # their sum: once not finite, always not finite

    def forward(self, noisy: Tensor) -> Tensor:
        return self.task.run(self.network, noisy.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: Batch, number: int) -> Tensor:
        loss = self.task.loss(self(batch.noisy), batch)
        self._losses = loss.detach() if self._losses is None else self._losses + loss.detach()
        if number % CHECK_STEPS == 0:
            self._check_losses()
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.noisy))
        return loss

    def _check_losses(self) -> None:
        if self._losses is not None:
            self._check_finite(self._losses, "loss")
            self._losses = None

    def _check_finite(self, loss: Tensor, what: str) -> None:
        """Before anything is kept; every process must stop where one has to."""
        bad = self.trainer.strategy.reduce((~torch.isfinite(loss)).float(), reduce_op="max")
        if bad > 0:
            value = "not finite" if torch.isfinite(loss) else str(float(loss))
            raise TrainingError(
                f"the {what} became {value} by step {self.global_step}; lower training.learning_rate "
                f"(got {self.training_block.learning_rate:g}); the last good checkpoint stays"
            )

    def on_validation_epoch_start(self) -> None:
        self._check_losses()
        self._sums = None

    def validation_step(self, batch: Batch, _: int) -> None:
        output = self(batch.noisy)
        loss = self.task.validation_loss(output, batch)
        self._check_finite(loss, "validation loss")  # the last training step may have diverged
        self.log("validation_loss", loss, batch_size=len(batch.noisy), sync_dist=True)
        found = self.task.tally(output, batch)
        self._sums = found if self._sums is None else self._sums + found

    def on_validation_epoch_end(self) -> None:
        self.log_dict(dict(zip(self.task.metric_names, self.task.metrics(self._sums))), sync_dist=True)

    def configure_optimizers(self) -> dict:
        block = self.training_block
        optimizer = make_optimizer(self.network, block)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=block.learning_rate,
            total_steps=self.total_steps,
            pct_start=RISE_SHARE,
            cycle_momentum=block.optimizer == "adam",
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
