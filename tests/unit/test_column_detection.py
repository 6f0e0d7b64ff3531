"""Likelihood ratios and false discovery rates of columns, on counts drawn from known rates."""

from unittest import mock

import numpy as np
import pytest
from column_data import ideal, one_hot
from conftest import CERIA, RINGS
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from segdepth.micrograph.columns import FilmSites, detection, find_columns
from segdepth.micrograph.columns.detection import LEAST_GAIN, detect
from segdepth.micrograph.columns.likelihood import log_ratios, ring_sums
from segdepth.micrograph.columns.pooling import owned_pixels

PIXEL = RINGS.pixel_pm
LABELS = RINGS.model_dump(mode="json")
MAP, _ = ideal("flat", 0)
MAP = MAP[84:228, 60:188]
"""A wedge's edge: vacuum at large y."""


def image(depth, bright=0.25, faint=0.0):
    """Rates (y, x), vacuum 1: the heavier columns brighter than vacuum, the others ``faint`` brighter."""
    rates = np.ones(depth.shape)
    table = find_columns(one_hot(depth), PIXEL, CERIA, LABELS)
    y, x = ((np.arange(count) + 0.5) * PIXEL for count in depth.shape)
    for name, element in ((bright, "Ce"), (faint, "O")):
        for _, column in table[table["element"] == element].iterrows():
            square = (x - column["x_pm"]) ** 2 + (y[:, None] - column["y_pm"]) ** 2
            rates += name * np.exp(-square / (2 * 45.0**2))
    return rates


def unsure(depth, share=0.03):
    """Probabilities of a network that is nearly sure of a depth map."""
    return ((1 - share) * one_hot(depth) + share / RINGS.classes).astype(np.float32)


def film(probabilities):
    return FilmSites.start([probabilities], PIXEL, CERIA, LABELS)


def with_a_patch(depth, truth=MAP):
    """The map with columns in the vacuum next to the crystal, and whether a table's rows are of these."""
    made = depth.copy()
    rows = np.flatnonzero(depth.any(axis=1))
    edge = rows[-1] + 1
    made[edge : edge + 18, 20:100] = depth[edge - 36 : edge - 18, 20:100]

    def invented(table):
        i, j = ((table[name] / PIXEL).astype(int).to_numpy() for name in ("y_pm", "x_pm"))
        return truth[i, j] == 0

    return made, invented


# --- the likelihood ratio -------------------------------------------------------------------------------------------


def test_ring_sums_are_those_of_the_pixels():
    rng = np.random.default_rng(0)
    electrons = rng.poisson(5.0, (15, 20))
    x, y = np.array([91.3, 242.1, 398.7]), np.array([77.9, 203.3, 48.1])
    owned = owned_pixels(x, y, np.array([80.0, 80.0, 50.0]), np.ones((15, 20), bool), 20.0)
    summed, number = ring_sums(owned, electrons)
    i, j = np.indices((15, 20))
    for site in range(3):
        far = np.hypot((j + 0.5) * 20 - x[site], (i + 0.5) * 20 - y[site])
        for ring, (low, high) in enumerate(((0, 30), (30, 60), (60, [80, 80, 50][site] + 1e-6))):
            here = (far >= low) & (far < high) & (far <= [80, 80, 50][site])
            assert summed[site, ring] == electrons[here].sum() and number[site, ring] == here.sum()


def columns_alike(rates, level, sites=400, pixels=(6, 18, 28), seed=0):
    """Electrons and pixels (site, ring) of columns of one kind with these rates over the vacuum's."""
    number = np.tile(np.array(pixels, float), (sites, 1))
    return np.random.default_rng(seed).poisson(number * level * np.array(rates)).astype(float), number


def sure_of(depth, sites, classes=11):
    vectors = np.full((sites, classes), 1e-6)
    vectors[:, depth] = 1
    return vectors / vectors.sum(axis=1, keepdims=True)


def test_of_columns_that_are_all_alike_it_is_the_poisson_one():
    """Eq. 3.2 with the true rates; templates from 400 columns are nearly these."""
    rates, level = np.array([1.5, 1.2, 0.9]), 10.0
    y, n = columns_alike(rates, level)
    found = log_ratios(y, n, level, np.zeros(400, int), sure_of(4, 400), np.ones(400, bool))
    wanted = (poisson.logpmf(y, n * level * rates) - poisson.logpmf(y, n * level)).sum(axis=1)
    assert np.abs(found - wanted - np.log(0.91)).max() < 0.05 * wanted.mean()


