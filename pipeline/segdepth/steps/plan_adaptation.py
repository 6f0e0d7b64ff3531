"""The step ``plan-adaptation``: a film, its lens fit and a network in, a ``config.yaml`` out that adapts the network.

The folder of ``config.yaml`` is that of a project: ``snakemake --directory FOLDER`` makes of it what ``segdepth adapt``
makes there. Its paths are absolute. A network of the package, with whose weights the tuning begins, is copied beside
it.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import yaml

from segdepth.adaptation.blocks import Budget, crystal_block
from segdepth.adaptation.draft import Draft, verdict
from segdepth.adaptation.names import NAME
from segdepth.adaptation.ranges import moved_values
from segdepth.adaptation.rates import LEAST_SAMPLES, LEAST_STRUCTURES, budget_of, seconds_a_sample, seconds_a_structure
from segdepth.config import BUNDLED_PARTICLES, Config, CrystalBlock, DatasetBlocks, PredictionOptions, validate
from segdepth.errors import ConfigError, StoreError
from segdepth.fitting.result import LensFit, read_lens_fit
from segdepth.fitting.same_film import check_same_crystal, check_same_film
from segdepth.micrograph.files import open_recording
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.predict import crystal_of
from segdepth.networks.bundled import is_bundled
from segdepth.networks.card import NetworkCard, read_card
from segdepth.steps.check_config import check_config
from segdepth.steps.plan_specimens import structure_files
from segdepth.steps.pretrained import MADE_BY
from segdepth.store.manifest import check_target, check_whole, manifest_path, read_manifest, remove, write_artefact
from segdepth.store.verify import check

COMMAND = "plan-adaptation"
CONFIG = "config.yaml"
START = "network"
"""Name of the copy of a network of the package."""


def plan_adaptation(
    film: Path,
    lens: Path,
    model: Path,
    out: Path,
    *,
    prediction: PredictionOptions,
    minutes: float = 20.0,
    cores: int | None = None,
    force: bool = False,
    crystal: CrystalBlock | None = None,
    code: str = "unknown",
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write ``out/config.yaml``; one that is there already for the same film, fit, network and options is kept.

    Parameters
    ----------
    film : a file of ``segdepth.micrograph.files``. lens : its lens fit. model : folder of the network to adapt.
    prediction : how the film is read and predicted.
    minutes, cores : how long structures, waves and training may take together, on so many cores (by default all);
        rates are measured here.
    force : adapt to a fit that does not explain the film.
    crystal : its block, where the structure does not come with the package.
    tell : called with each line for the user.

    Raises
    ------
    SegDepthError
        Film, fit or network cannot be used or do not belong together, or the fit does not explain the film.
    """
    fit = read_lens_fit(lens)
    if not fit.bins or "defocus_nm" not in fit.values:
        raise ConfigError(f"{lens}: has no {'defocus' if fit.bins else 'thickness of any bin'}; fit the film anew")
    if not fit.explained and not force:
        raise ConfigError(
            f"{lens}: the fit does not explain the film ({verdict(fit)}), so that a network adapted to it may learn a "
            "wrong lens; fit it better, or adapt with --force, and every result will say so"
        )
    check_whole(model, MADE_BY)
    card = read_card(model)
    check_same_crystal(lens, fit, card.crystal, f"the network {model}")
    block = crystal or crystal_block(fit.crystal)
    if files := structure_files(block):
        block = block.model_copy(update={"structure": str(files[0].resolve())})
    config, inputs = out / CONFIG, [film, lens, model, *files]
    parameters = {
        "minutes": minutes,
        "force": force,
        "prediction": prediction.parameters,
        "crystal": block.model_dump(mode="json"),
    }
    check_target(config, COMMAND)
    if _is_kept(config, inputs, parameters, code):
        tell(f"{config} is there already and is kept")
        return config
    prediction, dose, vacuum = _inspected(film, lens, fit, card, prediction)
    with _folder(out):
        draft = Draft(fit, card, block, film.resolve(), lens.resolve(), _start(model, out), prediction, dose, vacuum)
        for line in filter(None, (_too_thick(fit, card), *moved_values(fit))):
            tell(line)
        budget = _measured_budget(draft, out, minutes, cores or os.cpu_count() or 1)
        text = draft.text(budget, minutes)
        _checked(text, out)
        tell(f"{budget.structures} structures and about {budget.samples} samples are planned for {minutes:g} minutes")
        with write_artefact(config, command=COMMAND, code=code, inputs=inputs, parameters=parameters) as partial:
            partial.write_text(text, encoding="utf-8")
    return config


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make the folder; it goes again where nothing comes of it and it was not there before."""
    there = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not there:
            remove(out)
        raise


def _inspected(
    film: Path, lens: Path, fit: LensFit, card: NetworkCard, prediction: PredictionOptions
) -> tuple[PredictionOptions, float, float | None]:
    """How the film is predicted, its dose, and the share of its pixels that are vacuum.

    Raises
    ------
    MicrographError, ConfigError
        It cannot be used, or is another one than that of the fit.
    """
    with open_recording(film, prediction.image) as recording:
        check_same_film(lens, fit, film, math.nan, recording.energy_kev, None)
        if prediction.pixel_pm is None and recording.pixel_pm is None:
            prediction = prediction.model_copy(update={"pixel_pm": fit.pixel_pm})
        known = inspect_film(recording, crystal_of(card), card.input_pixel_pm, prediction, lattice=prediction.calibrate)
        vacuum = None if known.vacuum is None else float(known.vacuum.mean())
    check_same_film(lens, fit, film, known.dose, None, known.transform.pixel_pm)
    return prediction, known.dose, vacuum


def _too_thick(fit: LensFit, card: NetworkCard) -> str:
    """That a film has more atoms than the network has learnt to count, in a line; empty where it has not."""
    thickest = round(max(each.thickness_atoms for each in fit.bins))
    if card.more or thickest <= card.most_atoms:
        return ""
    return (
        f"the network counts up to {card.most_atoms} atoms, and the film has {thickest} of them: one that has learnt "
        f"thicker crystals has less to learn (--model {BUNDLED_PARTICLES})"
    )


def _is_kept(config: Path, inputs: Sequence[Path], parameters: Mapping[str, Any], code: str) -> bool:
    """Whether the file there was made from the same."""
    if not manifest_path(config).exists() or check(config) is not None:
        return False
    found = read_manifest(config)
    named = [(config.parent / given["path"]).resolve() for given in found["inputs"]]
    same = found["command"] == COMMAND and found["code"] == code and found["parameters"] == parameters
    return same and named == [path.resolve() for path in inputs]


def _start(model: Path, out: Path) -> Path:
    """Folder of the network that the tuning begins with: the workflow does not read the package's own."""
    if not is_bundled(model):
        return model.resolve()
    copy = out.resolve() / START
    if copy.exists() and not manifest_path(copy).exists():
        raise StoreError(f"{copy}: exists but has no manifest; remove it or give another --out")
    remove(copy)
    shutil.copytree(model, copy)
    shutil.copyfile(manifest_path(model), manifest_path(copy))
    return copy


def _checked(text: str, out: Path) -> Config:
    """The configuration, checked as the workflow does in its folder."""
    config = validate(Config, yaml.safe_load(text), str(out / CONFIG))
    with chdir(out):
        check_config(config)
    return config


def _measured_budget(draft: Draft, out: Path, minutes: float, cores: int) -> Budget:
    """What the minutes allow on this machine."""
    config = _checked(draft.text(Budget(LEAST_STRUCTURES, LEAST_SAMPLES), minutes), out)
    dataset, model = config.datasets[NAME], config.models[NAME]
    blocks = DatasetBlocks(dataset, config.specimens[NAME], config.imaging[NAME], config.labels[NAME])
    structure_s, form = seconds_a_structure(blocks, config.beams[NAME], draft.crystal, NAME)
    sample_s = seconds_a_sample(model, blocks, form, cores)
    side = round(blocks.specimen.field_pm / blocks.imaging.pixel_pm)
    return budget_of(minutes, cores, structure_s, sample_s, (side / model.training.crop_pixels) ** 2)
