"""The training of a network: opened waves and depth maps in, the best epoch's network out.

Its logits are divided by a fitted temperature. Checkpoints are in a folder that is named by a hash of all that
determines the training; a stopped one resumes from its last epoch.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.utils.data import DataLoader

from segdepth.config import Architecture, Model, Training
from segdepth.devices import in_bfloat16
from segdepth.errors import SegDepthError, TrainingError
from segdepth.learning.callbacks import Curve, EarlyStopping, Progress, Runs, SampleEpoch
from segdepth.learning.checkpoints import WholeCheckpoints
from segdepth.learning.module import NetworkModule
from segdepth.learning.samples import Batch, Source, TrainingSamples
from segdepth.learning.structures import share_memory
from segdepth.learning.tasks import make_task
from segdepth.learning.training_sets import TrainingSet, counted_elements, crystal_of
from segdepth.learning.validation import fixed_batches
from segdepth.networks.architectures import make_denoised, make_denoiser, make_network
from segdepth.networks.card import read_card
from segdepth.networks.files import NetworkCard, load_weights, misfit, save_network
from segdepth.networks.training_record import join_records, record_entry
from segdepth.networks.unet import count_parameters

CURVE = "curve.csv"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedNetwork:
    """The best epoch's network and what is known of its training.

    ``facts`` decide nothing: ``runs`` (see ``segdepth.learning.callbacks.Runs``), ``training_seconds`` of all of them,
    ``epochs``, ``precision``, ``parameters`` (how many weights) and ``best``, the kept epoch's row of the curve.
    """

    network: nn.Module
    card: NetworkCard
    curve: Curve
    facts: dict[str, Any]

    def write(self, folder: Path) -> None:
        """``weights.safetensors``, ``network.json`` and ``curve.csv`` into an existing folder."""
        save_network(self.network, self.card, folder)
        self.curve.write(folder / CURVE)


def lightning_precision(precision: str, device: torch.device) -> str:
    """Lightning's name; ``auto`` is bfloat16 on GPUs and on CPUs that multiply it in hardware."""
    return "bf16-mixed" if in_bfloat16(precision, device) else "32-true"


def check_devices(wanted: int, device: torch.device) -> None:
    """There must be enough GPUs for a training.

    Raises
    ------
    TrainingError
        There are fewer.
    """
    if device.type == "cuda" and wanted > torch.cuda.device_count():
        raise TrainingError(f"training.devices: got {wanted}; {torch.cuda.device_count()} GPUs are there")


def build_network(architecture: Architecture, classes: int, seed: int) -> nn.Module:
    """A freshly initialised network; the seed decides its weights."""
    lightning.seed_everything(seed, verbose=False)
    return make_network(architecture.variant, architecture.base_channels, classes)


def build_network_of(model: Model, classes: int) -> nn.Module:
    """The network that a model block trains, with the weights that it begins with.

    Raises
    ------
    StoreError
        Weights that it begins with are missing, damaged or do not fit.
    """
    shape, seed = model.architecture, model.training.seed
    if model.task == "depth" and model.denoiser is None:
        network = build_network(shape, classes, seed)
        if model.init_weights is not None:
            load_weights(network, model.init_weights)
        return network
    lightning.seed_everything(seed, verbose=False)
    if model.task == "denoise":
        return make_denoiser(shape.variant, shape.base_channels)
    its = denoiser_of(model)
    network = make_denoised(its, shape.variant, shape.base_channels, classes, frozen=model.denoiser is not None)
    if model.denoiser is not None:
        load_weights(network.denoiser, model.denoiser)
    return network


def denoiser_of(model: Model) -> dict[str, Any]:
    """``variant`` and ``base_channels`` of the denoiser that images pass first; empty without one."""
    if model.denoiser is not None:
        card = read_card(model.denoiser)
        return {"variant": card.variant, "base_channels": card.base_channels}
    return model.architecture.model_dump(mode="json") if model.task == "denoise_and_depth" else {}


