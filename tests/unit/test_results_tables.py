"""``columns.csv`` and ``columns.parquet`` of a prediction."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from results_data import make_facts, make_frames

from segdepth.micrograph.results import tables
from segdepth.micrograph.results.tables import CSV, GIVEN, HEADER, PARQUET, TableWriter, frame_rows, read_columns

WANTED = "frame,column,x_pm,y_pm,x_px,y_px,element,depth,confidence,depth_low,depth_high,at_least,llr,q_value,reliable"

ONE = next(make_frames(make_facts(frames=(0,))))


def written(folder, facts, results):
    writer = TableWriter(folder)
    for result in results:
        writer.put(frame_rows(result, facts.pixel_pm))
    writer.close()
    return pd.read_csv(folder / CSV), pd.read_parquet(folder / PARQUET)


@pytest.mark.parametrize("rows", (1, 25, 20_000))
def test_both_files_hold_every_row_in_order(tmp_path, monkeypatch, rows):
    """However many rows are written at a time."""
    monkeypatch.setattr(tables, "ROWS", rows)
    facts = make_facts()
    results = list(make_frames(facts))
    text, binary = written(tmp_path, facts, results)
    assert (tmp_path / CSV).read_text().splitlines()[0] == WANTED == ",".join(HEADER)
    assert list(text) == list(binary) == HEADER
    given = pd.concat([r.table for r in results], ignore_index=True)
    for found in (text, binary):
        assert found["frame"].tolist() == [r.number for r in results for _ in range(len(r.table))]
        assert found["column"].tolist() == given["column"].tolist()
        assert found["element"].tolist() == given["element"].tolist()
        for name in ("depth", "depth_low", "depth_high", "at_least", "reliable"):
            np.testing.assert_array_equal(found[name], given[name])
        for name, tolerance in {"x_pm": 0.005, "y_pm": 0.005, "confidence": 5e-5, "llr": 5e-3}.items():
            np.testing.assert_allclose(found[name], given[name], atol=1.01 * tolerance)
        np.testing.assert_allclose(found["q_value"], given["q_value"], rtol=1e-6)
        np.testing.assert_allclose(found["x_px"] * facts.pixel_pm, given["x_pm"], atol=2e-3)
        np.testing.assert_allclose(found["y_px"] * facts.pixel_pm, given["y_pm"], atol=2e-3)
    file = parquet.ParquetFile(tmp_path / PARQUET)
    assert file.num_row_groups == (len(results) if rows == 1 else 1 + (rows == 25 and len(given) > 25))
    assert read_columns(tmp_path, 4)["column"].tolist() == results[1].table["column"].tolist()


def test_units_are_in_the_parquet_file(tmp_path):
    facts = make_facts()
    written(tmp_path, facts, make_frames(facts))
    schema = parquet.read_schema(tmp_path / PARQUET)
    units = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in schema}
    assert units["x_pm"] == units["y_pm"] == "pm" and units["x_px"] == "pixel" and units["depth"] == "atoms"
    assert units["column"] == "" and units["confidence"] == "1"


def test_names_with_commas_and_quotes_survive(tmp_path):
    facts = make_facts(frames=(0,))
    (result,) = make_frames(facts)
    names = ["1,-2,Ce1", 'a "b", c', "plain", "é\u202e"]
    table = result.table[:4].assign(column=names)
    text, binary = written(tmp_path, facts, [replace(result, table=table)])
    assert text["column"].tolist() == binary["column"].tolist() == names
    with (tmp_path / CSV).open(newline="", encoding="utf-8") as stream:
        assert [row[1] for row in csv.reader(stream)][1:] == names


def test_no_columns_are_an_empty_table_with_a_header(tmp_path):
    facts = make_facts(frames=(0, 1))
    results = [replace(r, table=pd.DataFrame(columns=GIVEN)) for r in make_frames(facts)]
    text, binary = written(tmp_path, facts, results)
    assert text.empty and binary.empty and list(text) == list(binary) == HEADER


def test_nothing_of_an_unfamiliar_frame_is_reliable(tmp_path):
    facts = make_facts(frames=(0, 1, 2))
    levels = ("in", "edge", "outside")
    results = [replace(r, familiarity=level) for r, level in zip(make_frames(facts), levels)]
    text, _ = written(tmp_path, facts, results)
    shares = text.groupby("frame")["reliable"].mean()
    assert shares[2] == 0 and 0.5 < shares[0] <= 1 and 0.5 < shares[1] <= 1


@given(st.floats(0.5, 100), st.floats(-1e5, 1e5))
def test_places_in_pixels_are_places_over_the_pixel(pixel_pm, place):
    rows = frame_rows(replace(ONE, table=ONE.table.assign(x_pm=place, y_pm=-place)), pixel_pm)
    np.testing.assert_allclose(rows["x_px"] * pixel_pm, place, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(rows["y_px"], -rows["x_px"])
