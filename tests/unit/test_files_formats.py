"""Frames and metadata of every format come out as they were written, one frame at a time."""

import os
import tracemalloc

import h5py
import micrograph_files as write
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segdepth.config.micrograph import MICROGRAPH_SUFFIXES
from segdepth.errors import MicrographError
from segdepth.micrograph.files import READERS, open_recording, recording_of

TIMED = {"times_s": (0.0, 0.5, 1.0)}
ALL = {"pixel_pm": 8.0, "exposure_s": 0.25, "energy_kev": 300.0, **TIMED}
FORMATS = {
    "film.npy": (write.write_npy, {}),
    "film.npz": (write.write_npz, {}),
    "packed.npz": (write.write_packed_npz, {}),
    "film.mrc": (write.write_mrc, {"pixel_pm": 8.0}),
    "film.st": (write.write_mrc, {"pixel_pm": 8.0}),
    "film.mrcs.gz": (write.packed_mrc, {"pixel_pm": 8.0}),
    "film.rec.bz2": (write.packed_mrc, {"pixel_pm": 8.0}),
    "plain.tif": (write.write_tif, {"pixel_pm": 8.0}),
    "shaped.tiff": (write.write_shaped_tif, {}),
    "packed.tif": (write.write_packed_tif, {}),
    "single.tif": (write.write_frame_by_frame_tif, {}),
    "imagej.tif": (write.write_imagej_tif, {"pixel_pm": 8.0, **TIMED}),
    "ome.tif": (write.write_ome_tif, {"pixel_pm": 8.0, **TIMED}),
    "film.dm3": (write.write_dm, ALL),
    "film.DM4": (write.write_dm, ALL),
    "film_1.ser": (write.write_ser, {"pixel_pm": 8.0}),
    "velox.emd": (write.write_velox_emd, ALL | {"exposure_s": 0.5}),
    "ncem.emd": (write.write_ncem_emd, {"pixel_pm": 8.0, **TIMED}),
    "film.hspy": (write.write_hspy, ALL),
    "film.zspy": (write.write_zspy, ALL),
    "film.mib": (write.write_mib, {"exposure_s": 0.25}),
    "film_000.tvips": (write.write_tvips, {"energy_kev": 300.0, **TIMED}),
}
FILM = np.random.default_rng(5).poisson(40, (3, 5, 7)).astype(np.uint16)
METADATA = ("pixel_pm", "exposure_s", "energy_kev", "times_s")


def frames_of(recording) -> np.ndarray:
    return np.stack([recording.read_frame(index) for index in range(recording.count)])


@pytest.mark.parametrize("name", FORMATS)
def test_a_film_comes_out_as_it_was_written(tmp_path, name):
    writer, told = FORMATS[name]
    writer(tmp_path / name, FILM)
    with open_recording(tmp_path / name) as recording:
        assert (recording.count, recording.shape, recording.dtype) == (3, (5, 7), np.uint16)
        assert np.array_equal(frames_of(recording), FILM)
        assert recording.read_frame(1).dtype.isnative
        for field in METADATA:
            assert getattr(recording, field) == (pytest.approx(told[field]) if field in told else None), field
        assert recording.image == "" and recording.source == str(tmp_path / name)
        assert all("\n" not in line for line in recording.warnings)


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("single.tif",)])
def test_one_frame_is_a_film_of_one(tmp_path, name):
    writer, told = FORMATS[name]
    writer(tmp_path / name, FILM[0])
    with open_recording(tmp_path / name) as recording:
        assert recording.count == 1 and np.array_equal(recording.read_frame(0), FILM[0])
        assert recording.pixel_pm == (pytest.approx(told["pixel_pm"]) if "pixel_pm" in told else None)
        assert recording.times_s is None


def test_every_suffix_has_a_reader_and_every_reader_a_test():
    read = {suffix for suffixes in READERS.values() for suffix in suffixes}
    assert read == set(MICROGRAPH_SUFFIXES)
    families = {reader for reader, suffixes in READERS.items() if any(n.lower().endswith(suffixes) for n in FORMATS)}
    assert families == set(READERS)


