"""What can be counted at all, and where to record: numbers that can be worked out, a small map, and the figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import CERIA, SMALL_BEAM, small_slab
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segdepth.config import Beam, Dataset, Imaging, LimitMap, PredictionSets
from segdepth.errors import StoreError
from segdepth.evaluation.ideal_observer import exact_share
from segdepth.evaluation.limits import (
    BOTH,
    at_doses,
    limit_rows,
    map_rows,
    network_columns,
    placed,
    recommended,
    within_one_share,
)
from segdepth.evaluation.neighbour_waves import independent_share
from segdepth.figures import limit_map, limits


@given(st.floats(0.1, 4), st.floats(0.1, 4))
def test_within_one_is_more_than_exact(minus, plus):
    assert within_one_share(minus, plus) >= exact_share(minus, plus)


def test_within_one_against_random_draws():
    """Counts on a line with steps of d': the nearest count to a noisy number."""
    d, rng = 0.9, np.random.default_rng(3)
    off = np.abs(np.rint(rng.normal(0, 1, 200_000) / d))
    assert (off == 0).mean() == pytest.approx(float(exact_share(d, d)), abs=0.005)
    assert (off <= 1).mean() == pytest.approx(float(within_one_share(d, d)), abs=0.005)


def observed(*settings: tuple[float, float, float], d_prime: float = 1.0) -> pd.DataFrame:
    rows = []
    for element, factor in (("A", 3.0), ("B", 1.0)):
        for defocus, c3, spread in settings:
            d = d_prime * factor * np.exp(-(((defocus - 4) / 3) ** 2)) * (1 if c3 == -9 else 0.8) * 20 / spread
            key = {"element": element, "defocus_nm": defocus, "c3_um": c3, "image_spread_pm": spread}
            rows.append(key | {"d_prime_minus": d, "d_prime_plus": d, "independent": 0.5 if defocus > 4 else 1.0})
    return pd.DataFrame(rows)


GRID = [(c1, c3, spread) for c1 in (0.0, 3.0, 4.0, 5.0, 9.0) for c3 in (-9.0, 0.0) for spread in (20.0, 40.0)]


def test_a_map_recommends_the_best_setting_and_what_is_as_good():
    found = map_rows(observed(*GRID), (1.0, 4.0))
    one = found[(found["element"] == "B") & (found["defocus_nm"] == 4) & (found["c3_um"] == -9)]
    one = one[(one["dose_lambda"] == 4) & (one["image_spread_pm"] == 20) & (one["neighbours"] == "known")].iloc[0]
    assert one["d_prime"] == pytest.approx(2.0) and one["columns_exact"] == pytest.approx(float(exact_share(2.0, 2.0)))
    assert set(found["element"]) == {"A", "B", BOTH}
    best = recommended(found)
    assert (best["defocus_nm"] == 4).all() and (best["c3_um"] == -9).all() and len(best) == 2 * 3 * 2 * 2
    sharp = best[
        (best["neighbours"] == "known")
        & (best["element"] == "A")
        & (best["dose_lambda"] == 4)
        & (best["image_spread_pm"] == 20)
    ].iloc[0]
    assert sharp["defocus_from"] <= 3 and sharp["defocus_to"] >= 5  # all columns are counted there
    told = ("smooth", {"A": 4, "B": 3})
    fig = limit_map.draw(found, best, *told)
    assert "C1 4 nm" in fig.axes[0].get_title() and "columns of smooth (4 A, 3 B) counted exactly" in fig.get_suptitle()
    assert len({ax.get_ylim() for ax in fig.axes[3:6]}) == 1  # the best C1 of each
    bars = [ax for ax in fig.axes if ax.get_ylabel() == "share counted exactly"]
    assert len(bars) == 1 and len(fig.axes) == 7
    with pytest.raises(StoreError, match="empty"):
        limit_map.draw(found.iloc[:0], best, *told)


def test_ideal_observer_and_network_stand_side_by_side():
    table = pd.DataFrame(
        {"structure": [0, 0, 1], "x_pm": [0.0, 500, 0], "y_pm": [0.0, 0, 0], "element": ["A", "A", "B"]}
    )
    table = table.assign(atoms=[2, 3, 2], defocus_nm=4.0, d_prime_minus=1.0, d_prime_plus=1.0)
    distance = {n: pd.DataFrame({"x_pm": [0.0, 500], "y_pm": [0.0, 0], "distance_pm": [100.0, 900]}) for n in (0, 1)}
    ideal = placed(at_doses(table, 2.0, (2.0, 8.0)), distance)
    assert ideal["place"].tolist()[:3] == ["edge", "bulk", "edge"]
    assert ideal["columns_exact"].iloc[3] == pytest.approx(float(exact_share(2.0, 2.0)))
    seen = placed(network_columns(table.assign(depth=[2, 5, 1]), 2.0), distance)
    assert seen["columns_exact"].tolist() == [1, 0, 0] and seen["columns_within_one"].tolist() == [1, 0, 1]
    rows = pd.concat([limit_rows(ideal, "ideal observer", 2.0), limit_rows(seen, "net", 2.0)])
    dose = rows[(rows["by"] == "dose_lambda") & (rows["source"] == "ideal observer") & (rows["element"] == "all")]
    assert sorted(set(dose["at"])) == [2.0, 8.0]
    place = rows[(rows["by"] == "place") & (rows["source"] == "net") & (rows["metric"] == "columns_exact")]
    assert place[place["element"] == "A"].set_index("at")["value"].to_dict() == {"edge": 1.0, "bulk": 0.0}
    told = ("smooth", 2.0, {"ideal observer": 2, "net": 1})
    fig = limits.draw(rows, *told)
    assert len(fig.axes) == 8
    assert fig.get_suptitle() == "smooth, λ = 2 but for the first column\nstructures: 2 (ideal observer), 1 (net)"
    FigureCanvasAgg(fig).draw()
    assert all(float(tick).is_integer() for ax in fig.axes[1:3] for tick in ax.get_xticks())
    with pytest.raises(StoreError, match="empty"):
        limits.draw(rows[rows["element"] == "all"], *told)


