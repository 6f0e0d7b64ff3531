"""Judgements: at the rates that are promised, with reasons, from a file of data that is checked; and its step."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import CERIA

from segdepth.errors import ConfigError, StoreError
from segdepth.micrograph.familiarity import (
    Familiarity,
    card_key,
    measure_familiarity,
    read_familiarity,
    write_familiarity,
)
from segdepth.micrograph.familiarity.words import reason_of
from segdepth.networks.bundled import bundled_familiarity, bundled_network
from segdepth.networks.card import read_card
from segdepth.steps.measure_familiarity import measure_familiarity as step
from segdepth.store.manifest import read_manifest, write_artefact
from segdepth.store.zarr_store import write_zarr

CARD = read_card(bundled_network())
NAMES = ("dose", "brightness", "contrast", "evidence", "turn")


def drawn(number: int, seed: int) -> list[dict[str, float]]:
    """Frames of a made-up kind whose contrast falls with its brightness."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, number))
    table = {
        "dose": rng.uniform(-1, 1.4, number),
        "brightness": 0.95 + 0.02 * a,
        "contrast": 0.15 - 0.05 * a + 0.005 * b,
        "evidence": rng.uniform(4, 8, number),
        "turn": 0.003 * rng.normal(size=number),
    }
    return [dict(zip(table, values)) for values in zip(*table.values())]


@pytest.fixture(scope="module")
def known() -> Familiarity:
    return measure_familiarity(drawn(2000, 0), [("s", i // 10) for i in range(2000)], CARD, [300.0])


def test_frames_of_the_learnt_kind_are_called_so_at_the_promised_rates(known):
    assert known.rates["reference frames"] == 1600 and known.rates["held-out frames"] == 400
    assert known.rates["held-out structures"] == 40
    levels = [known.judge(one).level for one in drawn(3000, 1)]
    assert levels.count("in") / 3000 == pytest.approx(0.95, abs=0.02)
    assert levels.count("outside") / 3000 == pytest.approx(0.01, abs=0.008)
    assert known.rates["edge"] + known.rates["outside"] == pytest.approx(0.05, abs=0.04)


def test_a_combination_that_was_not_learnt_is_outside_though_each_number_was(known):
    found = known.judge({"dose": 0.1, "brightness": 0.98, "contrast": 0.24, "evidence": 6, "turn": 0.0})
    assert found.level == "outside" and found.distance > 1
    assert found.reasons == ("each single number is within its trained range, but not all of them together",)


def test_reasons_name_the_farthest_features_first(known):
    found = known.judge({"dose": 0.1, "brightness": 0.95, "contrast": 0.45, "evidence": 6, "turn": math.radians(5)})
    assert found.level == "outside"
    assert found.reasons[0].startswith("the lattice is turned (rotation) by 5°, the network has learnt -0.")
    assert found.reasons[1].startswith("the rms contrast of the crystal is 45 %, the network has learnt")
    inside = known.judge({"dose": 0.1, "brightness": 0.95, "contrast": 0.15, "evidence": 6, "turn": 0.0})
    assert inside.level == "in" and inside.reasons == () and inside.distance < 1


def test_a_feature_at_the_end_of_its_range_is_no_reason(known):
    low = float(np.percentile(known.frames[:, known.names.index("contrast")], 0.5))
    strange = {"dose": 0.1, "brightness": 0.95, "contrast": low - 1e-3, "evidence": 6, "turn": math.radians(5)}
    found = replace(known, frames=known.frames).judge(strange)
    assert len(found.reasons) == 1 and found.reasons[0].startswith("the lattice is turned")


@pytest.mark.parametrize(
    ("dose_lambda", "pixel_pm", "level"),
    [(20, 6, "in"), (30, 6, "edge"), (60, 6, "outside"), (0.04, 6, "outside"), (2, 23, "edge"), (2, 33, "outside")],
)
def test_dose_and_pixel_are_compared_with_the_networks(known, dose_lambda, pixel_pm, level):
    centre = {"dose": math.log10(dose_lambda), "brightness": 0.95, "contrast": 0.15, "evidence": 6, "turn": 0.0}
    roomy = replace(known, edge=50, outside=60)
    found = roomy.judge(centre, pixel_pm=pixel_pm)
    assert found.level == level and len(found.reasons) == (level != "in")
    assert roomy.judge(centre | {"dose": 0.0}).level == "in"


def test_a_lattice_that_cannot_be_seen_is_outside(known):
    found = replace(known, edge=50, outside=60).judge(drawn(1, 3)[0] | {"evidence": math.asinh(2.5)})
    assert found.level == "outside" and found.reasons == ("no reflections of the crystal rise above the shot noise",)


def test_a_frame_without_a_crystal_is_outside(known):
    found = known.judge({})
    assert found.level == "outside" and math.isnan(found.distance)
    assert found.reasons == ("no part of the frame is full of crystal",)


def test_a_file_holds_the_same(known, tmp_path):
    write_familiarity(known, tmp_path / "f.json")
    back = read_familiarity(tmp_path / "f.json", CARD)
    assert back.rates == known.rates and back.edge == known.edge and back.names == known.names
    for one in drawn(50, 2):
        assert back.judge(one) == known.judge(one)


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["brightness"]},
        {"frames": [[1, 2], [3]]},
        {"frames": [[float("nan")] * 5] * 30},
        {"frames": "numbers"},
        {"edge": 3.0, "outside": 1.0},
        {"outside": float("inf")},
        {"network": {}},
        {"network": {"doses": [1], "input_pixel_pm": 20}},
        {"rates": [1]},
    ],
)
def test_a_damaged_file_is_refused_in_one_line(known, tmp_path, change):
    path = tmp_path / "f.json"
    path.write_text(json.dumps(known.to_dict() | change))
    with pytest.raises(StoreError, match="is no familiarity of a network"):
        read_familiarity(path, CARD)


