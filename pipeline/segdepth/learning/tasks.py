"""What a network is trained to tell of a noisy image: depth, the image without noise, or both.

A task says how many channels a network gives, what it costs to be wrong, and what is measured on held-out images. The
training loop knows tasks by the class ``Task`` alone; a new task is a class here and a name in ``segdepth.config``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segdepth.config import Model, Training
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.learning.loss import mean_squared_error, weighted_cross_entropy, weighted_ranked_probability
from segdepth.learning.samples import Batch
from segdepth.learning.temperature import divide_logits, fit_temperature, validation_logits
from segdepth.networks.denoised import DenoisedNetwork, counting_part
from segdepth.networks.flip_average import FlipAverage

PSNR = "psnr_db"
"""Peak signal-to-noise ratio, the peak being the range of the clean image."""


class Task(ABC):
    """Tensors of a batch: see ``segdepth.learning.samples.Batch``. ``output`` is (batch, channels, y, x)."""

    wants_clean = False
    """Whether held-out batches must have the image without noise."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Of the network's output."""

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """What is measured on held-out images beside the loss."""

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """What a training step lowers: a scalar."""

    @abstractmethod
    def validation_loss(self, output: Tensor, batch: Batch) -> Tensor:
        """By which the best epoch is chosen: a scalar."""

    @abstractmethod
    def tally(self, output: Tensor, batch: Batch) -> Tensor:
        """Sums from which metrics are computed; those of batches are added. (metric, 2), float."""

    @abstractmethod
    def metrics(self, sums: Tensor) -> Sequence[Tensor]:
        """Scalars, one for each of ``metric_names``."""

    def run(self, network: nn.Module, noisy: Tensor) -> Tensor:
        """The network's output in a training."""
        return network(noisy)

    def calibrate(self, network: nn.Module, batches: Sequence[Batch], flip_average: bool) -> float:
        """Calibrate a trained network on held-out batches; the temperature that its logits were divided by."""
        return 1.0


class DepthTask(Task):
    """Atoms behind each pixel: weighted cross-entropy (SegDepth, eq. 6), with the ranked score where it has a weight.

    Parameters
    ----------
    elements : symbols of the elements whose columns are counted, for the metrics.
    """

    def __init__(self, classes: int, elements: Sequence[str], training: Training) -> None:
        self.classes, self.elements, self.ordinal_weight = classes, tuple(elements), training.ordinal_weight

    @property
    def channels(self) -> int:
        return self.classes

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Right pixels among those of column centres, of all and by element."""
        return ("centre_accuracy", *(f"centre_accuracy_{element}" for element in self.elements))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        given = (batch.depth, batch.weight, batch.importance)
        loss = weighted_cross_entropy(output, *given)
        if self.ordinal_weight:
            loss = loss + self.ordinal_weight * weighted_ranked_probability(output, *given)
        return loss

    def validation_loss(self, output: Tensor, batch: Batch) -> Tensor:
        return weighted_cross_entropy(output, batch.depth, batch.weight)

    def tally(self, output: Tensor, batch: Batch) -> Tensor:
        """Right pixels and all, of each element."""
        right = output.argmax(1) == batch.depth
        insides = [batch.regions == ATOMIC_NUMBER[element] for element in self.elements]
        if not insides:
            return torch.zeros(0, 2, device=output.device)
        return torch.stack([torch.stack([(right & inside).sum(), inside.sum()]) for inside in insides]).float()

    def metrics(self, sums: Tensor) -> Sequence[Tensor]:
        right, all_ = sums.T
        return [right.sum() / all_.sum(), *(right / all_.clamp_min(1))]

    def calibrate(self, network: nn.Module, batches: Sequence[Batch], flip_average: bool) -> float:
        temperature = fit_temperature(*validation_logits(FlipAverage(network) if flip_average else network, batches))
        divide_logits(counting_part(network), temperature)
        return temperature


class DenoiseTask(Task):
    """The image without shot noise: mean squared error, vacuum = 1."""

    wants_clean = True

    @property
    def channels(self) -> int:
        return 1

    @property
    def metric_names(self) -> tuple[str, ...]:
        return (PSNR,)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return mean_squared_error(output, batch.clean, batch.importance)

    def validation_loss(self, output: Tensor, batch: Batch) -> Tensor:
        return mean_squared_error(output, batch.clean)

    def tally(self, output: Tensor, batch: Batch) -> Tensor:
        """Sum of the images' ratios in dB, and images."""
        clean = batch.clean.flatten(1)
        error = (output.float().flatten(1) - clean).square().mean(1)
        ratios = 10 * torch.log10((clean.amax(1) - clean.amin(1)).square() / error)
        return torch.stack([ratios.sum(), ratios.new_tensor(float(len(ratios)))])[None]

    def metrics(self, sums: Tensor) -> Sequence[Tensor]:
        return [sums[0, 0] / sums[0, 1]]


class DenoiseAndDepthTask(Task):
    """Both at once, for a ``DenoisedNetwork``: the sum of both losses; channels are the image's, then the depth's."""

    wants_clean = True

    def __init__(self, depth: DepthTask) -> None:
        self.depth, self.denoise = depth, DenoiseTask()

    @property
    def channels(self) -> int:
        return self.denoise.channels + self.depth.channels

    @property
    def metric_names(self) -> tuple[str, ...]:
        return (*self.depth.metric_names, *self.denoise.metric_names)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return self.denoise.loss(output[:, :1], batch) + self.depth.loss(output[:, 1:], batch)

    def validation_loss(self, output: Tensor, batch: Batch) -> Tensor:
        return self.denoise.validation_loss(output[:, :1], batch) + self.depth.validation_loss(output[:, 1:], batch)

    def tally(self, output: Tensor, batch: Batch) -> Tensor:
        return torch.cat([self.depth.tally(output[:, 1:], batch), self.denoise.tally(output[:, :1], batch)])

    def metrics(self, sums: Tensor) -> Sequence[Tensor]:
        return [*self.depth.metrics(sums[:-1]), *self.denoise.metrics(sums[-1:])]

    def run(self, network: DenoisedNetwork, noisy: Tensor) -> Tensor:
        return network.denoise_and_count(noisy)

    def calibrate(self, network: nn.Module, batches: Sequence[Batch], flip_average: bool) -> float:
        return self.depth.calibrate(network, batches, flip_average)


def make_task(model: Model, classes: int, elements: Sequence[str]) -> Task:
    """The task of a model block, on labels with so many classes and these counted elements."""
    depth = DepthTask(classes, elements, model.training)
    return {"depth": depth, "denoise": DenoiseTask(), "denoise_and_depth": DenoiseAndDepthTask(depth)}[model.task]
