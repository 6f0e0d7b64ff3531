"""The networks that come with the package, by their reserved names: their locations, and checks.

| name | folder in ``segdepth/bundled/`` | for |
|---|---|---|
| ``bundled`` | ``network/`` | thin crystals |
| ``bundled_particles`` | ``particles/network/`` | real particles; this version may come without it |

A folder holds weights, card and MODEL_CARD.md. Beside it ``network.manifest.json`` says what it was made from, and
``familiarity.json`` what frames it has learnt. ``segdepth.steps.export_model`` and ``measure_familiarity`` make them.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from segdepth.config import BUNDLED, RESERVED, Config
from segdepth.config.data_format import DataFormat
from segdepth.errors import ConfigError, StoreError
from segdepth.networks.card import CARD, NetworkCard, read_card
from segdepth.networks.compatibility import check_network_fits, check_unseen, format_of


def bundled_folder() -> Path:
    """Where the first network lies, or would lie, in this installation of the package."""
    return Path(str(files("segdepth"))) / "bundled" / "network"


def folder_of(name: str) -> Path:
    """The same for a reserved name."""
    return bundled_folder() if name == BUNDLED else bundled_folder().with_name("particles") / "network"


def bundled_network(name: str = BUNDLED) -> Path:
    """The folder of the network of this name.

    Raises
    ------
    ConfigError
        This version comes without it.
    """
    folder = folder_of(name)
    if not (folder / CARD).exists():
        found = [other for other in RESERVED if (folder_of(other) / CARD).exists()]
        there = f"take {' or '.join(found)}, or name a trained one" if found else "name a trained one"
        which = f"network {name!r}" if found else "network"
        raise ConfigError(f"no {which} comes with this version of segdepth; {there} (predict: --model)")
    return folder


def network_folders(network: str | Path | None) -> tuple[Path, ...]:
    """Folders of the networks that may predict a film.

    Parameters
    ----------
    network : a folder, or a reserved name (text: a ``Path`` is always a folder); None: all that come with the package,
        the first of ``RESERVED`` first.

    Raises
    ------
    ConfigError
        The package has no such network.
    """
    if network is not None:
        return (bundled_network(network) if isinstance(network, str) and network in RESERVED else Path(network),)
    found = tuple(folder_of(name) for name in RESERVED if (folder_of(name) / CARD).exists())
    return found or (bundled_network(),)


def bundled_familiarity(name: str = BUNDLED) -> Path:
    """What frames a network has learnt, as ``segdepth measure-familiarity`` wrote it; may be missing."""
    return folder_of(name).with_name("familiarity.json")


def familiarity_of(folder: str | Path) -> Path | None:
    """The same for a network's folder; None unless it is a bundled one, and measured."""
    name = _reserved(folder)
    return bundled_familiarity(name) if name is not None and bundled_familiarity(name).exists() else None


def familiarity_for(card: NetworkCard) -> Path | None:
    """The same for the card of a network; None unless it is that of a bundled one."""
    return next((familiarity_of(folder_of(name)) for name in RESERVED if _card(name) == card), None)


def is_bundled(folder: str | Path) -> bool:
    """Whether a network's folder is that of one of the package."""
    return _reserved(folder) is not None


def name_of(folder: str | Path) -> str:
    """A network's name: its folder's, or that of a bundled one."""
    return _reserved(folder) or Path(folder).name


def _reserved(folder: str | Path) -> str | None:
    where = Path(folder).resolve()
    return next((name for name in RESERVED if where == folder_of(name).resolve()), None)


def check_bundled(config: Config) -> None:
    """Bundled networks must fit the data of all evaluations and predictions. Those of tables are checked when a table
    is made (``check_bundled_on``).

    Raises
    ------
    ConfigError
        A data set does not fit, or holds structures that the network has seen.
    """
    for model in RESERVED:
        for dataset in config.evaluations.get(model, ()):
            check_bundled_on(config, f"evaluations.{model}", dataset, model)
    for name, prediction in config.predictions.items():
        model = prediction.model
        if model in RESERVED and prediction.micrograph is not None and (card := _card(model)):
            _check_unseen(config, f"predictions.{name}", config.micrographs[prediction.micrograph].dataset, card, model)


def check_bundled_on(config: Config, here: str, name: str, model: str = BUNDLED) -> None:
    """The bundled network ``model`` fits the data set ``name`` and has not seen its test structures. ``here`` is the
    key that asks for it.

    Raises
    ------
    ConfigError
        It does not fit.
    """
    card = _card(model)
    if card is None:
        return  # reported where the network is needed
    dataset = config.datasets[name]
    data = DataFormat.of(config.imaging[dataset.imaging], config.labels[dataset.labels])
    check_network_fits(card, data, network=repr(model), name=f"{here}: data set {name!r}")
    _check_unseen(config, here, name, card, model)


def _card(model: str) -> NetworkCard | None:
    folder = folder_of(model)
    if not (folder / CARD).exists():
        return None
    try:
        card = read_card(folder)
        format_of(card)
    except (StoreError, ValueError) as failure:
        reason = " ".join(str(failure).split())
        raise ConfigError(f"{folder}: the network that comes with segdepth is damaged ({reason}); restore it") from None
    return card


def _check_unseen(config: Config, here: str, name: str, card: NetworkCard, model: str) -> None:
    dataset = config.datasets[name]
    tested = dataset.structures_of("test", config.specimens[dataset.specimen])
    check_unseen(
        card, tested, dataset.specimen, config.root_seed, network=repr(model), name=f"{here}: data set {name!r}"
    )
