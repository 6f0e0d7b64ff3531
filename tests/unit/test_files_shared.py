"""Files of other projects' tests, as cameras leave them; what each must give is in the folder's README."""

import os
from pathlib import Path

import numpy as np
import pytest

from segdepth.errors import MicrographError
from segdepth.micrograph.files import open_recording

FOLDER = os.environ.get("SEGDEPTH_FILES", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="the files are not part of the project: set SEGDEPTH_FILES to them")

READ = {  # count, shape, type, pixel in pm, exposure in s, energy in keV
    "fei_example_tem_stack.emd": (2, (3, 3), "i2", 8.1729, 0.8, 300),
    "multi_signal.dm3": (1, (512, 512), "u2", 17.7516, None, 300),
    "test_dm_image_um_unit.dm3": (1, (68, 68), "i4", 168674.7, 0.5, 200),
    "test_stackbuilder_imagestack.dm3": (3, (2, 16), "u4", 59982.9, None, 200),
    "128x128_TEM_acquire-sum1_1.ser": (1, (128, 128), "i4", 21479.3, 0.05, 200),
    "128x128_TEM_acquire-sum1.emi": (1, (128, 128), "i4", 21479.3, 0.05, 200),
    "test_loading_image_saved_with_imageJ_stack.tif": (2, (68, 68), "f4", 168674.7, None, None),
    "test_loading_image_saved_with_imageJ_stack_no_scale.tif": (2, (68, 68), "f4", None, None, None),
    "olympus_SIS.tif": (1, (101, 112), "u2", 23.9279, None, None),
    "20241021_00405_movie.mrc": (32, (4, 8), "u2", None, None, None),
    "Custom_movie.mrc": (30, (16, 16), "u2", None, None, None),
    "temp.mrc": (3, (128, 128), "f4", 200.0, None, None),
    "16_STOimage_1.ser": (1, (1024, 1024), "u2", 10.0127, None, None),
    "big_endian_mode1.mrc": (3, (5, 7), "f4", 6.0, None, None),
    "mode0.mrc": (3, (5, 7), "u1", 6.0, None, None),
    "mode101_odd_width.mrc": (3, (5, 7), "u1", 6.0, None, None),
    "mode12_float16.mrc": (3, (5, 7), "f2", 6.0, None, None),
}
REFUSED = {
    "test_diffraction_pattern.dm3": "diffraction",
    "test_fft_packed_complex8.dm4": "complex",
    "test_loading_image_saved_with_DM_stack.tif": "1.6867e+06 pm along y and 1.6867e+05 pm along x",
    "dmTest_float32_nonSquare_diffPixelSize.dm4": "200 pm along y and 1000 pm along x",
    "EMD-3001.map": "z, x, y",
}
TOLD = {
    "multi_signal.dm3": "image 'HAADF' of 2",
    "olympus_SIS.tif": "image 'series 1' of 2",
    "20241021_00405_movie.mrc": "-10 Å",
    "Custom_movie.mrc": "-10 Å",
    "mode0.mrc": "0 to 255",
}


def test_every_file_has_an_expectation():
    assert {path.name for path in Path(FOLDER).iterdir()} == {*READ, *REFUSED, "README.md"}


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name):
    count, shape, kind, pixel_pm, exposure_s, energy_kev = READ[name]
    with open_recording(Path(FOLDER) / name) as recording:
        assert (recording.count, recording.shape, recording.dtype) == (count, shape, np.dtype(kind))
        for index in range(count):
            assert recording.read_frame(index).shape == shape
        found = (recording.pixel_pm, recording.exposure_s, recording.energy_kev)
        assert found == tuple(
            v if v is None else pytest.approx(v, rel=1e-5) for v in (pixel_pm, exposure_s, energy_kev)
        )
        assert [TOLD[name] in line for line in recording.warnings] == [True] if name in TOLD else not recording.warnings


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name):
    with pytest.raises(MicrographError) as failure:
        open_recording(Path(FOLDER) / name)
    assert REFUSED[name] in str(failure.value) and "\n" not in str(failure.value)


def read(name: str) -> np.ndarray:
    with open_recording(Path(FOLDER) / name) as recording:
        return np.stack([recording.read_frame(index) for index in range(recording.count)])


def test_values_are_those_of_the_files():
    assert (read("mode0.mrc").min(), read("mode0.mrc").max()) == (126, 135)
    assert read("128x128_TEM_acquire-sum1_1.ser").min() == -473
    assert read("mode101_odd_width.mrc").max() < 16
    assert np.array_equal(read("big_endian_mode1.mrc"), read("mode12_float16.mrc"))


@pytest.mark.parametrize("name", ["multi_signal.dm3", "16_STOimage_1.ser", "fei_example_tem_stack.emd"])
def test_rosettasciio_gives_the_same_pixels(name):
    import rsciio.digitalmicrograph
    import rsciio.emd
    import rsciio.tia

    library = {".dm3": rsciio.digitalmicrograph, ".ser": rsciio.tia, ".emd": rsciio.emd}[Path(name).suffix]
    expected = library.file_reader(str(Path(FOLDER) / name))[0]["data"]
    assert np.array_equal(read(name), expected if expected.ndim == 3 else expected[None])
