"""Which of the package's networks predicts a film: the one that has learnt such frames, or the one that is named."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from film_data import KNOWN, PIXEL, card, crystal_film, predict_micrograph, small_network, vacuum_film, without
from hypothesis import given
from hypothesis import strategies as st

import segdepth
from segdepth.config import PredictionOptions
from segdepth.errors import ConfigError
from segdepth.micrograph import choice
from segdepth.micrograph.choice import Candidate, choose, inspect_and_choose, load_candidates
from segdepth.micrograph.familiarity.judgement import Judgement
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.predict import crystal_of
from segdepth.networks import bundled
from segdepth.networks.card import write_card
from segdepth.networks.files import load_network
from segdepth.store.manifest import read_manifest

FIRST, SECOND = "bundled", "bundled_particles"
PAIR = [Candidate(name, None, None, None, None) for name in (FIRST, SECOND)]
FILM = crystal_film(1, electrons=12)
OPTIONS = PredictionOptions(**KNOWN)


def near(distance: float) -> Judgement:
    """Of a frame at this share of the limit."""
    level = "outside" if distance > 1 else "edge" if distance > 0.8 else "in"
    return Judgement(level, distance, ("it is darker",) if distance > 1 else ())


def chosen(first, second) -> tuple[str, str]:
    winner, line = choose(PAIR, {FIRST: first, SECOND: second})
    return winner.name, line


# --- the choice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "distances, expected", [((1.7, 0.8), SECOND), ((0.9, 0.95), FIRST), ((0.9, 0.3), SECOND), ((2.0, 1.5), SECOND)]
)
def test_the_nearer_network_is_chosen_and_both_distances_are_told(distances, expected):
    name, line = chosen([near(distances[0])], [near(distances[1])])
    assert name == expected and line.startswith(
        f"network: {expected}, since the film is nearer to what it has learnt ("
    )
    assert all(f"{distance:.2g} of its limit" in line for distance in distances)
    mine, other = sorted(distances)
    assert line.index(f"{mine:.2g} of") < line.index(f"{other:.2g} of")


def test_the_first_is_chosen_where_nothing_speaks_for_the_second():
    empty = Judgement("outside", math.nan, ("no part of the frame is full of crystal",))
    for judged in (near(0.9), near(1.3), empty):
        name, line = chosen([judged], [judged])
        assert name == FIRST and "no other is nearer to the film" in line
    assert chosen([empty], [near(5.0)])[0] == SECOND and chosen([near(5.0)], [empty])[0] == FIRST
    assert "bundled_particles: no part of the frame is full of crystal" in chosen([near(5.0)], [empty])[1]


def test_a_network_that_has_not_learnt_the_energy_is_behind_one_that_has():
    other = Judgement("outside", 0.4, ("the file says 200 kV, the network has learnt 300 kV",))
    name, line = chosen([other], [near(0.9)])
    assert name == SECOND and "bundled: the file says 200 kV" in line


@given(st.lists(st.floats(0, 3), min_size=1, max_size=3), st.randoms())
def test_the_middle_frame_decides_in_whatever_order_they_come(distances, random):
    frames = [near(distance) for distance in distances]
    middle = sorted(distances)[(len(distances) - 1) // 2]
    mixed = random.sample(frames, len(frames))
    learnt = near(middle).level == "in"
    for limit, expected in ((middle + 0.01, FIRST), (middle - 0.01, FIRST if learnt else SECOND)):
        assert chosen(mixed, [near(limit)])[0] == expected


def test_the_first_network_is_taken_wherever_it_knows_such_frames():
    name, line = chosen([near(0.5)], [near(0.1)])
    assert name == FIRST and "since it has learnt such frames (0.5 of its limit)" in line


@pytest.mark.parametrize(
    "count, lost, expected", [(1, (), [0]), (2, (), [0, 1]), (7, (), [0, 3, 6]), (7, (3,), [0, 6]), (5, (0, 2, 4), [1])]
)
def test_up_to_three_usable_frames_are_spread_over_the_film(count, lost, expected):
    film = inspect_film(without(vacuum_film(count), *lost), crystal_of(card()), PIXEL, OPTIONS, lattice=False)
    assert [frame.number for frame in choice._some_frames(film)] == expected


# --- which networks may be chosen ------------------------------------------------------------------------------------


def doctored(folder, share: float) -> None:
    """The familiarity of the bundled network, to whose limit every distance is this share of what it was."""
    data = json.loads(bundled.bundled_familiarity().read_text())
    limits = {name: data[name] / share for name in ("edge", "outside")}
    folder.with_name("familiarity.json").write_text(json.dumps(data | limits))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Two copies of the bundled network; a film is twice as near to the second one's frames."""
    first = tmp_path_factory.mktemp("package") / "bundled" / "network"
    second = first.parent / "particles" / "network"
    for folder, share in ((first, 1.0), (second, 0.5)):
        shutil.copytree(bundled.bundled_folder(), folder)
        doctored(folder, share)
    return first


@pytest.fixture
def two(shipped, monkeypatch):
    monkeypatch.setattr(bundled, "bundled_folder", lambda: shipped)


