"""A yardstick whose recordings have their lens fitted: the counts follow the fit, and stay where it is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from adaptation_data import FIT
from conftest import CERIA
from film_data import crystal_film

import segdepth
from segdepth.config import Dataset, Imaging, Specimen, Yardstick
from segdepth.errors import MicrographError
from segdepth.fitting.result import FittedBin
from segdepth.networks.bundled import bundled_network
from segdepth.steps import measure_yardstick as step

FILM, PIXEL = crystal_film(1, electrons=12), 7.0
DATASET = Dataset(specimen="s", beam="b", imaging="i", labels="l", splits={"test": 1, "validation": 0, "train": 0})
REFUSED = "film: no vacuum is in the field"


@pytest.fixture(scope="module")
def alone() -> pd.DataFrame:
    """What the network says without a fit; for the step it is the truth."""
    with pytest.warns(UserWarning, match="NOT RELIABLE"):
        _, columns = segdepth.predict(FILM, network="bundled", device="cpu", pixel_pm=PIXEL)
    return columns.assign(x_pm=columns["x_px"] * PIXEL, y_pm=columns["y_px"] * PIXEL, atoms=columns["depth"])


def fit_of(dose: float, atoms: float):
    bins = tuple(FittedBin(distance, atoms, 0.3, 30.0, 30.0, 30.0) for distance in (200.0, 1500.0))
    return replace(FIT, crystal=CERIA.to_dict(), dose_e_per_a2=dose, bins=bins, pixel_pm=PIXEL)


@pytest.fixture
def measured(alone, tmp_path, monkeypatch):
    """The step's tables of columns and frames with fits, one a recording of the same film; a text is a refusal."""

    def run(*fits: float | str, fit_lens: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
        left = list(fits)

        def recordings(*_):
            for number in range(len(fits)):
                truth = {"structure": number, "recording": 0, "pixel_pm": PIXEL}
                yield truth, FILM[0], PIXEL, 300.0, alone[["x_pm", "y_pm", "element", "atoms"]]

        def fit_film(recording, crystal, options, **_):
            assert options.energy_kev == 300 and options.pixel_pm == PIXEL
            answer = left.pop(0)
            if isinstance(answer, str):
                raise MicrographError(answer)
            return SimpleNamespace(fit=fit_of(12 / (PIXEL / 100) ** 2, answer))

        monkeypatch.setattr(step, "_recordings", recordings)
        monkeypatch.setattr(step, "fit_film", fit_film)
        monkeypatch.setattr(step, "table_code", lambda: "code")
        specimen = Specimen(crystal="ceria", structures=len(fits))
        given = Yardstick(dataset="d", fit_lens=fit_lens), DATASET, specimen, Imaging(defocus_nm=(4,))
        out = tmp_path / "out"
        step.measure_yardstick(*given, bundled_network(), [], [], out, name="film", code="code", device="cpu")
        return pd.read_csv(out / "columns.csv"), pd.read_csv(out / "frames.csv")

    return run


def test_counts_follow_the_fit_and_stay_where_it_is_refused(measured, alone):
    columns, frames = measured(9.0, REFUSED, 1.0)
    assert frames["fit"].tolist() == ["explained", "refused", "explained"]
    assert frames["fit_reason"].fillna("").tolist() == ["", REFUSED, ""]
    more, same, less = (columns[columns["structure"] == number]["depth"].to_numpy() for number in range(3))
    np.testing.assert_array_equal(same, alone["depth"])
    assert more.mean() > same.mean() + 0.3 and less.mean() < same.mean() - 0.1


def test_without_fit_lens_none_is_made(measured, alone):
    columns, frames = measured("never asked", fit_lens=False)
    assert "fit" not in frames
    np.testing.assert_array_equal(columns["depth"], alone["depth"])