@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_length_of_a_film(tmp_path, name):
    side = 32 if name.endswith((".gz", ".bz2")) else 96  # packing is slow
    film = np.random.default_rng(1).poisson(9, (400, side, 97)).astype(np.uint16)
    FORMATS[name][0](tmp_path / name, film)
    tracemalloc.start()
    with open_recording(tmp_path / name) as recording:
        assert np.array_equal(recording.read_frame(399), film[399])
        tracemalloc.reset_peak()
        for index in range(400):
            recording.read_frame(index)
        held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - held < 0.1 * film.nbytes


KINDS = ["?", "i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">u4", "<i8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_real_type_comes_back_in_native_order(tmp_path, data):
    kind = np.dtype(data.draw(st.sampled_from(KINDS)))
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(5, 8), st.integers(5, 8)))
    film = data.draw(hnp.arrays(kind, shape, elements={"allow_nan": False} if kind.kind == "f" else None))
    film = np.asfortranarray(film) if data.draw(st.booleans()) else film
    np.save(tmp_path / "a.npy", film)
    np.savez_compressed(tmp_path / "a.npz", a=np.ascontiguousarray(film))
    for name in ("a.npy", "a.npz"):
        with open_recording(tmp_path / name) as recording:
            assert recording.dtype == kind.newbyteorder("=") and recording.dtype.isnative
            assert np.array_equal(frames_of(recording), film)
    with recording_of(film) as recording:
        assert np.array_equal(frames_of(recording), film) and recording.read_frame(0).dtype.isnative
    if kind.kind != "b":
        tifffile.imwrite(
            tmp_path / "a.tif", film, byteorder=">" if kind.str[0] == ">" else "<", photometric="minisblack"
        )
        with open_recording(tmp_path / "a.tif") as recording:
            assert np.array_equal(frames_of(recording), film)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12, 101])
@pytest.mark.parametrize("width", [6, 7])
def test_mrc_modes_in_both_byte_orders(tmp_path, mode, order, width):
    film = np.random.default_rng(mode).integers(0, 16, (3, 5, width))
    (tmp_path / "a.mrc").write_bytes(write.mrc_bytes(film, mode, order))
    with open_recording(tmp_path / "a.mrc") as recording:
        assert np.array_equal(frames_of(recording), film)
        assert recording.pixel_pm == pytest.approx(8.0, rel=1e-5)


@pytest.mark.parametrize(
    "stamp, expected, told", [((0, 0), 200, 1), ((1146047817, 0), 200, 0), ((1146047817, 1), -56, 0)]
)
def test_bytes_of_mode_0_are_signed_only_where_the_header_says_so(tmp_path, stamp, expected, told):
    (tmp_path / "a.mrc").write_bytes(write.mrc_bytes(np.full((1, 2, 3), 200), 0, stamp=stamp))
    with open_recording(tmp_path / "a.mrc") as recording:
        assert recording.read_frame(0)[0, 0] == expected
        assert sum("signed" in line for line in recording.warnings) == told


def test_an_mrc_header_of_thermo_fisher_gives_exposure_energy_and_pixel(tmp_path):
    from mrcfile.dtypes import get_ext_header_dtype

    extension = np.zeros(1, get_ext_header_dtype(b"FEI1", "<"))
    extension["HT"], extension["Integration time"] = 80000.0, 0.04
    extension["Pixel size X"] = extension["Pixel size Y"] = 5e-12
    plain = write.mrc_bytes(FILM, 6, nsymbt=extension.nbytes, exttyp=b"FEI1")
    (tmp_path / "a.mrc").write_bytes(plain[:1024] + extension.tobytes() + plain[1024:])
    with open_recording(tmp_path / "a.mrc") as recording:
        assert np.array_equal(frames_of(recording), FILM)
        assert (recording.energy_kev, recording.exposure_s) == (80.0, 0.04)
        assert recording.pixel_pm == pytest.approx(5.0)


