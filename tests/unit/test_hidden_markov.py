"""The hidden Markov model of a column's atoms, against enumeration of all paths, and events of simulated chains."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from segdepth.micrograph.tracks.events import (
    changes_of,
    column_events,
    path_changes,
    q_values,
)
from segdepth.micrograph.tracks.hidden_markov import (
    PRIOR_FRAMES,
    Rates,
    counts_of,
    fit_rates,
    improved,
    most_probable_path,
    smoothed,
    transition_matrices,
)

RATE = st.floats(0.001, 0.6)


def one_rate(up: float, down: float, columns: int = 1) -> Rates:
    return Rates(np.full(columns, up), np.full(columns, down))


RATES = st.builds(one_rate, RATE, RATE)
SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 4))


@given(RATES, st.integers(2, 12))
def test_rows_of_the_transition_matrix_sum_to_one(rates, states):
    (matrix,) = transition_matrices(rates, states)
    assert np.allclose(matrix.sum(axis=1), 1) and (matrix >= 0).all()
    assert not matrix[np.abs(np.subtract.outer(range(states), range(states))) > 1].any()


@given(RATES, SHAPES, st.integers(0, 10_000))
def test_against_all_paths(rates, shape, seed):
    """Posterior, gains, losses, evidence and the most probable path by enumeration."""
    frames, states = shape
    seen = np.random.default_rng(seed).normal(0, 2, (1, frames, states)) - 300  # one factor for all is of no account
    (matrix,), posterior = transition_matrices(rates, states), np.zeros((frames, states))
    gains, losses = np.zeros((2, max(frames - 1, 0), states - 1))
    total, best, best_path = 0.0, -1.0, ()
    for path in product(range(states), repeat=frames):
        weight = np.prod([matrix[a, b] for a, b in zip(path, path[1:])]) / states
        weight *= np.exp(sum(seen[0, t, s] + 300 for t, s in enumerate(path)))
        total += weight
        if weight > best:
            best, best_path = weight, path
        for t, s in enumerate(path):
            posterior[t, s] += weight
        for t, (a, b) in enumerate(zip(path, path[1:])):
            if b > a:
                gains[t, a] += weight
            elif b < a:
                losses[t, b] += weight
    found = smoothed(seen, rates)
    assert np.allclose(found.posterior[0], posterior / total)
    assert np.allclose(found.gains[0], gains / total) and np.allclose(found.losses[0], losses / total)
    assert found.log_evidence[0] == pytest.approx(np.log(total) - 300 * frames)
    assert tuple(most_probable_path(seen, rates)[0]) == best_path


@given(RATE, RATE, st.integers(0, 1000))
def test_no_step_of_the_fit_makes_the_rates_less_probable(up, down, seed):
    """With the beta distribution of the columns' kind as prior."""
    seen, kind = np.random.default_rng(seed).normal(0, 2, (3, 12, 4)), np.array([0.1, 0.02])
    rates = one_rate(up, down, 3)

    def density(at: Rates) -> np.ndarray:
        prior = sum(
            PRIOR_FRAMES * (mean * np.log(r) + (1 - mean) * np.log(1 - r)) for mean, r in zip(kind, (at.up, at.down))
        )
        return smoothed(seen, at).log_evidence + prior

    for _ in range(3):
        new = improved(*counts_of(smoothed(seen, rates)), kind)
        assert (density(new) >= density(rates) - 1e-9).all()
        rates = new


def simulated(up: float, down: float, columns: int, frames: int, states: int, sharp: float, seed: int):
    """True paths, and probability vectors of an observer who is right about how unsure it is: of noisy numbers around
    the count, with each count as likely."""
    rng = np.random.default_rng(seed)
    (matrix,), paths = transition_matrices(one_rate(up, down), states), np.zeros((columns, frames), int)
    paths[:, 0] = rng.integers(0, states, columns)
    for t in range(1, frames):
        drawn = rng.random((columns, 1))
        paths[:, t] = (np.cumsum(matrix[paths[:, t - 1]], axis=1) < drawn).sum(axis=1)
    number = paths + rng.normal(0, 1 / sharp, paths.shape)
    weight = np.exp(-0.5 * (sharp * (number[..., None] - np.arange(states))) ** 2)
    return paths, weight / weight.sum(axis=-1, keepdims=True)


def as_tracks(probability: np.ndarray, frame_s: float = 0.5) -> xr.Dataset:
    columns, frames, classes = probability.shape
    return xr.Dataset(
        {"probability": (("column", "frame", "class"), probability)},
        {
            "column": [f"{n},0,A1" for n in range(columns)],
            "element": ("column", ["A"] * columns),
            "place": ("column", ["edge"] * columns),
            "time_s": ("frame", frame_s * np.arange(frames)),
        },
        {"frame_s": frame_s},
    )