def test_other_files_are_refused(known, tmp_path):
    for name, text in (("a", "[]"), ("b", "{"), ("c", "\x00"), ("d", "[" * 10**5)):
        (tmp_path / name).write_text(text)
        with pytest.raises(StoreError, match="is no familiarity"):
            read_familiarity(tmp_path / name, CARD)
    with pytest.raises(StoreError, match="is no familiarity"):
        read_familiarity(tmp_path / "missing", CARD)
    write_familiarity(known, tmp_path / "f.json")
    with pytest.raises(StoreError, match="another network"):
        read_familiarity(tmp_path / "f.json", replace(CARD, temperature=2.0))


def test_too_few_frames_are_refused():
    with pytest.raises(StoreError, match="got 30 frames"):
        measure_familiarity(drawn(30, 0), [("s", i) for i in range(30)], CARD, [300.0])
    with pytest.raises(StoreError, match="got 0 frames"):
        measure_familiarity([{}] * 9, [("s", i) for i in range(9)], CARD, [300.0])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("brightness", 1.9, "the mean brightness of the crystal over the vacuum's is 1.9, the network has learnt 0.8"),
        ("amplitude 1-11", 0.104, "the amplitude of 1-11 is 10 % of the mean, the network has learnt 80 to 1.5e+02 %"),
        ("triple -111 002 1-11", 0.1, "the phases of -111, 002, 1-11 together are (cos, weighted) 10 %, the network"),
        ("depth", 12, "the mean depth that the network finds is 12 atoms, the network has learnt 0.8 to 1.5 atoms"),
    ],
)
def test_reasons_are_in_words(name, value, text):
    assert reason_of(name, value, 0.8, 1.5).startswith(text)


def test_a_reason_shows_that_the_value_lies_beyond_the_range():
    assert reason_of("contrast", 0.1649, 0.01, 0.1551).endswith("is 16 %, the network has learnt 1 to 16 %") is False
    assert reason_of("contrast", 0.1649, 0.01, 0.1551).endswith("is 16.5 %, the network has learnt 1 to 15.5 %")


