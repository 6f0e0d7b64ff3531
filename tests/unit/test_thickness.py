"""A fitted thickness joined with what the network says: closed forms, what stays as it is, and what a user sees."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tifffile
from adaptation_data import FIT
from conftest import CERIA
from film_data import crystal_film, open_prediction, small_network
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import norm

import segdepth
from segdepth.config import CrystalBlock, PredictionOptions
from segdepth.crystals import load_crystal
from segdepth.errors import ConfigError, MicrographError, SegDepthError
from segdepth.fitting.known_thickness import known_thickness
from segdepth.fitting.result import FittedBin, Rival, read_lens_fit, write_lens_fit
from segdepth.labels.column_depths import credible_depths
from segdepth.micrograph import predict
from segdepth.micrograph import thickness as module
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.thickness import LEAST_ERROR, OWN, Columns, Thickness, columns_on
from segdepth.networks.bundled import bundled_network
from segdepth.networks.files import load_network
from segdepth.steps.predict_micrograph import predict_micrograph

CLASSES, SHAPE = 32, (9, 40)
COUNTS = np.arange(CLASSES)


def answer(mean: np.ndarray, width: float, empty: float = 0.1) -> np.ndarray:
    """Probabilities (class, y, x): normal distributions of counts, and the same probability of none."""
    found = norm.pdf(COUNTS[:, None, None], mean, width)
    found[0] = 0
    return (np.concatenate([np.full((1, *mean.shape), empty), (1 - empty) * (found / found.sum(0))[1:]])).astype("f4")


def joined(probabilities, distance, known, cores=None):
    i, j = np.indices(SHAPE)[:, ::2, ::2].reshape(2, -1)
    return module.joined(
        probabilities, distance, known, Columns(i, j, np.ones(SHAPE, bool) if cores is None else cores)
    )


def mean_of(probabilities: np.ndarray) -> np.ndarray:
    return np.tensordot(COUNTS[1:], probabilities[1:], 1) / probabilities[1:].sum(0)


def of(atoms, error, distance=(0.0, 3000.0), roughness=0.0) -> Thickness:
    return Thickness(np.array(distance), np.array(atoms, float), np.array(error, float), "", roughness)


def flat_distance() -> np.ndarray:
    """All pixels are about as far from the edge."""
    return np.full(SHAPE, 700.0)


@pytest.mark.parametrize(("width", "error"), [(2.0, 0.8), (3.0, 1.5), (1.2, 0.5)])
def test_mean_and_width_are_those_of_bayes_rule(width, error):
    own = np.random.default_rng(0).normal(0, 0.5, SHAPE)
    given_answer = answer(13 + own, width)
    found = joined(given_answer, flat_distance(), of((16, 16), (error, error)))
    variance = width**2
    common = (1 - OWN) * variance
    expected = 13 + own - common / (common + error**2) * (13 + own.mean() - 16)
    np.testing.assert_allclose(mean_of(found), expected, atol=0.01)
    spread = np.sqrt(np.tensordot(COUNTS[1:] ** 2, found[1:], 1) / found[1:].sum(0) - mean_of(found) ** 2)
    np.testing.assert_allclose(spread**2, OWN * variance + common * error**2 / (common + error**2) + 1 / 12, rtol=0.01)


def test_a_wrong_level_is_mended_and_differences_between_columns_stay():
    own = np.where(np.arange(SHAPE[1]) % 4 < 2, 1.0, -1.0) * np.ones(SHAPE)
    found = mean_of(joined(answer(10 + own, 2.5), flat_distance(), of((15, 15), (0.5, 0.5))))
    assert abs(found.mean() - 15) < 0.3
    np.testing.assert_allclose(found - found.mean(), own - own.mean(), atol=0.05)


def test_what_the_fit_does_not_know_changes_nothing():
    given_answer = answer(8 + np.zeros(SHAPE), 1.5)
    found = joined(given_answer, flat_distance(), of((20, 20), (1e4, 1e4)))
    np.testing.assert_allclose(mean_of(found), mean_of(given_answer), atol=0.01)
    np.testing.assert_allclose(found, given_answer, atol=0.01)


def test_a_network_that_is_sure_is_believed():
    found = joined(answer(3 + np.zeros(SHAPE), 0.1), flat_distance(), of((4.5, 4.5), (1.0, 1.0)))
    assert (found[1:].argmax(0) + 1 == 3).all()


def test_the_thickness_follows_the_distance():
    distance = np.linspace(0, 3000, SHAPE[1]) * np.ones(SHAPE)
    true = 4 + distance / 150
    found = mean_of(joined(answer(0.6 * true, 2.5), distance, of((4, 24), (0.5, 0.5))))
    middle = (distance > 300) & (distance < 2700)
    assert np.abs(found - true)[middle].max() < 0.6 < np.abs(0.6 * true - true)[middle].mean()


def test_beyond_the_last_distance_the_network_is_believed_more_and_more():
    """A wedge, one atom more every 450 pm, fitted to 4.5 nm; the network is right, and sure to 2.5 atoms."""
    distance = np.broadcast_to(np.linspace(200, 10000, SHAPE[1]), SHAPE)
    true = 4 + distance / 450
    fit = of((4 + 200 / 450, 4 + 4500 / 450), (0.5, 0.5), (200.0, 4500.0))
    error = mean_of(joined(answer(true, 2.5), distance, fit)) - true
    assert np.abs(error[distance < 9000]).max() < 1.3 and np.abs(error[distance < 4500]).max() < 0.5


def test_the_level_is_taken_in_the_middle_of_columns():
    """Borders of columns, where the network says less, move along but do not count."""
    cores = np.arange(SHAPE[1]) % 4 < 2 * np.ones(SHAPE)
    counts = np.where(cores, 12.0, 9.0)
    found = mean_of(joined(answer(counts, 2.5), flat_distance(), of((12, 12), (0.5, 0.5)), cores))
    np.testing.assert_allclose(found, counts, atol=0.02)


def test_without_columns_nothing_is_known():
    given_answer = answer(8 + np.zeros(SHAPE), 1.5)
    assert joined(given_answer, flat_distance(), of((20, 20), (1, 1)), np.zeros(SHAPE, bool)) is given_answer


def test_the_last_class_takes_what_is_above():
    found = joined(answer(25 + np.zeros(SHAPE), 3), flat_distance(), of((40, 40), (0.5, 0.5)))
    assert found[-1].min() > 0.85


@given(
    st.floats(1, 30), st.floats(0.2, 4), st.floats(0, 0.95), st.floats(0.5, 40), st.floats(0, 5), st.integers(0, 2**32)
)
def test_probabilities_stay_probabilities(mean, width, empty, atoms, error, seed):
    rng = np.random.default_rng(seed)
    given_answer = answer(mean + rng.normal(0, 1, SHAPE), width, empty)
    distance = np.where(rng.random(SHAPE) < 0.3, np.nan, rng.uniform(0, 4000, SHAPE))
    found = joined(given_answer, distance, of((atoms, atoms), (error, error)))
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)
    assert (found >= 0).all() and found.dtype == np.float32
    np.testing.assert_array_equal(found[0], given_answer[0])
    outside = np.isnan(distance)
    np.testing.assert_array_equal(found[:, outside], given_answer[:, outside])


def test_a_fitted_thickness_is_never_taken_as_exact():
    exact, least = (of((16, 16), (error, error)) for error in (0.0, LEAST_ERROR))
    given_answer = answer(12 + np.zeros(SHAPE), 2)
    np.testing.assert_array_equal(
        joined(given_answer, flat_distance(), exact), joined(given_answer, flat_distance(), least)
    )


def crystal_of_columns(roughness: float, seen: float, seed: int = 0):
    """A wedge whose columns are off by ``roughness``, of whose variance a calibrated network shows a share ``seen``, in
    a frame in which it counts two too few: true counts (column,), columns, distance and the network's answer."""
    rng, shape = np.random.default_rng(seed), (30, 90)
    y, x = (each.ravel() for each in np.meshgrid(np.arange(1.5, 30, 3), np.arange(1.5, 90, 3), indexing="ij"))
    columns = columns_on(y, x, 1.5, shape)
    distance = np.broadcast_to(np.linspace(0, 3000, shape[1]), shape)
    smooth = (8 + distance / 300)[columns.row, columns.column]
    shown = roughness * np.sqrt(seen) * rng.standard_normal(len(smooth))
    hidden = roughness * np.sqrt(1 - seen) * rng.standard_normal(len(smooth))
    said = np.zeros(shape)
    said[columns.row, columns.column] = smooth + shown - 2
    nearest = ndimage.distance_transform_edt(said == 0, return_distances=False, return_indices=True)
    return np.rint(smooth + shown + hidden).astype(int), columns, distance, answer(said[tuple(nearest)], 2.4, 0.01)