@pytest.fixture
def loaded(monkeypatch) -> list[str]:
    """Names of the networks whose weights are read."""
    names = []

    def load(folder, device="cpu"):
        names.append(bundled.name_of(folder))
        return load_network(folder, device)

    monkeypatch.setattr(choice, "load_network", load)
    return names


def test_a_film_is_predicted_by_the_nearer_network_and_that_is_told(two, tmp_path, recwarn):
    maps, _ = segdepth.predict(FILM, device="cpu")
    (line,) = (line for line in maps.attrs["warnings"] if line.startswith("network: "))
    assert line.startswith("network: bundled_particles, since the film is nearer") and "; bundled: " in line
    assert json.loads(maps.attrs["network"])["name"] == SECOND
    np.save(tmp_path / "film.npy", FILM)
    told = []
    lines = predict_micrograph(tmp_path / "film.npy", tmp_path / "out", model=None, tell=told.append)
    assert line in told and line in lines
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["network"]["name"] == SECOND
    (used,) = [i["path"] for i in read_manifest(tmp_path / "out")["inputs"] if "network" in i["path"]]
    assert used.endswith("particles/network")


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_a_network_that_is_asked_for_by_name_is_taken_and_no_other_is_loaded(two, loaded, name):
    maps, _ = segdepth.predict(FILM, network=name, device="cpu")
    assert json.loads(maps.attrs["network"])["name"] == name and loaded == [name]
    assert not [line for line in maps.attrs["warnings"] if line.startswith("network: ")]


@pytest.mark.parametrize("energy", [None, 300.0])
def test_a_voltage_that_the_file_has_not_is_asked_for(two, energy):
    recording = replace(recording_of(FILM), energy_kev=energy)
    told = []
    film, _ = inspect_and_choose(
        recording, load_candidates(bundled.network_folders(FIRST), OPTIONS), OPTIONS, tell=told.append
    )
    asked = "no voltage is in the file; counts are wrong unless it is 300 kV"
    assert [line for line in told if "voltage" in line] == [asked] * (energy is None)
    assert [line for line in film.lines if "voltage" in line] == [asked] * (energy is None)


def test_names_lead_to_folders(two, shipped, tmp_path, monkeypatch):
    assert bundled.network_folders(None) == (shipped, shipped.parent / "particles" / "network")
    assert bundled.network_folders(SECOND) == (bundled.folder_of(SECOND),)
    assert bundled.network_folders("./bundled")[0].name == "bundled" and bundled.network_folders("x")[0].name == "x"
    assert bundled.name_of(bundled.folder_of(SECOND)) == SECOND and bundled.name_of(shipped) == FIRST
    assert bundled.familiarity_of(bundled.folder_of(SECOND)) == shipped.parent / "particles" / "familiarity.json"
    assert load_network(SECOND)[1] == load_network()[1]


def test_without_the_second_network_all_is_as_if_the_first_was_named(two, shipped, tmp_path, monkeypatch, loaded):
    alone = tmp_path / "bundled" / "network"
    shutil.copytree(shipped, alone)
    shutil.copy(shipped.with_name("familiarity.json"), alone.parent)
    monkeypatch.setattr(bundled, "bundled_folder", lambda: alone)
    free, columns = segdepth.predict(FILM, device="cpu")
    named, same = segdepth.predict(FILM, network=FIRST, device="cpu")
    xr.testing.assert_identical(free, named)
    assert columns.equals(same) and loaded == [FIRST, FIRST]
    with pytest.raises(ConfigError, match="no network 'bundled_particles' comes with this version.*; take bundled, or"):
        segdepth.predict(FILM, network=SECOND, device="cpu")


def small_pair(folder, monkeypatch, **other):
    """Two small networks without familiarities; ``other`` is another on the second one's card."""
    first = folder / "bundled" / "network"
    for each in (first, folder / "bundled" / "particles" / "network"):
        each.mkdir(parents=True)
        small_network(each)
    write_card(replace(card(), **other), each)
    monkeypatch.setattr(bundled, "bundled_folder", lambda: first)
    return bundled.network_folders(None)


def test_a_network_that_cannot_be_compared_is_no_candidate(tmp_path, monkeypatch, loaded):
    folders = small_pair(tmp_path, monkeypatch)
    assert [c.name for c in load_candidates(folders, OPTIONS)] == [FIRST] and loaded == [FIRST]  # nothing is known
    _, only = inspect_and_choose(recording_of(vacuum_film()), load_candidates(folders, OPTIONS), OPTIONS)
    assert only.name == FIRST


@pytest.mark.parametrize("other, names", [({}, [FIRST, SECOND]), ({"input_pixel_pm": PIXEL / 2}, [FIRST])])
def test_networks_of_another_pixel_are_not_compared(tmp_path, monkeypatch, other, names):
    folders = small_pair(tmp_path, monkeypatch, **other)
    monkeypatch.setattr(choice, "familiarity_of", lambda folder: folder)
    monkeypatch.setattr(choice, "read_familiarity", lambda path, its_card: path)
    assert [c.name for c in load_candidates(folders, OPTIONS)] == names


def test_a_familiarity_that_is_given_is_that_of_the_first(two, shipped, loaded):
    segdepth.predict(FILM, familiarity=shipped.with_name("familiarity.json"), device="cpu")
    assert loaded == [FIRST]
