"""The network that comes with the package, ``bundled`` by name: its location, and checks.

``segdepth/bundled/network/`` holds its weights, its card and MODEL_CARD.md; ``network.manifest.json`` beside it says
what it was made from. ``segdepth.steps.export_model`` makes both.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from segdepth.config import BUNDLED, Config
from segdepth.config.data_format import DataFormat
from segdepth.errors import ConfigError, StoreError
from segdepth.networks.card import CARD, NetworkCard, read_card
from segdepth.networks.compatibility import check_network_fits, check_unseen, format_of


def bundled_folder() -> Path:
    """Where the network lies, or would lie, in this installation of the package."""
    return Path(str(files("segdepth"))) / "bundled" / "network"


def bundled_network() -> Path:
    """The folder of the network.

    Raises
    ------
    ConfigError
        This version comes without one.
    """
    folder = bundled_folder()
    if not (folder / CARD).exists():
        raise ConfigError("no network comes with this version of segdepth; name a trained one (predict: --model)")
    return folder


def bundled_familiarity() -> Path:
    """What frames the network has learnt, as ``segdepth measure-familiarity`` wrote it; may be missing."""
    return bundled_folder().with_name("familiarity.json")


def familiarity_of(folder: str | Path) -> Path | None:
    """The same for a network's folder; None unless it is the bundled one, and measured."""
    bundled = Path(folder).resolve() == bundled_folder().resolve()
    return bundled_familiarity() if bundled and bundled_familiarity().exists() else None


def name_of(folder: str | Path) -> str:
    """A network's name: its folder's, or ``bundled``."""
    return BUNDLED if Path(folder).resolve() == bundled_folder().resolve() else Path(folder).name


def check_bundled(config: Config) -> None:
    """The bundled network must fit the data of all evaluations and predictions. Those of tables are checked when a
    table is made (``check_bundled_on``).

    Raises
    ------
    ConfigError
        A data set does not fit, or holds structures that the network has seen.
    """
    for dataset in config.evaluations.get(BUNDLED, ()):
        check_bundled_on(config, f"evaluations.{BUNDLED}", dataset)
    for name, prediction in config.predictions.items():
        if prediction.model == BUNDLED and prediction.micrograph is not None and (card := _card()):
            _check_unseen(config, f"predictions.{name}", config.micrographs[prediction.micrograph].dataset, card)


def check_bundled_on(config: Config, here: str, name: str) -> None:
    """The bundled network fits the data set ``name`` and has not seen its test structures. ``here`` is the key that
    asks for it.

    Raises
    ------
    ConfigError
        It does not fit.
    """
    card = _card()
    if card is None:
        return  # reported where the network is needed
    dataset = config.datasets[name]
    data = DataFormat.of(config.imaging[dataset.imaging], config.labels[dataset.labels])
    check_network_fits(card, data, network=repr(BUNDLED), name=f"{here}: data set {name!r}")
    _check_unseen(config, here, name, card)


def _card() -> NetworkCard | None:
    folder = bundled_folder()
    if not (folder / CARD).exists():
        return None
    try:
        card = read_card(folder)
        format_of(card)
    except (StoreError, ValueError) as failure:
        reason = " ".join(str(failure).split())
        raise ConfigError(f"{folder}: the network that comes with segdepth is damaged ({reason}); restore it") from None
    return card


def _check_unseen(config: Config, here: str, name: str, card: NetworkCard) -> None:
    dataset = config.datasets[name]
    tested = dataset.structures_of("test", config.specimens[dataset.specimen])
    check_unseen(
        card, tested, dataset.specimen, config.root_seed, network=repr(BUNDLED), name=f"{here}: data set {name!r}"
    )