def test_a_zip_of_zspy_and_a_tvips_film_in_parts(tmp_path):
    write.write_zspy(tmp_path / "a.zspy", FILM, zip_archive=True)
    write.write_tvips(tmp_path / "a_000.tvips", FILM[:2])
    write.write_tvips(tmp_path / "b_000.tvips", FILM[2:])
    (tmp_path / "a_001.tvips").write_bytes((tmp_path / "b_000.tvips").read_bytes()[256:])
    for name in ("a.zspy", "a_000.tvips"):
        with open_recording(tmp_path / name) as recording:
            assert np.array_equal(frames_of(recording), FILM)


@pytest.mark.parametrize("order", [("time", "y", "x"), ("y", "x", "time"), ("x", "y", "time")])
def test_ncem_files_of_any_order_of_axes_follow_the_names(tmp_path, order):
    """RosettaSciIO writes (x, y, time), ncempy (time, y, x)."""
    places = [("time", "y", "x").index(name) for name in order]
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/film")
        group.attrs["emd_group_type"] = 1
        group["data"] = FILM.transpose(places)
        for number, name in enumerate(order, 1):
            step, unit = (0.5, "[s]") if name == "time" else (0.008, "[n_m]")
            group[f"dim{number}"] = np.array([0, step])
            group[f"dim{number}"].attrs.update({"name": name, "units": unit})
    with open_recording(tmp_path / "a.emd") as recording:
        assert np.array_equal(frames_of(recording), FILM)
        assert recording.pixel_pm == pytest.approx(8.0) and recording.times_s == (0.0, 0.5, 1.0)


def test_an_emi_finds_its_ser_and_tells_exposure_and_energy(tmp_path):
    write.write_ser(tmp_path / "a_1.ser", FILM)
    told = (
        "<ObjectInfo><ExperimentalConditions><MicroscopeConditions><AcceleratingVoltage>80000</AcceleratingVoltage>"
        "</MicroscopeConditions></ExperimentalConditions><AcquireInfo><DwellTimePath>0.05</DwellTimePath></AcquireInfo>"
        "</ObjectInfo>"
    )
    (tmp_path / "a.emi").write_bytes(b"\0\1" + told.encode() + b"\0")
    for name in ("a.emi", "a_1.ser"):
        with open_recording(tmp_path / name) as recording:
            assert np.array_equal(frames_of(recording), FILM)
            assert (recording.energy_kev, recording.exposure_s) == (80.0, 0.05)
    (tmp_path / "a_1.ser").unlink()
    with pytest.raises(MicrographError, match="a_1.ser"):
        open_recording(tmp_path / "a.emi")


def test_frames_are_read_by_any_thread_and_files_are_closed(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    film = np.arange(60 * 8 * 9, dtype=np.uint16).reshape(60, 8, 9)
    opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for name in ("a.npy", "p.npz", "a.mrc.gz", "a.tif", "z.tif", "a.dm4", "a.hspy", "v.emd"):
        writers = {"a.npy": write.write_npy, "p.npz": write.write_packed_npz, "a.mrc.gz": write.packed_mrc}
        writers |= {"a.tif": write.write_tif, "z.tif": write.write_packed_tif, "a.dm4": write.write_dm}
        writers |= {"a.hspy": write.write_hspy, "v.emd": write.write_velox_emd}
        writers[name](tmp_path / name, film)
        with open_recording(tmp_path / name) as recording, ThreadPoolExecutor(4) as pool:
            assert np.array_equal(np.stack(list(pool.map(recording.read_frame, range(60)))), film), name
    if opened is not None:
        assert len(os.listdir("/proc/self/fd")) <= opened + 1


def test_frames_out_of_range_are_a_programmers_mistake():
    with pytest.raises(IndexError):
        recording_of(FILM).read_frame(3)
