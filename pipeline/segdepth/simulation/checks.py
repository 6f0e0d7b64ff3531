"""Checks of beams blocks that need the crystals they are for."""

from __future__ import annotations

from segdepth.config import Config
from segdepth.crystals import load_crystal
from segdepth.errors import ConfigError
from segdepth.specimen.checks import check_symbols


def check_beams(config: Config) -> None:
    """The beam of every data set, or its crystal, must have the vibration of each element of the specimen.

    Raises
    ------
    ConfigError
        One is lacking, or a beams block names an element that does not exist.
    """
    for name, beam in config.beams.items():
        check_symbols(f"beams.{name}.debye_waller_pm", beam.debye_waller_pm or {})
    for name, dataset in config.datasets.items():
        kind = config.specimens[dataset.specimen].crystal
        crystal = load_crystal(config.crystals[kind], kind)
        known = {**crystal.debye_waller_pm, **(config.beams[dataset.beam].debye_waller_pm or {})}
        lacking = [element for element in crystal.all_elements if element not in known]
        if lacking:
            raise ConfigError(
                f"crystals.{kind}.debye_waller_pm: has no {', '.join(lacking)}, and neither has "
                f"beams.{dataset.beam}.debye_waller_pm, which datasets.{name} joins with it; each element needs its "
                "rms vibration in pm (0 for no vibration)"
            )
