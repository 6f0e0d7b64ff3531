"""Which image of a file is taken, what its pixel is, and what is refused."""

import math

import h5py
import micrograph_files as write
import numpy as np
import pytest
import tifffile

from segdepth.errors import MicrographError
from segdepth.micrograph.files import FrameLost, open_recording, recording_of
from segdepth.micrograph.files.metadata import energy_kev, pixel, seconds

FILM = np.random.default_rng(5).poisson(40, (3, 5, 7)).astype(np.uint16)


def refusal(path, image=None) -> str:
    with pytest.raises(MicrographError) as failure:
        open_recording(path, image)
    text = str(failure.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) < len(str(path)) + 300
    return text


@pytest.mark.parametrize(
    "unit, pm",
    [
        ("pm", 1),
        ("Å", 100),
        ("A", 100),
        ("angstrom", 100),
        ("[n_m]", 1e3),
        ("nm", 1e3),
        ("nanometers", 1e3),
        ("µm", 1e6),
    ]
    + [("μm", 1e6), ("um", 1e6), ("micron", 1e6), ("\\u00B5m", 1e6), ("m", 1e12), ("meters", 1e12), (b"nm", 1e3)],
)
def test_units_of_length(unit, pm):
    assert pixel(0.5, 0.5, unit, unit)[0] == pytest.approx(0.5 * pm)


@pytest.mark.parametrize("unit", ["1/nm", "1 / nm", "nm^-1", "1/Å", "Å^-1", "nm⁻¹", "mrad", "1/m", "1/pm"])
def test_reciprocal_units_are_no_images(unit):
    pm, why, _ = pixel(0.1, 0.1, unit, unit)
    assert pm is None and "diffraction" in why


@pytest.mark.parametrize("value", [0.0, -10.0, math.nan, math.inf])
def test_a_pixel_that_cannot_be_is_not_used_and_told(value):
    pm, why, line = pixel(value, value, "Å", "Å")
    assert pm is None and not why and "cannot be" in line


def test_a_pixel_may_be_unequal_by_one_percent_and_is_given_in_one_unit():
    assert pixel(8.0, 0.00805, "pm", "nm")[0] == pytest.approx(math.sqrt(8.0 * 8.05))
    pm, why, _ = pixel(8.0, 0.0082, "pm", "nm")
    assert pm is None and "8 pm along y and 8.2 pm along x" in why
    assert pixel(8.0, 8.0, "", None) == (None, "", "") == pixel(8.0, 8.0, "pixel", "pixel")


def test_energies_and_times():
    assert energy_kev("300000") == energy_kev(300) == 300 and energy_kev(80000.0) == 80
    assert [energy_kev(value) for value in (0, -80, "none", None, math.nan)] == [None] * 5
    assert seconds("250", "ms") == 0.25 and seconds(1, "nm") is None and seconds(-1) is None


def test_the_largest_stack_is_taken_and_named_and_others_can_be_asked_for(tmp_path):
    place = tmp_path / "a.npz"
    np.savez(place, single=FILM[0], film=FILM, line=np.ones(9), pixel=6.3, wave=FILM[0] * 1j)
    with open_recording(place) as recording:
        assert recording.image == "film" and recording.count == 3
        assert recording.warnings[0].startswith("image 'film' of 4 is used; the file holds 0 'single', 1 'film'")
    for image in ("single", "0"):
        with open_recording(place, image) as recording:
            assert recording.image == "single" and recording.warnings == ()
            assert np.array_equal(recording.read_frame(0), FILM[0])
    assert "0 'single', 1 'film', 2 'line', 3 'wave'" in refusal(place, "nothing")
    assert "a line of 9 values" in refusal(place, "line") and "complex" in refusal(place, "3")


def test_one_of_several_images_of_a_dm_file(tmp_path):
    units, scales = ("nm", "nm", "s"), (0.008, 0.008, 0.5)
    profile = write.dm_image(np.arange(900, dtype=np.float32), ("nm",), (1.0,), "profile")
    pattern = write.dm_image(np.ones((40, 41), np.uint16), ("1/nm", "1/nm"), (0.1, 0.1), "pattern")
    film = write.dm_image(FILM, units, scales, "film")
    (tmp_path / "a.dm4").write_bytes(write.dm_bytes(4, profile, pattern, film))
    with open_recording(tmp_path / "a.dm4") as recording:
        assert recording.image == "film" and recording.pixel_pm == pytest.approx(8.0)
        assert "'film' of 3" in recording.warnings[0]
    assert "1/nm" in refusal(tmp_path / "a.dm4", "pattern")
    (tmp_path / "b.dm3").write_bytes(write.dm_bytes(3, profile, pattern))
    assert "a line of 900 values" in refusal(tmp_path / "b.dm3") and "diffraction" in refusal(tmp_path / "b.dm3")
    wave = write.dm_image(FILM[0], units[:2], scales[:2])
    wave["ImageData"]["DataType"] = 27  # packed complex
    (tmp_path / "c.dm4").write_bytes(write.dm_bytes(4, wave))
    assert "complex" in refusal(tmp_path / "c.dm4")


