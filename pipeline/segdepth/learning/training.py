"""The job ``train-model``: waves and depth maps in, a trained network out.

``results/models/<model>/`` holds ``weights.safetensors``, ``network.json``, ``curve.csv`` and ``environment.json``.
The weights are the best epoch's, with batch norms averaged over fresh batches and logits divided by a fitted
temperature.
Checkpoints lie in ``results/checkpoints/<model>/<fingerprint>/`` until a training is done, also those of one that
failed; a training that was stopped goes on from its last epoch if nothing that determines it has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
import shutil
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, Timer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.utils.data import DataLoader

from segdepth.config import CLASSES, Architecture, Model, Training, check_trainable
from segdepth.devices import in_bfloat16, torch_device
from segdepth.errors import ConfigError
from segdepth.learning.callbacks import Curve, Devices, Progress
from segdepth.learning.module import METRICS, DepthModule
from segdepth.learning.norm_statistics import average_norm_statistics, fresh_samples
from segdepth.learning.pretrained import check_pretrained_network
from segdepth.learning.samples import Batch, Source, TrainingSamples, fixed_batches, share_memory
from segdepth.learning.temperature import divide_logits, fit_temperature, validation_logits
from segdepth.learning.training_sets import TrainingSet
from segdepth.networks.architectures import make_network
from segdepth.networks.files import ENVIRONMENT, NetworkCard, load_weights, misfit, save_network
from segdepth.networks.flip_average import FlipAverage
from segdepth.networks.training_record import read_training_record
from segdepth.networks.unet import count_parameters
from segdepth.store.manifest import check_target, read_manifest, writing

COMMAND = "train-model"
log = logging.getLogger(__name__)


def lightning_precision(precision: str, device: torch.device) -> str:
    """Lightning's name; ``auto`` is bfloat16 on GPUs and on CPUs that multiply it in hardware."""
    return "bf16-mixed" if in_bfloat16(precision, device) else "32-true"


def _check_devices(wanted: int, device: torch.device) -> None:
    if device.type == "cuda" and wanted > torch.cuda.device_count():
        raise ConfigError(f"training.devices: got {wanted}; {torch.cuda.device_count()} GPUs are there")


def _fingerprint(*determining: object) -> str:
    """Names a training by all that determines it: a stopped one goes on only where every part is the same."""
    return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()[:16]


def _remove_checkpoints(checkpoints: Path) -> None:
    """Remove what this training and stopped ones that differ left: folders that are named as ours are and hold
    checkpoints alone."""
    for folder in checkpoints.iterdir():
        ours = folder.is_dir() and re.fullmatch(r"[0-9a-f]{16}", folder.name)
        if ours and all(path.suffix == ".ckpt" for path in folder.iterdir()):
            shutil.rmtree(folder)


def _checkpoint(path: Path, module: DepthModule) -> dict[str, Tensor]:
    """A checkpoint's tensors, which fit the module.

    Raises
    ------
    ConfigError
        It is damaged, or is another network's.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        told = misfit(module.state_dict(), state)
    except (OSError, RuntimeError, UnpicklingError, EOFError, KeyError, TypeError, AttributeError):
        told = "it cannot be read"
    if told is not None:
        raise ConfigError(f"{path}: is damaged or another network's ({told}); delete its folder to train anew")
    return state


def _tensorboard(folder: Path, name: str) -> Logger | bool:
    """TensorBoard's log in ``folder/tensorboard/name`` where TensorBoard is installed."""
    if find_spec("tensorboard") is None:
        return False
    return TensorBoardLogger(folder, name="tensorboard", version=name)


def _samples(
    training_sets: list[TrainingSet],
    sources: list[Source],
    block: Training,
    root_seed: int,
    where: torch.device,
    rank: int,
) -> tuple[TrainingSamples, list[Batch]]:
    """What is learnt from, and the held-out batches that it is judged by."""
    train = [source.part(training_set.indices("train")) for training_set, source in zip(training_sets, sources)]
    if where.type == "cuda":
        for source in train:
            source.structures.read_ahead()
    held_out = [source.part(training_set.indices("validation")) for training_set, source in zip(training_sets, sources)]
    validation = fixed_batches(held_out, block, root_seed, where)
    return TrainingSamples(train, block, where, rank), validation


