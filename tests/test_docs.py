"""What the documentation says exists: links, commands and their options, make targets, keys, files, hashes."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

import segdepth
from segdepth.config import Config, validate
from segdepth.store.manifest import content_hash, manifest_path
from segdepth.store.run_record import run_path

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs" / "results" / "tables"
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")]
    if path.parent != TABLES
)
COMMON = {"--help", "-h", "--debug", "--version"}
ids = [str(path.relative_to(ROOT)) for path in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=ids)


def load_script(name: str):
    """A module in docs/."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks():
    return load_script("hooks")


def code_of(page: Path) -> str:
    """Fenced blocks and inline code of a page, a continued line joined; one piece a line."""
    text = page.read_text(encoding="utf-8")
    fenced = "\n".join(re.findall(r"^```(?:sh)?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return fenced.replace("\\\n", " ") + "\n" + "\n".join(re.findall(r"`([^`\n]+)`", outside))


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@each_page
def test_relative_links_lead_to_files(page, hooks):
    """And their anchors to headings. Pages that are made while MkDocs builds are known by their names."""
    made = {"reference/configuration.md", "reference/commands.md", "contributing.md", "changelog.md"}
    made |= {str(each.relative_to(ROOT / "docs").with_suffix(".md")) for each in ROOT.glob("docs/**/*.ipynb")}
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if path.is_relative_to(ROOT / "docs") and str(path.relative_to(ROOT / "docs")) in made:
            continue
        assert path.exists(), f"{link}: there is no such file"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings]
            assert anchor in slugs, f"{link}: no such heading; there are {', '.join(slugs)}"


def test_every_page_is_in_the_menu():
    """MkDocs refuses a page that is not, with ``--strict``."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    named = set(re.findall(r"[\w./-]+\.md", text))
    assert {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")} <= named


@each_page
def test_commands_and_their_options_exist(page, hooks):
    if page.name == "CHANGELOG.md":
        pytest.skip("it names commands of before")
    known = hooks.commands()
    for line in code_of(page).splitlines():
        match = re.search(r"(?:^|\s)segdepth ((?:--debug )?)([a-z][a-z0-9-]+)(.*)", line)
        if not match or match.group(2) in ("import",):
            continue
        verb, rest = match.group(2), re.split(r"\s#|>|;|\|", match.group(3))[0]
        assert verb in known, f"{line!r}: there is no such command"
        options = {name for p in known[verb].params for name in [*p.opts, *p.secondary_opts]} | COMMON
        given = {word.split("=")[0] for word in shlex.split(rest.replace("…", "")) if word.startswith("--")}
        assert given <= options, f"{line!r}: {sorted(given - options)} is no option of {verb}"


@each_page
def test_make_targets_exist(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("it names targets of before")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for line in code_of(page).splitlines():
        for words in re.findall(r"(?:^|&& )make ((?:[a-z-]+ ?)+)", line):
            assert set(words.split()) <= targets, f"{line!r}: no such target"


@each_page
def test_yaml_blocks_are_valid_over_the_default_configuration(page):
    default = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for block in blocks:
        merged = dict(default)
        for section, content in yaml.safe_load(block).items():
            merged[section] = {**merged.get(section, {}), **content} if isinstance(content, dict) else content
        validate(Config, merged, str(page))


def test_contributing_names_files_that_are_there():
    rules = "workflow/rules"
    for name in re.findall(r"`([\w./<>*]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        if "/" not in name or "<" in name or name.startswith(("data/", "results/", "site/")):
            continue
        places = (ROOT, ROOT / "pipeline" / "segdepth", ROOT / rules)
        assert any(list(place.glob(name.rstrip("/"))) for place in places), f"{name}: there is no such file"


def test_reference_has_every_key(hooks):
    page = hooks.configuration_page()
    schema = Config.model_json_schema()
    blocks = [schema, *(block for block in schema["$defs"].values() if "properties" in block)]
    missing = [key for block in blocks for key in block["properties"] if f"| `{key}` |" not in page]
    assert not missing
    assert "| `field_pm` | `5411.0` | number 1000 to 50000 |" in page


def test_reference_has_every_command(hooks):
    page = hooks.commands_page()
    for name, command in hooks.commands().items():
        section = page.split(f"## segdepth {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.opts[0] in section
    assert re.search(r"^OUT/prediction.html  .*\nOUT/prediction.png  ", page, flags=re.MULTILINE)


@pytest.mark.parametrize("folder", [TABLES, ROOT / "docs" / "images"], ids=["tables", "images"])
def test_shown_results_are_those_of_their_manifests(folder):
    shown = [path for path in folder.iterdir() if not path.name.endswith((".manifest.json", ".run.json"))]
    assert shown
    for path in shown:
        manifest = json.loads(manifest_path(path).read_text(encoding="utf-8"))  # some are of earlier layouts
        assert content_hash(path) == manifest["content"], path.name
        known = manifest if "commit" in manifest else json.loads(run_path(path).read_text(encoding="utf-8"))
        assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", known["commit"])


@pytest.mark.parametrize("shown", sorted(TABLES.glob("*.md")), ids=lambda path: path.stem)
def test_pages_of_tables_have_a_heading_and_their_table(shown, hooks):
    page = SimpleNamespace(file=SimpleNamespace(src_uri=f"results/tables/{shown.name}"), meta={}, title="Table")
    text = hooks.on_page_markdown(shown.read_text(encoding="utf-8"), page)
    assert re.match(r"# .+\n\nMade with commit `[0-9a-f]{7}`.*\n\n\|.*\|\n\|[-:| ]+\|\n\|", text)


def test_numbers_of_a_prediction_are_those_of_the_code():
    from segdepth.micrograph.calibration import calibrate, matching, spectrum
    from segdepth.micrograph.columns import detection
    from segdepth.micrograph.familiarity import judgement
    from segdepth.micrograph.files.raw import MAX_UNPACKED
    from segdepth.micrograph.film import COARSEST_SHARE
    from segdepth.networks.bundled import bundled_folder

    folder = ROOT / "docs" / "how-to"
    micrograph, trust = (" ".join((folder / f"{name}.md").read_text().split()) for name in ("micrograph", "trust"))
    card = json.loads((bundled_folder() / "network.json").read_text())
    rates = json.loads(bundled_folder().with_name("familiarity.json").read_text())["rates"]
    edge, outside = (100 * rates[name] for name in ("edge", "outside"))
    for text in (
        f"at most {MAX_UNPACKED / 2**30:g} GiB",
        f"may be off by {100 * (calibrate.TAG_FACTOR - 1):.0f} %",
        f"by more than {100 * calibrate.TOLD_SHARE:g} %",
        f"more than {COARSEST_SHARE * card['input_pixel_pm']:.3g} pm is too coarse",
    ):
        assert text in micrograph
    for text in (
        f"one frame of noise in {1 / spectrum.FALSE_ALARM:,.0f} has one",
        f"strongest spot and {100 * matching.LEAST_SHARE:g} %",
        f"probability of {detection.LEAST_POSTERIOR:g} or more",
        f"must gain {detection.LEAST_GAIN:g} (natural",
        f"| {100 * judgement.QUANTILES[0]:g} % | {100 - edge - outside:.1f} % |",
        f"| {edge:.1f} % |",
        f"| {outside:.1f} % |",
        f"{rates['held-out frames']} frames of {rates['held-out structures']} other structures",
    ):
        assert text in trust


def test_python_page_has_what_the_package_offers(hooks):
    page = hooks.python_functions()
    for name in segdepth.__all__:
        assert f"## segdepth.{name}\n" in page
    assert "| `beam, imaging` |" in page and "| `familiarity` |" in page and "lattice_pm: float | None = None," in page


def test_python_example_runs(tmp_path, monkeypatch):
    """The slab of five atoms is counted."""
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    names: dict = {}
    monkeypatch.chdir(tmp_path)
    exec(re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)[0], names)
    columns = names["columns"]
    inside = columns[columns.confidence > 0.5]
    assert len(inside) > 400
    assert inside.groupby("element").depth.median().tolist() == [5, 5]
    assert names["maps"].depth.dims == ("frame", "row", "column")


def test_numbers_of_the_film_are_those_of_its_tables():
    text = (ROOT / "docs" / "results" / "film.md").read_text(encoding="utf-8")
    scores, dwell, seen = (
        pd.read_csv(TABLES / f"film_{table}_bundled_surface.csv") for table in ("scores", "dwell", "detectability")
    )
    doses = sorted(set(scores["dose_lambda"]))
    methods = ["hmm", "hmm_listed", "frame", "mean_3", "mean_5", "mean_9"]
    for element in ("Ce", "O"):
        for dose in doses:
            rows = scores.query("element == @element and dose_lambda == @dose").set_index("method")
            cells = [
                f"{row['precision']:.2f} ({row['precision_by_chance']:.2f}), "
                f"{row['recall']:.2f} ({row['recall_by_chance']:.2f})"
                if row["found"]
                else "none"
                for _, row in rows.loc[methods].iterrows()
            ]
            first = element if dose == doses[0] else ""
            assert f"| {first} | {dose:g} | {' | '.join(cells)} |" in text
    for dose in doses:
        (row,) = (row for _, row in seen.query("element == 'O' and dose_lambda == @dose").iterrows())
        found = dwell.query("element == 'O' and dose_lambda == @dose and method == 'hmm'").set_index("frames_from")
        cells = [
            f"{one['matched']} of {one['true']} ({one['recall_by_chance'] * one['true']:.0f})"
            for _, one in found.loc[[3, 6, 11]].astype(object).iterrows()
        ]
        assert f"| {dose:g} | {row['d_prime']:.2f} | {row['frames_needed']:.0f} | {' | '.join(cells)} |" in text
