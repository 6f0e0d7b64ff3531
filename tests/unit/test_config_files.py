"""What a configuration names must be there and fit together; the schema in the repository is the code's."""

from __future__ import annotations

import copy
import itertools
import math
import re
from pathlib import Path

import pytest
import yaml

from segdepth.config import PAPER_ITEMS, Config, check_files, json_schema, load_config, validate
from segdepth.errors import ConfigError
from segdepth.simulation.checks import check_beams
from segdepth.simulation.grid import check_grids
from segdepth.steps.check_config import check_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data() -> dict:
    return load_config(ROOT / "config.yaml").model_dump(mode="python")


def refused(data: dict) -> str:
    with pytest.raises(ConfigError) as told:
        checked = validate(Config, copy.deepcopy(data), "config.yaml")
        check_files(checked)
        check_grids(checked)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_the_schema_is_that_of_the_code():
    assert (ROOT / "workflow/config.schema.json").read_text() == json_schema(), "run `make schema`"


def test_the_default_configuration_is_fine(data):
    checked = validate(Config, data)
    check_files(checked)
    check_grids(checked)


def test_an_evaluation_needs_test_structures(data):
    data["datasets"]["quick_lambda1"]["splits"] = {"test": 0.0, "validation": 0.1, "train": 0.7}
    assert "datasets.quick_lambda1.splits.test" in refused(data)


def test_what_is_trained_on_must_not_be_measured(data):
    data["datasets"]["quick_lambda1"]["splits"] = {"test": 0.5, "validation": 0.1, "train": 0.4}
    assert "are among those that 'unet16' is trained or validated on" in refused(data)


def test_an_evaluation_needs_the_networks_pixel(data):
    data["imaging"]["fine"] = data["imaging"]["overfocus"] | {"pixel_pm": 5.2841796875}
    data["datasets"]["quick_lambda1"]["imaging"] = "fine"
    assert "'quick_lambda1' does not fit the network 'unet16': the image pixel is 5.28418 pm" in refused(data)


def test_frozen_phonons_want_a_fine_grid(data):
    data["beams"]["phonons"] = data["beams"]["beam300"] | {"pixel_pm": 10.5, "frozen_phonons": 4}
    assert "beams.phonons: pixel_pm: got 10.5; frozen phonons" in refused(data)


def test_focal_modes_have_limits(data):
    data["imaging"]["overfocus"] |= {"focal_spread_nm": 20, "aperture_mrad": 45, "focal_steps": None}
    validate(Config, data, "config.yaml")
    for beam in data["beams"].values():
        beam["stored_angle_mrad"] = 60
    data["imaging"]["overfocus"] |= {"aperture_mrad": 60}
    assert "focal_spread_nm: got 20; with an aperture of 60 mrad at most 12.5" in refused(data)
    data["imaging"]["overfocus"] |= {"focal_steps": 33}
    validate(Config, data, "config.yaml")


def test_a_grid_too_coarse_for_what_is_stored(data):
    data["beams"]["beam300"] |= {"pixel_pm": 15, "stored_angle_mrad": 80}
    assert "beams.beam300.pixel_pm: got 15" in refused(data)


@pytest.mark.parametrize("name", ["none.tif", "movie.dm4", "", "a{b}.npy"])
def test_a_micrograph_must_be_there_and_readable(data, name):
    data["predictions"]["mine"] = {"model": "unet16", "input": name, "pixel_pm": 6.3}
    assert "input" in refused(data) and repr(name) in refused(data)


@pytest.mark.parametrize("step", [1e-8, 1e-320])
def test_a_tiny_defocus_step_is_refused_at_once(data, step):
    data["imaging"]["overfocus"]["defocus_nm"] = {"start": 1, "stop": 9, "step": step}
    assert "at most 1000" in refused(data)


def with_paper(data: dict, **changes) -> dict:
    """The default configuration with a paper block, changed."""
    data["models"]["both"] = data["models"]["unet16"] | {"task": "denoise_and_depth"}
    names = {"widths": ["unet16"], "dose_widths": ["unet16"], "dose_trained": ["unet16"], "dose_datasets": ["quick"]}
    names |= {"segmentation": "unet16", "denoised": "both", "joint": "both"}
    data["paper"] = {"dataset": "quick", "confusion_dataset": "quick_lambda1"} | names | changes
    return data


def test_other_data_sets_of_the_paper_are_of_its_networks_and_have_test_structures(data):
    data["datasets"]["untested"] = data["datasets"]["quick"] | {"splits": {"test": 0, "validation": 0.1, "train": 0.7}}
    validate(Config, with_paper(data, other_datasets={"both": "quick_lambda1"}))
    for given, said in (
        (
            {"small": "quick"},
            "paper.other_datasets.small: is no network of Tables I and II or of Figs. 7 and 8; allowed",
        ),
        ({"both": "large"}, "paper.other_datasets.both: no block is called 'large'"),
        ({"both": "untested"}, "none of the 144 structures; paper.other_datasets.both needs at least one"),
    ):
        assert said in refused(with_paper(data, other_datasets=given))


def test_figures_6_and_7_show_what_their_tables_in_the_paper_hold(data):
    data["evaluations"]["both"] = ["quick", "quick_lambda1"]
    data = with_paper(data)
    validate(Config, data)
    for key, other in (("model", "both"), ("dataset", "quick_lambda1"), ("confusion_dataset", "quick")):
        asked = data | {"figures": data["figures"] | {key: other}}
        assert f"figures.{key}: got {other!r}; allowed: {data['figures'][key]!r}" in refused(asked)