def sets_of(probabilities: np.ndarray, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    return credible_depths(probabilities[:, columns.row, columns.column].T.astype(float))


@pytest.mark.parametrize(("roughness", "seen"), [(1.6, 0.1), (2.0, 0.3), (2.4, 0.05)])
def test_sets_of_a_rough_crystal_hold_as_many_as_they_say(roughness, seen):
    """Sets of whole counts hold 90 % or more: those as wide as these about 93."""
    covered = {0.0: [], roughness: []}
    for seed in range(8):
        true, columns, distance, said = crystal_of_columns(roughness, seen, seed=seed)
        off = 0.5 * np.random.default_rng([1, seed]).standard_normal()
        for known in covered:
            fit = of((8 + off, 18 + off), (0.5, 0.5), roughness=known)
            low, high = sets_of(module.joined(said, distance, fit, columns), columns)
            covered[known].append(((low <= true) & (true <= high)).mean())
    assert np.mean(covered[0.0]) < 0.82 and 0.9 < np.mean(covered[roughness]) < 0.955


def test_sets_of_a_smooth_crystal_stay_as_they_are():
    _, columns, distance, said = crystal_of_columns(0.6, 0.3)
    plain, known = (
        module.joined(said, distance, of((8, 18), (0.5, 0.5), roughness=roughness), columns) for roughness in (0.0, 0.6)
    )
    np.testing.assert_array_equal(plain, known)


def test_what_the_network_sees_of_a_rough_crystal_is_not_left_open_again():
    """A network that tells every column of a rough crystal keeps its narrow sets."""
    _, columns, distance, said = crystal_of_columns(2.0, 0.9)
    plain, known = (
        module.joined(said, distance, of((8, 18), (0.5, 0.5), roughness=roughness), columns) for roughness in (0.0, 2.0)
    )
    widths = [np.subtract(*sets_of(each, columns)[::-1]).mean() for each in (plain, known)]
    assert widths[1] < widths[0] + 0.5


OTHER = load_crystal(CrystalBlock(structure="CeO2", zone_axis=(1, 0, 0), x_axis=(0, 0, 1)), "other")

# --- what a user sees -----------------------------------------------------------------------------------------------

FILM = crystal_film(1, electrons=12)
OPTIONS = {"pixel_pm": 7.0}


def fit_of(film, **other):
    """A fit that belongs to the film: 6 atoms everywhere."""
    bins = tuple(FittedBin(distance, 6.0, 0.5, 30.0, 30.0, 30.0) for distance in (1500.0, 200.0))
    return replace(
        FIT,
        crystal=CERIA.to_dict(),
        dose_e_per_a2=film.dose,
        bins=bins,
        pixel_pm=film.transform.pixel_pm,
        explained=True,
        **other,
    )


@pytest.fixture(scope="module")
def film():
    return inspect_film(recording_of(FILM, "film.tif"), CERIA, 21.0, PredictionOptions(**OPTIONS))


def test_bins_come_in_order_and_a_fit_that_is_not_explained_counts_less(film):
    sure = known_thickness(film, CERIA, fit=fit_of(film), name="fit.json")
    unsure = known_thickness(film, CERIA, fit=replace(fit_of(film), explained=False), name="fit.json")
    assert (
        sure.roughness == 0
        and sure.distance_pm.tolist() == [200.0, 1500.0]
        and "fit.json" in sure.line
        and "NOT" not in sure.line
    )
    np.testing.assert_allclose(unsure.error, 2 * sure.error)
    assert unsure.line.startswith("NOT EXPLAINED: ")


@pytest.mark.parametrize(("stated", "taken"), [(None, 0.0), (0.0, 0.0), (1.5, 1.5), (30.0, 4.0)])
def test_the_scatter_of_columns_is_the_fits_within_reason(film, stated, taken):
    found = known_thickness(film, CERIA, fit=replace(fit_of(film), roughness_atoms=stated), name="fit.json")
    assert found.roughness == taken


def test_where_a_fit_has_rivals_its_thickness_is_known_less(film):
    fit = fit_of(film)
    near, far = (Rival({}, thickness, 30.0) for thickness in ((6.5, 5.0), (9.0, 6.0)))
    found = known_thickness(film, CERIA, fit=replace(fit, rivals=(near, far)), name="fit.json")
    assert found.error.tolist() == [1.5, 3.5] and found.atoms.tolist() == [6.0, 6.0]


def test_columns_of_several_atoms_in_a_period_are_refused(film):
    fit = replace(fit_of(film), crystal=OTHER.to_dict())
    with pytest.raises(ConfigError, match=r"more atoms in one \(O 2\); allowed: 1"):
        known_thickness(film, OTHER, fit=fit, name="fit.json")


@pytest.mark.parametrize(
    ("bins", "told"), [([], "got bins 0"), ([{"thickness_atoms": 1e8}], r"bins.0.thickness_atoms: got .* equal to 100")]
)
def test_a_fit_without_a_thickness_or_beyond_any_is_refused_in_one_line(film, tmp_path, bins, told):
    data = json.loads(json.dumps(fit_of(film).to_dict()))
    data["bins"] = [data["bins"][0] | each for each in bins]
    (tmp_path / "fit.json").write_text(json.dumps(data))
    with pytest.raises(SegDepthError, match=told) as refused:
        known_thickness(film, CERIA, fit=read_lens_fit(tmp_path / "fit.json"), name="fit.json")
    assert "\n" not in str(refused.value)


def test_a_prediction_by_a_fit_that_is_not_explained_says_so_everywhere(film, tmp_path):
    write_lens_fit(replace(fit_of(film), explained=False), tmp_path / "fit.json")
    np.save(tmp_path / "film.npy", FILM)
    out, options = tmp_path / "out", PredictionOptions(**OPTIONS, false_discovery=1)
    lines = predict_micrograph(
        options, tmp_path / "film.npy", "bundled", out, lens=tmp_path / "fit.json", device="cpu", code="code"
    )
    stamp = "NOT EXPLAINED: the lens fit is no fact"
    assert all(line.startswith("NOT ") for line in lines[: 1 + lines.index(next(x for x in lines if stamp in x))])
    assert f'"stamp": "{stamp}"' in (out / "prediction.html").read_text().replace('":"', '": "')
    assert f'warning="{stamp}"' in (out / "crystal.extxyz").read_text().splitlines()[1]
    assert stamp in tifffile.TiffFile(out / "depth.ome.tif").ome_metadata
    with h5py.File(next(out.glob("*.hspy"))) as stored:
        found = []
        stored.visititems(lambda _, item: found.extend(map(str, item.attrs.values())))
    assert stamp in found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"crystal": OTHER.to_dict()}, "fit.json: does not fit the network: the crystal's zone_axis"),
        ({"dose_e_per_a2": 9e4}, "is it this film's fit"),
        ({"pixel_pm": 7.5}, "the fit's pixel is 7.5 pm, that of film.tif"),
    ],
)
def test_the_fit_of_another_film_or_crystal_is_refused(film, change, told):
    with pytest.raises(ConfigError, match=told):
        known_thickness(film, CERIA, fit=replace(fit_of(film), **change), name="fit.json")


