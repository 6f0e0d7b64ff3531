"""Checks that a network fits data, for evaluation, training, prediction and the bundled network."""

from __future__ import annotations

from collections.abc import Collection

from segdepth.config import Labels
from segdepth.config.data_format import DataFormat
from segdepth.errors import ConfigError
from segdepth.networks.card import NetworkCard
from segdepth.networks.training_record import structures_seen


def format_of(card: NetworkCard) -> DataFormat:
    """Inputs and outputs of a network. Raises a ``ValueError`` if this version cannot read its labels block."""
    return DataFormat(
        image_pixel_pm=card.input_pixel_pm,
        label_pixel_pm=card.label_pixel_pm,
        labels=Labels.model_validate(card.labels) if card.labels else None,
        classes=None if card.task == "denoise" else card.classes,
        crystal=card.crystal,
    )


def check_network_fits(card: NetworkCard, data: DataFormat, *, network: str, name: str) -> None:
    """A network must be usable on data of this format.

    Parameters
    ----------
    data : format of the data; what is None is not compared.
    network, name : of the network and the data, for messages.

    Raises
    ------
    ConfigError
        One line: pixels, classes, labels, crystal or sides differ.
    """
    if difference := data.difference(format_of(card)):
        raise ConfigError(f"{name} does not fit the network {network}: {difference}")


def check_unseen(
    card: NetworkCard, structures: Collection[int], specimen: str, root_seed: int, *, network: str, name: str
) -> None:
    """A network must not have been trained or validated on any of these structures of a specimen.

    Raises
    ------
    ConfigError
        It was: how many they are, and the first.
    """
    if both := structures_seen(card.training_record, specimen, root_seed) & set(structures):
        raise ConfigError(
            f"{name}: the network {network} was trained on {len(both)} of its {len(set(structures))} structures (the "
            f"first is {min(both)}); measure it on structures that it has not seen"
        )