# the step


def images(folder: Path, first: int, count: int, **attrs) -> Path:
    """A store of images as ``form-images`` writes it: lattices of some contrast, 64² pixels, ten defoci."""
    y, x = (np.indices((64, 64)) + 0.5) * CARD.input_pixel_pm
    made = []
    for index in range(first, first + count):
        rng = np.random.default_rng(index)
        waves = sum(
            rng.uniform(0.02, 0.06) * np.cos(2 * np.pi * (r.order[0] * x / 541.1 + r.order[1] * y / 382.6))
            for r in CERIA.reflections
        )
        made.append([1 + (0.8 + 0.04 * defocus) * waves for defocus in range(10)])
    text = {"units": "1", "long_name": "test"}
    store = xr.Dataset(
        {"intensity": (("structure", "defocus", "y", "x"), np.array(made, np.float32), text)},
        coords={"structure": ("structure", list(range(first, first + count)), text)},
        attrs={
            "pixel_pm": CARD.input_pixel_pm,
            "crystal": json.dumps(CARD.crystal),
            "specimen": "fresh",
            "root_seed": 5,
            "energy_kev": 300.0,
        }
        | attrs,
    )
    path = folder / f"shard-{first:03d}.zarr"
    with write_artefact(path, command="form-images", code="code", parameters={}) as partial:
        write_zarr(store, partial, leading=("structure", "defocus"), parameters={})
    return path


def test_the_step_writes_what_predictions_read(tmp_path):
    shards = [images(tmp_path, 0, 8), images(tmp_path, 8, 4)]
    out = tmp_path / "out" / "bundled.json"
    rates = step(bundled_network(), shards, out, code="code", device="cpu")
    known = read_familiarity(out, CARD)
    assert rates == known.rates and rates["held-out structures"] == 2
    assert rates["reference frames"] + rates["held-out frames"] <= 120
    assert known.network["crystal"] == "CeO2 [110]" and known.network["card"] == card_key(CARD)
    manifest = read_manifest(out)
    assert manifest["command"] == "measure-familiarity" and len(manifest["inputs"]) == 3
    again = tmp_path / "again" / "bundled.json"
    step(bundled_network(), shards, again, code="code", device="cpu")
    assert again.read_bytes() == out.read_bytes()


def test_the_step_refuses_images_that_are_not_the_networks(tmp_path):
    other = images(tmp_path, 0, 1, pixel_pm=10.0)
    with pytest.raises(StoreError, match="its pixel is 10 pm"):
        step(bundled_network(), [other], tmp_path / "f.json", code="code")
    record = CARD.training_record[0]
    seen = images(tmp_path / "seen", 0, 3, specimen=record["specimen"], root_seed=record["root_seed"])
    with pytest.raises(ConfigError, match="was trained on"):
        step(bundled_network(), [seen], tmp_path / "f.json", code="code")


# the file of the bundled network


@pytest.fixture(scope="module")
def bundled() -> Familiarity:
    if not bundled_familiarity().exists():
        pytest.skip("no familiarity comes with this version")
    return read_familiarity(bundled_familiarity(), CARD)


def test_the_bundled_networks_file_is_small_and_its_rates_are_those_promised(bundled):
    assert bundled_familiarity().stat().st_size < 300_000
    assert bundled.rates["edge"] < 0.1 and bundled.rates["outside"] < 0.08
    assert read_manifest(bundled_familiarity())["command"] == "measure-familiarity"


def test_another_energy_is_outside_whatever_the_features(known):
    usual = drawn(1, 3)[0]
    assert known.energies_kev == (300.0,)
    for energy in (None, 300.0, 299.0):
        assert known.other_energy(energy) == "" and known.judge(usual, energy_kev=energy).level != "outside"
    judged = known.judge(usual, energy_kev=80.0)
    assert judged.level == "outside" and "80 kV" in judged.reasons[0] and "300 kV" in judged.reasons[0]