def test_signals_of_hyperspy_that_are_no_images(tmp_path):
    from rsciio.hspy import file_writer

    for name, film, unit, change in (
        ("pattern", FILM, "nm", {"Signal": {"signal_type": "electron_diffraction"}}),
        ("reciprocal", FILM, "1/nm", {}),
        ("wave", FILM * 1j, "nm", {}),
    ):
        told = write.signal(film, 0.008, unit)
        told["metadata"] |= change
        file_writer(str(tmp_path / f"{name}.hspy"), told)
    assert "diffraction" in refusal(tmp_path / "pattern.hspy") and "1/nm" in refusal(tmp_path / "reciprocal.hspy")
    assert "complex" in refusal(tmp_path / "wave.hspy")
    spectra = write.signal(FILM, 1.0, "eV")
    spectra["axes"][1]["navigate"] = True
    file_writer(str(tmp_path / "spectra.hspy"), spectra)
    assert "spectra" in refusal(tmp_path / "spectra.hspy")


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_films_of_a_few_frames_are_no_colours(tmp_path, count, kind):
    """tifffile writes three or four planes marked as colours where nothing else is said."""
    film = np.random.default_rng(count).integers(0, 200, (count, 6, 9)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", film)
    tifffile.imwrite(tmp_path / "b.tif", film, metadata=None)
    told = {"a.tif": 0, "b.tif": int(count in (3, 4))}
    for name, lines in told.items():
        with open_recording(tmp_path / name) as recording:
            assert recording.count == count and sum("colours" in line for line in recording.warnings) == lines
            assert np.array_equal([recording.read_frame(i) for i in range(count)], film)


def test_colours_are_refused_and_a_grey_image_behind_a_thumbnail_is_taken(tmp_path):
    colour, grey = np.ones((20, 30, 3), np.uint8), FILM[0]
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb")
    tifffile.imwrite(tmp_path / "rgba.tif", np.ones((20, 30, 4), np.uint8), photometric="rgb", extrasamples=[1])
    tifffile.imwrite(tmp_path / "imagej.tif", np.ones((3, 20, 30), np.uint8), imagej=True, metadata={"axes": "CYX"})
    palette = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "palette.tif", colour[..., 0], photometric="palette", colormap=palette)
    for name in ("rgb", "rgba", "imagej", "palette"):
        assert "colours" in refusal(tmp_path / f"{name}.tif")
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(colour, photometric="rgb", metadata=None)
        writer.write(grey, metadata=None)
    with open_recording(tmp_path / "two.tif") as recording:
        assert np.array_equal(recording.read_frame(0), grey) and "of 2" in recording.warnings[0]


@pytest.mark.parametrize("dpi", [72, 96, 300, 1200])
def test_dots_per_inch_are_no_pixel(tmp_path, dpi):
    tifffile.imwrite(tmp_path / "a.tif", FILM[0], resolution=(dpi, dpi), resolutionunit=2, metadata=None)
    with open_recording(tmp_path / "a.tif") as recording:
        assert recording.pixel_pm is None and recording.warnings == ()
    write.write_imagej_tif(tmp_path / "b.tif", FILM, unit="inch", per_pixel=1 / dpi)
    with open_recording(tmp_path / "b.tif") as recording:
        assert recording.pixel_pm is None


@pytest.mark.parametrize(
    "unit, side, pm", [("nm", 0.0079, 7.9), ("Å", 0.079, 7.9), ("µm", 1e-5, 10.0), ("mm", 1e-3, 1e6)]
)
def test_ome_sides_have_units(tmp_path, unit, side, pm):
    write.write_ome_tif(tmp_path / "a.tif", FILM, unit, side)
    with open_recording(tmp_path / "a.tif") as recording:
        assert recording.pixel_pm == pytest.approx(pm)


