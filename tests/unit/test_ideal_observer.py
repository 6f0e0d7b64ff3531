"""The limit of counting: formulas against closed forms and dice, one column changed at a time, the smooth wedge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from conftest import CERIA, CERIA_BLOCK, RINGS, SMALL_BEAM, small_slab
from scipy.stats import norm

from segdepth.config import Dataset, Imaging, Specimen
from segdepth.crystals import Column, Crystal
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation import ideal_observer as observer
from segdepth.evaluation import ideal_observer_columns as columns_of
from segdepth.evaluation.ideal_observer_images import COLUMNS
from segdepth.evaluation.results import chosen
from segdepth.specimen.columns import column_table
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.estimate_ideal_observer import estimate_ideal_observer
from segdepth.steps.plan_specimens import plan_specimens
from segdepth.steps.stored_evaluation import OBSERVER_FACTS, read_ideal_observer
from segdepth.store.manifest import read_manifest

SPECIMEN = Specimen(
    crystal="ceria", structures=6, shard_size=4, field_pm=1352.75, margin_pm=338.1875, bulk_atoms=(3, 5)
)
IMAGING = Imaging(defocus_nm=(2, 6), focal_steps=3)
DATASET = Dataset(specimen="s", beam="b", imaging="i", labels="l", splits={"test": 0.4, "validation": 0, "train": 0.6})
TEST = DATASET.structures_of("test", SPECIMEN)


def test_d_prime_of_a_spot_by_hand():
    image, changed = np.full((2, 4, 4), 1.0), np.full((2, 4, 4), 1.0)
    changed[0, 1, 2], image[1], changed[1] = 1.5, 0.25, 0.5
    assert observer.d_prime(image, changed, 40) == pytest.approx([np.sqrt(40 * 0.25), np.sqrt(16 * 40 * 0.0625 / 0.25)])


def test_d_prime_grows_with_the_root_of_the_dose():
    rng = np.random.default_rng(0)
    image, changed = rng.uniform(0.5, 2, (2, 3, 8, 8))
    assert observer.d_prime(image, changed, 160) == pytest.approx(2 * observer.d_prime(image, changed, 40))


def test_d_prime_survives_a_black_pixel():
    image = np.array([[-1e-9, 1.0]])
    assert observer.d_prime(image, image, 40) == 0
    assert np.isfinite(observer.d_prime(image, image + 0.01, 40))


def test_errors_in_closed_form():
    assert observer.binary_error(np.array([0.0, 2.0, 1e3])) == pytest.approx([0.5, 0.15865525, 0])
    assert observer.exact_share(0, 0) == pytest.approx(0)
    assert observer.exact_share(np.inf, np.inf) == pytest.approx(1)
    assert observer.exact_share(2.0, np.inf) == pytest.approx(1 - observer.binary_error(2.0))  # one neighbour only
    assert observer.exact_share(2.0, 2.0) == pytest.approx(1 - 2 * observer.binary_error(2.0))


@pytest.mark.parametrize("step", [0.03, 0.1])
def test_dice_agree_with_the_formulas(step):
    """The most likely of images on a line, at the benchmark's dose in a 21 pm pixel, 20 000 throws."""
    rng, electrons, throws = np.random.default_rng(1), 40.0, 20_000
    base, mode = rng.uniform(0.7, 1.6, 200), rng.normal(size=200)
    images = np.stack([base + n * step * mode / 2 for n in (-1, 0, 1)])
    counts = rng.poisson(images[1] * electrons, (throws, 200))
    likely = counts @ np.log(images).T - electrons * images.sum(1)
    minus, plus = (observer.d_prime(images[1][None], images[n][None], electrons) for n in (0, 2))
    assert np.mean(likely.argmax(1) == 1) == pytest.approx(observer.exact_share(minus, plus), abs=0.012)
    assert np.mean(likely[:, 0] > likely[:, 1]) == pytest.approx(observer.binary_error(minus), abs=0.012)