def test_rates_are_learnt_from_the_film():
    _, probability = simulated(0.03, 0.06, 60, 200, 5, sharp=2.0, seed=4)
    found = fit_rates(np.log(np.maximum(probability, 1e-6)))
    assert found.up.mean() == pytest.approx(0.03, rel=0.2) and found.down.mean() == pytest.approx(0.06, rel=0.2)


def test_a_column_that_changes_often_is_told_from_its_neighbours():
    """Half of the columns stand still."""
    _, quick = simulated(0.1, 0.1, 10, 150, 4, sharp=2.0, seed=1)
    _, still = simulated(1e-9, 1e-9, 10, 150, 4, sharp=2.0, seed=2)
    found = fit_rates(np.log(np.maximum(np.concatenate([quick, still]), 1e-6)))
    assert found.up[:10].min() > 0.04 and np.median(found.up[10:]) < 0.02


def test_listed_events_are_as_often_false_as_promised():
    """Where the observer is honest, the share of listed events without a true one near is about the rate aimed at."""
    paths, probability = simulated(0.02, 0.02, 80, 200, 5, sharp=1.2, seed=2)
    found = column_events(as_tracks(probability), false_discovery=0.1)
    events = found.events[found.events["listed"]]
    wrong = 0
    for row in events.itertuples():
        path = paths[int(row.column.split(",")[0])]
        frame, window = round(row.time_s / 0.5), max(3, round(4 * row.time_error_s / 0.5))
        near = path[max(frame - window, 0) : frame + window]
        steps = np.diff(near)
        wrong += not (steps * np.sign(row.after - row.before) > 0).any()
    assert len(events) > 30
    assert wrong / len(events) < 0.15
    assert set(found.rates.columns) >= {"gain_per_s", "loss_per_s"}


def test_an_event_says_when_and_how_sure():
    probability = np.full((2, 40, 4), 0.02)
    probability[0, :20, 1] = probability[0, 20:, 2] = 0.94
    probability[1, :, 1] = 0.94
    probability[1, 7] = np.nan  # a frame in which nothing is known
    found = column_events(as_tracks(probability))
    assert len(found.events) == 1
    one = found.events.iloc[0]
    assert (one["column"], one["before"], one["after"]) == ("0,0,A1", 1, 2)
    assert one["time_s"] == pytest.approx(10.0, abs=0.1) and one["time_error_s"] < 0.2
    assert one["probability"] > 0.99 and one["llr"] > 10 and one["listed"]
    assert np.array_equal(found.path[1], np.ones(40))
    assert found.posterior[1, 7, 1] > 0.99


def test_changes_of_several_atoms_at_once_are_one():
    assert path_changes(np.array([1, 1, 2, 3, 3, 2, 3])) == [(2, 3), (5, 5), (6, 6)]
    assert path_changes(np.array([2, 2, 2])) == []


def test_q_values_count_decoys():
    """Two films' worth of decoys; a surer event is never less sure."""
    found = q_values(np.array([1.0, 5.0, 3.0, 2.0]), np.array([4.0, 3.0, 1.5, 1.5, 1.2, 0.5]), times=2)
    assert np.allclose(found, [0.75, 0.5, 0.5, 0.5])  # 0.5, 1.5, 1.5 and 3 false among 1, 2, 3 and 4
    assert not len(q_values(np.zeros(0), np.zeros(3), 1))


def test_columns_that_never_change_have_no_listed_events_however_overconfident():
    """Probabilities that scatter more than they should."""
    _, probability = simulated(1e-9, 1e-9, 60, 150, 4, sharp=1.0, seed=8)
    bold = probability**3 / (probability**3).sum(axis=-1, keepdims=True)
    found = column_events(as_tracks(bold))
    assert len(found.events) > 20 and found.events["listed"].sum() <= 2


def test_films_without_a_change_hardly_ever_list_an_event():
    """An honest observer; without the one decoy more, every fifth such film listed an event."""
    listing = 0
    for seed in range(30):
        _, probability = simulated(1e-9, 1e-9, 12, 60, 4, sharp=1.2, seed=100 + seed)
        listing += column_events(as_tracks(probability)).events["listed"].any()
    assert listing <= 4


def test_the_same_film_gives_the_same_events():
    _, probability = simulated(0.02, 0.02, 10, 60, 4, sharp=1.2, seed=3)
    one, other = (column_events(as_tracks(probability)).events for _ in range(2))
    assert one.equals(other)


def test_changes_of_single_frames_and_averages():
    probability = np.zeros((1, 5, 3))
    probability[0, [0, 1, 3, 4], [0, 0, 2, 1]] = 1
    probability[0, 2] = np.nan
    found = changes_of(probability, 3, 0.1)
    assert found["time_s"].tolist() == pytest.approx([0.9, 1.2])
    assert found[["before", "after"]].to_numpy().tolist() == [[0, 2], [2, 1]]