def _training_record(training_sets: list[TrainingSet], root_seed: int) -> list[dict]:
    """The structures that a network learns from and is chosen by, of each data set."""
    return [
        {
            "specimen": training_set.dataset.specimen,
            "root_seed": root_seed,
            "indices": training_set.learnt,
        }
        for training_set in training_sets
    ]


def build_network(architecture: Architecture, seed: int) -> nn.Module:
    """A freshly initialised network; the seed decides its weights."""
    lightning.seed_everything(seed, verbose=False)
    return make_network(architecture.variant, architecture.base_channels)


def _card(model: Model, training_sets: list[TrainingSet], sources: list[Source], temperature: float) -> NetworkCard:
    """What the network is; doses are those that a camera counts."""
    first = training_sets[0]
    counted = [dose * s.imaging.detection_efficiency for s in sources for dose in s.doses(model.training)]
    return NetworkCard(
        variant=model.architecture.variant,
        base_channels=model.architecture.base_channels,
        classes=CLASSES,
        input_pixel_pm=first.imaging.pixel_pm,
        label_pixel_pm=first.labels.pixel_pm,
        field_pm=first.specimen.field_pm,
        dose_lambda=first.dataset.dose_lambda * first.imaging.detection_efficiency,
        labels=first.labels.model_dump(mode="json"),
        dose_lambda_range=(min(counted), max(counted)),
        temperature=round(temperature, 4),
        flip_average=model.flip_average,
    )


