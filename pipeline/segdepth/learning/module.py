"""The network as Lightning trains it: loss, validation metrics, optimizer and schedule."""

from __future__ import annotations

from collections.abc import Sequence

import lightning
import torch
from torch import Tensor, nn

from segdepth.config import Training
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import TrainingError
from segdepth.learning.loss import weighted_cross_entropy, weighted_ranked_probability
from segdepth.learning.optimizer import make_optimizer
from segdepth.learning.samples import Batch

CHECK_STEPS = 32
"""Steps from one check of the loss to the next: a check waits for the device, which then has nothing to do."""

RISE_SHARE = 0.15
"""Of the steps, in which the learning rate rises; then it falls to 1/250,000 of its highest value."""


def metric_names(elements: Sequence[str]) -> tuple[str, ...]:
    """The validation metrics beside the loss: right pixels among those of column centres, of all and by element."""
    return ("centre_accuracy", *(f"centre_accuracy_{element}" for element in elements))


class DepthModule(lightning.LightningModule):
    """A network with its optimizer and a one-cycle learning rate over ``total_steps``.

    Parameters
    ----------
    elements : symbols of the elements whose columns are counted, for the validation's metrics.
    """

    def __init__(self, network: nn.Module, training: Training, total_steps: int, elements: Sequence[str]) -> None:
        super().__init__()
        self.network, self.training_block, self.total_steps = network, training, total_steps
        self.elements = tuple(elements)
        self._hits: Tensor | None = None
        self._losses: Tensor | None = None  # their sum: once not finite, always not finite

    def forward(self, noisy: Tensor) -> Tensor:
        return self.network(noisy.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: Batch, number: int) -> Tensor:
        logits = self(batch.noisy)
        given = (batch.depth, batch.weight, batch.importance)
        loss = weighted_cross_entropy(logits, *given)
        if ordinal := self.training_block.ordinal_weight:
            loss = loss + ordinal * weighted_ranked_probability(logits, *given)
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
        self._hits = torch.zeros(len(self.elements), 2, device=self.device)  # element by (right, all)

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self(batch.noisy)
        loss = weighted_cross_entropy(logits, batch.depth, batch.weight)
        self._check_finite(loss, "validation loss")  # the last training step may have diverged
        self.log("validation_loss", loss, batch_size=len(batch.noisy), sync_dist=True)
        right = logits.argmax(1) == batch.depth
        for row, element in enumerate(self.elements):
            inside = batch.regions == ATOMIC_NUMBER[element]
            self._hits[row] += torch.stack([(right & inside).sum(), inside.sum()])

    def on_validation_epoch_end(self) -> None:
        right, all_ = self._hits.T
        values = [right.sum() / all_.sum(), *(right / all_.clamp_min(1))]
        self.log_dict(dict(zip(metric_names(self.elements), values)), sync_dist=True)

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