def tables_of_rules() -> list[str]:
    """Names, with wildcards, of the tables in the workflow's rules, but for those that blocks ``tables`` name."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    return sorted(set(re.findall(r"results/tables/([\w{}]+)\.csv", text)) - {"{table}"})


@pytest.mark.parametrize("name", tables_of_rules())
def test_no_table_takes_the_name_of_one_that_a_rule_makes(data, name):
    data["films"]["f"] = {"dataset": "quick"}
    data["imaging"]["hazy"] = data["imaging"]["overfocus"] | {"image_spread_pm": 50}
    data["datasets"]["hazy"] = data["datasets"]["quick"] | {"imaging": "hazy"}
    data["models"]["blurred"] = data["models"]["unet16"] | {"datasets": ["hazy"]}
    data["generalization"]["g"] = {"networks": {"unet16": {"trained_on": "quick"}, "blurred": {"trained_on": "hazy"}}}
    wildcards = {
        "item": ["paper", *PAPER_ITEMS], "kind": ["scores", "dwell", "detectability"], "model": ["unet16", "bundled"],
        "film": ["f"], "dataset": ["quick"], "generalization": ["g"],
    }  # fmt: skip
    rows = {"rows": [{"label": "a", "models": ["unet16"], "dataset": "quick"}]}
    names = re.findall(r"{(\w+)}", name)
    for values in itertools.product(*(wildcards[each] for each in names)):
        taken = name.format(**dict(zip(names, values)))
        told = refused(data | {"tables": {taken: rows}})
        assert f"tables.{taken}: results/tables/{taken}.csv is another table; give it another name" in told
    if names and names != ["item"]:
        free = name.format(**dict.fromkeys(names, "other"))
        validate(Config, data | {"tables": {free: rows}})


def test_a_data_set_is_measured_once(data):
    data["evaluations"]["unet16"] = ["quick", "quick"]
    assert "twice" in refused(data)


def test_a_recording_must_show_an_unseen_structure(data):
    data["datasets"]["all"] = data["datasets"]["quick"] | {"splits": {"test": 1.0, "validation": 0.0, "train": 0.0}}
    data["micrographs"]["camera"]["dataset"] = "all"
    assert "predictions.camera" in refused(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": "none.tif", "pixel_pm": 6.3}, ["comparisons.mine.input", "none.tif"]),
        ({"input": "movie.npz"}, ["comparisons.mine.input", "movie.npz"]),  # the pixel may be in the file
        ({"input": "movie.pdf"}, ["comparisons.mine", "movie.pdf", ".mrc"]),
        ({"micrograph": "camera", "gain": 0}, ["comparisons.mine.gain", "got 0"]),
        ({}, ["comparisons.mine", "give exactly one of input"]),
        ({"micrograph": "camera", "dataset": "nothing"}, ["comparisons.mine.dataset", "nothing"]),
        ({"micrograph": "nothing"}, ["comparisons.mine.micrograph", "nothing"]),
        ({"micrograph": "camera", "defocus_nm": 5.5}, ["comparisons.mine.defocus_nm", "5.5", "imaging.overfocus"]),
        ({"micrograph": "camera", "structur": 1}, ["comparisons.mine.structur", "structure"]),
    ],
)
def test_a_comparison_needs_a_micrograph_and_a_simulation(data, change, words):
    data["comparisons"] = {"mine": {"dataset": "quick", **change}}
    told = refused(data)
    for word in words:
        assert word in told, told


def test_each_element_needs_its_vibration(data):
    """Companions of mixed columns as well; the crystal's value or the beam's."""
    cif = str(ROOT / "tests/data/SrTiO3.cif")
    data["crystals"]["ceria"] |= {"structure": cif, "zone_axis": [0, 0, 1], "x_axis": [1, 0, 0], "lattice_pm": None}
    data["crystals"]["ceria"]["debye_waller_pm"] = {"Sr": 8.9, "O": 9.6}
    with pytest.raises(ConfigError, match=r"^crystals.ceria.debye_waller_pm: has no Ti, and neither has beams\.\w+"):
        check_beams(validate(Config, data))
    for beam in data["beams"].values():
        beam["debye_waller_pm"] = {"Ti": 7.5}
    check_beams(validate(Config, data))


@pytest.mark.parametrize(
    ("section", "field"),
    [("crystals", "debye_waller_pm"), ("beams", "debye_waller_pm"), ("labels", "core_radius_pm")],
)
def test_symbols_are_those_of_elements(data, section, field):
    name, block = next(iter(data[section].items()))
    for radii in ("core_radius_pm", "outer_radius_pm") if section == "labels" else (field,):
        block[radii] = {**(block[radii] or {}), "Xx": 5.0 if radii == field else 50.0}
    with pytest.raises(ConfigError, match=f"^{section}.{name}.{field}: got 'Xx'; there is no such element$"):
        check_config(validate(Config, data))


def test_no_number_of_the_configuration_may_be_infinite_or_nan():
    def numbers(block, path=()):
        for key, value in block.items() if isinstance(block, dict) else enumerate(block):
            if isinstance(value, dict | list | tuple):
                yield from numbers(value, (*path, key))
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield (*path, key)

    data = yaml.safe_load((ROOT / "config.yaml").read_text())
    for path in numbers(data):
        for wrong in (math.nan, math.inf):
            changed = copy.deepcopy(data)
            block = changed
            for key in path[:-1]:
                block = block[key]
            block[path[-1]] = wrong
            told = refused(changed)
            assert str([key for key in path if isinstance(key, str)][-1]) in told and "finite" in told, told
