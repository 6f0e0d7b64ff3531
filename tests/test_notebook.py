"""The notebooks of the documentation run, and their page shows what they keep."""

from __future__ import annotations

import json

import pytest

from tests.test_docs import ROOT, load_script

FILM = ROOT / "docs" / "tutorials" / "film.ipynb"


def test_notebook_goes_from_a_file_to_a_column_over_a_film(tmp_path, monkeypatch):
    """The column's atoms fall with those that were simulated, within one, and are gone in the end."""
    pytest.importorskip("abtem")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(FILM.read_text(encoding="utf-8"))
    outputs, names = load_script("run_notebook").run_cells(notebook)
    assert sum("data" in output for found in outputs for output in found) == 1
    found, one, true = names["found"], names["one"], names["true"]
    assert abs(found.pixel_pm - 6) < 3 * found.pixel_error_pm < 0.15
    assert abs(found.rotation_deg - 90) < 3 * found.rotation_error_deg < 1.5
    assert len(one) >= 11 and one.frame.is_unique
    assert all(abs(depth - true[frame]) <= 1 for frame, depth in zip(one.frame, one.depth))
    assert one.depth.iloc[0] == 5 and one.depth.iloc[-1] <= 3
    assert names["missing"][-3:] == [15, 16, 17]


def test_page_of_a_notebook():
    page = load_script("hooks").notebook_page(FILM)
    text, picture = page["tutorials/film.md"], page["tutorials/film-0.png"]
    assert text.startswith("# One column over a film\n") and "maps, columns = segdepth.predict(film)" in text
    assert "(film-0.png)" in text and picture.startswith(b"\x89PNG") and len(picture) < 60_000
    assert "18 frames of (500, 600) pixels" in text
