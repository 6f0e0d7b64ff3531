"""Layers that an explanation adds to a film's files, and a prediction that is read again."""

from __future__ import annotations

import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest
import tifffile
import xarray as xr
from results_data import GRID_PM, make_facts, make_frames, open_folder
from rsciio.hspy import file_reader
from test_results_page import Blocks, browse, needs_browser

from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.results.facts import Layer
from segdepth.micrograph.results.file_grid import FileGrid
from segdepth.micrograph.results.maps import STORE
from segdepth.micrograph.results.page import STEPS, steps_of
from segdepth.micrograph.results.reading import read_facts, read_frame
from segdepth.micrograph.results.tables import frame_rows, read_columns
from segdepth.micrograph.results.writing import LayersWriter

LAYERS = (
    Layer("depth_refined", "refined depth", "atoms"),
    Layer("residual", "residual", "standard deviations", "RdBu_r", (-4.0, 4.0)),
)


def layered(result, facts):
    """The frame with a residual that rises along the rows, and a refined count of one more than predicted."""
    rows, columns = facts.transform.grid_shape
    residual = np.where(result.valid, np.linspace(-4, 4, columns)[None, :], np.nan)
    refined = np.where(result.valid, result.depth.astype(float), np.nan)
    result = replace(result, layers={"depth_refined": refined, "residual": residual}, told=(("χ²", "1.02"),))
    found = frame_rows(result, facts.pixel_pm)
    number = len(found["frame"])
    extra = {"count": found["depth"] + 1, "count_low": found["depth"], "count_high": found["depth"] + 2}
    extra |= {"count_confidence": np.full(number, 0.75), "chi2_pixel": np.full(number, 1.25)}
    extra |= {"extra": np.arange(number) == 3, "missing": np.arange(number) == 4}
    return result, found | extra


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two frames and a lost one between them, explained by a fit that is not."""
    facts = make_facts(layers=LAYERS, stamp="NOT EXPLAINED: by the lens fit")
    frames = [layered(result, facts) for result in make_frames(facts)]
    folder = tmp_path_factory.mktemp("layers")
    writer = LayersWriter(folder, facts, "explained", 20)
    writer.put(*frames[0])
    writer.lose(4, "torn")
    writer.put(*frames[2])
    writer.close(["NOT EXPLAINED", "one line"])
    return folder, facts, frames


def test_layers_are_channels_and_files_on_the_files_own_pixels(film):
    folder, facts, frames = film
    with tifffile.TiffFile(folder / "explained.ome.tif") as file:
        data, told = file.series[0].asarray(), file.ome_metadata
    assert data.shape == (3, 5, 60, 90) and 'Name="residual (standard deviations)"' in told and "NOT EXPLAINED" in told
    grid = FileGrid(facts)
    for place in (0, 2):
        planes = [*vars(grid.planes(frames[place][0])).values(), *grid.layers(frames[place][0])]
        np.testing.assert_array_equal(data[place], planes)
    assert np.isnan(data[1]).all()
    (signal,) = file_reader(str(folder / "residual.hspy"))
    np.testing.assert_array_equal(signal["data"], data[:, 4])
    assert signal["metadata"]["Signal"]["quantity"] == "residual (standard deviations)"
    assert signal["original_metadata"]["segdepth"]["warning"] == facts.stamp
    y, x = 30, 50  # a pixel of the file has the residual of the input pixel in which its middle lies
    at = facts.transform.forward(np.float64((x + 0.5) * 12), np.float64((y + 0.5) * 12))
    column, row = (int(value // GRID_PM) for value in at)
    assert data[0, 4, y, x] == pytest.approx(frames[0][0].layers["residual"][row, column])


def test_the_atoms_are_those_of_the_refined_counts(film):
    folder, _, frames = film
    first, _ = ase.io.read(folder / "crystal.extxyz", ":", format="extxyz")
    assert len(first) == (frames[0][0].table["depth"] + 1).sum()


def test_steps_of_a_layer():
    shown, ends = steps_of(np.array([-9.0, -4, 0, 4, np.nan]), (-4.0, 4.0))
    assert shown.tolist() == [0, 0, 32, STEPS - 1, 255] and ends == (-4.0, 4.0)
    shown, ends = steps_of(np.full(3, 2.0), None)
    assert shown.tolist() == [0, 0, 0] and ends == (2.0, 2.0)
    assert steps_of(np.full(2, np.nan), None)[0].tolist() == [255, 255]


@needs_browser
def test_the_page_shows_layers_and_refined_counts(film, tmp_path):
    folder, facts, frames = film
    table = frames[0][0].table
    one = table.iloc[3]
    text = (folder / "explained.html").read_text(encoding="utf-8")
    assert json.loads(Blocks(text).blocks["frame-1"])["lost"] == "torn"
    found = browse(
        tmp_path,
        text,
        f"""
        say("first", [drawn(), text("frame-text")]);
        say("warnings", [...document.querySelectorAll("#warnings li")].map((l) => [l.textContent, l.className]));
        for (const layer of ["image", "columns", "residual"]) document.getElementById("on-" + layer).click();
        await wait(100); say("residual", drawn());
        const box = (u, v) => [...ctx.getImageData(
          Math.round(view.x + u * view.scale), Math.round(view.y + v * view.scale), 1, 1).data];
        say("colours", [box(12, 6), box(85, 6)]);
        at({one["x_pm"] / 12}, {one["y_pm"] / 12}, "pointermove"); say("hover", cells("info"));
        say("bars", text("layerbars")); say("facts", cells("frame-facts"));
        press("ArrowRight"); await settle(); say("lost", drawn());
    """,
    )
    assert found["first"] == ["0:image,columns", "frame 3 (3 to 6), NOT EXPLAINED"]
    assert found["warnings"] == [["NOT EXPLAINED", "bad"], ["one line", ""]]
    assert found["residual"] == "0:residual" and found["lost"] == "1:lost"
    (blue, red) = found["colours"]
    assert blue[2] > blue[0] + 40 and red[0] > red[2] + 40
    hover = found["hover"]
    assert hover["refined count"].startswith(str(one["depth"] + 1)) and hover["its confidence"] == "0.75"
    assert hover["its 90 % set"] == f"{one['depth']} to {one['depth'] + 2}" and hover["χ² per pixel"] == "1.25"
    assert hover["the picture shows"] == "more than predicted" and str(one["depth"]) in hover["predicted depth"]
    assert found["bars"] == "residual (standard deviations)-44" and found["facts"]["χ²"] == "1.02"


@pytest.mark.parametrize("stretch", [((1.0, 0.0), (0.0, 1.0)), ((1.02, 0.01), (0.01, 0.97))])
def test_what_a_prediction_was_made_of_is_read_again(tmp_path, stretch):
    transform = FrameTransform((60, 90), 12.0, GRID_PM, rotation_deg=7.0, flip=True, stretch=stretch)
    facts = make_facts(transform=transform, distortion={"elongation": 1.0})
    results = list(make_frames(facts))
    writer = open_folder(tmp_path / "p", facts)
    writer.put(results[0])
    writer.lose(4, "torn")
    writer.put(results[2])
    lines = writer.close(["one line"])
    found = read_facts(tmp_path / "p")
    assert np.allclose(found.transform.matrix, transform.matrix, atol=1e-12)
    assert found.transform.grid_shape == transform.grid_shape
    same = replace(found, transform=transform, warnings=facts.warnings, times_s=facts.times_s, frames=facts.frames)
    assert same == replace(facts, labels=json.loads(json.dumps(facts.labels))) and found.warnings == lines
    assert list(found.frames) == [3, 4, 6] and found.frame_step_s == facts.frame_step_s
    with xr.open_zarr(tmp_path / "p" / STORE, consolidated=False) as maps:
        frame = read_frame(tmp_path / "p", maps, 2, read_columns(tmp_path / "p", 6))
    for name in ("depth", "confidence", "counts"):
        wanted = np.where(results[2].valid, getattr(results[2], name), getattr(frame, name))
        np.testing.assert_array_equal(getattr(frame, name), wanted)
    np.testing.assert_array_equal(frame.valid, results[2].valid)
    np.testing.assert_array_equal(frame.image, results[2].image)
    assert (frame.number, frame.familiarity, frame.vacuum_level) == (6, "in", 2.5)
