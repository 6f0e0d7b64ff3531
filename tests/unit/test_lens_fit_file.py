"""The JSON file of a lens fit: read as it was written, and refused in one line where it is not what a fit writes."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from adaptation_data import FIT
from conftest import CERIA
from hypothesis import given
from hypothesis import strategies as st

from segdepth.errors import StoreError
from segdepth.fitting.result import LensFit, Rival, read_lens_fit, write_lens_fit

WHOLE = replace(
    FIT,
    crystal=CERIA.to_dict(),
    rivals=(Rival({"defocus_nm": 3.0, "tilt_x_deg": -1.0}, (3.0, 4.0, 5.0, 6.0, 7.0), 58.0),),
    explained=False,
    lines=("NOT EXPLAINED by one solution",),
)
PLAIN = json.loads(json.dumps(WHOLE.to_dict()))


def with_value(place: tuple, value: object) -> dict:
    """The file's data with one value replaced."""
    data = copy.deepcopy(PLAIN)
    inside = data
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = value
    return data


def refusal(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError) as failure:
        read_lens_fit(path)
    told = str(failure.value)
    assert told.startswith(f"{path}: is no fit of segdepth fit-lens (") and "\n" not in told and len(told) < 700
    return told


def test_a_fit_goes_to_json_and_back_and_has_room_for_more(tmp_path):
    write_lens_fit(WHOLE, tmp_path / "fit.json", {"cells": {"orders": [[0, 0]]}})
    assert read_lens_fit(tmp_path / "fit.json") == WHOLE
    assert json.loads((tmp_path / "fit.json").read_text())["cells"] == {"orders": [[0, 0]]}


def test_what_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_lens_fit(replace(WHOLE, chi2=math.nan), tmp_path / "fit.json")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "3", b"\xff\xfe{}", "[" * 100_000, '{"kind":' * 100_000, '{"chi2": ' + "9" * 100_000 + "}"],
    ids=["empty", "list", "cut", "number", "bytes", "deep", "deep keys", "long number"],
)
def test_what_is_no_json_object_is_refused(tmp_path, content):
    refusal(tmp_path / "fit.json", content)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(StoreError, match="no such file; segdepth fit-lens writes one"):
        read_lens_fit(tmp_path / "missing.json")
    with pytest.raises(StoreError, match="cannot be read"):
        read_lens_fit(tmp_path)


def test_a_fit_that_knows_no_roughness_is_read(tmp_path):
    older = {name: value for name, value in PLAIN.items() if name != "roughness_atoms"}
    (tmp_path / "fit.json").write_text(json.dumps(older))
    assert read_lens_fit(tmp_path / "fit.json").roughness_atoms is None


@pytest.mark.parametrize("key", [key for key in PLAIN if key != "roughness_atoms"])
def test_a_key_that_is_missing_is_named(tmp_path, key):
    told = refusal(tmp_path / "fit.json", json.dumps({name: value for name, value in PLAIN.items() if name != key}))
    assert f"({key}: missing)" in told


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("kind",), "segdepth model"),
        (("version",), 2),
        (("explained",), "false"),
        (("explained",), 0),
        (("chi2",), math.nan),
        (("chi2",), math.inf),
        (("chi2",), -1.0),
        (("dof",), 0),
        (("frames",), 10**400),
        (("frames",), 1.5),
        (("frames",), True),
        (("energy_kev",), 10**400),
        (("energy_kev",), "300"),
        (("energy_kev",), 0.3),
        (("dose_e_per_a2",), 0),
        (("pixel_pm",), -7.0),
        (("values", "defocus_nm"), math.nan),
        (("values", "defocus_nm"), None),
        (("values", "tilt_x_deg"), 45.0),
        (("values", "image_spread_pm"), -1.0),
        (("values", "c1_nm"), 3.0),
        (("values",), [1.0]),
        (("errors", "defocus_nm"), -math.inf),
        (("held",), "c3_um"),
        (("bins", 1, "thickness_atoms"), math.nan),
        (("bins", 1, "dof"), None),
        (("bins",), {}),
        (("rivals", 0, "values", "tilt_x_deg"), math.inf),
        (("rivals", 0, "thickness_atoms", 2), "5"),
        (("lines", 0), []),
        (("crystal",), {}),
        (("crystal", "columns"), []),
        (("crystal", "columns", 0, "x"), math.nan),
        (("crystal", "columns", 0, "per_period"), 10**400),
        (("crystal", "zone_axis"), [math.inf, 1, 1]),
        (("crystal", "periods_pm"), [541.1, 0.0, 382.6]),
        (("crystal", "periods_pm"), [541.1, 382.6]),
        (("crystal", "debye_waller_pm"), 3),
    ],
    ids=lambda part: str(part)[:24],
)
def test_a_value_that_no_fit_has_is_named(tmp_path, place, value):
    told = refusal(tmp_path / "fit.json", json.dumps(with_value(place, value)))
    key = told.partition("(")[2]
    assert key.startswith("crystal: " if place[0] == "crystal" else ".".join(str(part) for part in place[:1]))
    assert place[0] == "crystal" or isinstance(place[-1], int) or place[-1] in told


def places(data: object, here: tuple = ()) -> list[tuple]:
    """Every place in nested data, but its top."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [one for key, value in inside for one in [(*here, key), *places(value, (*here, key))]]


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.floats(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.floats(), max_size=2),
)


@given(st.sampled_from(places(PLAIN)), JUNK)
def test_whatever_stands_in_the_file_it_is_a_finite_fit_or_one_line(tmp_path_factory, place, junk):
    path = tmp_path_factory.getbasetemp() / "junk.json"
    path.write_text(json.dumps(with_value(place, junk)))
    try:
        found = read_lens_fit(path)
    except StoreError as failure:
        assert str(failure).startswith(f"{path}: is no fit of segdepth fit-lens (") and "\n" not in str(failure)
    else:
        assert isinstance(found, LensFit) and isinstance(found.explained, bool)
        write_lens_fit(found, path)
        assert read_lens_fit(path) == found
