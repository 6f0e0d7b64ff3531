"""The text of an adaptation's ``config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segdepth.adaptation.blocks import (
    Budget,
    as_yaml,
    beam_lines,
    imaging_lines,
    labels_of,
    lambda_of,
    model_lines,
    specimen_lines,
    splits,
)
from segdepth.adaptation.names import FILM, NAME
from segdepth.adaptation.ranges import Line
from segdepth.config import CrystalBlock, PredictionOptions, Specimen, validate
from segdepth.crystals import Crystal, load_crystal
from segdepth.fitting.result import LensFit
from segdepth.micrograph.results.facts import printable
from segdepth.networks.card import NetworkCard
from segdepth.specimen.checks import thickest_column

CRYSTAL = "crystal"
"""Name of its block."""


@dataclass(frozen=True)
class Draft:
    """A configuration but for how much is made.

    fit : the film's. card : of the network that is adapted. block : the crystal's. film, lens, start : absolute paths
    of the film, its fit, and the network that the tuning begins with. prediction : how the film is predicted. dose :
    the film's, electrons per Å² and frame. vacuum : share of the film's pixels that are vacuum, None where there is
    none.
    """

    fit: LensFit
    card: NetworkCard
    block: CrystalBlock
    film: Path
    lens: Path
    start: Path
    prediction: PredictionOptions
    dose: float
    vacuum: float | None

    @cached_property
    def crystal(self) -> Crystal:
        return load_crystal(self.block, CRYSTAL)

    def text(self, budget: Budget, minutes: float) -> str:
        """``config.yaml``."""
        fit, card = self.fit, self.card
        specimen = specimen_lines(fit, self.crystal, CRYSTAL, card.field_pm, self.vacuum, budget.structures)
        built = validate(Specimen, {line.key: line.value for line in specimen}, f"specimens.{NAME}")
        labels = labels_of(card, thickest_column(built, self.crystal))
        lambda_ = round(lambda_of(self.dose), 6)
        dataset = {**dict.fromkeys(("specimen", "beam", "imaging", "labels"), NAME), "dose_lambda": lambda_}
        dataset["splits"] = splits(budget.structures)
        given = self.prediction.model_dump(mode="json", exclude_defaults=True)
        sections: dict[str, Any] = {
            "root_seed": 0,
            "crystals": {CRYSTAL: _lines(self.block.model_dump(mode="json", exclude_none=True))},
            "specimens": {NAME: specimen},
            "beams": {NAME: beam_lines(fit)},
            "imaging": {NAME: imaging_lines(fit, card.input_pixel_pm)},
            "labels": {NAME: _lines(labels)},
            "datasets": {NAME: _lines(dataset)},
            "models": {NAME: model_lines(card, str(self.start), lambda_, budget, self.remark)},
            "predictions": {FILM: _lines({"input": str(self.film), "model": NAME, **given})},
        }
        return as_yaml(self._head(budget, minutes), sections)

    @property
    def remark(self) -> str:
        """What the network's card and every prediction with it say."""
        name, found = printable(self.film.name)[:100], verdict(self.fit)
        if not self.fit.explained:
            return f"NOT RELIABLE: the network is adapted to a lens fit that does not explain {name}: {found}"
        return f"the network is adapted to {name} and its lens fit ({found}): it is for this film only"

    def _head(self, budget: Budget, minutes: float) -> Sequence[str]:
        return [
            "A network adapted to one film, as segdepth plan-adaptation planned it; the manifest beside it has the",
            "hashes of what it was made from. Ranges are the fit's values and two errors to either side, where nothing",
            "else is said. What segdepth adapt makes here is also made by",
            "snakemake --cores N --directory THIS_FOLDER --snakefile workflow/Snakefile",
            f"film: {printable(str(self.film))}",
            f"lens fit: {printable(str(self.lens))}",
            f"which is {'' if self.fit.explained else 'NOT '}explained: {verdict(self.fit)}",
            f"{budget.structures} structures and about {budget.samples} samples, for {minutes:g} minutes",
        ]


def verdict(fit: LensFit) -> str:
    """In words, how well the fit explains the film."""
    said = f"chi2 {fit.chi2:.4g} for {fit.dof:.4g} degrees of freedom"
    return f"{said}, and {len(fit.rivals)} other solutions as good" if fit.rivals else said


def _lines(block: Mapping[str, Any]) -> list[Line]:
    return [Line(key, value) for key, value in block.items()]
