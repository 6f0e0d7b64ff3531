"""The configuration: what is taken; every mistake is told in one line: key, what it got, what is allowed."""

from __future__ import annotations

import copy
import json

import pytest
import yaml

from segdepth.config import (
    PAPER_PIXEL_PM,
    Beam,
    Config,
    CrystalBlock,
    DefocusSteps,
    Imaging,
    Labels,
    Specimen,
    Splits,
    json_schema,
    load_config,
    validate,
)
from segdepth.errors import ConfigError

RADII = {"core_radius_pm": {"Ce": 85, "O": 64}, "outer_radius_pm": {"Ce": 120, "O": 90}}
CERIA = {"structure": "CeO2", "zone_axis": [1, 1, 0], "x_axis": [0, 0, 1]}
GOOD = {
    "crystals": {"ceria": CERIA},
    "specimens": {"wedge": {"crystal": "ceria"}},
    "beams": {"beam300": {}},
    "imaging": {"over": {}},
    "labels": {"rings": RADII},
    "datasets": {"quick": {"specimen": "wedge", "beam": "beam300", "imaging": "over", "labels": "rings"}},
    "models": {"small": {"datasets": ["quick"]}},
}


def changed(path: str, value) -> dict:
    """GOOD with one value set at a dotted path; ``...`` removes it."""
    data = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    place = data
    for key in above:
        place = place.setdefault(key, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def refused(tmp_path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load_config(path)
    message = str(told.value)
    assert len(message.splitlines()) == 1 and message.startswith(f"{path}: ")
    assert len(message) < 900
    return message.removeprefix(f"{path}: ")


def test_defaults_are_taken(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    config = load_config(path)
    assert config.imaging["over"].defocus_values_nm == tuple(range(1, 10))
    assert config.specimens["wedge"].cell_pm == 1280 * PAPER_PIXEL_PM


CASES = [
    # path, value, what the message must hold
    ("imagin", {}, ["imagin: unknown key", "did you mean imaging?"]),
    ("imaging.over.defocus", 5, ["imaging.over.defocus: unknown key", "did you mean defocus_nm?", "allowed: "]),
    ("specimens.wedge.bulk_atom", [3, 9], ["specimens.wedge.bulk_atom: unknown key", "did you mean bulk_atoms?"]),
    ("datasets.quick.splits", {"tests": 0.1}, ["datasets.quick.splits.tests", "did you mean test?"]),
    ("imaging.over.defocus_nm", {"start": 1, "stop": 9, "steps": 1}, ["imaging.over.defocus_nm.steps", "did you mean step?"]),  # noqa: E501
    ("imaging.over.defocus_nm", {"start": 1, "stop": 9, "step": -1}, ["imaging.over.defocus_nm.step: got -1", "greater than 0"]),  # noqa: E501
    ("imaging.over.defocus_nm", {"start": 9, "stop": 1, "step": 1}, ["imaging.over.defocus_nm", "stop (1 nm) lies below start (9 nm)"]),  # noqa: E501
    ("imaging.over.defocus_nm", {"start": 1000, "stop": 9000, "step": 1000}, ["imaging.over.defocus_nm.start: got 1000", "100"]),  # noqa: E501
    ("imaging.over.defocus_nm", {"start": 1, "stop": 9}, ["imaging.over.defocus_nm.step: missing"]),
    ("imaging.over.defocus_nm", [1, 2, 2], ["imaging.over", "names a value twice"]),
    ("imaging.over.defocus_nm", [], ["imaging.over.defocus_nm", "at least 1"]),
    ("imaging.over.c3_um", -9e6, ["imaging.over.c3_um: got -9000000", "-5000"]),
    ("imaging.over.c5_mm", 5e6, ["imaging.over.c5_mm", "100"]),
    ("imaging.over.focal_spread_nm", 40, ["imaging.over.focal_spread_nm: got 40", "20"]),
    ("imaging.over.image_spread_pm", [30, 10], ["imaging.over.image_spread_pm", "[30, 10]", "low not above high"]),
    ("imaging.over.image_spread_pm", 0.5, ["imaging.over.image_spread_pm: got 0.5; allowed: 0, or at least 1"]),
    ("imaging.over.image_spread_pm", [0, 0.5], ["imaging.over.image_spread_pm", "got 0.5; allowed: 0, or at least 1"]),
    ("imaging.over.mtf_nyquist", [0.001, 1], ["imaging.over.mtf_nyquist", "got 0.001; allowed: 0, or at least 0.01"]),
    ("imaging.over.c3_um", [-0.05, 9], ["imaging.over.c3_um", "got -0.05; allowed: 0, or at least 0.1"]),
    ("imaging.over.image_spread_pm", -1, ["imaging.over.image_spread_pm: got -1"]),
    ("imaging.over.aperture_mrad", 0.04, ["imaging.over.aperture_mrad: got 0.04", "5"]),
    ("imaging.over.aperture_mrad", 60, ["imaging.over.aperture_mrad: got 60", "stored_angle_mrad (45)"]),
    ("imaging.over.pixel_pm", 20, ["imaging.over.pixel_pm: got 20", "whole number of pixels"]),
    ("imaging.over.pixel_pm", 0.0053, ["imaging.over.pixel_pm: got 0.0053", "2"]),
    ("imaging.over.image_spread_pm", float("nan"), ["imaging.over.image_spread_pm: got nan", "finite"]),
    ("imaging.over.c3_um", float("inf"), ["imaging.over.c3_um: got inf"]),
    ("imaging.over.image_spread_pm", "20 pm", ["imaging.over.image_spread_pm: got '20 pm'"]),
    ("imaging.over.image_spread_pm", True, ["imaging.over.image_spread_pm", "boolean"]),
    ("specimens.wedge.structures", True, ["specimens.wedge.structures", "boolean"]),
    ("specimens.wedge.structures", 0, ["specimens.wedge.structures: got 0", "1"]),
    ("specimens.wedge.structures", 2.5, ["specimens.wedge.structures: got 2.5", "integer"]),
    ("crystals.ceria.lattice_pm", 5.411, ["crystals.ceria.lattice_pm: got 5.411", "100"]),
    ("crystals.ceria.zone_axis", [0, 0, 0], ["crystals.ceria", "zone_axis: got [0, 0, 0]; a direction is needed"]),
    ("crystals.ceria.zone_axis", [1, 1], ["crystals.ceria.zone_axis"]),
    ("crystals.ceria.zone_axis", [1, 1, 0.5], ["crystals.ceria.zone_axis.2: got 0.5", "integer"]),
    ("crystals.ceria.structure", "a{b}.cif", ["crystals.ceria", "a{b}.cif", "braces"]),
    ("crystals.ceria.debye_waller_pm", {"Cerium": 6}, ["crystals.ceria.debye_waller_pm", "Cerium"]),
    ("specimens.wedge.crystal", "rutile", ["specimens.wedge.crystal: no block is called 'rutile'; there are ceria"]),
    ("specimens.wedge.crystal", ..., ["specimens.wedge.crystal: missing"]),
    ("specimens.wedge.bulk_atoms", [3, 120], ["specimens.wedge.bulk_atoms.1: got 120", "100"]),
    ("specimens.wedge.bulk_atoms", [3], ["specimens.wedge.bulk_atoms"]),
    ("specimens.wedge.surfaces", ["flat", "round"], ["specimens.wedge.surfaces.1: got 'round'", "'sawtooth'"]),
    ("specimens.wedge.surfaces", [], ["specimens.wedge.surfaces", "at least 1"]),
    ("beams.beam300.energy_kev", 300e3, ["beams.beam300.energy_kev: got 300000", "1000"]),
    ("beams.beam300.pixel_pm", 0.07, ["beams.beam300.pixel_pm: got 0.07", "2"]),
    ("beams.beam300.debye_waller_pm", {"Ce": 6.6, "O": 85}, ["beams.beam300.debye_waller_pm.O: got 85", "50"]),
    ("beams.beam300.debye_waller_scale", [1.3, 0.7], ["beams.beam300.debye_waller_scale", "low not above high"]),
    ("beams.beam300.random_tilt_mrad", [0, 80], ["beams.beam300.random_tilt_mrad.1: got 80", "70"]),
    ("beams.beam300.parametrization", ["lobato", "best"], ["beams.beam300.parametrization", "'best'"]),
    ("labels.rings.most_atoms", 0, ["labels.rings.most_atoms: got 0", "1"]),
    ("labels.rings.outer_radius_pm", {"Ce": 120}, ["labels.rings", "outer_radius_pm: got values for Ce; core_radius"]),
    ("labels.rings.outer_radius_pm", {"Ce": 80, "O": 90}, ["labels.rings", "outer_radius_pm of Ce (80) must exceed"]),
    ("datasets.quick.splits", {"test": 0.5, "validation": 0.3, "train": 0.3}, ["datasets.quick.splits", "is 1.1; at most 1"]),  # noqa: E501
    ("datasets.quick.splits", {"test": 1.0, "validation": 0, "train": 0}, ["datasets.quick.splits.train: got 0"]),
    ("datasets.quick.dose_lambda", 0, ["datasets.quick.dose_lambda: got 0", "greater than 0"]),
    ("datasets.quick.specimen", "wedges", ["datasets.quick.specimen: no block is called 'wedges'; there are wedge"]),
    ("datasets.quick.specimen", ..., ["datasets.quick.specimen: missing"]),
    ("models.small.datasets", ["none"], ["models.small.datasets: no block is called 'none'; there are quick"]),
    ("models.small.architecture", {"variant": "big"}, ["models.small.architecture.variant: got 'big'", "'binned', 'full' or 'space_to_depth'"]),  # noqa: E501
    ("models.small.architecture", {"variant": "full"}, ["models.small.architecture.variant: got 'full'", "4 times"]),
    ("models.small.architecture", {"base_channels": 15}, ["models.small.architecture.base_channels: got 15", "multiple of 2"]),  # noqa: E501
    ("models.small.training", {"crop_pixels": 100}, ["models.small.training.crop_pixels: got 100", "multiple of 64"]),
    ("models.small.training", {"crop_pixels": 512}, ["models.small.training.crop_pixels: got 512; the field has 256"]),
    ("models.small.training", {"crop_pixels": 64, "batch_size": 1}, ["models.small.training.batch_size: got 1 with crops of 64 pixels"]),  # noqa: E501
    ("models.small.training", {"epoch_samples": 8, "batch_size": 4, "devices": 3}, ["models.small.training.epoch_samples: got 8; one step of batch_size times devices takes 12"]),  # noqa: E501
    ("models.small.training", {"learning_rate": 3}, ["models.small.training.learning_rate: got 3"]),
    ("models", ..., ["models: missing"]),
    ("specimens", ..., ["specimens: missing"]),
    ("specimens", 7, ["specimens: got 7", "dictionary"]),
    ("specimens", None, ["specimens: got None"]),
    ("evaluations", {"small": ["slow"]}, ["evaluations.small: no block is called 'slow'"]),
    ("figures", {"model": "small", "dataset": "quick", "confusion_dataset": "quick"}, ["figures.dataset: evaluations.small must list 'quick'"]),  # noqa: E501
    ("figures", {"model": "small", "dataset": "quick", "confusion_dataset": "quick", "montage_dataset": "slow"}, ["figures.montage_dataset: no block is called 'slow'"]),  # noqa: E501
    ("predictions", {"p": {"model": "small"}}, ["predictions.p", "give exactly one of input"]),
    ("predictions", {"p": {"model": "small", "input": "a.pdf"}}, ["predictions.p", "got 'a.pdf'", ".dm4, .ser"]),
    ("predictions", {"p": {"model": "small", "input": "a.dm4", "calibrate": False}}, ["predictions.p", "needs pixel_pm and rotation_deg"]),  # noqa: E501
    ("predictions", {"p": {"model": "small", "input": "a.dm4", "dose_e_per_a2": 0}}, ["predictions.p.dose_e_per_a2: got 0"]),  # noqa: E501
    ("predictions", {"p": {"model": "small", "input": "a.dm4", "vacuum_counts": 4}}, ["predictions.p.vacuum_counts: unknown key"]),  # noqa: E501
    ("predictions", {"p": {"model": "small", "input": "a.dm4", "false_discovery": 0}}, ["predictions.p.false_discovery: got 0"]),  # noqa: E501
    ("tables", {"table1": {"rows": [{"label": "a", "ideal_observer": "quick", "shows": "image"}]}}, ["tables.table1: results/tables/table1.csv is another table"]),  # noqa: E501
    ("device", "gpu", ["device: got 'gpu'", "'cuda'"]),
    ("root_seed", -1, ["root_seed: got -1"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "says"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_bad_values(tmp_path, path, value, says):
    message = refused(tmp_path, yaml.safe_dump(changed(path, value)))
    for part in says:
        assert part in message, message


ROW = {"label": "a", "models": ["small"], "dataset": "quick"}
OBSERVER = {"label": "l", "ideal_observer": "quick", "shows": "image"}
TABLES = [
    # rows, what the message must hold
    ([], ["tables.t: rows: there are none; at least one is needed"]),
    ([ROW, ROW], ["tables.t: rows: two have the label 'a'"]),
    ([ROW | {"label": "a\nb"}], ["tables.t.rows.0.label: got 'a\\nb'", "one line"]),
    ([ROW | {"models": ["big"]}], ["tables.t (a).models: no block is called 'big'", "wide, bundled"]),
    ([ROW | {"dataset": "slow"}], ["tables.t (a).dataset: no block is called 'slow'; there are coarse, oblique, "]),
    ([ROW | {"models": []}], ["tables.t.rows.0: give either models and dataset, or ideal_observer and shows"]),
    ([{"label": "a", "models": ["small"]}], ["tables.t.rows.0: give either models and dataset, or ideal_observer and shows"]),  # noqa: E501
    ([ROW | {"shows": "prior"}], ["tables.t.rows.0: give either models and dataset, or ideal_observer and shows"]),
    ([ROW | {"models": ["small", "small"]}], ["tables.t.rows.0: models: names one twice: small, small"]),
    ([ROW | {"models": ["small", "bundled"]}], ["tables.t (a).models: 'bundled' has no other seeds"]),
    ([ROW | {"models": ["small", "wide"]}], ["'small' and 'wide' differ in more than training.seed"]),
    ([ROW | {"dataset": "coarse"}], ["tables.t (a): data set 'coarse' does not fit the network 'small': the image pixel is 42.2", "not 21.1"]),  # noqa: E501
    ([ROW | {"dataset": "thin"}], ["tables.t (a): data set 'thin' does not fit the network 'small': the labels differ: core_"]),  # noqa: E501
    ([ROW | {"against": "b"}], ["tables.t: rows: 'a' is against 'b', which is no other row's label"]),
    ([ROW | {"against": "a"}], ["tables.t: rows: 'a' is against 'a', which is no other row's label"]),
    ([ROW | {"aims": {"centre": 0.9}}], ["tables.t.rows.0: aims: got 'centre'; allowed: pixelwise_accuracy, "]),
    ([ROW | {"aims": {"centre_accuracy": {"Zr": 0.9}}}], ["tables.t (a).aims.centre_accuracy: got 'Zr'; allowed: all, "]),  # noqa: E501
    ([ROW | {"aims": {"columns_mean_error": 0}}], ["aims: got 'columns_mean_error'; allowed: "]),
    ([ROW | {"aims": {"centre_accuracy": 94}}], ["tables.t.rows.0: aims.centre_accuracy: got 94; allowed are 0 to 1"]),
    ([ROW | {"aims": {"columns_exact_change": 2}, "against": "b"}], ["got 2; allowed are -1 to 1"]),
    ([ROW | {"aims": {"columns_mean_absolute_error": 1e4}}], ["aims.columns_mean_absolute_error: got 10000"]),
    ([ROW | {"aims": {"false_columns_per_100_nm2": {"Ce": 1}}}], ["it is known for all elements together only"]),
    ([ROW | {"aims": {"centre_accuracy": -0.1}}], ["rows.0: aims.centre_accuracy: got -0.1; allowed are 0 to 1"]),
    ([ROW | {"aims": {"columns_exact_change": -0.1}}], ["aims.columns_exact_change: needs against"]),
    ([ROW | {"ideal_observer": "quick", "shows": "prior"}], ["rows.0: a row with ideal_observer has label and shows, no models"]),  # noqa: E501
    ([{"label": "a", "ideal_observer": "quick"}], ["tables.t.rows.0: a row with ideal_observer has label and shows, lacks shows"]),  # noqa: E501
    ([{"label": "a", "ideal_observer": "slow", "shows": "prior"}], ["tables.t (a).ideal_observer: no block is called 'slow'"]),  # noqa: E501
    ([OBSERVER | {"shows": "image_and_prior"}], ["tables.t (l).shows: got 'image_and_prior'", "specimens.wedge.count_shift_atoms is 0"]),  # noqa: E501
    ([OBSERVER | {"ideal_observer": "tilted"}], ["tables.t (l).ideal_observer: got 'tilted', whose specimens.tilted.tilt_deg is 0, 1;"]),  # noqa: E501
    ([OBSERVER | {"ideal_observer": "oblique"}], ["tables.t (l).ideal_observer: got 'oblique', whose beams.oblique.tilt_mrad is 0, -5;"]),  # noqa: E501
    ([OBSERVER | {"ideal_observer": "shaken"}], ["tables.t (l).ideal_observer: got 'shaken', whose beams.shaken.frozen_phonons is 8;"]),  # noqa: E501
    ([OBSERVER | {"ideal_observer": "untested"}], ["datasets.untested.splits.test: got 0", "tables.t (l) needs at least one"]),  # noqa: E501
    ([OBSERVER, ROW | {"against": "l", "aims": {"centre_accuracy_change": -0.1}}], ["tables.t (a).aims.centre_accuracy_change: 'l'", "shows an ideal observer", "columns_exact and columns_within_one only"]),  # noqa: E501
]  # fmt: skip


def with_table(rows: list) -> dict:
    """GOOD with a table ``t``, data sets of other pixels or without a limit, and other networks."""
    data = changed("tables", {"t": {"rows": rows}})
    data["imaging"]["coarse"] = {"pixel_pm": 8 * PAPER_PIXEL_PM}
    data["datasets"]["coarse"] = data["datasets"]["quick"] | {"imaging": "coarse"}
    data["labels"]["thin"] = data["labels"]["rings"] | {"core_radius_pm": {"Ce": 50, "O": 40}}
    data["datasets"]["thin"] = data["datasets"]["quick"] | {"labels": "thin"}
    data["specimens"] |= {
        "tilted": {"crystal": "ceria", "tilt_deg": [0, 1]},
        "rough": {"crystal": "ceria", "count_shift_atoms": 1},
    }
    data["beams"] |= {"oblique": {"tilt_mrad": [0, -5]}, "shaken": {"frozen_phonons": 8, "pixel_pm": 7}}
    for name, kind in (("tilted", "specimen"), ("rough", "specimen"), ("oblique", "beam"), ("shaken", "beam")):
        data["datasets"][name] = data["datasets"]["quick"] | {kind: name}
    data["datasets"]["untested"] = data["datasets"]["quick"] | {"splits": {"test": 0, "train": 0.8}}
    data["models"]["seed1"] = data["models"]["small"] | {"training": {"seed": 1}}
    data["models"]["wide"] = data["models"]["small"] | {"architecture": {"base_channels": 32}}
    return data


@pytest.mark.parametrize(("rows", "says"), TABLES, ids=lambda v: v[0][:60] if v and isinstance(v[0], str) else "")
def test_bad_tables(tmp_path, rows, says):
    message = refused(tmp_path, yaml.safe_dump(with_table(rows)))
    for part in says:
        assert part in message, message


def test_a_good_table():
    aims = {"columns_exact_change": -0.03, "hallucinated_rate": {"O": 0.02}}
    rows = [
        ROW | {"label": "seeds", "models": ["small", "seed1"]},
        ROW | {"label": "tilt 0.5°", "models": ["bundled"], "against": "seeds", "aims": aims},
        {"label": "observer", "ideal_observer": "quick", "shows": "image"},
        {"label": "both", "ideal_observer": "rough", "shows": "image_and_prior"},
        ROW | {"label": "below", "against": "observer", "aims": {"columns_exact_change": -0.1}},
    ]
    table = validate(Config, with_table(rows)).tables["t"]
    missed = [table.rows[1].misses("hallucinated_rate", "O", value) for value in (0.02, 0.021, None)]
    assert missed == [False, True, True]
    assert table.rows[1].misses("columns_exact_change", "all", -0.031)
    assert not table.rows[1].misses("columns_exact_change", "all", 0)


@pytest.mark.parametrize(
    "name",
    ["../x", "a b", "a;rm -rf x", "$(id)", "", ".hidden", "-flag", "a/b", "x" * 65, "a\nb", "é", "a'b", "a.b", 7, "*"],
)
@pytest.mark.parametrize("kind", ["specimens", "imaging", "models"])
def test_bad_names(tmp_path, name, kind):
    data = copy.deepcopy(GOOD)
    block = next(iter(data[kind].values()))
    data[kind][name] = block
    message = refused(tmp_path, yaml.safe_dump(data))
    assert message.startswith(kind) and ("a name has letters" in message or name in (7,))


def test_name_ending_with_a_newline(tmp_path):
    """``$`` would let it through."""
    data = copy.deepcopy(GOOD)
    data["specimens"]["wedge\n"] = {"crystal": "ceria"}
    refused(tmp_path, yaml.safe_dump(data))


BOMB = "".join(f"{new}: &{new} [{', '.join(10 * [f'*{old}'])}]\n" for old, new in zip("abcdefgh", "bcdefghi"))
"""Each line stands for ten of the one before."""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1, 2", "is not valid YAML at line"),
        ("a: 1\n  b: 2\n", "is not valid YAML at line 2"),
        ("\ta: 1", "is not valid YAML at line 1 (found character '\\t' that cannot start any token)"),
        ("a: !!python/object/apply:os.system ['true']", "is not valid YAML"),
        ("a: 2024-13-45", "is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "is not valid YAML"),
        ("", "expected a mapping of keys to values, got nothing"),
        ("- 1\n- 2\n", "expected a mapping of keys to values, got list"),
        ("only words", "got str"),
        ("specimens: {a: {}, b: {}, a: {}}", "line 1: the key 'a' is given twice"),
        ("labels: {}\nbeams:\n  b:\n    pixel_pm: 5\n    pixel_pm: 6\n", "line 5: the key 'pixel_pm' is given twice"),
        ("labels: {}\nbeams: {}\nlabels: {}\n", "line 3: the key 'labels' is given twice"),
        ("a: &a [*a]", "line 1: an anchor holds its own alias"),
        ("a: 1\nspecimens: &a {b: *a}", "line 2: an anchor holds its own alias"),
        ("? [a, b]\n: 1", "line 1: a list or mapping is given as a key"),
        ("labels:\n  ? {a: b}\n  : 1", "line 2: a list or mapping is given as a key"),
        ("1: 2", "crystals: missing"),
        ("null: 2", "crystals: missing"),
        ("a: !!bool perhaps", "is not valid YAML"),
        ("a: !!timestamp now", "is not valid YAML"),
        ("a: !!int ''", "is not valid YAML"),
        ('a: "\\UFFFFFFFF"', "is not valid YAML"),
        ("a: 1\nroot_seed: " + 5000 * "9", "is not valid YAML at line 2 ("),
        ("a: &a [1, 2]\n" + BOMB, "has more than 100000 values"),
        ("#" * 2**20 + "\n", "is too large to be a configuration; at most 1 MiB is read"),
        ("[" * 20_000, "nested too deeply"),
        ("a: *nowhere", "is not valid YAML at line 1"),
    ],
)
def test_bad_yaml(tmp_path, text, says):
    assert says in refused(tmp_path, text)


def test_anchors_and_merge_keys_still_work(tmp_path):
    """A merged key may be given anew: that is what merging is for."""
    path = tmp_path / "config.yaml"
    text = yaml.safe_dump({k: v for k, v in GOOD.items() if k != "datasets"})
    text += """
datasets:
  quick: &quick {specimen: wedge, beam: beam300, imaging: over, labels: rings, dose_lambda: 2.5}
  darker:
    <<: *quick
    dose_lambda: 1
"""
    path.write_text(text)
    config = load_config(path)
    assert config.datasets["darker"].dose_lambda == 1 and config.datasets["quick"].dose_lambda == 2.5


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(ConfigError, match=r"is not valid YAML \(it is not UTF-8 text\)"):
        load_config(tmp_path / "binary.yaml")


def test_several_mistakes_are_counted(tmp_path):
    data = changed("imaging.over.image_spread_pm", -1)
    data["root_seed"] = -5
    assert "(and 1 more)" in refused(tmp_path, yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("start", "stop", "step", "expected"),
    [(1, 9, 1, 9), (0, 1, 0.1, 11), (1, 1, 5, 1), (-3, 3, 2.5, 3), (0.1, 0.7, 0.2, 4)],
)
def test_defocus_steps(start, stop, step, expected):
    values = DefocusSteps(start=start, stop=stop, step=step).values
    assert len(values) == expected and values[0] == start and values[-1] <= stop + 1e-9


@pytest.mark.parametrize(
    "block", [Specimen(crystal="ceria"), CrystalBlock(**CERIA), Beam(), Imaging(), Labels(**RADII), Splits()]
)
def test_block_survives_json(block):
    """What a rule hands to a command is the block itself."""
    again = validate(type(block), json.loads(block.as_json()))
    assert again == block and again.as_json() == block.as_json() and "\n" not in block.as_json()


def test_schema_names_every_block():
    schema = json.loads(json_schema())
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