@given(st.floats(0.3, 30.0), st.floats(1.2, 4.0))
def test_a_columns_own_counts_are_not_its_template(level, rate):
    """A lone column is compared with vacuum on both sides, however bright it is."""
    y, n = columns_alike([rate] * 3, level, sites=1)
    lone = log_ratios(y, n, level, np.zeros(1, int), sure_of(4, 1), np.ones(1, bool))
    assert lone[0] < 0.05 + 0.01 * (poisson.logpmf(y, y) - poisson.logpmf(y, n * level)).sum()
    y, n = columns_alike([rate] * 3, level, sites=50)
    y[0] = n[0] * level
    many = log_ratios(y, n, level, np.zeros(50, int), sure_of(4, 50), np.ones(50, bool))
    assert many[0] < 0 < np.median(many[1:])


def test_depths_have_their_own_rates():
    """Half of the columns are thick and bright, half thin and dark; each is judged by its like."""
    level = 20.0
    bright, n = columns_alike([1.4] * 3, level, 60)
    dark, _ = columns_alike([0.8] * 3, level, 60, seed=1)
    vectors = np.concatenate([sure_of(8, 60), sure_of(2, 60)])
    y, n, kind = np.vstack([bright, dark]), np.vstack([n, n]), np.zeros(120, int)
    found = log_ratios(y, n, level, kind, vectors, np.ones(120, bool))
    assert found.min() > 5


def test_it_means_what_it_says_in_vacuum():
    """Mean of exp(llr) over vacuum is at most 1 (Markov), with templates learnt elsewhere."""
    level = 1.0
    y, n = columns_alike([1.15] * 3, level, 300)
    empty, _ = columns_alike([1.0] * 3, level, 3000, seed=1)
    seen = np.arange(3300) < 300
    y, n = np.vstack([y, empty]), np.tile(n[:1], (3300, 1))
    found = log_ratios(y, n, level, np.zeros(3300, int), sure_of(4, 3300), seen)
    assert 0.8 < np.exp(found[~seen]).mean() < 1.1 and found[seen].mean() > 0.3


# --- false discoveries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.3, 3.0, 50.0])
def test_noise_holds_no_column_though_a_network_sees_a_crystal(level):
    """40 frames each; at 0.3 electrons a pixel, and at 50."""
    rng, probabilities = np.random.default_rng(3), unsure(MAP)
    sites = film(probabilities)
    assert len(sites.columns(probabilities, None)) > 150
    found = [len(sites.columns(probabilities, rng.poisson(level, MAP.shape), level)) for _ in range(40)]
    assert found == [0] * 40


def test_a_crystal_keeps_its_columns_though_some_are_as_bright_as_the_vacuum():
    level, probabilities = 40.0, unsure(MAP)
    counts = np.random.default_rng(1).poisson(level * image(MAP))
    sites = film(probabilities)
    table, every = sites.columns(probabilities, counts, level), sites.columns(probabilities, None)
    assert len(table) > 0.99 * len(every) and (table["q_value"] <= 0.01).all()
    llr = table.groupby("element")["llr"].median()
    assert llr["Ce"] > 10 and abs(llr["O"]) < 2
    assert every["llr"].isna().all() and every["q_value"].isna().all()


@pytest.mark.parametrize("faint", [0.0, 0.08])
def test_columns_that_a_network_invents_next_to_a_crystal_are_removed(faint):
    """A patch of a cell by three, at 895 electrons per square angstrom."""
    made, invented = with_a_patch(MAP)
    probabilities, level = unsure(made), 40.0
    sites, rates = film(probabilities), image(MAP, faint=faint)
    before = after = real_before = real_after = 0
    for seed in range(5):
        table = sites.columns(probabilities, np.random.default_rng(seed).poisson(level * rates), level)
        every = sites.columns(probabilities, None)
        before, after = before + invented(every).sum(), after + invented(table).sum()
        real_before, real_after = real_before + (~invented(every)).sum(), real_after + (~invented(table)).sum()
    assert before > 5 * 12 and after <= 0.01 * real_after and real_after > 0.98 * real_before


def test_a_lattice_seen_in_noise_does_not_move_the_names_of_a_film():
    """Moving by a third of a period from frame to frame, and nearly a whole one in all."""
    probabilities, level = unsure(MAP[16:]), 40.0
    counts = np.random.default_rng(7).poisson(level * image(MAP[16:]))
    noise = np.random.default_rng(8).poisson(level, counts.shape)
    sites, late = film(probabilities), film(np.zeros_like(probabilities))
    first = sites.columns(probabilities, counts, level)
    for step in (5, 10, 16):
        seen = unsure(MAP[16 - step : -step])
        assert sites.columns(seen, noise, level).empty and late.columns(seen, noise, level).empty
    assert sites.columns(probabilities, counts, level).equals(first)
    assert late.columns(probabilities, counts, level).equals(first)