def _validate(module: DepthModule, validation: list[Batch], where: torch.device, block: Training) -> dict[str, float]:
    """Loss and metrics of the network as it is saved: the best epoch's weights with averaged norms. In one process."""
    judge = lightning.Trainer(
        accelerator="gpu" if where.type == "cuda" else "cpu",
        devices=[where.index or 0] if where.type == "cuda" else 1,
        precision=lightning_precision(block.precision, where),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        (found,) = judge.validate(module, DataLoader(validation, batch_size=None), verbose=False)
    module.to(where)  # Lightning leaves the network on the CPU
    return {name: float(found[name]) for name in ("validation_loss", *METRICS)}


def _environment(facts: dict, where: torch.device, block: Training, curve: Curve) -> dict:
    """Where the network was trained, and what came of it."""
    chosen = min(curve.rows, key=lambda row: row["validation_loss"])
    return facts | {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": lightning_precision(block.precision, where),
        "epochs": len(curve.rows),
        "best": {key: chosen[key] for key in ("epoch", "validation_loss", *METRICS)},
    }


def train_model(
    *,
    name: str,
    model: Model,
    training_sets: list[TrainingSet],
    root_seed: int,
    out: Path,
    checkpoints: Path,
    code: str,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train one network.

    Parameters
    ----------
    name : the model block's name.
    training_sets : the data sets it learns from, in the model block's order.
    out, checkpoints : result folder, and the folder under which checkpoints are kept.

    With ``training.devices`` above 1 every device runs this function in a process of its own and learns from samples
    of its own; the first one writes.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it lists devices that are not there
    check_trainable(f"models.{name}", model, [training_set.blocks for training_set in training_sets])
    where = torch_device(device)
    _check_devices(model.training.devices, where)
    if threads:
        torch.set_num_threads(threads)
    inputs = list(
        dict.fromkeys(path for training_set in training_sets for path in (*training_set.waves, *training_set.depth))
    )
    if model.init_weights is not None:
        check_pretrained_network(f"models.{name}.init_weights", Path(model.init_weights), model.architecture)
        inputs.append(Path(model.init_weights))
    check_target(out, COMMAND, inputs)
    block: Training = model.training
    network = build_network(model.architecture, block.seed)
    if model.init_weights is not None:
        load_weights(network, model.init_weights)
    steps = block.epoch_steps * block.epochs
    module = DepthModule(network.to(memory_format=torch.channels_last), block, steps)

    contents = [read_manifest(path)["content"] for path in inputs]
    blocks = [model.as_json(), *(training_set.as_json() for training_set in training_sets)]
    folder = checkpoints / _fingerprint(name, *blocks, root_seed, contents, code)
    best = ModelCheckpoint(
        folder,
        "best",
        monitor="validation_loss",
        mode="min",
        save_last=True,
        save_on_train_epoch_end=True,  # when the curve has this epoch's row
        enable_version_counter=False,
    )
    curve, devices, timer = Curve(), Devices(), Timer()
    trainer = lightning.Trainer(
        accelerator="gpu" if where.type == "cuda" else "cpu",
        devices=block.devices,
        strategy="ddp" if block.devices > 1 else "auto",
        precision=lightning_precision(block.precision, where),
        gradient_clip_val=block.gradient_clip or None,
        benchmark=where.type == "cuda",  # seeks the fastest convolutions: nearly all batches have one shape
        max_epochs=block.epochs,
        logger=_tensorboard(checkpoints, folder.name),
        callbacks=[
            Progress(name, steps),
            curve,
            devices,
            timer,  # of all runs of a training that was stopped: its state is in the checkpoints
            EarlyStopping("validation_loss", patience=block.patience_epochs, mode="min"),
            best,
            *([EMAWeightAveraging(decay=block.weight_average)] if block.weight_average else []),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # every process draws samples of its own, and is judged by all that is held out
        num_sanity_val_steps=0,
        plugins=[LightningEnvironment()],  # starts its own processes, also inside a cluster's job
    )
    where = trainer.strategy.root_device
    sources = [training_set.source(where) for training_set in training_sets]
    share_memory([source.structures for source in sources], where)
    train, validation = _samples(training_sets, sources, block, root_seed, where, trainer.global_rank)
    last = folder / "last.ckpt"
    resumed = last.exists()
    if resumed:
        _checkpoint(last, module)
        log.warning("resuming from %s", last)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*IterableDataset.*__len__.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory.*")
        try:
            trainer.fit(
                module,
                DataLoader(train, batch_size=None),
                DataLoader(validation, batch_size=None),
                ckpt_path=last if resumed else None,
                weights_only=True,
            )
        except ConfigError:
            if trainer.is_global_zero:
                raise
            raise SystemExit(2) from None  # one process tells what is wrong
    if not trainer.is_global_zero:
        return

    module.load_state_dict(_checkpoint(folder / "best.ckpt", module))
    # Lightning leaves the network on the CPU
    network = module.network.to(where)
    started = time.monotonic()
    average_norm_statistics(network, fresh_samples(train), block.norm_batches, in_bfloat16(block.precision, where))
    seconds = timer.time_elapsed() + time.monotonic() - started
    final = _validate(module, validation, where, block)
    looking = FlipAverage(network) if model.flip_average else network
    temperature = fit_temperature(*validation_logits(looking, validation))
    divide_logits(module.network, temperature)
    card = _card(model, training_sets, sources, temperature)
    facts = {
        "device": ", then ".join(devices.names),
        "training_seconds": round(seconds, 1),
        "parameters": count_parameters(network),
        "final": final,
    }
    with writing(
        out,
        command=COMMAND,
        code=code,
        inputs=inputs,
        parameters={
            "model": model.model_dump(mode="json"),
            "training_sets": [training_set.as_json() for training_set in training_sets],
        },
        seeds={"root_seed": root_seed, "training": block.seed},
        notes={
            "training_structures": _training_record(training_sets, root_seed)
            + (read_training_record(model.init_weights) if model.init_weights else [])
        },
    ) as partial:
        partial.mkdir()
        save_network(module.network, card, partial)
        curve.write(partial / "curve.csv")
        environment = json.dumps(_environment(facts, where, block, curve), indent=1, sort_keys=True)
        (partial / ENVIRONMENT).write_text(environment + "\n", encoding="utf-8")
    _remove_checkpoints(checkpoints)
