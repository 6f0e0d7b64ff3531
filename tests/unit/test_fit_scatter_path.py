"""From a recording to the scatter of columns in the file of a lens fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from test_fit_roughness import REPEATS, THICKNESS, UPRIGHT, image
from test_lens_fit import crystal, parameters, small_table

from segdepth.config import LensFitOptions
from segdepth.fitting import film_fit
from segdepth.fitting.fit import Solution
from segdepth.fitting.model import CellModel, Held
from segdepth.fitting.result import FittedBin, read_lens_fit, write_lens_fit
from segdepth.micrograph.files.recording import recording_of

ELECTRONS, PIXEL = 40.0, 10.0
OPTIONS = LensFitOptions(pixel_pm=PIXEL, rotation_deg=0.0, energy_kev=300.0)


def recorded(deviation: float) -> np.ndarray:
    """Counts (y, x) of a crystal whose columns scatter so, with vacuum at +y."""
    rng = np.random.default_rng(5)
    scatter = np.rint(rng.normal(0, deviation, (*REPEATS, len(crystal().columns)))).astype(int).clip(-4, 4)
    whole = np.tile(image(scatter), (2, 2))
    whole = np.concatenate([whole, np.ones((120, whole.shape[1]))])
    return rng.poisson(ELECTRONS * whole)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("tables"), 12)


@pytest.fixture
def fitted(table, monkeypatch):
    """``fit_film`` of counts, the search for the lens left out: it is the one that they were made with."""

    def solution(cells, table, *, c5_mm, convergence_mrad, given):
        found = [each.distance_pm for each in cells.bins]
        model = CellModel(table, cells.orders, Held(c5_mm, 0.0, cells.box), torch.float64)
        lens = UPRIGHT | {"exit_share": 0.5, "focal_spread": 4.0, "image_spread": 20.0}
        bins = tuple(FittedBin(at, float(THICKNESS), 0.3, 30.0, 30.0, 30.0) for at in found)
        values = dict.fromkeys(film_fit.SHOWN, 1.0) | {"defocus_nm": 7.0}
        nothing = np.zeros((len(found), 1))
        p = parameters([float(THICKNESS)] * len(found), **lens)[0]
        errors = dict.fromkeys(values)
        return Solution(values, errors, bins, 30.0, 30.0, (), True, (), nothing, nothing, model, p)

    monkeypatch.setattr(film_fit, "wave_table", lambda *_: table)
    monkeypatch.setattr(film_fit, "fit_cells", solution)
    return lambda counts: film_fit.fit_film(recording_of(counts, "film"), crystal(), OPTIONS, table_code="code").fit


def test_the_scatter_of_a_recordings_columns_is_in_the_fits_file_and_told(fitted, tmp_path):
    rough, smooth = recorded(1.5), recorded(0.0)
    fits = []
    for counts in (rough, smooth):
        fit = fitted(counts)
        write_lens_fit(fit, tmp_path / "fit.json")
        fits.append(read_lens_fit(tmp_path / "fit.json"))
        assert fits[-1] == fit
    assert 1.1 < fits[0].roughness_atoms < 2.2 and fits[1].roughness_atoms == 0.0
    assert any("single columns scatter by" in line for line in fits[0].lines)
    assert any("are not seen to scatter" in line for line in fits[1].lines)


def test_a_resampled_file_tells_no_scatter_and_the_user_is_told(fitted):
    counts = ndimage.shift(recorded(0.0).astype(float), (0.5, 0.5), order=1, mode="nearest")
    fit = fitted(counts)
    assert fit.roughness_atoms is None
    told = [line for line in fit.lines if "scatter" in line]
    assert len(told) == 1 and "not that of single electrons" in told[0]
    assert any("share noise" in line for line in fit.lines)