def test_a_small_map_is_made_of_atoms(tmp_path, monkeypatch, abtem):
    """More electrons and less vibration are never worse; what is told of one column is its detectability."""
    import ase.io

    from segdepth.steps import map_limits as step
    from segdepth.steps.map_limits import map_limits
    from segdepth.store.claims import release_all

    monkeypatch.setattr(step, "EDGE_PM", 200.0)  # the field is small
    atoms, block = small_slab(4)
    ase.io.write(tmp_path / "atoms.extxyz", [atoms], format="extxyz")
    grid = LimitMap(
        dataset="small", columns=1, defocus_nm=(0, 5), c3_um=(-9,), dose_lambda=(1, 10), image_spread_pm=(10, 60)
    )
    specimen = block.model_copy(update={"structures": 1})
    dataset = Dataset(
        specimen="slab", beam="b", imaging="i", labels="l", splits={"test": 1, "validation": 0, "train": 0}
    )
    beam, imaging = Beam(pixel_pm=12, slice_pm=191.3), Imaging(focal_steps=5)
    given = grid, dataset, specimen, beam, imaging, 10, [tmp_path / "atoms.extxyz"]
    map_limits(*given, tmp_path / "map", name="thin", code="c", device="cpu")
    release_all()
    found = pd.read_csv(tmp_path / "map" / "map.csv")
    assert len(found) == 2 * 3 * 2 * 2 * 2  # neighbours; two elements and both; C1, dose, vibration
    known, unknown = (rows["d_prime"].to_numpy() for _, rows in found.groupby("neighbours"))
    assert (unknown < known).all() and (unknown > 0.02 * known).all()
    key = ["neighbours", "element", "defocus_nm", "c3_um"]
    for setting in ("dose_lambda", "image_spread_pm"):
        rest = [name for name in ("dose_lambda", "image_spread_pm") if name != setting]
        for _, rows in found.groupby([*key, *rest]):
            ordered = rows.sort_values(setting)["d_prime"].to_numpy()
            assert (np.diff(ordered) > 0).all() == (setting == "dose_lambda")
            assert (np.diff(ordered) < 0).all() == (setting == "image_spread_pm")
    assert len(pd.read_csv(tmp_path / "map" / "settings.csv")) == 2 * 3 * 2 * 2


def test_what_neighbours_can_explain_does_not_count():
    rng = np.random.default_rng(2)
    plain, one, other = rng.uniform(0.5, 1.5, (3, 12, 15))
    neighbours = np.stack([plain + one, plain + other])
    assert independent_share(plain, plain + 2 * one - other, neighbours) < 1e-6
    assert independent_share(plain, plain + one, neighbours[:0]) == 1
    # the Schur complement of the Fisher matrix
    change = rng.normal(size=(12, 15))
    j = np.stack([change, one, other]).reshape(3, -1) / np.sqrt(plain.ravel())
    f = j @ j.T
    expected = 1 - f[0, 1:] @ np.linalg.solve(f[1:, 1:], f[1:, 0]) / f[0, 0]
    assert independent_share(plain, plain + change, neighbours) == pytest.approx(np.sqrt(expected))


def test_blurring_is_the_vibration_of_the_lens(abtem):
    """Images of a map at the larger vibration are those that are formed with it."""
    from segdepth.evaluation.ideal_observer_recordings import column_waves
    from segdepth.steps.map_limits import _settings

    atoms, _ = small_slab(4)
    number = int(atoms.get_array("column")[len(atoms) // 2])
    waves, attributes = column_waves(atoms, number, SMALL_BEAM, CERIA)
    grid = {"dataset": "small", "defocus_nm": (5,), "c3_um": (-9,)}
    both = _settings(LimitMap(**grid, image_spread_pm=(10, 35)), Imaging(focal_steps=5), waves, attributes)
    (alone,) = _settings(LimitMap(**grid, image_spread_pm=(35,)), Imaging(focal_steps=5), waves, attributes)
    for name in ("d_prime_minus", "d_prime_plus"):
        assert both[1][name] == pytest.approx(alone[name], rel=1e-4)


def test_blocks_refuse_what_cannot_be():
    for wrong, told in (
        ({"dose_lambda": (0.0, 1.0)}, "dose_lambda"),
        ({"image_spread_pm": (-20.0,)}, "image_spread_pm"),
        ({"c3_um": (1e9,)}, "c3_um"),
        ({"defocus_nm": (1.0, 1.0)}, "named twice"),
    ):
        with pytest.raises(ValueError, match=told):
            LimitMap(dataset="small", **wrong)
    assert PredictionSets(calibration="a", tests=("b", "a")).datasets == ("a", "b")
