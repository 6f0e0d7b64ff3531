"""Files of a prediction for other programs: OME-TIFF, HyperSpy, extended XYZ; and the summary."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import ase.io
import numpy as np
import pandas as pd
import pytest
import tifffile
from conftest import CERIA, TITANATE
from hypothesis import given
from hypothesis import strategies as st
from results_data import make_facts, make_frames, open_folder
from rsciio.hspy import file_reader

from segdepth.micrograph.results.atoms import EXTXYZ, column_type, heights_pm
from segdepth.micrograph.results.facts import NOT_RELIABLE
from segdepth.micrograph.results.file_grid import FileGrid
from segdepth.micrograph.results.hspy import HSPY
from segdepth.micrograph.results.reading import read_picture
from segdepth.micrograph.results.summary import SUMMARY
from segdepth.micrograph.results.tables import GIVEN
from segdepth.micrograph.results.tiff import CHANNELS, TIFF, ome_xml

HOSTILE = 'a\x01b <script>"&\u202e\n\udcff.tif'
OME = {"ome": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A film whose second frame is lost and whose last one is not known to the network, in a file of a hostile name."""
    facts = make_facts(frames=(3, 4, 6), source=f"/data/{HOSTILE}")
    results = list(make_frames(facts))
    results[2] = replace(results[2], familiarity="outside", lines=("strange",))
    folder = tmp_path_factory.mktemp("files") / "prediction"
    writer = open_folder(folder, facts)
    writer.put(results[0])
    writer.lose(4, "half written")
    writer.put(results[2])
    lines = writer.close(["a line"])
    return folder, facts, results, lines


def planes_of(facts, result):
    return np.stack([*vars(FileGrid(facts).planes(result)).values()])


def test_ome_tiff_by_tifffiles_own_reader(written):
    folder, facts, results, _ = written
    with tifffile.TiffFile(folder / TIFF) as file:
        assert file.is_ome and file.is_bigtiff and len(file.pages) == 9
        (series,) = file.series
        assert series.axes == "TCYX" and series.shape == (3, 3, 60, 90) and series.dtype == np.float32
        values = series.asarray()
        text = file.ome_metadata
    for place in (0, 2):
        np.testing.assert_array_equal(values[place], planes_of(facts, results[place]))
    assert np.isnan(values[1]).all()
    (pixels,) = ElementTree.fromstring(text).findall(".//ome:Pixels", OME)
    assert [c.get("Name") for c in pixels.findall("ome:Channel", OME)] == list(CHANNELS)
    for axis in "XY":
        assert float(pixels.get(f"PhysicalSize{axis}")) == pytest.approx(0.012)
        assert pixels.get(f"PhysicalSize{axis}Unit") == "nm"
    assert float(pixels.get("TimeIncrement")) == 0.5 and pixels.get("TimeIncrementUnit") == "s"
    assert CHANNELS == ("depth (atoms)", "confidence", "counts (vacuum = 1)")


def test_the_same_prediction_has_the_same_ome_tiff(written):
    _, facts, _, _ = written
    assert ome_xml(facts) == ome_xml(facts)
    assert ome_xml(facts) != ome_xml(replace(facts, frames=(3, 4, 7)))


def test_ome_tiff_of_one_frame(tmp_path):
    facts = make_facts(frames=(0,), times_s=None)
    writer = open_folder(tmp_path / "p", facts)
    (result,) = make_frames(facts)
    writer.put(result)
    writer.close()
    with tifffile.TiffFile(tmp_path / "p" / TIFF) as file:
        assert file.series[0].axes == "CYX" and "TimeIncrement" not in file.ome_metadata
        np.testing.assert_array_equal(file.series[0].asarray(), planes_of(facts, result))
        resolution = file.pages[0].tags["XResolution"].value
        assert resolution[0] / resolution[1] == pytest.approx(1e10 / 12.0, rel=1e-6)  # pixels a centimetre