def test_five_choices_of_which_the_outer_two_have_one_neighbour():
    """Dice: the count is one of five with equal chances, and the most likely of five images on a line is taken."""
    rng, electrons, throws, step = np.random.default_rng(2), 40.0, 20_000, 0.05
    base, mode = rng.uniform(0.8, 1.5, 200), rng.normal(size=200)
    images = np.stack([base + n * step * mode / 2 for n in range(-2, 3)])
    true = rng.integers(5, size=throws)
    counts = rng.poisson(images[true] * electrons)
    likely = counts @ np.log(images).T - electrons * images.sum(1)
    d = observer.d_prime(images[2][None], images[3][None], electrons)
    expected = observer.exact_share_of(5, float(observer.exact_share(d, d)))
    assert np.mean(likely.argmax(1) == true) == pytest.approx(expected, abs=0.012)
    assert observer.exact_share_of(5, 0.0) == pytest.approx(0.2) and observer.exact_share_of(5, None) is None


@pytest.fixture(scope="module")
def slab():
    return small_slab(5)


def test_one_atom_changes_one_count(slab):
    atoms, block = slab
    before = column_table(atoms, block.margin_pm, block.field_pm)
    column = int(before["column"].iloc[len(before) // 2])
    for changed, by in (
        (columns_of.without_exit_atom(atoms, column, CERIA), -1),
        (columns_of.with_exit_atom(atoms, column, CERIA), 1),
    ):
        after = column_table(changed, block.margin_pm, block.field_pm)
        pd.testing.assert_frame_equal(after.drop(columns="atoms"), before.drop(columns="atoms"))
        difference = after["atoms"].astype(int) - before["atoms"].astype(int)
        assert difference[before["column"] == column].tolist() == [by] and difference.abs().sum() == 1
        assert changed.info == atoms.info and np.array_equal(changed.cell, atoms.cell)
        assert changed.get_chemical_symbols().count("Ce") + changed.get_chemical_symbols().count("O") == len(atoms) + by


def test_the_atom_goes_and_comes_where_the_beam_leaves(slab):
    atoms, block = slab
    column = int(atoms.get_array("column")[0])
    heights = np.sort(atoms.positions[atoms.get_array("column") == column, 2])
    fewer = columns_of.without_exit_atom(atoms, column, CERIA)
    more = columns_of.with_exit_atom(atoms, column, CERIA)
    assert np.sort(fewer.positions[fewer.get_array("column") == column, 2]) == pytest.approx(heights[:-1])
    longer = np.sort(more.positions[more.get_array("column") == column, 2])
    assert longer[:-1] == pytest.approx(heights) and np.diff(longer) == pytest.approx(5.411 / np.sqrt(2))
    again = columns_of.without_exit_atom(more, column, CERIA)
    assert np.array_equal(again.positions, atoms.positions) and np.array_equal(again.numbers, atoms.numbers)


def test_drawn_columns_lie_inside_and_repeat_with_the_seed():
    block = Specimen(crystal="ceria", count_shift_atoms=2, missing_probability=0)
    atoms = build_wedge(plan_row(block, CERIA, "s", 1, 0), block, CERIA, "s", 0)
    drawn = columns_of.draw_columns(atoms, block, CERIA, 10, 30, 600.0, np.random.default_rng(0))
    assert drawn["element"].value_counts().to_dict() == {58: 30, 8: 30} and drawn["column"].is_unique
    assert drawn["atoms"].between(2, 9).all()
    assert drawn[["x_pm", "y_pm"]].to_numpy().min() >= 600 and drawn[["x_pm", "y_pm"]].to_numpy().max() <= 5411 - 600
    again = columns_of.draw_columns(atoms, block, CERIA, 10, 30, 600.0, np.random.default_rng(0))
    pd.testing.assert_frame_equal(drawn, again)
    some = columns_of.draw_columns(atoms, block, CERIA, 10, 10_000, 600.0, np.random.default_rng(0))
    assert 60 < len(some) < len(column_table(atoms, 676.375, 5411)) and some["column"].is_unique
    assert columns_of.draw_columns(atoms, block, CERIA, 10, 2, 2800.0, np.random.default_rng(0)).empty


def wedge_score(block: Specimen, structures: int = 3) -> dict[str, np.ndarray]:
    """Shares of each element's columns that the smooth wedge tells."""
    tally = np.zeros((2, len(columns_of.PRIOR_SUMS)))
    for index in range(structures):
        row = plan_row(block, CERIA, "s", index, 0)
        atoms = build_wedge(row, block, CERIA, "s", 0)
        wedge = columns_of.smooth_wedge(row, block, CERIA, "s", 0)
        tally += columns_of.prior_tally(atoms, wedge, block, CERIA, RINGS)
    counted = dict(zip(columns_of.PRIOR_SUMS, tally.T))
    assert counted["all"].min() > 300
    return {name: counted[name] / counted["all"] for name in ("exact", "within_one")}


def test_the_wedge_tells_everything_of_a_crystal_without_defects():
    found = wedge_score(Specimen(crystal="ceria", missing_probability=0, rotation_deg=(-8, 8)))
    assert np.all(found["exact"] == 1)


def test_the_wedge_tells_a_fifth_of_shifted_counts():
    rough = Specimen(
        crystal="ceria", bulk_atoms=(8, 8), surface_atoms=(3, 3), count_shift_atoms=2, missing_probability=0
    )
    found = wedge_score(rough, structures=6)
    assert found["exact"] == pytest.approx([0.2, 0.2], abs=0.03)
    assert found["within_one"] == pytest.approx([0.6, 0.6], abs=0.03)


def test_the_wedge_does_not_know_of_single_atoms():
    rough = {"missing_probability": 0.4, "added_probability": 0.4, "missing_reach_nm": 2}
    assert wedge_score(Specimen(crystal="ceria", **rough))["exact"].max() < 0.9
    found = wedge_score(Specimen(crystal="ceria", missing_probability=0, vacancy_fraction=(0.1, 0.1)))
    assert found["exact"][0] == 1 and found["exact"][1] < 0.8


def built(root: Path, specimen: Specimen) -> tuple[Path, list[Path]]:
    """A specimen's plan and shards."""
    folder = root / "specimens" / "s"
    plan_specimens(specimen, CERIA_BLOCK, "s", 3, folder / "plan.csv", code="code")
    shards = [folder / f"shard-{shard:03d}.extxyz" for shard in range(specimen.shards)]
    for number, path in enumerate(shards):
        build_specimens(specimen, CERIA_BLOCK, "s", 3, number, folder / "plan.csv", path, code="code")
    return folder / "plan.csv", shards


@pytest.fixture(scope="module")
def atoms_files(tmp_path_factory) -> tuple[Path, list[Path]]:
    return built(tmp_path_factory.mktemp("limit"), SPECIMEN)


def run(atoms_files, out: Path, **changes) -> Path:
    plan, atoms = atoms_files
    options = {
        "dataset": DATASET, "name": "d", "specimen": SPECIMEN, "beam": SMALL_BEAM, "imaging": IMAGING, "labels": RINGS,
        "plan": plan, "atoms": atoms, "out": out, "code": "code", "device": "cpu", "columns": 1, "edge_nm": 0.2,
    }  # fmt: skip
    estimate_ideal_observer(**options | changes)
    return out


@pytest.fixture(scope="module")
def estimate(atoms_files, tmp_path_factory, abtem) -> Path:
    return run(atoms_files, tmp_path_factory.mktemp("estimate") / "limits" / "d")


def test_an_estimate_from_atoms_to_files(estimate):
    found = read_ideal_observer(estimate, columns=True)
    facts, table = found.facts, found.columns
    assert tuple(table) == COLUMNS
    assert facts["dataset"] == "d" and facts["specimen"] == "s" and facts["dose_lambda"] == 2.5
    assert facts["structures"] == len(TEST) == 2 and facts["columns"] == 4 and len(table) == 8
    assert facts["crystal"] == "CeO2 [110]" and facts["elements"] == ["Ce", "O"]
    assert set(table["structure"]) == set(TEST) and set(table["defocus_nm"]) == {2, 6}
    assert table.groupby(["structure", "element"]).size().eq(2).all()
    for name in ("x_pm", "y_pm"):
        assert table[name].between(200, 1152.75).all()
    assert (table[["d_prime_minus", "d_prime_plus"]] > 0.1).all().all()
    expected = norm.cdf(table["d_prime_minus"] / 2) + norm.cdf(table["d_prime_plus"] / 2) - 1
    assert table["columns_exact"].to_numpy() == pytest.approx(expected, abs=1e-4)
    assert found.value("image", "columns_exact") == pytest.approx(table["columns_exact"].mean(), abs=1e-5)
    for element in ("Ce", "O"):
        mine = table[table["element"] == element]
        assert found.value("image", "columns_exact", element) == pytest.approx(mine["columns_exact"].mean(), abs=1e-5)
        both = "image_and_prior", "columns_exact", element
        assert found.value(*both) is found.interval(*both) is None  # no shifted counts
        each = mine.groupby("structure")["columns_exact"].mean()  # two structures, each with as many rows
        ends = found.interval("image", "columns_exact", element)
        assert ends == pytest.approx((each.min(), each.max()), abs=1e-5)
        error = norm.sf(mine["d_prime_minus"] / 2).mean()
        assert found.value("image", "binary_error", element) == pytest.approx(error, abs=1e-5)
        exact, near = (found.value("prior", name, element) for name in ("columns_exact", "columns_within_one"))
        assert 0.5 < exact <= near <= 1


def test_tables_are_means_of_the_columns(estimate):
    found = read_ideal_observer(estimate, columns=True)
    for table, by in ((found.by_defocus, "defocus_nm"), (found.by_atoms, "atoms")):
        assert set(table["element"]) == {"all", "Ce", "O"}
        for row in table[table["kind"] == "image"].itertuples():
            rows = chosen(found.columns, {by: getattr(row, by)})
            rows = rows if row.element == "all" else chosen(rows, {"element": row.element})
            assert row.value == pytest.approx(rows[row.metric].mean(), rel=1e-6)
        assert set(table[table["kind"] == "image"]["metric"]) == set(observer.VALUES)
        assert table[table["kind"] == "image_and_prior"]["value"].isna().all()  # counts are not shifted
    counted = chosen(found.by_atoms, {"kind": "image", "metric": "columns_exact"})
    assert counted[counted["element"] == "all"]["columns"].sum() == 4
    assert counted[counted["element"] != "all"]["columns"].sum() == 4


def test_the_best_with_the_prior_known():
    assert [observer.exact_share_of(5, share) for share in (0.0, 0.75)] == pytest.approx([0.2, 0.8])
    assert observer.exact_share_of(1, 0.5) is None


def test_intervals_count_structures_not_columns():
    """Ten columns of one structure are no more than one draw; one without columns is a draw, too."""
    rng = np.random.default_rng(0)
    each = rng.uniform(0.6, 0.9, 40)
    rows = [
        {"structure": i, "element": "Ce", "columns_exact": value} for i, value in enumerate(each) for _ in range(10)
    ]
    found = observer.image_intervals(pd.DataFrame(rows), range(41), ("Ce", "O"), rng)
    low, high = found["all"]
    spread = 1.96 * each.std() / np.sqrt(40)
    assert [low, high] == pytest.approx([each.mean() - spread, each.mean() + spread], abs=0.2 * spread)
    assert found["Ce"] == found["all"] and found["O"] is None
    single = observer.image_intervals(pd.DataFrame(rows[:10]), [0], ("Ce",), rng)
    assert single["all"] is None  # one structure tells no spread


def test_shifted_counts_have_a_best_with_the_prior_known(tmp_path, abtem):
    rough = SPECIMEN.model_copy(update={"count_shift_atoms": 1, "missing_probability": 0.0})
    found = read_ideal_observer(run(built(tmp_path, rough), tmp_path / "d", specimen=rough))
    for element in ("all", "Ce", "O"):
        share, ends = found.value("image", "columns_exact", element), found.interval("image", "columns_exact", element)
        both = "image_and_prior", "columns_exact", element
        assert found.value(*both) == pytest.approx(1 / 3 + 2 / 3 * share)
        assert found.interval(*both) == pytest.approx([1 / 3 + 2 / 3 * end for end in ends])
    for table in (found.by_defocus, found.by_atoms):
        exact = chosen(table, {"metric": "columns_exact"})
        image, both = (exact[exact["kind"] == kind]["value"].to_numpy() for kind in ("image", "image_and_prior"))
        assert both == pytest.approx(1 / 3 + 2 / 3 * image, abs=1e-5)


def test_an_atom_of_a_mixed_column_brings_its_lighter_ones():
    """A column of Ti with O halfway between, in a period of 390.5 pm."""
    columns = (Column("Sr", 0, 0, 0), Column("Ti", 0.5, 0.5, 0.5, 1, (("O", 0.5),)))
    crystal = Crystal("sto", "SrTiO3", (0, 0, 1), (1, 0, 0), (0, 1, 0), (390.5,) * 3, columns, ())
    heights = np.arange(3) * 3.905 + 2
    places = [(1, 1, z) for z in heights] + [(1, 1, z + 1.9525) for z in heights] + [(3, 3, 2.0)]
    atoms = Atoms("Ti3O3Sr", positions=places, cell=(6, 6, 20))
    atoms.set_array("column", np.array([4] * 6 + [7]))
    fewer, more = (f(atoms, 4, crystal) for f in (columns_of.without_exit_atom, columns_of.with_exit_atom))
    assert fewer.get_chemical_formula() == "O2SrTi2" and more.get_chemical_formula() == "O4SrTi4"
    assert more.positions[-2:, 2] == pytest.approx([heights[-1] + 3.905, heights[-1] + 3.905 + 1.9525])
    assert more.get_array("column").tolist() == [4] * 6 + [7, 4, 4]
    again = columns_of.without_exit_atom(more, 4, crystal)
    assert np.array_equal(again.positions, atoms.positions) and np.array_equal(again.numbers, atoms.numbers)
    vacant = atoms[[0, 1, 2, 3, 4, 6]]  # the last O is missing
    assert columns_of.without_exit_atom(vacant, 4, crystal).get_chemical_formula() == "O2SrTi2"


def test_the_manifest_names_what_determines_it(estimate, atoms_files):
    made = read_manifest(estimate)
    assert made["command"] == "estimate-ideal-observer" and len(made["inputs"]) == 3
    assert made["parameters"]["columns"] == 1 and made["parameters"]["beam"]["slice_pm"] == 190
    assert made["seeds"] == {"root_seed": 3, "specimen": "s"}


def test_a_higher_dose_tells_more(estimate, atoms_files, tmp_path):
    more = run(atoms_files, tmp_path / "d", dataset=DATASET.model_copy(update={"dose_lambda": 10.0}))
    low, high = (pd.read_csv(folder / "columns.csv") for folder in (estimate, more))
    for name in ("d_prime_minus", "d_prime_plus"):
        assert high[name].to_numpy() == pytest.approx(2 * low[name].to_numpy(), rel=1e-4)
    before, after = read_ideal_observer(estimate), read_ideal_observer(more)
    assert after.value("image", "columns_exact") > before.value("image", "columns_exact")
    assert after.value("prior", "columns_exact") == before.value("prior", "columns_exact")


def test_an_edited_estimate_is_refused(estimate, tmp_path, atoms_files):
    with pytest.raises(StoreError, match="does not exist"):
        read_ideal_observer(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="was made by plan-specimens"):
        read_ideal_observer(atoms_files[0])
    path = estimate / OBSERVER_FACTS
    whole = path.read_text()
    path.write_text(json.dumps({**json.loads(whole), "structures": 100}))
    try:
        with pytest.raises(StoreError, match="edited or damaged"):
            read_ideal_observer(estimate)
    finally:
        path.write_text(whole)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"specimen": SPECIMEN.model_copy(update={"tilt_deg": (0, 1)})}, "specimen: tilt_deg: .* upright"),
        ({"beam": SMALL_BEAM.model_copy(update={"tilt_mrad": (6, 0)})}, "beam: tilt_mrad: .* upright"),
        ({"beam": SMALL_BEAM.model_copy(update={"frozen_phonons": 2})}, "frozen_phonons: got 2"),
        ({"dataset": DATASET.model_copy(update={"splits": {"test": 0}})}, None),
        ({"beam": SMALL_BEAM.model_copy(update={"random_tilt_mrad": (0, 6)})}, "beam: random_tilt_mrad: .* upright"),
        ({"dataset": DATASET.model_copy(update={"specimen": "other"})}, "another specimen block or name"),
        ({"specimen": SPECIMEN.model_copy(update={"surface_atoms": (2, 3)})}, "another specimen block"),
        ({"edge_nm": 0.67}, "no column of 2 to 9 atoms stands 0.67 nm inside"),
    ],
)
def test_what_cannot_be_estimated_is_said_in_one_line(changes, line, atoms_files, tmp_path, abtem):
    if line is None:
        changes = {"dataset": Dataset(**{**DATASET.model_dump(), "splits": {"test": 0, "train": 1, "validation": 0}})}
        line = "'d': has no test structures"
    with pytest.raises((ConfigError, StoreError), match=line) as refusal:
        run(atoms_files, tmp_path / "d", **changes)
    assert "\n" not in str(refusal.value) and not (tmp_path / "d").exists()


def test_a_missing_shard_is_named(atoms_files, tmp_path, abtem):
    plan, atoms = atoms_files
    with pytest.raises(StoreError, match=r"of 2 test structures are in none of the 1 shards"):
        run((plan, atoms[1:]), tmp_path / "d")
