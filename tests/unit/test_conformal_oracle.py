"""The sets of `segdepth.evaluation.conformal` beside those of MAPIE, whose score "lac" is the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segdepth.evaluation.conformal import sets, thresholds

mapie = pytest.importorskip("mapie.classification")
base = pytest.importorskip("sklearn.base")  # MAPIE brings it

CLASSES, STEPS = 5, 16
ELEMENTS = np.array(["A", "B", "C"])


class Given(base.ClassifierMixin, base.BaseEstimator):
    """A classifier whose features are its probabilities."""

    classes_ = np.arange(CLASSES)

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return X.argmax(axis=1)


def columns(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities in steps of 1/16, so that scores are exact and many are equal, true counts and elements."""
    shares = rng.dirichlet(np.full(CLASSES, 0.7), count)
    probabilities = np.array([rng.multinomial(STEPS, share) for share in shares]) / STEPS
    return probabilities, rng.integers(0, CLASSES, count), rng.choice(ELEMENTS, count, p=[0.5, 0.3, 0.2])


def oracle(calibration, probabilities: np.ndarray, coverage: float) -> np.ndarray:
    """MAPIE's sets, bool (column, class)."""
    split = mapie.SplitConformalClassifier(Given(), confidence_level=coverage, conformity_score="lac")
    return split.conformalize(*calibration).predict_set(probabilities)[1][..., 0]


@pytest.mark.filterwarnings("ignore:WARNING. your conformalization dataset has less labels:UserWarning")
@settings(max_examples=60, deadline=None)
@given(st.integers(6, 90), st.integers(1, 30), st.integers(33, 62), st.integers(0, 2**32 - 1))
def test_sets_are_those_of_mapie_element_by_element(known, tested, sixtyfourths, seed):
    """Coverages in 1/64, so that ranks are exact; MAPIE asks for at least 1 / (1 - coverage) scores."""
    coverage, rng = sixtyfourths / 64, np.random.default_rng(seed)
    calibration, (probabilities, _, element) = columns(rng, known), columns(rng, tested)
    held = sets(probabilities, element, thresholds(*calibration, coverage))
    compared = 0
    for one in ELEMENTS:
        mine, theirs = element == one, calibration[2] == one
        if not mine.any() or theirs.sum() < max(2, 1 / (1 - coverage)):
            continue
        expected = oracle((calibration[0][theirs], calibration[1][theirs]), probabilities[mine], coverage)
        empty = ~expected.any(axis=1)
        assert (held[mine][~empty] == expected[~empty]).all()
        # MAPIE leaves a set empty where no count passes; ours then holds the most probable one
        assert (held[mine][empty].argmax(axis=1) == probabilities[mine][empty].argmax(axis=1)).all()
        assert (held[mine][empty].sum(axis=1) == 1).all()
        compared += mine.sum()
    assume(compared)