def test_hspy_by_rosettasciios_reader(written):
    folder, facts, results, _ = written
    (signal,) = file_reader(str(folder / HSPY))
    assert signal["data"].shape == (3, 60, 90) and signal["data"].dtype == np.float32
    for place in (0, 2):
        np.testing.assert_array_equal(signal["data"][place], planes_of(facts, results[place])[0])
    assert np.isnan(signal["data"][1]).all()
    axes = {axis["name"]: axis for axis in signal["axes"]}
    assert list(axes) == ["frame", "y", "x"]
    assert [(a["size"], a["units"], a["navigate"]) for a in axes.values()] == [
        (3, "s", True), (60, "nm", False), (90, "nm", False),
    ]  # fmt: skip
    assert axes["frame"]["scale"] == 0.5 and axes["x"]["scale"] == axes["y"]["scale"] == pytest.approx(0.012)
    assert axes["x"]["offset"] == pytest.approx(0.006)  # a pixel's centre, from the corner of the first one
    assert signal["metadata"]["Signal"]["quantity"] == "depth (atoms)"
    (lazy,) = file_reader(str(folder / HSPY), lazy=True)
    assert lazy["data"].chunksize == (1, 60, 90) or lazy["data"].shape == (3, 60, 90)


def test_extxyz_by_ase(written):
    folder, facts, results, _ = written
    frames = ase.io.read(folder / EXTXYZ, ":", format="extxyz")
    assert [atoms.info["frame"] for atoms in frames] == [3, 6]
    assert [atoms.info["reliable"] for atoms in frames] == [True, False]
    spacing = CERIA.periods_pm[2] / 100
    for atoms, result in zip(frames, (results[0], results[2])):
        table = result.table.set_index("column")
        names = atoms.arrays["column"]
        middle = atoms.cell[2, 2] / 2
        assert pd.Series(names).value_counts().to_dict() == table["depth"].to_dict()
        for name in table.index:
            mine, row = names == name, table.loc[name]
            x, y, z = atoms.positions[mine].T
            np.testing.assert_allclose(x, row["x_pm"] / 100, atol=1e-3)
            np.testing.assert_allclose(y, row["y_pm"] / 100, atol=1e-3)
            np.testing.assert_allclose(np.diff(np.sort(z)), spacing, atol=2e-3)
            assert abs(z.mean() - middle) <= spacing / 2 + 1e-3
            assert set(atoms.symbols[mine]) == {row["element"]}
            assert (atoms.arrays["at_least"][mine] == row["at_least"]).all()
            assert (atoms.arrays["reliable"][mine] == (row["reliable"] and result.reliable)).all()
            np.testing.assert_allclose(atoms.arrays["confidence"][mine], row["confidence"], atol=1e-4)
        assert "centred on the mid-plane" in atoms.info["assumption"] and not atoms.pbc.any()
        assert atoms.info["crystal"] == CERIA.title and "<script>" in atoms.info["source"]
        assert (atoms.positions[:, 2] > 0).all() and (atoms.positions[:, 2] < atoms.cell[2, 2]).all()


def test_neighbours_keep_the_crystals_distances(written):
    """Atoms stand at the lattice's heights: no two are nearer than cerium and oxygen are, 2.34 Å."""
    folder, *_ = written
    atoms = ase.io.read(folder / EXTXYZ, 0, format="extxyz")
    distances = atoms.get_all_distances()
    near = distances[distances > 0].min()
    assert near == pytest.approx(5.411 * np.sqrt(3) / 4, abs=0.01)


def test_an_empty_frame_is_an_extxyz_frame_without_atoms(tmp_path):
    facts = make_facts(frames=(0, 1))
    first, second = make_frames(facts)
    writer = open_folder(tmp_path / "p", facts)
    writer.put(replace(first, table=pd.DataFrame(columns=GIVEN)))
    writer.put(second)
    writer.close()
    assert [len(atoms) for atoms in ase.io.read(tmp_path / "p" / EXTXYZ, ":")] == [0, int(second.table["depth"].sum())]
    line = json.loads((tmp_path / "p" / SUMMARY).read_text())["frames"][0]
    assert line["mean_confidence"] is None and line["columns"] == {"Ce": 0, "O": 0}


def test_lighter_atoms_of_mixed_columns_come_along():
    mixed = next(i for i, c in enumerate(TITANATE.columns) if c.companions)
    atoms = heights_pm(TITANATE, mixed, 3, 1000.0)
    assert [element for element, _ in atoms] == ["Ti", "O"] * 3
    heights = np.array([height for _, height in atoms])
    np.testing.assert_allclose(np.abs(heights[1::2] - heights[::2]), TITANATE.periods_pm[2] / 2)


