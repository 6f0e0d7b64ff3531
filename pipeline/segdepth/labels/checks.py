"""Checks of labels blocks that need the specimens they are for."""

from __future__ import annotations

from segdepth.config import Config, Labels
from segdepth.crystals import Crystal, load_crystal
from segdepth.errors import ConfigError
from segdepth.specimen.checks import check_symbols, thickest_column

MOST_COUNTED = 255
"""Depth maps and their columns are uint8."""


def check_labels(config: Config) -> None:
    """The labels block of every data set must suit its specimen.

    Raises
    ------
    ConfigError
        It lacks the radii of an element, or classes for the thickest columns, or a column's core reaches the centre of
        its neighbour, or a labels block names an element that does not exist.
    """
    for name, labels in config.labels.items():
        check_elements(f"labels.{name}", labels, ())
    for name, dataset in config.datasets.items():
        specimen, labels = config.specimens[dataset.specimen], config.labels[dataset.labels]
        crystal = load_crystal(config.crystals[specimen.crystal], specimen.crystal)
        key = f"labels.{dataset.labels}"
        check_elements(key, labels, crystal.elements)
        _check_cores(key, labels, crystal)
        thickest = thickest_column(specimen, crystal)
        if thickest > MOST_COUNTED:
            raise ConfigError(
                f"datasets.{name}: columns of specimens.{dataset.specimen} have up to {thickest} atoms; depth maps "
                f"hold counts up to {MOST_COUNTED}"
            )
        if not labels.more and thickest > labels.most_atoms:
            raise ConfigError(
                f"{key}.most_atoms: got {labels.most_atoms}; columns of specimens.{dataset.specimen}, which "
                f"datasets.{name} joins with it, have up to {thickest} atoms "
                "(more: true gives them a class)"
            )


def check_elements(key: str, labels: Labels, elements: tuple[str, ...]) -> None:
    """Every counted element must have radii, and those that have must exist; ``key`` is what a message calls the block.

    Raises
    ------
    ConfigError
        One has none, or does not exist.
    """
    check_symbols(f"{key}.core_radius_pm", labels.core_radius_pm)
    lacking = [element for element in elements if element not in labels.core_radius_pm]
    if lacking:
        raise ConfigError(
            f"{key}.core_radius_pm: has values for {', '.join(labels.core_radius_pm) or 'no element'}; the columns of "
            f"{lacking[0]} need one as well"
        )


def _check_cores(key: str, labels: Labels, crystal: Crystal) -> None:
    """Discs of neighbours may overlap, since a pixel belongs to the nearest column; but no core may reach a centre."""
    for column, distances in zip(crystal.columns, crystal.distances_pm):
        core, other = labels.core_radius_pm[column.element], crystal.columns[distances.argmin()]
        if core >= distances.min():
            raise ConfigError(
                f"{key}.core_radius_pm: got {core:g} for {column.element}; {other.element} columns of {crystal.title} "
                f"are {distances.min():.0f} pm away from it, and the core must end before"
            )
