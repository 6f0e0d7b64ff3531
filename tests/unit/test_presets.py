"""The presets, laid over ``config.yaml`` as Snakemake does it: each is valid and asks for what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from segdepth.cluster.costs import Costs
from segdepth.config import PAPER_ITEMS, PAPER_PIXEL_PM, Config, validate
from segdepth.crystals import load_crystal
from segdepth.evaluation.gradient_reach import LEAST_STRUCTURES
from segdepth.evaluation.table1 import PAPER
from segdepth.specimen.plan import plan_row
from segdepth.steps.layout import Layout
from segdepth.steps.paper_files import PaperFiles
from segdepth.steps.pretrained import check_pretrained

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "workflow" / "presets"


def laid_over(*names: str) -> Config:
    merged = load_configfile(str(ROOT / "config.yaml"))
    for name in names:
        update_config(merged, load_configfile(str(PRESETS / f"{name}.yaml")))
    return validate(Config, merged, " + ".join(names))


def test_every_preset_is_known_here():
    known = {"benchmarks", "workstation", "gpu", "paper", "paper_quick", "ablation", "particles", "yardsticks"}
    known |= {"paper_workstation", "familiarity", "familiarity_particles", "benchmarks_particles", "film", "limits"}
    known |= {"limits_small", "generalization", "paper_narrow"}
    assert {path.stem for path in PRESETS.glob("*.yaml")} == known


def test_films_and_limits_are_of_what_no_network_has_seen():
    film, limits = laid_over("film"), laid_over("benchmarks", "limits")
    assert 1.8 in film.films["surface"].dose_lambda  # the paper's
    trained = {film.datasets[d].specimen for model in film.models.values() for d in model.datasets}
    assert film.datasets[film.films["surface"].dataset].specimen not in trained
    assert len(limits.prediction_sets["shifts"].tests) > 10 and limits.limit_maps["thin"].dataset == "benchmark_smooth"


def test_matrices_change_one_thing_and_tune_for_a_tenth_of_the_training():
    """Conditions of one matrix differ in one block of their data sets, and all have the same numbers of structures."""
    config = laid_over("generalization")
    check_pretrained(config)
    assert set(config.generalization) == {"surface", "defocus", "tilt", "vibration", "physics"}
    differing = {"surface": "specimen", "defocus": "imaging", "tilt": "beam", "vibration": "imaging", "physics": "beam"}
    for name, matrix in config.generalization.items():
        cells = matrix.cells
        assert [sum(cell.began_with is None for cell in cells), len(cells)] == [9, 15]
        datasets = [config.datasets[dataset] for dataset in matrix.datasets]
        blocks = [dataset.model_dump(exclude={differing[name]}) for dataset in datasets]
        assert blocks[0] == blocks[1] == blocks[2]
        for dataset in datasets:
            parts = [
                dataset.structures_of(p, config.specimens[dataset.specimen]) for p in ("train", "validation", "test")
            ]
            assert [len(part) for part in parts] == [109, 12, 29]
        samples = {
            tuned: {config.models[c.network].training.epoch_samples * config.models[c.network].training.epochs
                    for c in cells if (c.began_with is not None) == tuned}
            for tuned in (False, True)
        }  # fmt: skip
        assert samples == {False: {20480}, True: {2048}}
    lenses = [config.imaging[config.datasets[d].imaging] for d in config.generalization["vibration"].datasets]
    tilts = [config.beams[config.datasets[d].beam].random_tilt_mrad for d in config.generalization["tilt"].datasets]
    physics = [config.beams[config.datasets[d].beam] for d in config.generalization["physics"].datasets]
    assert [lens.image_spread_pm for lens in lenses] == [10, 20, 50]
    assert tilts[0] == (0, 0) and tilts[-1][1] == pytest.approx(1000 * np.deg2rad(3), abs=0.01)
    assert [(beam.absorption, beam.frozen_phonons) for beam in physics] == [(True, 0), (False, 0), (True, 8)]
    scattering = {"absorption", "frozen_phonons"}
    assert all(beam.model_dump(exclude=scattering) == physics[0].model_dump(exclude=scattering) for beam in physics)
    for path in (PRESETS / "generalization.yaml", ROOT / "docs" / "results" / "generalization.md"):
        assert "109 to train on, 12 to validate, 29 to measure" in path.read_text(encoding="utf-8")


def test_what_the_docs_show_of_limits_is_of_the_small_preset():
    """The numbers that docs/results/limits.md gives of it, and the same structures for observer and network."""
    config = laid_over("benchmarks", "limits", "limits_small")
    text = " ".join((ROOT / "docs" / "results" / "limits.md").read_text(encoding="utf-8").split())
    measured = [config.datasets[name] for name in config.evaluations["bundled"]]
    observed, block = config.datasets["benchmark_smooth"], config.limit_maps["thin"]
    specimen = config.specimens[observed.specimen]
    assert f"{len(observed.structures_of('test', specimen))} of the 60 structures" in text
    assert f"({len(measured[0].structures_of('test', specimen))} of them for the network, at 9 defocus values)" in text
    assert f"a map of {2 * block.structures * block.columns} columns (4 of each element)" in text
    assert len(config.prediction_sets["shifts"].tests) == 5 and "under five of the shifts" in text
    row = "| C1 (nm) | " + " | ".join(f"{value:g}".replace("-", "−") for value in block.defocus_nm) + " |"
    assert row in text and -9 in block.c3_um and 20 in block.image_spread_pm and 2.5 in block.dose_lambda
    same = {"dose_lambda", "splits"}
    assert all(d.model_dump(exclude=same) == observed.model_dump(exclude=same) for d in measured)
    assert [d.dose_lambda for d in measured] == [2.5, 0.5, 25]


def test_the_coarse_papers_film_has_the_papers_dose_and_one_of_its_networks():
    config = laid_over("paper_quick")
    assert config.films[config.paper.film].dose_lambda == (1.8,) and config.paper.film_model in config.models


def test_the_benchmarks_are_the_same_under_every_preset_and_never_trained_on():
    benchmarks = laid_over("benchmarks")
    for names in (["workstation"], ["workstation", "gpu"], ["workstation", "ablation"], ["workstation", "particles"]):
        config = laid_over("benchmarks", *names)
        for section in ("specimens", "beams", "imaging", "labels", "datasets"):
            theirs = getattr(config, section)
            assert all(theirs[name] == block for name, block in getattr(benchmarks, section).items()), (names, section)
        trained = {config.datasets[d].specimen for model in config.models.values() for d in model.datasets}
        assert not any(name.startswith("benchmark") for name in trained)


def test_benchmarks_are_what_they_are_called():
    config = laid_over("benchmarks")
    smooth, rough = config.specimens["benchmark_smooth"], config.specimens["benchmark_rough"]
    assert min(smooth.structures, rough.structures) >= 60 and set(smooth.surfaces) == {"flat", "stepped", "sawtooth"}
    assert rough.count_shift_atoms == 2 and rough.vacancy_fraction == (0.05, 0.05)
    shifts = [name for name in config.datasets if name.startswith("shift_")]
    assert len(shifts) == 16
    for name in shifts:
        dataset = config.datasets[name]
        assert dataset.specimen == "benchmark_smooth" and dataset.labels == "rings" and dataset.dose_lambda == 2.5
        assert (dataset.beam == name) != (dataset.imaging == name)  # one thing at a time
    spread = [config.imaging[f"shift_image_spread_{end}"].image_spread_pm for end in ("low", "high")]
    assert spread == [15, 25] and config.imaging["overfocus"].image_spread_pm == 20
    scales = [config.beams[f"shift_debye_waller_{end}"].debye_waller_scale for end in ("low", "high")]
    assert scales == [0.7, 1.3]
    tilt = config.beams["shift_tilt"].tilt_mrad
    assert (tilt[0] ** 2 + tilt[1] ** 2) ** 0.5 == pytest.approx(8.727, abs=2e-3)  # 0.5 degrees


def test_both_bundled_networks_are_measured_on_the_same_shifts():
    """The data sets of the second network are those of the first but for their labels; so are the rows."""
    config = laid_over("benchmarks", "workstation", "particles", "benchmarks_particles")
    rows = {row.label: row for row in config.tables["benchmarks"].rows if row.models and "lambda" not in row.label}
    theirs = {row.label: row for row in config.tables["benchmarks_particles"].rows}
    assert set(theirs) == set(rows) - {"smooth, 50 pm"} and len(theirs) == 18
    for label, row in theirs.items():
        assert row.models == ("bundled_particles",) and row.against == rows[label].against
        one, other = config.datasets[row.dataset], config.datasets[rows[label].dataset]
        assert one.labels == "many" and one.model_copy(update={"labels": other.labels}) == other


def test_the_papers_preset_has_the_papers_numbers_of_images():
    config = laid_over("paper_quick", "paper")
    dataset = config.datasets["paper_2p5"]
    specimen, imaging = config.specimens["paper"], config.imaging["fine"]
    images = {p: 9 * len(dataset.structures_of(p, specimen)) for p in ("train", "test")}
    assert images == {"train": 8397, "test": 3600} and round(specimen.field_pm / imaging.pixel_pm) == 1024
    full = [config.models[name].architecture for name in config.paper.widths if name not in config.paper.other_datasets]
    assert [each.base_channels for each in full] == [16, 32, 64, 96, 130] == [row[0] for row in PAPER]
    assert {each.variant for each in full} == {"full"} and config.paper.shown == "paper64"
    of_paper = {model for item in PAPER_ITEMS for model, _ in config.paper.measured(item)} | {"paper_denoiser"}
    assert all(config.models[name].training.optimizer == "adam" for name in of_paper) and len(of_paper) == 14


PAPER_SCALES = [("paper_quick",), ("paper_quick", "paper_workstation"), ("paper_quick", "paper")]


@pytest.mark.parametrize("names", PAPER_SCALES)
def test_figures_8_and_12_of_the_paper_show_thin_and_thick_columns(names):
    config = laid_over(*names)

    def planned(name: str, number: int) -> dict:
        dataset = config.datasets[name]
        specimen = config.specimens[dataset.specimen]
        crystal = load_crystal(config.crystals[specimen.crystal], specimen.crystal)
        index = dataset.structures_of("test", specimen)[number]
        return plan_row(specimen, crystal, dataset.specimen, index, config.root_seed)

    film = config.films[config.paper.film]
    shown = planned(film.dataset, film.structure)
    assert shown["surface"] == "stepped" and 1 <= shown["surface_atoms"] <= 1.5
    for model in config.paper.gradient_models:
        shown = planned(config.paper.dataset_of(model), config.paper.gradient_structure)
        assert shown["surface"] == "sawtooth" and 1 <= shown["surface_atoms"] <= 1.5 and shown["bulk_atoms"] >= 7


@pytest.mark.parametrize("names", PAPER_SCALES)
def test_figure_8_of_the_paper_has_enough_test_structures_for_intervals(names):
    config = laid_over(*names)
    paper = PaperFiles(Layout(config))
    for name in {config.paper.dataset_of(model) for model in config.paper.gradient_models}:
        dataset = config.datasets[name]
        test = dataset.structures_of("test", config.specimens[dataset.specimen])
        found = paper.structures(name)
        assert found[0] == test[config.paper.gradient_structure] and set(found) <= set(test)
        assert len(found) == len(set(found)) >= LEAST_STRUCTURES
        size = config.specimens[dataset.specimen].shard_size
        shards = paper.shards(name, paper.layout.image_shards(name))
        assert {int(Path(shard).stem.removeprefix("shard-")) for shard in shards} == {s // size for s in found}


@pytest.mark.parametrize("names", PAPER_SCALES)
def test_the_networks_that_a_table_of_the_paper_compares_have_the_same_data_and_samples(names):
    config = laid_over(*names)

    def seen(model: str) -> tuple:
        block = config.models[model]
        own = {"batch_size", "dose_lambda", "dose_importance"}
        return block.datasets, block.training.model_dump(exclude=own)

    paper = config.paper
    table2 = [paper.segmentation, paper.denoised, paper.joint]
    assert {config.models[name].architecture for name in table2} == {config.models["paper_denoiser"].architecture}
    for group in (table2, [*paper.widths]):
        by_pixel = {}
        for name in group:
            by_pixel.setdefault(paper.dataset_of(name), []).append(seen(name))
        assert all(each == found[0] for found in by_pixel.values() for each in found)
    folded = [name for name in paper.widths if config.models[name].architecture.variant == "space_to_depth"]
    costs = Costs(config)
    binned = {costs.train_model(name).seconds for name in set(paper.widths) - set(folded)}
    assert folded and all(costs.train_model(name).seconds in binned for name in folded)  # equal training time
    doses = {config.datasets[name].dose_lambda for name in paper.dose_datasets}
    assert doses == {0.1, 0.5, 2.5, 10, 25} and config.datasets[paper.confusion_dataset].dose_lambda == 1
    trained = [config.models[name] for name in paper.dose_trained]
    assert {model.architecture.base_channels for model in trained} == {16}  # Fig. 9b's


ONE_THING = {
    "+ binned input, eight samples a lens": {"datasets", "architecture.variant", "training.crop_pixels",
                                             "training.batch_size", "training.noise_repeats"},
    "+ any defocus instead of nine": {"training.continuous_defocus"},
    "+ crops of 128 instead of 256 pixels": {"training.crop_pixels"},
    "+ Muon instead of Adam": {"training.optimizer"},
    "+ space-to-depth network": {"architecture.variant", "architecture.base_channels"},
    "four crops of 192 pixels": {"training.crop_pixels", "training.batch_size"},
    "a lens for every sample": {"training.noise_repeats"},
    "a lens for sixteen samples": {"training.noise_repeats"},
    "mean with the mirror image": {"flip_average"},
    "lambda 2.5: every dose": {"training.dose_lambda"},
    "lambda 2.5: every dose, samples count by it": {"training.dose_lambda", "training.dose_importance"},
    "+ varied lens and constants": {"datasets"},
    "+ mixed and rough crystals": {"datasets"},
}  # fmt: skip


def flat(block: dict, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in block.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def test_each_step_of_the_ablation_changes_one_thing():
    """Beside the number of samples, which is what ten minutes hold."""
    config = laid_over("benchmarks", "workstation", "ablation")
    tables = ("ablation", "options", "draws", "doses", "crystals")
    rows = {row.label: row for table in tables for row in config.tables[table].rows}
    for label, expected in ONE_THING.items():
        mine, other = (
            flat(config.models[row.models[0]].model_dump()) for row in (rows[label], rows[rows[label].against])
        )
        changed = {name for name in mine | other if mine.get(name) != other.get(name)}
        assert changed - {"training.epoch_samples", "training.epochs"} == expected, label


def test_the_papers_way_sees_no_image_twice_in_ten_minutes():
    config = laid_over("benchmarks", "workstation", "ablation")
    model = config.models["step_paper"]
    dataset = config.datasets[model.datasets[0]]
    structures = dataset.structures_of("train", config.specimens[dataset.specimen])
    images = len(structures) * len(config.imaging[dataset.imaging].defocus_values_nm)
    training = model.training
    assert images > training.epoch_samples * training.epochs and not training.continuous_defocus


def test_the_gpus_network_learns_what_the_workstations_does():
    config = laid_over("benchmarks", "workstation", "gpu")
    theirs, ours = config.models["workstation"], config.models["gpu"]
    assert (
        ours.datasets == theirs.datasets
        and ours.architecture == theirs.architecture
        and ours.init_weights == theirs.init_weights
    )
    same = {"dose_lambda", "dose_importance", "crop_pixels", "optimizer", "flip", "continuous_defocus"}
    assert ours.training.model_dump(include=same) == theirs.training.model_dump(include=same)
    seen = [block.training.epoch_samples * block.training.epochs for block in (ours, theirs)]
    assert seen[0] > 10 * seen[1]


def test_familiarity_is_measured_over_what_the_bundled_network_has_learnt_on_structures_that_it_has_not_seen():
    config = laid_over("benchmarks", "workstation", "gpu", "familiarity")
    trained = [config.datasets[name] for name in config.models["gpu"].datasets]
    lens = config.imaging[trained[0].imaging]
    for dataset in (config.datasets[name] for name in config.familiarity["bundled"]):
        assert dataset.specimen not in {other.specimen for other in trained}
        mine = config.imaging[dataset.imaging]
        assert (min(mine.defocus_values_nm), max(mine.defocus_values_nm)) == lens.trained_defocus_nm
        for name in ("a1_nm", "focal_spread_nm", "image_spread_pm", "c3_um", "c5_mm", "b2_nm"):
            assert getattr(mine, name) == getattr(lens, name), name
        tilts = [config.beams[other.beam].random_tilt_mrad[1] for other in trained]
        assert config.beams[dataset.beam].random_tilt_mrad[1] <= max(tilts)


def test_the_familiarity_of_particles_is_measured_over_what_their_network_has_learnt_on_other_structures():
    config = laid_over("benchmarks", "workstation", "particles", "familiarity_particles")
    trained = [config.datasets[name] for name in config.models["particles"].datasets]
    lenses, beams = {d.imaging for d in trained}, {d.beam for d in trained}
    thickest = max(config.specimens[d.specimen].bulk_atoms[1] for d in trained)
    for dataset in (config.datasets[name] for name in config.familiarity["bundled_particles"]):
        assert dataset.specimen not in {other.specimen for other in trained}
        assert dataset.imaging in lenses and dataset.beam in beams and dataset.labels == trained[0].labels
        assert config.specimens[dataset.specimen].bulk_atoms[1] <= thickest
        assert config.specimens[dataset.specimen].tilt_deg[1] <= 2.5
    assert beams == {config.datasets[name].beam for name in config.familiarity["bundled_particles"]}


def test_the_two_measurements_of_familiarity_do_not_undo_each_others_specimens():
    thin = laid_over("familiarity")
    thick = laid_over("benchmarks", "workstation", "particles", "familiarity_particles")
    for name in set(thin.specimens) & set(thick.specimens):
        assert thin.specimens[name] == thick.specimens[name], name


def test_yardsticks_are_truer_than_what_is_trained_on_and_no_network_has_seen_their_specimens():
    config = laid_over("benchmarks", "workstation", "particles", "yardsticks")
    plain = {"real_thin", "real_thick", "real_rough", "real_carbon", "real_200kv"}
    fitted = {name for name, block in config.yardsticks.items() if block.fit_lens}
    assert set(config.yardsticks) == plain | fitted and fitted == {f"{name}_fitted" for name in plain}
    for name in plain:  # of the same recordings
        alone, joined = config.yardsticks[name], config.yardsticks[f"{name}_fitted"]
        own = {"fit_lens": True, "models": ("bundled_particles",), "observed_columns": 0}
        assert alone.model_copy(update=own) == joined
    trained = {config.datasets[d].specimen for model in config.models.values() for d in model.datasets}
    for stick in config.yardsticks.values():
        dataset = config.datasets[stick.dataset]
        specimen, beam = config.specimens[dataset.specimen], config.beams[dataset.beam]
        assert dataset.specimen not in trained and specimen.structures >= 60 and dataset.splits.test == 1
        assert beam.frozen_phonons >= 8 and beam.diffuse_snapshots == 0
        assert specimen.rotation_deg == (-45, 45)  # with quarter turns: any
        low, high = (dose * (100 / PAPER_PIXEL_PM) ** 2 for dose in stick.dose_lambda)
        assert low == pytest.approx(60, rel=0.02) and high == pytest.approx(9000, rel=0.02)
    thick, thin = config.specimens["real_thick"], config.specimens["real_thin"]
    assert thick.bulk_atoms == (5, 30) and thick.tilt_deg == (0, 2.5) and thin.tilt_deg == (0, 1)
    assert config.beams[config.datasets["real_200kv"].beam].energy_kev == 200


def test_the_thin_yardstick_has_the_inner_half_of_every_range_of_the_lens():
    config = laid_over("benchmarks", "workstation", "particles", "yardsticks")
    half, whole = config.imaging["half"], config.imaging["any"]
    for name in ("a1_nm", "b2_nm", "a2_nm", "focal_spread_nm", "image_spread_pm", "background", "c3_um", "c5_mm"):
        (low, high), (least, most) = getattr(half, name), getattr(whole, name)
        assert least <= low < high <= most and high - low <= 0.55 * (most - least), name