def read_checkpoint(path: Path, module: NetworkModule) -> dict[str, Tensor]:
    """A checkpoint's tensors, which fit the module.

    Raises
    ------
    TrainingError
        It is damaged, or is another network's.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        reason = misfit(module.state_dict(), state)
    except (OSError, RuntimeError, UnpicklingError, EOFError, KeyError, TypeError, AttributeError):
        reason = "it cannot be read"
    if reason is not None:
        raise TrainingError(f"{path}: is damaged or another network's ({reason}); delete its folder to train anew")
    return state


def training_and_validation(
    training_sets: Sequence[TrainingSet],
    training: Training,
    root_seed: int,
    device: torch.device,
    rank: int = 0,
    clean: bool = False,
) -> tuple[TrainingSamples, list[Batch]]:
    """Samples to train on, and the held-out batches for validation; ``clean``: these with their images without noise.

    One budget of memory serves both: the held-out structures are read first, and released once their images are formed.
    """
    sources = [training_set.source(device) for training_set in training_sets]

    def part(name: str) -> list[Source]:
        return [source.part(each.indices(name)) for each, source in zip(training_sets, sources)]

    held_out = part("validation")
    share_memory([source.structures for source in held_out], device)
    validation = fixed_batches(held_out, training, root_seed, device, clean=clean)
    for source in held_out:
        source.structures.keep(0)
    sources = part("train")
    share_memory([source.structures for source in sources], device)
    if device.type == "cuda":
        for source in sources:
            source.structures.read_ahead()
    return TrainingSamples(sources, training, device, rank), validation


def train_network(
    name: str,
    model: Model,
    training_sets: Sequence[TrainingSet],
    *,
    root_seed: int,
    checkpoints: Path,
    device: torch.device,
    facts: Mapping[str, Any],
    earlier_record: Sequence[Mapping[str, Any]] = (),
) -> TrainedNetwork | None:
    """Train one network, or resume a stopped training.

    Parameters
    ----------
    name : for the progress bar.
    training_sets : in the order of ``model.datasets``.
    checkpoints : folder of this training, named by a hash of what determines it.
    facts : of this process, for its entry in ``runs``: ``commit`` and ``versions``.
    earlier_record : training record of the network whose weights it begins with, or that denoises its images
        (``model.starts_from``).

    Returns
    -------
    None in all processes but the first: with ``training.devices`` above 1 every device runs this function in a process
    of its own, on samples of its own.

    Raises
    ------
    TrainingError
        The loss is not finite, a checkpoint is damaged, or GPUs are missing.
    StoreError
        Stores do not belong together, or the weights to begin with do not fit.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it lists devices that are not there
    check_devices(model.training.devices, device)
    block, classes = model.training, training_sets[0].blocks.labels.classes
    network, task = build_network_of(model, classes), make_task(model, classes, counted_elements(training_sets))
    steps = block.epoch_steps * block.epochs
    module = NetworkModule(network.to(memory_format=torch.channels_last), task, block, steps)
    curve, runs, progress = Curve(task.metric_names), Runs(facts), Progress(name, steps)
    trainer = _trainer(block, device, checkpoints, [progress, curve, runs])
    where = trainer.strategy.root_device
    given = (training_sets, block, root_seed, where)
    samples, validation = training_and_validation(*given, trainer.global_rank, task.wants_clean)
    trainer.callbacks.insert(0, SampleEpoch(samples))
    _fit(trainer, module, samples, validation, checkpoints / "last.ckpt")
    if not trainer.is_global_zero:
        return None

    module.load_state_dict(read_checkpoint(checkpoints / "best.ckpt", module))
    network = module.network.to(where)  # Lightning leaves the network on the CPU
    temperature = task.calibrate(network, validation, model.flip_average)
    record = join_records((record_entry(*each.blocks[:2], root_seed) for each in training_sets), earlier_record)
    found = {
        "runs": runs.entries,
        "training_seconds": round(sum(entry["seconds"] for entry in runs.entries), 1),
        "epochs": len(curve.rows),
        "precision": lightning_precision(block.precision, where),
        "parameters": count_parameters(network),
        "best": curve.best,
    }
    return TrainedNetwork(network, _card(model, training_sets, temperature, record), curve, found)


def _trainer(
    block: Training, device: torch.device, checkpoints: Path, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    when = {"save_on_train_epoch_end": True, "enable_version_counter": False}  # when the curve has this epoch's row
    best = ModelCheckpoint(checkpoints, "best", monitor="validation_loss", mode="min", **when)
    last = ModelCheckpoint(checkpoints, "last", **when)  # `save_last` leaves out epochs that are not the best so far
    early = [EarlyStopping(block.patience_epochs)] if block.patience_epochs else []
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=block.devices,
        strategy="ddp" if block.devices > 1 else "auto",
        precision=lightning_precision(block.precision, device),
        gradient_clip_val=block.gradient_clip or None,
        benchmark=device.type == "cuda",  # seeks the fastest convolutions: nearly all batches have one shape
        max_epochs=block.epochs,
        logger=_tensorboard(checkpoints),
        callbacks=[*callbacks, *early, best, last],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # every process draws its own samples, and validates on all of the held-out ones
        num_sanity_val_steps=0,
        plugins=[
            LightningEnvironment(),
            WholeCheckpoints(),
        ],  # the first: own processes, also in a cluster's job
    )


def _tensorboard(checkpoints: Path) -> Logger | bool:
    """TensorBoard's log beside the checkpoints, where TensorBoard is installed."""
    if find_spec("tensorboard") is None:
        return False
    return TensorBoardLogger(checkpoints.parent, name="tensorboard", version=checkpoints.name)


def _fit(
    trainer: lightning.Trainer, module: NetworkModule, samples: TrainingSamples, validation: list[Batch], last: Path
) -> None:
    resumed = last.exists()
    if resumed:
        read_checkpoint(last, module)
        log.warning("resuming from %s", last)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*IterableDataset.*__len__.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # of Lightning's own calls
        try:
            trainer.fit(
                module,
                DataLoader(samples, batch_size=None),
                DataLoader(validation, batch_size=None),
                ckpt_path=last if resumed else None,
                weights_only=True,
            )
        except SegDepthError:
            if trainer.is_global_zero:
                raise
            raise SystemExit(2) from None  # one process reports the error


def _card(
    model: Model, training_sets: Sequence[TrainingSet], temperature: float, record: list[dict[str, Any]]
) -> NetworkCard:
    """What the network is; doses are those that a camera counts."""
    dataset, specimen, imaging, labels = training_sets[0].blocks
    counted = [
        dose * other.detection_efficiency
        for each, _, other, _ in (training_set.blocks for training_set in training_sets)
        for dose in model.training.dose_lambda or (each.dose_lambda, each.dose_lambda)
    ]
    denoises = model.task == "denoise"
    return NetworkCard(
        task=model.task,
        denoiser=denoiser_of(model),
        variant=model.architecture.variant,
        base_channels=model.architecture.base_channels,
        classes=1 if denoises else labels.classes,
        input_pixel_pm=imaging.pixel_pm,
        label_pixel_pm=labels.pixel_pm,
        field_pm=specimen.field_pm,
        dose_lambda=dataset.dose_lambda * imaging.detection_efficiency,
        labels={} if denoises else labels.model_dump(mode="json"),
        crystal=crystal_of(training_sets),
        dose_lambda_range=(min(counted), max(counted)),
        temperature=round(temperature, 4),
        flip_average=model.flip_average,
        remark=model.remark,
        training_record=record,
    )