@given(st.sampled_from([CERIA, TITANATE]), st.data(), st.integers(0, 40), st.floats(0, 9000))
def test_heights_are_the_lattices_and_centred(crystal, data, number, middle):
    which = data.draw(st.integers(0, len(crystal.columns) - 1))
    column, period = crystal.columns[which], crystal.periods_pm[2]
    heights = np.array([h for e, h in heights_pm(crystal, which, number, middle) if e == column.element])
    heights = heights[:: len(heights) // max(number, 1) or 1]
    assert len(heights) == number
    if number:
        spacing = period / column.per_period
        np.testing.assert_allclose(np.diff(heights), spacing)
        assert abs(heights.mean() - middle) <= spacing / 2 + 1e-3
        steps = (heights - column.z * period) / spacing
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)


def test_a_columns_name_tells_its_type():
    oxygen = [i for i, c in enumerate(CERIA.columns) if c.element == "O"]
    assert [column_type(f"3,-12,O{n}", "O", CERIA) for n in (1, 2, 3, 4)] == oxygen
    assert column_type("0,0,Ce2", "Ce", CERIA) == 1
    assert column_type("nothing known", "O", CERIA) == oxygen[0] and column_type("1,1,O9", "O", CERIA) == oxygen[-1]


def test_summary(written):
    folder, facts, results, lines = written
    found = json.loads((folder / SUMMARY).read_text())
    assert found["reliable"] is False and tuple(found["warnings"]) == lines
    assert lines[0] == f"{NOT_RELIABLE} (frame 6)"
    assert set(lines) == {lines[0], "a line", "frame 4 is lost: half written", "frame 6: strange"}
    assert found["lost_frames"] == [{"frame": 4, "reason": "half written"}]
    assert (found["pixel_pm"], found["rotation_deg"], found["energy_kev"]) == (12.0, 7.0, 300.0)
    assert found["source"] == facts.source and found["crystal"]["title"] == CERIA.title
    assert (found["classes"], found["last_class"]) == (11, "≥ 10")
    assert [line["frame"] for line in found["frames"]] == [3, 6]
    assert [line["start_s"] for line in found["frames"]] == [0.0, 1.0]
    for line, result in zip(found["frames"], (results[0], results[2])):
        table = result.table
        assert line["columns"] == {e: int((table["element"] == e).sum()) for e in ("Ce", "O")}
        assert line["at_least_share"] == pytest.approx(table["at_least"].mean())
        assert line["mean_confidence"] == pytest.approx(table["confidence"].mean(), rel=1e-5)
        assert (line["dose_e_per_a2"], line["vacuum_level_electrons_per_pixel"]) == (400.0, 2.5)
        assert line["familiarity"] == result.familiarity and line["familiarity_numbers"] == {"dose": 0.1}
    assert {"segdepth", "numpy", "zarr"} <= set(found["versions"])


def test_what_is_not_finite_becomes_null(tmp_path):
    facts = make_facts(frames=(0,), pixel_error_pm=float("nan"))
    (result,) = make_frames(facts, dose_e_per_a2=float("inf"))
    writer = open_folder(tmp_path / "p", facts)
    writer.put(result)
    writer.close()
    found = json.loads((tmp_path / "p" / SUMMARY).read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found["pixel_error_pm"] is None and found["frames"][0]["dose_e_per_a2"] is None


def test_frames_come_in_order(tmp_path):
    facts = make_facts(frames=(3, 4))
    first, second = make_frames(facts)
    writer = open_folder(tmp_path / "p", facts)
    with pytest.raises(ValueError, match="frame 4 is not the next one"):
        writer.put(second)
    writer.put(first)
    writer.lose(4, "gone")
    with pytest.raises(ValueError, match="frame 4 is not the next one"):
        writer.lose(4, "gone")


def test_the_picture_is_that_of_the_first_frame_which_is_not_lost(tmp_path):
    facts = make_facts(frames=(3, 4, 6))
    results = list(make_frames(facts))
    writer = open_folder(tmp_path / "p", facts)
    writer.lose(3, "gone")
    writer.put(results[1])
    writer.put(results[2])
    writer.close()
    picture = read_picture(tmp_path / "p")
    assert picture.frame["frame"] == 4 and picture.columns["column"].tolist() == results[1].table["column"].tolist()
    np.testing.assert_array_equal(np.stack([picture.depth, picture.confidence, picture.counts]),
                                  planes_of(facts, results[1]))  # fmt: skip
    writer = open_folder(tmp_path / "q", make_facts(frames=(3,)))
    writer.lose(3, "gone")
    writer.close()
    with pytest.raises(ValueError, match="all of its frames are lost"):
        read_picture(tmp_path / "q")
