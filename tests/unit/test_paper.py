"""Our numbers beside the paper's: gradients, denoisers, and the tables."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from figure_data import make_evaluation
from hypothesis import given
from hypothesis import strategies as st
from test_network_table import by_structure
from torch import nn

from segdepth.config import ALL, PAPER_ITEMS, Paper, validate
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.denoising import measure_denoising
from segdepth.evaluation.gradient_reach import HALF, MOST, RADII, energy_radii, mean_radii
from segdepth.evaluation.gradients import (
    Place,
    gradients_at_doses,
    gradients_of_frame,
    input_gradients,
    measured_columns,
    place_in_vacuum,
    place_of_column,
    places_of_estimate,
    radii_of_image,
)
from segdepth.evaluation.ground_truth import GroundTruth
from segdepth.evaluation.paper import COLUMNS, Network, PaperResults, paper_numbers, paper_table
from segdepth.evaluation.table1 import PAPER
from segdepth.figures import fig8_gradients, fig9_doses, fig11_boundary
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.results.file_grid import affine_matrices
from segdepth.networks.card import NetworkCard
from segdepth.steps.paper_files import denoisings_of

PIXEL = 20.0
BLOCK = Paper(
    dataset="d", confusion_dataset="low", widths=["a", "s"], segmentation="a", denoised="b", joint="c", every_dose="e",
    dose_datasets=["d", "low"], dose_widths=["a"], dose_trained=["a"], gradient_lambda=[1, 25],
)  # fmt: skip


def card(**changes) -> NetworkCard:
    given = {
        "variant": "binned", "base_channels": 64, "classes": 11, "input_pixel_pm": PIXEL, "label_pixel_pm": PIXEL,
        "field_pm": 64 * PIXEL, "dose_lambda": 2.5, "labels": {},
    } | changes  # fmt: skip
    return NetworkCard(**given)


def truth_of(shape: tuple[int, int] = (32, 48)) -> GroundTruth:
    """A column of 3 heavy atoms and one of 6 light ones in the lower part, vacuum above."""
    depth = np.zeros(shape, np.uint8)
    depth[4:7, 10:13], depth[4:7, 30:33] = 3, 6
    nothing = np.zeros(shape, bool)
    columns = pd.DataFrame(
        {"x_pm": [11.5 * PIXEL, 31.5 * PIXEL], "y_pm": 2 * [5.5 * PIXEL], "element": [0, 1], "atoms": [3, 6]}
    ).assign(whole=True)
    away = np.zeros(shape, bool)
    away[12:] = True
    return GroundTruth(depth, nothing, nothing, nothing, nothing, away, columns)


def sample_of(seed: int) -> SimpleNamespace:
    rng, truth = np.random.default_rng(seed), truth_of()
    clean = (1 + 0.02 * truth.depth).astype(np.float32)
    noisy = (clean + 0.05 * rng.normal(size=clean.shape)).astype(np.float32)
    return SimpleNamespace(noisy=noisy, intensity=clean, truth=truth, structure=seed, defocus_nm=5.0)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(1, 11, 3, padding=1)


def test_the_gradient_is_that_of_a_softmax():
    """∂p_k/∂y = p_k (w_k - Σ p_j w_j), and probabilities sum to one."""
    network, image = small_network(), sample_of(0).noisy
    place = Place(5, 11)
    found = input_gradients(network, image, place, range(11))
    with torch.no_grad():
        p = network(torch.as_tensor(image)[None, None])[0, :, 5, 11].softmax(0).numpy()
    w = network.weight.detach().numpy()[:, 0]
    wanted = p[:, None, None] * (w - np.tensordot(p, w, 1))
    assert found[:, 4:7, 10:13] == pytest.approx(wanted, abs=1e-6)
    found[:, 4:7, 10:13] = 0
    assert not found.any()


@given(st.floats(2, 20), st.floats(0.01, 100))
def test_half_the_energy_of_a_disc_lies_within_its_radius_over_the_root_of_two(radius, height):
    y, x = np.indices((64, 80)) + 0.5
    disc = np.where(np.hypot(x - 40, y - 30) <= radius, height, 0.0)
    found = energy_radii(disc, PIXEL, 40 * PIXEL, 30 * PIXEL)
    assert found[HALF] / PIXEL == pytest.approx(radius / np.sqrt(2), abs=1.0)
    assert found[MOST] / PIXEL == pytest.approx(radius * np.sqrt(0.9), abs=1.0)


@given(st.floats(3, 12), st.floats(0.01, 100))
def test_the_energy_of_a_gaussian_lies_within_the_radii_of_the_closed_form(sigma, height):
    """Squared it has a width of σ/√2: the share 1 - exp(-r²/σ²) lies within r."""
    y, x = np.indices((120, 130)) + 0.5
    gaussian = -height * np.exp(-((x - 64) ** 2 + (y - 58) ** 2) / (2 * sigma**2))
    found = energy_radii(gaussian, PIXEL, 64 * PIXEL, 58 * PIXEL)
    assert found[HALF] / PIXEL == pytest.approx(sigma * np.sqrt(np.log(2)), abs=0.6)
    assert found[MOST] / PIXEL == pytest.approx(sigma * np.sqrt(np.log(10)), abs=0.6)


def test_nothing_has_no_radius_and_one_pixel_its_own_distance():
    assert all(np.isnan(radius) for radius in energy_radii(np.zeros((4, 6)), PIXEL, 0, 0).values())
    spot = np.zeros((8, 12))
    spot[2, 9] = -3
    found = energy_radii(spot, PIXEL, 6.5 * PIXEL, 2.5 * PIXEL)
    assert list(found.values()) == pytest.approx([3 * PIXEL, 3 * PIXEL])


def test_radii_are_averaged_over_columns_with_an_interval_over_five_structures():
    places = [("column", "Ce", 3, 10.0), ("column", "O", 6, 40.0), ("vacuum", ALL, 0, 5.0)]
    rows = [
        (structure, place, dose, element, atoms, 0.0, 0.0, dose * reach + structure, 2 * dose * reach + structure)
        for structure in range(5)
        for dose in (1.0, 2.0)
        for place, element, atoms, reach in places
    ]
    radii = pd.DataFrame(rows, columns=list(RADII))
    found = mean_radii(radii).set_index(["place", "element", "lambda", "metric"])
    assert len(found) == 4 * 2 * 2 and (found["structures"] == 5).all()
    one = found.loc["column", "O", 2.0, MOST]
    assert one["value"] == 162 and 160 < one["low"] < 162 < one["high"] < 164
    assert found.loc["column", ALL, 1.0, HALF]["value"] == 27 and found.loc["vacuum", ALL, 2.0, MOST]["value"] == 22
    radii.loc[(radii["structure"] == 4) & (radii["element"] == "O"), [HALF, MOST]] = np.nan  # a gradient of 0
    found = mean_radii(radii, by_count=True).set_index(["element", "atoms", "lambda", "metric"])
    one = found.loc["O", 6, 1.0, HALF]
    assert one["value"] == 41.5 and one["structures"] == 4 and np.isnan(one["low"]) and np.isnan(one["high"])
    assert found.loc["Ce", 3, 1.0, HALF]["low"] < 12


def test_places_are_a_column_and_the_middle_of_the_vacuum():
    truth = truth_of()
    assert place_of_column(truth, 6, PIXEL) == Place(5, 11)  # of the heaviest element, whatever its count
    place = place_in_vacuum(truth)
    assert truth.depth[place.row, place.column] == 0 and 18 <= place.row <= 25 and 8 <= place.column <= 40
    thick = truth.columns.assign(element=0, atoms=np.array([1, 3], np.uint8))  # as stores hold them
    assert place_of_column(replace(truth, columns=thick), 6, PIXEL) == Place(5, 31)
    assert sorted(measured_columns(truth, PIXEL)["atoms"]) == [3, 6]


def measured_gradients():
    pixels, doses = {"pixel_pm": PIXEL, "label_pixel_pm": PIXEL}, [1, 25]
    store = gradients_at_doses(small_network(), [sample_of(0), sample_of(1)], doses, atoms=3, **pixels)
    images = [(sample_of(seed), dose) for seed in range(6) for dose in doses]
    radii = [radii_of_image(small_network(), *image, elements=("Ce", "O"), **pixels) for image in images]
    facts = {"model": "a", "dataset": "d", "structure": 3, "defocus_nm": 5.0, "classes": 11, "base_channels": 4}
    return store.assign_attrs(facts | {"variant": "binned", "trained_lambda": [2.5, 2.5]}), pd.concat(radii)


def test_gradients_of_several_doses_have_units_and_can_be_drawn():
    store, radii = measured_gradients()
    assert store["gradient"].dims == ("place", "dose", "class", "y", "x")
    assert store["gradient"].shape == (2, 2, 11, 32, 48)
    assert all({"units", "long_name"} <= set(v.attrs) for v in store.variables.values())
    assert float(np.abs(store["gradient"].sum("class")).max()) < 1e-6  # probabilities sum to one
    assert list(radii.columns) == list(RADII) and len(radii) == 6 * 2 * 3
    assert set(zip(radii["place"], radii["element"], radii["atoms"])) == {
        ("column", "Ce", 3), ("column", "O", 6), ("vacuum", ALL, 0),
    }  # fmt: skip
    assert (radii[HALF] <= radii[MOST]).all() and radii[MOST].between(0, 2 * PIXEL).all()
    fig = fig8_gradients.draw([(store, radii), (store.assign_attrs(model="e"), radii)])
    assert "1 image" in fig.get_suptitle() and "6 images" in fig.get_suptitle()


def test_the_boundary_is_the_group_of_atoms_nearest_to_the_vacuum():
    depth = np.zeros((40, 60), np.uint8)
    depth[2:5, 10:13] = 4
    depth[10:13, 28:31] = 1
    boundary, vacuum = places_of_estimate(depth, PIXEL)
    assert boundary == Place(11, 29) and depth[vacuum.row, vacuum.column] == 0 and vacuum.row > 20
    ring = np.zeros((40, 60), np.uint8)
    ring[8:13, 26:31], ring[10, 28] = 2, 0  # whose middle is no atom
    place, _ = places_of_estimate(ring, PIXEL)
    assert ring[place.row, place.column] == 2
    strip = np.ones((40, 60), np.uint8)
    strip[30:] = 0  # any of its places is as far from atoms
    assert places_of_estimate(strip, PIXEL)[1].column in (29, 30)
    nothing = places_of_estimate(np.zeros((40, 60), np.uint8), PIXEL)
    assert nothing[0] == nothing[1]


def test_the_boundary_of_a_micrograph_is_its_outermost_column_even_where_columns_touch():
    """As in Fig. 11 of the paper; a crystal whose columns touch is one group of pixels, and a speck is no column."""
    depth = np.zeros((60, 90), np.uint8)
    y, x = np.indices(depth.shape)
    for row in range(30, 60, 8):
        for column in range(5, 90, 8):
            depth[np.hypot(y - row, x - column) < 4.5] = row // 8  # neighbours share pixels
    depth[24, 44] = 1
    boundary, vacuum = places_of_estimate(depth, PIXEL)
    assert depth[vacuum.row, vacuum.column] == 0 and vacuum.row < 15
    assert boundary.row == 30 and boundary.column in (45, 53)


def test_a_frame_of_any_size_has_its_gradients_drawn():
    rng = np.random.default_rng(0)
    image = 1 + 0.3 * rng.normal(size=(130, 200))
    store = gradients_of_frame(small_network(), image, 1.5, pixel_pm=PIXEL, label_pixel_pm=PIXEL)
    assert dict(store["gradient"].sizes) == {"place": 2, "dose": 1, "class": 11, "y": 128, "x": 192}
    assert store[HALF].attrs["units"] == store[MOST].attrs["units"] == "pm"
    assert (store[HALF] <= store[MOST]).all() and (store[MOST] < 2 * PIXEL).all()
    store = store.assign_attrs({"model": "a", "classes": 11, "base_channels": 4, "variant": "binned"})
    with pytest.raises(StoreError, match="no attribute 'affine_to_file_pm'; measure them again"):
        fig11_boundary.draw(store.assign_attrs(source="a/film.dm4"))


@pytest.mark.parametrize("turned, flip", ((0.0, False), (0.0, True), (90.0, False), (-20.0, True)))
def test_figure_11_is_turned_as_the_file_with_row_0_at_the_top(turned, flip):
    """Its marks lie where they do in the file."""
    image = 1 + 0.3 * np.random.default_rng(0).normal(size=(128, 192))
    store = gradients_of_frame(small_network(), image, 1.5, pixel_pm=PIXEL, label_pixel_pm=PIXEL)
    transform = FrameTransform((60, 90), 30.0, PIXEL, rotation_deg=turned, flip=flip)
    box_y, box_x = transform.box_pm  # the network is shown the middle of the grid
    dx, dy = (box_x - 192 * PIXEL) / 2, (box_y - 128 * PIXEL) / 2
    facts = {"model": "a", "classes": 11, "base_channels": 4, "variant": "binned", "source": "a/film.dm4"}
    facts |= {"affine_to_file_pm": affine_matrices(transform)[0], "file_shape": [60, 90], "file_pixel_pm": 30.0}
    fig = fig11_boundary.draw(store.assign_attrs(facts), simulated=True)
    assert "a (c = 4, binned) on film.dm4 (simulated)\n" in fig.get_suptitle()
    ax = fig.axes[0]
    size = ax.get_xlim()[1], ax.get_ylim()[1]
    for place in range(2):
        x, y = transform.inverse(float(store["place_x_pm"][place]) + dx, float(store["place_y_pm"][place]) + dy)
        line = ax.lines[2 * place]
        shown = ax.transData.inverted().transform(line.get_transform().transform(line.get_xydata()))[0]
        wanted = np.array(size) / 2 + (x / 1000 - 1.35, 0.9 - y / 1000)  # from the middle; y of the file goes down
        assert shown == pytest.approx(wanted, abs=1e-6)


def test_a_denoiser_is_measured_against_the_clean_image():

    class Tests:
        def __len__(self) -> int:
            return 2

        def samples(self, dose_lambda: float):
            return iter([sample_of(0), sample_of(4)])

    tests = Tests()
    same = nn.Conv2d(1, 1, 1)
    same.weight.data.fill_(1), same.bias.data.fill_(0)
    table = measure_denoising(same, tests, 2.5)
    assert table["psnr_db"].to_numpy() == pytest.approx(table["noisy_psnr_db"].to_numpy())
    image = sample_of(0)
    error = np.mean((image.noisy - image.intensity) ** 2)
    assert table["psnr_db"][0] == pytest.approx(10 * np.log10(np.ptp(image.intensity) ** 2 / error), abs=1e-3)
    smooth = nn.AvgPool2d(5, 1, 2, count_include_pad=False)
    better = measure_denoising(nn.Sequential(same, smooth), tests, 2.5)
    assert (better["psnr_db"] > table["psnr_db"] + 3).all() and (better["ssim"] > table["ssim"]).all()
    assert list(table["structure"]) == [0, 4]


def test_the_papers_numbers_are_those_that_it_prints():
    table = paper_numbers().set_index(["item", "row", "metric"])["value"]
    assert table["table1", "c = 64", "hallucinated_rate"] == pytest.approx(0.0233)
    assert table["table2", "denoising then segmentation", "centre_accuracy"] == 0.765
    assert table["table1", "c = 16", "parameters"] == 1_175_000 and len(PAPER) == 5
    assert PAPER[4] == (130, 77.31, 0.888, 0.699, 0.939, 1.75, "")


def results(**changes) -> PaperResults:
    denoised = card(denoiser={"variant": "binned", "base_channels": 64})
    cards = {"a": card(temperature=1.3), "s": card(variant="space_to_depth"), "b": denoised, "c": denoised}
    cards["e"] = card(dose_lambda_range=(0.1, 25))
    evaluations = {}
    for model in cards:
        for dataset, dose in (("d", 2.5), ("low", 0.1)):
            evaluations[model, dataset] = make_evaluation(model=model, dataset=dataset, dose_lambda=dose)
    run = {"device": "cpu", "threads": 2, "seconds_per_image": 0.25}
    evaluations["a", "d"] = replace(evaluations["a", "d"], run=run)
    one = pd.DataFrame(
        {"structure": [1, 1, 2], "psnr_db": [20.0, 22, 24], "ssim": 0.9, "noisy_psnr_db": 3.0, "noisy_ssim": 0.1}
    )
    radii = measured_gradients()[1]
    return PaperResults(
        {name: Network(found, 10.0) for name, found in cards.items()},
        evaluations,
        {(name, "d"): one for name in "bc"},
        {"a": radii, "e": radii},
    )


def test_rows_stand_beside_the_papers():
    table = paper_table(PAPER_ITEMS, BLOCK, results())
    assert list(table.columns) == list(COLUMNS)

    def row_of(item: str, name: str, metric: str, element: str = ALL, dose: float | None = None) -> pd.Series:
        same = (table["item"] == item) & (table["row"] == name) & (table["metric"] == metric)
        same &= True if dose is None else table["lambda"] == dose
        (found,) = [row for _, row in table[same & (table["element"] == element)].iterrows()]
        return found

    row = row_of("table1_widths", "c = 64", "centre_accuracy")
    assert (row["paper"], row["reference"], row["value"], row["low"]) == (0.847, "Table I", 0.8, 0.7)
    assert np.isnan(row_of("table1_widths", "c = 64, space to depth", "centre_accuracy")["paper"])
    assert np.isnan(row_of("table1_widths", "c = 64", "centre_accuracy", "O")["paper"])
    row = row_of("table1_widths", "c = 64", "seconds_per_image")
    assert (row["value"], row["note"], row["training_seconds"]) == (0.25, "cpu, threads: 2", 10)
    row = row_of("table1_widths", "c = 64, space to depth", "seconds_per_image")
    assert np.isnan(row["value"]) and row["note"] == ""
    row = row_of("table2", "denoising and segmentation", "hallucinated_rate")
    assert row["paper"] == pytest.approx(0.1738) and row["model"] == "c"
    row = row_of("table2", "denoising then segmentation", "psnr_db")
    assert row["value"] == 22 and row["low"] == 21 and row["high"] == 24
    row = row_of("fig7", "confidence 0.8", "accuracy")
    assert row["paper"] == 0.7 and row["note"].startswith("of the pixels with a confidence of 0.80 to 0.85; the paper:")
    assert "does not state λ" in row["note"]
    assert row_of("fig7", "confidence 0.8, before temperature scaling", "accuracy")["paper"] == 0.7
    for name in ("pixels", "columns", "pixels, before temperature scaling", "columns, before temperature scaling"):
        row = row_of("fig7", name, "expected_calibration_error")
        assert (row["value"], row["low"], row["high"], row["note"]) == (0.8, 0.7, 0.9, "T = 1.3")
    row = row_of("fig6", "pixels of columns", "pixels_within_one", "O")
    assert row["dataset"] == "low" and row["lambda"] == 0.1 and row["model"] == "a"
    counts = make_evaluation().confusion
    counts = counts[(counts["element"] == "O") & (counts["true"] > 0)]
    near = (counts["true"] - counts["estimate"]).abs() <= 1
    assert row["value"] == pytest.approx(counts.loc[near, "pixels"].sum() / counts["pixels"].sum())
    curves = table[table["item"] == "fig9a"]
    assert set(curves["row"]) == {"c = 64, trained at λ = 2.5", "c = 64, trained at λ = 0.1 … 25"}
    assert set(curves["lambda"]) == {0.1, 2.5} and curves["paper"].isna().all()
    name = "c = 64, trained at λ = 2.5"
    row = row_of("fig8", f"{name}, columns of 6", MOST, "O", 25)
    assert row["low"] <= row["value"] <= row["high"] and row["structures"] == row["images"] == 6
    assert row_of("fig8", f"{name}, column", MOST, "O", 25)["value"] == row["value"]
    assert row_of("fig8", f"{name}, vacuum", HALF, ALL, 1)["value"] <= 2 * PIXEL
    fig = fig9_doses.draw(curves, table[table["item"] == "fig9b"], table[table["item"] == "bound"])
    assert "12 images of 3 structures" in fig.get_suptitle()


def test_figure_7_of_an_earlier_evaluation_is_refused():
    """Whose ``columns`` were pixels of columns."""
    made = results()
    names = {"pixels": "all", "pixels_of_columns": "columns", "columns": "pooled"}
    names |= {"pixels_before": "all_before", "columns_before": "pooled_before"}
    calibration = made.evaluations["a", "d"].calibration.replace({"population": names})
    earlier = replace(made.evaluations["a", "d"], calibration=calibration)
    with pytest.raises(StoreError, match="calibration.csv has no pixels_before: it was made by another version"):
        paper_table(["fig7"], BLOCK, replace(made, evaluations={("a", "d"): earlier}))


ROWS = ("segmentation", "denoising then segmentation", "denoising and segmentation")
PAIRS = {(1, 0): -0.1, (2, 0): -0.06, (2, 1): 0.04}
"""Which row of Table II is less which, and the difference of the made-up shares."""


def table_two(specimen: str = "w") -> pd.DataFrame:
    """Its differences, by row, against, metric and element. Structures scatter by 0.1, alike for all three networks;
    both at once has 1 dB more, and the specimen."""
    made = results()
    evaluations, denoising = dict(made.evaluations), dict(made.denoising)
    for model, share in (("a", 0.8), ("b", 0.7), ("c", 0.74)):
        one = evaluations[model, "d"]
        facts = one.facts | {"specimen": specimen if model == "c" else "w"}
        changed = {"facts": facts, "metrics": one.metrics.assign(value=share), "by_structure": by_structure(share)}
        evaluations[model, "d"] = replace(one, **changed)
    denoising["c", "d"] = denoising["b", "d"].assign(psnr_db=lambda table: table["psnr_db"] + 1)
    table = paper_table(["table2"], BLOCK, replace(made, evaluations=evaluations, denoising=denoising))
    assert table.loc[table["against"].isna(), "metric"].str.endswith("_change").sum() == 0
    found = table[table["against"].notna()].set_index(["row", "against", "metric", "element"]).sort_index()
    assert found.index.is_unique and len(found) == 3 * 6 * 3 + 2
    return found


def test_rows_of_table_two_are_compared_structure_by_structure():
    found, ends = table_two(), ["low", "high"]
    for (row, against), change in PAIRS.items():
        for element in (ALL, "Ce", "O"):
            for metric in ("centre_accuracy", "columns_exact"):
                one = found.loc[ROWS[row], ROWS[against], f"{metric}_change", element]
                assert [one["value"], *one[ends]] == pytest.approx([change] * 3)
                assert one["model"] == "abc"[row] and one["lambda"] == 2.5 and one["structures"] == 3
            one = found.loc[ROWS[row], ROWS[against], "detection_rate_change", element]
            assert one["value"] == pytest.approx(change) and one[ends].isna().all()  # an earlier evaluation's
    one = found.loc[ROWS[2], ROWS[1], "hallucinated_rate_change", ALL]
    assert one["paper"] == pytest.approx(0.1738 - 0.1235) and one["reference"] == "Table II"
    assert np.isnan(found.loc[ROWS[2], ROWS[1], "hallucinated_rate_change", "O"]["paper"])
    denoised = found.xs(ALL, level="element").loc[ROWS[2], ROWS[1]]
    assert denoised.loc["psnr_db_change", ["value", *ends]].tolist() == [1, 1, 1]
    assert denoised.loc["ssim_change", ["value", *ends]].tolist() == [0, 0, 0]


def test_one_denoiser_in_two_rows_of_table_two_has_no_difference_from_itself():
    """Where both are learnt at once, each network learns from its own loss: the denoiser is the one trained before."""
    note = "the same denoiser: it learns from its own loss alone, as in the paper (IV-F)"
    made = results()
    table = paper_table(["table2"], BLOCK, made)
    assert set(table.loc[table["metric"].isin(("psnr_db", "ssim")), "note"]) == {note} and note not in set(
        table.loc[~table["metric"].isin(("psnr_db", "ssim")), "note"]
    )
    assert not table["metric"].isin(("psnr_db_change", "ssim_change")).any()
    assert (table["metric"] == "columns_exact_change").any()
    other = made.denoising["b", "d"].assign(psnr_db=[20.0, 22, 24.001])
    table = paper_table(["table2"], BLOCK, replace(made, denoising=made.denoising | {("c", "d"): other}))
    assert note not in set(table["note"]) and table["metric"].isin(("psnr_db_change", "ssim_change")).sum() == 2


def test_rows_of_table_two_on_other_structures_have_a_difference_without_an_interval():
    found = table_two(specimen="v").xs(ALL, level="element")
    one = found.loc[ROWS[2], ROWS[0], "columns_exact_change"]
    assert one["value"] == pytest.approx(-0.06) and one[["low", "high"]].isna().all()
    assert found.loc[ROWS[1], ROWS[0], "columns_exact_change"][["low", "high"]].notna().all()


def test_an_item_names_its_networks_and_data_sets():
    assert BLOCK.measured("table2") == [("a", "d"), ("b", "d"), ("c", "d")]
    assert BLOCK.measured("fig6") == [("a", "low")]
    assert BLOCK.model_copy(update={"confusion_dataset": None}).measured("fig6") == [("a", "d")]
    other = BLOCK.model_copy(update={"shown": "s", "other_datasets": {"b": "binned"}})
    assert other.measured("fig6") == [("s", "low")] and other.measured("fig7") == [("s", "d")]
    assert other.measured("table2") == [("a", "d"), ("b", "binned"), ("c", "d")]
    assert denoisings_of(other) == [("b", "binned"), ("c", "d")] and other.gradient_models == ("s", "e")
    assert BLOCK.measured("fig9a") == [("a", "d"), ("a", "low"), ("e", "d"), ("e", "low")]
    with pytest.raises(ConfigError, match="paper.*widths: names one twice: a, a"):
        validate(Paper, BLOCK.model_dump() | {"widths": ["a", "a"]}, "paper")
