"""What is found out of a film before it is predicted, and how much memory a film takes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import CERIA
from film_data import FILM_PM, KNOWN, PIXEL, TURN, crystal_film, vacuum_film, without

from segdepth.config import Reading
from segdepth.errors import MicrographError
from segdepth.micrograph.electrons.flat_patches import find_flat_patches
from segdepth.micrograph.files.recording import FrameLost, recording_of
from segdepth.micrograph.film import SAMPLE, inspect_film, sample_frames

GEOMETRY = {name: KNOWN[name] for name in ("pixel_pm", "rotation_deg")}


def inspect(film, *, lattice=True, recording=None, **options):
    """The film, and what was told, as it was told."""
    told = []
    given = recording or (recording_of(film) if isinstance(film, np.ndarray) else film)
    found = inspect_film(given, CERIA, PIXEL, Reading(**options), lattice=lattice, tell=told.append)
    assert tuple(told) == found.lines and not any("\n" in line for line in told)
    return found


def known(film, **options):
    return inspect(film, lattice=False, **GEOMETRY | options)


# --- pixel and rotation ----------------------------------------------------------------------------------------------


def test_lattice_vacuum_and_dose_are_found():
    film = inspect(crystal_film(3))
    assert film.transform.pixel_pm == pytest.approx(FILM_PM, rel=0.007) and film.pixel_from == "the lattice"
    assert (film.transform.rotation_deg + TURN + 180) % 360 - 180 == pytest.approx(0, abs=0.5)
    assert film.level == pytest.approx(4, rel=0.02) and film.dose == pytest.approx(4 / 0.07**2, rel=0.03)
    assert film.dose_from == "the vacuum" and film.camera.whole and film.light is None and not film.bad.any()
    assert not (film.vacuum & film.crystal_area).any()


def test_what_is_given_goes_before_the_file_and_the_difference_is_said():
    film = replace(recording_of(vacuum_film()), pixel_pm=6.0)
    found = inspect(film, lattice=False, **GEOMETRY)
    assert found.transform.pixel_pm == 6.3 and found.pixel_from == "what was given"
    assert any("the file says 6 pm a pixel, 6.3 pm are given" in line for line in found.lines)
    found = inspect(film, lattice=False, rotation_deg=0)
    assert found.transform.pixel_pm == 6.0 and found.pixel_from == "the file"


def test_a_recordings_own_warnings_are_told_first():
    recording = replace(recording_of(vacuum_film()), warnings=("its header is odd",))
    assert inspect(recording, lattice=False, **GEOMETRY).lines[0] == "its header is odd"


@pytest.mark.parametrize(
    "film, options, lattice, expected",
    [
        (vacuum_film(), {}, True, "no lattice at all"),
        (vacuum_film(), {}, False, "no pixel size is known"),
        (vacuum_film(), {"pixel_pm": 40.0}, False, "too coarse for columns; allowed: at most 31.7 pm"),
        (np.ones((20, 30), np.uint8), {"pixel_pm": 6.0}, False, "it is empty"),
        (vacuum_film(shape=(60, 80)), {"pixel_pm": 6.3, "invalid": 3, "dose_e_per_a2": 1e-3}, False, None),
    ],
)
def test_what_cannot_be_used_is_one_line(film, options, lattice, expected):
    if expected is None:
        assert inspect(film, lattice=lattice, **options).dose == pytest.approx(1e-3)
        return
    with pytest.raises(MicrographError, match=expected) as failure:
        inspect(film, lattice=lattice, **options)
    assert "\n" not in str(failure.value) and str(failure.value).startswith("array: ")


def test_a_field_too_large_for_the_network_is_refused(monkeypatch):
    monkeypatch.setattr("segdepth.micrograph.film.MAX_FRAME_PIXELS", 3000)
    with pytest.raises(MicrographError, match="45 x 69 network pixels; at most 3000 are allowed, cut the micrograph"):
        inspect(vacuum_film(), lattice=False, **GEOMETRY)


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count, lost", [(1, ()), (5, (0,)), (40, ()), (40, (0, 39)), (40, tuple(range(39)))])
def test_a_sample_is_of_frames_that_can_be_read(count, lost):
    film = np.stack([np.full((4, 5), 1 + n) for n in range(count)])
    film[:, 0, 0] = 0
    found = sample_frames(without(film, *lost), None)
    numbers = [int(frame.values[1, 1]) - 1 for frame in found]
    assert 1 <= len(numbers) <= SAMPLE and len(set(numbers)) == len(numbers)
    assert not set(numbers) & set(lost)
    if count > SAMPLE and not lost:
        assert numbers[0] == 0 and numbers[-1] == count - 1


def test_no_frame_at_all_is_refused_with_the_reason():
    with pytest.raises(MicrographError, match="film.tif: no frame can be used; it is cut off"):
        sample_frames(without(vacuum_film(3), 0, 1, 2), None)


def test_a_frame_without_electrons_in_its_vacuum_is_lost():
    film = known(vacuum_film(3))
    with pytest.raises(FrameLost, match="no electrons"):
        film.level_of(np.zeros((150, 230), np.float32), np.ones((150, 230), bool))


# --- electrons -------------------------------------------------------------------------------------------------------


def test_every_frame_has_its_own_level_and_a_dose_that_is_given_is_all_frames():
    counts = np.concatenate([vacuum_film(), vacuum_film(level=6.0)])
    film = known(counts)
    levels = [film.level_of(*unmasked(film.electrons_of(frame))) for frame in counts]
    assert levels == pytest.approx([3, 6], rel=0.02) and film.dose_from == "the vacuum"
    given = known(counts, dose_e_per_a2=500)
    assert given.dose == pytest.approx(500) and given.dose_from == "what was given"
    assert [given.level_of(*unmasked(given.electrons_of(frame))) for frame in counts] == [given.level] * 2


def unmasked(found):
    electrons, masked = found
    return electrons, masked.usable


def test_gain_and_offset_are_found_or_given():
    counts = vacuum_film(3, shape=(220, 260), level=5.0)
    dark = counts.astype(np.float32) * 37 + 100
    for options in ({}, {"gain": 37, "offset": 100}):
        film = known(dark, **options)
        assert film.level == pytest.approx(5, rel=0.05), options
    electrons, _ = known(dark, gain=37, offset=100).electrons_of(dark[1])
    np.testing.assert_allclose(electrons, counts[1], atol=1e-3)


@pytest.mark.parametrize("offset", [None, 400.0])
def test_a_dose_that_is_given_tells_the_gain_where_the_values_do_not(offset):
    counts = vacuum_film(3, shape=(220, 260), level=0.8)
    grey = np.rint(37 * counts + np.random.default_rng(1).normal(0, 150, counts.shape) + (offset or 0)).astype("i4")
    assert not known(grey).camera.dose_error <= 0.1
    film = known(grey, dose_e_per_a2=0.8 / 0.063**2, offset=offset)
    electrons, _ = film.electrons_of(grey[0])
    assert film.camera.sure and film.camera.gain == pytest.approx(37, rel=0.05)
    assert electrons.mean() / film.level == pytest.approx(1, abs=0.05)
    assert any("are those of the dose that was given" in line for line in film.lines)
    assert not any("--dose" in line for line in film.lines)


def test_a_dose_alone_does_not_tell_an_offset():
    counts = vacuum_film(3, shape=(220, 260), level=10.0)
    grey = np.rint(37 * counts + np.random.default_rng(1).normal(0, 20, counts.shape) + 400).astype("i4")
    film = known(counts.max() - counts, dose_e_per_a2=10 / 0.063**2)
    assert film.camera.variance_over_mean < 0.8 and not film.camera.sure
    film = known(grey, dose_e_per_a2=10 / 0.063**2)
    assert film.camera.sure == (abs(film.camera.offset - 400) < 40)


def test_a_given_dose_is_that_of_the_vacuum_where_the_light_is_uneven():
    light = 1 + 0.3 * np.linspace(-1, 1, 260)
    counts = np.random.default_rng(0).poisson(4.0 * light, (3, 220, 260)).astype("u2")
    dose = 4.0 / 0.063**2
    film = known(counts, dose_e_per_a2=dose)
    electrons, _ = film.electrons_of(counts[0])
    assert film.light is not None and film.camera.whole
    assert film.dose == pytest.approx(dose) and electrons.mean() / film.level == pytest.approx(1, abs=0.03)
    assert not any("the vacuum has" in line for line in film.lines)


def test_a_dose_that_the_vacuum_does_not_have_is_said():
    line = "the vacuum has 756 electrons per Å² and frame, 1.51e+03 are given"
    film = known(vacuum_film(3), dose_e_per_a2=2 * 3 / 0.063**2)
    assert any(one.startswith(line) for one in film.lines) and film.dose_from == "what was given"
    assert not any("the vacuum has" in one for one in known(vacuum_film(3), dose_e_per_a2=3 / 0.063**2).lines)


@pytest.mark.parametrize("count", [1, 3])
def test_a_scale_bar_in_the_picture_and_dead_lines_are_masked_and_said(count):
    counts = vacuum_film(count, shape=(220, 260), level=4.0)
    most = counts.max()
    counts[:, 150:190, 100:220] = most
    counts[:, 160:180, 110:210] = 0
    counts[:, :, 40] = 0
    film = known(counts)
    assert film.bad[150:190, 100:220].all() and film.bad[:, 40].all()
    assert film.bad.sum() < 42 * 122 + 3 * 220 + 20 and film.level == pytest.approx(4, rel=0.02)
    assert any("are in patches or lines of one value; they are masked" in line for line in film.lines)


@pytest.mark.parametrize("level", [0.05, 0.3, 1.0, 4.0, 40.0])
def test_shot_noise_has_no_patch_of_one_value(level):
    for film in (vacuum_film(1, shape=(500, 600), level=level), level / 4 * crystal_film(1)):
        frames = sample_frames(recording_of(np.random.default_rng(2).poisson(film)), None)
        assert not find_flat_patches(frames).any()


def test_hot_pixels_are_masked_and_said():
    counts = vacuum_film(4)
    counts[:, 20, 30] = counts[:, 90, 7] = 900
    film = known(counts)
    assert film.bad[20, 30] and film.bad[90, 7] and film.bad.mean() < 0.002
    assert any("hot or dead; they are masked" in line for line in film.lines)
    assert not film.electrons_of(counts[0])[1].usable[20, 30] and film.level == pytest.approx(3, rel=0.02)


def test_without_vacuum_the_crystal_tells_the_dose_and_this_is_said():
    from test_calibration import lattice

    counts = np.random.default_rng(0).poisson(4 * lattice((340, 420), 7.0, 20.0)).astype(np.uint16)
    film = inspect(counts)
    assert film.vacuum is None and film.dose_from == "the mean of the crystal"
    assert film.level == pytest.approx(4, rel=0.05)
    assert any("no vacuum is in the field" in line for line in film.lines)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_film(tmp_path):
    """The whole way of 60 and of 600 frames, in a process each: what the second takes more is below 60 MB."""
    code = """
        import resource, sys
        import numpy as np
        sys.path.insert(0, {unit!r})
        from film_data import KNOWN, predict_micrograph, small_network
        from pathlib import Path

        folder, count = Path(sys.argv[1]), int(sys.argv[2])
        folder.mkdir()
        film = np.lib.format.open_memmap(folder / "film.npy", "w+", np.uint16, (count, 90, 110))
        for number in range(count):
            film[number] = np.random.default_rng(number).poisson(3.0, (90, 110))
        film.flush()
        del film
        (folder / "net").mkdir()
        small_network(folder / "net")
        predict_micrograph(folder / "film.npy", folder / "out", model=folder / "net", **KNOWN)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    script = textwrap.dedent(code).format(unit=str(Path(__file__).parent))
    used = []
    for count in (60, 600):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / str(count)), str(count)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        used.append(int(done.stdout) / 1024)
    assert used[1] - used[0] < 60, used


def test_a_mirrored_frame_is_turned_the_other_way_with_its_vacuum_where_it_was():
    plain, mirrored = inspect(crystal_film(1)), inspect(crystal_film(1), flip=True)
    assert mirrored.transform.rotation_deg == pytest.approx(-plain.transform.rotation_deg, abs=1e-9)
    for film in (plain, mirrored):
        x, y = (np.array(at, float) for at in np.nonzero(film.vacuum)[::-1])
        _, up = film.transform.forward(x * FILM_PM, y * FILM_PM)
        _, middle = film.transform.forward(*(np.array([side / 2]) for side in film.transform.size_pm[::-1]))
        assert up.mean() > middle[0]


def test_a_blanked_frame_among_the_sample_costs_that_frame_alone():
    film = np.concatenate([vacuum_film(), vacuum_film(), vacuum_film()])
    film[1] = 0
    film[1, :3, :3] = 5
    found = known(film)
    assert found.level == pytest.approx(known(film[:1]).level, rel=0.05)
