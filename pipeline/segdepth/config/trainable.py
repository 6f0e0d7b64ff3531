"""Checks that networks can be trained as their blocks say, on data sets that fit them and each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from segdepth.config.dataset import Dataset
from segdepth.config.fields import NETWORK_STRIDE
from segdepth.config.imaging import Imaging
from segdepth.config.labels import Labels
from segdepth.config.model import Model
from segdepth.config.specimen import Specimen
from segdepth.errors import ConfigError

LABEL_RATIO = {"binned": 1, "full": 4, "space_to_depth": 1}
"""Side of a label pixel in image pixels, by the network's variant."""


class DatasetBlocks(NamedTuple):
    """The blocks of a data set that a network is trained on."""

    dataset: Dataset
    specimen: Specimen
    imaging: Imaging
    labels: Labels

    def as_json(self) -> dict:
        return {kind: block.model_dump(mode="json") for kind, block in self._asdict().items()}


def join_blocks(
    datasets: Sequence[Dataset], specimens: Sequence[Specimen], imagings: Sequence[Imaging], labels: Sequence[Labels]
) -> list[DatasetBlocks]:
    """The blocks of several data sets, given kind by kind in the same order.

    Raises
    ------
    ConfigError
        There are not as many of each kind.
    """
    given = {"dataset": datasets, "specimen": specimens, "imaging": imagings, "labels": labels}
    if len({len(blocks) for blocks in given.values()}) > 1:
        counts = ", ".join(f"{len(blocks)} --{name}" for name, blocks in given.items())
        raise ConfigError(f"got {counts}; each is needed once for every data set")
    return [DatasetBlocks(*blocks) for blocks in zip(datasets, specimens, imagings, labels)]


def check_trainable(here: str, model: Model, training_sets: Sequence[DatasetBlocks]) -> None:
    """Check that a model can be trained on its data sets.

    Parameters
    ----------
    here : the model's key, ``models.unet16``.
    training_sets : the blocks of its ``datasets``, in order.

    Raises
    ------
    ConfigError
        One line: the key, what it got, what is needed.
    """
    if len(set(model.datasets)) < len(model.datasets):
        raise ConfigError(f"{here}.datasets: names a data set twice: {', '.join(model.datasets)}")
    if len(training_sets) != len(model.datasets):
        raise ConfigError(f"{here}.datasets: got {len(model.datasets)} names and {len(training_sets)} data sets")
    for name, training_set in zip(model.datasets, training_sets):
        _check_training_set(here, model, name, training_set)
    _check_agree(here, model.datasets, training_sets)
    training, variant = model.training, model.architecture.variant
    if training.batch_size == 1 and training.crop_pixels == NETWORK_STRIDE and variant != "space_to_depth":
        raise ConfigError(
            f"{here}.training.batch_size: got 1 with crops of {NETWORK_STRIDE} pixels, of which {variant!r} leaves "
            "one value a channel to normalise; give larger crops or batches"
        )
    together = training.batch_size * training.devices
    if training.epoch_samples < together:
        raise ConfigError(
            f"{here}.training.epoch_samples: got {training.epoch_samples}; one step of batch_size times devices takes "
            f"{together}"
        )


def _check_training_set(here: str, model: Model, name: str, training_set: DatasetBlocks) -> None:
    dataset, specimen, imaging, labels = training_set
    ratio = labels.pixel_pm / imaging.pixel_pm
    wanted = LABEL_RATIO[model.architecture.variant]
    if abs(ratio - wanted) > 1e-6:
        raise ConfigError(
            f"{here}.architecture.variant: got {model.architecture.variant!r}, which needs a label pixel {wanted} "
            f"times the image pixel, but dataset {name!r} has {ratio:g}"
        )
    side = round(specimen.field_pm / imaging.pixel_pm)
    if model.training.crop_pixels > side:
        raise ConfigError(f"{here}.training.crop_pixels: got {model.training.crop_pixels}; the field has {side} pixels")
    if side % NETWORK_STRIDE:
        raise ConfigError(
            f"{here}.datasets: the field of {name!r} has {side} pixels a side; "
            f"the network needs a multiple of {NETWORK_STRIDE}"
        )
    for part in ("train", "validation"):
        if not dataset.structures_of(part, specimen):
            raise ConfigError(
                f"datasets.{name}.splits.{part}: got {getattr(dataset.splits, part):g}, which leaves "
                f"none of the {specimen.structures} structures; training needs at least one"
            )


def _check_agree(here: str, names: Sequence[str], training_sets: Sequence[DatasetBlocks]) -> None:
    """Data sets of one training must share pixels, field, crystal and labels, and split a specimen alike."""
    first = training_sets[0]
    splits = {first.dataset.specimen: first.dataset.splits}
    for name, other in zip(names[1:], training_sets[1:]):
        for what, mine, its in (
            ("imaging.pixel_pm", first.imaging.pixel_pm, other.imaging.pixel_pm),
            ("specimen.field_pm", first.specimen.field_pm, other.specimen.field_pm),
            ("specimen.crystal", first.specimen.crystal, other.specimen.crystal),
            ("labels", first.dataset.labels, other.dataset.labels),
            ("splits", splits.setdefault(other.dataset.specimen, other.dataset.splits), other.dataset.splits),
        ):
            if mine != its:
                raise ConfigError(
                    f"{here}.datasets: {names[0]!r} and {name!r} cannot be trained on together: their "
                    f"{what} differ ({mine} and {its})"
                )