def test_series_of_ome_are_chosen_by_name(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for name, film in (("overview", FILM[:1]), ("film", FILM)):
            writer.write(film, photometric="minisblack", metadata={"axes": "TYX", "Name": name})
    with open_recording(tmp_path / "a.ome.tif") as recording:
        assert recording.image == "film" and recording.count == 3
    with open_recording(tmp_path / "a.ome.tif", "overview") as recording:
        assert np.array_equal(recording.read_frame(0), FILM[0])


def test_diffraction_and_spectra_of_other_formats(tmp_path):
    from rsciio.tvips import file_writer

    told = write.signal(FILM, 1.0, "1/nm", 0.5)
    told["metadata"]["Acquisition_instrument"]["TEM"]["beam_energy"] = 300
    file_writer(str(tmp_path / "a_000.tvips"), told)
    assert "diffraction" in refusal(tmp_path / "a_000.tvips")
    write.write_ser(tmp_path / "b_1.ser", FILM)
    raw = bytearray((tmp_path / "b_1.ser").read_bytes())
    raw[6:10] = (16672).to_bytes(4, "little")
    (tmp_path / "b_1.ser").write_bytes(raw)
    assert "spectra" in refusal(tmp_path / "b_1.ser")
    (tmp_path / "c.mrc").write_bytes(write.mrc_bytes(FILM, 4))
    assert "complex" in refusal(tmp_path / "c.mrc")
    (tmp_path / "d.mrc").write_bytes(write.mrc_bytes(FILM, 6, mapc=3, maps=1))
    assert "z, y, x" in refusal(tmp_path / "d.mrc")


@pytest.mark.parametrize(
    "array, expected",
    [(np.ones(7), "a line of 7"), (np.ones((2, 2, 2, 2)), "4 dimensions"), (np.ones((0, 5)), "nothing")]
    + [
        (np.array([["a"]]), "real numbers"),
        (np.array([[{}]], object), "objects"),
        (np.ones((2, 2), complex), "complex"),
    ],
)
def test_arrays_that_are_no_frames(array, expected):
    with pytest.raises(MicrographError, match=expected):
        recording_of(array)


def test_missing_files_folders_and_unknown_kinds(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "a.jpg").touch()
    assert "does not exist" in refusal(tmp_path / "none.mrc") and "is not a file" in refusal(tmp_path / "folder.npy")
    with pytest.raises(MicrographError, match=r"\.jpg are not read; allowed: \.dm3, \.dm4"):
        open_recording(tmp_path / "a.jpg")


CUT = {
    "a.npy": write.write_npy,
    "a.mrc": write.write_mrc,
    "a.tif": write.write_shaped_tif,
    "i.tif": write.write_imagej_tif,
    "a.mrc.gz": write.packed_mrc,
    "a_1.ser": write.write_ser,
    "a.mib": write.write_mib,
    "a_000.tvips": write.write_tvips,
}


@pytest.mark.parametrize("name", CUT)
def test_a_half_written_last_frame_is_lost_alone(tmp_path, name):
    film = np.random.default_rng(3).integers(0, 60000, (6, 33, 37)).astype(np.uint16)
    CUT[name](tmp_path / name, film)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: -film[0].nbytes // 2])
    with open_recording(tmp_path / name) as recording:
        assert recording.count == 6
        assert np.array_equal([recording.read_frame(i) for i in range(5)], film[:5])
        with pytest.raises(FrameLost, match="frame 5 is lost") as failure:
            recording.read_frame(5)
        assert "\n" not in str(failure.value)
        assert name == "a.mrc.gz" or any("lost" in line for line in recording.warnings)


def test_a_damaged_page_or_piece_loses_its_frame_alone(tmp_path):
    film = np.random.default_rng(3).integers(0, 60000, (5, 33, 37)).astype(np.uint16)
    write.write_packed_tif(tmp_path / "a.tif", film)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        place = tif.pages[2].dataoffsets[0]
    write.write_velox_emd(tmp_path / "a.emd", film)
    with h5py.File(tmp_path / "b.hspy", "w") as file:
        file.create_dataset("x", data=film, chunks=(1, 33, 37), compression="gzip")
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    raw[place : place + 40] = bytes(40)
    (tmp_path / "a.tif").write_bytes(raw)
    with open_recording(tmp_path / "a.tif") as recording:
        for index in (0, 1, 3, 4):
            assert np.array_equal(recording.read_frame(index), film[index])
        with pytest.raises(FrameLost):
            recording.read_frame(2)
