"""Malformed configurations, drawn at random: each is refused in one line that names the key, and touches nothing."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from segdepth import cli

ROOT = Path(__file__).parents[2]
EXAMPLES, REFUSED = 600, 500
"""How many are drawn, and how many of them at least must be refused: some changes are allowed."""

LONGEST = 1000
"""Characters of a message."""

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def base() -> dict:
    """The default configuration, with a block in every section."""
    data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    row = {"label": "a", "models": ["unet16"], "dataset": "quick", "aims": {"centre_accuracy": {"Ce": 0.9}}}
    return data | {
        "predictions": data["predictions"] | {"mine": {"model": "bundled", "input": "movie.npy", "gain": 2.0}},
        "comparisons": {"mine": {"dataset": "quick", "input": "movie.npy", "frame": 0}},
        "lens_fits": {"mine": {"input": "movie.npy", "crystal": "ceria", "c5_mm": 5.0}},
        "adaptations": {"mine": {"lens_fit": "mine", "model": "bundled"}},
        "tables": {"t": {"rows": [row]}},
        "yardsticks": {"y": {"dataset": "quick"}},
        "films": {"f": {"dataset": "quick"}},
        "prediction_sets": {"s": {"calibration": "quick"}},
        "limit_maps": {"m": {"dataset": "quick"}},
        "familiarity": {"unet16": ["quick"]},
        "export": {"model": "unet16", "card_datasets": ["quick"]},
    }


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of all values in a configuration."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in ((*path, key), *places(inner, (*path, key)))]


def at(data: Any, path: tuple) -> Any:
    for key in path:
        data = data[key]
    return data


BASE = base()
PLACES = places(BASE)
BLOCKS = [(), *(path for path in PLACES if isinstance(at(BASE, path), dict))]
NUMBERS = [path for path in PLACES if isinstance(at(BASE, path), int | float) and at(BASE, path) is not True]

WORDS = st.sampled_from([
    "; rm -rf .", "$(touch broken)", "`touch broken`", "| touch broken", "../..", "../../etc/passwd", "/etc/passwd",
    "-", "--help", "a b", "it's", 'say "a"', "two\nlines", "a\r\nb", "\x1b[2J", "\u2028", "\x00", "{wildcard}", "{",
    "%s", "*", "é", "名", "", " ", ".", "~", "null", "yes", "1e3", "12 pm", "0x10", "x" * 5000, "a/b.npy", "__class__",
    "quick", "auto",
])  # fmt: skip
HUGE = st.sampled_from([10**6, -(10**6), 10**18, 2**63, 10**400, -(10**400), 1e308, -1e308, 5e-324, 1e15, 10**4000])
ODD = st.sampled_from([float("nan"), float("inf"), float("-inf"), -1, 0, -0.0, 0.5, True, False, None])
LEAVES = st.one_of(WORDS, HUGE, ODD)
VALUES = st.one_of(
    LEAVES,
    LEAVES,
    st.lists(LEAVES, max_size=4),
    st.dictionaries(WORDS, LEAVES, max_size=3),
    st.integers(1, 60).map(lambda depth: nested(depth, [])),
    st.integers(1, 60).map(lambda depth: nested(depth, {})),
)


def nested(depth: int, kind: list | dict) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value] if isinstance(kind, list) else {"a": value}
    return value


@st.composite
def mistakes(draw: st.DrawFn) -> tuple[str, dict, tuple]:
    """(what was done, the configuration, path of the key that it was done to)"""
    data = copy.deepcopy(BASE)
    kind = draw(st.sampled_from(["value", "value", "value", "unit", "unknown", "unknown", "name", "missing", "type"]))
    path = draw(st.sampled_from(NUMBERS if kind == "unit" else BLOCKS if kind == "unknown" else PLACES))
    if kind == "unknown":
        path = (*path, draw(st.one_of(WORDS, st.sampled_from([7, "pixel", "defocus", "pixel_pm ", "Seed"]))))
    holder = at(data, path[:-1])
    old = holder[path[-1]] if kind != "unknown" else None
    if kind == "unit":
        holder[path[-1]] = old * draw(st.sampled_from([1e3, 1e-3, -1, 1e10, 1e-12, 1e30])) or -1
    elif kind == "name" and isinstance(holder, dict):
        new = draw(WORDS)
        holder[new] = holder.pop(path[-1])
        path = (*path[:-1], new)
    elif kind == "missing":
        del holder[path[-1]]
    elif kind == "type":
        holder[path[-1]] = [old] if not isinstance(old, list) else dict(enumerate(old))
    else:
        holder[path[-1]] = draw(VALUES)
    return kind, data, path


class Watch:
    """What is written, removed or started while it looks."""

    CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
    STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.kill", "socket.connect")

    def __init__(self) -> None:
        self.looks, self.seen = False, []
        sys.addaudithook(self._told)

    def _told(self, event: str, arguments: tuple) -> None:
        if not self.looks or "__pycache__" in str(arguments):
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in self.CHANGES or event in self.STARTS:
            self.seen.append((event, arguments))

    @contextlib.contextmanager
    def over(self):
        self.looks = True
        try:
            yield
        finally:
            self.looks = False


WATCH = Watch()


def check(path: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `segdepth check-config`."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["segdepth", "check-config", path])
        with pytest.raises(SystemExit) as ended, WATCH.over():
            cli.main()
    return ended.value.code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project's folder, in which the tests of this module run."""
    folder = tmp_path_factory.mktemp("around") / "project"
    folder.mkdir()
    (folder / "movie.npy").write_bytes(b"")
    (folder / "config.yaml").write_text(yaml.safe_dump(BASE))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert check("config.yaml") == (0, "config.yaml: fine\n", "")
        yield folder