def test_a_lower_level_keeps_fewer_columns():
    made, _ = with_a_patch(MAP)
    probabilities = unsure(made)
    counts = np.random.default_rng(5).poisson(6.0 * image(MAP))
    sizes = [len(film(probabilities).columns(probabilities, counts, 6.0, false_discovery=q)) for q in (0.5, 0.05, 1e-4)]
    assert sizes[0] >= sizes[1] >= sizes[2] and sizes[0] > sizes[2]


def test_counts_on_a_finer_grid_are_summed():
    probabilities, level = unsure(MAP), 12.0
    counts = np.random.default_rng(2).poisson(level / 4 * np.kron(image(MAP), np.ones((2, 2))))
    summed = counts.reshape(MAP.shape[0], 2, MAP.shape[1], 2).sum(axis=(1, 3))
    fine = film(probabilities).columns(probabilities, counts[:-1], level / 4)  # the last label pixels are not whole
    coarse = film(probabilities).columns(probabilities, summed, level)
    both = fine.merge(coarse, on="column")
    assert len(both) > 0.98 * len(coarse) and np.median(np.abs(both["llr_x"] - both["llr_y"])) < 1e-9


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.95))
def test_the_q_value_is_the_expected_share_of_false_columns(seed, share):
    """By its definition, and true in the mean: sites with a known llr, half of the network's columns false."""
    rng = np.random.default_rng(seed)
    real = rng.random(600) < share
    llr = np.where(real, 3.0, -3.0) + rng.normal(0, np.sqrt(6), 600)  # normal with mean +- variance / 2
    neighbours = np.full((600, 2), -1)
    with mock.patch.object(detection, "LEAST_GROUP_GAIN", 0.0):  # each site is a group
        found = detect(llr, np.full(600, 0.8), neighbours, np.ones(600, bool), np.ones(600, bool))
    kept = found.q_value <= 0.1
    assert kept.any() == (found.gain >= LEAST_GAIN)
    if kept.any():
        assert (1 - found.posterior[kept]).mean() == pytest.approx(found.q_value[kept].max())
        assert (~real[kept]).mean() < 0.1 + 3 * np.sqrt(0.1 / kept.sum())


def test_nothing_tested_is_nothing_found():
    found = detect(np.full(5, 9.0), np.full(5, 0.1), np.full((5, 1), -1), np.ones(5, bool), np.zeros(5, bool))
    assert (found.q_value == 1).all() and found.gain == 0


def test_a_lattice_invented_in_vacuum_needs_electrons_of_its_own():
    """Sites that all claim a column, whose electrons say nothing: with the vacuum known only a proved one is left."""
    count = 60
    llr = np.full(2 * count, -0.3)
    llr[:count], llr[-1] = 12.0, 25.0  # a crystal beside it, and one adatom
    present = np.full(2 * count, 0.95)
    around = np.arange(2 * count)[:, None] + np.array([-2, -1, 1, 2])
    neighbours = np.where((around >= 0) & (around < 2 * count), around, -1)
    everywhere = np.ones(2 * count, dtype=bool)
    vacuum = np.arange(2 * count) >= count
    believed = detect(llr, present, neighbours, everywhere, everywhere).q_value
    proved = detect(llr, present, neighbours, everywhere, everywhere, vacuum).q_value
    assert (believed[count:] < 0.01).mean() > 0.9  # they confirm each other
    assert (proved[count:-1] > 0.01).all() and proved[-1] < 0.01 and (proved[:count] < 0.01).all()


@pytest.mark.parametrize(("own", "kept"), ((0.1, False), (2.0, True)))
def test_a_group_apart_from_the_crystal_needs_electrons_of_its_own(own, kept):
    """A network that sees a second crystal of 12 columns: their electrons, each with little to say, decide."""
    count, group = 100, np.arange(60, 72)
    llr, present = np.full(count, -1.0), np.full(count, 0.02)
    llr[:40], present[:40] = 12.0, 0.95
    llr[group], present[group] = own, 0.95
    around = np.arange(count)[:, None] + np.array([-2, -1, 1, 2])
    neighbours = np.where((around >= 0) & (around < count), around, -1)
    found = detect(llr, present, neighbours, np.ones(count, bool), present > 0.5)
    assert (found.posterior[group] > 0.95).all()  # they confirm each other
    assert (found.q_value[:40] < 0.01).all() and ((found.q_value[group] < 0.01) == kept).all()
    assert (found.q_value[40:60] == 1).all()