def test_a_prediction_is_joined_and_says_so(film, tmp_path):
    write_lens_fit(fit_of(film), tmp_path / "fit.json")
    np.save(tmp_path / "film.npy", FILM)
    given_options = {"device": "cpu", "code": "code"}
    options = PredictionOptions(**OPTIONS, false_discovery=1)
    args = options, tmp_path / "film.npy", "bundled"
    predict_micrograph(*args, tmp_path / "plain", **given_options)
    lines = predict_micrograph(*args, tmp_path / "joined", lens=tmp_path / "fit.json", **given_options)
    assert any("joined with the thickness of the lens fit" in line for line in lines)
    plain, both = (open_prediction(tmp_path / name) for name in ("plain", "joined"))
    change = np.abs(plain["probabilities"].values - both["probabilities"].values)
    assert np.nanmax(change) > 0.05
    manifest = (tmp_path / "joined.manifest.json").read_text()
    assert "fit.json" in manifest
    maps, _ = segdepth.predict(FILM, network="bundled", lens=fit_of(film), device="cpu", **OPTIONS, false_discovery=1)
    np.testing.assert_allclose(maps["probabilities"].values, both["probabilities"].values, atol=1e-5)


def test_the_distance_from_the_edge_drifts_with_the_film(monkeypatch):
    """Into the vacuum, at +y of the upright crystal, by 84 pm a frame: whole pixels of file and labels."""
    whole = crystal_film(1, electrons=40, shape=(340, 420), turn_deg=0.0)[0]
    drifting = np.stack([whole[20 + 12 * (3 - n) :][:280] for n in range(4)])
    inspected = inspect_film(recording_of(drifting, "film.tif"), CERIA, 21.0, PredictionOptions(**OPTIONS))
    seen = []
    monkeypatch.setattr(predict, "joined", lambda answer, distance, *_: seen.append(distance) or answer)
    monkeypatch.setattr(predict, "MOST_BATCH", 1)
    network, card = load_network(bundled_network())
    known = Thickness(np.array([0.0]), np.array([6.0]), np.array([0.5]), "")
    options = PredictionOptions(**OPTIONS, false_discovery=1)
    list(predict.predict_film(predict.serve(network, options), card, inspected, options, None, known))
    assert len(seen) == 4
    for number, distance in enumerate(seen[1:], 1):
        both = np.isfinite(distance[4 * number :]) & np.isfinite(seen[0][: -4 * number])
        assert both.sum() > 1000
        np.testing.assert_array_equal(distance[4 * number :][both], seen[0][: -4 * number][both])
        assert not np.array_equal(np.nan_to_num(distance), np.nan_to_num(seen[0]))


def test_without_vacuum_a_thickness_by_distance_is_refused(film, tmp_path):
    (tmp_path / "net").mkdir()
    network = small_network(tmp_path / "net")
    with pytest.raises(MicrographError, match="no lattice was sought"):
        segdepth.predict(
            FILM,
            network=network,
            lens=replace(fit_of(film), pixel_pm=6.3),
            device="cpu",
            calibrate=False,
            pixel_pm=6.3,
            rotation_deg=0.0,
        )