def is_line(told: str) -> bool:
    """Whether it is the message of an error: one line that can be printed, and not too long."""
    line = told.removesuffix("\n")
    return told != line and line.startswith("segdepth: error: ") and line.isprintable() and len(line) <= LONGEST


FITTED = {
    "zone_axis": ("most_atoms", "core_radius_pm", "terminations", "facet"),
    "x_axis": ("core_radius_pm", "terminations", "facet"),
    "bulk_atoms": ("most_atoms",),
    "crystals": ("crystal: no block",),
    "lens_fits": ("lens_fit: no block",),
}
"""Keys whose values may be allowed, and those of other blocks that then do not fit or miss a block, and are named."""


def named(path: tuple, line: str) -> bool:
    """Whether a message names the key, or the block of a list's item; of a long name the beginning."""
    key = str([part for part in path if not isinstance(part, int) or part == 7][-1])
    words = [" ".join(key.split()), repr(key)[1:-1], key.replace("_", " ")]
    return any(word[:60] in line for word in words) or any(word in line for word in FITTED.get(key, ()))


def test_each_mistake_is_one_line_that_names_the_key_and_touches_nothing(project):
    refused, wrong = [], []

    @given(mistakes())
    @settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def one(mistake):
        _, data, path = mistake
        (project / "config.yaml").write_text(yaml.dump(data, Dumper=DUMPER, allow_unicode=True), encoding="utf-8")
        before = sorted(project.parent.rglob("*"))
        code, out, told = check("config.yaml")
        touched = WATCH.seen or sorted(project.parent.rglob("*")) != before
        if code == 2 and out == "" and named(path, told) and is_line(told) and not touched:
            refused.append(path)
        elif (code, out, told) != (0, "config.yaml: fine\n", "") or touched:
            wrong.append((path, code, out, told, *WATCH.seen))
        WATCH.seen.clear()

    with np.errstate(all="raise"):
        one()
    assert not wrong, "\n".join(map(repr, wrong))
    assert len(refused) >= REFUSED, f"{len(refused)} were refused"
    assert len({path[0] for path in refused if path}) >= len(BASE)
