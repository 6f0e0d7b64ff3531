"""What is read, and what is refused with one line."""

import io
import zipfile

import numpy as np
import pytest
import tifffile

from segdepth.errors import MicrographError
from segdepth.micrograph.readers import read_micrograph

COUNTS = np.arange(15, dtype=np.uint8).reshape(3, 5)


def one_line(failure) -> str:
    text = str(failure.value)
    assert text and "\n" not in text and len(text) < 400
    return text


def test_the_three_kinds_give_the_same_frame(tmp_path):
    np.save(tmp_path / "a.npy", COUNTS)
    np.savez_compressed(tmp_path / "a.npz", counts=COUNTS, pixel=6.3)
    tifffile.imwrite(tmp_path / "a.tif", COUNTS)
    for name in ("a.npy", "a.npz", "a.tif"):
        frames = read_micrograph(tmp_path / name).frames
        assert frames.dtype == np.float32 and frames.shape == (1, 3, 5)
        assert np.array_equal(frames[0], COUNTS)


@pytest.mark.parametrize("kind", [">u2", "<i4", "f8", "f4", "?", ">f4"])
def test_types_and_byte_orders(tmp_path, kind):
    np.save(tmp_path / "a.npy", COUNTS.astype(kind))
    assert np.array_equal(read_micrograph(tmp_path / "a.npy").frames[0], COUNTS.astype(kind).astype(np.float32))


def test_movies_keep_their_axes(tmp_path):
    movie = np.arange(2 * 3 * 5, dtype=np.uint16).reshape(2, 3, 5)
    np.save(tmp_path / "a.npy", np.asfortranarray(movie))
    tifffile.imwrite(tmp_path / "a.tif", movie, photometric="minisblack")
    for name in ("a.npy", "a.tif"):
        assert np.array_equal(read_micrograph(tmp_path / name).frames, movie)


def test_the_key_chooses_and_wrong_keys_are_told_what_is_there(tmp_path):
    np.savez(tmp_path / "a.npz", first=COUNTS, second=2 * COUNTS)
    assert read_micrograph(tmp_path / "a.npz", "second").frames.max() == 28
    for key in (None, "third"):
        with pytest.raises(MicrographError) as failure:
            read_micrograph(tmp_path / "a.npz", key)
        assert "first (3, 5), second (3, 5)" in one_line(failure) and "key" in str(failure.value)


def npy_bytes(array, **options) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def claims(shape: str) -> bytes:
    """An .npy header without data."""
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": tuple(int(n) for n in shape.split(","))}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def tif_bytes(array, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


GREY = np.ones((40, 50), np.uint16)
OBJECTS = np.array([[{"a": 1}]], dtype=object)
BAD = {
    "complex.npy": (npy_bytes(COUNTS.astype(complex)), "complex"),
    "line.npy": (npy_bytes(np.ones(7)), "1 dimensions"),
    "four.npy": (npy_bytes(np.ones((2, 2, 2, 2))), "4 dimensions"),
    "empty.npy": (npy_bytes(np.ones((0, 5))), "is empty"),
    "objects.npy": (npy_bytes(OBJECTS, allow_pickle=True), "objects"),
    "text.npy": (npy_bytes(np.array([["a", "b"]])), "real numbers"),
    "huge.npy": (claims("100000,100000"), "too large"),
    "long.npy": (claims("2000,1000,1000"), "too large"),
    "short.npy": (npy_bytes(GREY)[:-9], "cannot be read"),
    "noise.npy": (b"what is this", "cannot be read"),
    "nothing.npy": (b"", "cannot be read"),
    "objects.npz": (zipped(counts=npy_bytes(OBJECTS, allow_pickle=True)), "objects"),
    "huge.npz": (zipped(counts=claims("100000,100000")), "too large"),
    "none.npz": (zipped(), "no arrays"),
    "damaged.npz": (zipped(counts=npy_bytes(GREY))[:-200], "cannot be read"),
    "short.tif": (tif_bytes(GREY)[:-1000], "cut off"),
    "shorter.tif": (tif_bytes(GREY)[:6], "cannot be read"),
    "packed.tif": (tif_bytes(np.arange(2000).reshape(40, 50), compression="zlib")[:-500], "cut off"),
    "colour.tif": (tif_bytes(np.ones((9, 8, 3), np.uint8), photometric="rgb"), "colours"),
    "noise.tif": (b"what is this", "cannot be read"),
    "frame.dm4": (b"", "not read"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_told_in_one_line(tmp_path, name):
    data, expected = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MicrographError) as failure:
        read_micrograph(tmp_path / name)
    assert expected in one_line(failure) and name in str(failure.value)


def test_missing_files_folders_and_needless_keys(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    np.save(tmp_path / "a.npy", COUNTS)
    cases = (("none.npy", None, "does not exist"), ("folder.npy", None, "not a file"), ("a.npy", "k", "key"))
    for path, key, expected in cases:
        with pytest.raises(MicrographError) as failure:
            read_micrograph(tmp_path / path, key)
        assert expected in one_line(failure)
