"""Whether a network may be measured on some test images."""

from __future__ import annotations

from segdepth.evaluation.noisy_images import NoisyImages
from segdepth.networks.card import NetworkCard
from segdepth.networks.compatibility import check_network_fits, check_unseen


def check_tested(card: NetworkCard, tests: NoisyImages, *, model: str, dataset: str) -> None:
    """The images must be like those that the network reads, and of structures that it was not trained on.

    Parameters
    ----------
    model, dataset : their names.

    Raises
    ------
    ConfigError
        The network was trained on one of the structures, or for other pixels, labels or another crystal.
    StoreError
        Another version trained the network.
    """
    names = {"network": repr(model), "name": f"data set {dataset!r}"}
    check_network_fits(card, tests.format, **names)
    check_unseen(card, tests.structures, tests.specimen, tests.root_seed, **names)
